/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap events: the ledger's rows in the order of recording. */
#include "agent/cli/events.h"
#include "agent/cli/flags.h"
#include "agent/cli/query_flags.h"

#include <errno.h>
#include <unistd.h>

#define FOLLOW_POLL_US 250000

static void help(void)
{
	printf("usage: tolltap events [flags]\n\n"
	       "Prints every recorded call, oldest first, while the agent runs or after it.\n\n"
	       "flags:\n" QUERY_FLAGS_HELP QUERY_LEDGER_HELP
	       "  --limit=N      only the newest N calls\n"
	       "  --follow       go on with calls as they are recorded, until interrupted\n"
	       "  --wide         add where each tag comes from and what else is kept\n"
	       "  --explain      a line for each tag of each call: its value and where it comes "
	       "from\n");
	config_help("events");
}

struct follow {
	struct events_printer *printer;
	int64_t last_seq;
};

static int print_event(void *user, const struct event *event)
{
	struct follow *follow = user;

	events_printer_print(follow->printer, event);
	follow->last_seq = event->seq;
	return 0;
}

/* Returns when the reader of stdout has gone, or on error. */
static int follow_events(struct query *q, const struct query_filter *filter, struct follow *follow)
{
	int r = 0;

	while (r == 0 && !ferror(stdout)) {
		usleep(FOLLOW_POLL_US);
		r = query_events(q, filter, follow->last_seq, 0, print_event, follow);
		events_printer_flush(follow->printer);
	}
	return r;
}

static int print_events(struct query *q, const struct query_filter *filter, int64_t limit,
			bool follow_on, enum output_form form, enum events_view view)
{
	struct follow follow = {0};
	int r, written;

	if (events_printer_new(&follow.printer, stdout, form, view))
		return cli_fail(EXIT_FAILED, "events", "no memory");
	r = query_events(q, filter, 0, limit, print_event, &follow);
	if (r == 0 && follow_on) {
		events_printer_flush(follow.printer);
		r = follow_events(q, filter, &follow);
	}
	written = events_printer_end(follow.printer);
	if (r)
		return cli_fail(EXIT_STORAGE, "events", "%s", query_error(q));
	if (written && written != -EPIPE)
		return cli_fail(EXIT_FAILED, "events", "cannot write: %s", strerror(-written));
	return EXIT_OK;
}

int cmd_events(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	_cleanup_(query_closep) struct query *q = NULL;
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	const char *limit_text = NULL;
	bool follow = false, wide = false, explain = false;
	const struct cli_flag own[] = {
		{.name = "since", .text = &shared.since},
		{.name = "until", .text = &shared.until},
		{.name = "where", .text = &shared.where},
		{.name = "timezone", .text = &shared.timezone},
		{.name = "ledger", .list = &shared.ledgers},
		{.name = "limit", .text = &limit_text},
		{.name = "follow", .boolean = &follow, .letter = "f"},
		{.name = "wide", .boolean = &wide},
		{.name = "explain", .boolean = &explain},
		{.name = NULL},
	};
	enum output_form form;
	enum events_view view;
	int64_t limit = 0;
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc > 1)
		return cli_fail(EXIT_USAGE, "events", "takes no operand '%.60s'", argv[1]);
	if (follow && shared.ledgers.count)
		return cli_fail(EXIT_USAGE, "events",
				"--follow reads the agent's own ledger: leave out --ledger");
	if (wide && explain)
		return cli_fail(EXIT_USAGE, "events", "--wide or --explain, not both");
	view = explain ? EVENTS_TAGS : wide ? EVENTS_WIDE : EVENTS_PLAIN;
	if (!output_form_parse(config.output, &form))
		return cli_fail(EXIT_USAGE, "events", "--output: table, json or csv");
	rc = query_flags_limit("events", limit_text, &limit);
	if (rc == EXIT_OK)
		rc = query_flags_zone(&shared, "events", &config);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, "events", &filter);
	if (rc == EXIT_OK)
		rc = query_flags_open_many(&q, "events", &shared, &filter, config.storage_path);
	return rc == EXIT_OK ? print_events(q, &filter, limit, follow, form, view) : rc;
}
