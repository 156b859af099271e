/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus families kept in memory from the calls of this run: a view of the ledger, disjoint
 * kinds so that sum() is true. Money is summed in integers; the series of a family are bounded
 * (exporter/series.h), with one overflow series that keeps the money. No label holds a pid, a user,
 * a session or a key.
 */
#ifndef TT_AGGREGATE_H
#define TT_AGGREGATE_H

#include "agent/exchange/exchange.h"
#include "agent/usage/call.h"

struct aggregate;

int aggregate_new(struct aggregate **out) TT_MUST_CHECK; /* 0 or -ENOMEM */
void aggregate_free(struct aggregate *a);

/*
 * How fine the labels of workloads are ("node", "workload", "container": without this call the
 * last), and which tags are labels (rows of agent/base/metric_tag.h). Before any call is added.
 * Returns 0, -EINVAL with one line in err, or -ENOMEM.
 */
int aggregate_set_labels(struct aggregate *a, const char *level, const char *const *tags,
			 size_t tag_count, char *err, size_t err_size) TT_MUST_CHECK;

/* model_id labels the series: the price table's id, or NULL for "other". Thread-safe. */
void aggregate_add(struct aggregate *a, const struct call *call, const char *model_id);
/*
 * This call's request went out: its series appear at 0, so that what it adds is an increase. What
 * is known of the call by then makes them. Thread-safe.
 */
void aggregate_expect(struct aggregate *a, const struct call *call, const char *model_id);
void aggregate_ignored(struct aggregate *a, const char *provider, enum ignored_reason reason);

/*
 * Workloads that ended give their series to their owner, its namespace or the node, whichever is
 * the next that has a label. Before each render; now_ns is CLOCK_MONOTONIC. each_living is called
 * once and tells `told` each workload of which a process lives; it may not call this module.
 * Thread-safe.
 */
typedef void workload_fn(void *user, const struct workload *w);
typedef void aggregate_each_living(void *user, workload_fn *told, void *told_user);
void aggregate_settle(struct aggregate *a, uint64_t now_ns, aggregate_each_living *each_living,
		      void *user);

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
