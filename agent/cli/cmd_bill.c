/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap bill: what the provider billed, fetched or read from a file, against the ledger. */
#include "agent/cli/bill.h"

#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "exporter/bills/fetch.h"
#include "exporter/query.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define DEFAULT_DAYS 30

static void help(void)
{
	printf("usage: tolltap bill pull openai|anthropic [--since --until] [--project --key-id]\n"
	       "       tolltap bill import FILE.csv [--add|--replace]\n"
	       "       tolltap bill list\n"
	       "       tolltap bill reconcile [--since --until] [--by=FACTS] [--where=K=V]\n\n"
	       "Bills are kept in bills.db beside the ledger, or on a machine without one. Pulling "
	       "or\nimporting the same again replaces it. `reconcile` explains billed minus "
	       "recorded, in\namounts that add up to the difference.\n\n"
	       "flags:\n"
	       "  --since=TIME     from this UTC day on: 2026-11-01 or 30d [30 days before "
	       "--until]\n"
	       "  --until=TIME     up to but without this UTC day [today]\n"
	       "  --account=NAME   one of several accounts at a provider [the one]\n"
	       "  --bills=FILE     where bills are kept [bills.db in --storage.path]\n"
	       "pull:\n"
	       "  --key-file=FILE  the admin key; else bill.PROVIDER-key-file of the "
	       "configuration, or\n"
	       "                   PROVIDER-admin-key in $CREDENTIALS_DIRECTORY; never an "
	       "argument\n"
	       "  --project=IDS    only these projects (workspaces), joined by commas\n"
	       "  --key-id=IDS     only these API keys, by the provider's ids\n"
	       "  --base-url=URL   another address of the API; https, or http on this machine\n"
	       "  --ca-file=FILE   certificates to trust instead of the system's\n"
	       "import (FOCUS, or the columns date,provider,model,amount[,currency]):\n"
	       "  --add            keep rows that other files have for the same days\n"
	       "  --replace        take their place\n"
	       "reconcile:\n"
	       "  --project, --key-id   only this part of the bill; of keys whose key_id the\n"
	       "                   configuration has, only their calls too\n"
	       "  --where=K=V      only these calls of the ledger (tolltap spend --help has the "
	       "facts)\n"
	       "  --ledger=PATH    this ledger, several times: all of them as one (tolltap spend)\n"
	       "  --all-hosts      the ledger is of every host that this part of the bill is for\n"
	       "  --by=FACTS       sum by some of provider,day,model,class [all four]\n"
	       "  --drift          leave out what agrees\n");
	config_help("bill");
}

enum output_form bill_form(const struct config *config)
{
	enum output_form form = OUTPUT_TABLE;

	(void)output_form_parse(config->output, &form);
	return form;
}

int bill_end(struct output *o)
{
	int r = output_end(o);

	if (r && r != -EPIPE)
		return cli_fail(EXIT_FAILED, "bill", "cannot write: %s", strerror(-r));
	return EXIT_OK;
}

int bill_open(struct bill_store **out, const struct config *config, const struct bill_flags *flags,
	      bool make)
{
	char err[BILL_ERROR_MAX];
	int r = bill_store_open(out, config->storage_path, flags->bills, make, err, sizeof(err));

	if (r == 0)
		return EXIT_OK;
	return cli_fail(r == -EACCES ? EXIT_PRIVILEGE : EXIT_STORAGE, "bill", "%s", err);
}

void bill_store_closep(struct bill_store **s)
{
	bill_store_close(*s);
}

static int parse_day(const char *flag, const char *text, int64_t now_us, int64_t *day_s)
{
	int64_t us;

	if (!query_time_parse(text, now_us, &us))
		return cli_fail(EXIT_USAGE, "bill",
				"--%s: '%.60s' is no day; write 2026-11-01, or 30d", flag, text);
	*day_s = us / 1000000 / SECONDS_PER_DAY * SECONDS_PER_DAY;
	return EXIT_OK;
}

int bill_days(const struct bill_flags *flags, int64_t *from_s, int64_t *to_s)
{
	int64_t now_s = (int64_t)time(NULL);
	int rc = EXIT_OK;

	*to_s = now_s / SECONDS_PER_DAY * SECONDS_PER_DAY;
	if (flags->until)
		rc = parse_day("until", flags->until, now_s * 1000000, to_s);
	*from_s = *to_s - (int64_t)DEFAULT_DAYS * SECONDS_PER_DAY;
	if (rc == EXIT_OK && flags->since)
		rc = parse_day("since", flags->since, now_s * 1000000, from_s);
	if (rc == EXIT_OK && *from_s >= *to_s)
		rc = cli_fail(EXIT_USAGE, "bill",
			      "there is no whole day from --since to --until; today's figures are "
			      "late: --until=2026-11-02 ends behind 2026-11-01");
	return rc;
}

static int check_flags(const struct config *config, const struct bill_flags *flags)
{
	const char *const lists[] = {flags->projects, flags->keys};
	enum output_form form;

	if (!output_form_parse(config->output, &form))
		return cli_fail(EXIT_USAGE, "bill", "--output: table, json or csv");
	if (flags->add && flags->replace)
		return cli_fail(EXIT_USAGE, "bill", "--add or --replace, not both");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		if (lists[i] && (strlen(lists[i]) >= BILL_FILTER_MAX || strchr(lists[i], ' ')))
			return cli_fail(EXIT_USAGE, "bill",
					"--project, --key-id: ids joined by commas, at most %d "
					"bytes",
					BILL_FILTER_MAX - 1);
	}
	if (flags->account && strlen(flags->account) >= BILL_ID_MAX)
		return cli_fail(EXIT_USAGE, "bill", "--account: at most %d bytes", BILL_ID_MAX - 1);
	return EXIT_OK;
}

static int dispatch(const struct config *config, const struct bill_flags *flags, int argc,
		    char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct config *config, const struct bill_flags *flags, int argc,
			   char **argv);
	} rows[] = {
		{"pull", bill_cmd_pull},
		{"import", bill_cmd_import},
		{"list", bill_cmd_list},
		{"reconcile", bill_cmd_reconcile},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows) && argc > 1; i++) {
		if (!strcmp(rows[i].name, argv[1]))
			return rows[i].run(config, flags, argc - 1, argv + 1);
	}
	return cli_fail(EXIT_USAGE, "bill",
			"write: tolltap bill pull PROVIDER | import FILE.csv | list | reconcile");
}

int cmd_bill(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	struct bill_flags flags = {0};
	const struct cli_flag own[] = {
		{.name = "bills", .text = &flags.bills},
		{.name = "since", .text = &flags.since},
		{.name = "until", .text = &flags.until},
		{.name = "account", .text = &flags.account},
		{.name = "project", .text = &flags.projects},
		{.name = "key-id", .text = &flags.keys},
		{.name = "key-file", .text = &flags.key_file},
		{.name = "base-url", .text = &flags.base_url},
		{.name = "ca-file", .text = &flags.ca_file},
		{.name = "where", .text = &flags.where},
		{.name = "by", .text = &flags.by},
		{.name = "ledger", .list = &flags.ledgers},
		{.name = "add", .boolean = &flags.add},
		{.name = "replace", .boolean = &flags.replace},
		{.name = "all-hosts", .boolean = &flags.all_hosts},
		{.name = "drift", .boolean = &flags.drift},
		{.name = NULL},
	};
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	rc = check_flags(&config, &flags);
	return rc == EXIT_OK ? dispatch(&config, &flags, argc, argv) : rc;
}
