/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/pair.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define READ_BYTES (64 << 10)

_Noreturn void die(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static void make_certificate(SSL_CTX *context)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	if (!key || !cert)
		die("no key");
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	if (!X509_sign(cert, key, EVP_sha256()) || SSL_CTX_use_certificate(context, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(context, key) != 1)
		die("no certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
}

void pair_contexts(SSL_CTX **client, SSL_CTX **server)
{
	*client = SSL_CTX_new(TLS_client_method());
	*server = SSL_CTX_new(TLS_server_method());
	if (!*client || !*server)
		die("no context");
	make_certificate(*server);
	SSL_CTX_set_num_tickets(*server, 0);
	SSL_CTX_set_mode(*client, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_mode(*server, SSL_MODE_RELEASE_BUFFERS);
}

static SSL *endpoint(SSL_CTX *context, BIO *in, BIO *out)
{
	SSL *ssl = SSL_new(context);

	if (!ssl)
		die("no connection");
	BIO_up_ref(in);
	BIO_up_ref(out);
	SSL_set_bio(ssl, in, out);
	return ssl;
}

struct pair pair_connect(SSL_CTX *client, SSL_CTX *server, const char *host)
{
	BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
	struct pair p;

	if (!up || !down)
		die("no memory for a network");
	p = (struct pair){endpoint(client, down, up), endpoint(server, up, down)};
	BIO_free(up);
	BIO_free(down);
	SSL_set_tlsext_host_name(p.client, host);
	SSL_set_connect_state(p.client);
	SSL_set_accept_state(p.server);
	for (int i = 0; i < 8; i++) {
		if (SSL_is_init_finished(p.client) && SSL_is_init_finished(p.server))
			return p;
		SSL_do_handshake(p.client);
		SSL_do_handshake(p.server);
	}
	die("no handshake");
}

void pair_free(struct pair *p)
{
	SSL_free(p->client);
	SSL_free(p->server);
	*p = (struct pair){0};
}

static void read_all(SSL *ssl)
{
	static _Thread_local char buffer[READ_BYTES];

	while (SSL_read(ssl, buffer, sizeof(buffer)) > 0)
		;
}

static void write_once(SSL *ssl, const char *data, size_t n)
{
	if (SSL_write(ssl, data, (int)n) != (int)n)
		die("SSL_write");
}

void pair_ask(struct pair *p, const char *data, size_t n)
{
	write_once(p->client, data, n);
	read_all(p->server);
}

void pair_answer(struct pair *p, const char *data, size_t n)
{
	write_once(p->server, data, n);
	read_all(p->client);
}

void pair_close(struct pair *p)
{
	SSL_shutdown(p->server);
	read_all(p->client);
}
