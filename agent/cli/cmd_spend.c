/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap spend: who spent what, grouped by any recorded fact, with the exact total. */
#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "agent/cli/query_flags.h"
#include "exporter/text.h"

#include <errno.h>

#define DEFAULT_BY "model"

/* The facts as an indented block of short lines. */
static void print_facts(void)
{
	char known[1024], *rest = known, *name;
	size_t column = 0;

	query_key_list(known, sizeof(known));
	while ((name = strsep(&rest, " "))) {
		if (column == 0 || column + strlen(name) > 60) {
			printf("\n                ");
			column = 0;
		}
		column += (size_t)printf(" %s", name);
	}
	printf(" tag:NAME\n");
}

static void help(void)
{
	printf("usage: tolltap spend [--by=FACT,FACT...] [flags]\n\n"
	       "Sums the recorded calls by facts (default: " DEFAULT_BY "), dearest first, with "
	       "the total\nas last row. \"at least\": some calls cost more than is known; "
	       "\"about\": "
	       "some cost is\nestimated. Calls of a subscription cost 0; their list price is shown "
	       "beside, in no sum.\n\n"
	       "flags:\n"
	       "  --by=FACTS     at most %d of:",
	       QUERY_KEYS_MAX);
	print_facts();
	printf(QUERY_FLAGS_HELP);
	config_help("spend");
}

/* ---- columns ----------------------------------------------------------------------------- */

/* Columns of a row, behind the group's: forms as in events.c, one bit each. */
enum { J = 1, C = 2, T = 4, ALL = J | C | T };

struct spend_column {
	const char *name;
	unsigned forms;
	void (*emit)(struct output *o, const struct spend *spend, size_t arg);
	size_t arg;
};

static void emit_calls(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	output_int(o, s->calls);
}

static void emit_kind(struct output *o, const struct spend *s, size_t kind)
{
	output_int(o, s->tokens[kind]);
}

/* Kinds that stand together in the table. */
enum kind_group { KINDS_INPUT, KINDS_CACHE_READ, KINDS_CACHE_WRITE, KINDS_OUTPUT };

static void emit_kinds(struct output *o, const struct spend *s, size_t group)
{
	static const struct {
		enum kind_group group;
		enum token_kind kind;
	} members[] = {
		{KINDS_INPUT, TOKEN_INPUT_UNCACHED},
		{KINDS_INPUT, TOKEN_INPUT_AUDIO},
		{KINDS_INPUT, TOKEN_INPUT_IMAGE},
		{KINDS_CACHE_READ, TOKEN_INPUT_CACHE_READ},
		{KINDS_CACHE_WRITE, TOKEN_INPUT_CACHE_WRITE_5M},
		{KINDS_CACHE_WRITE, TOKEN_INPUT_CACHE_WRITE_1H},
		{KINDS_OUTPUT, TOKEN_OUTPUT_TEXT},
		{KINDS_OUTPUT, TOKEN_OUTPUT_REASONING},
		{KINDS_OUTPUT, TOKEN_OUTPUT_AUDIO},
		{KINDS_OUTPUT, TOKEN_OUTPUT_IMAGE},
	};
	int64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		if (members[i].group == group &&
		    __builtin_add_overflow(sum, s->tokens[members[i].kind], &sum))
			sum = INT64_MAX;
	}
	output_int(o, sum);
}

static void emit_counts(struct output *o, const char *const *names, const int64_t *counts, int n)
{
	struct text json = TEXT_INIT(OUTPUT_CELL_MAX);

	text_puts(&json, "{");
	for (int i = 0; i < n; i++) {
		if (counts[i])
			text_printf(&json, "%s\"%s\":%lld", json.len > 1 ? "," : "", names[i],
				    (long long)counts[i]);
	}
	text_puts(&json, "}");
	output_json(o, text_cstr(&json) ? json.ptr : "null");
	text_free(&json);
}

static void emit_tokens(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	emit_counts(o, token_kind_names, s->tokens, TOKEN_KINDS);
}

static void emit_tool_units(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	emit_counts(o, tool_unit_names, s->tool_units, TOOL_UNITS);
}

static void emit_calls_by_basis(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	emit_counts(o, basis_names, s->calls_by_basis, BASES);
}

static void emit_cost_by_basis(struct output *o, const struct spend *s, size_t arg)
{
	struct text json = TEXT_INIT(OUTPUT_CELL_MAX);
	char usd[PUSD_TEXT_MAX];

	(void)arg;
	text_puts(&json, "{");
	for (int i = 0; i < BASES; i++) {
		if (s->calls_by_basis[i])
			text_printf(&json, "%s\"%s\":\"%s\"", json.len > 1 ? "," : "",
				    basis_names[i], pusd_format(usd, s->cost_by_basis[i]));
	}
	text_puts(&json, "}");
	output_json(o, text_cstr(&json) ? json.ptr : "null");
	text_free(&json);
}

static void emit_cost(struct output *o, const struct spend *s, size_t arg)
{
	char usd[PUSD_TEXT_MAX];

	(void)arg;
	output_text(o, pusd_format(usd, s->cost));
}

static void emit_cost_shown(struct output *o, const struct spend *s, size_t arg)
{
	char usd[PUSD_TEXT_MAX], shown[PUSD_TEXT_MAX + 16];

	(void)arg;
	snprintf(shown, sizeof(shown), "%s%s", spend_prefix(s), pusd_format(usd, s->cost));
	output_text(o, shown);
}

static void emit_estimated(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	output_bool(o, s->estimated);
}

static void emit_at_least(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	output_bool(o, spend_is_at_least(s));
}

static void emit_basis_calls(struct output *o, const struct spend *s, size_t basis)
{
	output_int(o, s->calls_by_basis[basis]);
}

static void emit_subscription(struct output *o, const struct spend *s, size_t arg)
{
	char usd[PUSD_TEXT_MAX];

	(void)arg;
	output_text(o, pusd_format(usd, s->subscription_list));
}

static const struct spend_column columns[] = {
	{"calls", ALL, emit_calls, 0},
	{"tokens", J, emit_tokens, 0},
	{"input", T, emit_kinds, KINDS_INPUT},
	{"cache_read", T, emit_kinds, KINDS_CACHE_READ},
	{"cache_write", T, emit_kinds, KINDS_CACHE_WRITE},
	{"output", T, emit_kinds, KINDS_OUTPUT},
	{"input_uncached", C, emit_kind, TOKEN_INPUT_UNCACHED},
	{"input_cache_read", C, emit_kind, TOKEN_INPUT_CACHE_READ},
	{"input_cache_write_5m", C, emit_kind, TOKEN_INPUT_CACHE_WRITE_5M},
	{"input_cache_write_1h", C, emit_kind, TOKEN_INPUT_CACHE_WRITE_1H},
	{"input_audio", C, emit_kind, TOKEN_INPUT_AUDIO},
	{"input_image", C, emit_kind, TOKEN_INPUT_IMAGE},
	{"output_text", C, emit_kind, TOKEN_OUTPUT_TEXT},
	{"output_reasoning", C, emit_kind, TOKEN_OUTPUT_REASONING},
	{"output_audio", C, emit_kind, TOKEN_OUTPUT_AUDIO},
	{"output_image", C, emit_kind, TOKEN_OUTPUT_IMAGE},
	{"tool_units", J | C, emit_tool_units, 0},
	{"cost_usd", J | C, emit_cost, 0},
	{"cost_usd", T, emit_cost_shown, 0},
	{"at_least", J | C, emit_at_least, 0},
	{"estimated", J | C, emit_estimated, 0},
	{"cost_by_basis", J | C, emit_cost_by_basis, 0},
	{"calls_by_basis", J | C, emit_calls_by_basis, 0},
	{"calls_unpriced", J | C, emit_basis_calls, BASIS_UNPRICED},
	{"unpriced", T, emit_basis_calls, BASIS_UNPRICED},
	{"subscription_list_usd", ALL, emit_subscription, 0},
};

/* ---- printing ---------------------------------------------------------------------------- */

struct spend_print {
	struct query_key keys[QUERY_KEYS_MAX];
	size_t key_count;
	char names[QUERY_KEYS_MAX][TAG_KEY_MAX + 8];
	struct output_column heads[OUTPUT_COLUMNS_MAX];
	const struct spend_column *shown[OUTPUT_COLUMNS_MAX];
	size_t head_count; /* key_count, then the columns shown, then total */
	enum output_form form;
};

static void choose_columns(struct spend_print *p)
{
	static const unsigned form_bits[] = {
		[OUTPUT_TABLE] = T, [OUTPUT_JSON] = J, [OUTPUT_CSV] = C};

	for (size_t i = 0; i < p->key_count; i++) {
		query_key_name(&p->keys[i], p->names[i], sizeof(p->names[i]));
		p->heads[p->head_count++] = (struct output_column){p->names[i], OUTPUT_LEFT};
	}
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		if (!(columns[i].forms & form_bits[p->form]))
			continue;
		p->shown[p->head_count] = &columns[i];
		p->heads[p->head_count++] = (struct output_column){columns[i].name, OUTPUT_RIGHT};
	}
	if (p->form != OUTPUT_TABLE)
		p->heads[p->head_count++] = (struct output_column){"total", OUTPUT_LEFT};
}

static void print_spend(const struct spend_print *p, struct output *o, const struct spend *spend,
			bool total)
{
	for (size_t i = 0; i < p->key_count; i++) {
		if (!total)
			output_text(o, spend->group[i] ? spend->group[i] : QUERY_NONE);
		else
			output_text(o, p->form == OUTPUT_TABLE && i == 0 ? "TOTAL" : NULL);
	}
	for (size_t i = p->key_count; i < p->head_count && p->shown[i]; i++)
		p->shown[i]->emit(o, spend, p->shown[i]->arg);
	if (p->form != OUTPUT_TABLE)
		output_bool(o, total);
	if (total)
		output_row_emphasis(o);
	else
		output_row(o);
}

static int print_rows(struct spend_print *p, const struct spend *rows, size_t count,
		      const struct query_losses *lost)
{
	struct spend total = {.calls_lost = lost->occasions > 0};
	struct output *o;
	int r;

	choose_columns(p);
	if (output_new(&o, stdout, p->form, p->heads, p->head_count))
		return cli_fail(EXIT_FAILED, "spend", "no memory");
	for (size_t i = 0; i < count; i++) {
		if (p->key_count) /* without facts the total is the only row */
			print_spend(p, o, &rows[i], false);
		spend_add(&total, &rows[i]);
	}
	print_spend(p, o, &total, true);
	r = output_end(o);
	if (p->form == OUTPUT_TABLE && lost->occasions)
		printf("at least: %lld calls were lost and %lld s not metered in this time "
		       "(tolltap doctor)\n",
		       (long long)lost->calls, (long long)lost->unmetered_seconds);
	if (r && r != -EPIPE)
		return cli_fail(EXIT_FAILED, "spend", "cannot write: %s", strerror(-r));
	return EXIT_OK;
}

static int parse_by(const char *by, struct spend_print *p)
{
	while (*by) {
		struct slice name = {by, strcspn(by, ",")};

		if (p->key_count == QUERY_KEYS_MAX)
			return cli_fail(EXIT_USAGE, "spend", "--by: at most %d facts",
					QUERY_KEYS_MAX);
		if (!query_key_parse(name, &p->keys[p->key_count]))
			return query_flags_unknown_key("spend", "by", name);
		p->key_count++;
		by += name.len + (by[name.len] == ',');
	}
	return EXIT_OK;
}

int cmd_spend(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	_cleanup_(query_closep) struct query *q = NULL;
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	struct spend_print print = {0};
	struct query_losses lost;
	struct spend *rows = NULL;
	const char *by = DEFAULT_BY;
	const struct cli_flag own[] = {
		{.name = "by", .text = &by},
		{.name = "since", .text = &shared.since},
		{.name = "until", .text = &shared.until},
		{.name = "where", .text = &shared.where},
		{.name = NULL},
	};
	size_t count = 0;
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc > 1)
		return cli_fail(EXIT_USAGE, "spend", "takes no operand '%.60s'", argv[1]);
	if (!output_form_parse(config.output, &print.form))
		return cli_fail(EXIT_USAGE, "spend", "--output: table, json or csv");
	rc = parse_by(by, &print);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, "spend", &filter);
	if (rc == EXIT_OK)
		rc = query_flags_open(&q, "spend", config.storage_path);
	if (rc != EXIT_OK)
		return rc;
	if (query_spend(q, &filter, print.keys, print.key_count, &rows, &count))
		return cli_fail(EXIT_STORAGE, "spend", "%s", query_error(q));
	if (query_losses(q, filter.since_us, filter.until_us, &lost))
		rc = cli_fail(EXIT_STORAGE, "spend", "%s", query_error(q));
	else
		rc = print_rows(&print, rows, count, &lost);
	query_spend_free(rows, count);
	return rc;
}
