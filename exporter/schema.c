/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/schema.h"

#include "agent/base/counters.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <sqlite3.h>

enum column_type {
	COL_TEXT,  /* char[size]; "" is NULL */
	COL_INT,   /* int */
	COL_U32,   /* uint32_t */
	COL_I64,   /* int64_t, uint64_t below 2^63 */
	COL_BOOL,  /* bool */
	COL_ENUM,  /* enum stored by its name; "" is NULL */
	COL_TOKEN, /* int64_t of usage.tokens: all NULL when usage is not known */
	COL_UID,   /* uid of a struct workload: NULL unless uid_known */
	COL_RAW,   /* usage.raw_json: an object of numbers, else NULL */
	COL_TAGS,  /* {"key":["value","source"]} */
};

/* When a stored number means "unknown" and becomes NULL. */
enum null_rule { NULL_NEVER, NULL_ZERO, NULL_NEGATIVE };

struct schema_column {
	const char *name;
	enum column_type type;
	enum null_rule null;
	uint32_t offset;
	uint32_t size; /* of a text; count of names for an enum */
	const char *const *names;
};

#define AT(field)   offsetof(struct call, field)
#define SIZE(field) sizeof(((struct call *)0)->field)

#define TEXT(name, field)                                                \
	{                                                                \
		name, COL_TEXT, NULL_NEVER, AT(field), SIZE(field), NULL \
	}
#define NUMBER(name, type, field, null)              \
	{                                            \
		name, type, null, AT(field), 0, NULL \
	}
#define NAMED(name, field, names, n)                            \
	{                                                       \
		name, COL_ENUM, NULL_NEVER, AT(field), n, names \
	}
#define TOKEN(name, kind)                                                    \
	{                                                                    \
		name, COL_TOKEN, NULL_NEVER, AT(usage.tokens[kind]), 0, NULL \
	}
#define TOOL(name, unit)                                                      \
	{                                                                     \
		name, COL_I64, NULL_ZERO, AT(usage.tool_units[unit]), 0, NULL \
	}

static const struct schema_column facet_columns[] = {
	TEXT("provider", provider),
	TEXT("host", host),
	NAMED("host_role", role, host_role_names, HOST_ROLES),
	TEXT("operation", operation),
	TEXT("api", api),
	TEXT("model_requested", model_requested),
	TEXT("model", model),
	NUMBER("stream", COL_BOOL, stream, NULL_NEVER),
	NUMBER("status", COL_INT, status, NULL_ZERO),
	NAMED("outcome", outcome, outcome_names, OUTCOMES),
	NAMED("basis", basis, basis_names, BASES),
	TEXT("error_class", error_class),
	TEXT("service_tier", service_tier),
	NUMBER("batch", COL_BOOL, batch, NULL_NEVER),
	TEXT("inference_geo", inference_geo),
	TEXT("speed", speed),
	NAMED("billing_mode", billing_mode, billing_mode_names, BILLING_MODES),
	NUMBER("billable", COL_BOOL, billable, NULL_NEVER),
	TEXT("billed_by", billed_by),
	NAMED("unpriced_reason", cost.unpriced, unpriced_reason_names, UNPRICED_REASONS),
	TEXT("price_id", cost.price_id),
	TEXT("prices_sha256", cost.prices_sha256),
	TEXT("key_fingerprint", key_fingerprint),
	TEXT("credential_kind", credential_kind),
	NUMBER("uid", COL_UID, workload, NULL_NEVER),
	TEXT("user_name", workload.user),
	TEXT("comm", workload.comm),
	TEXT("exe", workload.exe),
	TEXT("cgroup", workload.cgroup),
	TEXT("container_id", workload.container_id),
	TEXT("unit", workload.unit),
	TEXT("namespace", workload.namespace_),
	TEXT("pod", workload.pod),
	TEXT("container", workload.container),
	TEXT("node", workload.node),
	/* As ALTER TABLE does it, what came later stands behind. */
	NAMED("usage_missing", usage_missing, usage_missing_names, USAGE_MISSING_REASONS),
	TEXT("estimated_by", estimated_by),
	NAMED("collapsed_by", collapsed_by, collapse_names, COLLAPSES),
	NUMBER("on_behalf_of", COL_BOOL, is_on_behalf, NULL_ZERO),
	NUMBER("on_behalf_of_uid", COL_UID, on_behalf_of, NULL_NEVER),
	TEXT("on_behalf_of_user_name", on_behalf_of.user),
	TEXT("on_behalf_of_comm", on_behalf_of.comm),
	TEXT("on_behalf_of_exe", on_behalf_of.exe),
	TEXT("on_behalf_of_cgroup", on_behalf_of.cgroup),
	TEXT("on_behalf_of_container_id", on_behalf_of.container_id),
	TEXT("on_behalf_of_unit", on_behalf_of.unit),
	TEXT("on_behalf_of_namespace", on_behalf_of.namespace_),
	TEXT("on_behalf_of_pod", on_behalf_of.pod),
	TEXT("on_behalf_of_container", on_behalf_of.container),
	TEXT("on_behalf_of_node", on_behalf_of.node),
};

static const struct schema_column call_columns[] = {
	NUMBER("started_at_us", COL_I64, started_at_us, NULL_NEVER),
	NUMBER("duration_us", COL_I64, duration_us, NULL_NEVER),
	NUMBER("time_to_first_token_us", COL_I64, time_to_first_token_us, NULL_NEGATIVE),
	NUMBER("pid", COL_U32, workload.pid, NULL_ZERO),
	NUMBER("process_start_ns", COL_I64, workload.start_boot_ns, NULL_ZERO),
	NUMBER("gaps", COL_INT, gaps, NULL_NEVER),
	NUMBER("attempt", COL_INT, attempt, NULL_NEVER),
	TEXT("operation_id", operation_id),
	TEXT("response_id", response_id),
	TEXT("request_id", request_id),
	TEXT("trace_id", trace_id),
	TEXT("span_id", span_id),
	TEXT("session_id", session_id),
	NUMBER("usage_mismatch", COL_BOOL, usage.mismatch, NULL_NEVER),
	TOKEN("input_uncached", TOKEN_INPUT_UNCACHED),
	TOKEN("input_cache_read", TOKEN_INPUT_CACHE_READ),
	TOKEN("input_cache_write_5m", TOKEN_INPUT_CACHE_WRITE_5M),
	TOKEN("input_cache_write_1h", TOKEN_INPUT_CACHE_WRITE_1H),
	TOKEN("input_audio", TOKEN_INPUT_AUDIO),
	TOKEN("input_image", TOKEN_INPUT_IMAGE),
	TOKEN("output_text", TOKEN_OUTPUT_TEXT),
	TOKEN("output_reasoning", TOKEN_OUTPUT_REASONING),
	TOKEN("output_audio", TOKEN_OUTPUT_AUDIO),
	TOKEN("output_image", TOKEN_OUTPUT_IMAGE),
	TOOL("tool_web_search", TOOL_WEB_SEARCH),
	TOOL("tool_file_search", TOOL_FILE_SEARCH),
	TOOL("tool_code_interpreter", TOOL_CODE_INTERPRETER),
	TOOL("tool_images", TOOL_IMAGES),
	TOOL("tool_audio_seconds", TOOL_AUDIO_SECONDS),
	TOOL("tool_characters", TOOL_CHARACTERS),
	TOOL("tool_pages", TOOL_PAGES),
	TOOL("tool_search_units", TOOL_SEARCH_UNITS),
	NUMBER("provider_cost_pusd", COL_I64, usage.provider_cost_pusd, NULL_NEGATIVE),
	NUMBER("list_cost_pusd", COL_I64, cost.list_pusd, NULL_NEGATIVE),
	NUMBER("cost_pusd", COL_I64, cost.cost_pusd, NULL_NEGATIVE),
	{"usage_raw", COL_RAW, NULL_NEVER, AT(usage.raw_json), SIZE(usage.raw_json), NULL},
	{"tags", COL_TAGS, NULL_NEVER, AT(tags), 0, NULL},
	{"usage_conflict", COL_BOOL, NULL_ZERO, AT(usage_conflict), 0, NULL},
	NUMBER("on_behalf_of_pid", COL_U32, on_behalf_of.pid, NULL_ZERO),
};

/* Columns whose names begin so, and the version that brought them. */
static const struct {
	const char *start;
	int64_t since;
} later_columns[] = {
	{"usage_conflict", 3}, {"usage_missing", 3}, {"estimated_by", 3},
	{"collapsed_by", 3},   {"on_behalf_of", 3},
};

static int64_t column_since(const struct schema_column *c)
{
	for (size_t i = 0; i < ARRAY_LEN(later_columns); i++) {
		if (slice_starts(slice_of(c->name), slice_of(later_columns[i].start)))
			return later_columns[i].since;
	}
	return 0;
}

_Static_assert(TOKEN_KINDS == 10 && TOOL_UNITS == 8, "a new kind needs its columns here");

const struct schema_column *const schema_columns[SCHEMA_TABLES] = {
	[SCHEMA_FACETS] = facet_columns,
	[SCHEMA_CALLS] = call_columns,
};
const size_t schema_column_count[SCHEMA_TABLES] = {
	[SCHEMA_FACETS] = ARRAY_LEN(facet_columns),
	[SCHEMA_CALLS] = ARRAY_LEN(call_columns),
};

/* ---- SQL -------------------------------------------------------------------------------- */

static const char *const table_names[SCHEMA_TABLES] = {"facets", "calls"};

static bool is_text(const struct schema_column *c)
{
	return c->type == COL_TEXT || c->type == COL_ENUM || c->type == COL_RAW ||
	       c->type == COL_TAGS;
}

static void put_definitions(struct text *sql, enum schema_table table)
{
	for (size_t i = 0; i < schema_column_count[table]; i++) {
		const struct schema_column *c = &schema_columns[table][i];

		text_printf(sql, ",\n %s %s", c->name, is_text(c) ? "TEXT" : "INTEGER");
	}
}

/* Counts summed by hour: saturating, so that a hostile server's number cannot break the sum. */
static bool is_rolled_up(const struct schema_column *c)
{
	return c->type == COL_TOKEN || !strncmp(c->name, "tool_", 5);
}

/*
 * Money in the roll-up is two columns, the sums of each call's upper 31 and lower 32 bits: exact in
 * 64 bits each for the first 2^31 calls of a row.
 */
static const char *const money_columns[] = {"cost_pusd", "list_cost_pusd"};

void schema_rollup_list_sql(struct text *sql, const char *prefix, bool of_calls)
{
	if (of_calls)
		text_printf(sql, "%sstarted_at_us/%lld AS hour,%sfacet,1 AS calls", prefix,
			    SCHEMA_US_PER_HOUR, prefix);
	else
		text_printf(sql, "%shour,%sfacet,%scalls", prefix, prefix, prefix);
	for (size_t i = 0; i < ARRAY_LEN(call_columns); i++) {
		const char *name = call_columns[i].name;

		if (!is_rolled_up(&call_columns[i]))
			continue;
		if (of_calls)
			text_printf(sql, ",ifnull(%s%s,0) AS %s", prefix, name, name);
		else
			text_printf(sql, ",%s%s", prefix, name);
	}
	for (size_t i = 0; i < ARRAY_LEN(money_columns); i++) {
		const char *name = money_columns[i];

		if (of_calls)
			text_printf(sql,
				    ",ifnull(%s%s,0)>>32 AS %s_hi"
				    ",ifnull(%s%s,0)&4294967295 AS %s_lo",
				    prefix, name, name, prefix, name, name);
		else
			text_printf(sql, ",%s%s_hi,%s%s_lo", prefix, name, prefix, name);
	}
}

void schema_rollup_sql(struct text *sql, const char *condition)
{
	text_puts(sql, "INSERT INTO rollup SELECT ");
	schema_rollup_list_sql(sql, "", true);
	text_printf(sql, " FROM calls WHERE %s ON CONFLICT(hour,facet) DO UPDATE SET calls=calls+1",
		    condition);
	for (size_t i = 0; i < ARRAY_LEN(call_columns); i++) {
		const char *name = call_columns[i].name;

		if (is_rolled_up(&call_columns[i]))
			text_printf(sql, ",%s=sat_add(%s,excluded.%s)", name, name, name);
	}
	for (size_t i = 0; i < ARRAY_LEN(money_columns); i++) {
		const char *name = money_columns[i];

		text_printf(sql, ",%s_hi=%s_hi+excluded.%s_hi,%s_lo=%s_lo+excluded.%s_lo", name,
			    name, name, name, name, name);
	}
}

static void put_rollup_table(struct text *sql)
{
	text_puts(sql, "CREATE TABLE rollup(hour INTEGER NOT NULL,facet INTEGER NOT NULL,"
		       "calls INTEGER NOT NULL");
	for (size_t i = 0; i < ARRAY_LEN(call_columns); i++) {
		if (is_rolled_up(&call_columns[i]))
			text_printf(sql, ",%s INTEGER NOT NULL", call_columns[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(money_columns); i++)
		text_printf(sql, ",%s_hi INTEGER NOT NULL,%s_lo INTEGER NOT NULL", money_columns[i],
			    money_columns[i]);
	text_puts(sql, ",PRIMARY KEY(hour,facet)) WITHOUT ROWID;");
}

static const char losses_table[] =
	"CREATE TABLE losses(id INTEGER PRIMARY KEY AUTOINCREMENT,since_us INTEGER NOT NULL,"
	"at_us INTEGER NOT NULL,reason TEXT NOT NULL,calls INTEGER NOT NULL,"
	"rows INTEGER NOT NULL,unmetered_seconds INTEGER NOT NULL,times INTEGER NOT NULL);";

/* USAGE_KEY_BYTES each: object, part and usage (exporter/usage_keys.h). */
static const char usage_keys_table[] =
	"CREATE TABLE usage_keys(id INTEGER PRIMARY KEY AUTOINCREMENT,object BLOB NOT NULL,"
	"part BLOB NOT NULL,usage BLOB NOT NULL,made INTEGER NOT NULL,seq INTEGER NOT NULL,"
	"first_seen_us INTEGER NOT NULL,UNIQUE(object,part,usage));";

static void put_events_view(struct text *sql)
{
	text_puts(sql, "CREATE VIEW events AS SELECT c.seq,hex(c.event_id) AS event_id,c.revision");
	schema_list_sql(sql, SCHEMA_FACETS, ",f.", SCHEMA_VERSION);
	schema_list_sql(sql, SCHEMA_CALLS, ",c.", SCHEMA_VERSION);
	text_puts(sql, " FROM calls c JOIN facets f ON f.id=c.facet;");
}

static void put_new_columns(struct text *sql, int64_t version)
{
	for (int table = 0; table < SCHEMA_TABLES; table++) {
		for (size_t i = 0; i < schema_column_count[table]; i++) {
			const struct schema_column *c = &schema_columns[table][i];

			if (column_since(c) > version)
				text_printf(sql, "ALTER TABLE %s ADD COLUMN %s %s;",
					    table_names[table], c->name,
					    is_text(c) ? "TEXT" : "INTEGER");
		}
	}
}

void schema_migrate_sql(struct text *sql, int64_t version)
{
	if (version < 2)
		text_puts(sql, losses_table);
	if (version < 3)
		text_puts(sql, usage_keys_table);
	put_new_columns(sql, version);
	text_puts(sql, "DROP VIEW events;");
	put_events_view(sql);
	text_printf(sql, "PRAGMA user_version=%d;", SCHEMA_VERSION);
}

void schema_create_sql(struct text *sql)
{
	text_puts(sql, "CREATE TABLE meta(key TEXT PRIMARY KEY,value) WITHOUT ROWID;"
		       "CREATE TABLE facets(id INTEGER PRIMARY KEY,key BLOB NOT NULL UNIQUE");
	put_definitions(sql, SCHEMA_FACETS);
	text_puts(sql, ");CREATE TABLE calls(seq INTEGER PRIMARY KEY AUTOINCREMENT,"
		       "event_id BLOB NOT NULL UNIQUE,revision INTEGER NOT NULL DEFAULT 1,"
		       "facet INTEGER NOT NULL REFERENCES facets(id)");
	put_definitions(sql, SCHEMA_CALLS);
	text_puts(sql, ");CREATE INDEX calls_started ON calls(started_at_us);");
	put_rollup_table(sql);
	text_puts(sql, losses_table);
	text_puts(sql, usage_keys_table);
	text_puts(
		sql,
		"CREATE TABLE outbox(id INTEGER PRIMARY KEY AUTOINCREMENT,"
		"seq INTEGER NOT NULL,revision INTEGER NOT NULL);"
		"CREATE TRIGGER calls_recorded AFTER INSERT ON calls BEGIN "
		"INSERT INTO outbox(seq,revision) VALUES(new.seq,new.revision); END;"
		"CREATE TRIGGER calls_revised AFTER UPDATE OF revision ON calls BEGIN "
		"INSERT INTO outbox(seq,revision) VALUES(new.seq,new.revision); END;"
		"CREATE TABLE cursors(consumer TEXT PRIMARY KEY,outbox_id INTEGER NOT NULL,"
		"updated_at_us INTEGER NOT NULL) WITHOUT ROWID;"
		"CREATE TABLE journal(id INTEGER PRIMARY KEY AUTOINCREMENT,at_us INTEGER NOT NULL,"
		"seq INTEGER NOT NULL,revision INTEGER NOT NULL,reason TEXT NOT NULL,"
		"facet_before INTEGER,list_cost_pusd_before INTEGER,cost_pusd_before INTEGER,"
		"facet_after INTEGER,list_cost_pusd_after INTEGER,cost_pusd_after INTEGER);");
	put_events_view(sql);
	text_printf(sql, "PRAGMA application_id=%d;PRAGMA user_version=%d;", SCHEMA_APPLICATION_ID,
		    SCHEMA_VERSION);
}

void schema_list_sql(struct text *sql, enum schema_table table, const char *prefix, int64_t version)
{
	for (size_t i = 0; i < schema_column_count[table]; i++) {
		const struct schema_column *c = &schema_columns[table][i];

		if (column_since(c) <= version)
			text_printf(sql, "%s%s", prefix, c->name);
		else
			text_puts(sql, ",NULL");
	}
}

void schema_insert_sql(struct text *sql, enum schema_table table)
{
	bool facets = table == SCHEMA_FACETS;

	text_printf(sql, "INSERT INTO %s(%s", table_names[table],
		    facets ? "key" : "event_id,facet");
	schema_list_sql(sql, table, ",", SCHEMA_VERSION);
	text_puts(sql, facets ? ") VALUES(?" : ") VALUES(?,?");
	for (size_t i = 0; i < schema_column_count[table]; i++)
		text_puts(sql, ",?");
	text_printf(sql, ") ON CONFLICT(%s) DO NOTHING", facets ? "key" : "event_id");
}

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
		else if (is_text(&schema_columns[table][i]))
			sqlite3_bind_text(stmt, parameter, cell.text.ptr, (int)cell.text.len,
					  SQLITE_STATIC);
		else
			sqlite3_bind_int64(stmt, parameter, cell.value);
	}
	return (size_t)(p - packed.ptr);
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
	const char *text = is_text(c) ? (const char *)sqlite3_column_text(stmt, column) : NULL;

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

/* ---- SQL functions ----------------------------------------------------------------------- */

static int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static void sat_add(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	(void)argc;
	sqlite3_result_int64(context, add_saturating(sqlite3_value_int64(argv[0]),
						     sqlite3_value_int64(argv[1])));
}

static void sat_sum_step(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	int64_t *sum = sqlite3_aggregate_context(context, sizeof(*sum));

	(void)argc;
	if (sum)
		*sum = add_saturating(*sum, sqlite3_value_int64(argv[0]));
	else
		sqlite3_result_error_nomem(context);
}

static void sat_sum_final(sqlite3_context *context)
{
	int64_t *sum = sqlite3_aggregate_context(context, 0);

	sqlite3_result_int64(context, sum ? *sum : 0);
}

int schema_functions(struct sqlite3 *db)
{
	int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
	int rc = sqlite3_create_function(db, "sat_add", 2, flags, NULL, sat_add, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(db, "sat_sum", 1, flags, NULL, NULL, sat_sum_step,
					     sat_sum_final);
	return rc == SQLITE_OK ? 0 : -ENOMEM; /* no other cause is left */
}
