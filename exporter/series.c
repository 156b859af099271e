/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/series.h"

#include <errno.h>

#include "agent/base/hash.h"

#define LINE_BYTES 96 /* of a sample, beside its labels: name, bucket, value */

struct series {
	char *labels; /* its own, then the bearer's */
	size_t own_len;
	struct bearer *bearer; /* held; NULL: the node */
	union series_value value;
	bool told; /* as it stands */
	bool in_table;
	UT_hash_handle hh;
};

/* ---- room ----------------------------------------------------------------------------------- */

static size_t text_bytes(const struct series_set *set, size_t labels_len)
{
	size_t lines = set->row->kind == VALUE_HISTOGRAM ? PROM_BUCKETS + 3 : 1;

	return lines * (labels_len + LINE_BYTES);
}

static bool has_room(const struct series_set *set, size_t labels_len)
{
	return HASH_COUNT(set->table) < SERIES_MAX &&
	       text_bytes(set, labels_len) <= SERIES_TEXT_MAX - set->text_bytes;
}

static void series_free(struct series_set *set, struct series *s)
{
	if (!s)
		return;
	bearer_drop(set->bearers, s->bearer);
	free(s->labels);
	free(s);
}

static struct series *series_make(struct series_set *set, const char *labels, size_t own_len,
				  struct bearer *bearer)
{
	struct series *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->own_len = own_len;
	s->in_table = true;
	s->labels = strdup(labels);
	if (s->labels)
		HASH_ADD_KEYPTR(hh, set->table, s->labels, strlen(s->labels), s);
	if (!s->labels || !s->in_table) {
		series_free(set, s);
		return NULL;
	}
	s->bearer = bearer_hold(bearer);
	set->text_bytes += text_bytes(set, strlen(labels));
	return s;
}

static void join(struct text *out, struct slice own, const struct bearer *bearer)
{
	const char *borne = bearer_labels(bearer);

	text_append(out, own.ptr, own.len);
	text_puts(out, out->len && *borne ? "," : "");
	text_puts(out, borne);
}

static struct series *find(const struct series_set *set, struct text *labels)
{
	struct series *s = NULL;

	if (text_cstr(labels))
		HASH_FIND(hh, set->table, labels->ptr, labels->len, s);
	return s;
}

static struct series *overflow(struct series_set *set)
{
	set->overflowed = true;
	return set->overflow;
}

/* ---- folding -------------------------------------------------------------------------------- */

static void add_value(enum value_kind kind, union series_value *to, const union series_value *from)
{
	if (kind == VALUE_PICO)
		to->pico += from->pico;
	else if (__builtin_add_overflow(to->count, from->count, &to->count))
		to->count = UINT64_MAX;
}

/*
 * It gives up its place first, so that its parent's series has room. What it adds was told: a
 * series made for it may be folded on at once.
 */
static void fold(struct series_set *set, struct series *s)
{
	struct text labels = TEXT_INIT(PROMTEXT_LABELS_MAX);
	struct bearer *parent = bearer_parent(s->bearer);
	struct series *target;

	HASH_DEL(set->table, s);
	set->text_bytes -= text_bytes(set, strlen(s->labels));
	join(&labels, (struct slice){s->labels, s->own_len}, parent);
	target = find(set, &labels);
	if (!target && text_cstr(&labels)) {
		target = series_make(set, labels.ptr, s->own_len, parent);
		if (target)
			target->told = true;
	}
	if (!target)
		target = overflow(set);
	add_value(set->row->kind, &target->value, &s->value);
	text_free(&labels);
	series_free(set, s);
}

void series_fold_ended(struct series_set *set, uint64_t now_ns)
{
	struct series *s, *next;

	HASH_ITER (hh, set->table, s, next) {
		if (s->told && bearer_ended(s->bearer, now_ns))
			fold(set, s);
	}
}

/* Once between two scrapes: a family that is full of what lives is not searched at each call. */
static void make_room(struct series_set *set, size_t labels_len)
{
	struct series *s, *next;

	if (set->pressed)
		return;
	set->pressed = true;
	for (int owners_too = 0; owners_too <= 1 && !has_room(set, labels_len); owners_too++) {
		HASH_ITER (hh, set->table, s, next) {
			if (s->told && bearer_gone(s->bearer, owners_too))
				fold(set, s);
		}
	}
}

union series_value *series_get(struct series_set *set, const char *own, struct bearer *bearer)
{
	struct text labels = TEXT_INIT(PROMTEXT_LABELS_MAX);
	struct series *s;

	join(&labels, slice_of(own), bearer);
	s = own ? find(set, &labels) : NULL;
	if (own && !s && text_cstr(&labels)) {
		if (!has_room(set, labels.len))
			make_room(set, labels.len);
		if (has_room(set, labels.len))
			s = series_make(set, labels.ptr, strlen(own), bearer);
	}
	if (!s)
		s = overflow(set);
	s->told = false;
	text_free(&labels);
	return &s->value;
}

/* ---- life ----------------------------------------------------------------------------------- */

int series_set_init(struct series_set *set, const struct family_row *row, struct bearers *bearers)
{
	struct text labels = TEXT_INIT(PROMTEXT_LABELS_MAX);

	*set = (struct series_set){.row = row, .bearers = bearers};
	set->overflow = calloc(1, sizeof(*set->overflow));
	for (const char *const *name = row->labels; *name; name++)
		promtext_label(&labels, *name, SERIES_OVERFLOW);
	if (set->overflow && text_cstr(&labels))
		set->overflow->labels = TAKE_PTR(labels.ptr);
	text_free(&labels);
	return set->overflow && set->overflow->labels ? 0 : -ENOMEM;
}

void series_set_free(struct series_set *set)
{
	struct series *s, *next;

	HASH_ITER (hh, set->table, s, next) {
		HASH_DEL(set->table, s);
		series_free(set, s);
	}
	series_free(set, set->overflow);
	set->overflow = NULL;
}

/* ---- telling -------------------------------------------------------------------------------- */

static void put_one(struct text *out, const struct family_row *row, struct series *s)
{
	const union series_value *v = &s->value;

	s->told = true;
	switch (row->kind) {
	case VALUE_COUNT:
		return promtext_uint(out, &row->prom, s->labels, v->count);
	case VALUE_PICO:
		return promtext_pico(out, &row->prom, s->labels, v->pico);
	case VALUE_HISTOGRAM:
		return promtext_histogram(out, &row->prom, s->labels, &v->histogram);
	}
}

void series_put(struct series_set *set, struct text *out, bool openmetrics)
{
	promtext_family(out, &set->row->prom, openmetrics);
	for (struct series *s = set->table; s; s = s->hh.next)
		put_one(out, set->row, s);
	if (set->overflowed)
		put_one(out, set->row, set->overflow);
	set->pressed = false;
}
