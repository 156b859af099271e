/* SPDX-License-Identifier: Apache-2.0 */
/* A broker for one command that runs without an agent (`doctor`): a child of it, as its own user.
 */
#ifndef TT_LOCAL_H
#define TT_LOCAL_H

#include <sys/types.h>

#include "agent/privsep/broker.h"

struct local_broker {
	struct broker *broker;
	pid_t pid;
	int control_fd;
};

/* Returns 0, or -errno with one line in err (-EPERM privilege, -ENOTSUP kernel). */
int local_broker_start(struct local_broker *out, const struct probe_opts *opts, char *err,
		       size_t err_size) TT_MUST_CHECK;
/* Lets go of all probes. Safe on a zeroed one. */
void local_broker_stop(struct local_broker *local);

#endif
