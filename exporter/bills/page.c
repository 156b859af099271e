/* SPDX-License-Identifier: Apache-2.0 */
/* A page of a report, read by the path scanner: no number passes through a double. */
#include "exporter/bills/report.h"

#include "agent/base/timestamp.h"
#include "agent/json/scan.h"

#include <errno.h>
#include <stdio.h>

#define FIELDS_MAX 64
#define SLACK_MAX  500000 /* half a millionth of the currency */

/* The paths every report has, before its own. */
enum { PATH_BUCKET, PATH_RESULT, PATH_MORE, PATH_NEXT, PATH_BATCH, PATH_FROM, PATH_TO, PATHS };

static const char *const unix_paths[PATHS] = {
	"data[]{}",	   "data[].results[]{}",     "has_more",
	"next_page",	   "data[].results[].batch", "data[].start_time",
	"data[].end_time",
};

static const char *const rfc3339_paths[PATHS] = {
	"data[]{}",	    "data[].results[]{}",     "has_more",
	"next_page",	    "data[].results[].batch", "data[].starting_at",
	"data[].ending_at",
};

struct reading {
	const struct bill_report *report;
	struct bill_page page;
	struct bill_result result;
	size_t bucket_rows; /* how many there were when the bucket began */
	int64_t from_s, to_s;
	bool told_more; /* has_more was there: this is a page */
	bool no_memory;
	const char *wrong; /* the first thing that could not be read; NULL = all is well */
};

static void refuse(struct reading *r, const char *what)
{
	if (!r->wrong)
		r->wrong = what;
}

/* ---- values ------------------------------------------------------------------------------ */

static void take_time(struct reading *r, const struct json_value *value, int64_t *seconds)
{
	int64_t us;

	if (timestamp_parse(value->text, &us))
		*seconds = us / 1000000;
	else
		refuse(r, "a time that is none");
}

static void take_common(struct reading *r, const struct json_value *value)
{
	switch (value->path) {
	case PATH_MORE:
		r->told_more = value->type == JSON_TRUE || value->type == JSON_FALSE;
		r->page.has_more = value->type == JSON_TRUE;
		break;
	case PATH_NEXT:
		if (value->type == JSON_STRING &&
		    (value->cut ||
		     !slice_copy(r->page.cursor, sizeof(r->page.cursor), value->text)))
			refuse(r, "a next_page that is too long");
		break;
	case PATH_BATCH:
		r->result.batch = value->type == JSON_TRUE;
		break;
	case PATH_FROM:
		take_time(r, value, &r->from_s);
		break;
	case PATH_TO:
		take_time(r, value, &r->to_s);
		break;
	default:
		break;
	}
}

static void take_field(struct reading *r, const struct bill_field *field,
		       const struct json_value *value)
{
	bool is_text = value->type == JSON_STRING || value->type == JSON_NUMBER;

	if (!is_text) /* null: not grouped by it, or none */
		return;
	if (field->is_count) {
		if (!bill_count_parse(value->text, &r->result.count[field->index]))
			refuse(r, "a count that is none");
		return;
	}
	if (value->cut && field->index != TEXT_ITEM)
		refuse(r, "an identifier or number that is too long");
	if (!slice_copy(r->result.text[field->index], sizeof(r->result.text[0]), value->text) &&
	    field->index != TEXT_ITEM)
		refuse(r, "an identifier or number that is too long");
}

static void on_value(void *user, const struct json_value *value)
{
	struct reading *r = user;

	if (value->path < PATHS)
		take_common(r, value);
	else
		take_field(r, &r->report->fields[value->path - PATHS], value);
}

/* ---- objects ----------------------------------------------------------------------------- */

static void begin_result(struct reading *r)
{
	memset(&r->result, 0, sizeof(r->result));
	for (int i = 0; i < BILL_COUNTS; i++)
		r->result.count[i] = -1;
}

/* The bucket's times may stand behind its results. */
static void end_bucket(struct reading *r)
{
	if (r->from_s <= 0 || r->to_s <= r->from_s) {
		refuse(r, "a bucket without its times");
		return;
	}
	for (size_t i = r->bucket_rows; i < r->page.rows.count; i++) {
		struct bill_row *row = &r->page.rows.row[i];

		row->from_s = r->from_s;
		row->to_s = r->to_s;
		(void)slice_copy(row->provider, sizeof(row->provider),
				 slice_of(r->report->provider));
	}
}

static void on_object(void *user, size_t path, bool begin)
{
	struct reading *r = user;

	if (path == PATH_BUCKET && begin) {
		r->from_s = r->to_s = 0;
		r->bucket_rows = r->page.rows.count;
	} else if (path == PATH_BUCKET) {
		end_bucket(r);
	} else if (path == PATH_RESULT && begin) {
		begin_result(r);
	} else if (path == PATH_RESULT && !r->wrong) {
		size_t before = r->page.rows.count;

		if (r->report->finish(r->report, &r->result, &r->page.rows))
			return;
		r->no_memory = r->page.rows.count == before && before >= BILL_PAGE_ROWS_MAX;
		refuse(r, "an amount that is none");
	}
}

/* ---- a page ------------------------------------------------------------------------------ */

static int scan_page(struct reading *r, struct slice body)
{
	static const struct json_ops ops = {.value = on_value, .object = on_object};
	const char *paths[PATHS + FIELDS_MAX];
	size_t count = PATHS;
	struct json_paths *compiled;
	struct json_scan *scan = NULL;
	enum json_result end;

	memcpy(paths, r->report->rfc3339 ? rfc3339_paths : unix_paths, sizeof(unix_paths));
	for (size_t i = 0; i < r->report->field_count && i < FIELDS_MAX; i++)
		paths[count++] = r->report->fields[i].path;
	if (json_paths_new(&compiled, paths, count))
		return -ENOMEM;
	if (json_scan_new(&scan, compiled, &ops, r)) {
		json_paths_free(compiled);
		return -ENOMEM;
	}
	end = json_scan_feed(scan, body);
	if (end == JSON_MORE)
		end = json_scan_eof(scan);
	json_scan_free(scan);
	json_paths_free(compiled);
	if (end == JSON_BROKEN)
		refuse(r, "no JSON");
	else if (end != JSON_DONE)
		refuse(r, "JSON that was cut");
	else if (!r->told_more)
		refuse(r, "no page of a report (has_more is missing)");
	return 0;
}

/*
 * Zeros at the end are not written, so that the amount with the most digits tells where those of a
 * page were cut. Whole numbers among themselves are not taken for rounded ones.
 */
static void set_slack(struct bill_rows *rows)
{
	int64_t slack = SLACK_MAX;

	for (size_t i = 0; i < rows->count; i++) {
		if (rows->row[i].has_amount && rows->row[i].slack < slack)
			slack = rows->row[i].slack;
	}
	for (size_t i = 0; i < rows->count; i++)
		rows->row[i].slack = rows->row[i].has_amount ? slack : 0;
}

int bill_page_read(const struct bill_report *report, struct slice body, struct bill_page *out,
		   char *err, size_t err_size)
{
	struct reading *r = calloc(1, sizeof(*r));
	int rc = -ENOMEM;

	if (r) {
		r->report = report;
		rc = scan_page(r, body);
	}
	if (rc == 0 && r->wrong) {
		snprintf(err, err_size, "the answer is %s%s", r->wrong,
			 r->no_memory ? " (too many rows on one page)" : "");
		rc = -EBADMSG;
	}
	if (rc == 0) {
		set_slack(&r->page.rows);
		*out = r->page;
		r->page.rows = (struct bill_rows){0};
	} else if (rc == -ENOMEM) {
		snprintf(err, err_size, "no memory for a page");
	}
	if (r)
		bill_rows_free(&r->page.rows);
	free(r);
	return rc;
}

void bill_page_free(struct bill_page *page)
{
	bill_rows_free(&page->rows);
}

/* ---- what finishers share ---------------------------------------------------------------- */

struct bill_row *bill_result_row(const struct bill_result *result, struct bill_rows *rows,
				 enum bill_class class)
{
	struct bill_row *row = bill_rows_add(rows);

	if (!row)
		return NULL;
	row->class = class;
	(void)slice_copy(row->model, sizeof(row->model), slice_of(result->text[TEXT_MODEL]));
	(void)slice_copy(row->project, sizeof(row->project), slice_of(result->text[TEXT_PROJECT]));
	(void)slice_copy(row->key, sizeof(row->key), slice_of(result->text[TEXT_KEY]));
	(void)slice_copy(row->window, sizeof(row->window), slice_of(result->text[TEXT_WINDOW]));
	(void)slice_copy(row->item, sizeof(row->item), slice_of(result->text[TEXT_ITEM]));
	bill_tier_copy(row->tier, slice_of(result->batch ? "batch" : result->text[TEXT_TIER]));
	return row;
}

bool bill_result_amount(const struct bill_result *result, struct bill_row *row, int cents)
{
	int decimals;

	if (!bill_money_parse(slice_of(result->text[TEXT_AMOUNT]), 12 - cents, &row->amount,
			      &decimals) ||
	    !bill_currency_copy(row->currency, slice_of(result->text[TEXT_CURRENCY])))
		return false;
	row->has_amount = true;
	row->slack = bill_slack(decimals + cents);
	return true;
}

bool bill_result_count(const struct bill_result *result, struct bill_rows *rows,
		       enum bill_class class, int64_t quantity)
{
	struct bill_row *row;

	if (quantity <= 0)
		return true;
	row = bill_result_row(result, rows, class);
	if (!row)
		return false;
	row->has_quantity = true;
	row->quantity = quantity;
	return true;
}
