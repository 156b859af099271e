/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One report of one provider, page by page into the store: what is fetched is kept with the cursor
 * of the next page, so that a run that was ended goes on where it stood.
 */
#ifndef TT_BILL_PULL_H
#define TT_BILL_PULL_H

#include "exporter/bills/fetch.h"
#include "exporter/bills/store.h"

#define BILL_PAGES_MAX 10000 /* of one report; a provider that goes on is refused */

struct bill_pulled {
	struct bill_head head;
	int64_t pages, rows; /* of the whole bill, earlier runs included */
	int64_t resumed_at;  /* pages that an earlier run had fetched */
	int64_t replaced;    /* older rows whose place it took */
};

struct bill_pull {
	struct bill_store *store;
	struct bill_fetcher *fetcher;
	const struct bill_report *report;
	const char *account;
	const char *projects, *keys; /* "" = all */
	int64_t from_s, to_s;	     /* whole UTC days */
	/* Told after each page; may be NULL. */
	void (*progress)(void *user, const struct bill_report *report, int64_t pages, int64_t rows);
	void *user;
};

/*
 * Returns 0, or -errno with one line in err: as bill_fetch, -ELOOP (the provider's pages do not
 * end), or what the store said. What was fetched before a failure is kept.
 */
int bill_pull(const struct bill_pull *pull, struct bill_pulled *out, char *err,
	      size_t err_size) TT_MUST_CHECK;

/* The request for a page of it, behind the base URL; for tests. */
struct text;
void bill_pull_path(struct text *out, const struct bill_pull *pull, const char *cursor);

#endif
