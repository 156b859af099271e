/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What calls repeat (provider, model, process, ...) is one row of the table `facets`: here it is
 * found, or made, by what it holds. The ids that were used last are remembered.
 */
#ifndef TT_FACETS_H
#define TT_FACETS_H

#include "agent/base/base.h"

#define FACETS_REMEMBERED 1024

struct sqlite3;
struct facets;

/* Prepares its statements on the writer's database. Returns an SQLite code. */
int facets_new(struct facets **out, struct sqlite3 *db) TT_MUST_CHECK;
void facets_free(struct facets *f); /* NULL is fine; before its database closes */

/* The facet with these columns (schema_pack), made if new. Returns an SQLite code. */
int facets_id(struct facets *f, struct slice packed, int64_t *id) TT_MUST_CHECK;

/* The transaction in which some may have been made was taken back. NULL is fine. */
void facets_forget(struct facets *f);

#endif
