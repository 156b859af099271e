/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent itself costs: the process_* families every Prometheus client shows. */
#ifndef TT_PROCESS_METRICS_H
#define TT_PROCESS_METRICS_H

#include "exporter/text.h"

/* A fact /proc does not tell is left out. started_us: wall clock when the agent started. */
void process_metrics(struct text *out, int64_t started_us, bool openmetrics);

#endif
