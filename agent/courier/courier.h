/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The third process: it owns all outbound traffic and the credentials for it, and sees no ring and
 * no plaintext. Its only inputs are requests of the worker (wire.h), the answers of the sources it
 * asks for them, and SIGTERM. One thread, one loop; a request waits in the socket while as many
 * look-ups run as may. It keeps nothing between requests but the kubelet's last list: what is
 * known, the worker remembers.
 */
#ifndef TT_COURIER_COURIER_H
#define TT_COURIER_COURIER_H

#include "agent/courier/kubelet.h"

struct courier_opts {
	char *const *container_sockets; /* --container.socket */
	size_t container_socket_count;
	struct label_rules labels;   /* --container.label */
	struct kubelet_opts kubelet; /* complete but for its rules, which are those above */
};

/*
 * Loads libcurl, which maps code: to be called before the process may no longer do that. Returns 0,
 * or -ENOENT with one line in err; that is no reason to stop.
 */
int courier_prepare(char *err, size_t err_size) TT_MUST_CHECK;

/*
 * The courier's main: answers on channel_fd (SOCK_SEQPACKET) until SIGTERM or until the other end
 * is closed. SIGINT and SIGHUP are ignored: the supervisor decides. Without courier_prepare's
 * success every request is answered COURIER_FAILED. Call it after privilege is dropped. Returns the
 * exit code.
 */
int courier_run(int channel_fd, const struct courier_opts *opts) TT_MUST_CHECK;

#endif
