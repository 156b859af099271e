/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes status.json from a thread of its own. A rename waits for the disk, and a disk that others
 * keep busy takes seconds: the loop that reads the ring must not.
 */
#ifndef TT_PUBLISHER_H
#define TT_PUBLISHER_H

#include "agent/base/base.h"

struct cJSON;
struct publisher;

/* Starts the thread; the directory's name must outlive it. Returns 0 or -errno. */
int publisher_start(struct publisher **out, const char *dir) TT_MUST_CHECK;
/* Takes status; one that still waits is replaced. Never waits for the disk. */
void publisher_put(struct publisher *p, struct cJSON *status);
/* Waits until all that was put stands there, or could not be written. */
void publisher_flush(struct publisher *p);
/* What waits is written first. NULL is fine. */
void publisher_stop(struct publisher *p);

#endif
