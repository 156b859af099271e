/* SPDX-License-Identifier: Apache-2.0 */
/* The forms of tolltap export: each writes a query's records to a stream. */
#ifndef TT_CLI_EXPORT_H
#define TT_CLI_EXPORT_H

#include "agent/cli/progress.h"
#include "agent/cli/focus.h"
#include "exporter/query.h"

#include <stdio.h>

struct catalog;

struct export
{
	struct query *q;
	const struct query_filter *filter;
	const struct catalog *prices; /* for FOCUS */
	FILE *stream;
	uint64_t rows;		    /* written */
	struct focus_doubts doubts; /* of FOCUS */
};

/* Each returns 0, or -errno: of the query (query_error) when query_failed is set, else of writing.
 */
int export_jsonl(struct export *e, bool *query_failed) TT_MUST_CHECK;
int export_csv(struct export *e, bool *query_failed) TT_MUST_CHECK;
int export_focus(struct export *e, bool *query_failed) TT_MUST_CHECK;

#endif
