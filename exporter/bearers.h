/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who bears a cost, as labels: the payer's workload at the level of detail that metrics have.
 * Bearers form a tree from fine to coarse (a container, its owner, its namespace), so that what one
 * that ended has borne can go to its parent. Shared and counted: whoever keeps one holds it.
 *
 * Bounds: there is no bearer that no series and no finer bearer holds.
 */
#ifndef TT_BEARERS_H
#define TT_BEARERS_H

#include "agent/usage/call.h"

/* How fine the labels of workloads are. */
enum metrics_level { METRICS_NODE, METRICS_WORKLOAD, METRICS_CONTAINER, METRICS_LEVELS };
extern const char *const metrics_level_names[METRICS_LEVELS]; /* "node", ... */

/* A container is over when no process of it is known and its last call was so long ago. */
#define BEARER_QUIET_NS (5 * 60 * NSEC_PER_SEC)

struct bearer;

struct bearers {
	enum metrics_level level;
	struct bearer *table;
};

/*
 * The bearer of this workload's costs, held for the caller. NULL: the node bears them, since the
 * level has no label for them or memory is short.
 */
struct bearer *bearer_of(struct bearers *all, const struct workload *w);
struct bearer *bearer_hold(struct bearer *b);		 /* NULL is fine */
void bearer_drop(struct bearers *all, struct bearer *b); /* NULL is fine */

const char *bearer_labels(const struct bearer *b); /* "" of NULL */
/* Held by b. NULL: it is the node. */
struct bearer *bearer_parent(const struct bearer *b);

/*
 * A census: begin, tell each workload of which a process lives, and ask. Until the next one, none
 * ends that was told or bore a call since. now_ns is CLOCK_MONOTONIC.
 */
void bearers_census(struct bearers *all, uint64_t now_ns);
void bearers_lives(struct bearers *all, const struct workload *w);
/* It is gone, and has been quiet for BEARER_QUIET_NS. */
bool bearer_ended(const struct bearer *b, uint64_t now_ns);
/* It is gone, and may give way when there is no room; an owner when all of its pods are. */
bool bearer_gone(const struct bearer *b, bool owners_too);

#endif
