/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/demo_data.h"

#include "agent/cli/demo_bills.h"
#include "agent/cli/demo_calls.h"
#include "agent/cli/output.h"
#include "exporter/bulk.h"
#include "exporter/ledger.h"
#include "exporter/query.h"
#include "exporter/text.h"
#include "pricing/catalog.h"

#include <errno.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#define DAY_US		 86400000000LL
#define DEFAULT_DIR	 "tolltap-demo"
#define DEFAULT_ROWS	 20000
#define DEFAULT_UNTIL	 "2026-11-01" /* fixed, so that all have the same figures */
#define DEMO_HOST	 "demo-host"
#define DAY_CHARACTERS	 10
#define MONTH_CHARACTERS 7
#define PROGRESS_ROWS	 50000

struct data {
	const char *dir;
	char path[PATH_MAX]; /* of dir, for other working directories */
	uint64_t rows;
	int64_t until_us;
	struct catalog *catalog;
	struct demo_bills *bills;
	enum output_form form;
};

/* ---- what is asked for ------------------------------------------------------------------- */

static int read_flags(struct data *d, const struct config *config,
		      const struct demo_data_flags *flags)
{
	char *end = NULL;

	d->dir = config_source_of(config, "storage.path") == CONFIG_FLAG ? config->storage_path
									 : DEFAULT_DIR;
	d->rows = flags->rows ? strtoull(flags->rows, &end, 10) : DEFAULT_ROWS;
	if ((end && (*end || end == flags->rows)) || d->rows < 1 || d->rows > DEMO_ROWS_MAX)
		return cli_fail(EXIT_USAGE, "demo", "--rows: write a number from 1 to %d",
				DEMO_ROWS_MAX);
	if (!query_time_parse(flags->until ? flags->until : DEFAULT_UNTIL, 0, &d->until_us) ||
	    d->until_us % DAY_US || d->until_us < DEMO_DAYS * DAY_US)
		return cli_fail(EXIT_USAGE, "demo",
				"--until: '%.60s' is no day; write 2026-11-01, the day after the "
				"last",
				flags->until);
	if (!config->prices_file)
		return cli_fail(EXIT_CONFIG, "demo", "no price catalogue; give --prices.file=FILE");
	if (!output_form_parse(config->output, &d->form))
		return cli_fail(EXIT_USAGE, "demo", "--output: table, json or csv");
	return EXIT_OK;
}

/* ---- the ledger -------------------------------------------------------------------------- */

static void show_progress(uint64_t done, uint64_t rows)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (done == rows)
		fprintf(stderr, "\r\033[K");
	else if (done % PROGRESS_ROWS == 0)
		fprintf(stderr, "\r%3llu %% of %llu calls", (unsigned long long)(100 * done / rows),
			(unsigned long long)rows);
}

static int write_calls(struct data *d, struct bulk *bulk, char *err, size_t err_size)
{
	struct demo_calls *calls = demo_calls_new(d->rows, d->until_us);
	struct call call;
	uint64_t done = 0;
	int r = 0;

	while (r == 0 && calls && demo_calls_next(calls, &call)) {
		price_call(d->catalog, &call);
		demo_bills_add(d->bills, &call);
		r = bulk_add(bulk, &call, err, err_size);
		show_progress(++done, d->rows);
	}
	if (r == 0 && done != d->rows) {
		snprintf(err, err_size, "no memory for the calls");
		r = -ENOMEM;
	}
	demo_calls_free(calls);
	return r;
}

static int write_ledger(struct data *d)
{
	char err[LEDGER_ERROR_MAX], err_close[LEDGER_ERROR_MAX];
	struct bulk *bulk;
	int r = bulk_open(&bulk, d->dir, err, sizeof(err)), r_close;

	if (r)
		return cli_fail(EXIT_STORAGE, "demo", "%s", err);
	r = write_calls(d, bulk, err, sizeof(err));
	if (r == 0)
		r = bulk_run(bulk, DEMO_HOST, d->until_us - DEMO_DAYS * DAY_US, d->until_us, err,
			     sizeof(err));
	r_close = bulk_close(bulk, err_close, sizeof(err_close));
	if (r || r_close)
		return cli_fail(EXIT_STORAGE, "demo", "%s; remove %s", r ? err : err_close, d->dir);
	return EXIT_OK;
}

/* ---- the files beside it ----------------------------------------------------------------- */

static FILE *create(const struct data *d, const char *name, const char *detail)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s%s", d->dir, name, detail);

	return n > 0 && (size_t)n < sizeof(path) ? fopen(path, "wxe") : NULL;
}

/* What fopen, or a write, said. */
static int finish(FILE *f, const char *what)
{
	int rc = f ? (ferror(f) ? EIO : 0) : errno;

	if (f && fclose(f) && !rc)
		rc = errno;
	return rc ? cli_fail(EXIT_STORAGE, "demo", "cannot write %s: %s", what, strerror(rc))
		  : EXIT_OK;
}

static int write_bills(struct data *d)
{
	const char *provider;
	int code = EXIT_OK;

	for (size_t i = 0; code == EXIT_OK && (provider = demo_bill_provider(i)); i++) {
		char name[64];
		FILE *f;

		snprintf(name, sizeof(name), "%s.csv", provider);
		f = create(d, "bill-", name);
		if (f)
			demo_bill_write(d->bills, provider, f);
		code = finish(f, name);
	}
	return code;
}

/* JSON's strings are YAML's. */
static int write_config(struct data *d)
{
	struct text text = TEXT_INIT(64u << 10);
	FILE *f = create(d, "tolltap.yaml", "");
	const struct key_name *key;

	text_puts(&text, "storage.path: ");
	text_json_string(&text, slice_of(d->path));
	text_puts(&text, "\nkeys:\n");
	for (size_t i = 0; (key = demo_key(i)); i++)
		text_printf(&text,
			    "  - fingerprint: \"%s\"\n    name: %s\n    owner: %s\n"
			    "    provider: %s\n    key_id: %s\n",
			    key->fingerprint, key->name, key->owner, key->provider, key->key_id);
	if (f && text_cstr(&text))
		fputs(text.ptr, f);
	text_free(&text);
	return finish(f, "tolltap.yaml");
}

static int print_planted(const struct data *d, FILE *stream, enum output_form form)
{
	static const struct output_column columns[] = {
		{"provider", OUTPUT_LEFT}, {"model", OUTPUT_LEFT}, {"from", OUTPUT_LEFT},
		{"to", OUTPUT_LEFT},	   {"what", OUTPUT_LEFT},  {"amount_usd", OUTPUT_RIGHT},
	};
	struct demo_planted planted;
	char usd[PUSD_TEXT_MAX];
	struct output *o;

	if (output_new(&o, stream, form, columns, ARRAY_LEN(columns)))
		return ENOMEM;
	for (size_t i = 0; demo_bill_planted(d->bills, i, &planted); i++) {
		output_text(o, planted.provider);
		output_text(o, planted.model);
		output_text(o, planted.from);
		output_text(o, planted.to);
		output_text(o, planted.what);
		output_text(o, pusd_format(usd, planted.amount));
		output_row(o);
	}
	return -output_end(o);
}

static int write_planted(const struct data *d)
{
	FILE *f = create(d, "planted.csv", "");

	if (f)
		(void)print_planted(d, f, OUTPUT_CSV); /* ferror tells */
	return finish(f, "planted.csv");
}

/* ---- what to do with it ------------------------------------------------------------------ */

/* Behind "tolltap", shown where this program has the command. Letters behind % are print_hint's. */
static const struct hint {
	const char *command;
	const char *words;
} hints[] = {
	{"spend", "spend --config.file=%d/tolltap.yaml --by=tag:team,model"},
	{"spend", "spend --config.file=%d/tolltap.yaml --by=key_owner,key"},
	{"spend", "spend --config.file=%d/tolltap.yaml --by=day"},
	{"forecast", "forecast --config.file=%d/tolltap.yaml --at=%l"},
	{"whatif", "whatif --config.file=%d/tolltap.yaml --from=gpt-5 --to=gpt-5-mini "
		   "--to-provider=openai"},
	{"bill", "bill import %d/bill-openai.csv --config.file=%d/tolltap.yaml"},
	{"bill", "bill import %d/bill-anthropic.csv --config.file=%d/tolltap.yaml"},
	{"bill", "bill reconcile --config.file=%d/tolltap.yaml --since=%f --until=%u --all-hosts "
		 "--by=provider,model --drift"},
	{"period", "period close %m --config.file=%d/tolltap.yaml"},
};

static bool has_command(const char *name)
{
	for (const struct command *c = commands; c->name; c++) {
		if (!strcmp(c->name, name))
			return true;
	}
	return false;
}

/* "2026-10-22", or its first characters. */
static void print_day(int64_t us, int characters)
{
	time_t at = (time_t)(us / 1000000);
	char text[16];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%d", gmtime_r(&at, &tm));
	printf("%.*s", characters, text);
}

/* One letter: the directory, the first day, that after the last, one ten days before it, the last
 * month. */
static void print_word(char letter, const struct data *d)
{
	switch (letter) {
	case 'd':
		fputs(d->dir, stdout);
		break;
	case 'f':
		print_day(d->until_us - DEMO_DAYS * DAY_US, DAY_CHARACTERS);
		break;
	case 'u':
		print_day(d->until_us, DAY_CHARACTERS);
		break;
	case 'l':
		print_day(d->until_us - 10 * DAY_US, DAY_CHARACTERS);
		break;
	case 'm':
		print_day(d->until_us - 1, MONTH_CHARACTERS);
		break;
	}
}

static void print_hint(const char *words, const struct data *d)
{
	const char *place;

	printf("  tolltap ");
	while ((place = strchr(words, '%'))) {
		printf("%.*s", (int)(place - words), words);
		print_word(place[1], d);
		words = place + 2;
	}
	printf("%s\n", words);
}

static int tell(const struct data *d)
{
	int rc;

	if (d->form == OUTPUT_TABLE)
		printf("%llu calls of %d days are in %s, two bills and the names of the keys "
		       "beside "
		       "them.\nPlanted into the bills:\n\n",
		       (unsigned long long)d->rows, DEMO_DAYS, d->dir);
	rc = print_planted(d, stdout, d->form);
	if (rc)
		return cli_fail(EXIT_FAILED, "demo", "cannot write: %s", strerror(rc));
	if (d->form != OUTPUT_TABLE)
		return EXIT_OK;
	printf("\nTry:\n");
	for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
		if (has_command(hints[i].command))
			print_hint(hints[i].words, d);
	}
	return EXIT_OK;
}

static int run(struct data *d, const struct config *config)
{
	char err[CATALOG_ERROR_MAX];
	int code;

	if (catalog_load(&d->catalog, config->prices_file, config->prices_dir, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "demo", "%s", err);
	d->bills = demo_bills_new(d->until_us);
	if (!d->bills)
		return cli_fail(EXIT_FAILED, "demo", "no memory");
	code = write_ledger(d);
	if (code == EXIT_OK && !realpath(d->dir, d->path))
		code = cli_fail(EXIT_STORAGE, "demo", "%s: %s", d->dir, strerror(errno));
	if (code == EXIT_OK)
		code = write_bills(d);
	if (code == EXIT_OK)
		code = write_config(d);
	if (code == EXIT_OK)
		code = write_planted(d);
	return code == EXIT_OK ? tell(d) : code;
}

int demo_data(const struct config *config, const struct demo_data_flags *flags)
{
	struct data d = {0};
	int code = read_flags(&d, config, flags);

	if (code == EXIT_OK)
		code = run(&d, config);
	demo_bills_free(d.bills);
	catalog_free(d.catalog);
	return code;
}
