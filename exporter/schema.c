/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/schema_columns.h"

#include <errno.h>
#include <sqlite3.h>

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
	TEXT("slice", workload.slice),
	TEXT("login", workload.login),
	TEXT("login_session", workload.login_session),
	TEXT("started_by", workload.started_by),
	TEXT("argv", workload.argv),
	TEXT("pod_uid", workload.pod_uid),
	TEXT("on_behalf_of_slice", on_behalf_of.slice),
	TEXT("on_behalf_of_login", on_behalf_of.login),
	TEXT("on_behalf_of_login_session", on_behalf_of.login_session),
	TEXT("on_behalf_of_started_by", on_behalf_of.started_by),
	TEXT("on_behalf_of_argv", on_behalf_of.argv),
	TEXT("on_behalf_of_pod_uid", on_behalf_of.pod_uid),
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
	NUMBER("summed", COL_BOOL, summed, NULL_ZERO),
	NUMBER("cache_savings_pusd", COL_I64, cost.cache_savings_pusd, NULL_ZERO),
	TEXT("run_id", run_id),
	NAMED("joined_by", joined_by, run_source_names, RUN_SOURCES),
};

/* Columns whose names begin so, and the version that brought them; the first row counts. */
static const struct {
	const char *start;
	int64_t since;
} later_columns[] = {
	{"slice", 5},
	{"login", 5},
	{"pod_uid", 5},
	{"started_by", 5},
	{"argv", 5},
	{"on_behalf_of_slice", 5},
	{"on_behalf_of_login", 5},
	{"on_behalf_of_pod_uid", 5},
	{"on_behalf_of_started_by", 5},
	{"on_behalf_of_argv", 5},
	{"usage_conflict", 3},
	{"usage_missing", 3},
	{"estimated_by", 3},
	{"collapsed_by", 3},
	{"on_behalf_of", 3},
	{"summed", 4},
	{"cache_savings_pusd", 4},
	{"run_id", 5},
	{"joined_by", 5},
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

static void put_definitions(struct text *sql, enum schema_table table)
{
	for (size_t i = 0; i < schema_column_count[table]; i++) {
		const struct schema_column *c = &schema_columns[table][i];

		text_printf(sql, ",\n %s %s", c->name, column_is_text(c) ? "TEXT" : "INTEGER");
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
static const struct {
	const char *name;
	int64_t since;
} money_columns[] = {{"cost_pusd", 0}, {"list_cost_pusd", 0}, {"cache_savings_pusd", 4}};

static void put_money(struct text *sql, const char *prefix, const char *name, bool of_calls)
{
	if (of_calls)
		text_printf(sql, ",ifnull(%s%s,0)>>32 AS %s_hi,ifnull(%s%s,0)&4294967295 AS %s_lo",
			    prefix, name, name, prefix, name, name);
	else
		text_printf(sql, ",%s%s_hi,%s%s_lo", prefix, name, prefix, name);
}

void schema_rollup_list_sql(struct text *sql, const char *prefix, bool of_calls, int64_t version)
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
		const char *name = money_columns[i].name;

		if (money_columns[i].since <= version)
			put_money(sql, prefix, name, of_calls);
		else
			text_printf(sql, ",0 AS %s_hi,0 AS %s_lo", name, name);
	}
}

static void put_rollup_sums(struct text *sql)
{
	text_puts(sql, " ON CONFLICT(hour,facet) DO UPDATE SET calls=calls+excluded.calls");
	for (size_t i = 0; i < ARRAY_LEN(call_columns); i++) {
		const char *name = call_columns[i].name;

		if (is_rolled_up(&call_columns[i]))
			text_printf(sql, ",%s=sat_add(%s,excluded.%s)", name, name, name);
	}
	for (size_t i = 0; i < ARRAY_LEN(money_columns); i++) {
		const char *name = money_columns[i].name;

		text_printf(sql, ",%s_hi=%s_hi+excluded.%s_hi,%s_lo=%s_lo+excluded.%s_lo", name,
			    name, name, name, name, name);
	}
}

void schema_rollup_into_sql(struct text *sql, const char *table, const char *condition)
{
	text_printf(sql, "INSERT INTO %s SELECT ", table);
	schema_rollup_list_sql(sql, "", true, SCHEMA_VERSION);
	text_printf(sql, " FROM calls WHERE %s", condition);
	put_rollup_sums(sql);
}

void schema_rollup_sql(struct text *sql, const char *condition)
{
	schema_rollup_into_sql(sql, "rollup", condition);
}

void schema_rollup_add_sql(struct text *sql, const char *table)
{
	text_puts(sql, "INSERT INTO rollup SELECT ");
	schema_rollup_list_sql(sql, "", false, SCHEMA_VERSION);
	text_printf(sql, " FROM %s WHERE true", table);
	put_rollup_sums(sql);
}

void schema_rollup_columns_sql(struct text *sql)
{
	text_puts(sql, "(hour INTEGER NOT NULL,facet INTEGER NOT NULL,calls INTEGER NOT NULL");
	for (size_t i = 0; i < ARRAY_LEN(call_columns); i++) {
		if (is_rolled_up(&call_columns[i]))
			text_printf(sql, ",%s INTEGER NOT NULL", call_columns[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(money_columns); i++)
		text_printf(sql, ",%s_hi INTEGER NOT NULL,%s_lo INTEGER NOT NULL",
			    money_columns[i].name, money_columns[i].name);
	text_puts(sql, ",PRIMARY KEY(hour,facet)) WITHOUT ROWID");
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

/* Spans in which an agent recorded here: what sums can cover at all. */
static const char runs_table[] =
	"CREATE TABLE runs(id INTEGER PRIMARY KEY AUTOINCREMENT,host TEXT NOT NULL,"
	"started_us INTEGER NOT NULL,ended_us INTEGER NOT NULL);";

/*
 * Months that were closed, with what they came to then, and what changed in them since. Money is
 * kept in halves as in the roll-up where it is a sum.
 */
static const char history_tables[] =
	"CREATE TABLE periods(id INTEGER PRIMARY KEY AUTOINCREMENT,month TEXT NOT NULL,"
	"since_us INTEGER NOT NULL,until_us INTEGER NOT NULL,closed_at_us INTEGER NOT NULL,"
	"closed_by TEXT NOT NULL,reopened_at_us INTEGER,reopened_by TEXT,"
	"calls INTEGER NOT NULL,cost_pusd_hi INTEGER NOT NULL,cost_pusd_lo INTEGER NOT NULL,"
	"list_cost_pusd_hi INTEGER NOT NULL,list_cost_pusd_lo INTEGER NOT NULL,"
	"rows_sha256 TEXT NOT NULL,prices_sha256 TEXT NOT NULL);"
	"CREATE UNIQUE INDEX periods_closed ON periods(month) WHERE reopened_at_us IS NULL;"
	"CREATE TABLE period_totals(period INTEGER NOT NULL REFERENCES periods(id),"
	"provider TEXT,model TEXT,basis TEXT,billing_mode TEXT,calls INTEGER NOT NULL,"
	"cost_pusd_hi INTEGER NOT NULL,cost_pusd_lo INTEGER NOT NULL,"
	"list_cost_pusd_hi INTEGER NOT NULL,list_cost_pusd_lo INTEGER NOT NULL);"
	"CREATE TABLE corrections(id INTEGER PRIMARY KEY AUTOINCREMENT,at_us INTEGER NOT NULL,"
	"period INTEGER NOT NULL REFERENCES periods(id),reason TEXT NOT NULL,reprice INTEGER,"
	"seq INTEGER NOT NULL,facet INTEGER NOT NULL,calls INTEGER NOT NULL,"
	"list_cost_pusd INTEGER NOT NULL,cost_pusd INTEGER NOT NULL);"
	"CREATE INDEX corrections_period ON corrections(period);"
	"CREATE TABLE reprices(id INTEGER PRIMARY KEY AUTOINCREMENT,at_us INTEGER NOT NULL,"
	"by TEXT NOT NULL,since_us INTEGER NOT NULL,until_us INTEGER NOT NULL,"
	"filter TEXT NOT NULL,closed INTEGER NOT NULL,prices_sha256 TEXT NOT NULL,"
	"done INTEGER NOT NULL,calls INTEGER NOT NULL,"
	"cost_pusd_before_hi INTEGER NOT NULL,cost_pusd_before_lo INTEGER NOT NULL,"
	"cost_pusd_after_hi INTEGER NOT NULL,cost_pusd_after_lo INTEGER NOT NULL);";

static void put_new_money(struct text *sql, int64_t version)
{
	for (size_t i = 0; i < ARRAY_LEN(money_columns); i++) {
		const char *name = money_columns[i].name;

		if (money_columns[i].since > version)
			text_printf(
				sql,
				"ALTER TABLE rollup ADD COLUMN %s_hi INTEGER NOT NULL DEFAULT 0;"
				"ALTER TABLE rollup ADD COLUMN %s_lo INTEGER NOT NULL DEFAULT 0;",
				name, name);
	}
}

/* What a batch's answer told is the sum of its requests; the columns before version 4 did not say.
 */
static const char mark_sums[] =
	"UPDATE calls SET summed=1 WHERE seq IN (SELECT c.seq FROM rollup r JOIN facets f ON "
	"f.id=r.facet AND f.batch AND f.api='batches' JOIN calls c ON c.started_at_us>="
	"r.hour*3600000000 AND c.started_at_us<(r.hour+1)*3600000000 AND c.facet=r.facet "
	"WHERE c.response_id GLOB 'batch_*');";

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
					    column_is_text(c) ? "TEXT" : "INTEGER");
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
	if (version < 4) {
		put_new_money(sql, version);
		text_puts(sql, runs_table);
		text_puts(sql, history_tables);
		text_puts(sql, "ALTER TABLE journal ADD COLUMN reprice INTEGER;");
		text_puts(sql, mark_sums);
	}
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
	text_puts(sql, "CREATE TABLE rollup");
	schema_rollup_columns_sql(sql);
	text_puts(sql, ";");
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
		"facet_after INTEGER,list_cost_pusd_after INTEGER,cost_pusd_after INTEGER,"
		"reprice INTEGER);");
	text_puts(sql, runs_table);
	text_puts(sql, history_tables);
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
			text_printf(sql, ",NULL AS %s", c->name);
	}
}

void schema_json_sql(struct text *sql, enum schema_table table)
{
	for (size_t i = 0; i < schema_column_count[table]; i++)
		text_printf(sql, ",json_extract(?1,'$.%s')", schema_columns[table][i].name);
}

const char *schema_column_name(enum schema_table table, size_t index, enum schema_kind *kind)
{
	const struct schema_column *c = &schema_columns[table][index];

	*kind = column_is_text(c) ? SCHEMA_TEXT : SCHEMA_NUMBER;
	if (c->type == COL_RAW || c->type == COL_TAGS)
		*kind = SCHEMA_JSON;
	return c->name;
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

/* ---- SQL functions ----------------------------------------------------------------------- */

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
