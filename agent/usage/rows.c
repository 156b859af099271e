/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/rows.h"

#include "agent/base/money.h"

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
	if (row->prefix)
		raw_store_set(&m->raw, slice_of(row->prefix), v->text);
	m->doc_counts = true;
	m->usage_counts = true;
	m->facts.marked = true;
}

static void on_seconds(struct meter *m, const struct dialect_row *row, const struct json_value *v)
{
	int64_t n;

	if (v->type != JSON_NUMBER || v->cut || !decimal_parse_rounded(v->text, 0, &n) ||
	    n > RAW_COUNT_MAX)
		return;
	m->answer.raw[row->field] = n;
	m->doc_counts = true;
	m->usage_counts = true;
}

void meter_header(struct meter *m, const struct dialect_head *row, struct slice value)
{
	const struct json_value v = {.type = JSON_STRING, .text = value};

	if (!read_count(m, &v, &m->answer.raw[row->field]))
		return;
	raw_store_set(&m->raw, slice_of(row->name), value);
	m->facts.marked = true;
	m->facts.final = true;
}

static void on_text(struct meter *m, const struct dialect_row *row, const struct json_value *v)
{
	struct slice text = v->text;

	if ((v->type != JSON_STRING && v->type != JSON_NUMBER) || !text.len ||
	    (v->type == JSON_NUMBER && row->field == TEXT_RESPONSE_ID) || /* names nothing */
	    (row->prefix && !slice_starts(text, slice_of(row->prefix))))
		return;
	for (const struct dialect_name *n = m->dialect->names; n && n->to; n++) {
		if (n->field == row->field && slice_eq(text, slice_of(n->from)))
			text = slice_of(n->to);
	}
	slice_copy(m->answer.text[row->field], CALL_NAME_MAX, text);
}

static void on_search(struct meter *m, const struct dialect_row *row, const struct json_value *v)
{
	if (row->prefix ? !slice_eq(v->text, slice_of(row->prefix)) : v->type != JSON_STRING)
		return;
	if (!m->doc_search)
		m->answer.searches = 0;
	m->doc_search = true;
	if (m->answer.searches < UINT32_MAX)
		m->answer.searches++;
}

bool rows_listed(const char *const *list, struct slice text)
{
	for (; list && *list; list++) {
		if (slice_eq(slice_of(*list), text))
			return true;
	}
	return false;
}

void rows_type(struct meter *m, struct slice type)
{
	if (rows_listed(m->dialect->end_types, type))
		m->doc_last = true;
	if (m->dialect->session)
		slice_copy(m->answer.text[TEXT_EVENT], CALL_NAME_MAX, type);
	if (slice_eq(type, SLICE("error")) || slice_eq(type, SLICE("response.failed")))
		m->facts.failed = true;
}

/* A document that says whether more of its kind follow: no answer of one piece says "more". */
static void on_line(struct meter *m, const struct json_value *v)
{
	if (v->type != JSON_FALSE && v->type != JSON_TRUE)
		return;
	m->facts.marked = true;
	if (v->type == JSON_TRUE)
		m->doc_last = true;
	else
		m->facts.stream = true;
}

static void on_content(struct meter *m, const struct json_value *v)
{
	if (v->type != JSON_STRING || !v->text_len)
		return;
	m->answer.content_bytes += v->text_len;
	m->facts.content = true;
}

static void on_unit_name(struct meter *m, const struct json_value *v)
{
	struct answer *a = &m->answer;
	bool fits = v->type == JSON_STRING && !v->cut && v->text.len <= sizeof(a->unit_name);

	a->unit_name_len = fits ? (uint32_t)v->text.len : 0;
	memcpy(a->unit_name, v->text.ptr, a->unit_name_len);
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
	case ROW_SECONDS:
		on_seconds(m, row, v);
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
			raw_store_set(&m->raw, row->prefix ? slice_of(row->prefix) : v->tail,
				      v->text);
		break;
	case ROW_CONTENT:
		on_content(m, v);
		break;
	case ROW_FINISH:
		m->finish_seen |= v->type == JSON_STRING && v->text.len;
		break;
	case ROW_TYPE:
		rows_type(m, v->text);
		__attribute__((fallthrough)); /* a type of the dialect's own is a mark of it */
	case ROW_MARK:
		m->facts.named |=
			v->type != JSON_NULL && slice_starts(v->text, slice_of(row->prefix));
		m->facts.marked |= m->facts.named;
		break;
	case ROW_LINE:
		on_line(m, v);
		break;
	case ROW_FAILED:
		m->facts.failed |= v->type == JSON_STRING && v->text.len &&
				   slice_starts(v->text, slice_of(row->prefix));
		break;
	case ROW_ITEM_COUNT:
		read_count(m, v, &m->answer.item_raw[row->field]);
		break;
	case ROW_SEARCH:
		on_search(m, row, v);
		break;
	case ROW_REFUSED:
		m->answer.refused |= (v->type == JSON_STRING && v->text.len) ||
				     (v->type == JSON_NUMBER && !slice_eq(v->text, SLICE("0")));
		break;
	case ROW_UNIT_NAME:
		on_unit_name(m, v);
		break;
	case ROW_TOOL_CALL:
		if (m->tool_call && v->type == JSON_STRING && !v->cut)
			m->tool_call(m->tool_call_user, v->text);
		break;
	case ROW_USAGE:
	case ROW_LAST:
	case ROW_ERROR:
	case ROW_ITEM:
	case ROW_ELEMENT:
	case ROW_UNIT:
		break; /* objects */
	}
}

void rows_items_restart(struct answer *a)
{
	memset(a->item_sum, 0, sizeof(a->item_sum));
	a->items_unlike = 0;
	a->items_fallback = false;
	a->items_unknown = false;
	a->items_unbilled = false;
	a->container_count = 0;
	a->sub_count = 0;
}

static void on_item(struct meter *m, const struct dialect_row *row, bool begin)
{
	struct answer *a = &m->answer;

	if (!begin) {
		a->item_list = row->field;
		m->dialect->item(a);
		return;
	}
	if (!m->doc_items)
		rows_items_restart(a);
	m->doc_items = true;
	for (int i = TEXT_ITEM_TYPE; i <= TEXT_ITEM_CONTAINER; i++)
		a->text[i][0] = '\0';
	raw_clear(a->item_raw);
}

static void usage_begin(struct meter *m)
{
	struct told *before = m->before;
	struct answer *a = &m->answer;

	before->counts = m->usage_counts;
	memcpy(before->raw, a->raw, sizeof(before->raw));
	memcpy(before->item_sum, a->item_sum, sizeof(before->item_sum));
	before->store = m->raw;
	raw_clear(a->raw);
	rows_items_restart(a);
	m->doc_items = true;
	m->raw.used = 0;
	m->usage_counts = false;
	m->usage_open = true;
}

void rows_usage_end(struct meter *m, bool cut)
{
	const struct told *before = m->before;
	struct answer *a = &m->answer;

	m->usage_open = false;
	if (!before->counts || (m->usage_counts && !cut))
		return;
	m->usage_counts = true;
	memcpy(a->raw, before->raw, sizeof(a->raw));
	memcpy(a->item_sum, before->item_sum, sizeof(a->item_sum));
	m->raw = before->store;
}

void rows_document_begin(struct meter *m)
{
	if (m->usage_open) /* the document before ended inside of it */
		rows_usage_end(m, true);
	if (m->scan)
		json_scan_reset(m->scan);
	m->doc_counts = false;
	m->doc_items = false;
	m->doc_search = false;
	m->doc_last = false;
	m->doc = JSON_MORE;
	m->data_len = 0;
}

static void on_usage(struct meter *m, bool begin)
{
	if (m->before && begin)
		usage_begin(m);
	else if (m->before)
		rows_usage_end(m, false);
	if (!begin && (m->before ? m->usage_counts : m->doc_counts))
		m->facts.final = true;
}

/* One element of an array that is streamed: as an event of SSE. */
static void on_element(struct meter *m, bool begin)
{
	m->facts.stream = true;
	if (!begin)
		return;
	m->doc_counts = false;
	m->doc_items = false;
	m->doc_search = false;
}

void rows_unit_begin(struct meter *m)
{
	struct answer *a = &m->answer;

	raw_clear(a->raw);
	for (int i = 0; i < TEXT_DATE; i++)
		a->text[i][0] = '\0';
	a->content_bytes = 0;
	a->unreadable = a->refused = false;
	a->searches = 0;
	a->unit_name_len = 0;
	rows_items_restart(a);
	m->raw.used = 0;
	m->usage_open = m->usage_counts = m->finish_seen = false;
	m->doc_counts = m->doc_items = m->doc_search = false;
	m->facts.final = m->facts.failed = m->facts.content = false;
}

void rows_unit_end(struct meter *m)
{
	m->facts.final |= m->doc_counts;
	if (m->unit)
		m->unit(m->unit_user);
	rows_unit_begin(m);
}

static void on_object(void *user, size_t path, bool begin)
{
	struct meter *m = user;
	const struct dialect_row *row = &m->dialect->rows[path];
	const struct answer *a = &m->answer;

	switch (row->kind) {
	case ROW_USAGE:
		on_usage(m, begin);
		break;
	case ROW_LAST:
		if (!begin && m->doc_counts) {
			m->facts.final = true;
			m->doc_last = true;
		}
		break;
	case ROW_ELEMENT:
		on_element(m, begin);
		break;
	case ROW_ERROR:
		m->facts.failed = true;
		if (!begin && (a->text[TEXT_ERROR_TYPE][0] || a->text[TEXT_ERROR_CODE][0]))
			m->facts.marked = true;
		break;
	case ROW_ITEM:
		on_item(m, row, begin);
		break;
	case ROW_UNIT:
		if (begin)
			rows_unit_begin(m);
		else
			rows_unit_end(m);
		break;
	default:
		break;
	}
}

/* Only content is asked for in pieces. */
static void on_piece(void *user, size_t path, struct slice bytes)
{
	struct meter *m = user;

	(void)path;
	if (m->content)
		m->content(m->content_user, bytes);
}

const struct json_ops rows_ops = {.value = on_value, .object = on_object, .piece = on_piece};
