/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose call it is. Facts are taken at first sight (in the probe, at exec) and kept
 * ATTRIBUTION_KEEP_NS after the process is gone, keyed by (pid, start time). /proc is believed only
 * while the start time there is the one wanted. At most ATTRIBUTION_PROCESSES_MAX processes are
 * kept, the one unused for longest goes first. Of an environment only allow-listed tags stay.
 */
#ifndef TT_ATTRIBUTION_H
#define TT_ATTRIBUTION_H

#include "agent/attribution/arguments.h"
#include "agent/attribution/cgroup.h"
#include "agent/courier/client.h"
#include "agent/privsep/broker.h"

#define ATTRIBUTION_PROCESSES_MAX 8192
#define ATTRIBUTION_PROGRAMS	  512
#define ATTRIBUTION_KEEP_NS	  (60ULL * NSEC_PER_SEC)

struct attribution;

/* broker may be NULL (replay): then only probe facts are used. */
int attribution_new(struct attribution **out, struct broker *broker) TT_MUST_CHECK;
void attribution_free(struct attribution *a);

/*
 * From now on names of containers are asked of the courier, at first sight of their processes. The
 * client stays the caller's and must live longer. Returns 0 or -ENOMEM.
 */
int attribution_use_courier(struct attribution *a, struct courier_client *client) TT_MUST_CHECK;

/* Takes the patterns of what may be kept of command lines read from now on; NULL: nothing. */
void attribution_allow_arguments(struct attribution *a, struct argument_patterns *patterns);

/*
 * Reads a living process' facts ahead of its first call (discovery_ops.process_started), so that
 * one that is gone by then is attributed all the same. Again after exec: they are read anew.
 */
void attribution_prefetch(struct attribution *a, uint32_t tgid);

/* From now on only TOLLTAP_TAGS of environments become tags. */
void attribution_minimal(struct attribution *a, bool minimal);

/*
 * The program that a process just became, as the kernel told; "" = not told. Used for one that is
 * gone before /proc could be read. The last ATTRIBUTION_PROGRAMS are kept.
 */
void attribution_program(struct attribution *a, uint32_t tgid, struct slice exe);

/* Probe facts: uid, comm, cgroup, environment (allow-listed at once, the rest not kept). */
void attribution_open(struct attribution *a, const struct conn_open *open);
void attribution_exit(struct attribution *a, uint32_t tgid, uint64_t now_ns);
void attribution_tick(struct attribution *a, uint64_t now_ns);

/*
 * The process of this connection has opted out (TOLLTAP_IGNORE=1), as far as is known: asks nobody.
 * True once per process with *first set.
 */
bool attribution_opted_out(struct attribution *a, const struct conn_id *conn, bool *first);
/* Fills call->workload and merges the environment's tags. The container's name may come later. */
void attribution_fill(struct attribution *a, const struct conn_id *conn, struct call *call);
/*
 * Fills in what the container's engine or kubelet said of it, and merges its tags into those of the
 * call. False: it is not known yet, the answer is awaited.
 */
bool attribution_name(const struct attribution *a, struct workload *w, struct tags *tags);
/* Tells the workload of each known process that has not ended. */
typedef void attribution_told(void *user, const struct workload *w);
void attribution_each_living(const struct attribution *a, attribution_told *told, void *user);
/* The container engine's socket that the courier may not open, or "". */
const char *attribution_forbidden_socket(const struct attribution *a);

/*
 * Tags of an environment block by allow-list: TOLLTAP_TAGS ("k=v,k=v"), OTEL_SERVICE_NAME, some of
 * OTEL_RESOURCE_ATTRIBUTES, and in a CI job its repository, ref, pull request, run and actor
 * (docs/attribution.md has the table).
 */
void environment_tags(struct slice env, struct tags *tags);
/* TOLLTAP_TAGS alone. */
void environment_own_tags(struct slice env, struct tags *tags);
/* TOLLTAP_IGNORE=1: its calls are not to be metered. */
bool environment_opts_out(struct slice env);

#endif
