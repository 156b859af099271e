/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's process: keeps the probes and the capabilities, and answers the worker's requests,
 * each checked and each limited in rate. What it reads of others is text of the kernel (maps
 * lines); ELF is the decoder's, and HTTP, JSON and compressed bytes never come here. What a tenant
 * could keep from answering is asked of the minder.
 *
 * What a request may do. /proc files of any process, but the environment only of a process that
 * maps a probed file or has spoken through a probe. Probes only where the decoder found sites, in
 * an executable mapping of that very file by a running process, or in one of the well-known files
 * (known.h). Settings only under the paths of the configuration.
 */
#ifndef TT_SERVE_H
#define TT_SERVE_H

#include "agent/privsep/identity.h"
#include "agent/privsep/lifeline.h"
#include "agent/privsep/probes.h"

/* What the supervisor tells on the control socket: a process of the agent has started or ended. */
enum own_process { OWN_SUPERVISOR, OWN_WORKER, OWN_COURIER, OWN_PROCESSES };

/* With OWN_WORKER comes the broker's end of the socket to the new worker, which tells senders. */
struct own_started {
	uint32_t which; /* enum own_process */
	uint32_t pid;	/* 0: it has ended */
};

struct serve_opts {
	struct probe_opts probes;
	int control_fd;			 /* from the supervisor; its end ends the broker */
	const struct identity *identity; /* NULL: there is no right to change it */
	pid_t supervisor;		 /* whose end is the broker's; 0: none */
	struct lifeline *line;		 /* tells the worker of the broker's end; NULL: nobody */
	/* Config file, price file, price directory, the fleet's secret; NULL: none. */
	const char *settings[4];
};

/*
 * Calibrates, loads, seals itself and serves until the supervisor is gone. Every failure to start
 * is one line on stderr. Returns the exit code (agent/cli/cli.h).
 */
int broker_serve(const struct serve_opts *opts) TT_MUST_CHECK;

#endif
