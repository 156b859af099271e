/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the ledger, beside a running agent or after it: events in the order of recording, and
 * spend grouped by any recorded fact. Hours, days and so on are those of the
 * calendar in force at query_open (exporter/calendar.h). Read-only; it never waits for the writer.
 * Sums of money are exact; token sums stop at INT64_MAX.
 */
#ifndef TT_QUERY_H
#define TT_QUERY_H

#include "agent/base/money.h"
#include "agent/usage/call.h"

#define QUERY_KEYS_MAX	 8 /* grouped facts of one spend */
#define QUERY_WHERE_MAX	 8
#define QUERY_VALUE_MAX	 512
#define QUERY_GROUPS_MAX 100000 /* rows of one spend; beyond it the query is refused */
#define QUERY_BUSY_MS	 2000
#define QUERY_ERROR_MAX	 512
#define QUERY_NONE	 "(none)" /* stands for a fact that is not known */

struct query;
struct sqlite3;

/*
 * Opens DIR/ledger.db for reading; dir may also be the file itself. Returns 0, or -errno with one
 * line in err that says what to do: -ENOENT no ledger there, -EACCES not allowed, -EBADMSG damaged
 * or foreign, -ENOTSUP newer.
 */
int query_open(struct query **out, const char *dir, char *err, size_t err_size) TT_MUST_CHECK;
/* Queries over the writer's own connection, which stays open. Returns 0 or -ENOMEM. */
int query_borrow(struct query **out, struct sqlite3 *db) TT_MUST_CHECK;
void query_close(struct query *q); /* NULL is fine */
/* Calls tick now and then while a query works, some ten times a second. */
void query_watch(struct query *q, void (*tick)(void));
/*
 * From its next read until query_close q reads the ledger as it then is, whatever is written
 * meanwhile: what is read in several queries is of one moment. Returns 0 or -errno (query_error).
 */
int query_hold(struct query *q) TT_MUST_CHECK;
/* The last failure of a query on q, one line. */
const char *query_error(const struct query *q);

/* A fact calls can be grouped or filtered by: a row of query.c's table, or a tag. */
struct query_key {
	const struct query_fact *fact;
	char tag[TAG_KEY_MAX]; /* "" = not a tag */
};

/* "model", "comm", "pid", "day", "tag:team", ... Returns false for an unknown name. */
bool query_key_parse(struct slice name, struct query_key *out);
/* The name it was parsed from, as shown in output. dst holds TAG_KEY_MAX + 8 bytes. */
const char *query_key_name(const struct query_key *key, char *dst, size_t size);
/* Every name but tags, separated by spaces, for messages. */
void query_key_list(char *dst, size_t size);

struct query_filter {
	int64_t since_us; /* of started_at, inclusive; 0 = from the first */
	int64_t until_us; /* exclusive; 0 = to the last */
	struct {
		struct query_key key;
		char value[QUERY_VALUE_MAX]; /* QUERY_NONE = not known */
	} where[QUERY_WHERE_MAX];
	size_t where_count;
};

/*
 * Adds "KEY=VALUE". Returns 0, -EINVAL (unknown key, no '='), -E2BIG (too many or too long), or
 * -ERANGE (an hour, day, week or month that the calendar in force does not have).
 */
int query_filter_where(struct query_filter *filter, const char *condition) TT_MUST_CHECK;

struct event {
	int64_t seq; /* order of recording */
	int64_t revision;
	struct call call;
};

/*
 * Calls each() for the events with seq > after_seq, oldest first; limit > 0 keeps only the newest
 * `limit` of them. each returns 0, or a negative value that stops the query and is returned.
 * Returns 0 or -errno (query_error).
 */
int query_events(struct query *q, const struct query_filter *filter, int64_t after_seq,
		 int64_t limit, int (*each)(void *user, const struct event *event),
		 void *user) TT_MUST_CHECK;

/* The same of all the filter's events, by the time they began, whatever their order of recording.
 */
int query_events_by_time(struct query *q, const struct query_filter *filter,
			 int (*each)(void *user, const struct event *event),
			 void *user) TT_MUST_CHECK;

/*
 * What was lost in a time (exporter/losses.h), as far as the ledger knows. Sums over such a time
 * are lower bounds.
 */
struct query_losses {
	int64_t occasions; /* 0 = none; an hour's of one kind are told as one time span */
	int64_t calls, rows, unmetered_seconds;
	int64_t last_at_us;
	char last_reason[32];
};

/* since_us and until_us as in a filter. Returns 0 or -errno (query_error). */
int query_losses(struct query *q, int64_t since_us, int64_t until_us,
		 struct query_losses *out) TT_MUST_CHECK;

/* The first UTC hour of which the ledger has calls; INT64_MAX = it has none. As query_losses. */
int query_first_us(struct query *q, int64_t *first_us) TT_MUST_CHECK;

/*
 * Did an agent record at some moment of the time? True as well where the ledger does not know:
 * before the first run that is told of, or of an older version. As query_losses.
 */
int query_was_metered(struct query *q, int64_t since_us, int64_t until_us,
		      bool *metered) TT_MUST_CHECK;

struct period;

/* The ledger's months (periods_each in exporter/periods.h). Returns 0 or -errno (query_error). */
int query_periods(struct query *q, int (*each)(void *user, const struct period *period),
		  void *user) TT_MUST_CHECK;

/* Cost that bought nothing. A call is in one kind at most: what was repeated is `retried`. */
enum waste {
	WASTE_ABORTED, /* the answer was cut */
	WASTE_ERRORED, /* the answer was an error */
	WASTE_RETRIED, /* a later attempt of the same operation followed: what the first ones cost
			*/
	WASTES
};
extern const char *const waste_names[WASTES]; /* "aborted", ... */

/* A span in which an agent recorded on a host (exporter/runs.h). */
struct query_run {
	const char *host; /* borrowed */
	int64_t since_us, until_us;
};

/*
 * Calls each() for the spans that touch the time, by host and beginning; until_us 0 = open. Returns
 * 0, -ENOTSUP (the ledger is of a version that kept none; query_error), or as query_events.
 */
int query_runs(struct query *q, int64_t since_us, int64_t until_us,
	       int (*each)(void *user, const struct query_run *run), void *user) TT_MUST_CHECK;

struct spend {
	const char *group[QUERY_KEYS_MAX]; /* NULL = not known */
	int64_t first_us;		   /* when its first call began, or that call's UTC hour */
	/*
	 * When the last of its calls to end ended, and the time of all of them one by one. Only
	 * where a key or a condition is a fact of calls (not kept in the roll-up).
	 */
	int64_t ended_us, busy_us;
	int64_t calls;
	int64_t calls_by_basis[BASES];
	int64_t tokens[TOKEN_KINDS];
	int64_t tool_units[TOOL_UNITS];
	pusd_sum cost; /* the sum of the events' cost_pusd */
	pusd_sum cost_by_basis[BASES];
	pusd_sum subscription_list; /* list price of subscription calls; in no other sum */
	pusd_sum cache_savings;	    /* query_knows_savings; below 0 where writes cost more */
	int64_t waste_calls[WASTES];
	pusd_sum waste_cost[WASTES]; /* of cost; retried is 0 until query_spend_retried */
	bool lower_bound;	     /* calls in it cost more than is known, or may */
	bool estimated;		     /* some of the cost is an estimate: it may be less too */
	bool calls_lost;	     /* in its time calls were lost that may have been its own */
};

/* Some calls cost more than is known: the sum is a lower bound. */
bool spend_is_at_least(const struct spend *spend);
/* What stands before a sum: "", "at least " or, with an estimate in it, "about ". */
const char *spend_prefix(const struct spend *spend);
void spend_add(struct spend *total, const struct spend *part); /* group is left as it is */
/* One call's part of a sum. Not of one that another row is the bill of: that is in none. */
void spend_of_call(struct spend *part, const struct call *call);

/*
 * Groups the filtered calls by the keys. Fills *rows, dearest first, and their number; free with
 * query_spend_free. No keys = one row. Returns 0 or -errno (query_error):
 * -ENOTSUP when it takes calls that are gone by retention, since a sum without them looks like any
 * other.
 */
int query_spend(struct query *q, const struct query_filter *filter, const struct query_key *keys,
		size_t key_count, struct spend **rows, size_t *row_count) TT_MUST_CHECK;
void query_spend_free(struct spend *rows, size_t row_count);

/* Returns 0, or -ENOTSUP (query_error) when some calls of the filter's time are gone. */
int query_check_calls(struct query *q, const struct query_filter *filter) TT_MUST_CHECK;

/*
 * Finds the attempts that were repeated and moves their cost to `retried`, in rows that query_spend
 * made with the same arguments. It reads every call of the filter's time, twice. A repeat that came
 * later than QUERY_RETRY_MAX_US after the filter's time is not seen. Returns 0 or -errno.
 */
#define QUERY_RETRY_MAX_US (24 * 3600 * 1000000LL)
int query_spend_retried(struct query *q, const struct query_filter *filter,
			const struct query_key *keys, size_t key_count, struct spend *rows,
			size_t row_count) TT_MUST_CHECK;

/* Sorts rows whose first key is a period: by time, then the dearest first. */
void query_spend_by_time(struct spend *rows, size_t row_count);

/* False for the ledger of an older version, which did not record what caching saved. */
bool query_knows_savings(const struct query *q);

/*
 * What calendar_time reads (exporter/calendar.h), "90s", "15m", "24h", "7d" (before now_us), or
 * Unix seconds. False when it is none of these.
 */
bool query_time_parse(const char *text, int64_t now_us, int64_t *us);

#endif
