/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anthropic's usage and cost reports (platform.claude.com, Admin API). Amounts are decimal strings
 * in cents; counts are disjoint as they come. The cost report knows no API keys, and the priority
 * tier is in the usage only.
 */
#include "exporter/bills/report.h"

bool anthropic_cost_finish(const struct bill_report *report, const struct bill_result *result,
			   struct bill_rows *rows)
{
	const char *type =
		result->text[TEXT_TYPE][0] ? result->text[TEXT_TYPE] : result->text[TEXT_COST];
	struct bill_row *row = bill_result_row(result, rows, bill_class_of_words(slice_of(type)));

	(void)report;
	return row && bill_result_amount(result, row, 2);
}

bool anthropic_usage_finish(const struct bill_report *report, const struct bill_result *result,
			    struct bill_rows *rows)
{
	const int64_t *n = result->count;

	return bill_result_count(result, rows, BILL_INPUT, n[COUNT_UNCACHED]) &&
	       bill_result_count(result, rows, BILL_CACHE_READ, n[COUNT_CACHED]) &&
	       bill_result_count(result, rows, BILL_CACHE_WRITE_5M, n[COUNT_CACHE_WRITE]) &&
	       bill_result_count(result, rows, BILL_CACHE_WRITE_1H, n[COUNT_CACHE_WRITE_1H]) &&
	       bill_result_count(result, rows, BILL_OUTPUT, n[COUNT_OUTPUT]) &&
	       bill_result_count(result, rows, report->unit, n[COUNT_UNITS]);
}
