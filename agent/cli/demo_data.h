/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap demo --data: a made-up ledger, its providers' bills and names of its keys. */
#ifndef TT_DEMO_DATA_H
#define TT_DEMO_DATA_H

#include "agent/config/config.h"

#define DEMO_ROWS_MAX 50000000

/* What was asked for; NULL: the default. */
struct demo_data_flags {
	const char *rows, *until;
};

/* Returns the exit code. */
int demo_data(const struct config *config, const struct demo_data_flags *flags);

#endif
