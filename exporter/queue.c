/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/queue.h"

#include "exporter/schema.h"

size_t row_bytes(const struct row *row)
{
	return sizeof(*row) + row->facet_bytes + row->columns_bytes + row->model_bytes;
}

void rows_init(struct rows *rows)
{
	*rows = (struct rows){0};
	rows->last = &rows->first;
}

void rows_free(struct rows *rows)
{
	while (rows->first) {
		struct row *row = rows->first;

		rows->first = row->next;
		free(row);
	}
	rows_init(rows);
}

void rows_push(struct rows *rows, struct row *row)
{
	row->next = NULL;
	*rows->last = row;
	rows->last = &row->next;
	rows->count++;
	rows->bytes += row_bytes(row);
}

void rows_move(struct rows *to, struct rows *from, uint32_t n)
{
	while (n-- && from->first) {
		struct row *row = from->first;

		from->first = row->next;
		from->count--;
		from->bytes -= row_bytes(row);
		rows_push(to, row);
	}
	if (!from->first)
		from->last = &from->first;
}

struct row *row_new(const struct call *call, const char *model_id)
{
	struct text packed = TEXT_INIT(QUEUE_ROW_MAX);
	uint32_t facet_bytes, columns_end;
	struct row *row = NULL;

	schema_pack(&packed, SCHEMA_FACETS, call);
	facet_bytes = (uint32_t)packed.len;
	schema_pack(&packed, SCHEMA_CALLS, call);
	columns_end = (uint32_t)packed.len;
	if (model_id)
		text_append(&packed, model_id, strlen(model_id) + 1);
	if (!packed.failed)
		row = malloc(sizeof(*row) + packed.len);
	if (row) {
		memcpy(row->event_id, call->event_id, sizeof(row->event_id));
		row->told = usage_told_of(call);
		row->fate = USAGE_NEW;
		row->started_at_us = call->started_at_us;
		row->facet_bytes = facet_bytes;
		row->columns_bytes = columns_end - facet_bytes;
		row->model_bytes = (uint32_t)packed.len - columns_end;
		memcpy(row->bytes, packed.ptr, packed.len);
	}
	text_free(&packed);
	return row;
}

struct slice row_facets(const struct row *row)
{
	return (struct slice){row->bytes, row->facet_bytes};
}

struct slice row_columns(const struct row *row)
{
	return (struct slice){row->bytes + row->facet_bytes, row->columns_bytes};
}

const char *row_model(const struct row *row)
{
	return row->model_bytes ? row->bytes + row->facet_bytes + row->columns_bytes : NULL;
}
