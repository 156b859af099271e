/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/facets.h"

#include "exporter/schema.h"

#include <nettle/sha2.h>
#include <sqlite3.h>

#define uthash_nonfatal_oom(facet) free(facet)
#include "agent/base/hash.h"

#define KEY_BYTES 16

struct facet {
	uint8_t key[KEY_BYTES]; /* a hash of its packed columns */
	int64_t id;
	UT_hash_handle hh;
};

struct facets {
	sqlite3 *db;
	sqlite3_stmt *find, *insert;
	struct facet *known; /* committed or pending */
};

static int prepare(struct facets *f)
{
	struct text sql = TEXT_INIT(16u << 10);
	int rc = SQLITE_NOMEM;

	schema_insert_sql(&sql, SCHEMA_FACETS);
	if (text_cstr(&sql))
		rc = sqlite3_prepare_v2(f->db, sql.ptr, -1, &f->insert, NULL);
	text_free(&sql);
	if (rc != SQLITE_OK)
		return rc;
	return sqlite3_prepare_v2(f->db, "SELECT id FROM facets WHERE key=?", -1, &f->find, NULL);
}

int facets_new(struct facets **out, sqlite3 *db)
{
	struct facets *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return SQLITE_NOMEM;
	f->db = db;
	rc = prepare(f);
	if (rc == SQLITE_OK)
		*out = f;
	else
		facets_free(f);
	return rc;
}

void facets_forget(struct facets *f)
{
	struct facet *facet, *next;

	if (!f)
		return;
	HASH_ITER (hh, f->known, facet, next) {
		HASH_DEL(f->known, facet);
		free(facet);
	}
}

void facets_free(struct facets *f)
{
	if (!f)
		return;
	facets_forget(f);
	sqlite3_finalize(f->find);
	sqlite3_finalize(f->insert);
	free(f);
}

/* One that cannot be remembered (no memory) is looked up again next time. */
static void remember(struct facets *f, const uint8_t key[KEY_BYTES], int64_t id)
{
	struct facet *facet;

	if (HASH_COUNT(f->known) >= FACETS_REMEMBERED)
		facets_forget(f);
	facet = malloc(sizeof(*facet));
	if (!facet)
		return;
	memcpy(facet->key, key, sizeof(facet->key));
	facet->id = id;
	HASH_ADD(hh, f->known, key, sizeof(facet->key), facet);
}

/* SQLITE_ROW when it is there, else SQLITE_DONE. */
static int find(struct facets *f, const uint8_t key[KEY_BYTES], int64_t *id)
{
	int rc;

	sqlite3_bind_blob(f->find, 1, key, KEY_BYTES, SQLITE_STATIC);
	rc = sqlite3_step(f->find);
	if (rc == SQLITE_ROW)
		*id = sqlite3_column_int64(f->find, 0);
	sqlite3_reset(f->find);
	return rc;
}

static int insert(struct facets *f, const uint8_t key[KEY_BYTES], struct slice packed, int64_t *id)
{
	int rc;

	sqlite3_bind_blob(f->insert, 1, key, KEY_BYTES, SQLITE_STATIC);
	schema_bind(f->insert, 2, SCHEMA_FACETS, packed);
	rc = sqlite3_step(f->insert);
	sqlite3_reset(f->insert);
	if (rc != SQLITE_DONE)
		return rc;
	*id = sqlite3_last_insert_rowid(f->db);
	return SQLITE_OK;
}

int facets_id(struct facets *f, struct slice packed, int64_t *id)
{
	uint8_t key[KEY_BYTES];
	struct sha256_ctx sha;
	struct facet *known;
	int rc;

	sha256_init(&sha);
	sha256_update(&sha, packed.len, (const uint8_t *)packed.ptr);
	sha256_digest(&sha, sizeof(key), key);
	HASH_FIND(hh, f->known, key, sizeof(key), known);
	if (known) {
		*id = known->id;
		return SQLITE_OK;
	}
	rc = find(f, key, id);
	if (rc == SQLITE_DONE)
		rc = insert(f, key, packed, id);
	if (rc != SQLITE_OK && rc != SQLITE_ROW)
		return rc;
	remember(f, key, *id);
	return SQLITE_OK;
}
