/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bearers.h"

#include "exporter/promtext.h"

#include "agent/base/hash.h"

const char *const metrics_level_names[METRICS_LEVELS] = {
	[METRICS_NODE] = "node",
	[METRICS_WORKLOAD] = "workload",
	[METRICS_CONTAINER] = "container",
};

enum form { FORM_POD, FORM_CONTAINER, FORM_UNIT, FORM_TRANSIENT_UNIT };

/* From coarse to fine; each rank that says something is a bearer below the one before. */
enum rank { RANK_LASTS, RANK_OWNER, RANK_ENDS, RANKS };

static const struct label {
	enum form form;
	enum rank rank;
	enum metrics_level level; /* from this one on */
	const char *name;
	size_t field;
} labels[] = {
#define AT(field) offsetof(struct workload, field)
	{FORM_POD, RANK_LASTS, METRICS_WORKLOAD, "namespace", AT(namespace_)},
	{FORM_POD, RANK_OWNER, METRICS_WORKLOAD, "workload", AT(owner)},
	{FORM_POD, RANK_ENDS, METRICS_CONTAINER, "pod", AT(pod)},
	{FORM_POD, RANK_ENDS, METRICS_CONTAINER, "container", AT(container)},
	{FORM_CONTAINER, RANK_ENDS, METRICS_WORKLOAD, "container", AT(container)},
	{FORM_UNIT, RANK_LASTS, METRICS_WORKLOAD, "unit", AT(unit)},
	{FORM_TRANSIENT_UNIT, RANK_ENDS, METRICS_WORKLOAD, "unit", AT(unit)},
};

/* Units that systemd makes at run time: they come and go under ever new names. */
static const struct {
	struct slice prefix, suffix;
} transient_units[] = {
	{SLICE(""), SLICE(".scope")},
	{SLICE("run-"), SLICE(".service")},
};

struct bearer {
	char *labels;
	struct bearer *parent; /* held; NULL: the node */
	enum rank rank;
	size_t holders;
	uint64_t quiet_since_ns; /* the census after its last call, or the last it lived at */
	bool lives;		 /* at the last census, or made since */
	bool used;		 /* since the last census */
	bool in_table;
	UT_hash_handle hh;
};

static enum form form_of(const struct workload *w)
{
	struct slice unit = slice_of(w->unit);

	if (*w->pod)
		return FORM_POD;
	if (*w->container)
		return FORM_CONTAINER;
	for (size_t i = 0; i < ARRAY_LEN(transient_units); i++) {
		if (slice_starts(unit, transient_units[i].prefix) &&
		    slice_ends(unit, transient_units[i].suffix))
			return FORM_TRANSIENT_UNIT;
	}
	return FORM_UNIT;
}

/* Appends the labels of one rank. False: there is none. */
static bool put_rank(struct text *out, const struct workload *w, enum form form, enum rank rank,
		     enum metrics_level level)
{
	size_t before = out->len;

	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		const struct label *l = &labels[i];

		if (l->form == form && l->rank == rank && l->level <= level)
			promtext_label(out, l->name, (const char *)w + l->field);
	}
	return out->len > before;
}

static struct bearer *find(const struct bearers *all, const char *text, size_t len)
{
	struct bearer *b;

	HASH_FIND(hh, all->table, text, len, b);
	return b;
}

/* Takes the parent that the caller holds; NULL and the parent untouched without memory. */
static struct bearer *make(struct bearers *all, const char *text, enum rank rank,
			   struct bearer *parent)
{
	struct bearer *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	*b = (struct bearer){.rank = rank, .holders = 1, .lives = true, .in_table = true};
	b->labels = strdup(text);
	if (b->labels)
		HASH_ADD_KEYPTR(hh, all->table, b->labels, strlen(b->labels), b);
	if (!b->labels || !b->in_table) {
		free(b->labels);
		free(b);
		return NULL;
	}
	b->parent = parent;
	return b;
}

struct bearer *bearer_of(struct bearers *all, const struct workload *w)
{
	struct text text = TEXT_INIT(PROMTEXT_LABELS_MAX);
	enum form form = form_of(w);
	struct bearer *b = NULL;

	for (int rank = 0; rank < RANKS; rank++) {
		struct bearer *finer;

		if (!put_rank(&text, w, form, (enum rank)rank, all->level) || !text_cstr(&text))
			continue;
		finer = find(all, text.ptr, text.len);
		if (finer) {
			bearer_hold(finer);
			bearer_drop(all, b);
		} else {
			finer = make(all, text.ptr, (enum rank)rank, b);
		}
		if (!finer) /* what is coarser bears it */
			break;
		b = finer;
		b->used = true;
	}
	text_free(&text);
	return b;
}

struct bearer *bearer_hold(struct bearer *b)
{
	if (b)
		b->holders++;
	return b;
}

void bearer_drop(struct bearers *all, struct bearer *b)
{
	while (b && --b->holders == 0) {
		struct bearer *parent = b->parent;

		HASH_DEL(all->table, b);
		free(b->labels);
		free(b);
		b = parent;
	}
}

const char *bearer_labels(const struct bearer *b)
{
	return b ? b->labels : "";
}

struct bearer *bearer_parent(const struct bearer *b)
{
	return b->parent;
}

/* ---- who lives ------------------------------------------------------------------------------ */

void bearers_census(struct bearers *all, uint64_t now_ns)
{
	struct bearer *b, *next;

	HASH_ITER (hh, all->table, b, next) {
		if (b->lives || b->used)
			b->quiet_since_ns = now_ns;
		b->lives = b->used = false;
	}
}

void bearers_lives(struct bearers *all, const struct workload *w)
{
	struct text text = TEXT_INIT(PROMTEXT_LABELS_MAX);
	enum form form = form_of(w);

	for (int rank = 0; rank < RANKS; rank++) {
		struct bearer *b;

		if (!put_rank(&text, w, form, (enum rank)rank, all->level) || !text_cstr(&text))
			continue;
		b = find(all, text.ptr, text.len);
		if (b)
			b->lives = true;
	}
	text_free(&text);
}

bool bearer_gone(const struct bearer *b, bool owners_too)
{
	return b && !b->lives && !b->used &&
	       (b->rank == RANK_ENDS || (owners_too && b->rank == RANK_OWNER));
}

bool bearer_ended(const struct bearer *b, uint64_t now_ns)
{
	return bearer_gone(b, false) && now_ns - b->quiet_since_ns >= BEARER_QUIET_NS;
}
