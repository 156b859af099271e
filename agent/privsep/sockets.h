/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain HTTP at the socket (bpf/socket.bpf.c), for ports that were asked for. Its programs share
 * the maps of the TLS hooks and see every system call that returns: loaded only where ports are
 * listed.
 */
#ifndef TT_SOCKETS_H
#define TT_SOCKETS_H

#include "agent/base/ports.h"

struct sockets;
struct bpf_object;

/*
 * Loads the programs into the maps of `tls`, which was loaded and lives longer, and arms them.
 * Returns 0, or -errno with one line in err.
 */
int sockets_new(struct sockets **out, const struct bpf_object *tls, const struct port_set *ports,
		char *err, size_t err_size) TT_MUST_CHECK;
void sockets_free(struct sockets *s); /* NULL is fine */

/* As probes_set_own and probes_new_reader; NULL is fine. */
void sockets_set_own(struct sockets *s, const uint32_t *tgids, size_t count);
void sockets_new_reader(struct sockets *s);

#endif
