/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS client and server in one process over memory BIOs, so that nothing but the SSL calls is
 * timed: the client asks, the server answers with EVENTS writes of SIZE bytes, and the client's
 * SSL_reads of them are timed. Prints how many bytes of libssl's code differ from its file at the
 * end (the probes on it, whoever set them), then nanoseconds per client SSL_read of each round.
 *
 * usage: tls_loop HOST PATH ROUNDS EVENTS SIZE
 */
#include <fcntl.h>
#include <link.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 64

static void die(const char *what)
{
	fprintf(stderr, "tls_loop: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Adds to *user the bytes of libssl's code that are not as in its file. */
static int count_probes(struct dl_phdr_info *info, size_t size, void *user)
{
	int fd = strstr(info->dlpi_name, "libssl") ? open(info->dlpi_name, O_RDONLY) : -1;
	unsigned char file[4096];

	(void)size;
	for (int i = 0; fd >= 0 && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *seg = &info->dlpi_phdr[i];
		const unsigned char *code = (void *)(info->dlpi_addr + seg->p_vaddr);

		for (size_t at = 0; (seg->p_flags & PF_X) && at < seg->p_filesz; at++) {
			if (at % sizeof(file) == 0 &&
			    pread(fd, file, sizeof(file), (off_t)(seg->p_offset + at)) <= 0)
				die("cannot read libssl");
			*(int *)user += code[at] != file[at % sizeof(file)];
		}
	}
	if (fd >= 0)
		close(fd);
	return 0;
}

static SSL_CTX *server_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	if (!context || !key || !cert)
		die("no server context");
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	if (!X509_sign(cert, key, EVP_sha256()) || SSL_CTX_use_certificate(context, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(context, key) != 1)
		die("no certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
	return context;
}

static SSL *endpoint(SSL_CTX *context, BIO *in, BIO *out)
{
	SSL *ssl = SSL_new(context);

	BIO_up_ref(in);
	BIO_up_ref(out);
	SSL_set_bio(ssl, in, out);
	return ssl;
}

static void read_exactly(SSL *ssl, char *buffer, int n)
{
	for (int got = 0; got < n;) {
		int r = SSL_read(ssl, buffer + got, n - got);

		if (r <= 0)
			die("SSL_read");
		got += r;
	}
}

static void write_all(SSL *ssl, const char *data, int n)
{
	if (SSL_write(ssl, data, n) != n)
		die("SSL_write");
}

/* One request and its answer; returns the nanoseconds spent in the client's event reads. */
static uint64_t round_trip(SSL *client, SSL *server, const char *request, const char *event,
			   int events, int size, char *buffer)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	uint64_t started;

	write_all(client, request, (int)strlen(request));
	read_exactly(server, buffer, (int)strlen(request));
	write_all(server, head, sizeof(head) - 1);
	read_exactly(client, buffer, sizeof(head) - 1);
	for (int i = 0; i < events; i++)
		write_all(server, event, size);
	started = now_ns();
	for (int i = 0; i < events; i++)
		read_exactly(client, buffer, size);
	started = now_ns() - started;
	write_all(server, "0\r\n\r\n", 5);
	read_exactly(client, buffer, 5);
	return started;
}

/* One HTTP chunk of exactly size bytes that holds one event-stream event. */
static char *make_event(int size)
{
	char *event = malloc((size_t)size + 1);
	int head = 0;

	for (int body = size; body > 0 && head + body + 2 != size; body--)
		head = snprintf(NULL, 0, "%x\r\n", body);
	head = snprintf(event, (size_t)size, "%x\r\n", size - head - 2);
	memset(event + head, 'x', (size_t)(size - head));
	memcpy(event + head, "data: {\"a\":\"", 12);
	memcpy(event + size - 6, "\"}\n\n\r\n", 6);
	return event;
}

int main(int argc, char **argv)
{
	SSL_CTX *client_context = SSL_CTX_new(TLS_client_method());
	BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
	static char buffer[1 << 16];
	int rounds, events, probes = 0;
	uint64_t spent[ROUNDS_MAX];
	char request[1024], *event;
	SSL *client, *server;

	if (argc != 6)
		die("usage: tls_loop HOST PATH ROUNDS EVENTS SIZE");
	client = endpoint(client_context, down, up);
	server = endpoint(server_context(), up, down);
	SSL_set_tlsext_host_name(client, argv[1]);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 8 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server));
	     i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	snprintf(request, sizeof(request),
		 "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
		 "Content-Length: 32\r\n\r\n{\"model\":\"gpt-4o\",\"stream\":true}",
		 argv[2], argv[1]);
	rounds = number(argv[3]);
	rounds = rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
	events = number(argv[4]);
	event = make_event(number(argv[5]));
	for (int i = 0; i < rounds; i++)
		spent[i] =
			round_trip(client, server, request, event, events, number(argv[5]), buffer);
	dl_iterate_phdr(count_probes, &probes);
	printf("%d\n", probes);
	for (int i = 0; i < rounds; i++)
		printf("%.1f\n", (double)spent[i] / events);
	free(event);
	return 0;
}
