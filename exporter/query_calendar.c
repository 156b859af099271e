/* SPDX-License-Identifier: Apache-2.0 */
/* The calendar as functions of SQL. */
#include "exporter/calendar.h"
#include "exporter/query_parts.h"
#include "exporter/schema.h"

#include <errno.h>
#include <sqlite3.h>

/* Rows come by time, or by facet and time: most ask for a period that was asked for before. */
#define SPANS_KEPT 1024

struct spans {
	struct {
		enum calendar_unit unit;
		bool filled;
		struct calendar_span span;
	} kept[SPANS_KEPT];
};

static const struct calendar_span *span_at(sqlite3_context *context, enum calendar_unit unit,
					   int64_t at_us)
{
	struct spans *spans = sqlite3_user_data(context);
	size_t hour = (size_t)(at_us / SCHEMA_US_PER_HOUR);
	size_t slot = (hour * CALENDAR_UNITS + unit) % SPANS_KEPT;
	struct calendar_span *span = &spans->kept[slot].span;

	if (!spans->kept[slot].filled || spans->kept[slot].unit != unit || at_us < span->since_us ||
	    at_us >= span->until_us)
		calendar_span_at(unit, at_us, span);
	spans->kept[slot].filled = true;
	spans->kept[slot].unit = unit;
	return span;
}

static bool unit_of(sqlite3_context *context, sqlite3_value *value, enum calendar_unit *unit)
{
	if (calendar_unit_parse(slice_of((const char *)sqlite3_value_text(value)), unit))
		return true;
	sqlite3_result_error(context, "no unit of the calendar", -1);
	return false;
}

static void sql_label(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	enum calendar_unit unit;

	(void)argc;
	if (unit_of(context, argv[0], &unit))
		sqlite3_result_text(context,
				    span_at(context, unit, sqlite3_value_int64(argv[1]))->label, -1,
				    SQLITE_TRANSIENT);
}

static void sql_cuts(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	int64_t begin_us = sqlite3_value_int64(argv[1]) * SCHEMA_US_PER_HOUR;
	enum calendar_unit unit;

	(void)argc;
	if (unit_of(context, argv[0], &unit))
		sqlite3_result_int(context, span_at(context, unit, begin_us)->until_us <
						    begin_us + SCHEMA_US_PER_HOUR);
}

int query_calendar_functions(struct sqlite3 *db)
{
	static const struct {
		const char *name;
		void (*function)(sqlite3_context *context, int argc, sqlite3_value **argv);
	} functions[] = {{"calendar_label", sql_label}, {"calendar_cuts", sql_cuts}};

	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		struct spans *spans = calloc(1, sizeof(*spans));

		/* SQLite frees spans, also when it fails. */
		if (!spans || sqlite3_create_function_v2(
				      db, functions[i].name, 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
				      spans, functions[i].function, NULL, NULL, free) != SQLITE_OK)
			return -ENOMEM;
	}
	return 0;
}
