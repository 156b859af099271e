/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers. In OpenSSL, SSL_read and SSL_read_ex (and the writers) are thin covers of one internal
 * function that takes a buffer, its length, and a pointer to the length moved. Its entry is one
 * site for both covers, and often a cheaper one than theirs (docs/performance.md). It has no
 * symbol: it is what both covers call, and every doubt about that is answered with "none".
 */
#ifndef TT_INTERNAL_H
#define TT_INTERNAL_H

#include "agent/base/base.h"

#define COVER_BYTES_MAX 1024u /* a longer function is no thin cover */

/* A public function: its code and the address that it starts at. */
struct cover {
	const uint8_t *code;
	size_t len;
	uint64_t address;
};

/*
 * The address of the worker of two covers, or 0. plain has SSL_read's arguments; ex has those of
 * SSL_read_ex, and its argument out_arg (from 0) is the pointer to the length. True of a worker:
 * - it is what each cover calls first, once, and the only thing that ex calls;
 * - nothing but conditional jumps leads away before that call, and none leads back;
 * - both pass on their first three arguments (plain may widen the third), ex all up to out_arg, and
 *   plain gives the address of a local variable in out_arg's place.
 */
uint64_t worker_of(const struct cover *plain, const struct cover *ex, uint32_t out_arg);

#endif
