/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the files an operator names: configuration and prices. They may be readable by root only,
 * so the worker, which reads them again at a reload, routes this through the broker. One route per
 * process, set before its threads start.
 */
#ifndef TT_INPUT_H
#define TT_INPUT_H

#include "agent/base/base.h"

/* Opens a file or directory for reading. Returns a descriptor the caller owns, or -errno. */
int input_open(const char *path) TT_MUST_CHECK;

/* From now on input_open asks open(user, path). NULL: the process itself again. */
void input_route(int (*open)(void *user, const char *path), void *user);

#endif
