/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a TLS connection in one process, with memory for a network: nothing slows the
 * traffic down but the TLS calls themselves. For test programs: every failure ends the program.
 */
#ifndef TT_TESTS_PAIR_H
#define TT_TESTS_PAIR_H

#include <openssl/ssl.h>
#include <stddef.h>

struct pair {
	SSL *client, *server;
};

_Noreturn void die(const char *what);

/* Makes both contexts; the server's key and certificate are made anew. */
void pair_contexts(SSL_CTX **client, SSL_CTX **server);

/* After the handshake. host is the server name. */
struct pair pair_connect(SSL_CTX *client, SSL_CTX *server, const char *host);
void pair_free(struct pair *p); /* an end without close_notify */

/* The client writes n bytes with one SSL_write; the server reads them. */
void pair_ask(struct pair *p, const char *data, size_t n);
/* The server writes n bytes with one SSL_write; the client reads what is there. */
void pair_answer(struct pair *p, const char *data, size_t n);
/* The server closes; the client reads the end. */
void pair_close(struct pair *p);

#endif
