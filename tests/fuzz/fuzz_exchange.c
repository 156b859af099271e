/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange: the first byte picks a host and a path, the second flags and the status, the third
 * how both bodies are cut, the fourth how many of the bytes (in sixteenths) are the request's. Any
 * split gives the same call, no count is ever negative, and the raw usage is JSON whose numbers are
 * doubles. A whole answer whose counts cJSON finds too, each once, is metered by those counts.
 */
#include <cjson/cJSON.h>
#include <math.h>

#include "agent/exchange/exchange.h"
#include "agent/exchange/operation.h"
#include "agent/providers/provider.h"
#include "tests/fuzz/fuzz.h"

static const struct {
	const char *host, *target, *method; /* NULL: POST */
} places[] = {
	{"api.openai.com", "/v1/chat/completions", NULL},
	{"api.openai.com", "/v1/responses", NULL},
	{"api.openai.com", "/v1/embeddings", NULL},
	{"api.anthropic.com", "/v1/messages", NULL},
	{"r.openai.azure.com", "/openai/deployments/d/chat/completions", NULL},
	{"r.services.ai.azure.com", "/models/chat/completions", NULL},
	{"generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", NULL},
	{"api.mistral.ai", "/v1/ocr", NULL},
	{"somewhere.example", "/v1/messages", NULL},
	{"api.openai.com", "/v1/completions", NULL},
	{"r.services.ai.azure.com", "/openai/v1/responses", NULL},
	{"api.x.ai", "/v1/chat/completions", NULL},
	{"openrouter.ai", "/api/v1/chat/completions", NULL},
	{"api.groq.com", "/openai/v1/chat/completions", NULL},
	{"api.perplexity.ai", "/chat/completions", NULL},
	{"somewhere.example", "/v1/chat/completions", NULL},
	{"api.cohere.com", "/v1/chat", NULL},
	{"api.cohere.com", "/v2/chat", NULL},
	{"ollama.com", "/api/chat", NULL},
	{"generativelanguage.googleapis.com", "/v1beta/models/m:streamGenerateContent", NULL},
	{"generativelanguage.googleapis.com", "/v1beta/interactions", NULL},
	{"generativelanguage.googleapis.com", "/v1beta/cachedContents", NULL},
	{"aiplatform.googleapis.com", "/v1/publishers/google/models/m:predict", NULL},
	{"api.openai.com", "/v1/images/generations", NULL},
	{"api.openai.com", "/v1/audio/transcriptions", NULL},
	{"api.openai.com", "/v1/audio/speech", NULL},
	{"api.openai.com", "/v1/threads/t/runs", NULL},
	{"aiplatform.googleapis.com", "/v1/publishers/google/models/m:countTokens", NULL},
	{"bedrock-runtime.us-east-1.amazonaws.com", "/model/m%3A0/converse-stream", NULL},
	{"bedrock-runtime.us-east-1.amazonaws.com", "/model/m/invoke-with-response-stream", NULL},
	{"api.openai.com", "/v1/responses/resp_1", "GET"},
	{"api.openai.com", "/v1/batches/batch_1", "GET"},
	{"api.openai.com", "/v1/files/file_1/content", "GET"},
	{"api.anthropic.com", "/v1/messages/batches/b/results", "GET"},
	{"api.x.ai", "/v1/batches/b/results", "GET"},
	{"api.mistral.ai", "/v1/batch/jobs/j", "GET"},
	{"generativelanguage.googleapis.com", "/v1beta/batches/b", "GET"},
};

enum { WITH_ERROR = 1, WITH_GAP = 2, WITH_CUT = 4, WITH_GZIP = 8, WITH_EVENTS = 16 };

#define ROWS_MAX 16

struct seen {
	size_t rows, ignored;
	struct call row[ROWS_MAX];
};

static void must_be_numbers(const cJSON *node)
{
	const cJSON *child;

	must_hold(cJSON_IsNumber(node) ? isfinite(node->valuedouble)
				       : cJSON_IsObject(node) || cJSON_IsArray(node));
	cJSON_ArrayForEach(child, node) must_be_numbers(child);
}

static void must_be_raw_usage(const char *text)
{
	cJSON *root;

	if (!text[0])
		return;
	root = cJSON_ParseWithOpts(text, NULL, true);
	must_hold(cJSON_IsObject(root));
	must_be_numbers(root);
	cJSON_Delete(root);
}

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct seen *seen = user;

	must_hold(conn->tgid == 1 && started_ns == 1);
	for (int i = 0; i < TOKEN_KINDS; i++)
		must_hold(call->usage.tokens[i] >= 0);
	for (int i = 0; i < TOOL_UNITS; i++)
		must_hold(call->usage.tool_units[i] >= 0);
	must_hold(call->usage.provider_cost_pusd >= -1 && call->attempt == 1);
	must_be_raw_usage(call->usage.raw_json);
	must_hold(!call->batch || call->usage.known || !call->key.set || call->key.made);
	if (seen->rows < ROWS_MAX)
		seen->row[seen->rows] = *call;
	seen->rows++;
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	struct seen *seen = user;

	must_hold(provider && reason < IGNORED_REASONS);
	seen->ignored++;
}

static const struct exchange_ops ops = {.done = on_done, .ignored = on_ignored};

static struct http_head head_of(const char *method, const char *host, const char *target,
				uint8_t flags)
{
	struct http_head head = {
		.method = slice_of(method),
		.target = slice_of(target),
		.status = flags & WITH_ERROR ? 500 : 200,
		.count = 1,
		.fields = {{SLICE("Host"), slice_of(host)}},
	};

	if (flags & WITH_GZIP)
		head.fields[head.count++] =
			(struct http_field){SLICE("Content-Encoding"), SLICE("gzip")};
	if (flags & WITH_EVENTS)
		head.fields[head.count++] =
			(struct http_field){SLICE("Content-Type"), SLICE("text/event-stream")};
	return head;
}

static struct provider_table *providers(void)
{
	static struct provider_table *table;

	if (!table && provider_table_new(&table))
		abort();
	return table;
}

/* An encoded gap lies in the middle of the answer, whatever the pieces. */
static void feed_answer(struct exchange *x, struct slice body, uint8_t flags, uint32_t seed)
{
	size_t half = flags & WITH_GAP ? body.len / 2 : body.len;
	struct cutter first = {(const uint8_t *)body.ptr, half, 0, seed};
	struct cutter second = {(const uint8_t *)body.ptr + half, body.len - half, 0, seed};
	struct slice piece;

	while (next_piece(&first, &piece))
		exchange_response_body(x, piece, 3);
	if (flags & WITH_GAP)
		exchange_response_gap(x, 7);
	while (next_piece(&second, &piece))
		exchange_response_body(x, piece, 3);
}

static void play(struct slice request, struct slice answer, uint8_t place, uint8_t flags,
		 uint32_t seed, struct seen *seen)
{
	struct exchange_env env = {.providers = providers(), .ops = &ops, .user = seen};
	struct exchange_start start = {.conn = {.tgid = 1}, .entry_ns = 1, .host_hint = ""};
	struct http_head head = head_of(places[place].method ? places[place].method : "POST",
					places[place].host, places[place].target, 0);
	struct cutter cutter = {(const uint8_t *)request.ptr, request.len, 0, seed};
	struct exchange *x;
	struct slice piece;

	memset(seen, 0, sizeof(*seen));
	if (operation_table_new(&env.operations) || exchange_begin(&x, &env, &start, &head))
		abort();
	while (next_piece(&cutter, &piece))
		exchange_request_body(x, piece);
	exchange_request_end(x, MESSAGE_COMPLETE);
	head = head_of("", "", "", flags);
	exchange_response_head(x, &head, 2);
	feed_answer(x, answer, flags, seed);
	exchange_response_end(x, flags & WITH_CUT ? MESSAGE_CUT : MESSAGE_COMPLETE, 4);
	exchange_free(x);
	operation_table_free(env.operations);
	must_hold(seen->rows ? !seen->ignored : seen->ignored == 1);
}

/* ---- the counts by cJSON -------------------------------------------------------------------- */

/* Which members of "usage" make up input and output; by place. */
static const struct {
	const char *input[3], *output;
} counted[] = {
	{{"prompt_tokens"}, "completion_tokens"},
	{{"input_tokens"}, "output_tokens"},
	{{"prompt_tokens"}, NULL},
	{{"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"},
	 "output_tokens"},
};

static bool stands_once(struct slice text, const char *name)
{
	char quoted[64];
	int n = snprintf(quoted, sizeof(quoted), "\"%s\"", name);
	const char *at = memmem(text.ptr, text.len, quoted, (size_t)n);

	return at && !memmem(at + n, (size_t)(text.ptr + text.len - at - n), quoted, (size_t)n);
}

/* Adds the member; false when it is no plain count that stands once. */
static bool add_count(struct slice text, const cJSON *usage, const char *name, int64_t *sum)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(usage, name);

	if (!stands_once(text, name) || !cJSON_IsNumber(item) || item->valuedouble < 0 ||
	    item->valuedouble > 1e15 || item->valuedouble != floor(item->valuedouble))
		return false;
	*sum += (int64_t)item->valuedouble;
	return true;
}

static bool count_all(struct slice text, const cJSON *usage, uint8_t place, int64_t *input,
		      int64_t *output)
{
	for (size_t i = 0; i < ARRAY_LEN(counted[0].input) && counted[place].input[i]; i++) {
		const char *name = counted[place].input[i];

		if (i && !cJSON_HasObjectItem(usage, name) && !memmem(text.ptr, text.len, name, 12))
			continue;
		if (!add_count(text, usage, name, input))
			return false;
	}
	return !counted[place].output || add_count(text, usage, counted[place].output, output);
}

/*
 * Only of plain answers that were read to their end (cJSON takes a NUL for white space): no
 * escapes, which could hide a second name, no items with their own.
 */
static void must_count_alike(struct slice text, uint8_t place, uint8_t flags,
			     const struct seen *seen)
{
	const struct usage *u = &seen->row[0].usage;
	int64_t input = 0, output = 0;
	cJSON *root;

	if (place >= ARRAY_LEN(counted) ||
	    flags & (WITH_GAP | WITH_CUT | WITH_GZIP | WITH_EVENTS) || seen->rows != 1 ||
	    !u->known || u->mismatch || seen->row[0].basis != BASIS_REPORTED_USAGE ||
	    memchr(text.ptr, '\\', text.len) || memmem(text.ptr, text.len, "iterations", 10) ||
	    !stands_once(text, "usage"))
		return;
	root = cJSON_ParseWithLength(text.ptr, text.len);
	if (count_all(text, cJSON_GetObjectItemCaseSensitive(root, "usage"), place, &input,
		      &output)) {
		must_hold(usage_input_total(u) == input);
		must_hold(!counted[place].output || usage_output_total(u) == output);
	}
	cJSON_Delete(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen whole, cut;
	struct slice request, answer;
	uint8_t place;

	if (size < 4)
		return 0;
	place = data[0] % ARRAY_LEN(places);
	request = (struct slice){(const char *)data + 4, (size - 4) * (data[3] & 15) / 16};
	answer = (struct slice){request.ptr + request.len, size - 4 - request.len};
	play(request, answer, place, data[1], 0, &whole);
	play(request, answer, place, data[1], data[2] + 1u, &cut);
	must_hold(whole.rows == cut.rows && whole.ignored == cut.ignored);
	must_count_alike(answer, place, data[1], &whole);
	for (size_t i = 0; i < whole.rows && i < ROWS_MAX; i++)
		must_hold(memcmp(&whole.row[i], &cut.row[i], sizeof(whole.row[i])) == 0);
	return 0;
}
