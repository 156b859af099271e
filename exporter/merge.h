/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several ledgers read as one: databases (directories or files, of any version) and what
 * `tolltap export --format=jsonl` wrote, in any mix. They are copied into a private temporary
 * database of the normal schema, which SQLite deletes at close, so that every reader of
 * exporter/query.h works unchanged. A call that is in several (equal event_id) is there once, in
 * its highest revision.
 *
 * Hours of which a source kept the sums only, its calls being past retention, are taken from its
 * roll-up, unless another copy of the same ledger still has those calls at the same money: where it
 * differs, the sums are newer (a reprice before retention). An hour's sums of more than 2^30 calls
 * are refused.
 */
#ifndef TT_MERGE_H
#define TT_MERGE_H

#include "exporter/query.h"

#define MERGE_SOURCES_MAX    64
#define MERGE_LINE_MAX_BYTES (256u << 10) /* of a JSONL file; a longer one is refused */
#define MERGE_TELL_MS	     500	  /* between calls of progress */

struct query_sources {
	const char *const *paths;
	size_t count;
	/* Only calls from here to there are copied, in whole hours; 0 = open (query_filter). */
	int64_t since_us, until_us;
	void (*progress)(void *user, const char *path); /* NULL, or now and then while it copies */
	void *user;
};

/*
 * Opens one database as it is (query_open: read-only, nothing is copied), several or a JSONL file
 * as a copy. Needs about their size in $TMPDIR, or /var/tmp. Returns 0, or -errno with one line in
 * err that names the file, and of JSONL the line: as query_open, -E2BIG more than
 * MERGE_SOURCES_MAX, -EBADMSG a line that is no record, -ENOSPC.
 */
int query_open_many(struct query **out, const struct query_sources *sources, char *err,
		    size_t err_size) TT_MUST_CHECK;

#endif
