/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/counters.h"

struct waiting {
	bool used;
	uint64_t asked_ns;
	struct courier_request request;
};

struct courier_client {
	int fd;	      /* the caller's */
	int epoll_fd; /* holds fd until its other end is gone: that would be readable for ever */
	bool gone;
	uint64_t now_ns;
	uint64_t next_id;
	struct waiting waiting[COURIER_OUTSTANDING_MAX];
	struct listener {
		void (*answered)(void *user, const char *key, const struct courier_answer *answer);
		void *user;
	} listener[COURIER_KINDS];
};

static int watch(struct courier_client *c)
{
	struct epoll_event event = {.events = EPOLLIN};
	int flags = fcntl(c->fd, F_GETFL);

	if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll_fd < 0 || epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		return -errno;
	return 0;
}

int courier_client_new(struct courier_client **out, int fd, uint64_t now_ns)
{
	struct courier_client *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->fd = fd;
	c->epoll_fd = -1;
	c->now_ns = now_ns;
	/* No worker before this one can have counted up to here: it asked less than once a ns. */
	c->next_id = now_ns;
	err = watch(c);
	if (err) {
		courier_client_free(c);
		return err;
	}
	*out = c;
	return 0;
}

void courier_client_free(struct courier_client *c)
{
	if (!c)
		return;
	closep(&c->epoll_fd);
	free(c);
}

void courier_client_listen(struct courier_client *c, enum courier_kind kind,
			   void (*answered)(void *user, const char *key,
					    const struct courier_answer *answer),
			   void *user)
{
	c->listener[kind] = (struct listener){answered, user};
}

/* ---- asking --------------------------------------------------------------------------------- */

static struct waiting *find_key(struct courier_client *c, enum courier_kind kind, struct slice key)
{
	for (size_t i = 0; i < COURIER_OUTSTANDING_MAX; i++) {
		struct waiting *w = &c->waiting[i];

		if (w->used && w->request.kind == kind && slice_eq(slice_of(w->request.key), key))
			return w;
	}
	return NULL;
}

static struct waiting *find_free(struct courier_client *c)
{
	for (size_t i = 0; i < COURIER_OUTSTANDING_MAX; i++) {
		if (!c->waiting[i].used)
			return &c->waiting[i];
	}
	return NULL;
}

int courier_client_ask(struct courier_client *c, enum courier_kind kind, struct slice key)
{
	struct waiting *w = find_key(c, kind, key);
	struct courier_request request;

	if (w)
		return 0;
	if (!courier_request_make(&request, c->next_id, kind, key))
		return -EINVAL;
	w = find_free(c);
	if (c->gone)
		return -EPIPE;
	if (!w)
		return -EBUSY;
	if (send(c->fd, &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return errno == EPIPE || errno == ECONNRESET ? -EPIPE : -EBUSY;
	c->next_id++;
	*w = (struct waiting){.used = true, .asked_ns = c->now_ns, .request = request};
	return 0;
}

/* ---- answers -------------------------------------------------------------------------------- */

/* The place is free before the listener is called: it may ask again. */
static void deliver(struct courier_client *c, struct waiting *w,
		    const struct courier_answer *answer)
{
	struct courier_request request = w->request;
	const struct listener *listener = &c->listener[request.kind];

	w->used = false;
	if (listener->answered)
		listener->answered(listener->user, request.key, answer);
}

static void take_datagram(struct courier_client *c, struct slice datagram)
{
	struct courier_answer answer;

	if (!courier_answer_read(&answer, datagram)) {
		counter_add(COUNTER_COURIER_INVALID, 1);
		return;
	}
	for (size_t i = 0; i < COURIER_OUTSTANDING_MAX; i++) {
		struct waiting *w = &c->waiting[i];

		if (w->used && w->request.id == answer.id && w->request.kind == answer.kind) {
			deliver(c, w, &answer);
			return;
		}
	}
	counter_add(COUNTER_COURIER_STALE, 1);
}

static bool hung_up(const struct courier_client *c)
{
	struct pollfd other = {.fd = c->fd};

	return poll(&other, 1, 0) == 1 && (other.revents & POLLHUP);
}

void courier_client_run(struct courier_client *c)
{
	char datagram[sizeof(struct courier_answer) + 1]; /* one more: a longer one shows */

	for (int i = 0; i < COURIER_ANSWERS_MAX && !c->gone; i++) {
		ssize_t n = recv(c->fd, datagram, sizeof(datagram), MSG_DONTWAIT);

		if (n < 0 && errno != ECONNRESET)
			return;
		if (n <= 0 && hung_up(c)) {
			epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
			c->gone = true;
			return;
		}
		take_datagram(c, (struct slice){datagram, n < 0 ? 0 : (size_t)n});
	}
}

void courier_client_tick(struct courier_client *c, uint64_t now_ns)
{
	c->now_ns = now_ns;
	for (size_t i = 0; i < COURIER_OUTSTANDING_MAX; i++) {
		struct waiting *w = &c->waiting[i];
		struct courier_answer late;

		if (!w->used || now_ns - w->asked_ns < COURIER_PATIENCE_NS)
			continue;
		courier_answer_make(&late, &w->request, COURIER_LATE);
		deliver(c, w, &late);
	}
}

int courier_client_fd(const struct courier_client *c)
{
	return c->epoll_fd;
}

uint64_t courier_client_now_ns(const struct courier_client *c)
{
	return c->now_ns;
}
