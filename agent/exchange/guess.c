/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/guess.h"

#include <errno.h>

static const struct dialect dialect_unseen = {.name = "unseen"};
const struct api_path path_unseen = {
	.method = "", .suffix = "", .api = "", .operation = "", .dialect = &dialect_unseen};

struct guess {
	size_t count;
	struct {
		const struct api_path *path;
		struct meter *meter;
	} item[GUESSES_MAX];
};

/* Sessions begin with an upgrade, free work costs nothing, units need an object: not guessed. */
static bool is_new(const struct guess *g, const struct dialect *dialect)
{
	if (!dialect || dialect->free || dialect->session || dialect->units)
		return false;
	for (size_t i = 0; i < g->count; i++) {
		if (g->item[i].path->dialect == dialect)
			return false;
	}
	return g->count < GUESSES_MAX;
}

int guess_new(struct guess **out, const struct provider_table *t, const struct provider *p,
	      enum meter_hint hint)
{
	struct guess *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	for (size_t i = 0; i < p->path_count; i++) {
		const struct dialect *dialect = p->paths[i].dialect;
		struct json_paths *paths =
			is_new(g, dialect) ? provider_table_paths(t, dialect) : NULL;

		if (!paths)
			continue;
		if (meter_new(&g->item[g->count].meter, dialect, paths, hint)) {
			guess_free(g);
			return -ENOMEM;
		}
		g->item[g->count++].path = &p->paths[i];
	}
	*out = g;
	return 0;
}

void guess_free(struct guess *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->count; i++)
		meter_free(g->item[i].meter);
	free(g);
}

void guess_feed(struct guess *g, struct slice bytes)
{
	for (size_t i = 0; i < g->count; i++)
		meter_feed(g->item[i].meter, bytes);
}

bool guess_ended(const struct guess *g)
{
	bool ended = false;

	for (size_t i = 0; i < g->count; i++) {
		const struct meter_facts *facts = meter_facts(g->item[i].meter);

		ended |= facts->named && facts->ended;
	}
	return ended;
}

bool guess_content(const struct guess *g)
{
	bool content = false;

	for (size_t i = 0; i < g->count; i++) {
		const struct meter_facts *facts = meter_facts(g->item[i].meter);

		content |= facts->named && facts->content;
	}
	return content;
}

static bool counts_alike(const struct usage *x, const struct usage *y)
{
	return x->lower_bound == y->lower_bound && x->provider_cost_pusd == y->provider_cost_pusd &&
	       memcmp(x->tokens, y->tokens, sizeof(x->tokens)) == 0 &&
	       memcmp(x->tool_units, y->tool_units, sizeof(x->tool_units)) == 0;
}

/* How many counts the dialect finds: it reads more of its own answers than of others'. */
static size_t count_of_counts(const struct meter *m)
{
	const int64_t *raw = meter_answer(m)->raw;
	size_t n = 0;

	for (size_t i = 0; i < RAW_FIELDS; i++)
		n += raw[i] != RAW_ABSENT;
	return n;
}

/* 0: the answer is none of its own. */
static size_t rank_of(const struct meter *m)
{
	const struct meter_facts *facts = meter_facts(m);

	return facts->marked ? 2 * count_of_counts(m) + facts->named + 1 : 0;
}

static size_t find_best(const struct guess *g)
{
	size_t best = 0;

	for (size_t i = 1; i < g->count; i++) {
		if (rank_of(g->item[i].meter) > rank_of(g->item[best].meter))
			best = i;
	}
	return best;
}

/* Does another dialect fit as well, and make something else of its counts? */
static bool is_doubtful(const struct guess *g, size_t best)
{
	struct usage usage, other;
	bool doubtful = false;

	meter_usage(g->item[best].meter, &usage);
	for (size_t i = 0; i < g->count; i++) {
		const struct meter *m = g->item[i].meter;

		if (rank_of(m) != rank_of(g->item[best].meter))
			continue;
		meter_usage(m, &other);
		doubtful |= other.known && !counts_alike(&usage, &other);
	}
	return doubtful;
}

struct guessed guess_take(struct guess *g)
{
	struct guessed found = {NULL, NULL, false};
	size_t best = find_best(g);

	if (!g->count || !rank_of(g->item[best].meter))
		return found;
	found.doubtful = is_doubtful(g, best);
	found.path = g->item[best].path;
	found.meter = TAKE_PTR(g->item[best].meter);
	g->item[best] = g->item[--g->count];
	return found;
}

void guess_gap(struct guess *g, uint64_t n)
{
	for (size_t i = 0; i < g->count; i++)
		meter_gap(g->item[i].meter, n);
}

size_t guess_memory(const struct guess *g)
{
	size_t total = sizeof(*g);

	for (size_t i = 0; i < g->count; i++)
		total += meter_memory(g->item[i].meter);
	return total;
}
