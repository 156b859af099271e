/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test tool: attaches and detaches probes COUNT times while a process runs through the probed
 * functions all the time, and prints what this process and the kernel hold, before, in between and
 * after, as JSON lines. Exits 0 when nothing was left behind and the process noticed nothing.
 *
 * usage: cycles [--attach=N] [--returns=N] COUNT LIBRARY...
 *
 * One cycle is one attach and one detach of one LIBRARY. Closing a probe waits for a grace period,
 * so all libraries are detached side by side; each should be a file of its own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/base.h"
#include "agent/discovery/sites.h"
#include "agent/privsep/probes.h"
#include "bpf/events.h"

#define LIBRARIES_MAX 64
#define WARM_UP	      200 /* cycles before the first sample: caches and pools are filled */
#define SAMPLES	      10
#define HIT_WAIT_MS   2000

/* What may be more at the end than at the beginning, whatever the count. */
#define RSS_SLACK_KIB  256
#define SLAB_SLACK_KIB 8192 /* the whole machine's; one kernel object a cycle would be 10 MiB */

/* ---- the process that is probed -------------------------------------------------------------- */

struct client {
	atomic_ullong calls[LIBRARIES_MAX];
	atomic_bool wrong;
	uintptr_t code[LIBRARIES_MAX][2]; /* its SSL_write and SSL_read */
};

typedef int write_fn(void *ssl, const void *buf, int len);
typedef int read_fn(void *ssl, void *buf, int len);

static const char request[] = "POST /nothing/to/bill HTTP/1.1\r\nHost: api.listed.test\r\n"
			      "Content-Length: 2\r\n\r\n{}";

/* One write and one read of the library in shape only (nested.c); false: not what it always does.
 */
static bool client_call(write_fn *put, read_fn *get, size_t i)
{
	void *ssl = (void *)(0x10000 + 0x100 * i);
	unsigned char got[100] = {0};

	if (put(ssl, request, sizeof(request) - 1) != sizeof(request) - 1 ||
	    get(ssl, got, sizeof(got)) != sizeof(got))
		return false;
	for (int k = 0; k < (int)sizeof(got); k++) {
		if (got[k] != (unsigned char)(k * 13))
			return false;
	}
	return true;
}

static _Noreturn void client_run(struct client *client, char **libraries, size_t count)
{
	static const struct timespec nap = {.tv_nsec = 100000};
	write_fn *put[LIBRARIES_MAX];
	read_fn *get[LIBRARIES_MAX];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < count; i++) {
		void *library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);

		put[i] = library ? (write_fn *)dlsym(library, "SSL_write") : NULL;
		get[i] = library ? (read_fn *)dlsym(library, "SSL_read") : NULL;
		if (!put[i] || !get[i])
			_exit(2);
		client->code[i][0] = (uintptr_t)put[i];
		client->code[i][1] = (uintptr_t)get[i];
	}
	for (;;) {
		for (size_t i = 0; i < count; i++) {
			if (!client_call(put[i], get[i], i))
				atomic_store(&client->wrong, true);
			atomic_fetch_add(&client->calls[i], 1);
		}
		nanosleep(&nap, NULL);
	}
}

/* ---- what is held ---------------------------------------------------------------------------- */

struct sample {
	long rss_kib, threads, fds, links, programs, slab_kib, unreclaimable_kib, percpu_kib;
};

/* The number behind a name in a file of "name: number" lines. */
static long number_in(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	size_t len = strlen(name);
	char line[256];
	long n = -1;

	while (f && n < 0 && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && line[len] == ':')
			n = strtol(line + len + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return n;
}

static long count_entries(const char *path)
{
	DIR *dir = opendir(path);
	long n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static long count_ids(int (*next)(uint32_t, uint32_t *))
{
	uint32_t id = 0;
	long n = 0;

	while (!next(id, &id))
		n++;
	return n;
}

static struct sample take_sample(void)
{
	return (struct sample){
		.rss_kib = number_in("/proc/self/status", "VmRSS"),
		.threads = number_in("/proc/self/status", "Threads"),
		.fds = count_entries("/proc/self/fd"),
		.links = count_ids(bpf_link_get_next_id),
		.programs = count_ids(bpf_prog_get_next_id),
		.slab_kib = number_in("/proc/meminfo", "Slab"),
		.unreclaimable_kib = number_in("/proc/meminfo", "SUnreclaim"),
		.percpu_kib = number_in("/proc/meminfo", "Percpu"),
	};
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void print_sample(const char *what, long cycles, double seconds, const struct sample *s)
{
	printf("{\"type\":\"%s\",\"cycles\":%ld,\"seconds\":%.1f,\"rss_kib\":%ld,\"threads\":%ld,"
	       "\"fds\":%ld,\"links\":%ld,\"programs\":%ld,\"slab_kib\":%ld,"
	       "\"unreclaimable_kib\":%ld,\"percpu_kib\":%ld}\n",
	       what, cycles, seconds, s->rss_kib, s->threads, s->fds, s->links, s->programs,
	       s->slab_kib, s->unreclaimable_kib, s->percpu_kib);
	fflush(stdout);
}

/* ---- cycles ---------------------------------------------------------------------------------- */

struct cycles {
	struct probes *probes;
	struct client *client;
	pid_t pid; /* the client's */
	size_t count;
	char **paths;
	int fds[LIBRARIES_MAX];
	struct probe_sites sites[LIBRARIES_MAX];
	int handles[LIBRARIES_MAX];
};

struct detaching {
	struct cycles *c;
	size_t index;
};

static void *detach(void *user)
{
	const struct detaching *d = user;

	probes_detach(d->c->probes, d->c->handles[d->index]);
	return NULL;
}

static bool detach_all(struct cycles *c)
{
	struct detaching detaching[LIBRARIES_MAX];
	pthread_t threads[LIBRARIES_MAX];
	size_t started = 0;

	for (; started < c->count; started++) {
		detaching[started] = (struct detaching){c, started};
		if (pthread_create(&threads[started], NULL, detach, &detaching[started]))
			break;
	}
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return started == c->count;
}

/* Waits until a whole call of each library began after now. */
static bool wait_hits(struct cycles *c)
{
	static const struct timespec nap = {.tv_nsec = 200000};
	unsigned long long before[LIBRARIES_MAX];
	double deadline = now_s() + HIT_WAIT_MS / 1e3;

	for (size_t i = 0; i < c->count; i++)
		before[i] = atomic_load(&c->client->calls[i]);
	for (size_t i = 0; i < c->count;) {
		if (atomic_load(&c->client->calls[i]) >= before[i] + 2)
			i++;
		else if (now_s() > deadline)
			return false;
		else
			nanosleep(&nap, NULL);
	}
	return true;
}

/* True when the process has at an address what the file has there. */
static bool same_code(int memory, uintptr_t address, int file, uint64_t offset, size_t size)
{
	uint8_t seen[256], want[256];

	return size <= sizeof(seen) && pread(memory, seen, size, (off_t)address) == (ssize_t)size &&
	       pread(file, want, size, (off_t)offset) == (ssize_t)size &&
	       memcmp(seen, want, size) == 0;
}

/* The hook's function is left (false) or found (true) with a breakpoint in it, in every library. */
static bool armed_everywhere(struct cycles *c, pid_t pid, bool armed)
{
	static const enum hook hooks[] = {HOOK_WRITE, HOOK_READ};
	_cleanup_(closep) int memory = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < c->count; i++) {
		for (size_t k = 0; k < c->sites[i].count; k++) {
			const struct probe_site *site = &c->sites[i].site[k];

			for (size_t h = 0; h < ARRAY_LEN(hooks); h++) {
				if (site->hook == hooks[h] &&
				    same_code(memory, c->client->code[i][h], c->fds[i],
					      site->function, site->size) == armed)
					return false;
			}
		}
	}
	return memory >= 0;
}

/* One cycle of each library. */
static bool run_round(struct cycles *c)
{
	char err[PROBES_ERROR_MAX] = "";

	for (size_t i = 0; i < c->count; i++) {
		c->handles[i] = probes_attach(c->probes, c->fds[i], &c->sites[i], err, sizeof(err));
		if (c->handles[i] < 0) {
			fprintf(stderr, "%s: %s\n", c->paths[i], err);
			return false;
		}
	}
	if (!wait_hits(c)) {
		fprintf(stderr, "the probed process stands still\n");
		return false;
	}
	if (!armed_everywhere(c, c->pid, true)) {
		fprintf(stderr, "a probe is not where it should be\n");
		return false;
	}
	if (!detach_all(c))
		return false;
	if (!armed_everywhere(c, c->pid, false)) {
		fprintf(stderr, "a breakpoint was left behind\n");
		return false;
	}
	return true;
}

/* At least as many as asked for, in whole rounds; *done counts them. */
static bool run_until(struct cycles *c, long cycles, long *done)
{
	for (; *done < cycles; *done += (long)c->count) {
		if (!run_round(c))
			return false;
	}
	return true;
}

static bool open_libraries(struct cycles *c, char **paths, size_t count)
{
	bool want_returns = probes_caps(c->probes)->returns == RETURN_SITES;

	c->count = count;
	c->paths = paths;
	for (size_t i = 0; i < count; i++) {
		c->fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (c->fds[i] < 0 ||
		    sites_find(c->fds[i], want_returns, &c->sites[i]) != SITES_FOUND) {
			fprintf(stderr, "%s: no probe sites\n", paths[i]);
			return false;
		}
	}
	return true;
}

static uint64_t hooked_calls(struct cycles *c)
{
	uint64_t lost[TT_LOST_REASONS], stats[TT_GATE_STATS];

	probes_kernel_counters(c->probes, lost, stats);
	return stats[TT_STAT_CALLS];
}

/* Prints and judges; the machine's memory only where a leak would show above its noise. */
static bool compare(const struct sample *before, const struct sample *after, long cycles)
{
	bool ok = after->rss_kib <= before->rss_kib + RSS_SLACK_KIB && after->fds == before->fds &&
		  after->links == before->links && after->programs == before->programs &&
		  after->threads == before->threads;

	if (cycles >= 10000)
		ok = ok && after->unreclaimable_kib <= before->unreclaimable_kib + SLAB_SLACK_KIB &&
		     after->percpu_kib <= before->percpu_kib + SLAB_SLACK_KIB;
	return ok;
}

static bool run(struct cycles *c, long cycles)
{
	struct sample before, after;
	double started;
	long done = 0, warm = 0;
	uint64_t calls;

	if (!run_until(c, cycles / 4 < WARM_UP ? cycles / 4 : WARM_UP, &warm))
		return false;
	before = take_sample();
	calls = hooked_calls(c);
	started = now_s();
	print_sample("before", 0, 0, &before);
	for (int i = 1; i <= SAMPLES; i++) {
		if (!run_until(c, cycles * i / SAMPLES, &done))
			return false;
		after = take_sample();
		print_sample(i < SAMPLES ? "between" : "after", done, now_s() - started, &after);
	}
	calls = hooked_calls(c) - calls;
	printf("{\"type\":\"result\",\"hooked_calls\":%lu,\"wrong\":%s}\n", calls,
	       atomic_load(&c->client->wrong) ? "true" : "false");
	return compare(&before, &after, cycles) && !atomic_load(&c->client->wrong) &&
	       calls >= (uint64_t)cycles;
}

static pid_t start_client(struct client **out, char **libraries, size_t count)
{
	pid_t pid;

	*out = mmap(NULL, sizeof(**out), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (*out == MAP_FAILED)
		return -1;
	pid = fork();
	if (pid == 0)
		client_run(*out, libraries, count);
	return pid;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"attach", 1, NULL, 'a'}, {"returns", 1, NULL, 'r'}, {NULL, 0, NULL, 0}};
	struct probe_opts opts = {.force_attach = -1, .force_returns = -1};
	char err[PROBES_ERROR_MAX] = "";
	static struct cycles c;
	bool ok = false;
	int option, status;
	long cycles;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (option != 'a' && option != 'r')
			return 2;
		*(option == 'a' ? &opts.force_attach : &opts.force_returns) =
			(int)strtol(optarg, NULL, 10);
	}
	cycles = optind < argc ? strtol(argv[optind++], NULL, 10) : 0;
	if (cycles < 1 || optind == argc || argc - optind > LIBRARIES_MAX)
		return 2;
	c.pid = start_client(&c.client, argv + optind, (size_t)(argc - optind));
	if (c.pid < 0)
		return 1;
	if (probes_new(&c.probes, &opts, err, sizeof(err)))
		fprintf(stderr, "%s\n", err);
	else if (probes_list_host(c.probes, "api.listed.test", true) == 0 &&
		 open_libraries(&c, argv + optind, (size_t)(argc - optind)))
		ok = run(&c, cycles);
	ok = waitpid(c.pid, &status, WNOHANG) == 0 && ok; /* it lives still */
	kill(c.pid, SIGKILL);
	waitpid(c.pid, &status, 0);
	probes_free(c.probes);
	return ok ? 0 : 1;
}
