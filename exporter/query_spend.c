/* SPDX-License-Identifier: Apache-2.0 */
/* Spend: the filtered calls summed by facts, from the roll-up where it can answer. */
/* An allocation failure leaves the group out, which is told. */
#define uthash_nonfatal_oom(group) ((group)->left_out = true)
#include "agent/base/clock.h"
#include "agent/base/hash.h"
#include "exporter/calendar.h"
#include "exporter/query_parts.h"
#include "exporter/rollup.h"
#include "exporter/schema.h"
#include "exporter/sql.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#define GROUP_KEY_MAX (QUERY_KEYS_MAX * (64u << 10)) /* a tag's text is the longest fact */

/* The version of the schema that records what caching saved. */
#define SAVINGS_SINCE 4

const char *const waste_names[WASTES] = {"aborted", "errored", "retried"};

bool query_knows_savings(const struct query *q)
{
	return q->version >= SAVINGS_SINCE;
}

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

void spend_add(struct spend *total, const struct spend *part)
{
	if (!total->calls || part->first_us < total->first_us)
		total->first_us = part->first_us;
	if (part->ended_us > total->ended_us)
		total->ended_us = part->ended_us;
	total->busy_us = add_saturating(total->busy_us, part->busy_us);
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
	total->cache_savings += part->cache_savings;
	for (int i = 0; i < WASTES; i++) {
		total->waste_calls[i] += part->waste_calls[i];
		total->waste_cost[i] += part->waste_cost[i];
	}
}

static bool needs_calls(const struct query_filter *filter, const struct query_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (keys[i].fact->place >= FACT_CALL)
			return true;
	}
	return filter_asks_of_calls(filter);
}

/* ---- where rows come from ------------------------------------------------------------------ */

/*
 * What a statement sums: rows like those of the roll-up, of a filter's time, each with a moment
 * `at_us` that lies in the periods it counts in.
 */
static void put_columns(struct sql *sql, bool of_calls)
{
	text_puts(&sql->text, of_calls ? "started_at_us AS at_us,started_at_us+duration_us AS "
					 "ended_us,duration_us AS busy_us,"
				       : "hour*3600000000 AS at_us,0 AS ended_us,0 AS busy_us,");
	schema_rollup_list_sql(&sql->text, "", of_calls, sql->version);
}

static void put_calls_between(struct sql *sql, int64_t since_us, int64_t until_us)
{
	text_puts(&sql->text, "SELECT ");
	put_columns(sql, true);
	text_puts(&sql->text, " FROM calls WHERE started_at_us>=? AND started_at_us<?");
	sql_number(sql, since_us);
	sql_number(sql, until_us);
}

/* UTC hours that are whole in a filter's time: [first, end). */
struct hours {
	int64_t first, end;
};

static struct hours whole_hours(const struct query_filter *filter)
{
	int64_t since_us = filter->since_us;

	return (struct hours){since_us / SCHEMA_US_PER_HOUR + (since_us % SCHEMA_US_PER_HOUR != 0),
			      filter_until(filter) / SCHEMA_US_PER_HOUR};
}

/*
 * The unit whose periods may begin within a UTC hour: the smallest asked for, since hours end where
 * days do. Returns false when none can.
 */
static bool cutting_unit(const struct query_filter *filter, const struct query_key *keys,
			 size_t key_count, enum calendar_unit *unit)
{
	enum calendar_unit found, smallest = CALENDAR_UNITS;

	for (size_t i = 0; i < key_count + filter->where_count; i++) {
		const struct query_fact *fact =
			i < key_count ? keys[i].fact : filter->where[i - key_count].key.fact;

		if (fact->place == FACT_PERIOD &&
		    calendar_unit_parse(slice_of(fact->name), &found) && found < smallest)
			smallest = found;
	}
	*unit = smallest;
	return smallest < CALENDAR_UNITS && strcmp(calendar_zone(), CALENDAR_UTC) != 0;
}

/* `cut(hour)`: the hours of the roll-up that lie in two periods. Each hour is one step in it. */
static void put_cut_hours(struct sql *sql, struct hours hours, enum calendar_unit unit)
{
	text_printf(&sql->text,
		    "WITH RECURSIVE hours(hour) AS (SELECT min(hour) FROM rollup WHERE hour>=? AND "
		    "hour<? UNION ALL SELECT (SELECT min(r.hour) FROM rollup r WHERE "
		    "r.hour>hours.hour AND r.hour<?) FROM hours WHERE hour IS NOT NULL),"
		    "cut(hour) AS MATERIALIZED (SELECT hour FROM hours WHERE hour IS NOT NULL AND "
		    "calendar_cuts('%s',hour)) ",
		    calendar_unit_names[unit]);
	sql_number(sql, hours.first);
	sql_number(sql, hours.end);
	sql_number(sql, hours.end);
}

/*
 * Whole hours come from the roll-up; the hours that the filter or a period cuts from the calls.
 * Both sources have the same columns and no call is in both.
 */
static void put_rollup(struct sql *sql, const struct query_filter *filter, bool cut)
{
	struct hours hours = whole_hours(filter);

	if (hours.first >= hours.end) {
		put_calls_between(sql, filter->since_us, filter_until(filter));
		return;
	}
	text_puts(&sql->text, "SELECT ");
	put_columns(sql, false);
	text_puts(&sql->text, " FROM rollup WHERE hour>=? AND hour<?");
	sql_number(sql, hours.first);
	sql_number(sql, hours.end);
	if (cut) {
		text_puts(&sql->text, " AND hour NOT IN (SELECT hour FROM cut) UNION ALL SELECT ");
		put_columns(sql, true);
		text_puts(&sql->text,
			  " FROM cut CROSS JOIN calls ON started_at_us>=cut.hour*3600000000"
			  " AND started_at_us<(cut.hour+1)*3600000000");
	}
	text_puts(&sql->text, " UNION ALL ");
	put_calls_between(sql, filter->since_us, hours.first * SCHEMA_US_PER_HOUR);
	text_puts(&sql->text, " UNION ALL ");
	put_calls_between(sql, hours.end * SCHEMA_US_PER_HOUR, filter_until(filter));
}

/* Calls that a later attempt of their operation repeated, of which some may be after the filter's
 * time. */
static void put_retries(struct sql *sql, const struct query_filter *filter)
{
	int64_t until_us = filter_until(filter);

	text_puts(&sql->text,
		  "WITH retries(op,last) AS MATERIALIZED (SELECT operation_id,max(attempt) FROM "
		  "calls WHERE attempt>1 AND started_at_us>=? AND started_at_us<? GROUP BY 1) ");
	sql_number(sql, filter->since_us);
	sql_number(sql, until_us > INT64_MAX - QUERY_RETRY_MAX_US ? INT64_MAX
								  : until_us + QUERY_RETRY_MAX_US);
}

static void put_one_by_one(struct sql *sql, const struct query_filter *filter, bool retried)
{
	text_puts(&sql->text, "SELECT seq,");
	put_columns(sql, true);
	text_puts(&sql->text, " FROM calls");
	if (retried)
		text_puts(&sql->text, " CROSS JOIN retries ON op=operation_id AND attempt<last");
	text_puts(&sql->text, " WHERE started_at_us>=? AND started_at_us<?");
	sql_number(sql, filter->since_us);
	sql_number(sql, filter_until(filter));
}

/* ---- the statement ------------------------------------------------------------------------- */

/* What rows are summed by is done in memory: GROUP BY would sort them all, on disk when many. */
static void put_amounts(struct sql *sql)
{
	text_puts(&sql->text, "f.basis,f.billing_mode,f.outcome,s.calls,s.cost_pusd_hi,"
			      "s.cost_pusd_lo,s.list_cost_pusd_hi,s.list_cost_pusd_lo,"
			      "s.cache_savings_pusd_hi,s.cache_savings_pusd_lo,s.at_us,s.ended_us,"
			      "s.busy_us");
	for (int i = 0; i < TOKEN_KINDS; i++)
		text_printf(&sql->text, ",s.%s", token_kind_names[i]);
	for (int i = 0; i < TOOL_UNITS; i++)
		text_printf(&sql->text, ",s.tool_%s", tool_unit_names[i]);
}

static void put_spend(struct sql *sql, const struct query_filter *filter,
		      const struct query_key *keys, size_t key_count, bool retried)
{
	bool calls = retried || needs_calls(filter, keys, key_count);
	enum calendar_unit unit;
	bool cut = !calls && cutting_unit(filter, keys, key_count, &unit);

	if (retried)
		put_retries(sql, filter);
	if (cut)
		put_cut_hours(sql, whole_hours(filter), unit);
	text_puts(&sql->text, "SELECT ");
	for (size_t i = 0; i < key_count; i++) {
		sql_key(sql, &keys[i]);
		text_puts(&sql->text, ",");
	}
	put_amounts(sql);
	text_puts(&sql->text, " FROM (");
	if (calls)
		put_one_by_one(sql, filter, retried);
	else
		put_rollup(sql, filter, cut);
	text_puts(&sql->text, calls ? ") s JOIN calls c ON c.seq=s.seq" : ") s");
	text_puts(&sql->text, " JOIN facets f ON f.id=s.facet WHERE ");
	text_puts(&sql->text, sql->version < QUERY_PAYER_SINCE ? "1" : "f.collapsed_by IS NULL");
	sql_where(sql, filter);
}

static int name_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (name && !strcmp(names[i], name))
			return i;
	}
	return 0;
}

/* Columns of put_amounts behind those of the group. */
enum sums {
	SUM_BASIS,
	SUM_MODE,
	SUM_OUTCOME,
	SUM_CALLS,
	SUM_COST,
	SUM_LIST = SUM_COST + 2,
	SUM_SAVINGS = SUM_LIST + 2,
	SUM_FIRST = SUM_SAVINGS + 2,
	SUM_ENDED,
	SUM_BUSY,
	SUM_TOKENS,
	SUM_TOOLS = SUM_TOKENS + TOKEN_KINDS
};

static void load_waste(enum outcome outcome, struct spend *part)
{
	enum waste waste = outcome == OUTCOME_ABORTED ? WASTE_ABORTED : WASTE_ERRORED;

	if (outcome != OUTCOME_ABORTED && outcome != OUTCOME_ERROR)
		return;
	part->waste_calls[waste] = part->calls;
	part->waste_cost[waste] = part->cost;
}

static int name_at(sqlite3_stmt *stmt, int column, const char *const *names, int count)
{
	return name_index(names, count, (const char *)sqlite3_column_text(stmt, column));
}

/* What the sums of a part are worth, once its calls and its cost are known. */
static void judge_part(struct spend *part, enum basis basis, bool subscribed, enum outcome outcome)
{
	part->calls_by_basis[basis] = part->calls;
	part->cost_by_basis[basis] = part->cost;
	/* What a subscription covers costs 0, whatever else is not known of it. */
	part->lower_bound = !subscribed && (basis == BASIS_PARTIAL || basis == BASIS_UNPRICED ||
					    basis == BASIS_ESTIMATED);
	part->estimated = !subscribed && basis == BASIS_ESTIMATED && part->cost > 0;
	load_waste(outcome, part);
}

static int64_t known(int64_t pusd)
{
	return pusd > 0 ? pusd : 0;
}

void spend_of_call(struct spend *part, const struct call *call)
{
	bool subscribed = call->billing_mode == BILLING_SUBSCRIPTION;

	memset(part, 0, sizeof(*part));
	part->calls = 1;
	part->first_us = call->started_at_us;
	part->busy_us = call->duration_us;
	part->ended_us = add_saturating(call->started_at_us, call->duration_us);
	part->cost = known(call->cost.cost_pusd);
	if (subscribed)
		part->subscription_list = known(call->cost.list_pusd);
	part->cache_savings = call->cost.cache_savings_pusd;
	for (int i = 0; i < TOKEN_KINDS && call->usage.known; i++)
		part->tokens[i] = call->usage.tokens[i];
	for (int i = 0; i < TOOL_UNITS; i++)
		part->tool_units[i] = call->usage.tool_units[i];
	judge_part(part, call->basis, subscribed, call->outcome);
}

/* One result row, of one facet and hour or one call, as a part of its group's spend. */
static void load_part(sqlite3_stmt *stmt, size_t key_count, struct spend *part)
{
	int at = (int)key_count;
	int basis = name_at(stmt, at + SUM_BASIS, basis_names, BASES);
	bool subscribed = name_at(stmt, at + SUM_MODE, billing_mode_names, BILLING_MODES) ==
			  BILLING_SUBSCRIPTION;

	memset(part, 0, sizeof(*part));
	for (size_t i = 0; i < key_count; i++)
		part->group[i] = (const char *)sqlite3_column_text(stmt, (int)i);
	part->calls = sqlite3_column_int64(stmt, at + SUM_CALLS);
	part->cost = sql_money(stmt, at + SUM_COST);
	if (subscribed)
		part->subscription_list = sql_money(stmt, at + SUM_LIST);
	part->cache_savings = sql_money(stmt, at + SUM_SAVINGS);
	part->first_us = sqlite3_column_int64(stmt, at + SUM_FIRST);
	part->ended_us = sqlite3_column_int64(stmt, at + SUM_ENDED);
	part->busy_us = sqlite3_column_int64(stmt, at + SUM_BUSY);
	judge_part(part, (enum basis)basis, subscribed,
		   (enum outcome)name_at(stmt, at + SUM_OUTCOME, outcome_names, OUTCOMES));
	for (int i = 0; i < TOKEN_KINDS; i++)
		part->tokens[i] = sqlite3_column_int64(stmt, at + SUM_TOKENS + i);
	for (int i = 0; i < TOOL_UNITS; i++)
		part->tool_units[i] = sqlite3_column_int64(stmt, at + SUM_TOOLS + i);
}

static int by_group(const void *a, const void *b)
{
	const struct spend *x = a, *y = b;

	for (size_t i = 0; i < QUERY_KEYS_MAX; i++) {
		int order;

		if (!x->group[i] || !y->group[i])
			order = (x->group[i] != NULL) - (y->group[i] != NULL);
		else
			order = strcmp(x->group[i], y->group[i]);
		if (order)
			return order;
	}
	return 0;
}

/* Where the row of a group is: by its facts' texts, each with its length. */
struct group {
	UT_hash_handle hh;
	size_t row;
	bool left_out;
	char key[];
};

struct spend_rows {
	struct spend *row;
	size_t count, cap;
	struct group *groups; /* while they are folded */
	struct text key;
};

/* The part's key in memory that is there already or grows. NULL without memory. */
static const char *group_key(struct text *buffer, const struct spend *part, size_t key_count,
			     size_t *len)
{
	buffer->len = 0;
	for (size_t i = 0; i < key_count; i++) {
		const char *fact = part->group[i];
		uint32_t n = fact ? (uint32_t)strlen(fact) : UINT32_MAX;

		text_append(buffer, &n, sizeof(n));
		if (fact)
			text_append(buffer, fact, n);
	}
	*len = buffer->len;
	return text_cstr(buffer);
}

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

static int add_group(struct spend_rows *rows, const struct spend *part, size_t key_count,
		     const char *key, size_t len)
{
	struct group *group = calloc(1, sizeof(*group) + len);

	if (!group)
		return -ENOMEM;
	memcpy(group->key, key, len);
	group->row = rows->count;
	HASH_ADD_KEYPTR(hh, rows->groups, group->key, len, group);
	if (group->left_out) {
		free(group);
		return -ENOMEM;
	}
	return rows_append(rows, part, key_count);
}

static int fold_part(struct query *q, struct spend_rows *rows, const struct spend *part,
		     size_t key_count)
{
	struct group *group;
	size_t len;
	const char *key = group_key(&rows->key, part, key_count, &len);

	if (!key)
		return query_fail(q, SQLITE_NOMEM);
	HASH_FIND(hh, rows->groups, key, len, group);
	if (group) {
		spend_add(&rows->row[group->row], part);
		return 0;
	}
	if (rows->count == QUERY_GROUPS_MAX) {
		snprintf(q->error, sizeof(q->error),
			 "more than %d groups; group by fewer facts or bound the time with --since",
			 QUERY_GROUPS_MAX);
		return -E2BIG;
	}
	return add_group(rows, part, key_count, key, len) ? query_fail(q, SQLITE_NOMEM) : 0;
}

/* What only the folding needed. */
static void forget_groups(struct spend_rows *rows)
{
	struct group *group, *next;

	HASH_ITER (hh, rows->groups, group, next) {
		HASH_DEL(rows->groups, group);
		free(group);
	}
	text_free(&rows->key);
}

static int by_cost(const void *a, const void *b)
{
	const struct spend *x = a, *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? 1 : -1;
	if (x->calls != y->calls)
		return x->calls < y->calls ? 1 : -1;
	return by_group(a, b);
}

/* The time a group stands for: its hour, day, ..., where it has one, within the filter's. */
static void group_time(const struct query_key *keys, size_t key_count, const struct spend *row,
		       int64_t *since_us, int64_t *until_us)
{
	for (size_t i = 0; i < key_count; i++) {
		struct calendar_span span;
		enum calendar_unit unit;

		if (keys[i].fact->place != FACT_PERIOD ||
		    !calendar_unit_parse(slice_of(keys[i].fact->name), &unit))
			continue;
		calendar_span_at(unit, row->first_us, &span);
		if (span.since_us > *since_us)
			*since_us = span.since_us;
		if (span.until_us < *until_us)
			*until_us = span.until_us;
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

/* Runs the statement; parts of one group are handed on as one. */
static int read_groups(struct query *q, const struct query_filter *filter,
		       const struct query_key *keys, size_t key_count, bool retried,
		       struct spend_rows *found)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	sqlite3_stmt *stmt = NULL;
	struct spend part;
	int r, rc = SQLITE_ROW;

	found->key = (struct text)TEXT_INIT(GROUP_KEY_MAX);
	put_spend(&sql, filter, keys, key_count, retried);
	r = query_prepare(q, &sql, &stmt);
	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		load_part(stmt, key_count, &part);
		r = fold_part(q, found, &part, key_count);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = query_fail(q, rc);
	sqlite3_finalize(stmt);
	text_free(&sql.text);
	forget_groups(found);
	return r;
}

/* ---- calls that are gone ------------------------------------------------------------------- */

/* Is there a row of the roll-up in the hours [first, end)? */
static int has_hours(struct query *q, int64_t first, int64_t end, bool *found)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	int64_t value = 0;
	int r;

	text_puts(&sql.text, "SELECT EXISTS(SELECT 1 FROM rollup WHERE hour>=? AND hour<?)");
	sql_number(&sql, first);
	sql_number(&sql, end);
	r = query_integer(q, &sql, &value);
	*found = value != 0;
	return r;
}

/* Fails when the roll-up stands alone for some of these hours. */
static int refuse_gone(struct query *q, int64_t first, int64_t end)
{
	int64_t detail_us = rollup_detail_since_us(q->db);
	int64_t detail = detail_us / SCHEMA_US_PER_HOUR;
	char text[CLOCK_TEXT_MAX];
	bool found = false;
	int r = 0;

	if (detail > first)
		r = has_hours(q, first, end < detail ? end : detail, &found);
	if (r || !found)
		return r;
	clock_format_us(text, detail_us);
	snprintf(q->error, sizeof(q->error),
		 "what is asked needs calls that are gone by retention; sums of whole hours are "
		 "kept, and since %s all calls: --since=%.10s",
		 text, text);
	return -ENOTSUP;
}

int query_check_calls(struct query *q, const struct query_filter *filter)
{
	int64_t until_us = filter_until(filter);

	return refuse_gone(q, filter->since_us / SCHEMA_US_PER_HOUR,
			   until_us / SCHEMA_US_PER_HOUR + (until_us % SCHEMA_US_PER_HOUR != 0));
}

/* The hours that the filter cuts are summed from their calls. */
static int check_ends(struct query *q, const struct query_filter *filter)
{
	const int64_t ends[] = {filter->since_us, filter->until_us};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(ends); i++) {
		int64_t hour = ends[i] / SCHEMA_US_PER_HOUR;

		if (ends[i] % SCHEMA_US_PER_HOUR)
			r = refuse_gone(q, hour, hour + 1);
	}
	return r;
}

/* So are those that a period cuts. */
static int check_periods(struct query *q, const struct query_filter *filter,
			 const struct query_key *keys, size_t key_count)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	enum calendar_unit unit;
	int64_t gone = 0;
	int r;

	if (!cutting_unit(filter, keys, key_count, &unit))
		return 0;
	put_cut_hours(&sql, whole_hours(filter), unit);
	text_puts(&sql.text,
		  "SELECT EXISTS(SELECT 1 FROM cut JOIN meta ON key='" SCHEMA_DETAIL_SINCE
		  "' AND cut.hour*3600000000<value)");
	r = query_integer(q, &sql, &gone);
	if (r || !gone)
		return r;
	snprintf(q->error, sizeof(q->error),
		 "%ss of %s begin within hours whose calls are gone; use --timezone=UTC, or a "
		 "later --since",
		 calendar_unit_names[unit], calendar_zone());
	return -ENOTSUP;
}

/* A sum that leaves out what is gone looks like any other, so there is none. */
static int check_gone(struct query *q, const struct query_filter *filter,
		      const struct query_key *keys, size_t key_count)
{
	int r;

	if (needs_calls(filter, keys, key_count))
		return query_check_calls(q, filter);
	r = check_ends(q, filter);
	return r ? r : check_periods(q, filter, keys, key_count);
}

int query_spend(struct query *q, const struct query_filter *filter, const struct query_key *keys,
		size_t key_count, struct spend **rows, size_t *row_count)
{
	struct spend_rows found = {0};
	int r = query_check_facts(q, filter, keys, key_count);

	if (r == 0)
		r = check_gone(q, filter, keys, key_count);
	if (r == 0)
		r = read_groups(q, filter, keys, key_count, false, &found);
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

/* What was counted as an abort or an error, and was repeated, is the retry's. */
static void move_waste(struct spend *row, const struct spend *retried)
{
	row->waste_calls[WASTE_RETRIED] += retried->calls;
	row->waste_cost[WASTE_RETRIED] += retried->cost;
	for (int i = 0; i < WASTE_RETRIED; i++) {
		row->waste_calls[i] -= retried->waste_calls[i];
		row->waste_cost[i] -= retried->waste_cost[i];
	}
}

static void move_wastes(struct spend *rows, size_t row_count, const struct spend_rows *retried)
{
	for (size_t i = 0; i < retried->count; i++) {
		struct spend *row =
			bsearch(&retried->row[i], rows, row_count, sizeof(*rows), by_group);

		if (row) /* else its call was recorded since */
			move_waste(row, &retried->row[i]);
	}
}

int query_spend_retried(struct query *q, const struct query_filter *filter,
			const struct query_key *keys, size_t key_count, struct spend *rows,
			size_t row_count)
{
	struct spend_rows found = {0};
	int r = query_check_calls(q, filter);

	if (r == 0)
		r = read_groups(q, filter, keys, key_count, true, &found);
	if (r == 0 && found.count && row_count) {
		qsort(rows, row_count, sizeof(*rows), by_group);
		move_wastes(rows, row_count, &found);
		qsort(rows, row_count, sizeof(*rows), by_cost);
	}
	query_spend_free(found.row, found.count);
	return r;
}

/* Rows of one period have its label; of two periods every call of one is before the other's. */
static int by_time(const void *a, const void *b)
{
	const struct spend *x = a, *y = b;

	if (x->first_us == y->first_us || !strcmp(x->group[0], y->group[0]))
		return by_cost(a, b);
	return x->first_us < y->first_us ? -1 : 1;
}

void query_spend_by_time(struct spend *rows, size_t row_count)
{
	if (row_count)
		qsort(rows, row_count, sizeof(*rows), by_time);
}

void query_spend_free(struct spend *rows, size_t row_count)
{
	for (size_t i = 0; i < row_count; i++) {
		for (size_t k = 0; k < QUERY_KEYS_MAX; k++)
			free((char *)rows[i].group[k]);
	}
	free(rows);
}
