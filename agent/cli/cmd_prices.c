/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap prices: look into the price table, check it, compare two, add to prices.d. */
#include "agent/cli/prices.h"

#include "agent/cli/flags.h"
#include "agent/cli/output.h"

#include <errno.h>

static void help(void)
{
	printf("usage: tolltap prices list [--provider=P]\n"
	       "       tolltap prices show MODEL [--provider=P]\n"
	       "       tolltap prices check FILE\n"
	       "       tolltap prices diff A B\n"
	       "       tolltap prices add PROVIDER [MODEL] KEY=VALUE...\n"
	       "       tolltap prices import litellm|genai-prices FILE\n\n"
	       "Prices are US dollars per unit, exact. `add` writes a row to local.json in "
	       "--prices.dir:\nKEY is a price (input, output, ...), factor, from, to, host, "
	       "account, project,\nkey_fingerprint or reason. `import` prints our form on "
	       "stdout.\n");
	config_help("prices");
}

enum output_form prices_form(const struct config *config)
{
	enum output_form form = OUTPUT_TABLE;

	(void)output_form_parse(config->output, &form);
	return form;
}

int prices_end(struct output *o)
{
	int rc = output_end(o);

	if (rc)
		return cli_fail(EXIT_FAILED, "prices", "output: %s", strerror(-rc));
	return EXIT_OK;
}

/* The table in force, or one line on stderr and the exit code. */
static int load(const struct config *config, struct catalog **out)
{
	char err[CATALOG_ERROR_MAX];

	if (!config->prices_file)
		return cli_fail(EXIT_CONFIG, "prices",
				"no price table found; give --prices.file=FILE");
	if (catalog_load(out, config->prices_file, config->prices_dir, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "prices", "%s", err);
	return EXIT_OK;
}

/* --- list --------------------------------------------------------------------------------- */

static const struct output_column list_columns[] = {
	{"provider", OUTPUT_LEFT},
	{"model", OUTPUT_LEFT},
	{"from", OUTPUT_LEFT},
	{"to", OUTPUT_LEFT},
	{"input", OUTPUT_RIGHT},
	{"cache_read", OUTPUT_RIGHT},
	{"cache_write_5m", OUTPUT_RIGHT},
	{"cache_write_1h", OUTPUT_RIGHT},
	{"output", OUTPUT_RIGHT},
	{"tiers", OUTPUT_LEFT},
};

#define LIST_FACTS  4 /* provider, model, from, to */
#define LIST_PRICES 5

/* The row being filled: views of one model and period come one after the other. */
struct list {
	struct output *out;
	struct price_view row;
	char amount[LIST_PRICES][PUSD_TEXT_MAX];
	char tiers[128];
	bool open;
};

static void list_flush(struct list *l)
{
	if (!l->open)
		return;
	output_text(l->out, l->row.provider);
	output_text(l->out, l->row.model);
	output_text(l->out, l->row.from);
	output_text(l->out, l->row.to);
	for (int i = 0; i < LIST_PRICES; i++)
		output_text(l->out, l->amount[i]);
	output_text(l->out, l->tiers);
	output_row(l->out);
}

static void list_tier(struct list *l, const struct price_view *view)
{
	size_t used = strlen(l->tiers), n = strlen(view->tier);
	const char *last = strrchr(l->tiers, ' ');

	if (!strcmp(last ? last + 1 : l->tiers, view->tier) || used + n + 2 > sizeof(l->tiers))
		return;
	snprintf(l->tiers + used, sizeof(l->tiers) - used, "%s%s", used ? " " : "", view->tier);
}

static void list_view(void *user, const struct price_view *view)
{
	struct list *l = user;

	if (!l->open || l->row.model != view->model || l->row.from != view->from) {
		list_flush(l);
		l->row = *view;
		memset(l->amount, 0, sizeof(l->amount));
		l->tiers[0] = '\0';
		l->open = true;
	}
	if (view->tier[0]) {
		list_tier(l, view);
		return;
	}
	for (int i = 0; i < LIST_PRICES && !view->above; i++) {
		if (!strcmp(list_columns[LIST_FACTS + i].name, view->kind))
			snprintf(l->amount[i], sizeof(l->amount[i]), "%s", view->amount);
	}
}

static int prices_list(const struct config *config, const char *provider)
{
	struct list l = {.open = false};
	struct catalog *c;
	int rc = load(config, &c);

	if (rc)
		return rc;
	if (output_new(&l.out, stdout, prices_form(config), list_columns,
		       ARRAY_LEN(list_columns))) {
		catalog_free(c);
		return cli_fail(EXIT_FAILED, "prices", "out of memory");
	}
	if (!catalog_each_price(c, provider, NULL, list_view, &l) && provider)
		rc = cli_fail(EXIT_FAILED, "prices", "no provider \"%s\" in %s", provider,
			      config->prices_file);
	list_flush(&l);
	if (prices_end(l.out))
		rc = EXIT_FAILED;
	catalog_free(c);
	return rc;
}

/* --- show --------------------------------------------------------------------------------- */

static const struct output_column show_columns[] = {
	{"provider", OUTPUT_LEFT}, {"model", OUTPUT_LEFT},   {"from", OUTPUT_LEFT},
	{"to", OUTPUT_LEFT},	   {"tier", OUTPUT_LEFT},    {"above_tokens", OUTPUT_RIGHT},
	{"price", OUTPUT_LEFT},	   {"usd", OUTPUT_RIGHT},    {"per", OUTPUT_LEFT},
	{"source", OUTPUT_LEFT},   {"checked", OUTPUT_LEFT},
};

struct show {
	struct output *out;
	const struct catalog *catalog;
	const char *provider;
};

static void show_view(void *user, const struct price_view *view)
{
	struct output *o = ((struct show *)user)->out;

	output_text(o, view->provider);
	output_text(o, view->model);
	output_text(o, view->from);
	output_text(o, view->to);
	output_text(o, view->tier);
	if (view->above)
		output_int(o, view->above);
	else
		output_null(o);
	output_text(o, view->kind);
	output_text(o, view->amount);
	output_text(o, view->unit);
	output_text(o, view->source);
	output_text(o, view->checked);
	output_row(o);
}

static void show_model(void *user, const char *provider, const char *id)
{
	struct show *s = user;

	if (!s->provider || !strcmp(s->provider, provider))
		(void)catalog_each_price(s->catalog, provider, id, show_view, s);
}

static void count_model(void *user, const char *provider, const char *id)
{
	struct show *s = user;

	(void)id;
	if (s->provider && !strcmp(s->provider, provider))
		s->provider = NULL;
}

/* Is there such a model at all (of that provider, when one is asked for)? */
static bool known(const struct catalog *c, const char *name, const char *provider)
{
	struct show wanted = {.provider = provider};
	size_t n = catalog_each_model(c, name, count_model, &wanted);

	return n > 0 && !wanted.provider;
}

static int prices_show(const struct config *config, const char *name, const char *provider)
{
	struct show s = {.provider = provider};
	struct catalog *c;
	int rc = load(config, &c);

	if (rc)
		return rc;
	s.catalog = c;
	if (!known(c, name, provider)) {
		catalog_free(c);
		return cli_fail(EXIT_FAILED, "prices",
				"no model \"%s\"; names must match exactly, see: tolltap prices "
				"list",
				name);
	}
	if (output_new(&s.out, stdout, prices_form(config), show_columns,
		       ARRAY_LEN(show_columns))) {
		catalog_free(c);
		return cli_fail(EXIT_FAILED, "prices", "out of memory");
	}
	(void)catalog_each_model(c, name, show_model, &s);
	rc = prices_end(s.out);
	catalog_free(c);
	return rc;
}

/* --- check, import ------------------------------------------------------------------------ */

static int prices_check(const struct config *config, const char *path)
{
	char err[CATALOG_ERROR_MAX];

	if (catalog_check(path, config->prices_file ? config->prices_file : path, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "prices", "%s", err);
	printf("%s: in order\n", path);
	return EXIT_OK;
}

static int prices_import(const char *form, const char *path)
{
	char err[CATALOG_ERROR_MAX];
	size_t left_out;

	if (catalog_import(form, path, stdout, &left_out, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "prices", "%s", err);
	if (left_out)
		fprintf(stderr,
			"tolltap prices: %zu prices left out: no such unit here, a slip of it, "
			"more digits than a price has, or a name that stands twice\n",
			left_out);
	return EXIT_OK;
}

/* --- dispatch ----------------------------------------------------------------------------- */

static int dispatch(const struct config *config, const char *provider, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "list") && argc == 2)
		return prices_list(config, provider);
	if (!strcmp(what, "show") && argc == 3)
		return prices_show(config, argv[2], provider);
	if (!strcmp(what, "check") && argc == 3)
		return prices_check(config, argv[2]);
	if (!strcmp(what, "diff") && argc == 4)
		return prices_diff(config, argc - 2, argv + 2);
	if (!strcmp(what, "add") && argc > 3)
		return prices_add(config, argc - 2, argv + 2);
	if (!strcmp(what, "import") && argc == 4)
		return prices_import(argv[2], argv[3]);
	return cli_fail(EXIT_USAGE, "prices",
			"write: tolltap prices list | show MODEL | check FILE | diff A B | add "
			"PROVIDER [MODEL] KEY=VALUE... | import FORM FILE");
}

int cmd_prices(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	const char *provider = NULL;
	const struct cli_flag own[] = {
		{.name = "provider", .text = &provider},
		{.name = NULL},
	};
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	return dispatch(&config, provider, argc, argv);
}
