/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's records as they are: JSON lines, which exporter/merge.h reads back, and CSV. */
#include "agent/cli/export.h"
#include "agent/cli/output.h"
#include "exporter/records.h"

#include <errno.h>

static void put_cell(struct output *o, const struct record_cell *cell)
{
	if (cell->is_number)
		output_int(o, cell->number);
	else if (cell->text && cell->is_json)
		output_json(o, cell->text);
	else
		output_text(o, cell->text);
}

static int print_records(struct export *e, struct records *records, struct output *o, size_t count,
			 bool *query_failed)
{
	const struct record_cell *cells;
	int r;

	while ((r = records_next(records, &cells)) > 0) {
		for (size_t i = 0; i < count; i++)
			put_cell(o, &cells[i]);
		output_row(o);
		e->rows++;
		progress_show("exporting", (int64_t)e->rows, 0, "records");
		if (ferror(e->stream))
			return 0; /* output_end says why */
	}
	*query_failed = r < 0;
	return r;
}

static int export_kind(struct export *e, enum record_kind kind, enum output_form form,
		       bool *query_failed)
{
	struct output_column columns[RECORD_COLUMNS_MAX];
	struct records *records = NULL;
	const char *const *names;
	struct output *o;
	int r = records_open(&records, e->q, e->filter, kind), ended;
	size_t count;

	*query_failed = r < 0;
	if (r)
		return r;
	count = records_columns(records, &names);
	for (size_t i = 0; i < count; i++)
		columns[i] = (struct output_column){names[i], OUTPUT_LEFT};
	r = output_new(&o, e->stream, form, columns, count);
	if (r == 0) {
		r = print_records(e, records, o, count, query_failed);
		ended = output_end(o);
		r = r ? r : ended;
	}
	records_close(records);
	return r;
}

int export_jsonl(struct export *e, bool *query_failed)
{
	int r = 0;

	for (enum record_kind kind = 0; r == 0 && kind < RECORD_KINDS; kind++)
		r = export_kind(e, kind, OUTPUT_JSON, query_failed);
	return r;
}

int export_csv(struct export *e, bool *query_failed)
{
	return export_kind(e, RECORD_CALL, OUTPUT_CSV, query_failed);
}
