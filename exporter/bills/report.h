/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reports of providers' billing APIs as data: where each is, how it is grouped and how one page
 * of it becomes rows. Shapes: OpenAI's organization costs and usage, Anthropic's usage and cost
 * reports (docs/bills.md names the pages). To add a report, add a row to report.c. Pure: a page's
 * bytes in, rows out; numbers are read from their text.
 */
#ifndef TT_BILL_REPORT_H
#define TT_BILL_REPORT_H

#include "exporter/bills/bill.h"

#define BILL_CURSOR_MAX 4096
#define BILL_ERROR_MAX	512

/* What a result of a page is read into: texts and counts by name, "" and -1 where there is none. */
enum bill_text {
	TEXT_MODEL,
	TEXT_PROJECT,
	TEXT_KEY,
	TEXT_TIER,
	TEXT_WINDOW,
	TEXT_ITEM,
	TEXT_TYPE,   /* of tokens */
	TEXT_COST,   /* type of the cost */
	TEXT_AMOUNT, /* as written */
	TEXT_CURRENCY,
	TEXT_QUANTITY, /* as written */
	BILL_TEXTS
};

enum bill_count {
	COUNT_INPUT,
	COUNT_UNCACHED,
	COUNT_CACHED,
	COUNT_CACHE_WRITE,
	COUNT_CACHE_WRITE_1H,
	COUNT_INPUT_TEXT,
	COUNT_INPUT_AUDIO,
	COUNT_INPUT_IMAGE,
	COUNT_OUTPUT,
	COUNT_OUTPUT_TEXT,
	COUNT_OUTPUT_AUDIO,
	COUNT_OUTPUT_IMAGE,
	COUNT_UNITS,
	BILL_COUNTS
};

struct bill_result {
	char text[BILL_TEXTS][256];
	int64_t count[BILL_COUNTS];
	bool batch;
};

/* A path below data[].results[] and what it fills. */
struct bill_field {
	const char *path; /* the whole path, as agent/json takes it */
	bool is_count;
	int index; /* of enum bill_text or bill_count */
};

struct bill_report {
	const char *provider;
	const char *name;	/* "costs", "usage.completions" */
	const char *path;	/* behind the base URL */
	const char *days_param; /* "31": most days a page may have, for limit= */
	const char *const *group_by;
	const char *group_param;
	const char *project_param, *key_param; /* NULL: cannot be asked to filter by it */
	bool has_keys;			       /* its rows name API keys */
	bool rfc3339;			       /* times are RFC 3339, not Unix seconds */
	bool is_money;
	const struct bill_field *fields;
	size_t field_count;
	enum bill_class unit; /* of COUNT_UNITS */
	/* Makes rows of one result. False when it cannot be read. */
	bool (*finish)(const struct bill_report *report, const struct bill_result *result,
		       struct bill_rows *rows);
};

extern const struct bill_report bill_reports[]; /* ended by a NULL name */

struct bill_page {
	struct bill_rows rows; /* provider and times are filled */
	bool has_more;
	char cursor[BILL_CURSOR_MAX]; /* of the next page; "" = none */
};

/*
 * Reads one whole page. Returns 0, -EBADMSG with one line in err (not JSON, cut, no page, a number
 * or time that cannot be read), or -ENOMEM. Free what was filled with bill_page_free.
 */
int bill_page_read(const struct bill_report *report, struct slice body, struct bill_page *out,
		   char *err, size_t err_size) TT_MUST_CHECK;
void bill_page_free(struct bill_page *page);

/* The field tables and finishers, by provider. */
bool openai_cost_finish(const struct bill_report *report, const struct bill_result *result,
			struct bill_rows *rows);
bool openai_usage_finish(const struct bill_report *report, const struct bill_result *result,
			 struct bill_rows *rows);
bool anthropic_cost_finish(const struct bill_report *report, const struct bill_result *result,
			   struct bill_rows *rows);
bool anthropic_usage_finish(const struct bill_report *report, const struct bill_result *result,
			    struct bill_rows *rows);

/*
 * An OpenAI line item ("priority | gpt-5.6-sol, output, long context", "web search tool calls") as
 * tier, model, class and window of a row.
 */
void openai_line_item(struct slice item, struct bill_row *row);

/* For finishers: a row with what every row of a result has. NULL: no room. */
struct bill_row *bill_result_row(const struct bill_result *result, struct bill_rows *rows,
				 enum bill_class class);
/* Fills its money; cents is 2 when it is told in hundredths, else 0. False: no amount. */
bool bill_result_amount(const struct bill_result *result, struct bill_row *row, int cents);
/* The same with a quantity, unless that is not above 0. False: no room. */
bool bill_result_count(const struct bill_result *result, struct bill_rows *rows,
		       enum bill_class class, int64_t quantity);

#endif
