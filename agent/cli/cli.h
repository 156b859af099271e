/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subcommands: a row each in agent/main.c. A command returns its exit code; the codes are the same
 * everywhere and documented in docs/exit-codes.md.
 */
#ifndef TT_CLI_H
#define TT_CLI_H

#include "agent/base/base.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,    /* the work failed: demo disagrees, ledger damaged, ... */
	EXIT_USAGE = 2,	    /* unknown command, flag or value */
	EXIT_CONFIG = 3,    /* config or price file refused */
	EXIT_PRIVILEGE = 4, /* a capability or file permission is missing */
	EXIT_KERNEL = 5,    /* this kernel cannot run the probes (no BPF, no BTF, too old) */
	EXIT_STORAGE = 6,   /* directory or database cannot be used */
	EXIT_ADDRESS = 7,   /* listen address cannot be bound */
	EXIT_NO_AGENT = 8,  /* the command needs a running agent and there is none */
};

struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
	const char *summary;
};

extern const struct command commands[]; /* ended by a NULL name */

int cmd_run(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_spend(int argc, char **argv);
int cmd_traces(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_whatif(int argc, char **argv);
int cmd_forecast(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_prices(int argc, char **argv);
int cmd_reprice(int argc, char **argv);
int cmd_period(int argc, char **argv);
int cmd_ledger(int argc, char **argv);
int cmd_bill(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_check(int argc, char **argv);

/* One line on stderr, "tolltap COMMAND: text", and the code back. */
int cli_fail(enum exit_code code, const char *command, const char *fmt, ...) TT_PRINTF(3, 4);

/* Rows of text as an aligned table, CSV (RFC 4180) or JSON lines: the one printer of all commands.
 */
enum output_form { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV };
bool output_form_parse(const char *name, enum output_form *out);

#endif
