/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a long command is: one line on stderr that is written over, only on a terminal and only
 * when the work has taken a second. One at a time.
 */
#ifndef TT_CLI_PROGRESS_H
#define TT_CLI_PROGRESS_H

#include "agent/base/base.h"

/* what: "repricing", "copying"; unit: "hours", "MiB". all 0: it is not known how many there are. */
void progress_show(const char *what, int64_t done, int64_t all, const char *unit);
/* Takes the line away. Fine when none was shown. */
void progress_end(void);

#endif
