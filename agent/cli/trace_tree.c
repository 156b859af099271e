/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/trace_tree.h"

#include "agent/base/hash.h"

#include <errno.h>
#include <stdio.h>

const char *const step_kind_names[STEP_KINDS] = {"run",	 "session", "trace", "span",
						 "call", "leg",	    "model"};

/* What a step is found by, below its parent. */
struct step_key {
	const struct step *parent;
	enum step_kind kind;
	char id[CALL_NAME_MAX];
};

struct step {
	struct step_facts facts;
	struct step_key key; /* of none but those that are looked up */
	struct step *up;     /* NULL: the root, and models */
	struct step *first, *last, *next;
	bool in_table;
	UT_hash_handle hh;
};

struct trace_tree {
	struct step *root;
	struct step models; /* only its list is used */
	struct step *known; /* all but calls and legs, by key */
};

/* ---- steps ------------------------------------------------------------------------------- */

static void append(struct step *parent, struct step *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

static struct step *step_new(struct step *up, enum step_kind kind, const char *id)
{
	struct step *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->up = up;
	s->in_table = true;
	s->facts.kind = kind;
	slice_copy(s->facts.id, sizeof(s->facts.id), slice_of(id));
	return s;
}

/* NULL without memory. */
static struct step *step_below(struct trace_tree *t, struct step *parent, enum step_kind kind,
			       const char *id)
{
	struct step_key key;
	struct step *s;

	memset(&key, 0, sizeof(key)); /* and what lies between its fields */
	key.parent = parent;
	key.kind = kind;
	slice_copy(key.id, sizeof(key.id), slice_of(id));
	HASH_FIND(hh, t->known, &key, sizeof(key), s);
	if (s)
		return s;
	s = step_new(parent == &t->models ? NULL : parent, kind, id);
	if (!s)
		return NULL;
	s->key = key;
	HASH_ADD(hh, t->known, key, sizeof(s->key), s);
	if (!s->in_table) {
		free(s);
		return NULL;
	}
	append(parent, s);
	return s;
}

static void steps_free(struct step *s)
{
	while (s) {
		struct step *next = s->next;

		steps_free(s->first);
		free(s);
		s = next;
	}
}

/* ---- the tree ---------------------------------------------------------------------------- */

int trace_tree_new(struct trace_tree **out, enum step_kind kind, const char *id)
{
	struct trace_tree *t = calloc(1, sizeof(*t));

	if (t)
		t->root = step_new(NULL, kind, id);
	if (!t || !t->root) {
		trace_tree_free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void trace_tree_free(struct trace_tree *t)
{
	if (!t)
		return;
	HASH_CLEAR(hh, t->known);
	steps_free(t->root);
	steps_free(t->models.first);
	free(t);
}

/* The step that a call stands right below. NULL without memory. */
static struct step *find_place(struct trace_tree *t, const struct call *call)
{
	struct step *at = t->root;

	if (call->trace_id[0] && strcmp(call->trace_id, at->facts.id) != 0)
		at = step_below(t, at, STEP_TRACE, call->trace_id);
	if (at && call->span_id[0])
		at = step_below(t, at, STEP_SPAN, call->span_id);
	return at;
}

static struct step *add_row(struct step *place, const struct call *call)
{
	bool leg = call->collapsed_by != COLLAPSED_NOT;
	char id[2 * sizeof(call->event_id) + 1];
	struct step *row;

	for (size_t i = 0; i < sizeof(call->event_id); i++)
		snprintf(id + 2 * i, 3, "%02x", call->event_id[i]);
	row = step_new(place, leg ? STEP_LEG : STEP_CALL, id);
	if (!row)
		return NULL;
	slice_copy(row->facts.model, sizeof(row->facts.model),
		   slice_of(call->model[0] ? call->model : call->model_requested));
	row->facts.status = call->status;
	row->facts.attempt = call->attempt;
	row->facts.outcome = call->outcome;
	row->facts.joined_by = call->joined_by;
	append(place, row);
	return row;
}

int trace_tree_add(struct trace_tree *t, const struct call *call)
{
	struct step *place, *row, *model = NULL;
	struct spend part;

	if (t->root->facts.rows == TRACE_ROWS_MAX)
		return -E2BIG;
	place = find_place(t, call);
	row = place ? add_row(place, call) : NULL;
	if (row && row->facts.kind == STEP_CALL)
		model = step_below(t, &t->models, STEP_MODEL, row->facts.model);
	if (!row || (row->facts.kind == STEP_CALL && !model))
		return -ENOMEM;
	for (struct step *s = row; s; s = s->up)
		s->facts.rows++;
	if (!model)
		return 0;
	spend_of_call(&part, call);
	model->facts.rows++;
	spend_add(&model->facts.total, &part);
	for (struct step *s = row; s; s = s->up)
		spend_add(&s->facts.total, &part);
	return 0;
}

/* ---- settling ---------------------------------------------------------------------------- */

static bool is_row(const struct step *s)
{
	return s->facts.kind == STEP_CALL || s->facts.kind == STEP_LEG;
}

/* The one row of a span of one. The span's memory goes; nothing is looked up any more. */
static struct step *row_of(struct step *span)
{
	struct step *row = span->first;

	row->up = span->up;
	row->next = span->next;
	free(span);
	return row;
}

static void settle(struct step *parent)
{
	for (struct step **link = &parent->first; *link; link = &(*link)->next) {
		if ((*link)->facts.kind == STEP_SPAN && (*link)->facts.rows == 1)
			*link = row_of(*link);
		parent->last = *link;
		if (is_row(*link))
			parent->facts.own += (*link)->facts.total.cost;
		settle(*link);
	}
}

/* Insertion into a list that is in order: models are few. */
static void sort_models(struct step *list)
{
	struct step *sorted = NULL, *s = list->first;

	while (s) {
		struct step *next = s->next, **at = &sorted;

		while (*at && (*at)->facts.total.cost >= s->facts.total.cost)
			at = &(*at)->next;
		s->next = *at;
		*at = s;
		s = next;
	}
	list->first = sorted;
}

void trace_tree_settle(struct trace_tree *t)
{
	HASH_CLEAR(hh, t->known);
	settle(t->root);
	for (struct step *s = t->models.first; s; s = s->next)
		s->facts.own = s->facts.total.cost;
	sort_models(&t->models);
}

static void lack(struct step *s)
{
	for (; s; s = s->next) {
		s->facts.total.calls_lost |= !is_row(s);
		lack(s->first);
	}
}

void trace_tree_lacks(struct trace_tree *t)
{
	lack(t->root);
	lack(t->models.first);
}

/* ---- reading ----------------------------------------------------------------------------- */

const struct step_facts *trace_tree_root(const struct trace_tree *t)
{
	return &t->root->facts;
}

struct visit {
	void (*each)(void *user, const struct step_facts *step, const struct step_facts *parent,
		     int depth);
	void *user;
};

static void visit(const struct visit *v, const struct step *s, const struct step *parent, int depth)
{
	for (; s; s = s->next) {
		v->each(v->user, &s->facts, parent ? &parent->facts : NULL, depth);
		visit(v, s->first, s, depth + 1);
	}
}

void trace_tree_each(const struct trace_tree *t,
		     void (*each)(void *user, const struct step_facts *step,
				  const struct step_facts *parent, int depth),
		     void *user)
{
	const struct visit v = {each, user};

	visit(&v, t->root, NULL, 0);
	visit(&v, t->models.first, NULL, 0);
}
