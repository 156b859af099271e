/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on their way to the disk: packed, in order. */
#ifndef TT_QUEUE_H
#define TT_QUEUE_H

#include "exporter/usage_keys.h"

#define QUEUE_ROW_MAX (96u << 10) /* bytes of one call; typical is below 1 KiB */

/* One queued call: its id, its packed columns, facets first, and its model's name in metrics. */
struct row {
	struct row *next;
	uint8_t event_id[16];
	struct usage_told told;
	enum usage_fate fate; /* as of the last try to write it */
	int64_t started_at_us;
	uint32_t facet_bytes;
	uint32_t columns_bytes;
	uint32_t model_bytes; /* 0 = none, else with its final 0 */
	char bytes[];
};

struct rows {
	struct row *first;
	struct row **last;
	uint32_t count;
	size_t bytes; /* of all of them */
};

/* NULL without memory, or when it is too large. model_id may be NULL. */
struct row *row_new(const struct call *call, const char *model_id) TT_MUST_CHECK;
size_t row_bytes(const struct row *row); /* all that it takes */
struct slice row_facets(const struct row *row);
struct slice row_columns(const struct row *row);
const char *row_model(const struct row *row); /* as row_new had it */

void rows_init(struct rows *rows);
void rows_free(struct rows *rows);
void rows_push(struct rows *rows, struct row *row);
/* Moves the first `n` rows of `from` behind those of `to`. */
void rows_move(struct rows *to, struct rows *from, uint32_t n);

#endif
