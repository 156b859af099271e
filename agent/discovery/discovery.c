/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/parts.h"

#include "agent/base/clock.h"
#include "agent/base/counters.h"
#include "agent/base/log.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SCAN_PIDS_PER_TICK 512
#define EXIT_RECHECK_NS	   (20 * NSEC_PER_MSEC)
#define TURN_NS		   (250 * NSEC_PER_MSEC) /* then the caller's other work has its turn */

static void turn_begin(struct discovery *d)
{
	d->turn_end_ns = clock_mono_ns() + TURN_NS;
}

bool turn_over(const struct discovery *d)
{
	return clock_mono_ns() >= d->turn_end_ns;
}

static void run_again(struct discovery *d, uint64_t in_ns)
{
	const struct itimerspec soon = {.it_value = {.tv_nsec = (long)in_ns}};

	timerfd_settime(d->again_timer, 0, &soon, NULL);
}

/* ---- events --------------------------------------------------------------------------------- */

/* The first executable mapping after an exec is the program's own. */
static void note_program(struct discovery *d, const struct proc_event *e)
{
	uint32_t *pending = &d->exec_pending[e->pid % EXECS_PENDING];

	if (*pending != e->pid)
		return;
	*pending = 0;
	/* "//toolong" and the like are the kernel's words for no path. */
	if (d->ops->program_started && !slice_starts(e->name, SLICE("//")))
		d->ops->program_started(d->user, e->pid, path_without_deleted(e->name));
}

static void on_mapped(struct discovery *d, const struct proc_event *e)
{
	struct mapped m = {
		.pid = e->pid,
		.start = e->start,
		.end = e->end,
		.path = e->name,
		.key = {.inode = e->inode,
			.generation = e->generation,
			.major = e->major,
			.minor = e->minor},
	};
	struct tls_file *file;

	note_program(d, e);
	file = attach_file_of(d, &m);
	if (file)
		track_link(d, e->pid, file);
}

/* Another program in a known process: its mappings are what counts, in whatever order events come.
 */
static void on_exec(struct discovery *d, const struct proc_event *e)
{
	struct process *process = processes_find(&d->processes, e->pid);
	size_t at = 0;
	int rc;

	d->exec_pending[e->pid % EXECS_PENDING] = e->pid;
	if (!process)
		return;
	process->leader_exited = false;
	process_unlink_all(process);
	rc = track_mappings(d, e->pid, &at);
	if (process_is_gone(rc))
		process->leader_exited = d->exits = true; /* its exit may be over, too */
	else if (rc)
		d->rescan = true;
	else if (process->file_count == 0)
		processes_remove(&d->processes, process);
}

static void on_renamed(struct discovery *d, const struct proc_event *e)
{
	struct process *process = processes_find(&d->processes, e->pid);

	if (process && e->tid == e->pid)
		slice_copy(process->comm, sizeof(process->comm), e->name);
}

/* The child maps what its parent maps, without a mapping event of its own. */
static void on_forked(struct discovery *d, const struct proc_event *e)
{
	struct process *parent = processes_find(&d->processes, e->parent);

	if (d->ops->program_started)
		d->ops->program_started(d->user, e->pid, SLICE(""));
	for (uint32_t i = 0; parent && i < parent->file_count; i++)
		track_link(d, e->pid, parent->files[i]);
}

static void on_exited(struct discovery *d, const struct proc_event *e)
{
	struct process *process = processes_find(&d->processes, e->pid);

	if (!process)
		return;
	process->leader_exited |= e->tid == e->pid;
	d->exits |= process->leader_exited;
}

static void on_lost(struct discovery *d, const struct proc_event *e)
{
	counter_add(COUNTER_LOST_PROC_EVENTS, e->lost);
	d->rescan = true;
}

static bool on_event(void *user, const struct proc_event *e)
{
	static void (*const handlers[])(struct discovery * d, const struct proc_event *e) = {
		[PROC_EVENT_MAPPED] = on_mapped,   [PROC_EVENT_EXEC] = on_exec,
		[PROC_EVENT_RENAMED] = on_renamed, [PROC_EVENT_FORKED] = on_forked,
		[PROC_EVENT_EXITED] = on_exited,   [PROC_EVENT_LOST] = on_lost,
	};

	handlers[e->type](user, e);
	return !turn_over(user);
}

void discovery_note(struct discovery *d, uint32_t pid)
{
	struct process *process = processes_find(&d->processes, pid);

	if (process)
		return;
	process = track_process(d, pid);
	if (!process)
		return;
	/* Its exit event may be over: it is asked for from now on. */
	process->leader_exited = true;
	d->exits = true;
}

/* True when some are left whose leader ended before their other threads did. */
static bool recheck_exits(struct discovery *d)
{
	bool left = false;

	for (size_t b = 0; b < PROCESS_BUCKETS; b++) {
		for (struct process *p = d->processes.bucket[b], *next; p; p = next) {
			next = p->next;
			if (p->leader_exited && track_ended(d, p->pid))
				track_gone(d, p);
			else
				left |= p->leader_exited;
		}
	}
	return left;
}

/*
 * All rings, whatever epoll says: a perf event reports itself readable once only, and the caller's
 * epoll asks before this one does. Exits come last: they make the caller read its records, and what
 * another CPU told of those processes must be known by then.
 */
static void drain_events(struct discovery *d)
{
	for (size_t i = 0; i < d->ring_count; i++) {
		struct proc_ring *ring = &d->rings[d->ring_at++ % d->ring_count];

		if (!proc_ring_drain(ring, on_event, d)) {
			run_again(d, 1);
			return;
		}
	}
	if (!d->exits)
		return;
	d->exits = false;
	/* The last thread is still counted while its exit is told. */
	if (recheck_exits(d))
		run_again(d, EXIT_RECHECK_NS);
}

/* ---- scan -------------------------------------------------------------------------------------
 */

int discovery_scan(struct discovery *d)
{
	int err = scan_begin(d);

	if (err)
		return err;
	d->turn_end_ns = UINT64_MAX;
	scan_some(d, SIZE_MAX);
	drain_events(d);
	return 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

static int open_ring(struct discovery *d, int cpu)
{
	struct epoll_event event = {.events = EPOLLIN};
	_cleanup_(closep) int fd = broker_open_proc_events(d->broker, cpu);
	int err;

	if (fd < 0)
		return fd;
	err = proc_ring_open(&d->rings[d->ring_count], fd);
	if (err)
		return err;
	if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		err = -errno;
		proc_ring_close(&d->rings[d->ring_count]);
		return err;
	}
	d->event_fds[d->ring_count++] = TAKE_FD(fd);
	return 0;
}

/* One ring per CPU. Without any, new programs are found by a scan each second. */
static int open_rings(struct discovery *d)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int err = 0;

	if (cpus < 1)
		return -EINVAL;
	d->rings = calloc((size_t)cpus, sizeof(*d->rings));
	d->event_fds = calloc((size_t)cpus, sizeof(*d->event_fds));
	if (!d->rings || !d->event_fds)
		return -ENOMEM;
	for (int cpu = 0; cpu < cpus; cpu++) {
		int failed = open_ring(d, cpu);

		if (failed && failed != -ENODEV) /* an offline CPU has no events */
			err = failed;
	}
	if (err)
		log_warn(LOG, "process events: %zu of %ld CPUs (%s); short programs may be missed",
			 d->ring_count, cpus, strerror(-err));
	return 0;
}

static int open_epoll(struct discovery *d)
{
	struct epoll_event event = {.events = EPOLLIN};

	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll_fd < 0)
		return -errno;
	d->again_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->again_timer < 0 ||
	    epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->again_timer, &event) != 0)
		return -errno;
	return 0;
}

int discovery_new(struct discovery **out, struct broker *broker, const struct discovery_ops *ops,
		  void *user)
{
	struct discovery *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->now_ns = clock_mono_ns();
	d->broker = broker;
	d->ops = ops;
	d->user = user;
	d->self = (uint32_t)getpid();
	if (broker_read_exe(broker, d->self, d->self_exe, sizeof(d->self_exe)) != 0)
		d->self_exe[0] = '\0';
	d->pids = malloc(SCAN_PIDS_MAX * sizeof(*d->pids));
	d->again_timer = -1;
	err = open_epoll(d);
	if (!err)
		err = d->pids ? open_rings(d) : -ENOMEM;
	if (err) {
		discovery_free(d);
		return err;
	}
	*out = d;
	return 0;
}

void discovery_free(struct discovery *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->ring_count; i++) {
		proc_ring_close(&d->rings[i]);
		close(d->event_fds[i]);
	}
	closep(&d->again_timer);
	closep(&d->epoll_fd);
	processes_free(&d->processes);
	files_free(&d->files);
	free(d->rings);
	free(d->event_fds);
	free(d->pids);
	free(d);
}

int discovery_fd(const struct discovery *d)
{
	return d->epoll_fd;
}

void discovery_run(struct discovery *d)
{
	struct epoll_event events[16];
	uint64_t expirations;
	bool again;

	while (epoll_wait(d->epoll_fd, events, ARRAY_LEN(events), 0) == (int)ARRAY_LEN(events))
		;
	again = read(d->again_timer, &expirations, sizeof(expirations)) > 0;
	turn_begin(d);
	drain_events(d);
	if (again && !turn_over(d))
		recheck_exits(d);
}

void discovery_tick(struct discovery *d, uint64_t now_ns)
{
	int err = 0;

	d->now_ns = now_ns;
	turn_begin(d);
	drain_events(d);
	recheck_exits(d);
	if (d->pid_at == d->pid_count && (d->rescan || now_ns >= d->next_scan_ns))
		err = scan_begin(d);
	if (err)
		log_error(LOG, "/proc cannot be listed: %s", strerror(-err));
	turn_begin(d);
	scan_some(d, SCAN_PIDS_PER_TICK);
}
