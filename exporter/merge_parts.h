/* SPDX-License-Identifier: Apache-2.0 */
/* A merge from within. Private to merge.c, which copies databases, and merge_lines.c, which reads
 * exported lines. */
#ifndef TT_MERGE_PARTS_H
#define TT_MERGE_PARTS_H

#include "exporter/merge.h"
#include "exporter/records.h"
#include "exporter/text.h"

#include <sqlite3.h>

#define MERGE_ID_BYTES sizeof(((struct call *)0)->event_id)

/* Before this moment a ledger has sums only. */
#define MERGE_DETAIL_SINCE \
	"ifnull((SELECT value FROM src.meta WHERE key='" SCHEMA_DETAIL_SINCE "'),0)"

struct facets;

struct merge {
	sqlite3 *db;
	struct facets *facets;
	const struct query_sources *sources;
	const char *path;	   /* of the source that is copied */
	int source;		   /* its number */
	char ledger[64];	   /* its id */
	char rollup_columns[2048]; /* of the roll-up, separated by commas */
	int64_t since_us, until_us;
	uint64_t tell_at_ns;
	char *err;
	size_t err_size;
};

/* All return 0, or -errno with m->err said. The SQL is freed. */
int merge_fail(struct merge *m, int rc) TT_MUST_CHECK;
int merge_run(struct merge *m, struct text *sql) TT_MUST_CHECK;
int merge_prepare(struct merge *m, struct text *sql, sqlite3_stmt **out) TT_MUST_CHECK;

/* What an INSERT does with a call that is there: it keeps the higher revision. */
void merge_put_newer_call(struct text *sql);
/* The same for a sum, of which the file has two: the one of more calls. */
void merge_put_newer_sum(struct text *sql, const struct merge *m);
/* The same for a row of a staging table. */
void merge_put_newer(struct text *sql, const struct record_table *t);

/* The 16 bytes behind 32 hex digits. */
bool merge_event_id(struct slice hex, uint8_t id[MERGE_ID_BYTES]);

/* Adds what the JSONL file m->path holds. */
int merge_lines(struct merge *m) TT_MUST_CHECK;

#endif
