/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign price tables in our form. Their amounts are JSON numbers, which cJSON would make floats
 * of: every number is put in quotes before parsing, so that its digits arrive as written.
 */
#include "pricing/table.h"

#include <cjson/cJSON.h>
#include <errno.h>

/* LiteLLM's provider name, the prefix of its keys, our provider; genai-prices' id. */
static const struct {
	const char *litellm, *prefix, *genai, *ours;
} providers[] = {
	{"openai", "openai/", "openai", "openai"},
	{"text-completion-openai", "", NULL, "openai"},
	{"anthropic", "anthropic/", "anthropic", "anthropic"},
	{"azure", "azure/", "azure", "azure.ai.openai"},
	{"azure_ai", "azure_ai/", NULL, "azure.ai.openai"},
	{"cerebras", "cerebras/", "cerebras", "cerebras"},
	{"deepseek", "deepseek/", "deepseek", "deepseek"},
	{"fireworks_ai", "fireworks_ai/", "fireworks", "fireworks_ai"},
	{"groq", "groq/", "groq", "groq"},
	{"minimax", "minimax/", "minimax", "minimax"},
	{"mistral", "mistral/", "mistral", "mistral_ai"},
	{"moonshot", "moonshot/", "moonshotai", "moonshotai"},
	{"novita", "novita/", "novita", "novita"},
	{"openrouter", "openrouter/", "openrouter", "openrouter"},
	{"perplexity", "perplexity/", "perplexity", "perplexity"},
	{"together_ai", "together_ai/", "together", "together_ai"},
	{"xai", "xai/", "x-ai", "x_ai"},
	{"zai", "zai/", "zai", "zai"},
};

#define TERMS_MAX 128

/* One price of a row: where in our form it stands, and how much. */
struct term {
	const char *tier; /* "" = standard */
	int64_t above;	  /* tokens, 0 = base */
	enum price_kind kind;
	int64_t pusd;
};

struct terms {
	struct term item[TERMS_MAX];
	size_t count;
	size_t left_out;
};

/* --- reading ------------------------------------------------------------------------------ */

static bool starts_number(char c)
{
	return c == '-' || (c >= '0' && c <= '9');
}

/* The same JSON with every number in quotes; at most twice as long. NULL = no memory. */
static char *quote_numbers(const char *text, size_t len)
{
	char *out = malloc(2 * len + 3), *p = out;
	bool inside = false;

	for (size_t i = 0; out && i < len; i++) {
		if (inside && text[i] == '\\' && i + 1 < len) {
			*p++ = text[i++];
		} else if (text[i] == '"') {
			inside = !inside;
		} else if (!inside && starts_number(text[i])) {
			size_t n = strspn(text + i, "+-.0123456789eE");

			*p++ = '"';
			memcpy(p, text + i, n);
			p += n;
			i += n - 1;
			*p++ = '"';
			continue;
		}
		*p++ = text[i];
	}
	if (out)
		*p = '\0';
	return out;
}

static int read_json(struct reader *r, cJSON **out)
{
	_cleanup_(freep) char *text = NULL, *quoted = NULL;
	size_t len;
	int rc = price_slurp(r, &text, &len);

	if (rc)
		return rc;
	quoted = quote_numbers(text, len);
	if (!quoted)
		return -ENOMEM;
	*out = cJSON_Parse(quoted);
	return *out ? 0 : price_error(r, "not valid JSON");
}

/* Dollars per one `of` units as text, to picodollars per our unit. */
static bool amount_parse(const char *text, enum price_kind kind, int64_t of, int64_t *pusd)
{
	int64_t per = price_kinds[kind].per / of;
	int scale = 12;

	for (; per % 10 == 0; per /= 10)
		scale++;
	return decimal_parse(slice_of(text), scale, pusd) &&
	       !__builtin_mul_overflow(*pusd, per, pusd);
}

static void add_term(struct terms *t, const char *tier, int64_t above, enum price_kind kind,
		     int64_t of, const char *text)
{
	struct term *term = &t->item[t->count];

	if (t->count == TERMS_MAX || !amount_parse(text, kind, of, &term->pusd)) {
		t->left_out++;
		return;
	}
	term->tier = tier;
	term->above = above;
	term->kind = kind;
	t->count++;
}

/* --- printing ----------------------------------------------------------------------------- */

static void print_text(FILE *out, const char *text)
{
	cJSON *string = cJSON_CreateString(text);
	char *quoted = cJSON_PrintUnformatted(string);

	fputs(quoted ? quoted : "\"\"", out);
	cJSON_free(quoted);
	cJSON_Delete(string);
}

/* "prices":{...} of one tier and threshold. Returns how many. */
static size_t print_prices(FILE *out, const struct terms *t, const char *tier, int64_t above)
{
	char text[PUSD_TEXT_MAX];
	size_t n = 0;

	fputs("\"prices\":{", out);
	for (size_t i = 0; i < t->count; i++) {
		const struct term *term = &t->item[i];

		if (strcmp(term->tier, tier) != 0 || term->above != above)
			continue;
		fprintf(out, "%s\"%s\":\"%s\"", n++ ? "," : "", price_kinds[term->kind].name,
			pusd_format(text, term->pusd));
	}
	fputc('}', out);
	return n;
}

static int64_t next_above(const struct terms *t, const char *tier, int64_t after)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < t->count; i++) {
		const struct term *term = &t->item[i];

		if (!strcmp(term->tier, tier) && term->above > after && term->above < next)
			next = term->above;
	}
	return next;
}

static void print_sheet(FILE *out, const struct terms *t, const char *tier)
{
	int64_t above = next_above(t, tier, 0);

	print_prices(out, t, tier, 0);
	if (above == INT64_MAX)
		return;
	fputs(",\"above\":[", out);
	for (bool first = true; above != INT64_MAX; first = false) {
		fprintf(out, "%s{\"tokens\":%lld,", first ? "" : ",", (long long)above);
		print_prices(out, t, tier, above);
		fputc('}', out);
		above = next_above(t, tier, above);
	}
	fputc(']', out);
}

static bool has_tier(const struct terms *t, const char *tier)
{
	for (size_t i = 0; i < t->count; i++) {
		if (!strcmp(t->item[i].tier, tier))
			return true;
	}
	return false;
}

static const char *const tier_suffixes[][2] = {
	{"_batches", "batch"},
	{"_flex", "flex"},
	{"_priority", "priority"},
	{"_ultrafast", "ultrafast"},
};

static void print_period(FILE *out, const struct terms *t, const char *from, const char *to)
{
	size_t n = 0;

	fputs("{\"from\":", out);
	from ? print_text(out, from) : (void)fputs("null", out);
	fputs(",\"to\":", out);
	to ? print_text(out, to) : (void)fputs("null", out);
	fputc(',', out);
	print_sheet(out, t, "");
	for (size_t i = 0; i < ARRAY_LEN(tier_suffixes); i++) {
		const char *tier = tier_suffixes[i][1];

		if (!has_tier(t, tier))
			continue;
		fprintf(out, "%s\"%s\":{", n++ ? "," : ",\"tiers\":{", tier);
		print_sheet(out, t, tier);
		fputc('}', out);
	}
	fputs(n ? "}}" : "}", out);
}

static void print_head(FILE *out)
{
	fputs("{\n\"schema\":\"tolltap-prices/1\",\n\"currency\":\"USD\",\n\"units\":{", out);
	for (int i = 0; i < PRICE_KINDS; i++)
		fprintf(out, "%s\"%s\":\"%s\"", i ? "," : "", price_kinds[i].name,
			price_kinds[i].unit);
	fputs("},\n\"providers\":[", out);
	for (size_t i = 0, n = 0; i < ARRAY_LEN(providers); i++) {
		if (providers[i].genai)
			fprintf(out, "%s{\"provider\":\"%s\"}", n++ ? "," : "", providers[i].ours);
	}
	fputs("],\n\"models\":[", out);
}

static void print_model_head(FILE *out, bool first, const char *provider, const char *id)
{
	fprintf(out, "%s\n{\"provider\":\"%s\",\"id\":", first ? "" : ",", provider);
	print_text(out, id);
}

/* --- LiteLLM ------------------------------------------------------------------------------ */

static bool cut_suffix(char *text, const char *suffix)
{
	size_t n = strlen(text), m = strlen(suffix);

	if (n <= m || strcmp(text + n - m, suffix) != 0)
		return false;
	text[n - m] = '\0';
	return true;
}

/* "input_cost_per_token_above_272k_tokens_priority" to kind, threshold and tier. */
static bool litellm_key(const char *key, enum price_kind *kind, int64_t *above, const char **tier)
{
	char base[96];
	char *mark;

	*tier = "";
	*above = 0;
	if (!slice_copy(base, sizeof(base), slice_of(key)))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(tier_suffixes); i++) {
		if (cut_suffix(base, tier_suffixes[i][0]))
			*tier = tier_suffixes[i][1];
	}
	mark = strstr(base, "_above_");
	if (mark && cut_suffix(base, "k_tokens")) {
		if (!decimal_parse(slice_of(mark + 7), 3, above) || *above == 0)
			return false;
		*mark = '\0';
	}
	for (int i = 0; i < PRICE_KINDS; i++) {
		if (price_kinds[i].litellm && !strcmp(price_kinds[i].litellm, base)) {
			*kind = (enum price_kind)i;
			return true;
		}
	}
	return false;
}

/* An absent price is often written as 0 there; only what costs something is taken. */
static void litellm_terms(const cJSON *row, struct terms *t)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, row)
	{
		enum price_kind kind;
		const char *tier;
		int64_t above;

		if (!cJSON_IsString(item) || !litellm_key(item->string, &kind, &above, &tier))
			continue;
		add_term(t, tier, above, kind, 1, item->valuestring);
		if (t->count && t->item[t->count - 1].pusd == 0)
			t->count--;
	}
}

static size_t import_litellm(const cJSON *root, FILE *out)
{
	const cJSON *row;
	size_t left_out = 0, models = 0;

	cJSON_ArrayForEach(row, root)
	{
		const cJSON *owner = cJSON_GetObjectItemCaseSensitive(row, "litellm_provider");
		struct terms t = {.count = 0};
		size_t i = 0;

		while (i < ARRAY_LEN(providers) &&
		       !(cJSON_IsString(owner) &&
			 !strcmp(providers[i].litellm, owner->valuestring)))
			i++;
		if (i == ARRAY_LEN(providers))
			continue;
		litellm_terms(row, &t);
		left_out += t.left_out;
		if (!has_tier(&t, ""))
			continue;
		size_t skip = strlen(providers[i].prefix);
		bool prefixed = skip && !strncmp(row->string, providers[i].prefix, skip);

		print_model_head(out, models++ == 0, providers[i].ours,
				 row->string + (prefixed ? skip : 0));
		fputs(",\"periods\":[", out);
		print_period(out, &t, NULL, NULL);
		fputs("]}", out);
	}
	return left_out;
}

/* --- genai-prices ------------------------------------------------------------------------- */

static void genai_price(struct terms *t, enum price_kind kind, const cJSON *value)
{
	const cJSON *base = cJSON_GetObjectItemCaseSensitive(value, "base"), *tier;

	if (cJSON_IsString(value))
		add_term(t, "", 0, kind, price_kinds[kind].per, value->valuestring);
	if (cJSON_IsString(base))
		add_term(t, "", 0, kind, price_kinds[kind].per, base->valuestring);
	cJSON_ArrayForEach(tier, cJSON_GetObjectItemCaseSensitive(value, "tiers"))
	{
		const cJSON *start = cJSON_GetObjectItemCaseSensitive(tier, "start");
		const cJSON *price = cJSON_GetObjectItemCaseSensitive(tier, "price");
		int64_t above;

		if (cJSON_IsString(start) && cJSON_IsString(price) &&
		    decimal_parse(slice_of(start->valuestring), 0, &above))
			add_term(t, "", above, kind, price_kinds[kind].per, price->valuestring);
	}
}

static void genai_terms(const cJSON *prices, struct terms *t)
{
	const cJSON *item;

	if (!cJSON_IsObject(prices)) { /* the elements of a list have no names */
		t->left_out++;
		return;
	}
	cJSON_ArrayForEach(item, prices)
	{
		int kind = 0;

		while (kind < PRICE_KINDS &&
		       !(price_kinds[kind].genai && !strcmp(price_kinds[kind].genai, item->string)))
			kind++;
		if (kind == PRICE_KINDS)
			t->left_out++;
		else
			genai_price(t, (enum price_kind)kind, item);
	}
}

static const char *start_date(const cJSON *entry)
{
	const cJSON *constraint = cJSON_GetObjectItemCaseSensitive(entry, "constraint");
	const cJSON *date = cJSON_GetObjectItemCaseSensitive(constraint, "start_date");

	return cJSON_IsString(date) ? date->valuestring : NULL;
}

static bool by_time_of_day(const cJSON *entry)
{
	const cJSON *constraint = cJSON_GetObjectItemCaseSensitive(entry, "constraint");

	return cJSON_GetObjectItemCaseSensitive(constraint, "start_time") != NULL;
}

static size_t genai_periods(const cJSON *prices, FILE *out)
{
	size_t left_out = 0, n = 0;
	const cJSON *entry;

	if (cJSON_IsObject(prices)) {
		struct terms t = {.count = 0};

		genai_terms(prices, &t);
		print_period(out, &t, NULL, NULL);
		return t.left_out;
	}
	cJSON_ArrayForEach(entry, prices)
	{
		struct terms t = {.count = 0};

		if (by_time_of_day(entry)) {
			left_out++;
			continue;
		}
		genai_terms(cJSON_GetObjectItemCaseSensitive(entry, "prices"), &t);
		fputs(n++ ? "," : "", out);
		print_period(out, &t, start_date(entry),
			     entry->next ? start_date(entry->next) : NULL);
		left_out += t.left_out;
	}
	return left_out;
}

/* Only the names that the source states exactly; its substring rules have no place here. */
static size_t genai_aliases(const cJSON *rule, const char *id, FILE *out, size_t printed)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, rule)
	{
		const cJSON *name = cJSON_IsObject(item) ? NULL : item;

		if (cJSON_IsArray(item)) {
			const cJSON *sub;

			cJSON_ArrayForEach(sub, item) printed =
				genai_aliases(sub, id, out, printed);
		}
		if (!name || !cJSON_IsString(name) || strcmp(name->string, "equals") != 0 ||
		    !strcasecmp(name->valuestring, id))
			continue;
		fputs(printed++ ? "," : ",\"alias\":[", out);
		print_text(out, name->valuestring);
	}
	return printed;
}

static size_t import_genai(const cJSON *root, FILE *out)
{
	size_t left_out = 0, models = 0;
	const cJSON *owner, *row;

	cJSON_ArrayForEach(owner, root)
	{
		const cJSON *id = cJSON_GetObjectItemCaseSensitive(owner, "id");
		size_t i = 0;

		while (i < ARRAY_LEN(providers) && !(providers[i].genai && cJSON_IsString(id) &&
						     !strcmp(providers[i].genai, id->valuestring)))
			i++;
		if (i == ARRAY_LEN(providers))
			continue;
		cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(owner, "models"))
		{
			const cJSON *name = cJSON_GetObjectItemCaseSensitive(row, "id");
			const cJSON *rule = cJSON_GetObjectItemCaseSensitive(row, "match");

			if (!cJSON_IsString(name))
				continue;
			print_model_head(out, models++ == 0, providers[i].ours, name->valuestring);
			if (genai_aliases(rule, name->valuestring, out, 0))
				fputc(']', out);
			fputs(",\"periods\":[", out);
			left_out +=
				genai_periods(cJSON_GetObjectItemCaseSensitive(row, "prices"), out);
			fputs("]}", out);
		}
	}
	return left_out;
}

int catalog_import(const char *form, const char *path, FILE *out, size_t *left_out, char *err,
		   size_t err_size)
{
	struct reader r = {.file = path, .err = err, .err_size = err_size};
	bool litellm = !strcmp(form, "litellm");
	cJSON *root = NULL;
	int rc;

	if (err_size)
		err[0] = '\0';
	if (!litellm && strcmp(form, "genai-prices") != 0)
		return price_error(&r, "form \"%s\" is unknown; use litellm or genai-prices", form);
	rc = read_json(&r, &root);
	if (rc)
		return rc;
	if (litellm ? !cJSON_IsObject(root) : !cJSON_IsArray(root)) {
		cJSON_Delete(root);
		return price_error(&r, "%s is expected here, as %s publishes it",
				   litellm ? "an object" : "a list", form);
	}
	print_head(out);
	*left_out = litellm ? import_litellm(root, out) : import_genai(root, out);
	fputs("\n]}\n", out);
	cJSON_Delete(root);
	return ferror(out) ? -EIO : 0;
}
