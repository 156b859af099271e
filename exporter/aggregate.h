/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus families kept in memory from the calls of this run: a view of the ledger, disjoint
 * kinds so that sum() is true. Money is summed in integers; label sets per family are capped
 * (AGGREGATE_SERIES_MAX) with one overflow series that keeps the money.
 */
#ifndef TT_AGGREGATE_H
#define TT_AGGREGATE_H

#include "agent/exchange/exchange.h"
#include "agent/usage/call.h"

#define AGGREGATE_SERIES_MAX 10000

struct aggregate;

int aggregate_new(struct aggregate **out) TT_MUST_CHECK;
void aggregate_free(struct aggregate *a);

/* model_id labels the series: the price table's id, or NULL for "other". Thread-safe. */
void aggregate_add(struct aggregate *a, const struct call *call, const char *model_id);
void aggregate_ignored(struct aggregate *a, const char *provider, enum ignored_reason reason);

/* The price table in force: label of tolltap_prices_info. Thread-safe. */
void aggregate_set_prices(struct aggregate *a, const char *sha256);

/* The ledger's own sums, told beside; must outlive a, or NULL to tell none any more. Thread-safe.
 */
struct standing;
void aggregate_set_standing(struct aggregate *a, struct standing *standing);

/*
 * The whole exposition (Prometheus text 0.0.4, or OpenMetrics 1.0 when asked), counters and process
 * metrics included. The caller frees *body. Returns 0 or -ENOMEM. Thread-safe.
 */
int aggregate_render(struct aggregate *a, bool openmetrics, char **body, size_t *len) TT_MUST_CHECK;

#endif
