/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/query_parts.h"

#include "exporter/ledger.h"
#include "exporter/schema.h"
#include "exporter/storage.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SQL_MAX (64u << 10)

struct query {
	sqlite3 *db;
	int64_t version; /* of the schema */
	char path[PATH_MAX];
	char error[QUERY_ERROR_MAX];
};

/* ---- opening ----------------------------------------------------------------------------- */

const char *query_error(const struct query *q)
{
	return q->error;
}

static int no_access(const char *dir, char *err, size_t err_size)
{
	struct group entry, *found = NULL;
	char buf[4096];
	int unknown = getgrnam_r(LEDGER_GROUP, &entry, buf, sizeof(buf), &found) || !found;

	snprintf(err, err_size,
		 "not allowed to read the ledger in %s; run with sudo, or join group %s: %ssudo "
		 "usermod -aG %s $USER; %sthen log in again",
		 dir, LEDGER_GROUP, unknown ? "sudo groupadd --system " LEDGER_GROUP " && " : "",
		 LEDGER_GROUP, unknown ? "restart the agent, " : "");
	return -EACCES;
}

static int no_ledger(const char *dir, char *err, size_t err_size)
{
	snprintf(err, err_size,
		 "no ledger in %s; start `tolltap run`, or name its directory with --storage.path",
		 dir);
	return -ENOENT;
}

static int first_read(struct query *q, int64_t *version, int64_t *application)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(q->db,
				    "SELECT user_version,application_id "
				    "FROM pragma_user_version,pragma_application_id",
				    -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		*version = sqlite3_column_int64(stmt, 0);
		*application = sqlite3_column_int64(stmt, 1);
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int open_uri(struct query *q, const char *parameters)
{
	struct text uri = TEXT_INIT(4 * PATH_MAX);
	int rc = SQLITE_NOMEM;

	storage_uri(&uri, q->path, parameters);
	if (text_cstr(&uri))
		rc = sqlite3_open_v2(uri.ptr, &q->db,
				     SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
				     NULL);
	text_free(&uri);
	if (rc == SQLITE_OK)
		sqlite3_busy_timeout(q->db, QUERY_BUSY_MS);
	return rc;
}

/*
 * A copied ledger without its -wal file in a directory the reader may not write: nothing can be in
 * flight, so it is read as it stands.
 */
static bool is_at_rest(const struct query *q)
{
	char wal[PATH_MAX];
	struct stat st;
	int n = snprintf(wal, sizeof(wal), "%s-wal", q->path);

	return n > 0 && (size_t)n < sizeof(wal) && (stat(wal, &st) < 0 || st.st_size == 0);
}

static int connect_ledger(struct query *q, int64_t *version, int64_t *application)
{
	int rc = open_uri(q, "?mode=ro");

	if (rc == SQLITE_OK)
		rc = first_read(q, version, application);
	if ((rc & 0xff) != SQLITE_CANTOPEN && (rc & 0xff) != SQLITE_READONLY)
		return rc;
	if (!is_at_rest(q))
		return rc;
	sqlite3_close(q->db);
	q->db = NULL;
	rc = open_uri(q, "?mode=ro&immutable=1");
	return rc == SQLITE_OK ? first_read(q, version, application) : rc;
}

static int check_access(const struct query *q, const char *dir, char *err, size_t err_size)
{
	if (access(q->path, R_OK) == 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return no_access(dir, err, err_size);
	return no_ledger(dir, err, err_size);
}

static int open_checked(struct query *q, const char *dir, char *err, size_t err_size)
{
	int64_t version = -1, application = -1;
	int r = check_access(q, dir, err, err_size);
	int rc;

	if (r)
		return r;
	rc = connect_ledger(q, &version, &application);
	if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY)
		return no_access(dir, err, err_size);
	if (rc == SQLITE_OK && version == 0)
		return no_ledger(dir, err, err_size);
	if (rc == SQLITE_OK && application == SCHEMA_APPLICATION_ID && version > SCHEMA_VERSION) {
		snprintf(err, err_size, "%s is from a newer Tolltap; use that version", q->path);
		return -ENOTSUP;
	}
	if (rc != SQLITE_OK || application != SCHEMA_APPLICATION_ID) {
		snprintf(err, err_size, "cannot read %s: %s", q->path,
			 rc == SQLITE_OK ? "it is not a Tolltap ledger" : sqlite3_errmsg(q->db));
		return (rc & 0xff) == SQLITE_BUSY ? -EBUSY : -EBADMSG;
	}
	q->version = version;
	return schema_functions(q->db);
}

int query_open(struct query **out, const char *dir, char *err, size_t err_size)
{
	struct query *q = calloc(1, sizeof(*q));
	int r = -ENAMETOOLONG;

	if (!q) {
		snprintf(err, err_size, "no memory to open the ledger");
		return -ENOMEM;
	}
	if (storage_path(q->path, sizeof(q->path), dir, LEDGER_FILE))
		r = open_checked(q, dir, err, err_size);
	else
		snprintf(err, err_size, "the path of %s is too long", dir);
	if (r) {
		query_close(q);
		return r;
	}
	*out = q;
	return 0;
}

void query_close(struct query *q)
{
	if (!q)
		return;
	sqlite3_close(q->db);
	free(q);
}

/* ---- SQL --------------------------------------------------------------------------------- */

/* Statement text and the values behind its `?`, in order. */
struct sql {
	struct text text;
	struct {
		bool is_text;
		int64_t number;
		const char *text;
	} values[4 * (QUERY_KEYS_MAX + QUERY_WHERE_MAX)];
	int count;
	int64_t version; /* of the ledger's schema */
};

static void value_number(struct sql *sql, int64_t number)
{
	sql->values[sql->count].is_text = false;
	sql->values[sql->count++].number = number;
}

static void value_text(struct sql *sql, const char *text)
{
	sql->values[sql->count].is_text = true;
	sql->values[sql->count++].text = text;
}

static void put_key(struct sql *sql, const struct query_key *key)
{
	const struct query_fact *fact = key->fact;
	bool before = sql->version < QUERY_PAYER_SINCE && fact->sql_before;

	text_puts(&sql->text, before ? fact->sql_before : fact->sql);
	if (key->fact->place == FACT_TAG)
		value_text(sql, key->tag);
}

static void put_where(struct sql *sql, const struct query_filter *filter)
{
	for (size_t i = 0; i < filter->where_count; i++) {
		const char *value = filter->where[i].value;
		bool none = !strcmp(value, QUERY_NONE);

		text_puts(&sql->text, none ? " AND " : " AND CAST(");
		put_key(sql, &filter->where[i].key);
		text_puts(&sql->text, none ? " IS NULL" : " AS TEXT)=?");
		if (!none)
			value_text(sql, value);
	}
}

/* The bounds a filter stands for; 0 means open. */
static int64_t filter_until(const struct query_filter *filter)
{
	return filter->until_us ? filter->until_us : INT64_MAX;
}

/* A ledger that no agent of this version has opened yet lacks what came since. */
static int check_fact(struct query *q, const struct query_key *key)
{
	if (key->fact->since <= q->version)
		return 0;
	snprintf(q->error, sizeof(q->error),
		 "this ledger is from an older Tolltap, which knew no %s; start this version's "
		 "agent once",
		 key->fact->name);
	return -ENOTSUP;
}

static int check_facts(struct query *q, const struct query_filter *filter,
		       const struct query_key *keys, size_t key_count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < key_count; i++)
		r = check_fact(q, &keys[i]);
	for (size_t i = 0; r == 0 && i < filter->where_count; i++)
		r = check_fact(q, &filter->where[i].key);
	return r;
}

static int fail(struct query *q, int rc)
{
	if (rc == SQLITE_NOMEM) {
		snprintf(q->error, sizeof(q->error), "no memory for the query");
		return -ENOMEM;
	}
	snprintf(q->error, sizeof(q->error), "reading the ledger failed: %s",
		 sqlite3_errmsg(q->db));
	return rc == SQLITE_BUSY ? -EBUSY : -EIO;
}

static int prepare(struct query *q, struct sql *sql, sqlite3_stmt **out)
{
	sqlite3_stmt *stmt = NULL;
	int rc = SQLITE_NOMEM;

	if (text_cstr(&sql->text))
		rc = sqlite3_prepare_v2(q->db, sql->text.ptr, -1, &stmt, NULL);
	for (int i = 0; rc == SQLITE_OK && i < sql->count; i++) {
		if (sql->values[i].is_text)
			rc = sqlite3_bind_text(stmt, i + 1, sql->values[i].text, -1, SQLITE_STATIC);
		else
			rc = sqlite3_bind_int64(stmt, i + 1, sql->values[i].number);
	}
	if (rc != SQLITE_OK) {
		sqlite3_finalize(stmt);
		return fail(q, rc);
	}
	*out = stmt;
	return 0;
}

/* ---- events ------------------------------------------------------------------------------ */

static void put_events(struct sql *sql, const struct query_filter *filter, int64_t version,
		       int64_t after_seq, int64_t limit)
{
	text_puts(&sql->text, "SELECT c.seq,c.revision,c.event_id");
	schema_list_sql(&sql->text, SCHEMA_FACETS, ",f.", version);
	schema_list_sql(&sql->text, SCHEMA_CALLS, ",c.", version);
	text_puts(&sql->text, " FROM calls c JOIN facets f ON f.id=c.facet"
			      " JOIN (SELECT seq,started_at_us/3600000000 AS hour FROM calls) s"
			      " ON s.seq=c.seq WHERE c.seq>?");
	value_number(sql, after_seq);
	if (filter->since_us || filter->until_us) {
		text_puts(&sql->text, " AND c.started_at_us>=? AND c.started_at_us<?");
		value_number(sql, filter->since_us);
		value_number(sql, filter_until(filter));
	}
	put_where(sql, filter);
	text_puts(&sql->text, limit > 0 ? " ORDER BY c.seq DESC LIMIT ?" : " ORDER BY c.seq");
	if (limit > 0)
		value_number(sql, limit);
}

static void load_event(sqlite3_stmt *stmt, struct event *event)
{
	const void *id = sqlite3_column_blob(stmt, 2);

	memset(event, 0, sizeof(*event));
	event->seq = sqlite3_column_int64(stmt, 0);
	event->revision = sqlite3_column_int64(stmt, 1);
	if (id && sqlite3_column_bytes(stmt, 2) == (int)sizeof(event->call.event_id))
		memcpy(event->call.event_id, id, sizeof(event->call.event_id));
	schema_load(stmt, 3, SCHEMA_FACETS, &event->call);
	schema_load(stmt, 3 + (int)schema_column_count[SCHEMA_FACETS], SCHEMA_CALLS, &event->call);
}

int query_events(struct query *q, const struct query_filter *filter, int64_t after_seq,
		 int64_t limit, int (*each)(void *user, const struct event *event), void *user)
{
	struct sql sql = {.text = TEXT_INIT(SQL_MAX), .version = q->version};
	sqlite3_stmt *stmt = NULL;
	struct event event;
	int r, rc = SQLITE_ROW;

	r = check_facts(q, filter, NULL, 0);
	if (r)
		return r;
	if (limit > 0)
		text_puts(&sql.text, "SELECT * FROM (");
	put_events(&sql, filter, q->version, after_seq, limit);
	if (limit > 0)
		text_puts(&sql.text, ") ORDER BY 1");
	r = prepare(q, &sql, &stmt);
	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		load_event(stmt, &event);
		r = each(user, &event);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(q, rc);
	sqlite3_finalize(stmt);
	text_free(&sql.text);
	return r;
}

/* ---- losses ------------------------------------------------------------------------------ */

/* A ledger that no agent of this version has opened yet has no such table. */
#define LOSSES_SINCE_VERSION 2

int query_losses(struct query *q, int64_t since_us, int64_t until_us, struct query_losses *out)
{
	struct sql sql = {.text = TEXT_INIT(SQL_MAX), .version = q->version};
	struct query_losses found = {0};
	sqlite3_stmt *stmt = NULL;
	const char *reason;
	int r, rc;

	*out = found;
	if (q->version < LOSSES_SINCE_VERSION)
		return 0;
	text_puts(&sql.text,
		  "SELECT ifnull(sum(times),0),sum(calls),sum(rows),sum(unmetered_seconds),"
		  "max(at_us),reason FROM losses WHERE at_us>=? AND since_us<?");
	value_number(&sql, since_us);
	value_number(&sql, until_us ? until_us : INT64_MAX);
	r = prepare(q, &sql, &stmt);
	text_free(&sql.text);
	if (r)
		return r;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		found.occasions = sqlite3_column_int64(stmt, 0);
		found.calls = sqlite3_column_int64(stmt, 1);
		found.rows = sqlite3_column_int64(stmt, 2);
		found.unmetered_seconds = sqlite3_column_int64(stmt, 3);
		found.last_at_us = sqlite3_column_int64(stmt, 4);
		reason = (const char *)sqlite3_column_text(stmt, 5); /* of the row of max() */
		slice_copy(found.last_reason, sizeof(found.last_reason), slice_of(reason));
	} else {
		r = fail(q, rc);
	}
	sqlite3_finalize(stmt);
	if (r == 0)
		*out = found;
	return r;
}

/* ---- spend ------------------------------------------------------------------------------- */

bool spend_is_at_least(const struct spend *spend)
{
	return spend->calls_lost || spend->lower_bound;
}

const char *spend_prefix(const struct spend *spend)
{
	if (spend->estimated)
		return "about ";
	return spend_is_at_least(spend) ? "at least " : "";
}

static int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

void spend_add(struct spend *total, const struct spend *part)
{
	total->calls += part->calls;
	for (int i = 0; i < TOKEN_KINDS; i++)
		total->tokens[i] = add_saturating(total->tokens[i], part->tokens[i]);
	for (int i = 0; i < TOOL_UNITS; i++)
		total->tool_units[i] = add_saturating(total->tool_units[i], part->tool_units[i]);
	for (int i = 0; i < BASES; i++) {
		total->calls_by_basis[i] += part->calls_by_basis[i];
		total->cost_by_basis[i] += part->cost_by_basis[i];
	}
	total->lower_bound |= part->lower_bound;
	total->estimated |= part->estimated;
	total->calls_lost |= part->calls_lost;
	total->cost += part->cost;
	total->subscription_list += part->subscription_list;
}

static bool needs_calls(const struct query_filter *filter, const struct query_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (keys[i].fact->place >= FACT_CALL)
			return true;
	}
	for (size_t i = 0; i < filter->where_count; i++) {
		if (filter->where[i].key.fact->place >= FACT_CALL)
			return true;
	}
	return false;
}

static void put_calls_between(struct sql *sql, int64_t since_us, int64_t until_us)
{
	text_puts(&sql->text, "SELECT ");
	schema_rollup_list_sql(&sql->text, "", true, sql->version);
	text_puts(&sql->text, " FROM calls WHERE started_at_us>=? AND started_at_us<?");
	value_number(sql, since_us);
	value_number(sql, until_us);
}

/*
 * Whole hours come from the roll-up, the cut hours at both ends from the calls. Both sources have
 * the same columns and no call is in both.
 */
static void put_rollup_between(struct sql *sql, int64_t since_us, int64_t until_us)
{
	int64_t first = since_us / SCHEMA_US_PER_HOUR + (since_us % SCHEMA_US_PER_HOUR != 0);
	int64_t end = until_us / SCHEMA_US_PER_HOUR;

	if (first >= end) {
		put_calls_between(sql, since_us, until_us);
		return;
	}
	text_puts(&sql->text, "SELECT ");
	schema_rollup_list_sql(&sql->text, "", false, sql->version);
	text_puts(&sql->text, " FROM rollup WHERE hour>=? AND hour<?");
	value_number(sql, first);
	value_number(sql, end);
	text_puts(&sql->text, " UNION ALL ");
	put_calls_between(sql, since_us, first * SCHEMA_US_PER_HOUR);
	text_puts(&sql->text, " UNION ALL ");
	put_calls_between(sql, end * SCHEMA_US_PER_HOUR, until_us);
}

static void put_sums(struct sql *sql)
{
	text_puts(&sql->text, "f.basis,f.billing_mode,sum(s.calls),sum(s.cost_pusd_hi),"
			      "sum(s.cost_pusd_lo),sum(s.list_cost_pusd_hi),"
			      "sum(s.list_cost_pusd_lo)");
	for (int i = 0; i < TOKEN_KINDS; i++)
		text_printf(&sql->text, ",sat_sum(s.%s)", token_kind_names[i]);
	for (int i = 0; i < TOOL_UNITS; i++)
		text_printf(&sql->text, ",sat_sum(s.tool_%s)", tool_unit_names[i]);
}

static void put_spend(struct sql *sql, const struct query_filter *filter,
		      const struct query_key *keys, size_t key_count)
{
	text_puts(&sql->text, "SELECT ");
	for (size_t i = 0; i < key_count; i++) {
		put_key(sql, &keys[i]);
		text_puts(&sql->text, ",");
	}
	put_sums(sql);
	text_puts(&sql->text, " FROM (");
	if (needs_calls(filter, keys, key_count)) {
		text_puts(&sql->text, "SELECT seq,");
		schema_rollup_list_sql(&sql->text, "", true, sql->version);
		text_puts(&sql->text, " FROM calls WHERE started_at_us>=? AND started_at_us<?");
		value_number(sql, filter->since_us);
		value_number(sql, filter_until(filter));
		text_puts(&sql->text, ") s JOIN calls c ON c.seq=s.seq");
	} else {
		put_rollup_between(sql, filter->since_us, filter_until(filter));
		text_puts(&sql->text, ") s");
	}
	text_puts(&sql->text, " JOIN facets f ON f.id=s.facet WHERE ");
	text_puts(&sql->text, sql->version < QUERY_PAYER_SINCE ? "1" : "f.collapsed_by IS NULL");
	put_where(sql, filter);
	text_puts(&sql->text, " GROUP BY f.basis,f.billing_mode");
	for (size_t i = 0; i < key_count; i++)
		text_printf(&sql->text, ",%zu", i + 1);
	text_puts(&sql->text, " ORDER BY 1");
	for (size_t i = 1; i < key_count; i++)
		text_printf(&sql->text, ",%zu", i + 1);
}

static pusd_sum money_at(sqlite3_stmt *stmt, int column)
{
	return ((pusd_sum)sqlite3_column_int64(stmt, column) << 32) +
	       sqlite3_column_int64(stmt, column + 1);
}

static int name_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (name && !strcmp(names[i], name))
			return i;
	}
	return 0;
}

/* One result row, a (group, basis, billing mode), as a part of its group's spend. */
static void load_part(sqlite3_stmt *stmt, size_t key_count, struct spend *part)
{
	int at = (int)key_count;
	const char *basis_name = (const char *)sqlite3_column_text(stmt, at);
	const char *mode = (const char *)sqlite3_column_text(stmt, at + 1);
	int basis = name_index(basis_names, BASES, basis_name);
	bool subscribed =
		name_index(billing_mode_names, BILLING_MODES, mode) == BILLING_SUBSCRIPTION;

	memset(part, 0, sizeof(*part));
	for (size_t i = 0; i < key_count; i++)
		part->group[i] = (const char *)sqlite3_column_text(stmt, (int)i);
	part->calls = sqlite3_column_int64(stmt, at + 2);
	part->calls_by_basis[basis] = part->calls;
	part->cost = money_at(stmt, at + 3);
	part->cost_by_basis[basis] = part->cost;
	/* What a subscription covers costs 0, whatever else is not known of it. */
	part->lower_bound = !subscribed && (basis == BASIS_PARTIAL || basis == BASIS_UNPRICED ||
					    basis == BASIS_ESTIMATED);
	part->estimated = !subscribed && basis == BASIS_ESTIMATED && part->cost > 0;
	if (subscribed)
		part->subscription_list = money_at(stmt, at + 5);
	for (int i = 0; i < TOKEN_KINDS; i++)
		part->tokens[i] = sqlite3_column_int64(stmt, at + 7 + i);
	for (int i = 0; i < TOOL_UNITS; i++)
		part->tool_units[i] = sqlite3_column_int64(stmt, at + 7 + TOKEN_KINDS + i);
}

static bool same_group(const struct spend *a, const struct spend *b, size_t key_count)
{
	for (size_t i = 0; i < key_count; i++) {
		if (!a->group[i] != !b->group[i])
			return false;
		if (a->group[i] && strcmp(a->group[i], b->group[i]))
			return false;
	}
	return true;
}

struct spend_rows {
	struct spend *row;
	size_t count, cap;
};

static int rows_append(struct spend_rows *rows, const struct spend *part, size_t key_count)
{
	struct spend *last;

	if (rows->count == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 16;
		struct spend *grown = reallocarray(rows->row, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		rows->row = grown;
		rows->cap = cap;
	}
	last = &rows->row[rows->count++];
	*last = *part;
	memset(last->group, 0, sizeof(last->group));
	for (size_t i = 0; i < key_count; i++) {
		if (!part->group[i])
			continue;
		last->group[i] = strdup(part->group[i]);
		if (!last->group[i])
			return -ENOMEM;
	}
	return 0;
}

/* Parts of one group stand together: the result is ordered by the keys. */
static int fold_part(struct query *q, struct spend_rows *rows, const struct spend *part,
		     size_t key_count)
{
	struct spend *last = rows->count ? &rows->row[rows->count - 1] : NULL;

	if (last && same_group(last, part, key_count)) {
		spend_add(last, part);
		return 0;
	}
	if (rows->count == QUERY_GROUPS_MAX) {
		snprintf(q->error, sizeof(q->error),
			 "more than %d groups; group by fewer facts or bound the time with --since",
			 QUERY_GROUPS_MAX);
		return -E2BIG;
	}
	return rows_append(rows, part, key_count) ? fail(q, SQLITE_NOMEM) : 0;
}

static int by_cost(const void *a, const void *b)
{
	const struct spend *x = a, *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? 1 : -1;
	if (x->calls != y->calls)
		return x->calls < y->calls ? 1 : -1;
	for (size_t i = 0; i < QUERY_KEYS_MAX; i++) {
		int order = strcmp(x->group[i] ? x->group[i] : "", y->group[i] ? y->group[i] : "");

		if (order)
			return order;
	}
	return 0;
}

/* The time a group stands for: its hour or day, where it has one, within the filter's. */
static void group_time(const struct query_key *keys, size_t key_count, const struct spend *row,
		       int64_t *since_us, int64_t *until_us)
{
	for (size_t i = 0; i < key_count; i++) {
		bool hour = !strcmp(keys[i].fact->name, "hour");
		int64_t from;

		if (keys[i].fact->place != FACT_HOUR || !row->group[i] ||
		    !query_time_parse(row->group[i], 0, &from))
			continue;
		if (from > *since_us)
			*since_us = from;
		from += hour ? SCHEMA_US_PER_HOUR : 24 * SCHEMA_US_PER_HOUR;
		if (from < *until_us)
			*until_us = from;
	}
}

/* A lost call may have been any group's. */
static int mark_losses(struct query *q, const struct query_filter *filter,
		       const struct query_key *keys, size_t key_count, struct spend_rows *rows)
{
	struct query_losses lost;
	int r = query_losses(q, filter->since_us, filter->until_us, &lost);

	for (size_t i = 0; r == 0 && lost.occasions && i < rows->count; i++) {
		int64_t since_us = filter->since_us, until_us = filter_until(filter);
		struct query_losses own = lost;

		group_time(keys, key_count, &rows->row[i], &since_us, &until_us);
		if (since_us != filter->since_us || until_us != filter_until(filter))
			r = query_losses(q, since_us, until_us, &own);
		rows->row[i].calls_lost = own.occasions > 0;
	}
	return r;
}

int query_spend(struct query *q, const struct query_filter *filter, const struct query_key *keys,
		size_t key_count, struct spend **rows, size_t *row_count)
{
	struct sql sql = {.text = TEXT_INIT(SQL_MAX), .version = q->version};
	struct spend_rows found = {0};
	sqlite3_stmt *stmt = NULL;
	struct spend part;
	int r, rc = SQLITE_ROW;

	r = check_facts(q, filter, keys, key_count);
	if (r)
		return r;
	put_spend(&sql, filter, keys, key_count);
	r = prepare(q, &sql, &stmt);
	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		load_part(stmt, key_count, &part);
		r = fold_part(q, &found, &part, key_count);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(q, rc);
	sqlite3_finalize(stmt);
	text_free(&sql.text);
	if (r == 0)
		r = mark_losses(q, filter, keys, key_count, &found);
	if (r) {
		query_spend_free(found.row, found.count);
		return r;
	}
	if (found.count)
		qsort(found.row, found.count, sizeof(*found.row), by_cost);
	*rows = found.row;
	*row_count = found.count;
	return 0;
}

void query_spend_free(struct spend *rows, size_t row_count)
{
	for (size_t i = 0; i < row_count; i++) {
		for (size_t k = 0; k < QUERY_KEYS_MAX; k++)
			free((char *)rows[i].group[k]);
	}
	free(rows);
}
