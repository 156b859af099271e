/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written by pwrite, not through a mapping: a full disk or a file cut short is then an error code,
 * not a SIGBUS. The record lies in one page, so that a kill leaves the old or the new one.
 */
#include "exporter/inflight.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "exporter/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct inflight {
	int fd;
	pthread_mutex_t lock;
	struct inflight_record record; /* under lock */
	int failing;		       /* under lock: errno of the last write, 0 = it went well */
};

_Static_assert(sizeof(struct inflight_record) <= 4096, "one page");

/* ---- the file ---------------------------------------------------------------------------- */

static bool is_usable(const struct inflight_record *r, ssize_t n)
{
	return n == (ssize_t)sizeof(*r) && !memcmp(r->magic, INFLIGHT_MAGIC, sizeof(r->magic)) &&
	       memchr(r->boot_id, 0, sizeof(r->boot_id));
}

int inflight_open(struct inflight **out, const char *dir, struct inflight_record *last, char *err,
		  size_t err_size)
{
	struct inflight *f;
	int fd = storage_open_file(dir, INFLIGHT_FILE, err, err_size);

	if (fd < 0)
		return fd;
	f = calloc(1, sizeof(*f));
	if (!f) {
		close(fd);
		snprintf(err, err_size, "no memory for %s/%s", dir, INFLIGHT_FILE);
		return -ENOMEM;
	}
	if (!is_usable(last, pread(fd, last, sizeof(*last), 0)))
		memset(last, 0, sizeof(*last));
	f->fd = fd;
	pthread_mutex_init(&f->lock, NULL);
	*out = f;
	return 0;
}

static int put(struct inflight *f)
{
	ssize_t n = pwrite(f->fd, &f->record, sizeof(f->record), 0);
	int err = n == (ssize_t)sizeof(f->record) ? 0 : n < 0 ? errno : ENOSPC;

	if (err && !f->failing)
		log_warn("ledger",
			 "what is in flight is not written down: %s; a crash now would "
			 "lose calls without their number",
			 strerror(err));
	f->failing = err;
	return -err;
}

static uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void beat(struct inflight_record *r, uint64_t age_ns)
{
	r->beat_wall_us = (clock_wall_ns() - (int64_t)age_ns) / 1000;
	r->beat_boot_ns = boot_ns() - age_ns;
}

static void read_boot_id(char *dst, size_t size)
{
	_cleanup_(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, dst, size - 1);

	dst[n < 0 ? 0 : n] = '\0';
	dst[strcspn(dst, "\n")] = '\0';
}

int inflight_new_run(struct inflight_record *now, const struct inflight_owner *owner)
{
	struct inflight_record r = {.magic = INFLIGHT_MAGIC, .owner = *owner};

	if (getrandom(&r.run, sizeof(r.run), 0) != (ssize_t)sizeof(r.run))
		return -EIO;
	r.run = (r.run & INT64_MAX) | 1; /* never 0 */
	read_boot_id(r.boot_id, sizeof(r.boot_id));
	beat(&r, 0);
	*now = r;
	return 0;
}

int inflight_start(struct inflight *f, const struct inflight_record *now)
{
	int r;

	f->record = *now;
	r = put(f);
	return r || fsync(f->fd) == 0 ? r : -errno;
}

void inflight_add(struct inflight *f, enum inflight_count which, uint64_t n)
{
	pthread_mutex_lock(&f->lock);
	f->record.count[which] += n;
	(void)put(f);
	pthread_mutex_unlock(&f->lock);
}

int64_t inflight_run(const struct inflight *f)
{
	return f->record.run;
}

int inflight_error(struct inflight *f)
{
	int err;

	pthread_mutex_lock(&f->lock);
	err = f->failing;
	pthread_mutex_unlock(&f->lock);
	return err;
}

uint64_t inflight_get(struct inflight *f, enum inflight_count which)
{
	uint64_t n;

	pthread_mutex_lock(&f->lock);
	n = f->record.count[which];
	pthread_mutex_unlock(&f->lock);
	return n;
}

void inflight_beat(struct inflight *f, uint64_t age_ns)
{
	pthread_mutex_lock(&f->lock);
	beat(&f->record, age_ns);
	(void)put(f);
	pthread_mutex_unlock(&f->lock);
}

void inflight_close(struct inflight *f, bool clean)
{
	if (!f)
		return;
	if (clean) {
		f->record.clean = 1;
		beat(&f->record, 0);
		if (put(f) == 0)
			(void)fsync(f->fd);
	}
	pthread_mutex_destroy(&f->lock);
	close(f->fd);
	free(f);
}

/* ---- what the last run lost -------------------------------------------------------------- */

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static bool same_owner(const struct inflight_record *last, const struct inflight_record *now)
{
	return !strcmp(last->boot_id, now->boot_id) && last->owner.pid == now->owner.pid &&
	       last->owner.started_ns == now->owner.started_ns;
}

static enum loss_reason reason_of(const struct inflight_record *last,
				  const struct inflight_ledger *ledger,
				  const struct inflight_record *now)
{
	if (last->count[INFLIGHT_SETTLED] > ledger->settled)
		return LOSS_DAMAGED;
	if (last->clean)
		return LOSS_NOT_WRITTEN;
	if (strcmp(last->boot_id, now->boot_id) != 0)
		return LOSS_HOST_CRASH;
	return same_owner(last, now) ? LOSS_WORKER_CRASH : LOSS_AGENT_CRASH;
}

/* From the last sign of life on; under a restarted worker the probes and the ring went on. */
static uint64_t unmetered_seconds(const struct inflight_record *last,
				  const struct inflight_record *now)
{
	uint64_t ns = above(now->beat_boot_ns, last->beat_boot_ns);

	if (last->clean || same_owner(last, now))
		return 0;
	if (strcmp(last->boot_id, now->boot_id) != 0)
		ns = now->beat_wall_us > last->beat_wall_us
			     ? (uint64_t)(now->beat_wall_us - last->beat_wall_us) * NSEC_PER_USEC
			     : 0;
	return (ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
}

void inflight_take_over(struct inflight_record *now, const struct inflight_record *last)
{
	if (last->clean || !same_owner(last, now))
		return;
	now->beat_wall_us = last->beat_wall_us;
	now->beat_boot_ns = last->beat_boot_ns;
}

bool inflight_loss(const struct inflight_record *last, const struct inflight_ledger *ledger,
		   const struct inflight_record *now, struct loss *loss)
{
	const uint64_t *n = last->count;
	struct loss l = {.since_us = last->beat_wall_us, .at_us = now->beat_wall_us};

	if (!last->run || last->run == ledger->previous_run)
		return false; /* nothing is known, or it is accounted for already */
	if (last->run != ledger->run) {
		l.reason = LOSS_REPLACED;
	} else {
		l.reason = reason_of(last, ledger, now);
		l.rows = above(n[INFLIGHT_ACCEPTED], ledger->settled) +
			 above(n[INFLIGHT_DROPPED], ledger->dropped);
		l.calls = l.rows +
			  above(n[INFLIGHT_BEGUN],
				n[INFLIGHT_IGNORED] + n[INFLIGHT_ACCEPTED] + n[INFLIGHT_DROPPED]);
		l.unmetered_seconds = unmetered_seconds(last, now);
	}
	if ((l.reason == LOSS_REPLACED || l.reason == LOSS_DAMAGED) && ledger->newest_us)
		l.since_us = ledger->newest_us; /* what came after it is missing */
	if (l.since_us > l.at_us)		/* the clock was set back meanwhile */
		l.since_us = l.at_us;
	*loss = l;
	return l.reason == LOSS_REPLACED || l.calls || l.unmetered_seconds;
}
