/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of a call on their way: packed for the queue, bound to a statement, and read back. */
#include "agent/base/counters.h"
#include "exporter/schema_columns.h"

#include <cjson/cJSON.h>
#include <sqlite3.h>

/* ---- call to packed columns --------------------------------------------------------------- */

enum packed { PACKED_NULL, PACKED_INT, PACKED_TEXT };

static void pack_null(struct text *out)
{
	text_append(out, &(uint8_t){PACKED_NULL}, 1);
}

static void pack_int(struct text *out, int64_t value, enum null_rule null)
{
	if ((null == NULL_ZERO && value == 0) || (null == NULL_NEGATIVE && value < 0)) {
		pack_null(out);
		return;
	}
	text_append(out, &(uint8_t){PACKED_INT}, 1);
	text_append(out, &value, sizeof(value));
}

static void pack_text(struct text *out, struct slice s)
{
	uint32_t len = (uint32_t)s.len;

	if (len == 0) {
		pack_null(out);
		return;
	}
	text_append(out, &(uint8_t){PACKED_TEXT}, 1);
	text_append(out, &len, sizeof(len));
	text_append(out, s.ptr, s.len);
}

/* Numbers, booleans, null, and objects and lists of these: text could be content. */
static bool holds_no_text(const cJSON *item)
{
	if (cJSON_IsString(item) || cJSON_IsRaw(item))
		return false;
	for (const cJSON *child = item->child; child; child = child->next) {
		if (!holds_no_text(child))
			return false;
	}
	return true;
}

static bool raw_usage_valid(struct slice raw)
{
	cJSON *json = cJSON_ParseWithLength(raw.ptr, raw.len);
	bool valid = cJSON_IsObject(json) && holds_no_text(json);

	if (!json && raw.len) /* what agent/usage/raw.h writes is JSON: memory is short */
		counter_add(COUNTER_DECODE_MEMORY, 1);
	cJSON_Delete(json);
	return valid;
}

#define TAGS_JSON_MAX (64u << 10) /* CALL_TAGS_MAX tags, every byte escaped as \u00xx, fit */

static void pack_tags(struct text *out, const struct tags *tags)
{
	struct text json = TEXT_INIT(TAGS_JSON_MAX);

	for (uint32_t i = 0; i < tags->count; i++) {
		text_puts(&json, i ? "," : "{");
		text_json_string(&json, slice_of(tags->item[i].key));
		text_puts(&json, ":[");
		text_json_string(&json, slice_of(tags->item[i].value));
		text_printf(&json, ",\"%s\"]", tag_source_names[tags->item[i].source]);
	}
	if (tags->count)
		text_puts(&json, "}");
	pack_text(out, (struct slice){json.ptr, json.len});
	out->failed |= json.failed;
	text_free(&json);
}

static void pack_column(struct text *out, const struct schema_column *c, const struct call *call)
{
	const char *at = (const char *)call + c->offset;
	struct slice text = {at, c->size};
	const struct workload *w;
	uint32_t value;

	switch (c->type) {
	case COL_TEXT:
		text.len = strnlen(at, c->size);
		return pack_text(out, text);
	case COL_RAW:
		text.len = strnlen(at, c->size);
		text.len = raw_usage_valid(text) ? text.len : 0;
		return pack_text(out, text);
	case COL_INT:
		return pack_int(out, *(const int *)at, c->null);
	case COL_U32:
		return pack_int(out, *(const uint32_t *)at, c->null);
	case COL_I64:
		return pack_int(out, *(const int64_t *)at, c->null);
	case COL_BOOL:
		return pack_int(out, *(const bool *)at, c->null);
	case COL_ENUM:
		value = *(const uint32_t *)at;
		return pack_text(out, slice_of(value < c->size ? c->names[value] : ""));
	case COL_TOKEN:
		return call->usage.known ? pack_int(out, *(const int64_t *)at, c->null)
					 : pack_null(out);
	case COL_UID:
		w = (const struct workload *)at;
		return w->uid_known ? pack_int(out, w->uid, c->null) : pack_null(out);
	case COL_TAGS:
		return pack_tags(out, &call->tags);
	}
}

void schema_pack(struct text *out, enum schema_table table, const struct call *call)
{
	for (size_t i = 0; i < schema_column_count[table]; i++)
		pack_column(out, &schema_columns[table][i], call);
}

/* ---- packed columns to SQLite ------------------------------------------------------------ */

/* A column's value on its way back. */
struct cell {
	bool null;
	int64_t value;
	struct slice text;
};

/* The next packed column. The caller packed these bytes itself, so lengths are trusted. */
static struct cell unpack(const char **p)
{
	struct cell cell = {.null = true, .text = SLICE("")};
	uint8_t kind = (uint8_t) * (*p)++;
	uint32_t len;

	if (kind == PACKED_INT) {
		memcpy(&cell.value, *p, sizeof(cell.value));
		*p += sizeof(cell.value);
		cell.null = false;
	} else if (kind == PACKED_TEXT) {
		memcpy(&len, *p, sizeof(len));
		cell.text = (struct slice){*p + sizeof(len), len};
		*p += sizeof(len) + len;
		cell.null = false;
	}
	return cell;
}

size_t schema_bind(struct sqlite3_stmt *stmt, int first, enum schema_table table,
		   struct slice packed)
{
	const char *p = packed.ptr;

	for (size_t i = 0; i < schema_column_count[table]; i++) {
		int parameter = first + (int)i;
		struct cell cell = unpack(&p);

		if (cell.null)
			sqlite3_bind_null(stmt, parameter);
		else if (column_is_text(&schema_columns[table][i]))
			sqlite3_bind_text(stmt, parameter, cell.text.ptr, (int)cell.text.len,
					  SQLITE_STATIC);
		else
			sqlite3_bind_int64(stmt, parameter, cell.value);
	}
	return (size_t)(p - packed.ptr);
}

/* ---- what others wrote -------------------------------------------------------------------- */

static bool name_known(const struct schema_column *c, struct slice name)
{
	for (uint32_t i = 0; i < c->size; i++) {
		if (slice_eq(slice_of(c->names[i]), name))
			return true;
	}
	return false;
}

static bool text_fits(struct sqlite3_stmt *stmt, int at, const struct schema_column *c)
{
	struct slice text = {(const char *)sqlite3_column_text(stmt, at),
			     (size_t)sqlite3_column_bytes(stmt, at)};

	if (sqlite3_column_type(stmt, at) != SQLITE_TEXT || memchr(text.ptr, 0, text.len))
		return false;
	if (c->type == COL_TAGS)
		return text.len < TAGS_JSON_MAX;
	return c->type == COL_ENUM ? name_known(c, text) : text.len < c->size;
}

static bool number_fits(struct sqlite3_stmt *stmt, int at, const struct schema_column *c)
{
	int64_t value = sqlite3_column_int64(stmt, at);

	if (sqlite3_column_type(stmt, at) != SQLITE_INTEGER)
		return false;
	switch (c->type) {
	case COL_BOOL:
		return value == 0 || value == 1;
	case COL_INT:
		return value >= 0 && value <= INT32_MAX;
	case COL_U32:
	case COL_UID:
		return value >= 0 && value <= UINT32_MAX;
	default:
		/* What caching saved may be below 0: it cost more. */
		return value >= 0 || !strcmp(c->name, "cache_savings_pusd");
	}
}

const char *schema_refuses(struct sqlite3_stmt *stmt, int first, enum schema_table table)
{
	for (size_t i = 0; i < schema_column_count[table]; i++) {
		const struct schema_column *c = &schema_columns[table][i];
		int at = first + (int)i;

		if (sqlite3_column_type(stmt, at) == SQLITE_NULL) {
			if (!strcmp(c->name, "started_at_us"))
				return c->name;
			continue;
		}
		if (column_is_text(c) ? !text_fits(stmt, at, c) : !number_fits(stmt, at, c))
			return c->name;
	}
	return NULL;
}

/* ---- back to a call ---------------------------------------------------------------------- */

static enum tag_source tag_source_of(const char *name)
{
	for (int i = 0; i < TAG_SOURCES; i++) {
		if (name && !strcmp(tag_source_names[i], name))
			return (enum tag_source)i;
	}
	return TAG_DEFAULT;
}

static void load_tags(struct slice text, struct tags *tags)
{
	cJSON *json = cJSON_ParseWithLength(text.ptr, text.len);

	tags->count = 0;
	for (const cJSON *tag = json ? json->child : NULL; tag; tag = tag->next) {
		const char *value = cJSON_GetStringValue(cJSON_GetArrayItem(tag, 0));
		const char *source = cJSON_GetStringValue(cJSON_GetArrayItem(tag, 1));

		if (value &&
		    !tags_set(tags, slice_of(tag->string), slice_of(value), tag_source_of(source)))
			break;
	}
	cJSON_Delete(json);
}

static uint32_t enum_of(const struct schema_column *c, struct slice name)
{
	for (uint32_t i = 0; i < c->size; i++) {
		if (slice_eq(slice_of(c->names[i]), name))
			return i;
	}
	return 0;
}

/* What a NULL column meant before it was stored. */
static int64_t null_value(const struct schema_column *c)
{
	return c->null == NULL_NEGATIVE ? -1 : 0;
}

static void load_column(const struct schema_column *c, struct cell cell, struct call *call)
{
	char *at = (char *)call + c->offset;
	int64_t value = cell.null ? null_value(c) : cell.value;
	struct workload *w;

	switch (c->type) {
	case COL_TEXT:
	case COL_RAW:
		slice_copy(at, c->size, cell.text);
		break;
	case COL_INT:
		*(int *)at = (int)value;
		break;
	case COL_U32:
		*(uint32_t *)at = (uint32_t)value;
		break;
	case COL_I64:
		*(int64_t *)at = value;
		break;
	case COL_BOOL:
		*(bool *)at = value;
		break;
	case COL_ENUM:
		*(uint32_t *)at = enum_of(c, cell.text);
		break;
	case COL_TOKEN:
		*(int64_t *)at = value;
		call->usage.known = !cell.null;
		break;
	case COL_UID:
		w = (struct workload *)at;
		w->uid = (uint32_t)value;
		w->uid_known = !cell.null;
		break;
	case COL_TAGS:
		load_tags(cell.text, &call->tags);
		break;
	}
}

static struct cell column_of(struct sqlite3_stmt *stmt, int column, const struct schema_column *c)
{
	struct cell cell = {.null = sqlite3_column_type(stmt, column) == SQLITE_NULL};
	const char *text =
		column_is_text(c) ? (const char *)sqlite3_column_text(stmt, column) : NULL;

	cell.text = slice_of(text ? text : "");
	cell.value = cell.null ? 0 : sqlite3_column_int64(stmt, column);
	return cell;
}

void schema_load(struct sqlite3_stmt *stmt, int first, enum schema_table table, struct call *call)
{
	for (size_t i = 0; i < schema_column_count[table]; i++)
		load_column(&schema_columns[table][i],
			    column_of(stmt, first + (int)i, &schema_columns[table][i]), call);
}

void schema_unpack(struct slice packed, enum schema_table table, struct call *call)
{
	const char *p = packed.ptr;

	for (size_t i = 0; i < schema_column_count[table]; i++)
		load_column(&schema_columns[table][i], unpack(&p), call);
}
