/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bills at rest: DIR/bills.db, one SQLite file beside the ledger and apart from it, so that a
 * machine without a ledger can hold bills. A bill is one report of one span of days, or one
 * imported file; its rows are seen only when it is whole. What is stored again replaces what it
 * covers, so that nothing is ever there twice. Mode 0640, the ledger's group.
 */
#ifndef TT_BILL_STORE_H
#define TT_BILL_STORE_H

#include "exporter/bills/report.h"

#define BILL_STORE_FILE	    "bills.db"
#define BILL_STORE_BUSY_MS  5000
#define BILL_GIVEN_UP_S	    (7 * 86400) /* a pull that nobody went on with is forgotten then */
#define BILL_FILTER_MAX	    1024	/* of ids, joined by commas */
#define BILL_SHA256_HEX_MAX 65

struct bill_store;

/*
 * Opens FILE, or DIR/bills.db when file is NULL; makes it when `make` is set. Returns 0, or -errno
 * with one line in err: -ENOENT no bills there, -EACCES, -EBADMSG foreign, -ENOTSUP newer.
 */
int bill_store_open(struct bill_store **out, const char *dir, const char *file, bool make,
		    char *err, size_t err_size) TT_MUST_CHECK;
void bill_store_close(struct bill_store *s); /* NULL is fine */
const char *bill_store_path(const struct bill_store *s);
/* The last failure, one line. */
const char *bill_store_error(const struct bill_store *s);

/* What one bill is of. */
struct bill_head {
	int64_t id; /* 0 = not stored yet */
	bool is_pull;
	char provider[32];	   /* of a pull */
	char report[48];	   /* "costs", "usage.completions", "focus", "columns" */
	char account[BILL_ID_MAX]; /* what the operator calls the provider's account; "" = the one
				    */
	char projects[BILL_FILTER_MAX], keys[BILL_FILTER_MAX]; /* the filter, "" = all */
	char name[256];			  /* of an imported file, without its directory */
	char sha256[BILL_SHA256_HEX_MAX]; /* of an imported file */
	int64_t from_s, to_s; /* of a pull: the days asked for; of an import: those it has */
	bool is_money;	      /* what it does not bill in its days was not billed */
	bool is_usage;	      /* and what it does not count was not counted */
};

/* Where a pull stands. */
struct bill_cursor {
	char next[BILL_CURSOR_MAX]; /* "" = at the first page */
	int64_t pages, rows;
};

/*
 * Begins the pull of head, or goes on with one of the same head that did not end: fills head->id
 * and the cursor. Returns 0 or -errno (bill_store_error).
 */
int bill_pull_begin(struct bill_store *s, struct bill_head *head, int64_t now_us,
		    struct bill_cursor *cursor) TT_MUST_CHECK;
/*
 * The three below: -EBUSY, and nothing done, when another process took the pull away from where
 * the cursor stands.
 */
/* Adds a page's rows and moves the cursor in one transaction. */
int bill_pull_page(struct bill_store *s, const struct bill_head *head, const struct bill_page *page,
		   int64_t now_us, struct bill_cursor *cursor) TT_MUST_CHECK;
/* Forgets what was fetched of it, so that it begins again. */
int bill_pull_restart(struct bill_store *s, const struct bill_head *head,
		      struct bill_cursor *cursor) TT_MUST_CHECK;
/*
 * The last page was stored: the bill takes the place of all older rows of the same account and
 * report, in its days, that its filter covers. replaced gets their number.
 */
int bill_pull_end(struct bill_store *s, const struct bill_head *head,
		  const struct bill_cursor *cursor, int64_t now_us,
		  int64_t *replaced) TT_MUST_CHECK;

/* What to do with rows that other imports have for the same provider, account and days. */
enum bill_overlap { OVERLAP_REFUSE, OVERLAP_ADD, OVERLAP_REPLACE };

/*
 * Stores a whole imported file in one transaction, in place of earlier imports of the account of
 * the same bytes, or of the same name whose days overlap. -EEXIST: other imports have rows of these
 * days (the line names one).
 */
int bill_import(struct bill_store *s, struct bill_head *head, const struct bill_rows *rows,
		enum bill_overlap overlap, int64_t now_us, int64_t *replaced) TT_MUST_CHECK;

/* A stored bill, as `bill list` shows it: one for each currency, or one without. */
struct bill_listed {
	struct bill_head head;
	bool done;
	int64_t pages, rows, fetched_us;
	char currency[BILL_CURRENCY_MAX]; /* "" = its rows have no amounts */
	pusd_sum amount;		  /* 10^-12 of it */
};

int bill_store_list(struct bill_store *s, int (*each)(void *user, const struct bill_listed *bill),
		    void *user) TT_MUST_CHECK;

/* Every whole bill that touches [from_s, to_s). */
int bill_store_heads(struct bill_store *s, int64_t from_s, int64_t to_s,
		     int (*each)(void *user, const struct bill_head *head, int64_t fetched_us),
		     void *user) TT_MUST_CHECK;

/* For each provider in an imported bill: when its first and its last row begin. */
int bill_store_spans(struct bill_store *s,
		     int (*each)(void *user, const struct bill_head *head, const char *provider,
				 int64_t first_s, int64_t last_s),
		     void *user) TT_MUST_CHECK;

/*
 * Rows of whole bills that begin in [from_s, to_s), with the bill they are of: by provider, day,
 * model, class, tier, window, project, currency.
 */
int bill_store_rows(struct bill_store *s, int64_t from_s, int64_t to_s,
		    int (*each)(void *user, const struct bill_head *head,
				const struct bill_row *row),
		    void *user) TT_MUST_CHECK;

/* Is id one of a filter's? An empty filter has all. */
bool bill_filter_has(const char *filter, const char *id);
/* Has a filter all that another one, `asked`, lets through? */
bool bill_filter_covers(const char *filter, const char *asked);

#endif
