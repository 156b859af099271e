/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign price tables in our form. Their amounts are JSON numbers, which cJSON would make floats
 * of: every number is put in quotes before parsing, so that its digits arrive as written.
 */
#include "pricing/table.h"

#include <cjson/cJSON.h>
#include <ctype.h>
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
	{"azure_text", "azure/", NULL, "azure.ai.openai"},
	{"bedrock", "bedrock/", "aws", "aws.bedrock"},
	{"bedrock_converse", "bedrock/", NULL, "aws.bedrock"},
	{"bedrock_mantle", "bedrock_mantle/", NULL, "aws.bedrock"},
	{"cohere", "cohere/", "cohere", "cohere"},
	{"cohere_chat", "cohere/", NULL, "cohere"},
	{"deepinfra", "deepinfra/", NULL, "deepinfra"},
	{"deepseek", "deepseek/", "deepseek", "deepseek"},
	{"fireworks_ai", "fireworks_ai/", "fireworks", "fireworks_ai"},
	{"gemini", "gemini/", "google", "gcp.gemini"},
	{"groq", "groq/", "groq", "groq"},
	{"minimax", "minimax/", "minimax", "minimax"},
	{"mistral", "mistral/", "mistral", "mistral_ai"},
	{"moonshot", "moonshot/", "moonshotai", "moonshotai"},
	{"nebius", "nebius/", NULL, "nebius"},
	{"novita", "novita/", "novita", "novita"},
	{"openrouter", "openrouter/", "openrouter", "openrouter"},
	{"perplexity", "perplexity/", "perplexity", "perplexity"},
	{"sambanova", "sambanova/", NULL, "sambanova"},
	{"together_ai", "together_ai/", "together", "together_ai"},
	{"vercel_ai_gateway", "vercel_ai_gateway/", NULL, "vercel"},
	{"vertex_ai*", "vertex_ai/", NULL, "gcp.vertex_ai"}, /* and one for each vendor's models */
	{"voyage", "voyage/", "voyageai", "voyage_ai"},
	{"xai", "xai/", "x-ai", "x_ai"},
	{"zai", "zai/", "zai", "zai"},
};

/* Is this provider of LiteLLM the one of a row? A star ends what is compared. */
static bool litellm_is(const char *row, const char *provider)
{
	size_t n = strcspn(row, "*");

	return row[n] ? !strncmp(row, provider, n) : !strcmp(row, provider);
}

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

static const struct term *find_term(const struct terms *t, const char *tier, int64_t above,
				    enum price_kind kind)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct term *term = &t->item[i];

		if (term->kind == kind && term->above == above && !strcmp(term->tier, tier))
			return term;
	}
	return NULL;
}

/* What our own loader would refuse, a slip of the unit or a second price, is left out. */
static void add_term(struct terms *t, const char *tier, int64_t above, enum price_kind kind,
		     int64_t of, const char *text)
{
	struct term *term = &t->item[t->count];
	struct reader silent = {.file = ""};

	if (t->count == TERMS_MAX || find_term(t, tier, above, kind) ||
	    !amount_parse(text, kind, of, &term->pusd) || lint_price(&silent, kind, term->pusd)) {
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

/* Context tiers that cost less than what is below them are slips too. */
static void drop_cheaper(struct terms *t)
{
	for (size_t i = 0; i < t->count;) {
		const struct term *term = &t->item[i], *base;

		base = term->above ? find_term(t, term->tier, 0, term->kind) : NULL;
		if (base && term->pusd < base->pusd) {
			t->item[i] = t->item[--t->count];
			t->left_out++;
		} else {
			i++;
		}
	}
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
	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		size_t k = 0;

		while (strcmp(providers[k].ours, providers[i].ours) != 0)
			k++;
		if (k == i)
			fprintf(out, "%s{\"provider\":\"%s\"}", i ? "," : "", providers[i].ours);
	}
	fputs("],\n\"models\":[", out);
}

static void print_model_head(FILE *out, bool first, const char *provider, const char *id)
{
	fprintf(out, "%s\n{\"provider\":\"%s\",\"id\":", first ? "" : ",", provider);
	print_text(out, id);
}

/* Names printed so far: the sources have some models under two keys. */
struct printed {
	char key[NAME_KEY_MAX];
	bool in_table;
	UT_hash_handle hh;
};

/* False when the provider's model stands in the output already, or there is no memory. */
static bool print_once(struct printed **names, const char *provider, const char *id)
{
	struct printed *name = calloc(1, sizeof(*name)), *old = NULL;

	if (!name)
		return false;
	snprintf(name->key, sizeof(name->key), "%s/%s", provider, id);
	for (char *p = name->key; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	HASH_FIND_STR(*names, name->key, old);
	name->in_table = !old;
	if (!old)
		HASH_ADD_STR(*names, key, name);
	if (name->in_table)
		return true;
	free(name);
	return false;
}

static void printed_free(struct printed *names)
{
	struct printed *name, *next;

	HASH_ITER (hh, names, name, next) {
		HASH_DEL(names, name);
		free(name);
	}
}

/* --- LiteLLM ------------------------------------------------------------------------------ */

/* What a key is the price of: some mean another thing by the model's mode. */
static bool litellm_means(const cJSON *row, enum price_kind *kind)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, "mode");
	const char *mode = cJSON_IsString(item) ? item->valuestring : "";

	if (*kind == PRICE_IMAGE_INPUT && !strncmp(mode, "image_", 6))
		*kind = PRICE_IMAGE;
	else if (*kind == PRICE_AUDIO_OUTPUT && !strcmp(mode, "video_generation"))
		*kind = PRICE_VIDEO_OUTPUT;
	else if (*kind == PRICE_AUDIO_OUTPUT && strcmp(mode, "audio_speech") != 0)
		return false;
	return true;
}

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

		if (!cJSON_IsString(item) || !litellm_key(item->string, &kind, &above, &tier) ||
		    !litellm_means(row, &kind))
			continue;
		add_term(t, tier, above, kind, 1, item->valuestring);
		if (t->count && t->item[t->count - 1].pusd == 0)
			t->count--;
	}
}

/* Our provider of a row, by its index; ARRAY_LEN when it is none of ours. */
static size_t litellm_owner(const cJSON *row)
{
	const cJSON *owner = cJSON_GetObjectItemCaseSensitive(row, "litellm_provider");
	size_t i = 0;

	while (i < ARRAY_LEN(providers) &&
	       !(cJSON_IsString(owner) && litellm_is(providers[i].litellm, owner->valuestring)))
		i++;
	return i;
}

static size_t import_litellm(const cJSON *root, FILE *out)
{
	struct printed *names = NULL;
	size_t left_out = 0;
	const cJSON *row;

	cJSON_ArrayForEach(row, root)
	{
		struct terms t = {.count = 0};
		size_t i = litellm_owner(row), skip;
		const char *id = row->string;
		bool first = !names;

		if (i == ARRAY_LEN(providers))
			continue;
		litellm_terms(row, &t);
		drop_cheaper(&t);
		left_out += t.left_out;
		skip = strlen(providers[i].prefix);
		id += skip && !strncmp(id, providers[i].prefix, skip) ? skip : 0;
		if (!has_tier(&t, ""))
			continue;
		if (!print_once(&names, providers[i].ours, id)) {
			left_out += t.count;
			continue;
		}
		print_model_head(out, first, providers[i].ours, id);
		fputs(",\"periods\":[", out);
		print_period(out, &t, NULL, NULL);
		fputs("]}", out);
	}
	printed_free(names);
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
