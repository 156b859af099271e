/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/verify.h"

#include "exporter/periods.h"
#include "exporter/query_parts.h"
#include "exporter/rollup.h"
#include "exporter/schema.h"
#include "exporter/sql.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

struct verify {
	struct query *q;
	void (*found)(void *user, const struct verify_finding *finding);
	void *user;
	int wrong;
};

static void tell(struct verify *v, const char *what, bool ok, const char *fmt, ...) TT_PRINTF(4, 5);

static void tell(struct verify *v, const char *what, bool ok, const char *fmt, ...)
{
	struct verify_finding finding = {.what = what, .ok = ok};
	va_list args;

	va_start(args, fmt);
	vsnprintf(finding.detail, sizeof(finding.detail), fmt, args);
	va_end(args);
	v->wrong += !ok;
	v->found(v->user, &finding);
}

/* Checks that are one query: it counts what is not as it has to be. */
static const struct {
	const char *what, *wrong, *right, *sql;
} counts[] = {
	{"facets", "calls point to no facet", "every call has its facet",
	 "SELECT count(*) FROM calls WHERE facet NOT IN (SELECT id FROM facets)"},
	{"outbox", "calls are not in the outbox as they are",
	 "every call is in the outbox as it is",
	 "SELECT count(*) FROM (SELECT seq,revision FROM calls EXCEPT "
	 "SELECT seq,revision FROM outbox)"},
	{"prices",
	 "calls have a cost where their basis says that none is known, or none where it "
	 "says that one is",
	 "every cost stands on its basis",
	 "SELECT count(*) FROM calls c JOIN facets f ON f.id=c.facet WHERE (f.basis IN "
	 "('provider_reported','reported_usage','not_billed') AND c.cost_pusd IS NULL) OR "
	 "(f.basis='unpriced' AND f.billable AND f.billing_mode='metered' AND "
	 "c.cost_pusd IS NOT NULL)"},
	{"journal", "repriced calls are not as their last reprice left them",
	 "every repriced call is as its last reprice left it",
	 "SELECT count(*) FROM (SELECT seq,max(id) AS id FROM journal WHERE reprice IS NOT NULL "
	 "GROUP BY seq) l JOIN journal j ON j.id=l.id JOIN calls c ON c.seq=l.seq WHERE "
	 "c.facet IS NOT j.facet_after OR c.cost_pusd IS NOT j.cost_pusd_after OR "
	 "c.list_cost_pusd IS NOT j.list_cost_pusd_after"},
	{"reprices", "reprices are not the sum of their journal",
	 "every reprice is the sum of its journal",
	 "SELECT count(*) FROM reprices r LEFT JOIN (SELECT reprice,count(*) AS calls,"
	 "sum(ifnull(cost_pusd_before,0)>>32) AS bh,"
	 "sum(ifnull(cost_pusd_before,0)&4294967295) AS bl,"
	 "sum(ifnull(cost_pusd_after,0)>>32) AS ah,"
	 "sum(ifnull(cost_pusd_after,0)&4294967295) AS al FROM journal WHERE reprice IS NOT NULL "
	 "GROUP BY reprice) j ON j.reprice=r.id WHERE r.calls IS NOT ifnull(j.calls,0) OR "
	 "r.cost_pusd_before_hi IS NOT ifnull(j.bh,0) OR "
	 "r.cost_pusd_before_lo IS NOT ifnull(j.bl,0) OR "
	 "r.cost_pusd_after_hi IS NOT ifnull(j.ah,0) OR "
	 "r.cost_pusd_after_lo IS NOT ifnull(j.al,0)"},
};

static int check_count(struct verify *v, size_t i)
{
	int64_t n = sql_integer(v->q->db, counts[i].sql, -1);

	if (n < 0)
		return query_fail(v->q, sqlite3_errcode(v->q->db));
	if (n)
		tell(v, counts[i].what, false, "%lld %s", (long long)n, counts[i].wrong);
	else
		tell(v, counts[i].what, true, "%s", counts[i].right);
	return 0;
}

static int check_pages(struct verify *v)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sql_prepare(v->q->db, &stmt, "PRAGMA integrity_check(1)", "");
	const char *text = NULL;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		text = (const char *)sqlite3_column_text(stmt, 0);
	if (text && !strcmp(text, "ok"))
		tell(v, "pages", true, "SQLite finds no damage");
	else if (text)
		tell(v, "pages", false, "%.200s; the agent salvages what can be read", text);
	sqlite3_finalize(stmt);
	return text ? 0 : query_fail(v->q, rc);
}

static int check_rollups(struct verify *v)
{
	int64_t wrong, first_hour;
	int rc = rollup_check(v->q->db, &wrong, &first_hour);

	if (rc != SQLITE_OK)
		return query_fail(v->q, rc);
	if (wrong)
		tell(v, "roll-ups", false,
		     "%lld of them are not the sum of their calls, the first in hour %lld; "
		     "mend them with: tolltap ledger rebuild",
		     (long long)wrong, (long long)first_hour);
	else
		tell(v, "roll-ups", true, "every one is the sum of its calls");
	return 0;
}

static bool sums_agree(const struct period *p)
{
	return p->frozen.calls + p->corrections.calls == p->now.calls &&
	       p->frozen.cost + p->corrections.cost == p->now.cost &&
	       p->frozen.list + p->corrections.list == p->now.list;
}

static void tell_sums(struct verify *v, const struct period *p)
{
	char was[PUSD_TEXT_MAX], since[PUSD_TEXT_MAX], now[PUSD_TEXT_MAX];

	tell(v, "closed months", false,
	     "%s was closed with %lld calls and %s USD, corrections are %lld and %s, and its calls "
	     "are %lld and %s USD now",
	     p->month, (long long)p->frozen.calls, pusd_format(was, p->frozen.cost),
	     (long long)p->corrections.calls, pusd_format(since, p->corrections.cost),
	     (long long)p->now.calls, pusd_format(now, p->now.cost));
}

static int check_month(void *user, const struct period *p)
{
	int64_t detail_us;
	struct verify *v = user;
	char sha256[65];

	if (!p->closed || !p->id)
		return 0;
	if (!sums_agree(p)) {
		tell_sums(v, p);
		return 0;
	}
	detail_us = rollup_detail_since_us(v->q->db);
	if (p->since_us < detail_us) {
		tell(v, "closed months", true,
		     "%s is what it was closed with, and its corrections; its calls are gone by "
		     "retention",
		     p->month);
		return 0;
	}
	if (period_rows_sha256(v->q->db, p, sha256) != SQLITE_OK)
		return -EIO;
	if (strcmp(sha256, p->rows_sha256))
		tell(v, "closed months", false,
		     "%s: its calls are not those that it was closed with (sha256 %s, now %s)",
		     p->month, p->rows_sha256, sha256);
	else
		tell(v, "closed months", true, "%s is what it was closed with, and its corrections",
		     p->month);
	return 0;
}

static int check_all(struct verify *v)
{
	int r = check_pages(v);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(counts); i++)
		r = check_count(v, i);
	if (r == 0)
		r = check_rollups(v);
	return r == 0 ? query_periods(v->q, check_month, v) : r;
}

int verify_ledger(struct query *q, void (*found)(void *user, const struct verify_finding *finding),
		  void *user, int *wrong)
{
	struct verify v = {.q = q, .found = found, .user = user};
	int r;

	*wrong = 0;
	if (q->version != SCHEMA_VERSION) {
		snprintf(q->error, sizeof(q->error),
			 "this ledger is from an older Tolltap; start this version's agent once");
		return -ENOTSUP;
	}
	if (sqlite3_exec(q->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
		return query_fail(q, sqlite3_errcode(q->db));
	r = check_all(&v);
	sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
	*wrong = v.wrong;
	return r;
}
