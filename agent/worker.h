/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker: discovery, capture, pipeline, ledger and HTTP on one loop, in a process that holds no
 * privilege. Besides the pipeline the only one that knows every room.
 */
#ifndef TT_AGENT_WORKER_H
#define TT_AGENT_WORKER_H

#include "agent/cli/cli.h"
#include "agent/config/config.h"
#include "agent/privsep/identity.h"
#include "agent/privsep/supervisor.h"

/* Which row of the board is whose. */
enum agent_process { AGENT_BROKER, AGENT_COURIER, AGENT_WORKER, AGENT_PROCESSES };
extern const char *const agent_process_names[AGENT_PROCESSES];

struct worker_opts {
	const struct config *config; /* as the agent was started */
	int argc;		     /* for reloads */
	char **argv;
	int broker_fd;			 /* taken */
	int storage_fd;			 /* the directory; taken */
	int listen_fd;			 /* taken */
	int courier_fd;			 /* taken */
	int ready_fd;			 /* an eventfd, told when probes are attached */
	pid_t supervisor;		 /* whose end is the worker's */
	const struct identity *identity; /* NULL: there is no right to change it */
	const struct lifeline *broker_line;
	const struct supervisor_board *board;
};

#define WORKER_BROKER_SILENT 100 /* its exit code when the broker does not answer any more */

/*
 * Gives up all privilege, then meters until SIGTERM. Every failure is one line on stderr. Returns
 * the exit code.
 */
int worker_run(const struct worker_opts *opts) TT_MUST_CHECK;

#endif
