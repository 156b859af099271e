/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that belong together as a tree: a run's or session's traces, a trace's spans, a span's
 * calls, each with the sum of what is below it; beside it the same calls by model. A span with one
 * call is left out: the call stands in its place. A call has its place by what its own row tells:
 * which span is whose parent is not on the wire, so spans stand side by side.
 *
 * Pure: no output, no clock. Bounds: TRACE_ROWS_MAX calls; more are refused.
 */
#ifndef TT_CLI_TRACE_TREE_H
#define TT_CLI_TRACE_TREE_H

#include "exporter/query.h"

#define TRACE_ROWS_MAX 20000

enum step_kind {
	STEP_RUN,
	STEP_SESSION,
	STEP_TRACE,
	STEP_SPAN,
	STEP_CALL,
	STEP_LEG, /* a call that another row is the bill of: in no sum */
	STEP_MODEL,
	STEP_KINDS
};
extern const char *const step_kind_names[STEP_KINDS]; /* "run", ... */

struct trace_tree;

struct step_facts {
	enum step_kind kind;
	char id[CALL_NAME_MAX]; /* of a call or leg its event id in hex, of a model its name */
	size_t rows;		/* calls and legs below it; 1 of one itself */
	struct spend total;	/* of all calls below it, or of the call itself */
	pusd_sum own;		/* the cost of the calls right below it, without steps between */
	/* Of a call or leg. */
	char model[CALL_NAME_MAX];
	int status; /* 0 = not seen */
	int attempt;
	enum outcome outcome;
	enum run_source joined_by;
};

/* kind: what id names. Calls of a trace of that id stand right below. Returns 0 or -ENOMEM. */
int trace_tree_new(struct trace_tree **out, enum step_kind kind, const char *id) TT_MUST_CHECK;
void trace_tree_free(struct trace_tree *t); /* NULL is fine */

/* Calls in the order in which they began. Returns 0, -E2BIG (too many) or -ENOMEM. */
int trace_tree_add(struct trace_tree *t, const struct call *call) TT_MUST_CHECK;

/* Leaves out the spans with one call, and sums what steps own. Nothing may be added after it. */
void trace_tree_settle(struct trace_tree *t);

/* Its sums may lack calls: the root and all that is below it say "at least". */
void trace_tree_lacks(struct trace_tree *t);

const struct step_facts *trace_tree_root(const struct trace_tree *t);

/*
 * Each step once, those above before those below, else in the order of their first calls; then the
 * models, dearest first. depth is 0 for the root and the models.
 */
void trace_tree_each(const struct trace_tree *t,
		     void (*each)(void *user, const struct step_facts *step,
				  const struct step_facts *parent, int depth),
		     void *user);

#endif
