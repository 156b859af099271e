/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap bill pull: the reports of one provider's billing API into the store. */
#include "agent/cli/bill.h"

#include "agent/cli/output.h"
#include "agent/cli/progress.h"
#include "exporter/bills/pull.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct output_column columns[] = {
	{"provider", OUTPUT_LEFT},  {"report", OUTPUT_LEFT},	  {"from", OUTPUT_LEFT},
	{"to", OUTPUT_LEFT},	    {"pages", OUTPUT_RIGHT},	  {"rows", OUTPUT_RIGHT},
	{"replaced", OUTPUT_RIGHT}, {"resumed_at", OUTPUT_RIGHT},
};

/* ---- the key ----------------------------------------------------------------------------- */

/* The file that holds the key, by the strongest source; false when none is named. */
static bool key_path(const struct config *config, const struct bill_flags *flags,
		     const struct bill_api *api, char path[PATH_MAX])
{
	const char *configured = !strcmp(api->provider, "openai") ? config->bill_openai_key_file
								  : config->bill_anthropic_key_file;
	const char *credentials = secure_getenv("CREDENTIALS_DIRECTORY");

	if (flags->key_file || configured)
		snprintf(path, PATH_MAX, "%s", flags->key_file ? flags->key_file : configured);
	else if (credentials)
		snprintf(path, PATH_MAX, "%s/%s", credentials, api->credential);
	return flags->key_file || configured || credentials;
}

static int read_key(const struct config *config, const struct bill_flags *flags,
		    const struct bill_api *api, struct bill_key *key)
{
	char path[PATH_MAX], err[BILL_ERROR_MAX];
	int r;

	if (!key_path(config, flags, api, path))
		return cli_fail(EXIT_USAGE, "bill",
				"pull: no key; name the file that holds %s with --key-file=FILE or "
				"bill.%s-key-file, or pass the systemd credential %s",
				api->key_kind, api->provider, api->credential);
	r = bill_key_read(key, path, err, sizeof(err));
	if (r == 0)
		return EXIT_OK;
	return cli_fail(r == -EBADMSG ? EXIT_CONFIG : EXIT_PRIVILEGE, "bill", "pull: %s", err);
}

/* ---- progress: on a terminal only -------------------------------------------------------- */

static void show_pages(void *user, const struct bill_report *report, int64_t pages, int64_t rows)
{
	(void)user;
	(void)rows;
	progress_show(report->name, pages, 0, "pages");
}

/* A line of its own: the provider may have asked for minutes. */
static void show_wait(void *user, int ms, const char *why)
{
	(void)user;
	progress_end();
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s; again in %d.%d s\n", why, ms / 1000, ms / 100 % 10);
}

/* ---- reports ----------------------------------------------------------------------------- */

static void print_pulled(struct output *o, const struct bill_pulled *done)
{
	char day[BILL_DAY_TEXT_MAX];

	output_text(o, done->head.provider);
	output_text(o, done->head.report);
	output_text(o, bill_day_text(day, bill_day(done->head.from_s)));
	output_text(o, bill_day_text(day, bill_day(done->head.to_s)));
	output_int(o, done->pages);
	output_int(o, done->rows);
	output_int(o, done->replaced);
	output_int(o, done->resumed_at);
	output_row(o);
}

/* A failed report: what was fetched of it is kept. */
static int pull_failed(const struct bill_report *report, int r, const char *err)
{
	bool again = r == -EAGAIN || r == -EBADMSG;

	progress_end();
	return cli_fail(r == -EBUSY || r == -EIO || r == -ENOSPC ? EXIT_STORAGE : EXIT_FAILED,
			"bill", "pull: %s: %s%s", report->name, err,
			again ? "; run the same command again, it goes on where this one stopped"
			      : "");
}

static int pull_report(struct bill_pull *pull, struct output *o)
{
	const struct bill_report *report = pull->report;
	struct bill_pulled done;
	char err[BILL_ERROR_MAX] = "";
	int r;

	if (*pull->keys && !report->has_keys) {
		fprintf(stderr,
			"tolltap bill: pull: %s of %s know no API keys, so --key-id leaves them "
			"out\n",
			report->name, report->provider);
		return EXIT_OK;
	}
	r = bill_pull(pull, &done, err, sizeof(err));
	if (r == -ENOENT && !report->is_money) {
		progress_end();
		fprintf(stderr, "tolltap bill: pull: %s: %s; left out\n", report->name, err);
		return EXIT_OK;
	}
	if (r)
		return pull_failed(report, r, err);
	progress_end();
	print_pulled(o, &done);
	return EXIT_OK;
}

static int pull_all(struct bill_pull *pull, const char *provider, enum output_form form)
{
	struct output *o;
	int rc = EXIT_OK, end;

	if (output_new(&o, stdout, form, columns, ARRAY_LEN(columns)))
		return cli_fail(EXIT_FAILED, "bill", "no memory");
	for (const struct bill_report *r = bill_reports; r->name && rc == EXIT_OK; r++) {
		pull->report = r;
		if (!strcmp(r->provider, provider))
			rc = pull_report(pull, o);
	}
	end = bill_end(o);
	return rc == EXIT_OK ? end : rc;
}

static void fetcher_freep(struct bill_fetcher **f)
{
	bill_fetcher_free(*f);
}

static int pull_with(const struct config *config, const struct bill_flags *flags,
		     const struct bill_api *api, struct bill_pull *pull)
{
	_cleanup_(bill_store_closep) struct bill_store *store = NULL;
	_cleanup_(fetcher_freep) struct bill_fetcher *fetcher = NULL;
	_cleanup_(bill_key_wipe) struct bill_key key = {{0}};
	char err[BILL_ERROR_MAX];
	int rc = read_key(config, flags, api, &key);

	if (rc == EXIT_OK)
		rc = bill_open(&store, config, flags, true);
	if (rc != EXIT_OK)
		return rc;
	if (bill_fetcher_new(&fetcher, api, flags->base_url, flags->ca_file, &key, show_wait, NULL,
			     err, sizeof(err)))
		return cli_fail(EXIT_FAILED, "bill", "pull: %s", err);
	bill_key_wipe(&key);
	pull->store = store;
	pull->fetcher = fetcher;
	return pull_all(pull, api->provider, bill_form(config));
}

int bill_cmd_pull(const struct config *config, const struct bill_flags *flags, int argc,
		  char **argv)
{
	const struct bill_api *api = argc == 2 ? bill_api_find(argv[1]) : NULL;
	struct bill_pull pull = {
		.account = flags->account ? flags->account : "",
		.projects = flags->projects ? flags->projects : "",
		.keys = flags->keys ? flags->keys : "",
		.progress = show_pages,
	};
	int rc;

	if (!api)
		return cli_fail(EXIT_USAGE, "bill", "pull: of which provider? one of: %s",
				bill_api_names());
	if (flags->base_url && !bill_url_allowed(flags->base_url))
		return cli_fail(EXIT_USAGE, "bill",
				"--base-url: https://HOST, or http:// on this machine "
				"(127.0.0.1, localhost); the key goes there");
	rc = bill_days(flags, &pull.from_s, &pull.to_s);
	if (rc != EXIT_OK)
		return rc;
	/* The key in memory is for no core file and no debugger of the same user. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	return pull_with(config, flags, api, &pull);
}
