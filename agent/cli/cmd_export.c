/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap export: the ledger's records for other programs, other ledgers, and finance. */
#include "agent/cli/export.h"
#include "agent/cli/flags.h"
#include "agent/cli/out_file.h"
#include "agent/cli/query_flags.h"
#include "pricing/catalog.h"

#include <errno.h>

static void help(void)
{
	printf("usage: tolltap export --format=focus-csv|csv|jsonl [flags]\n\n"
	       "Writes what the ledger holds to stdout, or to a file.\n"
	       "  focus-csv  FOCUS 1.2: one row per hour, meter and attribution, for finance\n"
	       "  csv        one row per call, with every column the ledger keeps\n"
	       "  jsonl      the same as JSON lines, and all else another ledger needs: what\n"
	       "             --ledger reads back, without loss\n\n"
	       "flags:\n"
	       "  --format=FORM\n"
	       "  --out=FILE     into this file instead, which appears when it is complete;\n"
	       "                 a pipe or a device is written as it comes\n" QUERY_FLAGS_HELP
		       QUERY_LEDGER_HELP);
	config_help("export");
}

static const struct {
	const char *name;
	int (*write)(struct export *e, bool *query_failed);
	bool prices;
} forms[] = {
	{"focus-csv", export_focus, true},
	{"csv", export_csv, false},
	{"jsonl", export_jsonl, false},
};

/* ---- the command ------------------------------------------------------------------------- */

/* What the rows cannot say for themselves, since FOCUS knows no cost that is not known. */
static void tell_doubts(struct export *e)
{
	struct query_losses lost;

	if (e->doubts.unknown)
		fprintf(stderr,
			"tolltap export: the cost of %lld calls is not known; their rows have cost "
			"0 and x_CostState unknown\n",
			(long long)e->doubts.unknown);
	if (e->doubts.doubted)
		fprintf(stderr,
			"tolltap export: the cost of %lld calls is a lower bound or an estimate; "
			"see "
			"x_CostState\n",
			(long long)e->doubts.doubted);
	if (query_losses(e->q, e->filter->since_us, e->filter->until_us, &lost) == 0 &&
	    lost.occasions)
		fprintf(stderr,
			"tolltap export: %lld calls were lost and %lld s not metered in this time "
			"(tolltap doctor)\n",
			(long long)lost.calls, (long long)lost.unmetered_seconds);
}

static int write_form(struct export *e, size_t form, const char *path)
{
	bool query_failed = false;
	struct out_file out;
	int r, rc;

	/* A pipe may wait for its reader: the ledger is held after that. */
	rc = out_file_open(&out, "export", path);
	if (rc != EXIT_OK)
		return rc;
	if (query_hold(e->q))
		return out_file_end(&out, "export",
				    cli_fail(EXIT_STORAGE, "export", "%s", query_error(e->q)));
	e->stream = out.stream;
	r = forms[form].write(e, &query_failed);
	progress_end();
	if (r && query_failed)
		rc = cli_fail(EXIT_STORAGE, "export", "%s", query_error(e->q));
	else if (r && r != -EPIPE)
		rc = cli_fail(EXIT_FAILED, "export", "cannot write: %s", strerror(-r));
	rc = out_file_end(&out, "export", rc);
	if (rc == EXIT_OK)
		tell_doubts(e);
	return rc;
}

static int with_prices(struct export *e, size_t form, const char *path, const struct config *config)
{
	struct catalog *prices = NULL;
	char err[CATALOG_ERROR_MAX];
	int rc;

	if (forms[form].prices &&
	    catalog_load(&prices, config->prices_file, config->prices_dir, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "export", "%s", err);
	e->prices = prices;
	rc = write_form(e, form, path);
	catalog_free(prices);
	return rc;
}

static bool form_parse(const char *name, size_t *form)
{
	for (size_t i = 0; name && i < ARRAY_LEN(forms); i++) {
		if (!strcmp(forms[i].name, name)) {
			*form = i;
			return true;
		}
	}
	return false;
}

int cmd_export(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	_cleanup_(query_closep) struct query *q = NULL;
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	const char *format = NULL, *path = NULL;
	const struct cli_flag own[] = {
		{.name = "format", .text = &format},
		{.name = "out", .text = &path},
		{.name = "since", .text = &shared.since},
		{.name = "until", .text = &shared.until},
		{.name = "where", .text = &shared.where},
		{.name = "timezone", .text = &shared.timezone},
		{.name = "ledger", .list = &shared.ledgers},
		{.name = NULL},
	};
	struct export e = {.filter = &filter};
	size_t form = 0;
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc > 1)
		return cli_fail(EXIT_USAGE, "export", "takes no operand '%.60s'", argv[1]);
	if (!form_parse(format, &form))
		return cli_fail(EXIT_USAGE, "export", "--format: focus-csv, csv or jsonl");
	rc = query_flags_zone(&shared, "export", &config);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, "export", &filter);
	if (rc == EXIT_OK)
		rc = query_flags_open_many(&q, "export", &shared, &filter, config.storage_path);
	e.q = q;
	return rc == EXIT_OK ? with_prices(&e, form, path, &config) : rc;
}
