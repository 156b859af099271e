/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of TCP ports. */
#ifndef TT_PORTS_H
#define TT_PORTS_H

#include "agent/base/base.h"

#define PORT_WORDS (65536 / 64)

/* One bit for each TCP port. */
struct port_set {
	uint64_t bits[PORT_WORDS];
};

/* Adds "8000,11434". False when a part of it is no port from 1 to 65535; `set` may be NULL. */
bool port_set_parse(struct port_set *set, const char *text);
uint32_t port_set_count(const struct port_set *set);

#endif
