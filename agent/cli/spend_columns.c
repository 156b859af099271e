/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/spend_columns.h"

#include "agent/cli/events.h"
#include "exporter/text.h"

/* ---- columns ----------------------------------------------------------------------------- */

/* Columns of a row, behind the group's: forms as in events.c, one bit each; E is the table of
 * --efficiency, TIMES stands only with them. */
enum { J = 1, C = 2, T = 4, E = 8, TIMES = 16, ALL = J | C | T };

struct spend_column {
	const char *name;
	unsigned forms;
	void (*emit)(struct output *o, const struct spend *spend, size_t arg);
	size_t arg;
};

static void emit_started_at(struct output *o, const struct spend *s, size_t arg)
{
	char text[32];

	(void)arg;
	output_text(o, s->ended_us ? events_time_text(text, s->first_us) : NULL);
}

/* From its first call's beginning to the end of the last. */
static void emit_elapsed(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	output_ms(o, s->ended_us ? s->ended_us - s->first_us : -1);
}

static void emit_busy(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	output_ms(o, s->ended_us ? s->busy_us : -1);
}

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
	{"started_at", ALL | TIMES, emit_started_at, 0},
	{"elapsed_ms", ALL | TIMES, emit_elapsed, 0},
	{"call_ms", ALL | TIMES, emit_busy, 0},
	{"calls", ALL | E, emit_calls, 0},
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
	{"cost_usd", T | E, emit_cost_shown, 0},
	{"at_least", J | C, emit_at_least, 0},
	{"estimated", J | C, emit_estimated, 0},
	{"cost_by_basis", J | C, emit_cost_by_basis, 0},
	{"calls_by_basis", J | C, emit_calls_by_basis, 0},
	{"calls_unpriced", J | C, emit_basis_calls, BASIS_UNPRICED},
	{"unpriced", T, emit_basis_calls, BASIS_UNPRICED},
	{"subscription_list_usd", ALL, emit_subscription, 0},
};

/* ---- efficiency -------------------------------------------------------------------------- */

/* Sums that stopped at the top of their range say nothing: -1 then. */
static int64_t tokens_of(const struct spend *s, int first, int last)
{
	int64_t sum = 0;

	for (int i = first; i <= last; i++) {
		if (__builtin_add_overflow(sum, s->tokens[i], &sum) || sum == INT64_MAX)
			return -1;
	}
	return sum;
}

static int64_t output_tokens(const struct spend *s)
{
	return tokens_of(s, TOKEN_OUTPUT_TEXT, TOKEN_KINDS - 1);
}

/*
 * a / b as a decimal number, rounded half to even to `decimals` digits; a is told in units of
 * 10^-12. Unknown when b is none.
 */
static void emit_ratio(struct output *o, pusd_sum a, int64_t b, int decimals)
{
	char text[PUSD_TEXT_MAX];
	pusd_sum digit = PUSD_PER_USD;

	for (int i = 0; i < decimals; i++)
		digit /= 10;
	if (a >= 0 && b > 0)
		output_text(o, pusd_format(text, pusd_divide(a, b * digit) * digit));
	else
		output_null(o);
}

/* Where no call has a price there is no average, not one of 0. */
static bool is_priced(const struct spend *s)
{
	return s->cost != 0 || s->calls_by_basis[BASIS_UNPRICED] == 0;
}

static void emit_cost_per_call(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	emit_ratio(o, s->cost, is_priced(s) ? s->calls : 0, 12);
}

static void emit_tokens_per_call(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	emit_ratio(o, (pusd_sum)tokens_of(s, 0, TOKEN_KINDS - 1) * PUSD_PER_USD, s->calls, 2);
}

static void emit_output_share(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	emit_ratio(o, (pusd_sum)output_tokens(s) * PUSD_PER_USD, tokens_of(s, 0, TOKEN_KINDS - 1),
		   4);
}

static void emit_cost_per_1k_output(struct output *o, const struct spend *s, size_t arg)
{
	(void)arg;
	emit_ratio(o, s->cost * 1000, is_priced(s) ? output_tokens(s) : 0, 12);
}

static void emit_cache_savings(struct output *o, const struct spend *s, size_t arg)
{
	char usd[PUSD_TEXT_MAX];

	(void)arg;
	output_text(o, pusd_format(usd, s->cache_savings));
}

static void emit_unknown(struct output *o, const struct spend *s, size_t arg)
{
	(void)s;
	(void)arg;
	output_null(o);
}

static void emit_waste(struct output *o, const struct spend *s, size_t arg)
{
	char usd[PUSD_TEXT_MAX];
	pusd_sum sum = 0;

	(void)arg;
	for (int i = 0; i < WASTES; i++)
		sum += s->waste_cost[i];
	output_text(o, pusd_format(usd, sum));
}

static void emit_waste_of(struct output *o, const struct spend *s, size_t waste)
{
	char usd[PUSD_TEXT_MAX];

	output_text(o, pusd_format(usd, s->waste_cost[waste]));
}

static void emit_waste_calls(struct output *o, const struct spend *s, size_t waste)
{
	output_int(o, s->waste_calls[waste]);
}

static const struct spend_column efficiency_columns[] = {
	{"cost_per_call_usd", J | C | E, emit_cost_per_call, 0},
	{"tokens_per_call", J | C | E, emit_tokens_per_call, 0},
	{"output_share", J | C | E, emit_output_share, 0},
	{"cost_per_1k_output_usd", J | C | E, emit_cost_per_1k_output, 0},
	{"cache_savings_usd", J | C | E, emit_cache_savings, 0},
	{"waste_usd", J | C | E, emit_waste, 0},
	{"aborted_usd", J | C | E, emit_waste_of, WASTE_ABORTED},
	{"errored_usd", J | C | E, emit_waste_of, WASTE_ERRORED},
	{"retried_usd", J | C | E, emit_waste_of, WASTE_RETRIED},
	{"aborted_calls", J | C, emit_waste_calls, WASTE_ABORTED},
	{"errored_calls", J | C, emit_waste_calls, WASTE_ERRORED},
	{"retried_calls", J | C, emit_waste_calls, WASTE_RETRIED},
};

/* What a ledger of an older version does not know. */
static const struct spend_column unknown_savings = {"cache_savings_usd", 0, emit_unknown, 0};

/* ---- printing ---------------------------------------------------------------------------- */

static void choose(struct spend_print *p, const struct spend_column *from, size_t count)
{
	const unsigned bits[] = {
		[OUTPUT_TABLE] = p->efficiency ? E : T, [OUTPUT_JSON] = J, [OUTPUT_CSV] = C};

	for (size_t i = 0; i < count; i++) {
		const struct spend_column *column = &from[i];

		if (!(column->forms & bits[p->form]) || ((column->forms & TIMES) && !p->times))
			continue;
		if (column->emit == emit_cache_savings && !p->knows_savings)
			column = &unknown_savings;
		p->shown[p->head_count] = column;
		p->heads[p->head_count++] = (struct output_column){column->name, OUTPUT_RIGHT};
	}
}

void spend_print_choose(struct spend_print *p)
{
	for (size_t i = 0; i < p->keys.count; i++) {
		query_key_name(&p->keys.item[i], p->names[i], sizeof(p->names[i]));
		p->heads[p->head_count++] = (struct output_column){p->names[i], OUTPUT_LEFT};
	}
	p->lead = p->head_count;
	choose(p, columns, ARRAY_LEN(columns));
	if (p->efficiency)
		choose(p, efficiency_columns, ARRAY_LEN(efficiency_columns));
	if (p->form != OUTPUT_TABLE)
		p->heads[p->head_count++] = (struct output_column){"total", OUTPUT_LEFT};
}

void spend_print_cells(const struct spend_print *p, struct output *o, const struct spend *spend,
		       bool total)
{
	for (size_t i = p->lead; i < p->head_count && p->shown[i]; i++)
		p->shown[i]->emit(o, spend, p->shown[i]->arg);
	if (p->form != OUTPUT_TABLE)
		output_bool(o, total);
}

void spend_print_row(const struct spend_print *p, struct output *o, const struct spend *spend,
		     bool total)
{
	for (size_t i = 0; i < p->keys.count; i++) {
		if (!total)
			output_text(o, spend->group[i] ? spend->group[i] : QUERY_NONE);
		else
			output_text(o, p->form == OUTPUT_TABLE && i == 0 ? "TOTAL" : NULL);
	}
	spend_print_cells(p, o, spend, total);
	if (total)
		output_row_emphasis(o);
	else
		output_row(o);
}
