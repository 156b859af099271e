/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the output of a command goes: stdout, a file that appears when it is complete, or what is
 * there and takes bytes as they come, a pipe or a device.
 */
#ifndef TT_CLI_OUT_FILE_H
#define TT_CLI_OUT_FILE_H

#include "agent/cli/cli.h"

#include <limits.h>
#include <stdio.h>

struct out_file {
	const char *path;	/* as named; NULL: stdout */
	char place[PATH_MAX];	/* what it is in the end: links are followed */
	char partial[PATH_MAX]; /* beside it, until it is complete; "" = written straight */
	FILE *stream;
};

/*
 * Opens f for the path, which must outlive it. A regular file, or none, is written beside its place
 * (0600) and takes it at the end; a symbolic link to one stays. A FIFO or a character device is
 * written straight, and waits for its reader. Anything else is refused. Returns EXIT_OK, or the
 * exit code, told in one line, with nothing to end.
 */
int out_file_open(struct out_file *f, const char *command, const char *path) TT_MUST_CHECK;

/*
 * Ends what was opened. rc: how the writing went; unless EXIT_OK, the partial file is taken away
 * and what was there stays. Returns rc, or the exit code of what failed here, told. That a pipe's
 * reader left is no failure, as on stdout.
 */
int out_file_end(struct out_file *f, const char *command, int rc) TT_MUST_CHECK;

#endif
