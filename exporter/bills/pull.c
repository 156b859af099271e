/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/pull.h"

#include "agent/base/clock.h"
#include "exporter/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#define PATH_MAX_BYTES (32u << 10)

/* ---- the request ------------------------------------------------------------------------- */

/* RFC 3986 2.3: all but the unreserved bytes are escaped. */
static void put_escaped(struct text *out, const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];

		if (isalnum(c) || strchr("-._~", c))
			text_append(out, &value[i], 1);
		else
			text_printf(out, "%%%02X", c);
	}
}

static void put_parameter(struct text *out, const char *name, const char *value, size_t len)
{
	text_append(out, memchr(out->ptr, '?', out->len) ? "&" : "?", 1);
	put_escaped(out, name, strlen(name));
	text_puts(out, "=");
	put_escaped(out, value, len);
}

static void put_time(struct text *out, const struct bill_report *report, bool end, int64_t unix_s)
{
	static const char *const names[2][2] = {{"start_time", "end_time"},
						{"starting_at", "ending_at"}};
	char value[32];
	time_t at = (time_t)unix_s;
	struct tm tm;

	snprintf(value, sizeof(value), "%lld", (long long)unix_s);
	if (report->rfc3339 && gmtime_r(&at, &tm))
		(void)strftime(value, sizeof(value), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put_parameter(out, names[report->rfc3339][end], value, strlen(value));
}

static void put_list(struct text *out, const char *name, const char *list)
{
	while (name && *list) {
		size_t len = strcspn(list, ",");

		put_parameter(out, name, list, len);
		list += len + (list[len] == ',');
	}
}

void bill_pull_path(struct text *out, const struct bill_pull *pull, const char *cursor)
{
	const struct bill_report *report = pull->report;

	text_puts(out, report->path);
	put_time(out, report, false, pull->from_s);
	put_time(out, report, true, pull->to_s);
	put_parameter(out, "bucket_width", "1d", 2);
	for (size_t i = 0; report->group_by[i]; i++)
		put_parameter(out, report->group_param, report->group_by[i],
			      strlen(report->group_by[i]));
	put_list(out, report->project_param, pull->projects);
	put_list(out, report->key_param, pull->keys);
	put_parameter(out, "limit", report->days_param, strlen(report->days_param));
	if (*cursor)
		put_parameter(out, "page", cursor, strlen(cursor));
}

/* ---- pages ------------------------------------------------------------------------------- */

struct page_reading {
	const struct bill_report *report;
	struct bill_page *page;
};

static int read_page(void *user, struct slice body, char *err, size_t err_size)
{
	struct page_reading *reading = user;

	return bill_page_read(reading->report, body, reading->page, err, err_size);
}

static int fetch_page(const struct bill_pull *pull, const char *cursor, struct bill_page *page,
		      char *err, size_t err_size)
{
	struct page_reading reading = {pull->report, page};
	struct text path = TEXT_INIT(PATH_MAX_BYTES);
	int r = -ENOMEM;

	bill_pull_path(&path, pull, cursor);
	if (text_cstr(&path))
		r = bill_fetch(pull->fetcher, path.ptr, read_page, &reading, err, err_size);
	else
		snprintf(err, err_size, "the filter is too long for a request");
	text_free(&path);
	return r;
}

static int store_failed(const struct bill_pull *pull, int r, char *err, size_t err_size)
{
	snprintf(err, err_size, "%s", bill_store_error(pull->store));
	return r;
}

/* A page that leads to itself, or pages without end, are the provider's fault and not ours. */
static int check_next(const struct bill_page *page, const struct bill_cursor *cursor, char *err,
		      size_t err_size)
{
	if (!page->has_more)
		return 0;
	if (*page->cursor && strcmp(page->cursor, cursor->next) != 0 &&
	    cursor->pages < BILL_PAGES_MAX)
		return 0;
	snprintf(err, err_size, "the pages do not end: page %lld names %s as the next",
		 (long long)cursor->pages + 1, *page->cursor ? "itself" : "none");
	return -ELOOP;
}

/* One page from the provider to the store. *more tells whether another follows. */
static int pull_page(const struct bill_pull *pull, const struct bill_head *head,
		     struct bill_cursor *cursor, bool *more, char *err, size_t err_size)
{
	struct bill_page *page = calloc(1, sizeof(*page));
	int r = -ENOMEM;

	if (!page) {
		snprintf(err, err_size, "no memory for a page");
		return r;
	}
	r = fetch_page(pull, cursor->next, page, err, err_size);
	if (r == 0)
		r = check_next(page, cursor, err, err_size);
	if (r == 0) {
		*more = page->has_more;
		if (!page->has_more)
			page->cursor[0] = '\0';
		r = bill_pull_page(pull->store, head, page, clock_wall_ns() / 1000, cursor);
		if (r)
			(void)store_failed(pull, r, err, err_size);
	}
	bill_page_free(page);
	free(page);
	return r;
}

static void fill_head(const struct bill_pull *pull, struct bill_head *head)
{
	*head = (struct bill_head){.is_pull = true,
				   .from_s = pull->from_s,
				   .to_s = pull->to_s,
				   .is_money = pull->report->is_money,
				   .is_usage = !pull->report->is_money};
	snprintf(head->provider, sizeof(head->provider), "%s", pull->report->provider);
	snprintf(head->report, sizeof(head->report), "%s", pull->report->name);
	snprintf(head->account, sizeof(head->account), "%s", pull->account);
	snprintf(head->projects, sizeof(head->projects), "%s", pull->projects);
	snprintf(head->keys, sizeof(head->keys), "%s", pull->keys);
}

int bill_pull(const struct bill_pull *pull, struct bill_pulled *out, char *err, size_t err_size)
{
	struct bill_cursor cursor = {0};
	bool more, restarted = false;
	int r;

	*out = (struct bill_pulled){0};
	fill_head(pull, &out->head);
	r = bill_pull_begin(pull->store, &out->head, clock_wall_ns() / 1000, &cursor);
	if (r)
		return store_failed(pull, r, err, err_size);
	out->resumed_at = cursor.pages;
	/* No next page after some: the run before was ended between its last page and the end. */
	more = !cursor.pages || *cursor.next;
	while (r == 0 && more) {
		r = pull_page(pull, &out->head, &cursor, &more, err, err_size);
		/* A cursor of an earlier run may have died with the provider's patience. */
		if (r == -EINVAL && cursor.pages && cursor.pages == out->resumed_at && !restarted) {
			restarted = true;
			out->resumed_at = 0;
			r = bill_pull_restart(pull->store, &out->head, &cursor);
			if (r)
				return store_failed(pull, r, err, err_size);
			continue;
		}
		if (r == 0 && pull->progress)
			pull->progress(pull->user, pull->report, cursor.pages, cursor.rows);
	}
	if (r)
		return r;
	out->pages = cursor.pages;
	out->rows = cursor.rows;
	r = bill_pull_end(pull->store, &out->head, &cursor, clock_wall_ns() / 1000, &out->replaced);
	return r ? store_failed(pull, r, err, err_size) : 0;
}
