/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/courier.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/courier/containers.h"
#include "agent/courier/libcurl.h"

#define IDLE_MS 60000 /* nothing is due by itself: transfers have their own clock */

struct courier {
	int channel_fd; /* the caller's */
	int signal_fd;
	bool stop;
	struct fetcher *fetcher;
	struct kubelet *kubelet; /* NULL: none is asked */
	struct containers *containers;
};

/* A worker that does not read loses its answers, not our time: it counts them as late. */
static void send_answer(void *user, const struct courier_answer *answer)
{
	struct courier *c = user;

	if (send(c->channel_fd, answer, sizeof(*answer), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warn("courier", "an answer is lost: %s", strerror(errno));
}

static bool containers_may_start(const struct courier *c)
{
	return !c->containers || containers_ready(c->containers);
}

static void containers_start(struct courier *c, const struct courier_request *request)
{
	struct courier_answer answer;

	if (c->containers) {
		containers_look_up(c->containers, request, clock_mono_ns());
		return;
	}
	courier_answer_make(&answer, request, COURIER_FAILED);
	send_answer(c, &answer);
}

/* What each kind of request does here. */
static const struct {
	bool (*may_start)(const struct courier *c);
	void (*start)(struct courier *c, const struct courier_request *request);
} kinds[COURIER_KINDS] = {
	[COURIER_CONTAINER] = {containers_may_start, containers_start},
};

/* ---- the channel ---------------------------------------------------------------------------- */

/* Requests are read only while any kind of them can be started: the rest waits in the socket. */
static bool may_read(const struct courier *c)
{
	for (size_t i = 0; i < COURIER_KINDS; i++) {
		if (!kinds[i].may_start(c))
			return false;
	}
	return true;
}

static void read_requests(struct courier *c)
{
	char datagram[sizeof(struct courier_request) + 1]; /* one more: a longer one shows */
	struct courier_request request;

	while (!c->stop && may_read(c)) {
		ssize_t n = recv(c->channel_fd, datagram, sizeof(datagram), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) /* nobody sends empty ones: the other end is closed */
			c->stop = true;
		else if (courier_request_read(&request, (struct slice){datagram, (size_t)n}))
			kinds[request.kind].start(c, &request);
		else
			log_error("courier", "a request of the worker is none and is dropped");
	}
}

/* ---- the process ---------------------------------------------------------------------------- */

static void read_signals(struct courier *c)
{
	struct signalfd_siginfo info;

	while (read(c->signal_fd, &info, sizeof(info)) == sizeof(info))
		c->stop = true;
}

static int open_signals(void)
{
	sigset_t set;
	int fd;

	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* How long nothing is due, in ms. */
static int run_kubelet(struct courier *c)
{
	uint64_t now_ns = clock_mono_ns();

	if (!c->kubelet)
		return IDLE_MS;
	kubelet_run(c->kubelet, now_ns);
	return kubelet_due_ms(c->kubelet, now_ns, IDLE_MS);
}

/* Until something is readable or a transfer moves. */
static int wait_any(struct courier *c)
{
	const int fds[] = {c->signal_fd, c->channel_fd};
	struct pollfd polled[] = {{.fd = fds[0], .events = POLLIN},
				  {.fd = fds[1], .events = POLLIN}};

	if (c->fetcher)
		return fetcher_run(c->fetcher, fds, may_read(c) ? 2 : 1, run_kubelet(c));
	return poll(polled, ARRAY_LEN(polled), IDLE_MS) < 0 && errno != EINTR ? -errno : 0;
}

/* A kernel that grants less lets answers be lost, which is logged. */
static void make_room(const struct courier *c)
{
	const int bytes = COURIER_SEND_BYTES;

	(void)setsockopt(c->channel_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int serve(struct courier *c)
{
	while (!c->stop) {
		int rc = wait_any(c);

		if (rc)
			return rc;
		read_signals(c);
		read_requests(c);
	}
	return 0;
}

int courier_prepare(char *err, size_t err_size)
{
	return libcurl_load(err, err_size);
}

static int open_kubelet(struct courier *c, const struct courier_opts *opts)
{
	struct kubelet_opts kubelet = opts->kubelet;

	kubelet.rules = opts->labels;
	return kubelet.url ? kubelet_new(&c->kubelet, c->fetcher, &kubelet) : 0;
}

static int open_containers(struct courier *c, const struct courier_opts *opts)
{
	const struct containers_opts containers = {
		.sockets = opts->container_sockets,
		.socket_count = opts->container_socket_count,
		.rules = opts->labels,
		.kubelet = c->kubelet,
	};

	return containers_new(&c->containers, c->fetcher, &containers, send_answer, c);
}

/* What needs libcurl; without it the process lives on and says of each request that it failed. */
static int open_sources(struct courier *c, const struct courier_opts *opts)
{
	int rc = 0;

	if (!libcurl_loaded())
		return 0;
	rc = fetcher_new(&c->fetcher);
	if (!rc)
		rc = open_kubelet(c, opts);
	return rc ? rc : open_containers(c, opts);
}

int courier_run(int channel_fd, const struct courier_opts *opts)
{
	struct courier c = {.channel_fd = channel_fd, .signal_fd = -1};
	int rc;

	make_room(&c);
	c.signal_fd = open_signals();
	rc = c.signal_fd < 0 ? c.signal_fd : open_sources(&c, opts);
	if (!rc)
		rc = serve(&c);
	if (rc)
		log_error("courier", "cannot go on: %s", strerror(-rc));
	containers_free(c.containers);
	kubelet_free(c.kubelet);
	fetcher_free(c.fetcher);
	closep(&c.signal_fd);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
