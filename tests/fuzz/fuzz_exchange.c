/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange: the first byte picks a host and a path, the second flags and the status, the third
 * how both bodies are cut, the fourth how many of the bytes (in sixteenths) are the request's. Any
 * split gives the same call, and no count is ever negative.
 */
#include "agent/exchange/exchange.h"
#include "agent/exchange/operation.h"
#include "agent/providers/provider.h"
#include "tests/fuzz/fuzz.h"

static const struct {
	const char *host, *target;
} places[] = {
	{"api.openai.com", "/v1/chat/completions"},
	{"api.openai.com", "/v1/responses"},
	{"api.openai.com", "/v1/embeddings"},
	{"api.anthropic.com", "/v1/messages"},
	{"r.openai.azure.com", "/openai/deployments/d/chat/completions"},
	{"r.services.ai.azure.com", "/models/chat/completions"},
	{"generativelanguage.googleapis.com", "/v1beta/openai/chat/completions"},
	{"api.mistral.ai", "/v1/ocr"},
	{"somewhere.example", "/v1/messages"},
};

enum { WITH_ERROR = 1, WITH_GAP = 2, WITH_CUT = 4, WITH_GZIP = 8, WITH_EVENTS = 16 };

#define ROWS_MAX 16

struct seen {
	size_t rows, ignored;
	struct call row[ROWS_MAX];
};

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct seen *seen = user;

	must_hold(conn->tgid == 1 && started_ns == 1 && seen->rows < ROWS_MAX);
	for (int i = 0; i < TOKEN_KINDS; i++)
		must_hold(call->usage.tokens[i] >= 0);
	for (int i = 0; i < TOOL_UNITS; i++)
		must_hold(call->usage.tool_units[i] >= 0);
	must_hold(call->usage.provider_cost_pusd >= -1 && call->attempt == 1);
	seen->row[seen->rows++] = *call;
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	struct seen *seen = user;

	must_hold(provider && reason < IGNORED_REASONS);
	seen->ignored++;
}

static const struct exchange_ops ops = {.done = on_done, .ignored = on_ignored};

static struct http_head head_of(const char *host, const char *target, uint8_t flags)
{
	struct http_head head = {
		.method = SLICE("POST"),
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
	struct http_head head = head_of(places[place].host, places[place].target, 0);
	struct cutter cutter = {(const uint8_t *)request.ptr, request.len, 0, seed};
	struct exchange *x;
	struct slice piece;

	memset(seen, 0, sizeof(*seen));
	if (operation_table_new(&env.operations) || exchange_begin(&x, &env, &start, &head))
		abort();
	while (next_piece(&cutter, &piece))
		exchange_request_body(x, piece);
	exchange_request_end(x, MESSAGE_COMPLETE);
	head = head_of("", "", flags);
	exchange_response_head(x, &head, 2);
	feed_answer(x, answer, flags, seed);
	exchange_response_end(x, flags & WITH_CUT ? MESSAGE_CUT : MESSAGE_COMPLETE, 4);
	exchange_free(x);
	operation_table_free(env.operations);
	must_hold(seen->rows ? !seen->ignored : seen->ignored == 1);
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
	for (size_t i = 0; i < whole.rows; i++)
		must_hold(memcmp(&whole.row[i], &cut.row[i], sizeof(whole.row[i])) == 0);
	return 0;
}
