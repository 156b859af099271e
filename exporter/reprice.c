/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows are read over a connection of their own, an hour of calls at a time, and changed in short
 * transactions over another; a row that someone changed between is left as it is. The roll-up of
 * the hour is summed anew from its calls in the transaction that changed them.
 */
#include "exporter/reprice.h"

#include "exporter/amend.h"
#include "exporter/facets.h"
#include "exporter/periods.h"
#include "exporter/rollup.h"
#include "exporter/schema.h"
#include "exporter/sql.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

/* ---- one call ---------------------------------------------------------------------------- */

bool reprice_call(const struct catalog *catalog, const struct call *before, struct call *after)
{
	const struct cost *was = &before->cost, *is = &after->cost;

	*after = *before;
	price_call(catalog, after);
	if (before->basis == after->basis && was->cost_pusd == is->cost_pusd &&
	    was->list_pusd == is->list_pusd && was->unpriced == is->unpriced &&
	    was->cache_savings_pusd == is->cache_savings_pusd &&
	    !strcmp(was->price_id, is->price_id)) {
		after->cost = before->cost;
		return false;
	}
	return true;
}

/* ---- closed months ----------------------------------------------------------------------- */

/* The closed months that a ledger has, read once: a preview asks for every call. */
struct closed {
	int64_t (*month)[2];
	size_t count;
};

static int closed_add(void *user, const struct period *p)
{
	struct closed *c = user;
	int64_t(*grown)[2];

	if (!p->closed || !p->id)
		return 0;
	grown = reallocarray(c->month, c->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->month = grown;
	c->month[c->count][0] = p->since_us;
	c->month[c->count++][1] = p->until_us;
	return 0;
}

static bool is_closed(const struct closed *c, int64_t at_us)
{
	for (size_t i = 0; i < c->count; i++) {
		if (at_us >= c->month[i][0] && at_us < c->month[i][1])
			return true;
	}
	return false;
}

/* ---- preview ----------------------------------------------------------------------------- */

struct preview {
	const struct reprice *opts;
	struct closed closed;
	int (*each)(void *user, const struct reprice_change *change);
	void *user;
};

static int preview_event(void *user, const struct event *event)
{
	struct preview *p = user;
	struct call after;
	struct reprice_change change = {.before = &event->call, .after = &after};

	if (!reprice_call(p->opts->catalog, &event->call, &after))
		return 0;
	change.in_closed = !p->opts->closed && is_closed(&p->closed, event->call.started_at_us);
	return p->each(p->user, &change);
}

int reprice_preview(const char *dir, const struct reprice *opts,
		    int (*each)(void *user, const struct reprice_change *change), void *user,
		    char *err, size_t err_size)
{
	struct preview p = {.opts = opts, .each = each, .user = user};
	struct query *q = NULL;
	int r = query_open(&q, dir, err, err_size);

	if (r)
		return r;
	r = query_periods(q, closed_add, &p.closed);
	if (r == 0)
		r = query_events_by_time(q, opts->filter, preview_event, &p);
	if (r && *query_error(q))
		snprintf(err, err_size, "%s", query_error(q));
	else if (r)
		snprintf(err, err_size, "%s", strerror(-r));
	free(p.closed.month);
	query_close(q);
	return r;
}

/* ---- changing ---------------------------------------------------------------------------- */

struct change {
	int64_t seq, revision, started_at_us;
	int64_t list_pusd, cost_pusd, savings_pusd; /* after; -1 = unknown, but of savings */
	bool counted;				    /* not collapsed: part of sums */
	struct text facets;			    /* packed */
};

struct apply {
	const struct reprice *opts;
	sqlite3 *db;
	struct facets *facets;
	struct query *q;
	struct change change[REPRICE_BATCH];
	size_t count;
	int64_t id, changed;
	int64_t hour;
	int rc; /* of SQLite */
};

static int put_reprice(struct apply *a)
{
	const struct reprice *o = a->opts;
	int rc = sql_run(a->db,
			 "INSERT INTO reprices(at_us,by,since_us,until_us,filter,closed,"
			 "prices_sha256,done,calls,cost_pusd_before_hi,cost_pusd_before_lo,"
			 "cost_pusd_after_hi,cost_pusd_after_lo) "
			 "VALUES(?,?,?,?,?,?,?,0,0,0,0,0,0)",
			 "itiitit", o->now_us, o->by, o->filter->since_us, o->filter->until_us,
			 o->filter_text, (int64_t)o->closed, catalog_sha256(o->catalog));

	a->id = sqlite3_last_insert_rowid(a->db);
	return rc;
}

/* Its old price goes into the journal, as the revision that it was. */
static int journal(struct apply *a, const struct change *c, int64_t facet)
{
	return sql_run(a->db,
		       "INSERT INTO journal(at_us,seq,revision,reason,facet_before,"
		       "list_cost_pusd_before,cost_pusd_before,facet_after,list_cost_pusd_after,"
		       "cost_pusd_after,reprice) SELECT ?1,seq,revision,'reprice',facet,"
		       "list_cost_pusd,cost_pusd,?2,nullif(?3,-1),nullif(?4,-1),?5 FROM calls "
		       "WHERE seq=?6",
		       "iiiiii", a->opts->now_us, facet, c->list_pusd, c->cost_pusd, a->id, c->seq);
}

static int correct(struct apply *a, const struct change *c, int64_t facet, int64_t period)
{
	return sql_run(a->db,
		       "INSERT INTO corrections(at_us,period,reason,reprice,seq,facet,calls,"
		       "list_cost_pusd,cost_pusd) SELECT ?1,?2,'reprice',?3,seq,?4,0,"
		       "max(?5,0)-ifnull(list_cost_pusd,0),max(?6,0)-ifnull(cost_pusd,0) "
		       "FROM calls WHERE seq=?7",
		       "iiiiiii", a->opts->now_us, period, a->id, facet, c->list_pusd, c->cost_pusd,
		       c->seq);
}

static int add_to_reprice(struct apply *a, const struct change *c)
{
	return sql_run(a->db,
		       "UPDATE reprices SET calls=calls+1,"
		       "cost_pusd_before_hi=cost_pusd_before_hi+(o.cost>>32),"
		       "cost_pusd_before_lo=cost_pusd_before_lo+(o.cost&4294967295),"
		       "cost_pusd_after_hi=cost_pusd_after_hi+(max(?1,0)>>32),"
		       "cost_pusd_after_lo=cost_pusd_after_lo+(max(?1,0)&4294967295) "
		       "FROM (SELECT ifnull(cost_pusd,0) AS cost FROM calls WHERE seq=?2) o "
		       "WHERE id=?3",
		       "iii", c->cost_pusd, c->seq, a->id);
}

static int set_call(struct apply *a, const struct change *c, int64_t facet)
{
	return sql_run(a->db,
		       "UPDATE calls SET facet=?1,list_cost_pusd=nullif(?2,-1),"
		       "cost_pusd=nullif(?3,-1),cache_savings_pusd=nullif(?4,0),"
		       "revision=revision+1 WHERE seq=?5",
		       "iiiii", facet, c->list_pusd, c->cost_pusd, c->savings_pusd, c->seq);
}

/* Is it as it was read? */
static int is_as_read(struct apply *a, const struct change *c, bool *same)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sql_prepare(a->db, &stmt, "SELECT 1 FROM calls WHERE seq=? AND revision=?", "ii",
			     c->seq, c->revision);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	*same = rc == SQLITE_ROW;
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int change_call(struct apply *a, const struct change *c, int64_t *changed)
{
	int64_t facet = 0, period = 0;
	bool same = false;
	int rc = is_as_read(a, c, &same);

	if (rc == SQLITE_OK)
		rc = period_closed_at(a->db, c->started_at_us, &period);
	if (rc != SQLITE_OK || !same || (period && !a->opts->closed))
		return rc;
	rc = facets_id(a->facets, (struct slice){c->facets.ptr, c->facets.len}, &facet);
	if (rc == SQLITE_OK)
		rc = journal(a, c, facet);
	if (rc == SQLITE_OK && period && c->counted)
		rc = correct(a, c, facet, period);
	if (rc == SQLITE_OK)
		rc = add_to_reprice(a, c);
	if (rc == SQLITE_OK)
		rc = set_call(a, c, facet);
	++*changed;
	return rc;
}

static void forget_changes(struct apply *a)
{
	for (size_t i = 0; i < a->count; i++)
		text_free(&a->change[i].facets);
	a->count = 0;
}

/* The changes that were gathered, with their roll-up: all or nothing. */
static int flush(struct apply *a)
{
	int64_t changed = 0;
	int rc = SQLITE_OK;

	if (a->count)
		rc = sqlite3_exec(a->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc == SQLITE_OK && a->count && !rollup_has_detail(a->db, a->hour))
		forget_changes(a); /* they go by retention, and their roll-up cannot follow */
	for (size_t i = 0; rc == SQLITE_OK && i < a->count; i++)
		rc = change_call(a, &a->change[i], &changed);
	if (rc == SQLITE_OK && changed)
		rc = rollup_hour(a->db, a->hour);
	if (rc == SQLITE_OK && !sqlite3_get_autocommit(a->db))
		rc = sqlite3_exec(a->db, "COMMIT", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		a->changed += changed;
	else
		facets_forget(a->facets);
	forget_changes(a);
	a->rc = rc;
	return rc == SQLITE_OK ? 0 : -EIO;
}

static int gather(void *user, const struct event *event)
{
	struct apply *a = user;
	struct change *c = &a->change[a->count];
	struct call after;

	if (!reprice_call(a->opts->catalog, &event->call, &after))
		return 0;
	*c = (struct change){
		.seq = event->seq,
		.revision = event->revision,
		.started_at_us = after.started_at_us,
		.list_pusd = after.cost.list_pusd,
		.cost_pusd = after.cost.cost_pusd,
		.savings_pusd = after.cost.cache_savings_pusd,
		.counted = after.collapsed_by == COLLAPSED_NOT,
		.facets = TEXT_INIT(64u << 10),
	};
	schema_pack(&c->facets, SCHEMA_FACETS, &after);
	a->count++;
	if (c->facets.failed)
		return -ENOMEM;
	return a->count == REPRICE_BATCH ? flush(a) : 0;
}

/* ---- hours ------------------------------------------------------------------------------- */

/* The filter's part of one hour. */
static int one_hour(struct apply *a, int64_t hour)
{
	struct query_filter part = *a->opts->filter;
	int64_t since_us = hour * SCHEMA_US_PER_HOUR, until_us = since_us + SCHEMA_US_PER_HOUR;
	int r;

	if (part.since_us < since_us)
		part.since_us = since_us;
	if (!part.until_us || part.until_us > until_us)
		part.until_us = until_us;
	a->hour = hour;
	r = query_events_by_time(a->q, &part, gather, a);
	return r == 0 ? flush(a) : r;
}

/* The first hour from `hour` on that has calls; INT64_MAX = none has. */
static int64_t next_hour(sqlite3 *db, int64_t hour)
{
	sqlite3_stmt *stmt = NULL;
	int64_t found = INT64_MAX;

	if (sql_prepare(db, &stmt,
			"SELECT min(started_at_us)/3600000000 FROM calls WHERE "
			"started_at_us>=?*3600000000",
			"i", hour) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		found = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return found;
}

static int all_hours(struct apply *a, void (*progress)(int64_t done, int64_t all))
{
	int64_t until_us = a->opts->filter->until_us, from_us = a->opts->filter->since_us;
	int64_t last = sql_integer(a->db, "SELECT max(started_at_us)/3600000000 FROM calls", -1);
	/* Calls before that are there by chance: their hour was more than they are. */
	int64_t detail = rollup_detail_since_us(a->db), hour, first;
	int r = 0;

	if (until_us && (until_us - 1) / SCHEMA_US_PER_HOUR < last)
		last = (until_us - 1) / SCHEMA_US_PER_HOUR;
	hour = first = next_hour(a->db, (from_us > detail ? from_us : detail) / SCHEMA_US_PER_HOUR);
	while (r == 0 && hour <= last) {
		r = one_hour(a, hour);
		if (progress)
			progress(hour - first + 1, last - first + 1);
		hour = next_hour(a->db, hour + 1);
	}
	return r;
}

static int open_apply(struct apply *a, const char *dir, char *err, size_t err_size)
{
	int r = amend_open(&a->db, dir, err, err_size);

	if (r == 0)
		r = query_open(&a->q, dir, err, err_size);
	if (r)
		return r;
	a->rc = facets_new(&a->facets, a->db);
	if (a->rc == SQLITE_OK)
		a->rc = put_reprice(a);
	return a->rc == SQLITE_OK ? 0 : amend_fail(a->db, err, err_size);
}

static int explain(struct apply *a, int r, char *err, size_t err_size)
{
	if (a->rc != SQLITE_OK)
		return amend_fail(a->db, err, err_size);
	snprintf(err, err_size, "%s", *query_error(a->q) ? query_error(a->q) : strerror(-r));
	return r;
}

int reprice_apply(const char *dir, const struct reprice *opts, int64_t *changed, int64_t *id,
		  void (*progress)(int64_t done, int64_t all), char *err, size_t err_size)
{
	struct apply *a = calloc(1, sizeof(*a));
	int r = -ENOMEM;

	*changed = *id = 0;
	if (!a) {
		snprintf(err, err_size, "no memory");
		return r;
	}
	a->opts = opts;
	r = open_apply(a, dir, err, err_size);
	if (r == 0) {
		r = all_hours(a, progress);
		if (r == 0)
			a->rc = sql_run(a->db, "UPDATE reprices SET done=1 WHERE id=?", "i", a->id);
		if (r || a->rc != SQLITE_OK)
			r = explain(a, r, err, err_size);
	}
	*changed = a->changed;
	*id = a->id;
	forget_changes(a);
	facets_free(a->facets);
	query_close(a->q);
	amend_close(a->db);
	free(a);
	return r;
}
