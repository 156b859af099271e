/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the files to probe: process events (exec, executable mappings, exit) drive it, a slow /proc
 * scan is the safety net. Files are de-duplicated by their real inode; each is decided once:
 * attached, or refused with a reason. Every process that speaks TLS and cannot be read is listed
 * with its cause.
 */
#ifndef TT_DISCOVERY_H
#define TT_DISCOVERY_H

#include "agent/privsep/broker.h"

struct cJSON;
struct discovery;

#define DISCOVERY_FILES_MAX	1024
#define DISCOVERY_PROCESSES_MAX 8192
#define DISCOVERY_SCAN_S	30
#define DISCOVERY_STATUS_MAX	1024 /* processes listed in the status */

struct discovery_ops {
	/* Any process became another program; exe as the kernel named it, "" = a fork's child,
	 * whose program nobody named. Costs no look at /proc. */
	void (*program_started)(void *user, uint32_t pid, struct slice exe);
	/* The others come for processes that map a TLS file only: nothing else is metered, and
	 * nothing else is worth a look at every exec. */
	/* A process maps an attached file: after exec, dlopen or fork. Its facts can be read now.
	 */
	void (*process_started)(void *user, uint32_t pid);
	/* All its threads ended. Records of its last calls may still wait in the capture ring. */
	void (*process_exited)(void *user, uint32_t pid);
};

int discovery_new(struct discovery **out, struct broker *broker, const struct discovery_ops *ops,
		  void *user) TT_MUST_CHECK;
void discovery_free(struct discovery *d); /* the probes stay until broker_free, all at once */

/* The first full scan; afterwards all TLS files mapped now are attached or refused. */
int discovery_scan(struct discovery *d) TT_MUST_CHECK;
/* Well-known library paths, so that a library is armed before its first user starts. */
void discovery_prime(struct discovery *d);

/*
 * A record of this process came: its end must be told, even when the events that tell of its begin
 * were lost. It may have ended already; its other records may still wait in the capture ring.
 */
void discovery_note(struct discovery *d, uint32_t pid);

int discovery_fd(const struct discovery *d); /* an epoll fd over the process events */
/*
 * run: when discovery_fd is readable; tick: about once a second. Both return after a quarter of a
 * second or one file more, whatever is left, and make the fd readable for what is.
 */
void discovery_run(struct discovery *d);
void discovery_tick(struct discovery *d, uint64_t now_ns);

/* Adds "files" and "processes" arrays to status (agent/status.h has the form). */
void discovery_status(const struct discovery *d, struct cJSON *status);

#endif
