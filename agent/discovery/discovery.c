/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/discovery.h"

#include "agent/base/counters.h"
#include "agent/base/log.h"
#include "agent/base/procfs.h"
#include "agent/discovery/decide.h"
#include "agent/discovery/files.h"
#include "agent/discovery/processes.h"
#include "agent/discovery/procevents.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LOG "discovery"

#define SCAN_PIDS_MAX	   131072
#define SCAN_PIDS_PER_TICK 512
#define IDLE_CYCLES	   2   /* scan cycles an unused file whose path is gone stays attached */
#define PRIME_MATCHES_MAX  256 /* files one pattern may name */
#define EXIT_RECHECK_NS	   (20 * NSEC_PER_MSEC)
#define EXECS_PENDING	   1024 /* execs whose first mapping is awaited, by pid */

/* Where TLS libraries and programs that carry one usually are. */
static const char *const well_known[] = {
	"/usr/lib/*-linux-gnu/libssl.so.[13]*",
	"/lib/*-linux-gnu/libssl.so.[13]*",
	"/usr/lib64/libssl.so.[13]*",
	"/usr/lib/libssl.so.[13]*",
	"/lib/libssl.so.[13]*",
	"/usr/local/lib/libssl.so.[13]*",
	"/usr/local/lib64/libssl.so.[13]*",
	"/usr/local/ssl/lib*/libssl.so.[13]*",
	"/opt/*/lib/libssl.so.[13]*",
	"/usr/bin/node",
	"/usr/local/bin/node",
	"/opt/*/bin/node",
	"/opt/hostedtoolcache/node/*/*/bin/node",
	"/root/.nvm/versions/node/*/bin/node",
	"/home/*/.nvm/versions/node/*/bin/node",
};

struct discovery {
	struct broker *broker;
	const struct discovery_ops *ops;
	void *user;
	uint32_t self;
	char self_exe[FILE_PATH_MAX]; /* this program's other processes are not listed */
	uint64_t now_ns;	      /* of the last tick */

	struct files files;
	struct processes processes;
	struct seen seen;

	uint32_t exec_pending[EXECS_PENDING];

	int epoll_fd;
	int exit_timer; /* runs when threads of a process outlived its leader a moment ago */
	int *event_fds;
	struct proc_ring *rings;
	size_t ring_count;

	uint32_t cycle;
	uint64_t next_scan_ns;
	bool exits;  /* the leader of a listed process ended */
	bool rescan; /* events were lost: do not wait for next_scan_ns */
	uint32_t *pids;
	size_t pid_count, pid_at;
	bool pids_complete;
};

/* A file as one process maps it. */
struct mapped {
	uint32_t pid;
	uint64_t start, end;
	struct seen_key key;
	struct slice path;
};

static uint32_t now_s(const struct discovery *d)
{
	return (uint32_t)(d->now_ns / NSEC_PER_SEC);
}

/* ---- files --------------------------------------------------------------------------------- */

/* Detaches and forgets a file. */
static void drop_file(struct discovery *d, struct tls_file *file)
{
	if (file->handle >= 0) {
		broker_detach(d->broker, file->handle);
		log_info(LOG, "%s: unused, probes detached", file->path);
	}
	processes_unlink(&d->processes, file);
	seen_forget(&d->seen, file);
	files_remove(&d->files, file);
}

static void attach(struct discovery *d, int fd, const struct probe_sites *sites,
		   struct tls_file *file)
{
	char err[BROKER_ERROR_MAX] = "";

	file->handle = broker_attach(d->broker, fd, sites, err, sizeof(err));
	if (file->handle < 0) {
		file->handle = -1;
		file->state = FILE_FAILED;
		slice_copy(file->reason, sizeof(file->reason), slice_of(err));
		log_warn(LOG, "%s: not attached: %s", file->path, err);
		return;
	}
	file->state = FILE_ATTACHED;
	file->probes = (uint32_t)broker_probe_count(d->broker, file->handle);
	file->site_class = sites_class(sites);
	log_info(LOG, "%s: %u probes attached, on %s instructions", file->path, file->probes,
		 site_class_names[file->site_class]);
}

/* A TLS file seen for the first time: attached, or refused with its reason. NULL: no room. */
static struct tls_file *new_file(struct discovery *d, int fd, const struct file_identity *id,
				 struct slice path, const struct probe_sites *sites,
				 const char *refusal)
{
	struct tls_file *file = files_add(&d->files);

	if (!file) {
		counter_add(COUNTER_DISCOVERY_FILES_FULL, 1);
		log_warn(LOG, "%.*s: not attached: %d TLS files are already known", SLICE_FMT(path),
			 DISCOVERY_FILES_MAX);
		return NULL;
	}
	file->id = *id;
	slice_copy(file->path, sizeof(file->path), path_without_deleted(path));
	if (refusal) {
		file->state = FILE_REFUSED;
		slice_copy(file->reason, sizeof(file->reason), slice_of(refusal));
		log_info(LOG, "%s: TLS that cannot be read: %s", file->path, refusal);
	} else {
		file->executable = sites->executable;
		slice_copy(file->build_id, sizeof(file->build_id), slice_of(sites->build_id));
		attach(d, fd, sites, file);
	}
	return file;
}

/* Decides about an inode not decided before. NULL: nothing to do with TLS. */
static struct tls_file *decide_new(struct discovery *d, int fd, const struct file_identity *id,
				   struct slice path)
{
	bool want_returns = broker_caps(d->broker)->returns == RETURN_SITES;
	const char *reason = NULL;
	struct probe_sites sites;
	struct tls_file *lower;

	switch (decide_file(fd, path, want_returns, &sites, &reason)) {
	case DECISION_PROBE:
		lower = files_find_lower(&d->files, id, sites.build_id);
		return lower ? lower : new_file(d, fd, id, path, &sites, NULL);
	case DECISION_BLIND:
		lower = files_find_refused_lower(&d->files, id);
		return lower ? lower : new_file(d, fd, id, path, &sites, reason);
	case DECISION_NOT_TLS:
		break;
	}
	return NULL;
}

/* The TLS file behind fd, or NULL. An inode with other bytes than before is decided again. */
static struct tls_file *file_of_fd(struct discovery *d, int fd, struct slice path,
				   struct file_identity *id)
{
	struct seen_key key = {
		.inode = id->inode,
		.major = major(id->device),
		.minor = minor(id->device),
	};
	struct tls_file *file = files_find(&d->files, id);

	if (file && file_same(&file->id, id))
		return file;
	if (file)
		drop_file(d, file);
	if (!seen_same(&d->seen, &key, file_stamp(id), &file))
		file = decide_new(d, fd, id, path);
	seen_put(&d->seen, &key, file_stamp(id), now_s(d), file);
	return file;
}

/* By its path, when the process that mapped it is gone: only if it is still that very inode. */
static int open_by_path(const struct mapped *m)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	if (m->path.len == 0 || m->path.ptr[0] != '/' || !slice_copy(path, sizeof(path), m->path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_ino == m->key.inode &&
	    st.st_dev == makedev(m->key.major, m->key.minor))
		return fd;
	close(fd);
	return -ESTALE;
}

/* The TLS file behind a mapping, or NULL. */
static struct tls_file *file_of(struct discovery *d, const struct mapped *m)
{
	_cleanup_(closep) int fd = -1;
	struct file_identity id;
	struct tls_file *file;

	if (seen_get(&d->seen, &m->key, now_s(d), &file))
		return file;
	fd = broker_open_mapping(d->broker, m->pid, m->start, m->end);
	if (fd < 0)
		fd = open_by_path(m);
	if (fd < 0 || file_identify(fd, &id) != 0)
		return NULL;
	file = file_of_fd(d, fd, m->path, &id);
	/* Another number means an overlay's own, or that the mapping was replaced: not cached. */
	if (id.inode == m->key.inode)
		seen_put(&d->seen, &m->key, file_stamp(&id), now_s(d), file);
	return file;
}

/* ---- processes ------------------------------------------------------------------------------ */

static int read_stat(struct discovery *d, uint32_t pid, struct proc_stat *out)
{
	_cleanup_(closep) int fd = broker_open_proc(d->broker, pid, PROC_STAT);
	char text[1024];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = proc_read(fd, text, sizeof(text));
	if (n < 0)
		return (int)n;
	return proc_stat_parse((struct slice){text, (size_t)n}, out) ? 0 : -EINVAL;
}

static void read_facts(struct discovery *d, struct process *process)
{
	char exe[FILE_PATH_MAX];
	struct proc_stat stat;

	if (read_stat(d, process->pid, &stat) == 0)
		slice_copy(process->comm, sizeof(process->comm), slice_of(stat.comm));
	if (broker_read_exe(d->broker, process->pid, exe, sizeof(exe)) == 0)
		slice_copy(process->exe, sizeof(process->exe), path_without_deleted(slice_of(exe)));
}

static struct process *process_of(struct discovery *d, uint32_t pid)
{
	struct process *process = processes_find(&d->processes, pid);

	if (process)
		return process;
	process = processes_add(&d->processes, pid);
	if (!process) {
		counter_add(COUNTER_DISCOVERY_PROCESSES_FULL, 1);
		log_warn(LOG, "process %u is metered but not listed: %d processes are", pid,
			 DISCOVERY_PROCESSES_MAX);
		return NULL;
	}
	process->cycle = d->cycle;
	return process;
}

static void link_file(struct discovery *d, uint32_t pid, struct tls_file *file)
{
	struct process *process = pid == d->self ? NULL : process_of(d, pid);
	bool known, readable;

	if (!process)
		return;
	known = process->file_count > 0;
	readable = process_readable(process);
	if (!process_link(process, file))
		return;
	if (!known)
		read_facts(d, process);
	if (!readable && file->state == FILE_ATTACHED && d->ops->process_started)
		d->ops->process_started(d->user, pid);
}

/* Links what a process maps now. */
static void scan_process(struct discovery *d, uint32_t pid)
{
	_cleanup_(closep) int fd = broker_open_proc(d->broker, pid, PROC_MAPS);
	struct proc_mapping mapping;
	struct proc_lines lines;
	struct process *process;
	uint64_t last_inode = 0;
	struct slice line;

	if (fd < 0)
		return;
	proc_lines_init(&lines, fd);
	while (proc_lines_next(&lines, &line)) {
		struct mapped m = {.pid = pid};
		struct tls_file *file;

		if (!proc_mapping_parse(line, &mapping) || !mapping.exec || mapping.inode == 0 ||
		    mapping.inode == last_inode)
			continue;
		last_inode = mapping.inode;
		m.start = mapping.start;
		m.end = mapping.end;
		m.path = mapping.path;
		m.key = (struct seen_key){
			.inode = mapping.inode, .major = mapping.major, .minor = mapping.minor};
		file = file_of(d, &m);
		if (!file)
			continue;
		file->deleted |= slice_ends(mapping.path, SLICE(" (deleted)"));
		link_file(d, pid, file);
	}
	process = processes_find(&d->processes, pid);
	if (process)
		process->cycle = d->cycle;
}

/* True when no thread is left that could run the program. */
static bool process_ended(struct discovery *d, uint32_t pid)
{
	struct proc_stat stat;

	return read_stat(d, pid, &stat) != 0 || (stat.threads <= 1 && stat.memory_bytes == 0);
}

static void process_gone(struct discovery *d, struct process *process)
{
	uint32_t pid = process->pid;

	processes_remove(&d->processes, process);
	if (d->ops->process_exited)
		d->ops->process_exited(d->user, pid);
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
	file = file_of(d, &m);
	if (file)
		link_file(d, e->pid, file);
}

/* Another program in a known process: its mappings are what counts, in whatever order events come.
 */
static void on_exec(struct discovery *d, const struct proc_event *e)
{
	struct process *process = processes_find(&d->processes, e->pid);

	d->exec_pending[e->pid % EXECS_PENDING] = e->pid;
	if (!process)
		return;
	process->leader_exited = false;
	process_unlink_all(process);
	scan_process(d, e->pid);
	if (process->file_count == 0)
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
		link_file(d, e->pid, parent->files[i]);
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

static void on_event(void *user, const struct proc_event *e)
{
	static void (*const handlers[])(struct discovery * d, const struct proc_event *e) = {
		[PROC_EVENT_MAPPED] = on_mapped,   [PROC_EVENT_EXEC] = on_exec,
		[PROC_EVENT_RENAMED] = on_renamed, [PROC_EVENT_FORKED] = on_forked,
		[PROC_EVENT_EXITED] = on_exited,   [PROC_EVENT_LOST] = on_lost,
	};

	handlers[e->type](user, e);
}

/* True when some are left whose leader ended before their other threads did. */
static bool recheck_exits(struct discovery *d)
{
	bool left = false;

	for (size_t b = 0; b < PROCESS_BUCKETS; b++) {
		for (struct process *p = d->processes.bucket[b], *next; p; p = next) {
			next = p->next;
			if (p->leader_exited && process_ended(d, p->pid))
				process_gone(d, p);
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
	static const struct itimerspec soon = {.it_value = {.tv_nsec = EXIT_RECHECK_NS}};

	for (size_t i = 0; i < d->ring_count; i++)
		proc_ring_drain(&d->rings[i], on_event, d);
	if (!d->exits)
		return;
	d->exits = false;
	/* The last thread is still counted while its exit is told. */
	if (recheck_exits(d))
		timerfd_settime(d->exit_timer, 0, &soon, NULL);
}

/* ---- scan ----------------------------------------------------------------------------------- */

/* The pids of /proc into d->pids. */
static int list_pids(struct discovery *d)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return -errno;
	d->pid_count = 0;
	d->pids_complete = true;
	while ((entry = readdir(dir)) != NULL) {
		char *end;
		unsigned long pid = strtoul(entry->d_name, &end, 10);

		if (*end != '\0' || pid == 0 || pid > INT_MAX)
			continue;
		if (d->pid_count == SCAN_PIDS_MAX) {
			d->pids_complete = false;
			break;
		}
		d->pids[d->pid_count++] = (uint32_t)pid;
	}
	closedir(dir);
	return 0;
}

/* Files whose attach failed are forgotten, so that this cycle tries again. */
static void retry_failed_files(struct discovery *d)
{
	for (size_t i = d->files.count; i-- > 0;) {
		if (d->files.item[i]->state == FILE_FAILED)
			drop_file(d, d->files.item[i]);
	}
}

static int scan_begin(struct discovery *d)
{
	int err = list_pids(d);

	if (err)
		return err;
	d->rescan = false;
	d->pid_at = 0;
	d->cycle++;
	d->next_scan_ns = d->now_ns + (d->ring_count ? DISCOVERY_SCAN_S : 1) * NSEC_PER_SEC;
	retry_failed_files(d);
	return 0;
}

/* Processes whose exit was missed. */
static void reap_processes(struct discovery *d)
{
	for (size_t b = 0; b < PROCESS_BUCKETS; b++) {
		for (struct process *p = d->processes.bucket[b], *next; p; p = next) {
			next = p->next;
			if (p->cycle != d->cycle)
				process_gone(d, p);
		}
	}
}

static bool path_names(const struct tls_file *file)
{
	struct stat st;

	return stat(file->path, &st) == 0 && st.st_dev == file->id.device &&
	       st.st_ino == file->id.inode;
}

/* An upgraded library stays probed until its last user is gone; then the old inode is let go. */
static void release_unused_files(struct discovery *d)
{
	for (size_t i = d->files.count; i-- > 0;) {
		struct tls_file *file = d->files.item[i];

		if (file->users || path_names(file))
			file->idle_for = 0;
		else if (++file->idle_for >= IDLE_CYCLES)
			drop_file(d, file);
	}
}

static void scan_end(struct discovery *d)
{
	if (d->pids_complete)
		reap_processes(d);
	release_unused_files(d);
	discovery_prime(d);
}

static void scan_some(struct discovery *d, size_t most)
{
	if (d->pid_at == d->pid_count)
		return;
	for (; most && d->pid_at < d->pid_count; most--)
		scan_process(d, d->pids[d->pid_at++]);
	if (d->pid_at == d->pid_count)
		scan_end(d);
}

int discovery_scan(struct discovery *d)
{
	int err = scan_begin(d);

	if (err)
		return err;
	scan_some(d, SIZE_MAX);
	drain_events(d);
	return 0;
}

/* ---- prime ---------------------------------------------------------------------------------- */

static void prime_path(struct discovery *d, const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct file_identity id;
	char real[PATH_MAX];

	if (fd >= 0 && file_identify(fd, &id) == 0 && realpath(path, real))
		(void)file_of_fd(d, fd, slice_of(real), &id);
}

static void prime_pattern(struct discovery *d, const char *pattern)
{
	glob_t found;

	if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc && i < PRIME_MATCHES_MAX; i++)
		prime_path(d, found.gl_pathv[i]);
	globfree(&found);
}

/* `node` in each directory of PATH. */
static void prime_search_path(struct discovery *d)
{
	const char *dirs = getenv("PATH");

	while (dirs && *dirs) {
		size_t len = strcspn(dirs, ":");
		char path[PATH_MAX];

		if (len &&
		    snprintf(path, sizeof(path), "%.*s/node", (int)len, dirs) < (int)sizeof(path))
			prime_path(d, path);
		dirs += len + (dirs[len] == ':');
	}
}

void discovery_prime(struct discovery *d)
{
	for (size_t i = 0; i < ARRAY_LEN(well_known); i++)
		prime_pattern(d, well_known[i]);
	prime_search_path(d);
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
	d->exit_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->exit_timer < 0 || epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->exit_timer, &event) != 0)
		return -errno;
	return 0;
}

int discovery_new(struct discovery **out, struct broker *broker, const struct discovery_ops *ops,
		  void *user)
{
	struct discovery *d = calloc(1, sizeof(*d));
	struct timespec ts;
	int err;

	if (!d)
		return -ENOMEM;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	d->now_ns = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	d->broker = broker;
	d->ops = ops;
	d->user = user;
	d->self = (uint32_t)getpid();
	if (broker_read_exe(broker, d->self, d->self_exe, sizeof(d->self_exe)) != 0)
		d->self_exe[0] = '\0';
	d->pids = malloc(SCAN_PIDS_MAX * sizeof(*d->pids));
	d->exit_timer = -1;
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
	closep(&d->exit_timer);
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

	while (epoll_wait(d->epoll_fd, events, ARRAY_LEN(events), 0) == (int)ARRAY_LEN(events))
		;
	drain_events(d);
	if (read(d->exit_timer, &expirations, sizeof(expirations)) > 0)
		recheck_exits(d);
}

void discovery_tick(struct discovery *d, uint64_t now_ns)
{
	int err = 0;

	d->now_ns = now_ns;
	drain_events(d);
	recheck_exits(d);
	if (d->pid_at == d->pid_count && (d->rescan || now_ns >= d->next_scan_ns))
		err = scan_begin(d);
	if (err)
		log_error(LOG, "/proc cannot be listed: %s", strerror(-err));
	scan_some(d, SCAN_PIDS_PER_TICK);
}

/* ---- status --------------------------------------------------------------------------------- */

static void add_file(cJSON *list, const struct tls_file *file)
{
	cJSON *row = cJSON_CreateObject();
	char device[32];

	snprintf(device, sizeof(device), "%u:%u", major(file->id.device), minor(file->id.device));
	cJSON_AddStringToObject(row, "path", file->path);
	cJSON_AddNumberToObject(row, "inode", (double)file->id.inode);
	cJSON_AddStringToObject(row, "device", device);
	cJSON_AddStringToObject(row, "build_id", file->build_id);
	cJSON_AddStringToObject(row, "kind", file->executable ? "executable" : "library");
	cJSON_AddStringToObject(row, "state", file_state_names[file->state]);
	cJSON_AddStringToObject(row, "reason", file->reason);
	cJSON_AddNumberToObject(row, "probes", file->probes);
	cJSON_AddStringToObject(row, "site_class",
				file->state == FILE_ATTACHED ? site_class_names[file->site_class]
							     : "");
	cJSON_AddNumberToObject(row, "processes", file->users);
	cJSON_AddBoolToObject(row, "deleted", file->deleted);
	cJSON_AddItemToArray(list, row);
}

/* One row per TLS stack in the process: what of it is read and what is not. */
static void add_process(cJSON *list, const struct process *process)
{
	for (uint32_t i = 0; i < process->file_count; i++) {
		const struct tls_file *file = process->files[i];
		bool readable = file->state == FILE_ATTACHED;
		cJSON *row = cJSON_CreateObject();

		cJSON_AddNumberToObject(row, "pid", process->pid);
		cJSON_AddStringToObject(row, "comm", process->comm);
		cJSON_AddStringToObject(row, "exe", process->exe);
		cJSON_AddStringToObject(row, "tls", readable ? "readable" : "blind");
		cJSON_AddStringToObject(row, "reason", file->reason);
		cJSON_AddStringToObject(row, "library", path_base(slice_of(file->path)).ptr);
		cJSON_AddItemToArray(list, row);
	}
}

void discovery_status(const struct discovery *d, struct cJSON *status)
{
	cJSON *files = cJSON_AddArrayToObject(status, "files");
	cJSON *processes = cJSON_AddArrayToObject(status, "processes");
	size_t listed = 0;

	for (size_t i = 0; i < d->files.count; i++)
		add_file(files, d->files.item[i]);
	for (size_t b = 0; b < PROCESS_BUCKETS; b++) {
		for (const struct process *p = d->processes.bucket[b]; p; p = p->next) {
			if (strcmp(p->exe, d->self_exe) != 0 && listed++ < DISCOVERY_STATUS_MAX)
				add_process(processes, p);
		}
	}
}
