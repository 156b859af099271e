/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

/* Adding a subcommand is adding its file and its row here. */
const struct command commands[] = {
	{"run", cmd_run, "meter this host in the foreground"},
	{"top", cmd_top, "calls, tokens and dollars, live"},
	{"events", cmd_events, "every recorded call, oldest first"},
	{"spend", cmd_spend, "who spent what, grouped by any recorded fact"},
	{"traces", cmd_traces, "the runs of agents: what each cost, the newest last"},
	{"trace", cmd_trace, "one run as a tree: cost, tokens and time of each step and model"},
	{"session", cmd_session, "one session of an agent as a tree, with its traces"},
	{"whatif", cmd_whatif, "what recorded calls would have cost at another model"},
	{"forecast", cmd_forecast, "what the month will come to, from the days before"},
	{"export", cmd_export, "the ledger as JSON lines, CSV, or FOCUS 1.2 for finance"},
	{"doctor", cmd_doctor, "what this kernel can do, what is read, what is not and why"},
	{"exec", cmd_exec, "run a command and print what it and its children cost"},
	{"prices", cmd_prices, "the price table: look, check, compare, add, import"},
	{"reprice", cmd_reprice, "recorded calls at the prices of now, shown first, journaled"},
	{"period", cmd_period, "close months: frozen totals, later changes as corrections"},
	{"ledger", cmd_ledger, "check, copy and mend the ledger"},
	{"bill", cmd_bill, "the provider's bill: pull, import, list, reconcile with the ledger"},
	{"keys", cmd_keys, "the fingerprint of a key, and what keys are called"},
	{"replay", cmd_replay, "a recording through the same path as live traffic"},
	{"demo", cmd_demo, "meter local clients against a provider that keeps its own books"},
	{"check", cmd_check,
	 "check config: the values in force; check capabilities: the privilege it needs"},
	{NULL, NULL, NULL},
};

int cli_fail(enum exit_code code, const char *command, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "tolltap %s: ", command);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

bool output_form_parse(const char *name, enum output_form *out)
{
	static const char *const names[] = {"table", "json", "csv"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(names[i], name)) {
			*out = (enum output_form)i;
			return true;
		}
	}
	return false;
}
