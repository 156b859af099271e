/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/capture.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/counters.h"
#include "agent/capture/ring.h"
#include "bpf/events.h"

/* ---- one record ------------------------------------------------------------------------------ */

static struct conn_id conn_id_of(const struct tt_rec_head *head)
{
	return (struct conn_id){
		.ssl = head->ssl,
		.start_boot_ns = head->start_boot_ns,
		.tgid = head->tgid,
		.generation = head->generation,
	};
}

_Static_assert(CONN_CGROUP_LEVELS == TT_CGROUP_LEVELS && CONN_CGROUP_NAME == TT_CGROUP_NAME,
	       "names of cgroups are handed on as they come");

static bool has_end(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool cgroup_valid(const struct tt_rec_open *rec)
{
	for (size_t i = 0; i < TT_CGROUP_LEVELS && rec->cgroup[i][0]; i++) {
		if (!has_end(rec->cgroup[i], TT_CGROUP_NAME))
			return false;
	}
	return true;
}

static bool open_valid(const struct tt_rec_open *rec, size_t size)
{
	return size == sizeof(*rec) && rec->env_len <= TT_ENV_MAX &&
	       has_end(rec->comm, sizeof(rec->comm)) && has_end(rec->host, sizeof(rec->host)) &&
	       cgroup_valid(rec);
}

static bool data_valid(const struct tt_rec_data *rec, size_t size)
{
	bool cut;

	if (size < sizeof(*rec))
		return false;
	cut = rec->flags & (TT_F_CUT | TT_F_COPY_FAILED);
	return rec->len <= size - sizeof(*rec) && rec->len <= TT_PIECE_MAX && rec->dir < TT_DIRS &&
	       rec->want > 0 && (cut ? rec->len <= rec->want : rec->len == rec->want) &&
	       rec->want <= rec->call_len && rec->offset <= UINT64_MAX - rec->want;
}

static bool record_valid(const void *record, size_t size)
{
	const struct tt_rec_head *head = record;

	if (size < sizeof(*head) || head->size != size || head->verdict >= TT_VERDICTS)
		return false;
	switch (head->type) {
	case TT_REC_OPEN:
		return open_valid(record, size);
	case TT_REC_DATA:
		return data_valid(record, size);
	case TT_REC_CLOSE:
		return size == sizeof(*head);
	default:
		return false;
	}
}

static void deliver_open(const struct capture_ops *ops, void *user, const struct tt_rec_open *rec)
{
	struct conn_open open = {
		.conn = conn_id_of(&rec->head),
		.now_ns = rec->head.now_ns,
		.cgroup = rec->cgroup,
		.uid = rec->uid,
		.comm = rec->comm,
		.host = rec->host,
		.env = {(const char *)rec->env, rec->env_len},
	};

	ops->opened(user, &open);
}

static void deliver_data(const struct capture_ops *ops, void *user, const struct tt_rec_data *rec)
{
	struct chunk chunk = {
		.conn = conn_id_of(&rec->head),
		.dir = rec->dir == TT_WRITE ? CHUNK_WRITE : CHUNK_READ,
		.offset = rec->offset,
		.entry_ns = rec->entry_ns,
		.now_ns = rec->head.now_ns,
		.data = {(const char *)rec->data, rec->len},
		.want = rec->want,
		.candidate = rec->head.verdict == TT_CANDIDATE,
		.gap_before = rec->flags & TT_F_GAP_BEFORE,
	};

	ops->chunk(user, &chunk);
}

bool capture_dispatch(const struct capture_ops *ops, void *user, const void *record, size_t size)
{
	const struct tt_rec_head *head = record;
	struct conn_id id;

	if (!record_valid(record, size)) {
		counter_add(COUNTER_LOST_INVALID, 1);
		return false;
	}
	switch (head->type) {
	case TT_REC_OPEN:
		deliver_open(ops, user, record);
		break;
	case TT_REC_DATA:
		deliver_data(ops, user, record);
		break;
	default:
		id = conn_id_of(head);
		ops->may_end(user, &id, head->now_ns);
		break;
	}
	return true;
}

/* ---- the ring -------------------------------------------------------------------------------- */

#define DRAIN_AT_ONCE 32 /* records between two looks at the clock */

struct capture {
	const struct capture_ops *ops;
	void *user;
	struct ring ring;
	int epoll_fd;
	int timer_fd;
};

/* The data is mapped read-only, and a submitted record no longer changes. */
static void on_record(void *user, const void *data, size_t size)
{
	struct capture *c = user;

	capture_dispatch(c->ops, c->user, data, size);
}

static int watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* Small records do not wake the reader, so it looks by itself this often. */
#define POLL_NS (100 * NSEC_PER_MSEC)

static int open_poll(struct capture *c, int ring_fd)
{
	struct itimerspec every = {.it_interval.tv_nsec = POLL_NS, .it_value.tv_nsec = POLL_NS};
	int rc;

	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->epoll_fd < 0 || c->timer_fd < 0 || timerfd_settime(c->timer_fd, 0, &every, NULL))
		return -errno;
	rc = watch(c->epoll_fd, c->timer_fd);
	return rc ? rc : watch(c->epoll_fd, ring_fd);
}

int capture_new(struct capture **out, int ring_fd, size_t ring_bytes, const struct capture_ops *ops,
		void *user)
{
	struct capture *c = malloc(sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	*c = (struct capture){.ops = ops, .user = user, .epoll_fd = -1, .timer_fd = -1};
	rc = ring_open(&c->ring, ring_fd, ring_bytes);
	if (!rc)
		rc = open_poll(c, ring_fd);
	if (rc) {
		capture_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	ring_close(&c->ring);
	closep(&c->epoll_fd);
	closep(&c->timer_fd);
	free(c);
}

int capture_fd(const struct capture *c)
{
	return c->epoll_fd;
}

/* Returns how many it delivered; DRAIN_AT_ONCE when more may wait. */
static size_t drain_some(struct capture *c)
{
	bool torn;
	size_t taken = ring_consume(&c->ring, DRAIN_AT_ONCE, on_record, c, &torn);

	if (torn)
		counter_add(COUNTER_LOST_INVALID, 1);
	return taken;
}

bool capture_drain(struct capture *c)
{
	uint64_t ticks, end_ns = clock_mono_ns() + CAPTURE_DRAIN_NS;
	uint64_t end = ring_end(&c->ring);
	size_t all = 0, taken;

	if (read(c->timer_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		return false;
	do {
		taken = drain_some(c);
		all += taken;
	} while (taken == DRAIN_AT_ONCE && all < CAPTURE_DRAIN_MAX && clock_mono_ns() < end_ns);
	return !ring_reached(&c->ring, end);
}

bool capture_drain_all(struct capture *c)
{
	uint64_t end = ring_end(&c->ring);

	while (!ring_reached(&c->ring, end) && drain_some(c) == DRAIN_AT_ONCE)
		;
	return ring_reached(&c->ring, end);
}
