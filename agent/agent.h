/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live agent: broker, discovery, capture, pipeline, ledger and HTTP on one loop. The only file
 * besides the pipeline that knows every room.
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
