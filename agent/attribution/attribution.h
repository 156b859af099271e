/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose call it is. Facts are taken at first sight (in the probe, at exec) and kept
 * ATTRIBUTION_KEEP_NS after the process is gone, keyed by (pid, start time). /proc is believed only
 * while the start time there is the one wanted. At most ATTRIBUTION_PROCESSES_MAX processes are
 * kept, the one unused for longest goes first. Of an environment only allow-listed tags stay.
 */
#ifndef TT_ATTRIBUTION_H
#define TT_ATTRIBUTION_H

#include "agent/capture/chunk.h"
#include "agent/privsep/broker.h"
#include "agent/usage/call.h"

#define ATTRIBUTION_PROCESSES_MAX 8192
#define ATTRIBUTION_PROGRAMS	  512
#define ATTRIBUTION_KEEP_NS	  (60ULL * NSEC_PER_SEC)

struct attribution;

/* broker may be NULL (replay): then only probe facts are used. */
int attribution_new(struct attribution **out, struct broker *broker) TT_MUST_CHECK;
void attribution_free(struct attribution *a);

/*
 * Reads a living process' facts ahead of its first call (discovery_ops.process_started), so that
 * one that is gone by then is attributed all the same. Again after exec: they are read anew.
 */
void attribution_prefetch(struct attribution *a, uint32_t tgid);

/*
 * The program that a process just became, as the kernel told; "" = not told. Used for one that is
 * gone before /proc could be read. The last ATTRIBUTION_PROGRAMS are kept.
 */
void attribution_program(struct attribution *a, uint32_t tgid, struct slice exe);

/* Probe facts: uid, comm, cgroup id, environment (allow-listed at once, the rest not kept). */
void attribution_open(struct attribution *a, const struct conn_open *open);
void attribution_exit(struct attribution *a, uint32_t tgid, uint64_t now_ns);
void attribution_tick(struct attribution *a, uint64_t now_ns);

/* Fills call->workload and merges the environment's tags. */
void attribution_fill(struct attribution *a, const struct conn_id *conn, struct call *call);

/* Pure parts, tested by table. */
/* The container id in a cgroup path, or "" (docker, containerd, CRI-O, podman, kubepods forms). */
void cgroup_container_id(struct slice cgroup, char *dst, size_t size);
/* The systemd unit in a cgroup path ("nginx.service", "session-3.scope"), or "". */
void cgroup_unit(struct slice cgroup, char *dst, size_t size);
/* The path of /proc/PID/cgroup text: the 0:: line if it says more than "/", else a v1 line. */
struct slice cgroup_path(struct slice text);
/* Tags of an environment block by allow-list (TOLLTAP_TAGS "k=v,k=v", OTEL_SERVICE_NAME ->
 * service). */
void environment_tags(struct slice env, struct tags *tags);

#endif
