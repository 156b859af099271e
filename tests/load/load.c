// SPDX-License-Identifier: Apache-2.0
/*
 * Mixed LLM traffic at a chosen rate, with its own books: clients and provider in the same process,
 * many processes. One line per call goes to BOOKS before the call's last byte is sent, and one when
 * it is over. WHOLE is 0 when the client leaves before the answer ends; times are CLOCK_MONOTONIC.
 *
 *	ID SHAPE INPUT OUTPUT WHOLE BEGUN_NS
 *	ID ENDED_NS
 *
 * usage: load BOOKS SECONDS CALLS_PER_SECOND KEEPING SPAWNING NAME
 *
 * ID begins with NAME.
 * KEEPING processes keep their connections; SPAWNING processes start short-lived programs of a few
 * calls each. CALLS_PER_SECOND is the sum over all of them; 0: as fast as it goes. SIGTERM ends all
 * of it early, after the calls under way.
 */
#include "tests/load/pair.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define HOST	    "api.openai.com"
#define CONNECTIONS 16	  /* of a process that keeps them */
#define CALLS_EACH  50	  /* then a connection is made anew */
#define CALLS_SHORT 3	  /* of a short-lived process */
#define TEXT_MAX    65536 /* of a request or an answer */
#define EVENTS	    8
#define BIG_BYTES   40000

extern char **environ;

/* ---- text ----------------------------------------------------------------------------------- */

struct text {
	char bytes[TEXT_MAX];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->bytes + t->len, sizeof(t->bytes) - t->len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(t->bytes) - t->len)
		die("text too long");
	t->len += (size_t)n;
}

static void put_bytes(struct text *t, const void *data, size_t n)
{
	if (n > sizeof(t->bytes) - t->len)
		die("text too long");
	memcpy(t->bytes + t->len, data, n);
	t->len += n;
}

/* ---- one call ------------------------------------------------------------------------------- */

struct call {
	char id[64];
	unsigned input, output; /* tokens */
	uint64_t begun_ns;
	struct pair *pair;
};

static struct text text, body; /* one thread */

static void send_text(const struct call *c)
{
	pair_answer(c->pair, text.bytes, text.len);
	text.len = 0;
}

static void put_head(const struct call *c, const char *fields)
{
	put(&text, "HTTP/1.1 200 OK\r\nx-request-id: %s\r\n%s\r\n", c->id, fields);
}

static void make_usage(const struct call *c)
{
	put(&body, "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u}",
	    c->input, c->output, c->input + c->output);
}

static void make_body(const struct call *c, int padding)
{
	body.len = 0;
	put(&body,
	    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-mini-2024-07-"
	    "18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%*s\""
	    "}}],",
	    padding, "");
	make_usage(c);
	put(&body, "}");
}

static void make_event(const struct call *c, bool last)
{
	body.len = 0;
	put(&body,
	    "data: {\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o-mini-2024-07-18\",");
	if (last) {
		put(&body, "\"choices\":[],");
		make_usage(c);
		put(&body, "}\n\ndata: [DONE]\n\n");
	} else {
		put(&body, "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lorem ipsum dolor "
			   "\"}}],\"usage\":null}\n\n");
	}
}

/* The body as one HTTP chunk. */
static void put_chunk(void)
{
	put(&text, "%zx\r\n", body.len);
	put_bytes(&text, body.bytes, body.len);
	put(&text, "\r\n");
}

static void deflate_into(z_stream *z, int flush, unsigned char *dst, size_t size)
{
	z->next_in = (unsigned char *)body.bytes;
	z->avail_in = (unsigned)body.len;
	z->next_out = dst;
	z->avail_out = (unsigned)size;
	if (deflate(z, flush) < 0 || z->avail_in)
		die("deflate");
	body.len = size - z->avail_out;
	memcpy(body.bytes, dst, body.len);
}

static z_stream *gzip_stream(void)
{
	static z_stream z;
	static bool open;

	if (!open && deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		die("deflateInit2");
	open = true;
	deflateReset(&z);
	return &z;
}

static unsigned char packed[TEXT_MAX];

static void answer_plain(const struct call *c)
{
	char fields[64];

	make_body(c, 200);
	snprintf(fields, sizeof(fields), "Content-Length: %zu\r\n", body.len);
	put_head(c, fields);
	put_bytes(&text, body.bytes, body.len);
	send_text(c);
}

static void answer_big(const struct call *c)
{
	char fields[64];

	make_body(c, BIG_BYTES);
	snprintf(fields, sizeof(fields), "Content-Length: %zu\r\n", body.len);
	put_head(c, fields);
	send_text(c);
	put_bytes(&text, body.bytes, body.len);
	send_text(c);
}

static void answer_gzip(const struct call *c)
{
	char fields[96];

	make_body(c, 2000);
	deflate_into(gzip_stream(), Z_FINISH, packed, sizeof(packed));
	snprintf(fields, sizeof(fields), "Content-Encoding: gzip\r\nContent-Length: %zu\r\n",
		 body.len);
	put_head(c, fields);
	put_bytes(&text, body.bytes, body.len);
	send_text(c);
}

static void send_events(const struct call *c, int events, z_stream *z)
{
	for (int i = 0; i < events; i++) {
		make_event(c, i == EVENTS - 1);
		if (z)
			deflate_into(z, i == EVENTS - 1 ? Z_FINISH : Z_SYNC_FLUSH, packed,
				     sizeof(packed));
		put_chunk();
		if (i == EVENTS - 1)
			put(&text, "0\r\n\r\n");
		send_text(c);
	}
}

#define STREAM "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"

static void answer_stream(const struct call *c)
{
	put_head(c, STREAM);
	send_text(c);
	send_events(c, EVENTS, NULL);
}

static void answer_gzip_stream(const struct call *c)
{
	put_head(c, STREAM "Content-Encoding: gzip\r\n");
	send_text(c);
	send_events(c, EVENTS, gzip_stream());
}

static void answer_until_close(const struct call *c)
{
	make_body(c, 200);
	put_head(c, "Connection: close\r\n");
	put_bytes(&text, body.bytes, body.len);
	send_text(c);
	pair_close(c->pair);
}

static void answer_cut(const struct call *c)
{
	put_head(c, STREAM);
	send_text(c);
	send_events(c, EVENTS / 2, NULL);
}

static const struct shape {
	const char *name;
	void (*answer)(const struct call *c);
	bool stream;
	bool whole;
	bool ends; /* the connection with it */
	int prompt_bytes;
	unsigned share; /* of 100 calls */
} shapes[] = {
	{"plain", answer_plain, false, true, false, 300, 20},
	{"prompt", answer_plain, false, true, false, 8000, 10},
	{"big", answer_big, false, true, false, 30000, 10},
	{"gzip", answer_gzip, false, true, false, 300, 10},
	{"stream", answer_stream, true, true, false, 2000, 34},
	{"gzip-stream", answer_gzip_stream, true, true, false, 300, 10},
	{"until-close", answer_until_close, false, true, true, 300, 3},
	{"cut", answer_cut, true, false, true, 300, 3},
};

static void ask(const struct call *c, const struct shape *shape)
{
	body.len = 0;
	put(&body,
	    "{\"model\":\"gpt-4o-mini\",%s\"messages\":[{\"role\":\"user\",\"content\":\"%*s\"}]}",
	    shape->stream ? "\"stream\":true,\"stream_options\":{\"include_usage\":true}," : "",
	    shape->prompt_bytes, "");
	put(&text,
	    "POST /v1/chat/completions HTTP/1.1\r\nHost: " HOST
	    "\r\nAuthorization: Bearer sk-load\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    body.len);
	put_bytes(&text, body.bytes, body.len);
	pair_ask(c->pair, text.bytes, text.len);
	text.len = 0;
}

/* ---- a process ------------------------------------------------------------------------------ */

static const char *name;

struct client {
	int books;
	SSL_CTX *client, *server;
	unsigned serial;
	uint64_t random;
};

static unsigned random_below(struct client *w, unsigned n)
{
	w->random = w->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(w->random >> 33) % n;
}

static const struct shape *random_shape(struct client *w)
{
	const struct shape *shape = shapes;
	unsigned n = random_below(w, 100);

	for (; n >= shape->share; shape++)
		n -= shape->share;
	return shape;
}

static void open_client(struct client *w, const char *books)
{
	struct timespec now;

	*w = (struct client){.books = open(books, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)};
	if (w->books < 0)
		die("no books");
	clock_gettime(CLOCK_MONOTONIC, &now);
	w->random = (uint64_t)now.tv_nsec * 1000003 + (uint64_t)getpid();
	pair_contexts(&w->client, &w->server);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

__attribute__((format(printf, 2, 3))) static void write_books(const struct client *w,
							      const char *format, ...)
{
	char line[192];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (write(w->books, line, (size_t)n) != n)
		die("books not written");
}

/* Returns false when the connection ended with it. */
static bool make_call(struct client *w, struct pair *pair, const struct shape *shape)
{
	static int64_t started;
	struct call c = {.pair = pair,
			 .input = 1 + random_below(w, 100000),
			 .output = 1 + random_below(w, 100000),
			 .begun_ns = now_ns()};

	if (!started)
		started = time(NULL);
	snprintf(c.id, sizeof(c.id), "%s-%d-%lld-%u", name, getpid(), (long long)started,
		 w->serial++);
	ask(&c, shape);
	write_books(w, "%s %s %u %u %d %llu\n", c.id, shape->name, c.input, c.output, shape->whole,
		    (unsigned long long)c.begun_ns);
	shape->answer(&c);
	write_books(w, "%s %llu\n", c.id, (unsigned long long)now_ns());
	return !shape->ends;
}

/* Waits for the next of `rate` turns a second; what a late one missed is not made up for. */
static void pace(uint64_t *next_ns, double rate)
{
	uint64_t now = now_ns();
	struct timespec ts;

	if (rate <= 0)
		return;
	if (now > *next_ns) {
		*next_ns = now + (uint64_t)(1e9 / rate);
		return;
	}
	ts = (struct timespec){(time_t)(*next_ns / 1000000000u), (long)(*next_ns % 1000000000u)};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	*next_ns += (uint64_t)(1e9 / rate);
}

static volatile sig_atomic_t *stopped; /* of all processes */

static void on_term(int number)
{
	(void)number;
	*stopped = 1;
}

static bool goes_on(uint64_t end_ns)
{
	return now_ns() < end_ns && !*stopped;
}

static void keep_connections(const char *books, uint64_t end_ns, double rate)
{
	struct pair pairs[CONNECTIONS] = {0};
	unsigned calls[CONNECTIONS] = {0};
	uint64_t next_ns = now_ns();
	struct client w;

	open_client(&w, books);
	for (unsigned i = 0; goes_on(end_ns); i = (i + 1) % CONNECTIONS) {
		pace(&next_ns, rate);
		if (!pairs[i].client)
			pairs[i] = pair_connect(w.client, w.server, HOST);
		if (!make_call(&w, &pairs[i], random_shape(&w)) || ++calls[i] == CALLS_EACH) {
			calls[i] = 0;
			pair_free(&pairs[i]);
		}
	}
	exit(0); /* with open connections */
}

/* A few calls, and gone: every other one without freeing its connection. */
static void live_shortly(const char *books)
{
	struct client w;
	bool is_open = true;
	struct pair pair;

	open_client(&w, books);
	pair = pair_connect(w.client, w.server, HOST);
	for (int i = 0; i < CALLS_SHORT && is_open; i++)
		is_open = make_call(&w, &pair, random_shape(&w));
	if (getpid() % 2)
		pair_free(&pair);
	_exit(0);
}

static void spawn_short(const char *books, uint64_t end_ns, double rate)
{
	char *argv[] = {"load", "--short", (char *)books, (char *)name, NULL};
	uint64_t next_ns = now_ns();
	pid_t pid;

	while (goes_on(end_ns)) {
		pace(&next_ns, rate / CALLS_SHORT);
		if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ))
			die("posix_spawn");
		waitpid(pid, NULL, 0);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	uint64_t end_ns;
	int keeping, spawning;
	double rate;

	name = argv[argc - 1];
	if (argc == 4 && strcmp(argv[1], "--short") == 0)
		live_shortly(argv[2]);
	if (argc != 7)
		die("usage: load BOOKS SECONDS CALLS_PER_SECOND KEEPING SPAWNING NAME");
	end_ns = now_ns() + strtoull(argv[2], NULL, 10) * 1000000000u;
	keeping = (int)strtol(argv[4], NULL, 10);
	spawning = (int)strtol(argv[5], NULL, 10);
	rate = strtod(argv[3], NULL) / (keeping + spawning);
	stopped = mmap(NULL, sizeof(*stopped), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (stopped == MAP_FAILED)
		die("mmap");
	for (int i = 0; i < keeping + spawning; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (i < keeping)
			keep_connections(argv[1], end_ns, rate);
		spawn_short(argv[1], end_ns, rate);
	}
	signal(SIGTERM, on_term);
	while (wait(NULL) > 0)
		;
	return 0;
}
