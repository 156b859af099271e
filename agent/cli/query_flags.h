/* SPDX-License-Identifier: Apache-2.0 */
/* What events and spend share: time bounds, conditions, and opening the ledger with its codes. */
#ifndef TT_CLI_QUERY_FLAGS_H
#define TT_CLI_QUERY_FLAGS_H

#include "agent/cli/cli.h"
#include "exporter/query.h"

#define QUERY_FLAGS_HELP                                                                    \
	"  --since=TIME   from this time on: 2026-11-22, 2026-11-22T06:00:00Z, or 90s 15m " \
	"24h 7d ago\n"                                                                      \
	"  --until=TIME   up to but without this time\n"                                    \
	"  --where=K=V    only calls with this fact; several joined by commas; V may be\n"  \
	"                 (none)\n"

struct query_flags {
	const char *since;
	const char *until;
	const char *where;
};

/* Returns EXIT_OK, or EXIT_USAGE after one line on stderr. */
int query_flags_parse(const struct query_flags *flags, const char *command,
		      struct query_filter *filter) TT_MUST_CHECK;

/* Returns EXIT_OK, EXIT_PRIVILEGE or EXIT_STORAGE after one line on stderr. */
int query_flags_open(struct query **out, const char *command, const char *dir) TT_MUST_CHECK;

/* One line that names every fact, behind an unknown one. */
int query_flags_unknown_key(const char *command, const char *flag, struct slice name);

void query_closep(struct query **q);

#endif
