/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded sessions over a WebSocket: framed, cut and compressed as was agreed. */
#ifndef TT_TEST_UPGRADED_H
#define TT_TEST_UPGRADED_H

#include "expected.h"

#include "tests/unit/websocket/frames.h"

/* What was agreed for a session, and how its messages are framed. */
struct session_form {
	const char *extensions;
	struct ws_deflate deflate[WS_SIDES];
	size_t fragment;
	size_t piece; /* of what is read or written at once */
};

struct session_wire {
	struct conn_table *table;
	struct conn_id id;
	uint64_t offset[2], now_ns;
	const struct session_form *form;
	struct frames sides[WS_SIDES];
};

/* One call of the application in pieces. */
static void move_bytes(struct session_wire *w, enum chunk_dir dir, const char *ptr, size_t len)
{
	w->now_ns += 1000;
	for (size_t at = 0; at < len; at += w->form->piece) {
		size_t n = len - at < w->form->piece ? len - at : w->form->piece;
		struct chunk chunk = {
			.conn = w->id,
			.dir = dir,
			.offset = w->offset[dir],
			.entry_ns = w->now_ns,
			.now_ns = w->now_ns,
			.data = {ptr + at, n},
			.want = (uint32_t)n,
		};

		w->offset[dir] += n;
		conn_table_feed(w->table, &chunk);
	}
}

static void upgrade(struct session_wire *w, const struct cassette *c)
{
	bool gemini = strcmp(text_member(c, "provider"), "google-gemini") == 0;
	char head[2048];
	int n;

	n = snprintf(head, sizeof(head),
		     "GET %s?%s=%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"
		     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
		     text_member(c, "path"), gemini ? "alt" : "model",
		     gemini ? "ws" : text_member(c, "request_model"), text_member(c, "host"));
	move_bytes(w, CHUNK_WRITE, head, (size_t)n);
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		     "Connection: Upgrade\r\n%s\r\n",
		     w->form->extensions);
	move_bytes(w, CHUNK_READ, head, (size_t)n);
}

static void say(struct session_wire *w, const cJSON *line)
{
	const char *dir = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, "dir"));
	bool client = strcmp(dir, "client") == 0;
	struct frames *f = &w->sides[client ? WS_CLIENT : WS_SERVER];
	char *text = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(line, "data"));

	assert_non_null(text);
	f->len = 0;
	frames_text(f, text, strlen(text), w->form->fragment);
	move_bytes(w, client ? CHUNK_WRITE : CHUNK_READ, f->ptr, f->len);
	cJSON_free(text);
}

static void say_all(struct session_wire *w, const struct bytes *frames)
{
	for (const char *at = frames->ptr; *at;) {
		const char *end = strchr(at, '\n');
		size_t n = end ? (size_t)(end - at) : strlen(at);
		cJSON *line = cJSON_ParseWithLength(at, n);

		assert_non_null(line);
		say(w, line);
		cJSON_Delete(line);
		at += n + (end != NULL);
	}
}

static void replay_session(const struct cassette *c, const struct session_form *form,
			   struct outcome_seen *seen)
{
	struct exchange_env env = {.providers = providers, .ops = &ops, .user = seen};
	struct session_wire w = {.id = {.ssl = 0x1000, .start_boot_ns = 7, .tgid = 42},
				 .form = form,
				 .now_ns = NOW_NS};

	memset(seen, 0, sizeof(*seen));
	assert_int_equal(conn_table_new(&w.table, &env), 0);
	conn_table_open(w.table, &w.id, "", NOW_NS);
	for (int side = 0; side < WS_SIDES; side++)
		frames_init(&w.sides[side], side, form->deflate[side]);
	upgrade(&w, c);
	say_all(&w, &c->frames);
	conn_table_free(w.table);
	for (int side = 0; side < WS_SIDES; side++)
		frames_free(&w.sides[side]);
	assert_int_equal(seen->open, 0);
}

static const char *record_text(const cJSON *record, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, key));

	return text ? text : "";
}

static void check_record(const struct cassette *c, const cJSON *record, const struct call *row)
{
	bool side = record_text(record, "item_id")[0], partial = record_text(record, "basis")[0];
	const char *model = record_text(record, "model");

	assert_int_equal(row->status, 101);
	assert_true(row->stream);
	expect_text(c, "host", text_member(c, "host"), row->host);
	expect_text(c, "response_id", record_text(record, side ? "item_id" : "response_id"),
		    row->response_id);
	if (!side)
		expect_text(c, "request_model", text_member(c, "request_model"),
			    row->model_requested);
	if (model[0])
		expect_text(c, "model", model, row->model);
	else if (side) /* billed at its own model's price */
		assert_true(row->model[0] && strcmp(row->model, text_member(c, "request_model")));
	else
		assert_non_null(strstr(text_member(c, "request_model"), row->model));
	expect_text(c, "basis", partial ? record_text(record, "basis") : "reported_usage",
		    basis_names[row->basis]);
	expect_text(c, "outcome", partial ? record_text(record, "outcome") : "ok",
		    outcome_names[row->outcome]);
	if (!cJSON_HasObjectItem(record, "usage")) {
		assert_false(row->usage.known);
		return;
	}
	check_usage(c, cJSON_GetObjectItemCaseSensitive(record, "usage"), &row->usage);
	check_raw_json(c, cJSON_GetObjectItemCaseSensitive(record, "raw_usage"), row);
}

static void check_records(const struct cassette *c, const struct outcome_seen *seen)
{
	const cJSON *records = member(c, "records"), *record;
	size_t i = 0;

	if (seen->rows != (size_t)cJSON_GetArraySize(records))
		fail_msg("%s: %zu rows, expected %d (ignored: %s)", c->name, seen->rows,
			 cJSON_GetArraySize(records), ignored_reason_names[seen->reason]);
	cJSON_ArrayForEach(record, records)
	{
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(seen->row[i].event_id, seen->row[j].event_id, 16);
		assert_int_equal(seen->row[i].sub_index, i);
		check_record(c, record, &seen->row[i++]);
	}
}

#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate"

static void run_session(const struct cassette *c)
{
	static const struct session_form forms[] = {
		{"", {{false, false}, {false, false}}, SIZE_MAX, SIZE_MAX},
		{"", {{false, false}, {false, false}}, 100, 61},
		{"", {{false, false}, {false, false}}, SIZE_MAX, 1},
		{DEFLATE "\r\n", {{true, true}, {true, true}}, SIZE_MAX, SIZE_MAX},
		{DEFLATE "\r\n", {{true, true}, {true, true}}, 7, 13},
		{DEFLATE "; server_no_context_takeover\r\n", {{true, true}, {true, false}}, 50, 1},
		{DEFLATE "; client_no_context_takeover; server_max_window_bits=15\r\n",
		 {{true, false}, {true, true}},
		 SIZE_MAX,
		 16384},
	};
	static struct outcome_seen first, seen;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		char variant[32];

		replay_session(c, &forms[i], &seen);
		if (!i) {
			first = seen;
			check_records(c, &seen);
		}
		snprintf(variant, sizeof(variant), "form %zu", i);
		same_rows(c, &first, &seen, variant);
	}
}

#endif
