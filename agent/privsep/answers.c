/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/answers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/privsep/procfiles.h"

const char *const request_names[REQUEST_KINDS] = {
	[REQUEST_HELLO] = "hello",
	[REQUEST_SETTLE] = "settle",
	[REQUEST_LIST_HOST] = "list host",
	[REQUEST_SETTLE_HOSTS] = "settle hosts",
	[REQUEST_LIST_PATH] = "list path",
	[REQUEST_JUDGE] = "judge",
	[REQUEST_FORGET_PROCESS] = "forget process",
	[REQUEST_COUNTERS] = "counters",
	[REQUEST_OPEN_PROC] = "open proc file",
	[REQUEST_READ_EXE] = "read exe",
	[REQUEST_OPEN_EVENTS] = "open process events",
	[REQUEST_OPEN_SETTING] = "open setting",
	[REQUEST_OPEN_MAPPING] = "open mapping",
	[REQUEST_COUNT_KNOWN] = "count known files",
	[REQUEST_OPEN_KNOWN] = "open known file",
	[REQUEST_DECIDE] = "decide",
	[REQUEST_ATTACH] = "attach",
	[REQUEST_DETACH] = "detach",
	[REQUEST_STILL_NAMED] = "still named",
};

/* ---- the gate -------------------------------------------------------------------------------- */

static void hello(struct answers *s, struct answer *a, int *fd)
{
	a->hello.caps = *probes_caps(s->probes);
	a->hello.ring_bytes = probes_ring_bytes(s->probes);
	*fd = fcntl(probes_ring_fd(s->probes), F_DUPFD_CLOEXEC, 0);
	a->rc = *fd < 0 ? -errno : 0;
}

static void handle_hello(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)r;
	for (size_t i = 0; i < PROBES_FILES_MAX; i++)
		s->holdings[i].orphan = s->holdings[i].used;
	hello(s, a, fd);
}

static void let_go(struct answers *s, uint32_t handle)
{
	probes_detach(s->probes, (int)handle);
	s->holdings[handle] = (struct holding){0};
}

static void handle_settle(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)r;
	(void)a;
	(void)fd;
	for (uint32_t i = 0; i < PROBES_FILES_MAX; i++) {
		if (s->holdings[i].orphan)
			let_go(s, i);
	}
}

static void handle_list_host(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)fd;
	a->rc = probes_list_host(s->probes, r->text, r->flag);
}

static void handle_settle_hosts(struct answers *s, const struct request *r, struct answer *a,
				int *fd)
{
	(void)r;
	(void)a;
	(void)fd;
	probes_settle_hosts(s->probes);
}

static void handle_list_path(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)fd;
	a->rc = probes_list_path(s->probes, r->text);
}

static void handle_judge(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)fd;
	a->rc = probes_judge(s->probes, r->pid, r->ssl, r->flag);
}

static void handle_forget(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)a;
	(void)fd;
	probes_forget_process(s->probes, r->pid);
}

static void handle_counters(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)r;
	(void)fd;
	probes_kernel_counters(s->probes, a->counters.lost, a->counters.stats);
	a->counters.refused = s->refused;
}

/* ---- processes ------------------------------------------------------------------------------- */

static bool probed(const struct answers *s, const struct mapped_file *file)
{
	for (size_t i = 0; i < PROBES_FILES_MAX; i++) {
		if (s->holdings[i].used && mapped_same(&s->holdings[i].file, file))
			return true;
	}
	return false;
}

static bool maps_probed_file(const struct answers *s, uint32_t pid)
{
	_cleanup_(closep) int fd = minder_open_text(s->minder, pid, PROC_MAPS);
	struct mapped_file file;
	struct proc_lines lines;

	if (fd < 0)
		return false;
	proc_lines_init(&lines, fd);
	while (mapped_next(&lines, &file)) {
		if (probed(s, &file))
			return true;
	}
	return false;
}

/* Environments hold secrets: only of those whose calls are metered. */
static void handle_open_proc(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	if (r->index >= PROC_FILES || r->pid == 0)
		a->rc = -EINVAL;
	else if (r->index == PROC_ENVIRON && !probes_know_process(s->probes, r->pid) &&
		 !maps_probed_file(s, r->pid))
		a->rc = -EACCES;
	else if (procfile_may_hang(r->index))
		*fd = minder_open_text(s->minder, r->pid, r->index);
	else
		*fd = procfile_open(r->pid, r->index);
	if (*fd < 0 && a->rc == 0)
		a->rc = *fd;
}

static void handle_read_exe(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)s;
	(void)fd;
	a->rc = procfile_read_exe(r->pid, a->text, sizeof(a->text));
}

static void handle_open_events(struct answers *s, const struct request *r, struct answer *a,
			       int *fd)
{
	(void)s;
	*fd = r->index < (uint32_t)sysconf(_SC_NPROCESSORS_CONF)
		      ? procfile_open_events((int)r->index)
		      : -EINVAL;
	a->rc = *fd < 0 ? *fd : 0;
}

/* The path itself, or one file name below it when it is a directory. */
static bool names_setting(const char *setting, const char *path)
{
	size_t len = setting ? strlen(setting) : 0;

	if (!len || strncmp(path, setting, len) != 0)
		return false;
	while (len && setting[len - 1] == '/')
		len--;
	if (path[len] == '\0' || (path[len] == '/' && path[len + 1] == '\0'))
		return true;
	return path[len] == '/' && !strchr(path + len + 1, '/') && path[len + 1] != '.';
}

static void handle_open_setting(struct answers *s, const struct request *r, struct answer *a,
				int *fd)
{
	a->rc = -EACCES;
	for (size_t i = 0; i < ARRAY_LEN(s->settings); i++) {
		if (!names_setting(s->settings[i], r->text))
			continue;
		*fd = open(r->text, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		a->rc = *fd < 0 ? -errno : 0;
		return;
	}
}

/* ---- files ----------------------------------------------------------------------------------- */

static void drop_current(struct answers *s)
{
	closep(&s->current.fd);
	s->current.decided = false;
}

static void set_current(struct answers *s, int fd, const char *path, struct answer *a)
{
	struct current *c = &s->current;

	drop_current(s);
	a->rc = fd < 0 ? fd : file_identify(fd, &c->id);
	if (a->rc) {
		if (fd >= 0)
			close(fd);
		return;
	}
	c->fd = fd;
	c->pid = 0;
	snprintf(c->path, sizeof(c->path), "%s", path);
	a->file.id = c->id;
	snprintf(a->file.path, sizeof(a->file.path), "%s", path);
}

static void handle_open_mapping(struct answers *s, const struct request *r, struct answer *a,
				int *fd)
{
	(void)fd;
	if (!r->pid) {
		a->rc = -EINVAL;
		return;
	}
	set_current(s, minder_open_mapping(s->minder, r->pid, r->start, r->end, r->text), r->text,
		    a);
	s->current.pid = r->pid;
	s->current.start = r->start;
	s->current.end = r->end;
}

static void handle_count_known(struct answers *s, const struct request *r, struct answer *a,
			       int *fd)
{
	(void)r;
	(void)fd;
	a->rc = minder_count_known(s->minder);
	if (a->rc < 0)
		return;
	a->count = (uint64_t)a->rc;
	a->rc = 0;
}

static void handle_open_known(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	char path[REQUEST_TEXT_MAX];
	int file = minder_open_known(s->minder, r->index, path);

	(void)fd;
	set_current(s, file, path, a);
}

static void handle_decide(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	struct current *c = &s->current;
	const struct decoded *d = &c->decoded;

	(void)fd;
	if (c->fd < 0) {
		a->rc = -EBADF;
		return;
	}
	a->rc = decoder_run(&s->ending, c->fd, r->text,
			    probes_caps(s->probes)->returns == RETURN_SITES, &c->decoded);
	c->decided = a->rc == 0;
	if (a->rc)
		return;
	a->decided.decision = d->decision;
	memcpy(a->decided.reason, d->reason, sizeof(d->reason));
	if (d->decision != DECISION_PROBE)
		return;
	a->decided.site_class = sites_class(&d->sites);
	a->decided.executable = d->sites.executable;
	memcpy(a->decided.build_id, d->sites.build_id, sizeof(d->sites.build_id));
}

/* The process still runs the file, and every site lies in what it may execute of it. */
static bool runs_sites(const struct answers *s, struct mapped_file *file)
{
	const struct current *c = &s->current;
	_cleanup_(closep) int maps = minder_open_text(s->minder, c->pid, PROC_MAPS);

	return maps >= 0 && mapped_find(maps, c->start, c->end, c->id.inode, c->path, file) &&
	       lseek(maps, 0, SEEK_SET) == 0 && mapped_covers(maps, file, &c->decoded.sites);
}

/* The holding of this very file, of this worker or an earlier one; -1. */
static int held(const struct answers *s, const struct file_identity *id)
{
	for (int i = 0; i < PROBES_FILES_MAX; i++) {
		if (s->holdings[i].used && file_same(&s->holdings[i].id, id))
			return i;
	}
	return -1;
}

static void hold(struct answers *s, int handle, const struct mapped_file *file)
{
	struct holding *h = &s->holdings[handle];

	*h = (struct holding){.used = true, .id = s->current.id, .file = *file};
	snprintf(h->path, sizeof(h->path), "%s", s->current.path);
}

static void handle_attach(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	struct current *c = &s->current;
	struct mapped_file file = {
		.major = major(c->id.device), .minor = minor(c->id.device), .inode = c->id.inode};
	int handle;

	(void)r;
	(void)fd;
	if (c->fd < 0 || !c->decided || c->decoded.decision != DECISION_PROBE) {
		a->rc = -EBADF;
		return;
	}
	handle = held(s, &c->id);
	if (handle < 0 && c->pid && !runs_sites(s, &file)) {
		a->rc = -ESTALE;
		snprintf(a->text, sizeof(a->text),
			 "no process runs it any more where the probes would go");
		return;
	}
	if (handle < 0) {
		handle = probes_attach(s->probes, c->fd, &c->decoded.sites, a->text,
				       sizeof(a->text));
		if (handle < 0) {
			a->rc = handle;
			return;
		}
		hold(s, handle, &file);
	}
	s->holdings[handle].orphan = false;
	a->attached.handle = handle;
	a->attached.probes = (uint32_t)probes_probe_count(s->probes, handle);
}

static void handle_detach(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	(void)fd;
	if (r->index >= PROBES_FILES_MAX || !s->holdings[r->index].used)
		a->rc = -EBADF;
	else
		let_go(s, r->index);
}

static void handle_still_named(struct answers *s, const struct request *r, struct answer *a,
			       int *fd)
{
	const struct holding *h = &s->holdings[r->index % PROBES_FILES_MAX];
	(void)fd;
	if (r->index >= PROBES_FILES_MAX || !h->used)
		a->rc = -EBADF;
	else
		a->count = minder_names(s->minder, h->path, &h->id);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What requests that a tenant can slow down take beyond this: a stock, and its share of time. */
#define SLOW_FREE_NS  (5 * NSEC_PER_MSEC)
#define SLOW_STOCK_NS (20 * NSEC_PER_SEC)
#define SLOW_PART     10

static const struct {
	void (*handle)(struct answers *s, const struct request *r, struct answer *a, int *fd);
	uint32_t per_second, burst; /* more are refused with -EAGAIN */
	bool slow;		    /* takes of the time, and is refused when it is spent */
} handlers[REQUEST_KINDS] = {
	[REQUEST_HELLO] = {handle_hello, 1, 8, false},
	[REQUEST_SETTLE] = {handle_settle, 1, 8, false},
	[REQUEST_LIST_HOST] = {handle_list_host, 1000, 4096, false},
	[REQUEST_SETTLE_HOSTS] = {handle_settle_hosts, 1, 16, false},
	[REQUEST_LIST_PATH] = {handle_list_path, 100, 256, false},
	[REQUEST_JUDGE] = {handle_judge, 20000, 20000, false},
	[REQUEST_FORGET_PROCESS] = {handle_forget, 20000, 20000, false},
	[REQUEST_COUNTERS] = {handle_counters, 1000, 2000, false},
	[REQUEST_OPEN_PROC] = {handle_open_proc, 20000, 200000, true},
	[REQUEST_READ_EXE] = {handle_read_exe, 10000, 100000, false},
	[REQUEST_OPEN_EVENTS] = {handle_open_events, 100, 8192, false},
	[REQUEST_OPEN_SETTING] = {handle_open_setting, 100, 1024, false},
	[REQUEST_OPEN_MAPPING] = {handle_open_mapping, 10000, 100000, true},
	[REQUEST_COUNT_KNOWN] = {handle_count_known, 1, 8, true},
	[REQUEST_OPEN_KNOWN] = {handle_open_known, 1000, 4096, true},
	[REQUEST_DECIDE] = {handle_decide, 200, 8192, true},
	[REQUEST_ATTACH] = {handle_attach, 100, PROBES_FILES_MAX, false},
	[REQUEST_DETACH] = {handle_detach, 100, PROBES_FILES_MAX, false},
	[REQUEST_STILL_NAMED] = {handle_still_named, 1000, 8192, true},
};

static bool allowed(struct answers *s, enum request_kind kind)
{
	uint64_t now_ns = clock_mono_ns();
	uint64_t cost_ns = NSEC_PER_SEC / handlers[kind].per_second;

	if (handlers[kind].slow && !allowance_take(&s->time, now_ns, 0, SLOW_STOCK_NS, SLOW_PART))
		return false;
	return allowance_take(&s->allowances[kind], now_ns, cost_ns, cost_ns * handlers[kind].burst,
			      1);
}

static void handle(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	uint64_t begin_ns = clock_mono_ns(), took_ns;

	handlers[r->kind].handle(s, r, a, fd);
	took_ns = clock_mono_ns() - begin_ns;
	if (handlers[r->kind].slow && took_ns > SLOW_FREE_NS)
		s->time.spent_ns += took_ns - SLOW_FREE_NS;
}

void answers_give(struct answers *s, const struct request *r, struct answer *a, int *fd)
{
	memset(a, 0, sizeof(*a)); /* all of the union: nothing of the stack leaves */
	a->kind = r->kind;
	a->seq = r->seq;
	*fd = -1;
	if (r->kind >= REQUEST_KINDS || !memchr(r->text, '\0', sizeof(r->text)))
		a->rc = -EINVAL;
	else if (!allowed(s, r->kind))
		a->rc = -EAGAIN;
	else
		handle(s, r, a, fd);
	if (a->rc == -EINVAL || a->rc == -EAGAIN || a->rc == -EACCES)
		s->refused++;
	if (a->rc)
		closep(fd);
}

void answers_new_worker(struct answers *s)
{
	drop_current(s);
}
