/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are the same in every run: a TLS client and its server in one process over memory
 * BIOs. The nth exchange is a function of n, so the SHA-256 of all that both ends received, and of
 * what every SSL call returned, is a function of the count, whatever the mode.
 *
 * usage: steady_client MODE      until stdin ends; then COUNT SHA256 of each thread and process
 *        steady_client reference COUNT      the same lines after each exchange, without a pause
 *
 * A mode is a way of life that a probe must not disturb: see the table at the end.
 */
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "strict.h"

#define PAUSE_NS      10000000 /* between exchanges */
#define INSIDE_NS     10000000 /* within a call, in the slow mode */
#define ANSWER_MAX    50000    /* several TLS records */
#define THREADS	      4
#define FORK_EVERY    20
#define CHILD_LIFE    10 /* exchanges of a child */
#define CHILDREN_MAX  1000
#define CALLS_OF_CONN 7 /* exchanges of a connection, in the reuse mode */

struct life {
	SSL *client, *server;
	EVP_MD_CTX *digest;
	long done, last; /* exchanges; ends after the last, 0: when stdin ends */
	bool fork_now;
	int children;
	char buffer[ANSWER_MAX], text[ANSWER_MAX];
};

struct mode {
	const char *name;
	void (*begin)(struct life *life);
	void (*between)(struct life *life);
	long (*inside)(BIO *bio, int operation, const char *data, size_t len, int, long, int,
		       size_t *);
};

static const struct mode *mode;
static SSL_CTX *client_context, *server_context;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "steady_client: %s\n", what);
	ERR_print_errors_fp(stderr);
	_exit(1);
}

static void pause_ns(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void print_digest(const struct life *life)
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	unsigned char hash[EVP_MAX_MD_SIZE];
	char line[64 + 2 * sizeof(hash)];
	unsigned int size = 0;
	int n = snprintf(line, sizeof(line), "%ld ", life->done);

	if (!copy || !EVP_MD_CTX_copy_ex(copy, life->digest) ||
	    !EVP_DigestFinal_ex(copy, hash, &size))
		die("no digest");
	for (unsigned int i = 0; i < size; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, "%02x", hash[i]);
	line[n++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		die("cannot print");
	EVP_MD_CTX_free(copy);
}

/* ---- one exchange ---------------------------------------------------------------------------- */

/* What a call returned, and what it brought. */
static void record(struct life *life, int result, const void *data)
{
	if (!EVP_DigestUpdate(life->digest, &result, sizeof(result)) ||
	    (data && result > 0 && !EVP_DigestUpdate(life->digest, data, (size_t)result)))
		die("no digest");
}

/* One write on one end, and reads on the other until all of it is there. */
static void carry(struct life *life, SSL *from, SSL *to, const char *data, int len)
{
	int result = SSL_write(from, data, len);

	record(life, result, NULL);
	for (int got = 0; got < len; got += result) {
		result = SSL_read(to, life->buffer + got, len - got);
		record(life, result, life->buffer + got);
		if (result <= 0)
			die("SSL_read");
	}
	if (memcmp(life->buffer, data, (size_t)len))
		die("bytes changed on their way");
	/* A read that finds nothing is a call too. */
	record(life, SSL_read(to, life->buffer, len), life->buffer);
}

static int make_request(char *text, long n)
{
	char body[128];
	int len = snprintf(body, sizeof(body),
			   "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"content\":\"%ld\"}]}", n);

	return snprintf(text, ANSWER_MAX,
			"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
			"Content-Length: %d\r\n\r\n%s",
			len, body);
}

static int make_answer(char *text, long n)
{
	static const char before[] =
		"{\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"message\":{\"content\":\"";
	static const char after[] =
		"\"}}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}";
	int filler = (int)(n * 7919 % (ANSWER_MAX - 1000));
	int at = snprintf(text, ANSWER_MAX, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
			  (int)(sizeof(before) + sizeof(after)) - 2 + filler, before);

	for (int i = 0; i < filler; i++)
		text[at++] = (char)('a' + (i + n) % 26);
	return at + snprintf(text + at, ANSWER_MAX - (size_t)at, "%s", after);
}

static void exchange(struct life *life)
{
	int len = make_request(life->text, life->done);

	carry(life, life->client, life->server, life->text, len);
	len = make_answer(life->text, life->done);
	carry(life, life->server, life->client, life->text, len);
	life->done++;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void shake_hands(struct life *life)
{
	BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());

	BIO_up_ref(up);
	BIO_up_ref(down);
	SSL_set_bio(life->client, down, up);
	SSL_set_bio(life->server, up, down);
	SSL_set_connect_state(life->client);
	SSL_set_accept_state(life->server);
	SSL_set_tlsext_host_name(life->client, "api.openai.com");
	for (int i = 0; i < 8; i++) {
		SSL_do_handshake(life->client);
		SSL_do_handshake(life->server);
	}
	if (!SSL_is_init_finished(life->client) || !SSL_is_init_finished(life->server))
		die("no handshake");
	if (mode->inside) {
		BIO_set_callback_arg(up, (char *)life);
		BIO_set_callback_ex(up, mode->inside);
		BIO_set_callback_arg(down, (char *)life);
		BIO_set_callback_ex(down, mode->inside);
	}
}

static void connect_ends(struct life *life)
{
	life->client = SSL_new(client_context);
	life->server = SSL_new(server_context);
	if (!life->client || !life->server)
		die("SSL_new");
	shake_hands(life);
}

/* Ciphers without a certificate: nothing here is secret. */
static SSL_CTX *make_context(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (!context || !SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) ||
	    !SSL_CTX_set_cipher_list(context, "AECDH:@SECLEVEL=0"))
		die("no context");
	return context;
}

/* ---- modes ----------------------------------------------------------------------------------- */

static void restrict_life(struct life *life)
{
	(void)life;
	if (restrict_self())
		die("no filter");
}

/* SSL* that begin a new life by SSL_clear, or by SSL_free when the next gets their place. */
static void reconnect(struct life *life)
{
	static SSL *again;
	static long reused;
	long turn = life->done / CALLS_OF_CONN;

	if (life->done % CALLS_OF_CONN)
		return;
	if (turn % 2) {
		if (!SSL_clear(life->client) || !SSL_clear(life->server))
			die("SSL_clear");
		shake_hands(life);
		return;
	}
	again = life->client;
	SSL_free(life->server);
	SSL_free(life->client);
	connect_ends(life);
	reused += again == life->client || again == life->server;
	if (turn == 20 && !reused)
		die("no SSL* was used again: this mode shows nothing");
}

static long nap_inside(BIO *bio, int operation, const char *data, size_t len, int argi, long argl,
		       int result, size_t *processed)
{
	(void)bio, (void)data, (void)len, (void)argi, (void)argl, (void)processed;
	if (operation == BIO_CB_WRITE || operation == BIO_CB_READ)
		pause_ns(INSIDE_NS);
	return result;
}

static void want_fork(struct life *life)
{
	life->fork_now = !life->last && life->done % FORK_EVERY == 0;
}

/* The child comes out of the call that it was born in, and goes on with its own copies. */
static long fork_inside(BIO *bio, int operation, const char *data, size_t len, int argi, long argl,
			int result, size_t *processed)
{
	struct life *life = (struct life *)BIO_get_callback_arg(bio);
	bool on_write = life->children % 2;
	BIO *here = on_write ? SSL_get_wbio(life->client) : SSL_get_rbio(life->client);
	pid_t pid;

	(void)data, (void)len, (void)argi, (void)argl, (void)processed;
	if (!life->fork_now || bio != here || operation != (on_write ? BIO_CB_WRITE : BIO_CB_READ))
		return result;
	life->fork_now = false;
	pid = life->children < CHILDREN_MAX ? fork() : 1;
	if (pid < 0)
		die("fork");
	if (pid == 0)
		life->last = life->done + CHILD_LIFE;
	else
		life->children++;
	return result;
}

static void *live(void *user);

static pthread_t threads[THREADS - 1];

static void start_threads(struct life *life)
{
	for (int i = 0; i < THREADS - 1; i++) {
		if (pthread_create(&threads[i], NULL, live, calloc(1, sizeof(*life))))
			die("pthread_create");
	}
}

static void print_reference(struct life *life)
{
	if (life->done)
		print_digest(life);
}

static const struct mode modes[] = {
	{"reference", .between = print_reference},
	{"strict", .begin = restrict_life},
	{"threads", .begin = start_threads},
	{"forks", .between = want_fork, .inside = fork_inside},
	{"reuse", .between = reconnect},
	{"slow", .inside = nap_inside},
	{.name = "plain"},
};

/* ---- a life ---------------------------------------------------------------------------------- */

/* All threads and children look at one end of file, so none takes it from another. */
static bool has_ended(const struct life *life)
{
	char c;

	if (life->last)
		return life->done >= life->last;
	pause_ns(PAUSE_NS);
	return read(STDIN_FILENO, &c, 1) == 0;
}

static void *live(void *user)
{
	struct life *life = user;

	life->digest = EVP_MD_CTX_new();
	if (!life->digest || !EVP_DigestInit_ex(life->digest, EVP_sha256(), NULL))
		die("no digest");
	connect_ends(life);
	do {
		if (mode->between)
			mode->between(life);
		exchange(life);
	} while (!has_ended(life));
	print_digest(life);
	return NULL;
}

static bool children_are_well(int children)
{
	bool well = true;
	int status;

	for (; children; children--)
		well = wait(&status) > 0 && status == 0 && well;
	return well;
}

int main(int argc, char **argv)
{
	static struct life life;
	pid_t self = getpid();

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(modes[i].name, argv[1]))
			mode = &modes[i];
	}
	if (!mode || argc > 3)
		die("usage: steady_client MODE [COUNT]");
	life.last = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	client_context = make_context(TLS_client_method());
	server_context = make_context(TLS_server_method());
	if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK))
		die("stdin");
	if (mode->begin)
		mode->begin(&life);
	live(&life);
	for (int i = 0; mode->begin == start_threads && i < THREADS - 1; i++)
		pthread_join(threads[i], NULL);
	if (getpid() == self && !children_are_well(life.children))
		die("a child did not end well");
	return 0;
}
