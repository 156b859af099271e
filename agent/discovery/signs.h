/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cheap and certain signs that a file is a TLS stack which cannot be read: libraries other than
 * OpenSSL's family by name, programs without symbols by name or by what is in the file. To know one
 * more stack, add its reason and its row. A stack without a sign here stays unseen.
 */
#ifndef TT_SIGNS_H
#define TT_SIGNS_H

#include "agent/base/base.h"

enum blind {
	BLIND_NOT, /* no sign of a TLS stack */
	BLIND_GNUTLS,
	BLIND_NSS,
	BLIND_MBEDTLS,
	BLIND_WOLFSSL,
	BLIND_S2N,
	BLIND_JAVA,
	BLIND_ERLANG,
	BLIND_GO,      /* crypto/tls */
	BLIND_OPENSSL, /* static, without symbols, as the next one */
	BLIND_BORINGSSL,
	BLIND_RUSTLS,
	BLINDS
};
extern const char *const blind_names[BLINDS];

/* By the name of a mapped library, without opening it. */
enum blind blind_by_library(struct slice path);
/* By the name of a program that has no symbols to probe. */
enum blind blind_by_program(struct slice path);
/* By what a file without symbols to probe holds; bounded passes over single sections. */
enum blind blind_by_content(int fd);

#endif
