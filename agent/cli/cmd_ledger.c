/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap ledger: check, copy and mend a ledger, while an agent records in it or not. */
#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "agent/cli/progress.h"
#include "agent/cli/query_flags.h"
#include "exporter/amend.h"
#include "exporter/backup.h"
#include "exporter/rollup.h"
#include "exporter/verify.h"

#include <errno.h>

static void help(void)
{
	printf("usage: tolltap ledger verify\n"
	       "       tolltap ledger backup FILE\n"
	       "       tolltap ledger rebuild\n\n"
	       "verify   makes every kept sum again from what it is a sum of, and compares every\n"
	       "         closed month with what it was closed with; exits with 1 when one differs\n"
	       "backup   writes one moment of the ledger into a new file, without free pages;\n"
	       "         read it with --storage.path=DIR when it is DIR/ledger.db\n"
	       "rebuild  sums the hourly roll-ups anew from the calls\n\n"
	       "flags:\n");
	config_help("ledger");
}

/* ---- verify ------------------------------------------------------------------------------ */

static const struct output_column findings[] = {
	{"check", OUTPUT_LEFT},
	{"ok", OUTPUT_LEFT},
	{"detail", OUTPUT_LEFT},
};

static void print_finding(void *user, const struct verify_finding *finding)
{
	struct output *o = user;

	output_text(o, finding->what);
	output_bool(o, finding->ok);
	output_text(o, finding->detail);
	output_row(o);
}

static int ledger_verify(const struct config *config)
{
	_cleanup_(query_closep) struct query *q = NULL;
	enum output_form form;
	struct output *out;
	int r, wrong, written, rc;

	if (!output_form_parse(config->output, &form))
		return cli_fail(EXIT_USAGE, "ledger", "--output: table, json or csv");
	rc = query_flags_open(&q, "ledger", config->storage_path);
	if (rc != EXIT_OK)
		return rc;
	if (output_new(&out, stdout, form, findings, ARRAY_LEN(findings)))
		return cli_fail(EXIT_FAILED, "ledger", "no memory");
	r = verify_ledger(q, print_finding, out, &wrong);
	written = output_end(out);
	if (r)
		return cli_fail(EXIT_STORAGE, "ledger", "%s", query_error(q));
	if (written && written != -EPIPE)
		return cli_fail(EXIT_FAILED, "ledger", "cannot write: %s", strerror(-written));
	if (wrong)
		return cli_fail(EXIT_FAILED, "ledger", "%d of the checks failed", wrong);
	return EXIT_OK;
}

/* ---- backup ------------------------------------------------------------------------------ */

static void show_bytes(int64_t bytes)
{
	progress_show("copying", bytes >> 20, 0, "MiB");
}

static int ledger_backup(const struct config *config, const char *path)
{
	_cleanup_(query_closep) struct query *q = NULL;
	char err[QUERY_ERROR_MAX];
	int64_t bytes;
	int r, rc = query_flags_open(&q, "ledger", config->storage_path);

	if (rc != EXIT_OK)
		return rc;
	r = backup_ledger(q, path, &bytes, show_bytes, err, sizeof(err));
	progress_end();
	if (r)
		return cli_fail(r == -EEXIST ? EXIT_USAGE : EXIT_STORAGE, "ledger", "%s", err);
	printf("%s: %lld bytes\n", path, (long long)bytes);
	return EXIT_OK;
}

/* ---- rebuild ----------------------------------------------------------------------------- */

static void show_hours(int64_t done, int64_t all)
{
	progress_show("summing", done, all, "hours");
}

static int ledger_rebuild(const struct config *config)
{
	char err[QUERY_ERROR_MAX];
	struct sqlite3 *db = NULL;
	int r = amend_open(&db, config->storage_path, err, sizeof(err));

	if (r == 0 && rollup_rebuild(db, show_hours))
		r = amend_fail(db, err, sizeof(err));
	progress_end();
	amend_close(db);
	if (r)
		return cli_fail(r == -EACCES ? EXIT_PRIVILEGE : EXIT_STORAGE, "ledger", "%s", err);
	printf("the roll-ups are the sums of their calls\n");
	return EXIT_OK;
}

int cmd_ledger(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	int rc = cli_begin(&config, &argc, argv, NULL, help);
	const char *what;

	if (rc != CLI_GO_ON)
		return rc;
	what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "verify") && argc == 2)
		return ledger_verify(&config);
	if (!strcmp(what, "backup") && argc == 3)
		return ledger_backup(&config, argv[2]);
	if (!strcmp(what, "rebuild") && argc == 2)
		return ledger_rebuild(&config);
	return cli_fail(EXIT_USAGE, "ledger",
			"write: tolltap ledger verify | backup FILE | rebuild");
}
