/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/meter.h"

#include "agent/base/money.h"
#include "agent/sse/sse.h"
#include "agent/usage/raw.h"

#include <errno.h>

enum shape { SHAPE_UNKNOWN, SHAPE_JSON, SHAPE_SSE, SHAPE_DEAD };

/* Chat streams end with this in place of JSON. */
#define DONE_MARK "[DONE]"

struct meter {
	const struct dialect *dialect;
	enum shape shape;
	bool sse_hint;
	bool finish_seen;
	struct meter_facts facts;
	struct answer answer;
	struct raw_store raw;
	struct json_scan *scan;
	struct sse sse;

	/* The document being read: the body, or one event's data. */
	bool doc_counts; /* it carried a count */
	bool doc_items;	 /* it carried an item */
	bool doc_broken; /* it is no JSON */
	size_t data_len;
	char data_head[sizeof(DONE_MARK)];

	/* After a gap events are dropped up to a blank line. */
	bool resync;
	bool line_empty;
	bool after_cr;
};

/* ---- what the rows mean ---------------------------------------------------------------------- */

/* False when nothing was read: null, or what is no count and so casts doubt on all the others. */
static bool read_count(struct meter *m, const struct json_value *v, int64_t *out)
{
	int64_t n;

	if (v->type == JSON_NULL)
		return false;
	if ((v->type != JSON_NUMBER && v->type != JSON_STRING) || v->cut ||
	    !decimal_parse(v->text, 0, &n) || n > RAW_COUNT_MAX) {
		m->answer.unreadable = true;
		return false;
	}
	*out = n;
	return true;
}

static void on_count(struct meter *m, const struct dialect_row *row, const struct json_value *v)
{
	if (!read_count(m, v, &m->answer.raw[row->field]))
		return;
	m->doc_counts = true;
	m->facts.marked = true;
}

static void on_text(struct meter *m, const struct dialect_row *row, const struct json_value *v)
{
	if ((v->type == JSON_STRING || v->type == JSON_NUMBER) && v->text.len)
		slice_copy(m->answer.text[row->field], CALL_NAME_MAX, v->text);
}

static bool listed(const char *const *list, struct slice text)
{
	for (; list && *list; list++) {
		if (slice_eq(slice_of(*list), text))
			return true;
	}
	return false;
}

/* An event's type, from its data or its event line. */
static void on_type(struct meter *m, struct slice type)
{
	if (listed(m->dialect->end_types, type))
		m->facts.ended = true;
	if (slice_eq(type, SLICE("error")) || slice_eq(type, SLICE("response.failed")))
		m->facts.failed = true;
}

static void on_content(struct meter *m, const struct json_value *v)
{
	if (v->type != JSON_STRING || !v->text_len)
		return;
	m->answer.content_bytes += v->text_len;
	m->facts.content = true;
}

static void on_value(void *user, const struct json_value *v)
{
	struct meter *m = user;
	const struct dialect_row *row = &m->dialect->rows[v->path];
	int64_t n;

	switch (row->kind) {
	case ROW_COUNT:
		on_count(m, row, v);
		break;
	case ROW_USD:
		if (v->type == JSON_NUMBER && !v->cut && decimal_parse_rounded(v->text, 12, &n))
			m->answer.raw[row->field] = n;
		break;
	case ROW_TRUE:
		m->answer.raw[row->field] = v->type == JSON_TRUE;
		break;
	case ROW_TEXT:
		on_text(m, row, v);
		break;
	case ROW_RAW:
		if (v->type == JSON_NUMBER && !v->cut)
			raw_store_set(&m->raw, v->tail, v->text);
		break;
	case ROW_CONTENT:
		on_content(m, v);
		break;
	case ROW_FINISH:
		m->finish_seen |= v->type == JSON_STRING && v->text.len;
		break;
	case ROW_TYPE:
		on_type(m, v->text);
		__attribute__((fallthrough)); /* a type of the dialect's own is a mark of it */
	case ROW_MARK:
		m->facts.marked |=
			v->type != JSON_NULL && slice_starts(v->text, slice_of(row->prefix));
		break;
	case ROW_ITEM_COUNT:
		read_count(m, v, &m->answer.item_raw[row->field]);
		break;
	case ROW_USAGE:
	case ROW_ERROR:
	case ROW_ITEM:
		break; /* objects */
	}
}

/* The first item of a document: it lists all of them anew. */
static void items_restart(struct answer *a)
{
	memset(a->item_sum, 0, sizeof(a->item_sum));
	a->items_unlike = 0;
	a->items_fallback = false;
	a->items_unknown = false;
	a->items_unbilled = false;
	a->container_count = 0;
	a->sub_count = 0;
}

static void on_item(struct meter *m, bool begin)
{
	struct answer *a = &m->answer;

	if (!begin) {
		m->dialect->item(a);
		return;
	}
	if (!m->doc_items)
		items_restart(a);
	m->doc_items = true;
	for (int i = TEXT_ITEM_TYPE; i < ANSWER_TEXTS; i++)
		a->text[i][0] = '\0';
	raw_clear(a->item_raw);
}

static void on_object(void *user, size_t path, bool begin)
{
	struct meter *m = user;
	const struct answer *a = &m->answer;

	switch (m->dialect->rows[path].kind) {
	case ROW_USAGE:
		if (!begin && m->doc_counts)
			m->facts.final = true;
		break;
	case ROW_ERROR:
		m->facts.failed = true;
		if (!begin && (a->text[TEXT_ERROR_TYPE][0] || a->text[TEXT_ERROR_CODE][0]))
			m->facts.marked = true;
		break;
	case ROW_ITEM:
		on_item(m, begin);
		break;
	default:
		break;
	}
}

static const struct json_ops scan_ops = {.value = on_value, .object = on_object};

/* ---- events ---------------------------------------------------------------------------------- */

static void document_begin(struct meter *m)
{
	json_scan_reset(m->scan);
	m->doc_counts = false;
	m->doc_items = false;
	m->doc_broken = false;
	m->data_len = 0;
}

static void event_begin(void *user, struct slice name)
{
	struct meter *m = user;

	document_begin(m);
	on_type(m, name);
}

static void event_data(void *user, struct slice piece)
{
	struct meter *m = user;
	size_t n = sizeof(m->data_head) - m->data_len;

	if (n > piece.len)
		n = piece.len;
	memcpy(m->data_head + m->data_len, piece.ptr, n);
	m->data_len += n;
	m->doc_broken = json_scan_feed(m->scan, piece) == JSON_BROKEN;
}

static void event_end(void *user)
{
	struct meter *m = user;

	if (slice_eq((struct slice){m->data_head, m->data_len}, SLICE(DONE_MARK)))
		m->facts.ended = true;
	else if (m->doc_broken)
		m->facts.broken = true;
	else if (m->finish_seen && m->facts.final)
		m->facts.ended = true;
}

static const struct sse_ops event_ops = {
	.begin = event_begin,
	.data = event_data,
	.end = event_end,
};

/* ---- bytes ----------------------------------------------------------------------------------- */

static enum shape shape_of(char c)
{
	if (c == '{' || c == '[')
		return SHAPE_JSON;
	return c && strchr("deir:", c) ? SHAPE_SSE : SHAPE_DEAD;
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
	m->facts.stream = m->shape == SHAPE_SSE;
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
	case SHAPE_JSON:
		switch (json_scan_feed(m->scan, bytes)) {
		case JSON_DONE:
			m->facts.ended = true;
			break;
		case JSON_BROKEN:
			m->shape = SHAPE_DEAD;
			m->facts.broken = true;
			m->facts.ended = false; /* junk behind a whole document */
			break;
		case JSON_MORE:
			break;
		}
		break;
	default:
		break;
	}
}

void meter_gap(struct meter *m)
{
	if (m->shape == SHAPE_UNKNOWN && m->sse_hint) {
		m->shape = SHAPE_SSE;
		m->facts.stream = true;
	}
	if (m->shape != SHAPE_SSE) {
		/* A usage object that was read to its end stands; the rest cannot be trusted. */
		m->shape = SHAPE_DEAD;
		return;
	}
	sse_init(&m->sse, &event_ops, m);
	document_begin(m);
	m->resync = true;
	m->line_empty = false;
	m->after_cr = false;
	/* Cumulative counts may have gone on growing in what was lost. */
	if (!m->facts.ended)
		m->facts.final = false;
}

void meter_eof(struct meter *m)
{
	if (m->shape == SHAPE_SSE && !m->resync)
		sse_eof(&m->sse);
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

size_t meter_memory(const struct meter *m)
{
	return m ? sizeof(*m) + json_scan_memory(m->scan) : 0;
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

int meter_new(struct meter **out, const struct dialect *dialect, struct json_paths *paths,
	      bool sse_hint)
{
	struct meter *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	if (json_scan_new(&m->scan, paths, &scan_ops, m)) {
		free(m);
		return -ENOMEM;
	}
	m->dialect = dialect;
	m->sse_hint = sse_hint;
	raw_clear(m->answer.raw);
	raw_clear(m->answer.item_raw);
	sse_init(&m->sse, &event_ops, m);
	*out = m;
	return 0;
}

void meter_free(struct meter *m)
{
	if (!m)
		return;
	json_scan_free(m->scan);
	free(m);
}
