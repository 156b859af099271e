/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How every command starts: --help, the shared options (agent/config), then its own flags. What is
 * left in argv are its operands. An unknown flag is refused with the nearest known name.
 */
#ifndef TT_CLI_FLAGS_H
#define TT_CLI_FLAGS_H

#include "agent/cli/cli.h"
#include "agent/config/config.h"

#define CLI_LIST_MAX 64

/* The values of a flag that may be given several times, in order. */
struct cli_list {
	const char *item[CLI_LIST_MAX]; /* borrowed from argv */
	size_t count;
};

/* A flag of one command: exactly one target is set. The list ends with a NULL name. */
struct cli_flag {
	const char *name;      /* without dashes */
	bool *boolean;	       /* --name */
	const char **text;     /* --name=V or --name V; borrowed from argv */
	struct cli_list *list; /* as text, any number of times */
	const char *letter;    /* "b" for -b, or NULL */
};

#define CLI_GO_ON (-1)

/*
 * Loads the configuration, sets the log level and reads the command's own flags (own may be NULL).
 * Operands stay in argv behind argv[0]; "--" is dropped and ends the flags. Returns CLI_GO_ON, or
 * the exit code to return: EXIT_OK after --help (help() printed), EXIT_USAGE, EXIT_CONFIG.
 */
int cli_begin(struct config *config, int *argc, char **argv, const struct cli_flag *own,
	      void (*help)(void)) TT_MUST_CHECK;

#endif
