/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live agent as processes: reads and checks the configuration, prepares what needs the right to
 * (directory, listening socket), and has the supervisor run broker, courier and worker. The worker
 * (worker.h) does the metering.
 */
#ifndef TT_AGENT_H
#define TT_AGENT_H

#include "agent/cli/cli.h"
#include "agent/config/config.h"

/*
 * Runs until SIGINT or SIGTERM. argc/argv are kept for reloads. Prints "ready" alone on a line of
 * stdout when probes are attached. Every failure is one line on stderr; returns the exit code.
 */
int agent_run(const struct config *config, int argc, char **argv) TT_MUST_CHECK;

#endif
