/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/rows.h"

#include <errno.h>

/* ---- events ---------------------------------------------------------------------------------- */

static void event_begin(void *user, struct slice name)
{
	struct meter *m = user;

	rows_document_begin(m);
	rows_type(m, name);
}

static void event_data(void *user, struct slice piece)
{
	struct meter *m = user;
	size_t n = sizeof(m->data_head) - m->data_len;

	if (n > piece.len)
		n = piece.len;
	memcpy(m->data_head + m->data_len, piece.ptr, n);
	m->data_len += n;
	m->doc = json_scan_feed(m->scan, piece);
}

static void event_end(void *user)
{
	struct meter *m = user;

	if (slice_eq((struct slice){m->data_head, m->data_len}, SLICE(DONE_MARK)))
		m->facts.ended = true;
	else if (m->doc == JSON_BROKEN)
		m->facts.broken = true;
	else if ((m->doc == JSON_DONE && m->doc_last) || (m->finish_seen && m->facts.final))
		m->facts.ended = true;
}

static const struct sse_ops event_ops = {
	.begin = event_begin,
	.data = event_data,
	.end = event_end,
};

/* ---- messages of an event stream --------------------------------------------------------------
 */

static void chunk_bytes(void *user, struct slice piece)
{
	struct meter *m = user;

	m->doc = json_scan_feed(m->scan, piece);
}

static bool is_json(const char *content_type)
{
	return !*content_type || strcmp(content_type, "application/json") == 0;
}

static void message_begin(void *user, const struct eventstream_head *head)
{
	struct meter *m = user;

	rows_document_begin(m);
	m->payload = is_json(head->content_type) ? PAYLOAD_JSON : PAYLOAD_OTHER;
	if (m->chunk && strcmp(head->event_type, "chunk") == 0) {
		m->payload = PAYLOAD_CHUNK;
		chunk_reader_begin(m->chunk);
	}
	m->doc_last = rows_listed(m->dialect->end_types, slice_of(head->event_type));
	if (!head->exception_type[0])
		return;
	m->facts.failed = true;
	slice_copy(m->answer.text[TEXT_ERROR_TYPE], CALL_NAME_MAX, slice_of(head->exception_type));
}

static void message_data(void *user, struct slice piece)
{
	struct meter *m = user;

	if (m->payload == PAYLOAD_CHUNK)
		chunk_reader_feed(m->chunk, piece);
	else if (m->payload == PAYLOAD_JSON)
		m->doc = json_scan_feed(m->scan, piece);
}

/* Counts of a message whose sum does not hold are none. */
static void message_end(void *user, bool sound)
{
	struct meter *m = user;

	m->message_seen |= sound;
	if (!sound && m->doc_counts)
		m->answer.unreadable = true;
	if (!sound || m->doc == JSON_BROKEN ||
	    (m->payload == PAYLOAD_CHUNK && !chunk_reader_end(m->chunk)))
		m->facts.broken = true;
	else if (m->doc == JSON_DONE && m->doc_last)
		m->facts.ended = true;
}

/* Bytes that begin with a zero and are no message at all: neither JSON nor events. */
static void message_lost(void *user)
{
	struct meter *m = user;

	m->facts.broken = true;
	m->facts.alien |= !m->message_seen;
	if (!m->facts.ended)
		m->facts.final = false;
}

static const struct eventstream_ops message_ops = {
	.begin = message_begin,
	.data = message_data,
	.end = message_end,
	.lost = message_lost,
};

/* ---- one document, or one a line ------------------------------------------------------------- */

/* A place to go on from comes: a blank line, a prelude, a line's end. In an array there is none. */
static bool resyncs(const struct meter *m)
{
	return m->shape == SHAPE_SSE || m->shape == SHAPE_MESSAGES ||
	       (m->shape == SHAPE_JSON && m->dialect->lines);
}

static void json_broken(struct meter *m, bool line_end)
{
	m->facts.broken = true;
	if (m->facts.stream && resyncs(m)) {
		m->resync = !line_end;
		rows_document_begin(m);
		return;
	}
	m->shape = SHAPE_DEAD;
	m->facts.ended = false; /* junk behind a whole document, be it told with it or later */
	m->facts.final &= m->facts.stream;
}

/* An answer of one piece, or the last line of a stream: nothing later would change its counts. */
static void whole_document(struct meter *m)
{
	m->facts.ended = true;
	m->facts.final |= m->doc_counts;
}

/* Up to and with the first byte that may end a document, or a line. */
static struct slice document_part(struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++) {
		if (memchr("}]\n", bytes.ptr[i], 3))
			return (struct slice){bytes.ptr, i + 1};
	}
	return bytes;
}

static void lines_part(struct meter *m, struct slice part)
{
	bool line_end = part.ptr[part.len - 1] == '\n';

	if (m->resync) {
		m->resync = !line_end;
		return;
	}
	switch (json_scan_feed(m->scan, part)) {
	case JSON_DONE:
		if (m->doc_last || !m->facts.stream)
			whole_document(m);
		rows_document_begin(m);
		break;
	case JSON_BROKEN:
		json_broken(m, line_end);
		break;
	case JSON_MORE:
		break;
	}
}

static void lines_feed(struct meter *m, struct slice bytes)
{
	while (bytes.len && m->shape == SHAPE_JSON) {
		struct slice part = document_part(bytes);

		lines_part(m, part);
		bytes.ptr += part.len;
		bytes.len -= part.len;
	}
}

/* ---- one unit a line ------------------------------------------------------------------------- */

static bool has_unit_lines(const struct meter *m)
{
	return m->dialect->units && m->dialect->lines;
}

/* The line is over, and was a unit if it was JSON; nothing of it goes into the next one. */
static void unit_line_end(struct meter *m, enum json_result result)
{
	if (result == JSON_DONE)
		rows_unit_end(m);
	else
		rows_unit_begin(m);
	rows_document_begin(m);
}

/* A line, or a piece of one. */
static void unit_line_part(struct meter *m, struct slice part, bool line_end)
{
	enum json_result result = JSON_BROKEN;

	if (!m->resync)
		result = json_scan_feed(m->scan, part);
	if (result == JSON_BROKEN) {
		m->facts.broken |= !m->resync;
		m->resync = true;
	}
	if (!line_end)
		return;
	unit_line_end(m, result);
	m->resync = false;
}

static void unit_lines_feed(struct meter *m, struct slice bytes)
{
	while (bytes.len) {
		const char *end = memchr(bytes.ptr, '\n', bytes.len);
		size_t n = end ? (size_t)(end - bytes.ptr) + 1 : bytes.len;

		unit_line_part(m, (struct slice){bytes.ptr, n}, end != NULL);
		bytes.ptr += n;
		bytes.len -= n;
	}
}

/* One document is looked for. Where bytes follow a whole one, what its end proved holds no more. */
static void json_feed(struct meter *m, struct slice bytes)
{
	m->facts.ended = false;
	m->facts.final &= !m->final_by_end;
	m->final_by_end = false;
	switch (json_scan_feed(m->scan, bytes)) {
	case JSON_DONE:
		m->final_by_end = !m->facts.final;
		whole_document(m);
		break;
	case JSON_BROKEN:
		json_broken(m, false);
		break;
	case JSON_MORE:
		break;
	}
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static enum shape shape_of(char c)
{
	if (c == '{' || c == '[')
		return SHAPE_JSON;
	if (!c) /* of the length of a message below 16 MiB */
		return SHAPE_MESSAGES;
	return strchr("deir:", c) ? SHAPE_SSE : SHAPE_DEAD;
}

/* Decides the shape by the first byte that is no space or byte order mark. */
static void decide_shape(struct meter *m, struct slice *bytes)
{
	while (bytes->len && memchr(" \t\r\n\xef\xbb\xbf", bytes->ptr[0], 7)) {
		bytes->ptr++;
		bytes->len--;
	}
	if (!bytes->len)
		return;
	m->shape = shape_of(bytes->ptr[0]);
	m->facts.alien = m->shape == SHAPE_DEAD;
	m->facts.stream = m->shape == SHAPE_SSE || m->shape == SHAPE_MESSAGES ||
			  (m->shape == SHAPE_JSON && has_unit_lines(m));
}

/* Drops bytes up to and with the next blank line; false while none was seen. */
static bool find_blank_line(struct meter *m, struct slice *bytes)
{
	while (bytes->len) {
		char c = bytes->ptr[0];
		bool line_end = c == '\r' || (c == '\n' && !m->after_cr);

		m->after_cr = c == '\r';
		bytes->ptr++;
		bytes->len--;
		if (line_end && m->line_empty)
			return true;
		if (line_end || c != '\n')
			m->line_empty = line_end;
	}
	return false;
}

void meter_restart(struct meter *m)
{
	rows_unit_begin(m);
	for (int i = TEXT_DATE; i < ANSWER_TEXTS; i++)
		m->answer.text[i][0] = '\0';
	m->resync = false;
	m->facts = (struct meter_facts){0};
	m->final_by_end = false;
	rows_document_begin(m);
	sse_init(&m->sse, &event_ops, m);
	eventstream_init(&m->messages, &message_ops, m);
	m->message_seen = false;
	m->shape = SHAPE_UNKNOWN;
	if (m->protobuf)
		grpc_body_restart(m);
}

void meter_feed(struct meter *m, struct slice bytes)
{
	if (m->shape == SHAPE_UNKNOWN)
		decide_shape(m, &bytes);
	if (m->resync && m->shape == SHAPE_SSE) {
		if (!find_blank_line(m, &bytes))
			return;
		m->resync = false;
	}
	if (!bytes.len)
		return;
	switch (m->shape) {
	case SHAPE_SSE:
		sse_feed(&m->sse, bytes);
		break;
	case SHAPE_MESSAGES:
		eventstream_feed(&m->messages, bytes);
		break;
	case SHAPE_GRPC:
		grpc_feed(&m->grpc, bytes);
		break;
	case SHAPE_JSON:
		if (has_unit_lines(m))
			unit_lines_feed(m, bytes);
		else if (m->dialect->lines)
			lines_feed(m, bytes);
		else
			json_feed(m, bytes);
		break;
	default:
		break;
	}
}

/* The label decides where the first bytes are lost. */
static void shape_by_hint(struct meter *m)
{
	if (m->hint == METER_SSE)
		m->shape = SHAPE_SSE;
	else if (m->hint == METER_EVENTSTREAM)
		m->shape = SHAPE_MESSAGES;
	else if ((m->hint == METER_LINES && m->dialect->lines) || has_unit_lines(m))
		m->shape = SHAPE_JSON;
	else
		return;
	m->facts.stream = true;
}

void meter_gap(struct meter *m, uint64_t n)
{
	if (m->shape == SHAPE_UNKNOWN)
		shape_by_hint(m);
	if (m->usage_open)
		rows_usage_end(m, true);
	/* Cumulative counts may have gone on growing in what was lost. */
	if (m->facts.stream && !m->facts.ended)
		m->facts.final = false;
	if (m->shape == SHAPE_GRPC) {
		grpc_gap(&m->grpc, n);
		return;
	}
	if (!m->facts.stream || !resyncs(m)) {
		/* A usage object that was read to its end stands; the rest cannot be trusted. */
		m->shape = SHAPE_DEAD;
		return;
	}
	sse_init(&m->sse, &event_ops, m);
	eventstream_gap(&m->messages);
	if (has_unit_lines(m))
		rows_unit_begin(m);
	rows_document_begin(m);
	m->resync = true;
	m->line_empty = false;
	m->after_cr = false;
}

void meter_eof(struct meter *m)
{
	if (m->shape == SHAPE_SSE && !m->resync)
		sse_eof(&m->sse);
	if (m->shape == SHAPE_JSON && has_unit_lines(m) && !m->resync)
		unit_line_end(m, json_scan_eof(m->scan));
	if (m->usage_open)
		rows_usage_end(m, true);
}

/* ---- results --------------------------------------------------------------------------------- */

const struct meter_facts *meter_facts(const struct meter *m)
{
	return &m->facts;
}

const struct answer *meter_answer(const struct meter *m)
{
	return &m->answer;
}

static void usage_clear(struct usage *u)
{
	memset(u, 0, sizeof(*u));
	u->provider_cost_pusd = -1;
}

/* What cannot be told for certain is not told; the provider's own amount stands by itself. */
static void usage_doubt(struct usage *u)
{
	int64_t cost_pusd = u->provider_cost_pusd;

	usage_clear(u);
	u->provider_cost_pusd = cost_pusd;
	u->mismatch = true;
}

void meter_usage(const struct meter *m, struct usage *out)
{
	usage_clear(out);
	if (m->dialect->finish)
		m->dialect->finish(&m->answer, out);
	if (m->answer.unreadable)
		usage_doubt(out);
	raw_store_render(&m->raw, out->raw_json, sizeof(out->raw_json));
}

void meter_sub_usage(const struct meter *m, uint32_t i, struct usage *out)
{
	usage_clear(out);
	m->dialect->finish_sub(&m->answer.sub[i], out);
	if (m->answer.unreadable)
		usage_doubt(out);
}

void meter_on_unit(struct meter *m, void (*unit)(void *user), void *user)
{
	m->unit = unit;
	m->unit_user = user;
}

void meter_on_tool_call(struct meter *m, void (*tool_call)(void *user, struct slice id), void *user)
{
	m->tool_call = tool_call;
	m->tool_call_user = user;
}

void meter_on_content(struct meter *m, void (*content)(void *user, struct slice text), void *user)
{
	m->content = content;
	m->content_user = user;
}

size_t meter_memory(const struct meter *m)
{
	if (!m)
		return 0;
	return sizeof(*m) + (m->before ? sizeof(*m->before) : 0) +
	       (m->scan ? json_scan_memory(m->scan) : 0) + chunk_reader_memory(m->chunk) +
	       grpc_body_memory(m);
}

int dialect_paths_new(struct json_paths **out, const struct dialect *dialect)
{
	const char **paths = calloc(dialect->row_count, sizeof(*paths));
	int err;

	if (!paths)
		return -ENOMEM;
	for (size_t i = 0; i < dialect->row_count; i++)
		paths[i] = dialect->rows[i].path;
	err = json_paths_new(out, paths, dialect->row_count);
	free(paths);
	return err;
}

/* What the dialect needs to read a body. */
static int open_readers(struct meter *m, struct json_paths *paths)
{
	if (m->dialect->usage_whole)
		m->before = calloc(1, sizeof(*m->before));
	if (m->dialect->usage_whole && !m->before)
		return -ENOMEM;
	if (m->dialect->wire != WIRE_JSON)
		return grpc_body_new(m, paths);
	if (json_scan_new(&m->scan, paths, &rows_ops, m) ||
	    (m->dialect->chunks && chunk_reader_new(&m->chunk, chunk_bytes, m)))
		return -ENOMEM;
	return 0;
}

int meter_new(struct meter **out, const struct dialect *dialect, struct json_paths *paths,
	      enum meter_hint hint)
{
	struct meter *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->dialect = dialect;
	m->hint = hint;
	if (open_readers(m, paths)) {
		meter_free(m);
		return -ENOMEM;
	}
	raw_clear(m->answer.item_raw);
	meter_restart(m);
	*out = m;
	return 0;
}

void meter_free(struct meter *m)
{
	if (!m)
		return;
	json_scan_free(m->scan);
	grpc_body_free(m);
	chunk_reader_free(m->chunk);
	free(m->before);
	free(m);
}
