/* SPDX-License-Identifier: Apache-2.0 */
/* A query from within. Private to query.c, which asks, and query_words.c, which reads words. */
#ifndef TT_QUERY_PARTS_H
#define TT_QUERY_PARTS_H

#include "exporter/query.h"

/* Where a fact is kept: a fact of calls cannot be answered from the roll-up. */
enum fact_place { FACT_FACET, FACT_HOUR, FACT_CALL, FACT_TAG };

/* The version of the schema that knows of calls made on behalf of others. */
#define QUERY_PAYER_SINCE 3

struct query_fact {
	const char *name;
	const char *sql; /* over f (facets), s.hour, c (calls) */
	enum fact_place place;
	int64_t since;		/* the version of the schema that brought it; 0 = the first */
	const char *sql_before; /* of a ledger before QUERY_PAYER_SINCE; NULL: the same */
};

#endif
