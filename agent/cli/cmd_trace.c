/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap trace ID, tolltap session ID: one run as a tree, with what each step and model cost. */
#include "agent/cli/flags.h"
#include "agent/cli/progress.h"
#include "agent/cli/query_flags.h"
#include "agent/cli/spend_columns.h"
#include "agent/cli/trace_tree.h"

#include <errno.h>

/* Losses so near to a run may be of its calls. */
#define NEAR_US 3600000000LL

static void help_of(const char *command, const char *what)
{
	printf("usage: tolltap %s ID [flags]\n\n"
	       "%s"
	       "A step's cost is that of all calls below it, own_cost_usd that of the calls right\n"
	       "below it. A span with one call is shown as that call. Below the tree stand the\n"
	       "same calls by model. elapsed_ms is from the first call's beginning to the end of\n"
	       "the last, call_ms the time of the calls one by one. A leg is a call that another\n"
	       "row is the bill of: it is in no sum. \"at least\": some calls cost more than is\n"
	       "known, or calls were lost within an hour of it.\n\n"
	       "flags:\n"
	       "  --steps        only steps and models, no single calls\n" QUERY_FLAGS_HELP
		       QUERY_LEDGER_HELP,
	       command, what);
	config_help(command);
}

static void help_trace(void)
{
	help_of("trace",
		"One run of an agent as a tree: its spans and their calls. ID is what "
		"tolltap traces\nlists: a trace id, or the name of a run that has none.\n");
}

static void help_session(void)
{
	help_of("session", "One session of an agent as a tree: its traces, their spans and "
			   "calls, and the calls\nof the session that have no trace.\n");
}

/* ---- printing ---------------------------------------------------------------------------- */

struct tree_print {
	struct spend_print columns;
	struct output *o;
	bool steps_only;
};

static bool is_row(const struct step_facts *s)
{
	return s->kind == STEP_CALL || s->kind == STEP_LEG;
}

/* What people read in place of the event's id: how the call went, where that was not well. */
static void put_row_label(char *dst, size_t size, const struct step_facts *s)
{
	char attempt[24] = "", outcome[40] = "";

	if (s->attempt > 1)
		snprintf(attempt, sizeof(attempt), ", attempt %d", s->attempt);
	if (s->outcome == OUTCOME_ERROR && s->status)
		snprintf(outcome, sizeof(outcome), ", error %d", s->status);
	else if (s->outcome != OUTCOME_OK)
		snprintf(outcome, sizeof(outcome), ", %s", outcome_names[s->outcome]);
	snprintf(dst, size, "%s %s%s%s", step_kind_names[s->kind],
		 s->model[0] ? s->model : "(no model)", attempt, outcome);
}

static void put_label(struct output *o, const struct step_facts *s, int depth)
{
	char label[2 * CALL_NAME_MAX + 64], line[sizeof(label) + 16];

	if (is_row(s))
		put_row_label(label, sizeof(label), s);
	else
		snprintf(label, sizeof(label), "%s %s", step_kind_names[s->kind],
			 s->id[0] ? s->id : "(none)");
	snprintf(line, sizeof(line), "%*s%s", 2 * depth, "", label);
	output_text(o, line);
}

static void put_count(struct output *o, int count)
{
	if (count)
		output_int(o, count);
	else
		output_null(o);
}

static void put_facts(struct output *o, const struct step_facts *s, const struct step_facts *parent,
		      int depth)
{
	output_text(o, step_kind_names[s->kind]);
	output_text(o, s->id);
	output_text(o, parent ? parent->id : NULL);
	output_int(o, depth);
	output_text(o, s->kind == STEP_MODEL ? s->id : s->model);
	put_count(o, s->status);
	output_text(o,
		    is_row(s) && s->outcome != OUTCOME_UNKNOWN ? outcome_names[s->outcome] : NULL);
	put_count(o, s->attempt);
	output_text(o, run_source_names[s->joined_by]);
}

static void print_step(void *user, const struct step_facts *s, const struct step_facts *parent,
		       int depth)
{
	struct tree_print *p = user;
	bool root = depth == 0 && s->kind != STEP_MODEL;
	char usd[PUSD_TEXT_MAX];

	if (p->steps_only && is_row(s))
		return;
	if (p->columns.form == OUTPUT_TABLE)
		put_label(p->o, s, depth);
	else
		put_facts(p->o, s, parent, depth);
	if (is_row(s))
		output_null(p->o);
	else
		output_text(p->o, pusd_format(usd, s->own));
	spend_print_cells(&p->columns, p->o, &s->total, root);
	if (root)
		output_row_emphasis(p->o);
	else
		output_row(p->o);
}

static void choose_columns(struct spend_print *p)
{
	static const char *const facts[] = {"kind",   "id",	 "parent",  "depth",	"model",
					    "status", "outcome", "attempt", "joined_by"};
	bool table = p->form == OUTPUT_TABLE;

	for (size_t i = 0; i < (table ? 1 : ARRAY_LEN(facts)); i++)
		p->heads[p->head_count++] =
			(struct output_column){table ? "step" : facts[i], OUTPUT_LEFT};
	p->heads[p->head_count++] = (struct output_column){"own_cost_usd", OUTPUT_RIGHT};
	p->times = true;
	spend_print_choose(p);
}

static int print_tree(const char *command, const struct trace_tree *tree, struct tree_print *p)
{
	int r;

	choose_columns(&p->columns);
	if (output_new(&p->o, stdout, p->columns.form, p->columns.heads, p->columns.head_count))
		return cli_fail(EXIT_FAILED, command, "no memory");
	trace_tree_each(tree, print_step, p);
	r = output_end(p->o);
	if (r && r != -EPIPE)
		return cli_fail(EXIT_FAILED, command, "cannot write: %s", strerror(-r));
	return EXIT_OK;
}

/* ---- reading ----------------------------------------------------------------------------- */

static int add_event(void *user, const struct event *event)
{
	return trace_tree_add(user, &event->call);
}

/* Calls that were lost, or are gone by retention, so near that they may have been its own. */
static int find_losses(struct query *q, struct trace_tree *tree)
{
	const struct spend *total = &trace_tree_root(tree)->total;
	const struct query_filter near = {
		.since_us = total->first_us > NEAR_US ? total->first_us - NEAR_US : 0,
		.until_us = total->ended_us < INT64_MAX - NEAR_US ? total->ended_us + NEAR_US : 0,
	};
	struct query_losses lost;
	int r = query_losses(q, near.since_us, near.until_us, &lost), gone;

	if (r)
		return r;
	gone = query_check_calls(q, &near);
	if (lost.occasions || gone == -ENOTSUP)
		trace_tree_lacks(tree);
	return gone == -ENOTSUP ? 0 : gone;
}

static int read_tree(struct query *q, const char *command, const char *id,
		     const struct query_filter *filter, struct trace_tree *tree)
{
	int r;

	query_flags_watch(q);
	r = query_events_by_time(q, filter, add_event, tree);
	if (r == 0 && trace_tree_root(tree)->rows) {
		trace_tree_settle(tree);
		r = find_losses(q, tree);
	}
	progress_end();
	if (r == -E2BIG)
		return cli_fail(EXIT_FAILED, command,
				"'%.60s' has more than %d calls; bound the time with --since and "
				"--until",
				id, TRACE_ROWS_MAX);
	if (r == -ENOMEM)
		return cli_fail(EXIT_FAILED, command, "no memory for the calls of '%.60s'", id);
	if (r)
		return cli_fail(EXIT_STORAGE, command, "%s", query_error(q));
	if (trace_tree_root(tree)->rows == 0)
		return cli_fail(EXIT_FAILED, command,
				"no call of '%.60s' is recorded in this time; tolltap traces lists "
				"what is",
				id);
	return EXIT_OK;
}

static void free_tree(struct trace_tree **t)
{
	trace_tree_free(*t);
}

static int show(struct query *q, const char *command, const char *id, enum step_kind kind,
		const struct query_filter *filter, struct tree_print *p)
{
	_cleanup_(free_tree) struct trace_tree *tree = NULL;
	int rc;

	if (kind == STEP_RUN && slice_is_hex(slice_of(id), 32))
		kind = STEP_TRACE;
	if (trace_tree_new(&tree, kind, id))
		return cli_fail(EXIT_FAILED, command, "no memory");
	rc = read_tree(q, command, id, filter, tree);
	return rc == EXIT_OK ? print_tree(command, tree, p) : rc;
}

/* ---- commands ---------------------------------------------------------------------------- */

/* "(none)" would ask for all calls that nothing joins: they are no run. */
static int add_id(const char *command, const char *fact, const char *id,
		  struct query_filter *filter)
{
	char condition[QUERY_VALUE_MAX + 32];
	int n = snprintf(condition, sizeof(condition), "%s=%s", fact, id);

	if (strcmp(id, QUERY_NONE) == 0 || n >= (int)sizeof(condition) ||
	    query_filter_where(filter, condition))
		return cli_fail(EXIT_USAGE, command,
				"'%.60s' is no %s's id; tolltap traces lists "
				"them",
				id, command);
	return EXIT_OK;
}

static int tree_command(int argc, char **argv, const char *fact, enum step_kind kind,
			void (*help)(void))
{
	_cleanup_(config_free) struct config config = {0};
	_cleanup_(query_closep) struct query *q = NULL;
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	struct tree_print print = {0};
	const char *command = argv[0];
	const struct cli_flag own[] = {
		{.name = "steps", .boolean = &print.steps_only},
		{.name = "since", .text = &shared.since},
		{.name = "until", .text = &shared.until},
		{.name = "timezone", .text = &shared.timezone},
		{.name = "where", .text = &shared.where},
		{.name = "ledger", .list = &shared.ledgers},
		{.name = NULL},
	};
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc != 2)
		return cli_fail(EXIT_USAGE, command, "one id is needed; tolltap traces lists them");
	if (!output_form_parse(config.output, &print.columns.form))
		return cli_fail(EXIT_USAGE, command, "--output: table, json or csv");
	rc = query_flags_zone(&shared, command, &config);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, command, &filter);
	if (rc == EXIT_OK)
		rc = add_id(command, fact, argv[1], &filter);
	if (rc == EXIT_OK)
		rc = query_flags_open_many(&q, command, &shared, &filter, config.storage_path);
	return rc == EXIT_OK ? show(q, command, argv[1], kind, &filter, &print) : rc;
}

int cmd_trace(int argc, char **argv)
{
	return tree_command(argc, argv, "run", STEP_RUN, help_trace);
}

int cmd_session(int argc, char **argv)
{
	return tree_command(argc, argv, "session_id", STEP_SESSION, help_session);
}
