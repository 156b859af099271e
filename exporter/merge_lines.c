/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exported lines back into rows. SQLite reads the JSON, so that a 64 bit number stays what it is; a
 * line is taken whole or refused with its number.
 */
#include "exporter/facets.h"
#include "exporter/merge_parts.h"
#include "exporter/schema.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define PACKED_MAX  (128u << 10)	 /* of one table's columns */
#define TIME_MAX_US 253402300799999999LL /* 9999-12-31 */

struct lines {
	struct merge *m;
	FILE *file;
	char *line; /* MERGE_LINE_MAX_BYTES + 2 */
	uint64_t number;
	sqlite3_stmt *head, *call, *call_insert, *sum, *sum_insert;
	sqlite3_stmt *tables[RECORD_KINDS]; /* of kinds that have one */
	struct text packed;
	struct call read;
};

static int TT_PRINTF(2, 3) refuse(struct lines *l, const char *fmt, ...)
{
	char why[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	snprintf(l->m->err, l->m->err_size, "%s:%llu: %s", l->m->path,
		 (unsigned long long)l->number, why);
	return -EBADMSG;
}

bool merge_event_id(struct slice hex, uint8_t id[MERGE_ID_BYTES])
{
	if (!slice_is_hex(hex, 2 * MERGE_ID_BYTES))
		return false;
	for (size_t i = 0; i < MERGE_ID_BYTES; i++) {
		char digits[3] = {hex.ptr[2 * i], hex.ptr[2 * i + 1], '\0'};

		id[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return true;
}

/* ---- statements -------------------------------------------------------------------------- */

static int prepare_head(struct merge *m, sqlite3_stmt **out)
{
	struct text sql = TEXT_INIT(4096);

	text_puts(&sql, "SELECT json_extract(?1,'$.record'),json_extract(?1,'$.schema'),"
			"json_extract(?1,'$.ledger')");
	return merge_prepare(m, &sql, out);
}

/* Event id, revision, then the columns of a facet and of a call. */
static int prepare_call(struct merge *m, sqlite3_stmt **out)
{
	struct text sql = TEXT_INIT(64u << 10);

	text_puts(&sql, "SELECT json_extract(?1,'$.event_id'),json_extract(?1,'$.revision')");
	schema_json_sql(&sql, SCHEMA_FACETS);
	schema_json_sql(&sql, SCHEMA_CALLS);
	return merge_prepare(m, &sql, out);
}

static int prepare_call_insert(struct merge *m, sqlite3_stmt **out)
{
	struct text sql = TEXT_INIT(64u << 10);

	text_puts(&sql, "INSERT INTO calls(event_id,revision,facet,ledger");
	schema_list_sql(&sql, SCHEMA_CALLS, ",", SCHEMA_VERSION);
	text_puts(&sql, ") VALUES(?,?,?,?");
	for (size_t i = 0; i < schema_column_count[SCHEMA_CALLS]; i++)
		text_puts(&sql, ",?");
	text_puts(&sql, ")");
	merge_put_newer_call(&sql);
	return merge_prepare(m, &sql, out);
}

/* The columns of a facet; what else a sum has is inserted by name. */
static int prepare_sum(struct merge *m, sqlite3_stmt **out)
{
	struct text sql = TEXT_INIT(64u << 10);

	text_puts(&sql, "SELECT json_extract(?1,'$.hour')");
	schema_json_sql(&sql, SCHEMA_FACETS);
	return merge_prepare(m, &sql, out);
}

static void put_json_column(void *user, struct slice name)
{
	const char *of = slice_eq(name, SLICE("event_id")) ? "event_id_bytes" : "";

	text_printf(user, ",%s(json_extract(?1,'$.%.*s'))", of, SLICE_FMT(name));
}

static int prepare_table(struct merge *m, const struct record_table *t, sqlite3_stmt **out)
{
	struct text sql = TEXT_INIT(16384);

	text_printf(&sql, "INSERT INTO new_%s SELECT ?2,json_extract(?1,'$.id')", t->table);
	record_each_name(t->columns, put_json_column, &sql);
	text_puts(&sql, " WHERE true");
	merge_put_newer(&sql, t);
	return merge_prepare(m, &sql, out);
}

static void put_sum_column(void *user, struct slice name)
{
	bool needed = slice_eq(name, SLICE("hour")) || slice_eq(name, SLICE("calls"));

	if (slice_eq(name, SLICE("facet")))
		text_puts(user, ",?4");
	else if (needed)
		text_printf(user, ",json_extract(?1,'$.%.*s')", SLICE_FMT(name));
	else
		text_printf(user, ",ifnull(json_extract(?1,'$.%.*s'),0)", SLICE_FMT(name));
}

static int prepare_sum_insert(struct merge *m, sqlite3_stmt **out)
{
	struct text sql = TEXT_INIT(16384);

	text_puts(&sql, "INSERT INTO sums SELECT ?2,?3,json_extract(?1,'$.facet')");
	record_each_name(m->rollup_columns, put_sum_column, &sql);
	text_puts(&sql, " WHERE true");
	merge_put_newer_sum(&sql, m);
	return merge_prepare(m, &sql, out);
}

static int prepare_all(struct lines *l)
{
	struct merge *m = l->m;
	int r = prepare_head(m, &l->head);

	if (r == 0)
		r = prepare_call(m, &l->call);
	if (r == 0)
		r = prepare_call_insert(m, &l->call_insert);
	if (r == 0)
		r = prepare_sum(m, &l->sum);
	if (r == 0)
		r = prepare_sum_insert(m, &l->sum_insert);
	for (enum record_kind kind = 0; r == 0 && kind < RECORD_KINDS; kind++) {
		if (record_table(kind))
			r = prepare_table(m, record_table(kind), &l->tables[kind]);
	}
	return r;
}

/* ---- one line ---------------------------------------------------------------------------- */

static void bind_line(const struct lines *l, sqlite3_stmt *stmt)
{
	sqlite3_bind_text(stmt, 1, l->line, -1, SQLITE_STATIC);
}

/* Steps a statement that writes. A row that a STRICT table refuses is the line's fault. */
static int write_row(struct lines *l, sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);
	int r = 0;

	if (rc == SQLITE_CONSTRAINT || rc == SQLITE_MISMATCH)
		r = refuse(l, "a value is missing, or is not of its kind: %s",
			   sqlite3_errmsg(l->m->db));
	else if (rc != SQLITE_DONE)
		r = merge_fail(l->m, rc);
	sqlite3_reset(stmt);
	return r;
}

/* The columns of l->read packed, and its facet's id. */
static int pack(struct lines *l, int64_t *facet)
{
	int rc;

	l->packed.len = 0;
	schema_pack(&l->packed, SCHEMA_FACETS, &l->read);
	if (l->packed.failed)
		return merge_fail(l->m, SQLITE_NOMEM);
	rc = facets_id(l->m->facets, (struct slice){l->packed.ptr, l->packed.len}, facet);
	if (rc != SQLITE_OK)
		return merge_fail(l->m, rc);
	l->packed.len = 0;
	schema_pack(&l->packed, SCHEMA_CALLS, &l->read);
	return l->packed.failed ? merge_fail(l->m, SQLITE_NOMEM) : 0;
}

static int insert_call(struct lines *l, int64_t revision)
{
	sqlite3_stmt *stmt = l->call_insert;
	int64_t facet = 0;
	int r = pack(l, &facet);

	if (r)
		return r;
	sqlite3_bind_blob(stmt, 1, l->read.event_id, sizeof(l->read.event_id), SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 2, revision);
	sqlite3_bind_int64(stmt, 3, facet);
	sqlite3_bind_text(stmt, 4, l->m->ledger, -1, SQLITE_STATIC);
	schema_bind(stmt, 5, SCHEMA_CALLS, (struct slice){l->packed.ptr, l->packed.len});
	return write_row(l, stmt);
}

static int take_call(struct lines *l)
{
	sqlite3_stmt *stmt = l->call;
	int facets = 2, calls = facets + (int)schema_column_count[SCHEMA_FACETS];
	const char *id, *refused;
	int64_t revision;

	bind_line(l, stmt);
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return refuse(l, "no JSON object");
	memset(&l->read, 0, sizeof(l->read));
	id = (const char *)sqlite3_column_text(stmt, 0);
	revision = sqlite3_column_int64(stmt, 1);
	if (!id || !merge_event_id(slice_of(id), l->read.event_id))
		return refuse(l, "event_id: 32 hex digits are needed");
	if (sqlite3_column_type(stmt, 1) != SQLITE_INTEGER || revision < 1)
		return refuse(l, "revision: a number from 1 on is needed");
	refused = schema_refuses(stmt, facets, SCHEMA_FACETS);
	if (!refused)
		refused = schema_refuses(stmt, calls, SCHEMA_CALLS);
	if (refused)
		return refuse(l, "%s: not a value that a call can have", refused);
	schema_load(stmt, facets, SCHEMA_FACETS, &l->read);
	schema_load(stmt, calls, SCHEMA_CALLS, &l->read);
	if (l->read.started_at_us > TIME_MAX_US)
		return refuse(l, "started_at_us: behind the year 9999");
	if (l->read.started_at_us < l->m->since_us || l->read.started_at_us >= l->m->until_us)
		return 0;
	return insert_call(l, revision);
}

static int take_sum(struct lines *l)
{
	sqlite3_stmt *stmt = l->sum, *insert = l->sum_insert;
	int64_t hour, facet = 0;
	const char *refused;
	int r;

	bind_line(l, stmt);
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return refuse(l, "no JSON object");
	memset(&l->read, 0, sizeof(l->read));
	hour = sqlite3_column_int64(stmt, 0);
	refused = schema_refuses(stmt, 1, SCHEMA_FACETS);
	if (refused)
		return refuse(l, "%s: not a value that a call can have", refused);
	if (hour < l->m->since_us / SCHEMA_US_PER_HOUR ||
	    hour >= l->m->until_us / SCHEMA_US_PER_HOUR)
		return 0;
	schema_load(stmt, 1, SCHEMA_FACETS, &l->read);
	r = pack(l, &facet);
	if (r)
		return r;
	bind_line(l, insert);
	sqlite3_bind_text(insert, 2, l->m->ledger, -1, SQLITE_STATIC);
	sqlite3_bind_int64(insert, 3, l->m->source);
	sqlite3_bind_int64(insert, 4, facet);
	return write_row(l, insert);
}

static int take_row(struct lines *l, sqlite3_stmt *stmt)
{
	bind_line(l, stmt);
	sqlite3_bind_text(stmt, 2, l->m->ledger, -1, SQLITE_STATIC);
	return write_row(l, stmt);
}

/* What the line is, and whose. */
static int read_head(struct lines *l, enum record_kind *kind)
{
	const char *name, *ledger;
	int r = 0;

	bind_line(l, l->head);
	if (sqlite3_step(l->head) != SQLITE_ROW)
		return refuse(l, "not a whole JSON object; was the file cut?");
	name = (const char *)sqlite3_column_text(l->head, 0);
	ledger = (const char *)sqlite3_column_text(l->head, 2);
	*kind = 0;
	while (name && *kind < RECORD_KINDS && strcmp(record_names[*kind], name) != 0)
		++*kind;
	if (!name || !ledger || strlen(ledger) >= sizeof(l->m->ledger))
		r = refuse(l, "not a line of `tolltap export --format=jsonl`");
	else if (*kind == RECORD_KINDS || sqlite3_column_int64(l->head, 1) > SCHEMA_VERSION)
		r = refuse(l, "it is from a newer Tolltap; use that version");
	else
		snprintf(l->m->ledger, sizeof(l->m->ledger), "%s", ledger);
	return r;
}

static int take_line(struct lines *l)
{
	enum record_kind kind = RECORD_KINDS;
	int r = read_head(l, &kind);

	sqlite3_reset(l->head);
	if (r)
		return r;
	if (kind == RECORD_CALL)
		r = take_call(l);
	else if (kind == RECORD_SUM)
		r = take_sum(l);
	else
		r = take_row(l, l->tables[kind]);
	sqlite3_reset(l->call);
	sqlite3_reset(l->sum);
	return r;
}

/* ---- the file ---------------------------------------------------------------------------- */

/* Returns 1 with the next line, without its end, 0 at the file's end. */
static int next_line(struct lines *l)
{
	size_t len;

	errno = 0;
	if (!fgets(l->line, MERGE_LINE_MAX_BYTES + 2, l->file)) {
		if (!ferror(l->file))
			return 0;
		snprintf(l->m->err, l->m->err_size, "cannot read %s: %s", l->m->path,
			 strerror(errno));
		return -EIO;
	}
	l->number++;
	len = strlen(l->line);
	if (len && l->line[len - 1] == '\n')
		l->line[--len] = '\0';
	if (len > MERGE_LINE_MAX_BYTES)
		return refuse(l, "a line of more than %u bytes", MERGE_LINE_MAX_BYTES);
	return 1;
}

static int take_file(struct lines *l)
{
	int r = prepare_all(l);

	if (r == 0 && !l->m->facets && facets_new(&l->m->facets, l->m->db) != SQLITE_OK)
		r = merge_fail(l->m, SQLITE_NOMEM);
	if (r == 0)
		sqlite3_exec(l->m->db, "BEGIN", NULL, NULL, NULL);
	while (r == 0 && (r = next_line(l)) > 0)
		r = take_line(l);
	sqlite3_exec(l->m->db, "COMMIT", NULL, NULL, NULL);
	return r;
}

int merge_lines(struct merge *m)
{
	struct lines l = {.m = m, .packed = TEXT_INIT(PACKED_MAX)};
	int r = -ENOMEM;

	l.file = fopen(m->path, "re");
	if (!l.file) {
		r = -errno;
		snprintf(m->err, m->err_size, "cannot read %s: %s", m->path, strerror(errno));
		return r;
	}
	l.line = malloc(MERGE_LINE_MAX_BYTES + 2);
	if (l.line)
		r = take_file(&l);
	else
		snprintf(m->err, m->err_size, "no memory to read %s", m->path);
	for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++)
		sqlite3_finalize(l.tables[kind]);
	sqlite3_finalize(l.head);
	sqlite3_finalize(l.call);
	sqlite3_finalize(l.call_insert);
	sqlite3_finalize(l.sum);
	sqlite3_finalize(l.sum_insert);
	text_free(&l.packed);
	free(l.line);
	fclose(l.file);
	return r;
}
