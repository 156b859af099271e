/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/recorder.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "exporter/facets.h"
#include "exporter/periods.h"
#include "exporter/schema.h"

#include <sqlite3.h>

struct recorder {
	sqlite3 *db;
	sqlite3_stmt *insert, *rollup;
	struct facets *facets;
	struct usage_keys *keys;
	int64_t closed_until_us; /* no closed month goes on beyond it, as of this group */
};

static int prepare(struct recorder *r)
{
	struct text insert = TEXT_INIT(16u << 10), rollup = TEXT_INIT(16u << 10);
	int rc = SQLITE_NOMEM;

	schema_insert_sql(&insert, SCHEMA_CALLS);
	schema_rollup_sql(&rollup, "seq=?1");
	if (text_cstr(&insert) && text_cstr(&rollup))
		rc = sqlite3_prepare_v2(r->db, insert.ptr, -1, &r->insert, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(r->db, rollup.ptr, -1, &r->rollup, NULL);
	text_free(&insert);
	text_free(&rollup);
	if (rc == SQLITE_OK)
		rc = facets_new(&r->facets, r->db);
	return rc == SQLITE_OK ? usage_keys_new(&r->keys, r->db) : rc;
}

int recorder_new(struct recorder **out, sqlite3 *db)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return SQLITE_NOMEM;
	r->db = db;
	rc = prepare(r);
	if (rc == SQLITE_OK)
		*out = r;
	else
		recorder_free(r);
	return rc;
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	sqlite3_finalize(r->insert);
	sqlite3_finalize(r->rollup);
	usage_keys_free(r->keys);
	facets_free(r->facets);
	free(r);
}

void recorder_forget(struct recorder *r)
{
	if (r)
		facets_forget(r->facets);
}

/* ---- one call ---------------------------------------------------------------------------- */

static int step_done(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);

	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* *seq stays 0 when the call was recorded before. */
static int insert_call(struct recorder *r, const struct row *row, int64_t *seq)
{
	int64_t facet = 0;
	int rc = facets_id(r->facets, row_facets(row), &facet);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_blob(r->insert, 1, row->event_id, sizeof(row->event_id), SQLITE_STATIC);
	sqlite3_bind_int64(r->insert, 2, facet);
	schema_bind(r->insert, 3, SCHEMA_CALLS, row_columns(row));
	rc = step_done(r->insert);
	if (rc != SQLITE_OK || sqlite3_changes(r->db) == 0)
		return rc;
	*seq = sqlite3_last_insert_rowid(r->db);
	sqlite3_bind_int64(r->rollup, 1, *seq);
	rc = step_done(r->rollup);
	if (rc == SQLITE_OK && row->started_at_us < r->closed_until_us)
		rc = periods_late(r->db, *seq, clock_wall_ns() / 1000);
	return rc;
}

int recorder_call(struct recorder *r, const struct row *row)
{
	int64_t seq = 0;

	return insert_call(r, row, &seq);
}

/* ---- a group ----------------------------------------------------------------------------- */

static int write_row(struct recorder *r, struct row *row, struct recorder_tally *tally)
{
	int64_t seq = 0;
	int rc;

	if (!row->told.key.set)
		return insert_call(r, row, &seq);
	rc = usage_keys_find(r->keys, &row->told, &row->fate);
	if (rc == SQLITE_OK && row->fate != USAGE_REPEAT)
		rc = insert_call(r, row, &seq);
	if (rc != SQLITE_OK || (row->fate != USAGE_REPEAT && !seq))
		return rc;
	tally->repeats += row->fate == USAGE_REPEAT;
	tally->conflicts += row->fate == USAGE_CONFLICT;
	return usage_keys_note(r->keys, &row->told, row->fate, seq, clock_wall_ns() / 1000);
}

/* A row the schema itself refuses would be refused for ever: it must not hold up the others. */
static bool is_poison(int rc)
{
	return rc == SQLITE_CONSTRAINT || rc == SQLITE_TOOBIG || rc == SQLITE_MISMATCH;
}

/* Only where one is asked: what is past its time does not answer. */
static int sweep_keys(struct recorder *r, const struct rows *group, uint64_t *evicted)
{
	bool any = false;

	for (const struct row *row = group->first; row && !any; row = row->next)
		any = row->told.key.set;
	return any ? usage_keys_sweep(r->keys, clock_wall_ns() / 1000, evicted) : SQLITE_OK;
}

int recorder_group(struct recorder *r, const struct rows *group, struct recorder_tally *tally)
{
	int rc;

	*tally = (struct recorder_tally){0};
	r->closed_until_us = periods_closed_until(r->db);
	rc = sweep_keys(r, group, &tally->evicted);
	for (struct row *row = group->first; rc == SQLITE_OK && row; row = row->next) {
		rc = write_row(r, row, tally);
		if (is_poison(rc)) {
			log_error("ledger", "one call refused: %s", sqlite3_errmsg(r->db));
			tally->refused++;
			rc = SQLITE_OK;
		}
	}
	return rc;
}
