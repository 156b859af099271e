/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of `tolltap prices` that are long enough for a file of their own. */
#ifndef TT_CLI_PRICES_H
#define TT_CLI_PRICES_H

#include "agent/cli/cli.h"
#include "agent/config/config.h"
#include "pricing/catalog.h"

/* Each takes its operands (without "prices" and its own name) and returns the exit code. */
int prices_diff(const struct config *config, int argc, char **argv);
int prices_add(const struct config *config, int argc, char **argv);

enum output_form prices_form(const struct config *config);
/* Ends the printer; EXIT_OK, or EXIT_FAILED after one line when the output was not written. */
struct output;
int prices_end(struct output *o);

#endif
