/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's end of the socket: one request, one answer. */
#include "agent/privsep/broker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/privsep/channel.h"
#include "agent/privsep/lifeline.h"

struct broker {
	int fd; /* -1: it no longer answers */
	const struct lifeline *line;
	uint32_t seq;
	int wait_ms; /* for an answer */
	struct probe_caps caps;
	int ring_fd;
	uint32_t ring_bytes;
};

static void give_up(struct broker *b, const char *what, int rc)
{
	log_error("broker", "no answer to %s: %s", what, strerror(-rc));
	closep(&b->fd);
}

/* A broker that ends in its start has told why. */
static bool ended_in_start(const struct request *r, int rc)
{
	return r->kind == REQUEST_HELLO && (rc == -ECONNRESET || rc == -EPIPE);
}

/* Sends r and waits for its answer. Returns the answer's rc, or -errno; fd may be NULL. */
static int ask(struct broker *b, struct request *r, struct answer *a, int *fd)
{
	struct pollfd poll_fd = {.fd = b->fd, .events = POLLIN};
	_cleanup_(closep) int got = -1;
	int rc;

	if (!broker_alive(b))
		return -EPIPE;
	r->seq = ++b->seq;
	rc = channel_send(b->fd, r, sizeof(*r), -1);
	while (!rc) {
		rc = poll(&poll_fd, 1, b->wait_ms);
		if (rc >= 0 || errno != EINTR)
			break;
		rc = 0;
	}
	rc = rc > 0 ? 0 : rc == 0 ? -ETIMEDOUT : -errno;
	if (!rc)
		rc = channel_recv(b->fd, a, sizeof(*a), &got, NULL);
	if (!rc && (a->kind != r->kind || a->seq != r->seq || a->rc > 0))
		rc = -EBADMSG;
	if (rc) {
		if (!ended_in_start(r, rc))
			give_up(b, request_names[r->kind], rc);
		return rc;
	}
	if (a->rc == 0 && fd) {
		if (got < 0)
			return -EBADMSG;
		*fd = TAKE_FD(got);
	}
	return a->rc;
}

static int ask_fd(struct broker *b, struct request *r)
{
	struct answer a;
	int fd = -1, rc = ask(b, r, &a, &fd);

	return rc ? rc : fd;
}

static int ask_plain(struct broker *b, struct request *r)
{
	struct answer a;

	return ask(b, r, &a, NULL);
}

static bool set_text(struct request *r, struct slice text)
{
	if (text.len >= sizeof(r->text) || memchr(text.ptr, '\0', text.len))
		return false;
	memcpy(r->text, text.ptr, text.len);
	return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

int broker_connect(struct broker **out, int fd, const struct lifeline *line, int wait_ms)
{
	struct broker *b = calloc(1, sizeof(*b));
	struct request r = {.kind = REQUEST_HELLO};
	struct answer a;
	int rc;

	if (!b) {
		close(fd);
		return -ENOMEM;
	}
	b->fd = fd;
	b->line = line;
	b->ring_fd = -1;
	b->wait_ms = wait_ms;
	rc = ask(b, &r, &a, &b->ring_fd);
	if (rc) {
		broker_close(b);
		return rc;
	}
	b->wait_ms = BROKER_ANSWER_MS;
	b->caps = a.hello.caps;
	b->ring_bytes = a.hello.ring_bytes;
	*out = b;
	return 0;
}

void broker_close(struct broker *b)
{
	if (!b)
		return;
	closep(&b->ring_fd);
	closep(&b->fd);
	free(b);
}

bool broker_alive(const struct broker *b)
{
	return b->fd >= 0 && !lifeline_is_cut(b->line);
}

const struct probe_caps *broker_caps(const struct broker *b)
{
	return &b->caps;
}

int broker_ring_fd(const struct broker *b)
{
	return b->ring_fd;
}

uint32_t broker_ring_bytes(const struct broker *b)
{
	return b->ring_bytes;
}

void broker_settle(struct broker *b)
{
	struct request r = {.kind = REQUEST_SETTLE};

	(void)!ask_plain(b, &r);
}

/* ---- the gate -------------------------------------------------------------------------------- */

static int list(struct broker *b, enum request_kind kind, const char *suffix, bool provider)
{
	struct request r = {.kind = kind, .flag = provider};

	return set_text(&r, slice_of(suffix)) ? ask_plain(b, &r) : -ENAMETOOLONG;
}

int broker_list_host(struct broker *b, const char *suffix, bool provider)
{
	return list(b, REQUEST_LIST_HOST, suffix, provider);
}

int broker_list_path(struct broker *b, const char *suffix)
{
	return list(b, REQUEST_LIST_PATH, suffix, false);
}

void broker_settle_hosts(struct broker *b)
{
	struct request r = {.kind = REQUEST_SETTLE_HOSTS};

	(void)!ask_plain(b, &r);
}

int broker_judge(struct broker *b, uint32_t tgid, uint64_t ssl, bool watch)
{
	struct request r = {.kind = REQUEST_JUDGE, .pid = tgid, .ssl = ssl, .flag = watch};

	return ask_plain(b, &r);
}

void broker_forget_process(struct broker *b, uint32_t tgid)
{
	struct request r = {.kind = REQUEST_FORGET_PROCESS, .pid = tgid};

	(void)!ask_plain(b, &r);
}

bool broker_counters(struct broker *b, uint64_t *lost, uint64_t *stats, uint64_t *refused)
{
	struct request r = {.kind = REQUEST_COUNTERS};
	struct answer a;

	if (ask(b, &r, &a, NULL))
		return false;
	memcpy(lost, a.counters.lost, sizeof(a.counters.lost));
	memcpy(stats, a.counters.stats, sizeof(a.counters.stats));
	*refused = a.counters.refused;
	return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

int broker_open_mapping(struct broker *b, const struct broker_mapping *mapping,
			struct file_identity *id)
{
	struct request r = {
		.kind = REQUEST_OPEN_MAPPING,
		.pid = mapping->pid,
		.start = mapping->start,
		.end = mapping->end,
	};
	struct answer a;
	int rc;

	set_text(&r, mapping->path); /* too long a path leaves the mapping itself */
	rc = ask(b, &r, &a, NULL);
	if (!rc)
		*id = a.file.id;
	return rc;
}

int broker_count_known(struct broker *b)
{
	struct request r = {.kind = REQUEST_COUNT_KNOWN};
	struct answer a;
	int rc = ask(b, &r, &a, NULL);

	return rc ? rc : (int)a.count;
}

int broker_open_known(struct broker *b, uint32_t index, struct file_identity *id, char *path)
{
	struct request r = {.kind = REQUEST_OPEN_KNOWN, .index = index};
	struct answer a;
	int rc = ask(b, &r, &a, NULL);

	if (rc)
		return rc;
	*id = a.file.id;
	memcpy(path, a.file.path, sizeof(a.file.path));
	return 0;
}

int broker_decide(struct broker *b, struct slice path, struct decided *out)
{
	struct request r = {.kind = REQUEST_DECIDE};
	struct answer a;
	int rc;

	set_text(&r, path); /* a path that is too long decides nothing */
	rc = ask(b, &r, &a, NULL);
	if (!rc)
		*out = a.decided;
	return rc;
}

int broker_attach(struct broker *b, uint32_t *probes, char *err, size_t err_size)
{
	struct request r = {.kind = REQUEST_ATTACH};
	struct answer a = {0};
	int rc = ask(b, &r, &a, NULL);

	if (rc) {
		snprintf(err, err_size, "%s", a.rc && a.text[0] ? a.text : strerror(-rc));
		return rc;
	}
	*probes = a.attached.probes;
	return a.attached.handle;
}

void broker_detach(struct broker *b, int handle)
{
	struct request r = {.kind = REQUEST_DETACH, .index = (uint32_t)handle};

	(void)!ask_plain(b, &r);
}

bool broker_still_named(struct broker *b, int handle)
{
	struct request r = {.kind = REQUEST_STILL_NAMED, .index = (uint32_t)handle};
	struct answer a;

	return ask(b, &r, &a, NULL) == 0 && a.count;
}

/* ---- processes ------------------------------------------------------------------------------- */

int broker_open_proc(struct broker *b, uint32_t pid, enum proc_file file)
{
	struct request r = {.kind = REQUEST_OPEN_PROC, .pid = pid, .index = file};

	return ask_fd(b, &r);
}

int broker_read_exe(struct broker *b, uint32_t pid, char *path, size_t size)
{
	struct request r = {.kind = REQUEST_READ_EXE, .pid = pid};
	struct answer a;
	int rc = ask(b, &r, &a, NULL);

	if (rc)
		return rc;
	a.text[sizeof(a.text) - 1] = '\0';
	slice_copy(path, size, slice_of(a.text));
	return 0;
}

int broker_open_proc_events(struct broker *b, int cpu)
{
	struct request r = {.kind = REQUEST_OPEN_EVENTS, .index = (uint32_t)cpu};

	return ask_fd(b, &r);
}

int broker_open_setting(struct broker *b, const char *path)
{
	struct request r = {.kind = REQUEST_OPEN_SETTING};

	return set_text(&r, slice_of(path)) ? ask_fd(b, &r) : -ENAMETOOLONG;
}
