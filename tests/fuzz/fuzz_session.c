/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions over a WebSocket: the first byte says which API, the rest are messages of both sides (a
 * byte of side and length's high bits, one of length, the text). However they are framed, cut and
 * compressed, the rows are the same; no count is negative; every call that begins ends once.
 */
#include "agent/exchange/exchange.h"
#include "agent/providers/provider.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/websocket/frames.h"

struct rows {
	struct trace trace;
	int open;
};

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct rows *r = user;

	(void)conn;
	must_hold(r->open-- > 0);
	for (int i = 0; i < TOKEN_KINDS; i++)
		must_hold(call->usage.tokens[i] >= 0);
	for (int i = 0; i < TOOL_UNITS; i++)
		must_hold(call->usage.tool_units[i] >= 0);
	must_hold(call->duration_us >= 0 && call->outcome < OUTCOMES && call->basis < BASES);
	trace_event(&r->trace, 'c', started_ns);
	trace_event(&r->trace, 'd', (uint64_t)call->duration_us);
	trace_event(&r->trace, 't', (uint64_t)call->time_to_first_token_us);
	trace_event(&r->trace, 's', (uint64_t)call->status << 8 | call->basis << 4 | call->outcome);
	trace_bytes(&r->trace, call->event_id, sizeof(call->event_id));
	trace_bytes(&r->trace, call->usage.tokens, sizeof(call->usage.tokens));
	trace_bytes(&r->trace, call->usage.tool_units, sizeof(call->usage.tool_units));
	trace_bytes(&r->trace, call->usage.raw_json, strlen(call->usage.raw_json));
	trace_bytes(&r->trace, call->model, strlen(call->model));
	trace_bytes(&r->trace, call->model_requested, strlen(call->model_requested));
	trace_bytes(&r->trace, call->response_id, strlen(call->response_id));
	trace_bytes(&r->trace, call->error_class, strlen(call->error_class));
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	must_hold(provider && reason == IGNORED_SESSION_EMPTY);
}

static void on_open(void *user, const struct call *call, uint64_t started_ns, int change)
{
	struct rows *r = user;

	(void)call;
	(void)started_ns;
	r->open += change;
	must_hold(r->open >= 0);
}

static const struct exchange_ops ops = {.done = on_done, .ignored = on_ignored, .open = on_open};

static const struct api {
	const char *host, *target;
} apis[] = {
	{"api.openai.com", "/v1/responses"},
	{"api.openai.com", "/v1/realtime?model=m"},
	{"x.openai.azure.com", "/openai/realtime?deployment=m"},
	{"generativelanguage.googleapis.com", "/ws/x"},
};

/* How the messages go. */
struct form {
	const char *extensions;
	size_t fragment, piece;
};

static struct provider_table *providers(void)
{
	static struct provider_table *table;

	if (!table && provider_table_new(&table))
		abort();
	return table;
}

static void add(struct http_head *h, const char *name, const char *value)
{
	h->fields[h->count++] = (struct http_field){slice_of(name), slice_of(value)};
}

static struct exchange *upgrade(const struct exchange_env *env, const struct api *api,
				const char *extensions)
{
	const struct exchange_start start = {.conn = {.tgid = 1}, .entry_ns = 1, .host_hint = ""};
	struct http_head head = {.method = SLICE("GET"), .target = slice_of(api->target)};
	struct exchange *x;

	add(&head, "host", api->host);
	add(&head, "upgrade", "websocket");
	if (exchange_begin(&x, env, &start, &head))
		abort();
	exchange_request_end(x, MESSAGE_COMPLETE);
	head = (struct http_head){.status = 101};
	add(&head, "upgrade", "websocket");
	add(&head, "sec-websocket-extensions", extensions);
	exchange_response_head(x, &head, 2);
	must_hold(exchange_is_session(x));
	return x;
}

static void say(struct exchange *x, struct frames *f, enum chunk_dir dir, struct slice text,
		const struct form *form, uint64_t now_ns)
{
	f->len = 0;
	frames_text(f, text.ptr, text.len, form->fragment);
	for (size_t at = 0; at < f->len; at += form->piece) {
		size_t n = f->len - at < form->piece ? f->len - at : form->piece;

		exchange_session_bytes(x, dir, (struct slice){f->ptr + at, n}, !at, now_ns);
	}
	must_hold(!exchange_is_blind(x));
}

static struct rows play(const uint8_t *data, size_t size, const struct form *form)
{
	struct rows rows = {0};
	const struct exchange_env env = {.providers = providers(), .ops = &ops, .user = &rows};
	struct exchange *x = upgrade(&env, &apis[data[0] % ARRAY_LEN(apis)], form->extensions);
	struct ws_deflate deflate[WS_SIDES];
	struct frames sides[WS_SIDES];
	uint64_t now_ns = NSEC_PER_SEC;

	must_hold(ws_extensions(slice_of(form->extensions), deflate));
	for (int side = 0; side < WS_SIDES; side++)
		frames_init(&sides[side], side, deflate[side]);
	for (data++, size--; size > 2; now_ns += NSEC_PER_SEC) {
		size_t n = (size_t)(data[0] & 7) << 8 | data[1];
		enum chunk_dir dir = data[0] & 128 ? CHUNK_READ : CHUNK_WRITE;

		n = n < size - 2 ? n : size - 2;
		say(x, &sides[dir == CHUNK_WRITE ? WS_CLIENT : WS_SERVER], dir,
		    (struct slice){(const char *)data + 2, n}, form, now_ns);
		data += 2 + n;
		size -= 2 + n;
	}
	exchange_abandon(x, MESSAGE_CUT, now_ns);
	exchange_free(x);
	for (int side = 0; side < WS_SIDES; side++)
		frames_free(&sides[side]);
	must_hold(rows.open == 0);
	return rows;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct form whole = {"", SIZE_MAX, SIZE_MAX}, cut = {"", 1, 5},
				 compressed = {"permessage-deflate", 30, 11},
				 mixed = {"permessage-deflate; server_no_context_takeover",
					  SIZE_MAX, 64};
	const struct form *const others[] = {&cut, &compressed, &mixed};
	struct rows first;

	if (size < 2)
		return 0;
	first = play(data, size, &whole);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct rows other = play(data, size, others[i]);

		must_hold(trace_eq(&first.trace, &other.trace));
	}
	return 0;
}
