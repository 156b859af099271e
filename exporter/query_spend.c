/* SPDX-License-Identifier: Apache-2.0 */
/* Spend: the filtered calls summed by facts, from the roll-up where it can answer. */
#include "exporter/query_parts.h"

#include "exporter/schema.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

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
	sql_number(sql, since_us);
	sql_number(sql, until_us);
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
	sql_number(sql, first);
	sql_number(sql, end);
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
		sql_key(sql, &keys[i]);
		text_puts(&sql->text, ",");
	}
	put_sums(sql);
	text_puts(&sql->text, " FROM (");
	if (needs_calls(filter, keys, key_count)) {
		text_puts(&sql->text, "SELECT seq,");
		schema_rollup_list_sql(&sql->text, "", true, sql->version);
		text_puts(&sql->text, " FROM calls WHERE started_at_us>=? AND started_at_us<?");
		sql_number(sql, filter->since_us);
		sql_number(sql, filter_until(filter));
		text_puts(&sql->text, ") s JOIN calls c ON c.seq=s.seq");
	} else {
		put_rollup_between(sql, filter->since_us, filter_until(filter));
		text_puts(&sql->text, ") s");
	}
	text_puts(&sql->text, " JOIN facets f ON f.id=s.facet WHERE ");
	text_puts(&sql->text, sql->version < QUERY_PAYER_SINCE ? "1" : "f.collapsed_by IS NULL");
	sql_where(sql, filter);
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
	return rows_append(rows, part, key_count) ? query_fail(q, SQLITE_NOMEM) : 0;
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
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	struct spend_rows found = {0};
	sqlite3_stmt *stmt = NULL;
	struct spend part;
	int r, rc = SQLITE_ROW;

	r = query_check_facts(q, filter, keys, key_count);
	if (r)
		return r;
	put_spend(&sql, filter, keys, key_count);
	r = query_prepare(q, &sql, &stmt);
	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		load_part(stmt, key_count, &part);
		r = fold_part(q, &found, &part, key_count);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = query_fail(q, rc);
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
