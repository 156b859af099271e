/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands over ledgers share: time zone, time bounds, facts to group by, conditions,
 * and opening ledgers with their codes.
 */
#ifndef TT_CLI_QUERY_FLAGS_H
#define TT_CLI_QUERY_FLAGS_H

#include "agent/cli/flags.h"
#include "exporter/query.h"

#define QUERY_FLAGS_HELP                                                                      \
	"  --since=TIME   from this time on: 2026-11-22, 2026-11-22T06:00:00Z, or 90s 15m "   \
	"24h 7d ago\n"                                                                        \
	"  --until=TIME   up to but without this time\n"                                      \
	"  --timezone=Z   zone of dates, days and months, like Europe/Berlin (default: the\n" \
	"                 option report.timezone, else UTC)\n"                                \
	"  --where=K=V    only calls with this fact; several joined by commas; V may be\n"    \
	"                 (none)\n"

#define QUERY_LEDGER_HELP                                                           \
	"  --ledger=PATH  this ledger: a directory, its ledger.db, or what export " \
	"--format=jsonl\n"                                                          \
	"                 wrote; several times: all of them as one, each call once\n"

struct query_flags {
	const char *since;
	const char *until;
	const char *where;
	const char *timezone;	 /* NULL: that of report.timezone, as query_flags_zone says */
	struct cli_list ledgers; /* none: the state directory's */
};

/*
 * Takes the zone into force (exporter/calendar.h), before anything is parsed or opened. Returns
 * EXIT_OK, or EXIT_USAGE or EXIT_CONFIG after one line on stderr.
 */
int query_flags_zone(const struct query_flags *flags, const char *command,
		     const struct config *config) TT_MUST_CHECK;

/* Returns EXIT_OK, or EXIT_USAGE after one line on stderr. */
int query_flags_parse(const struct query_flags *flags, const char *command,
		      struct query_filter *filter) TT_MUST_CHECK;

/* A moment, as QUERY_FLAGS_HELP says; text NULL leaves it. Returns as query_flags_parse. */
int query_flags_time(const char *command, const char *flag, const char *text,
		     int64_t *us) TT_MUST_CHECK;

/*
 * Adds the facts of "FACT,FACT,..." to the keys, those that are there already left out. Returns as
 * query_flags_parse.
 */
struct query_keys {
	struct query_key item[QUERY_KEYS_MAX];
	size_t count;
};
int query_flags_by(const char *command, const char *flag, const char *by,
		   struct query_keys *keys) TT_MUST_CHECK;

/* --limit: a number above 0; text NULL leaves it. Returns as query_flags_parse. */
int query_flags_limit(const char *command, const char *text, int64_t *limit) TT_MUST_CHECK;

/* Returns EXIT_OK, EXIT_PRIVILEGE or EXIT_STORAGE after one line on stderr. */
int query_flags_open(struct query **out, const char *command, const char *dir) TT_MUST_CHECK;

/* The same for the ledgers of --ledger, or dir's where none is given. */
int query_flags_open_many(struct query **out, const char *command, const struct query_flags *flags,
			  const struct query_filter *filter, const char *dir) TT_MUST_CHECK;

/* Shows that the ledger is being read, on a terminal, when that takes a second (progress.h). */
void query_flags_watch(struct query *q);

/* One line that names every fact, behind an unknown one. */
int query_flags_unknown_key(const char *command, const char *flag, struct slice name);

void query_closep(struct query **q);

#endif
