/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of `tolltap bill`, a file each. */
#ifndef TT_CLI_BILL_H
#define TT_CLI_BILL_H

#include "agent/cli/flags.h"
#include "agent/config/config.h"
#include "exporter/bills/store.h"

/* NULL or false = not given. */
struct bill_flags {
	const char *bills, *since, *until, *account, *projects, *keys;
	const char *key_file, *base_url, *ca_file;
	const char *where, *by;
	bool add, replace, all_hosts, drift;
	struct cli_list ledgers;
};

/* Each takes its operands (argv[0] is its own name) and returns the exit code. */
int bill_cmd_pull(const struct config *config, const struct bill_flags *flags, int argc,
		  char **argv);
int bill_cmd_import(const struct config *config, const struct bill_flags *flags, int argc,
		    char **argv);
int bill_cmd_list(const struct config *config, const struct bill_flags *flags, int argc,
		  char **argv);
int bill_cmd_reconcile(const struct config *config, const struct bill_flags *flags, int argc,
		       char **argv);

/* Opens the bills, or one line on stderr and the exit code. */
int bill_open(struct bill_store **out, const struct config *config, const struct bill_flags *flags,
	      bool make) TT_MUST_CHECK;
void bill_store_closep(struct bill_store **s);

/*
 * The flags' span as whole UTC days: --until begins today when absent, --since 30 days before it.
 * Both are cut down to the day they are in. EXIT_OK, or EXIT_USAGE after one line.
 */
int bill_days(const struct bill_flags *flags, int64_t *from_s, int64_t *to_s) TT_MUST_CHECK;

enum output_form bill_form(const struct config *config);
struct output;
/* Ends the printer; EXIT_OK, or EXIT_FAILED after one line when the output was not written. */
int bill_end(struct output *o);

#endif
