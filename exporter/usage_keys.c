/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/usage_keys.h"

#include "exporter/schema.h"

#include <sqlite3.h>

#define DAY_US 86400000000LL

enum statement {
	FIND_SAME,  /* the same usage of it */
	FIND_OTHER, /* any usage of the parts between two */
	SUM_PARTS,
	ADD,
	ADD_SUM,
	SET_MADE,
	MARK_OTHERS,
	MARK_OWN,
	EXPIRE,
	EVICT,
	STATEMENTS
};

/* ?1 object, ?2 part (to ?3), ?4 usage. A part is never all zero: that is the whole. */
static const char *const sql_of[STATEMENTS] = {
	[FIND_SAME] = "SELECT made,0 FROM usage_keys WHERE object=?1 AND part=?2 AND usage=?4",
	[FIND_OTHER] = "SELECT k.made,c.usage_conflict FROM usage_keys k LEFT JOIN calls c ON "
		       "c.seq=k.seq WHERE k.object=?1 AND k.part BETWEEN ?2 AND ?3 LIMIT 1",
	[ADD] = "INSERT INTO usage_keys(object,part,usage,made,seq,first_seen_us) "
		"VALUES(?1,?2,?4,?5,?6,?7) ON CONFLICT(object,part,usage) DO NOTHING",
	/* It stands on a row of its parts, if it has any. */
	[ADD_SUM] = "INSERT OR IGNORE INTO usage_keys(object,part,usage,made,seq,first_seen_us) "
		    "SELECT object,?2,?4,0,seq,?7 FROM usage_keys WHERE object=?1 AND part>?2 "
		    "LIMIT 1",
	[SET_MADE] = "UPDATE usage_keys SET made=1 WHERE object=?1 AND part=?2 AND usage=?4",
	[MARK_OTHERS] = "UPDATE calls SET usage_conflict=1,revision=revision+1 WHERE "
			"usage_conflict IS NOT 1 AND seq IN (SELECT seq FROM usage_keys WHERE "
			"object=?1 AND part BETWEEN ?2 AND ?3)",
	[MARK_OWN] = "UPDATE calls SET usage_conflict=1 WHERE seq=?6",
	/* The oldest tells whether there is anything to look for. */
	[EXPIRE] = "DELETE FROM usage_keys WHERE first_seen_us<?7 AND id IN (SELECT id FROM "
		   "usage_keys ORDER BY id LIMIT CASE WHEN (SELECT first_seen_us FROM usage_keys "
		   "ORDER BY id LIMIT 1)<?7 THEN ?8 ELSE 0 END)",
	/* Ids are given in order and go in order: there are at most as many as they span. */
	[EVICT] = "DELETE FROM usage_keys WHERE id IN (SELECT id FROM usage_keys WHERE id<="
		  "(SELECT max(id) FROM usage_keys)-?9 ORDER BY id LIMIT ?8)",
};

struct usage_keys {
	sqlite3 *db;
	sqlite3_stmt *statement[STATEMENTS];
};

static const uint8_t no_part[USAGE_KEY_BYTES];
static const uint8_t first_part[USAGE_KEY_BYTES] = {[USAGE_KEY_BYTES - 1] = 1};
static const uint8_t last_part[USAGE_KEY_BYTES] = {255, 255, 255, 255, 255, 255, 255, 255,
						   255, 255, 255, 255, 255, 255, 255, 255};

struct usage_told usage_told_of(const struct call *call)
{
	struct usage_told told = {.key = call->key};

	told.key.set &= call->usage.known;
	if (told.key.set)
		usage_digest(&call->usage, told.usage);
	return told;
}

/* ---- statements -------------------------------------------------------------------------- */

/* Every sum that a digest is made of, in its order; -1: none has a cost. */
static void put_sums(struct text *sql)
{
	text_puts(sql, "SELECT ");
	for (int i = 0; i < TOKEN_KINDS; i++)
		text_printf(sql, "sat_sum(c.%s),", token_kind_names[i]);
	for (int i = 0; i < TOOL_UNITS; i++)
		text_printf(sql, "sat_sum(c.tool_%s),", tool_unit_names[i]);
	text_puts(sql, "CASE count(c.provider_cost_pusd) WHEN 0 THEN -1 ELSE "
		       "sat_sum(c.provider_cost_pusd) END FROM usage_keys k JOIN calls c ON "
		       "c.seq=k.seq WHERE k.object=?1 AND k.part BETWEEN ?2 AND ?3");
}

static int prepare(struct usage_keys *k, enum statement which)
{
	struct text sql = TEXT_INIT(4096);
	int rc = SQLITE_NOMEM;

	if (which == SUM_PARTS)
		put_sums(&sql);
	else
		text_puts(&sql, sql_of[which]);
	if (text_cstr(&sql))
		rc = sqlite3_prepare_v2(k->db, sql.ptr, -1, &k->statement[which], NULL);
	text_free(&sql);
	return rc;
}

int usage_keys_new(struct usage_keys **out, sqlite3 *db)
{
	struct usage_keys *k = calloc(1, sizeof(*k));
	int rc = k ? SQLITE_OK : SQLITE_NOMEM;

	if (k)
		k->db = db;
	for (int i = 0; i < STATEMENTS && rc == SQLITE_OK; i++)
		rc = prepare(k, (enum statement)i);
	if (rc == SQLITE_OK)
		*out = k;
	else
		usage_keys_free(k);
	return rc;
}

void usage_keys_free(struct usage_keys *k)
{
	for (int i = 0; k && i < STATEMENTS; i++)
		sqlite3_finalize(k->statement[i]);
	free(k);
}

static void bind(sqlite3_stmt *stmt, int parameter, const uint8_t bytes[USAGE_KEY_BYTES])
{
	sqlite3_bind_blob(stmt, parameter, bytes, USAGE_KEY_BYTES, SQLITE_STATIC);
}

/* Binds what all of them know; a parameter that a statement has not is let pass. */
static sqlite3_stmt *bound(struct usage_keys *k, enum statement which,
			   const struct usage_told *told, const uint8_t *from, const uint8_t *to)
{
	sqlite3_stmt *stmt = k->statement[which];

	bind(stmt, 1, told->key.object);
	bind(stmt, 2, from);
	bind(stmt, 3, to);
	bind(stmt, 4, told->usage);
	return stmt;
}

static sqlite3_stmt *bound_one(struct usage_keys *k, enum statement which,
			       const struct usage_told *told)
{
	return bound(k, which, told, told->key.part, told->key.part);
}

static int run(sqlite3_stmt *stmt)
{
	sqlite3_step(stmt);
	return sqlite3_reset(stmt);
}

/* What an entry says. */
struct known {
	bool found;
	bool made;
	bool marked; /* its row is flagged */
};

static int look(sqlite3_stmt *stmt, struct known *known)
{
	*known = (struct known){.found = sqlite3_step(stmt) == SQLITE_ROW};
	if (known->found) {
		known->made = sqlite3_column_int(stmt, 0);
		known->marked = sqlite3_column_int(stmt, 1);
	}
	return sqlite3_reset(stmt);
}

static bool is_whole(const struct usage_told *told)
{
	return memcmp(told->key.part, no_part, sizeof(no_part)) == 0;
}

/* ---- time and number --------------------------------------------------------------------- */

int usage_keys_sweep(struct usage_keys *k, int64_t now_us, uint64_t *evicted)
{
	sqlite3_stmt *expire = k->statement[EXPIRE], *evict = k->statement[EVICT];
	int rc;

	sqlite3_bind_int64(expire, 7, now_us - USAGE_KEYS_DAYS * DAY_US);
	sqlite3_bind_int(expire, 8, USAGE_KEYS_SWEEP);
	rc = run(expire);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int(evict, 8, USAGE_KEYS_SWEEP);
	sqlite3_bind_int(evict, 9, USAGE_KEYS_MAX);
	rc = run(evict);
	*evicted = rc == SQLITE_OK ? (uint64_t)sqlite3_changes(k->db) : 0;
	return rc;
}

/* ---- what a call's usage is -------------------------------------------------------------- */

/* The whole against the sum of its parts, which were counted. */
static int compare_sum(struct usage_keys *k, const struct usage_told *told, enum usage_fate *fate)
{
	sqlite3_stmt *stmt = bound(k, SUM_PARTS, told, first_part, last_part);
	uint8_t digest[USAGE_KEY_BYTES];
	struct usage sum = {0};
	int column = 0;

	if (sqlite3_step(stmt) == SQLITE_ROW) {
		for (int i = 0; i < TOKEN_KINDS; i++)
			sum.tokens[i] = sqlite3_column_int64(stmt, column++);
		for (int i = 0; i < TOOL_UNITS; i++)
			sum.tool_units[i] = sqlite3_column_int64(stmt, column++);
		sum.provider_cost_pusd = sqlite3_column_int64(stmt, column);
	}
	usage_digest(&sum, digest);
	*fate = memcmp(digest, told->usage, sizeof(digest)) == 0 ? USAGE_REPEAT : USAGE_CONFLICT;
	return sqlite3_reset(stmt);
}

/* Nothing goes by its own key: it may be a part of what was counted whole, or the other way. */
static int compare_extent(struct usage_keys *k, const struct usage_told *told,
			  enum usage_fate *fate)
{
	bool whole = is_whole(told);
	sqlite3_stmt *stmt = whole ? bound(k, FIND_OTHER, told, first_part, last_part)
				   : bound(k, FIND_OTHER, told, no_part, no_part);
	struct known other;
	int rc = look(stmt, &other);

	if (rc != SQLITE_OK || !other.found)
		return rc;
	if (whole)
		return compare_sum(k, told, fate);
	*fate = USAGE_REPEAT;
	return SQLITE_OK;
}

/*
 * What was made is work of its own, also when a provider gives one id twice; only what was read
 * back before its maker's answer ended can be the same. Once in doubt, all that is told is.
 */
int usage_keys_find(struct usage_keys *k, const struct usage_told *told, enum usage_fate *fate)
{
	struct known same, other;
	int rc = look(bound_one(k, FIND_SAME, told), &same);

	*fate = USAGE_NEW;
	if (rc != SQLITE_OK)
		return rc;
	if (same.found) {
		*fate = told->key.made && same.made ? USAGE_NEW : USAGE_REPEAT;
		return SQLITE_OK;
	}
	rc = look(bound_one(k, FIND_OTHER, told), &other);
	if (rc != SQLITE_OK)
		return rc;
	if (!other.found)
		return told->key.made ? SQLITE_OK : compare_extent(k, told, fate);
	*fate = told->key.made && other.made && !other.marked ? USAGE_NEW : USAGE_CONFLICT;
	return SQLITE_OK;
}

/* ---- what becomes of it ------------------------------------------------------------------ */

/* Of one key all are marked or none: what it was once marked with need not be gone through again.
 */
static int mark_others(struct usage_keys *k, const struct usage_told *told)
{
	struct known other;
	int rc = look(bound_one(k, FIND_OTHER, told), &other);

	if (rc != SQLITE_OK || other.marked)
		return rc;
	return run(is_whole(told) ? bound(k, MARK_OTHERS, told, no_part, last_part)
				  : bound_one(k, MARK_OTHERS, told));
}

static int mark(struct usage_keys *k, const struct usage_told *told, int64_t seq)
{
	sqlite3_stmt *own = k->statement[MARK_OWN];
	int rc = mark_others(k, told);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(own, 6, seq);
	return run(own);
}

/* The sum of parts is known from now on: it need not be made again. */
static int note_repeat(struct usage_keys *k, const struct usage_told *told, int64_t now_us)
{
	sqlite3_stmt *add = bound_one(k, ADD_SUM, told);

	if (told->key.made)
		return run(bound_one(k, SET_MADE, told));
	sqlite3_bind_int64(add, 7, now_us);
	return is_whole(told) ? run(add) : SQLITE_OK;
}

int usage_keys_note(struct usage_keys *k, const struct usage_told *told, enum usage_fate fate,
		    int64_t seq, int64_t now_us)
{
	sqlite3_stmt *add;
	int rc;

	if (fate == USAGE_REPEAT)
		return note_repeat(k, told, now_us);
	if (fate == USAGE_CONFLICT) {
		rc = mark(k, told, seq);
		if (rc != SQLITE_OK)
			return rc;
	}
	add = bound_one(k, ADD, told);
	sqlite3_bind_int(add, 5, told->key.made);
	sqlite3_bind_int64(add, 6, seq);
	sqlite3_bind_int64(add, 7, now_us);
	return run(add);
}
