/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A query from within. Private to query.c, which opens a ledger and reads events, query_spend.c,
 * which sums, and query_words.c, which reads words.
 */
#ifndef TT_QUERY_PARTS_H
#define TT_QUERY_PARTS_H

#include "exporter/query.h"
#include "exporter/schema.h"
#include "exporter/text.h"

#include <limits.h>

struct sqlite3;
struct sqlite3_stmt;

#define QUERY_SQL_MAX (64u << 10)

struct query {
	struct sqlite3 *db;
	int64_t version; /* of the schema */
	bool borrowed;	 /* db is not its own */
	bool merged;	 /* made of several: the order of recording is that of time */
	bool at_rest;	 /* opened as a file that nobody writes */
	char path[PATH_MAX];
	char error[QUERY_ERROR_MAX];
	void (*tick)(void); /* NULL: nobody watches */
};

/* Where a fact is kept: a fact of calls cannot be answered from the roll-up. */
enum fact_place { FACT_FACET, FACT_PERIOD, FACT_CALL, FACT_TAG };

/* Of a row s of `rollup`: the calls of its hour are gone, so that it stands for them. */
#define QUERY_SUMS_ONLY \
	"s.hour<ifnull((SELECT value FROM meta WHERE key='" SCHEMA_DETAIL_SINCE "'),0)/3600000000"

/* The version of the schema that knows of calls made on behalf of others. */
#define QUERY_PAYER_SINCE 3
/* That which brought the table of runs. */
#define QUERY_RUNS_SINCE 4

struct query_fact {
	const char *name;
	const char *sql; /* over f (facets), s.at_us, c (calls) */
	enum fact_place place;
	int64_t since;		/* the version of the schema that brought it; 0 = the first */
	const char *sql_before; /* of a ledger before QUERY_PAYER_SINCE; NULL: the same */
};

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

void sql_number(struct sql *sql, int64_t number);
void sql_text(struct sql *sql, const char *text); /* must live until query_prepare */
/* The expression of a fact, and " AND ..." for every condition of a filter. */
void sql_key(struct sql *sql, const struct query_key *key);
void sql_where(struct sql *sql, const struct query_filter *filter);

/* The bounds a filter stands for; 0 means open. */
static inline int64_t filter_until(const struct query_filter *filter)
{
	return filter->until_us ? filter->until_us : INT64_MAX;
}

/* Only calls can answer it: a roll-up does not know its facts. */
static inline bool filter_asks_of_calls(const struct query_filter *filter)
{
	for (size_t i = 0; i < filter->where_count; i++) {
		if (filter->where[i].key.fact->place >= FACT_CALL)
			return true;
	}
	return false;
}

/*
 * SQL of the calendar in force: calendar_label(UNIT,at_us), and calendar_cuts(UNIT,hour), true when
 * the UTC hour since 1970 is not all in one period. Returns 0 or -ENOMEM.
 */
int query_calendar_functions(struct sqlite3 *db) TT_MUST_CHECK;

/* -ENOTSUP when a fact of the filter or the keys is younger than the ledger. */
int query_check_facts(struct query *q, const struct query_filter *filter,
		      const struct query_key *keys, size_t key_count) TT_MUST_CHECK;
/* The URI q was opened with, to attach it elsewhere. */
void query_uri(const struct query *q, struct text *uri);
/* A query over a merged database of this version's schema, which is q's from now on. 0 or -ENOMEM.
 */
int query_adopt(struct query **out, struct sqlite3 *db) TT_MUST_CHECK;

/* Compiles and binds; sql may be freed then, but not the texts behind its values. */
int query_prepare(struct query *q, struct sql *sql, struct sqlite3_stmt **out) TT_MUST_CHECK;
/* The first column of the statement's first row; sql is freed. Returns 0 or -errno. */
int query_integer(struct query *q, struct sql *sql, int64_t *value) TT_MUST_CHECK;
/* Says what SQLite's rc means in q->error. Returns -errno. */
int query_fail(struct query *q, int rc);

#endif
