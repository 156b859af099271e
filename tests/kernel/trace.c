/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test tool: loads the real BPF programs, attaches the files given, and prints what capture
 * delivers as JSON lines. Commands on stdin: pause, resume (the ring's consumer), stats, reader (as
 * if another one took over), quit.
 *
 * usage: trace [--attach=N] [--returns=N] [--ring=BYTES] [--provider=HOST]... [--never=HOST]...
 *              [--judge=watch|mute] [--times=N] [--debug] FILE...
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/attribution/attribution.h"
#include "agent/capture/capture.h"
#include "agent/discovery/sites.h"
#include "agent/privsep/probes.h"
#include "agent/providers/provider.h"
#include "bpf/events.h"

#define HOSTS_MAX 8

struct trace {
	struct probes *probes;
	struct capture *capture;
	const char *judge;
	bool paused;
};

struct options {
	struct probe_opts probes;
	const char *provider[HOSTS_MAX], *never[HOSTS_MAX];
	size_t providers, nevers;
	const char *judge;
	int times;
};

static void print_id(const char *type, const struct conn_id *id, uint64_t now_ns)
{
	printf("{\"type\":\"%s\",\"tgid\":%u,\"ssl\":%lu,\"start\":%lu,\"generation\":%u,"
	       "\"now\":%lu",
	       type, id->tgid, id->ssl, id->start_boot_ns, id->generation, now_ns);
}

static void print_hex(const char *name, struct slice data)
{
	printf(",\"%s\":\"", name);
	for (size_t i = 0; i < data.len; i++)
		printf("%02x", (unsigned char)data.ptr[i]);
	printf("\"");
}

static void on_open(void *user, const struct conn_open *open)
{
	char cgroup[1024];

	(void)user;
	cgroup_join(open->cgroup, cgroup, sizeof(cgroup));
	print_id("open", &open->conn, open->now_ns);
	printf(",\"cgroup\":\"%s\",\"uid\":%u,\"comm\":\"%s\",\"host\":\"%s\"", cgroup, open->uid,
	       open->comm, open->host);
	print_hex("env", open->env);
	puts("}");
}

static void on_chunk(void *user, const struct chunk *chunk)
{
	struct trace *t = user;

	print_id("data", &chunk->conn, chunk->now_ns);
	printf(",\"dir\":\"%s\",\"offset\":%lu,\"entry\":%lu,\"want\":%u,\"candidate\":%s,"
	       "\"gap\":%s",
	       chunk->dir == CHUNK_WRITE ? "write" : "read", chunk->offset, chunk->entry_ns,
	       chunk->want, chunk->candidate ? "true" : "false",
	       chunk->gap_before ? "true" : "false");
	print_hex("data", chunk->data);
	puts("}");
	if (t->judge && chunk->candidate && chunk->dir == CHUNK_READ &&
	    probes_judge(t->probes, chunk->conn.tgid, chunk->conn.ssl, !strcmp(t->judge, "watch")))
		fputs("judgement refused\n", stderr);
}

static void on_may_end(void *user, const struct conn_id *conn, uint64_t now_ns)
{
	(void)user;
	print_id("close", conn, now_ns);
	puts("}");
}

static const struct capture_ops ops = {.opened = on_open, .chunk = on_chunk, .may_end = on_may_end};

static void print_array(const char *name, const uint64_t *values, size_t count)
{
	printf(",\"%s\":[", name);
	for (size_t i = 0; i < count; i++)
		printf("%s%lu", i ? "," : "", values[i]);
	printf("]");
}

static void print_stats(struct trace *t)
{
	uint64_t lost[TT_LOST_REASONS], stats[TT_GATE_STATS];

	probes_kernel_counters(t->probes, lost, stats);
	printf("{\"type\":\"stats\"");
	print_array("lost", lost, TT_LOST_REASONS);
	print_array("gate", stats, TT_GATE_STATS);
	puts("}");
}

static int attach(struct trace *t, const char *path, int times)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char err[PROBES_ERROR_MAX] = "";
	bool want_returns = probes_caps(t->probes)->returns == RETURN_SITES;
	struct probe_sites sites;

	if (fd < 0 || sites_find(fd, want_returns, &sites) != SITES_FOUND) {
		fprintf(stderr, "%s: no probe sites\n", path);
		return -1;
	}
	for (int i = 0; i < times; i++) {
		if (probes_attach(t->probes, fd, &sites, err, sizeof(err)) < 0) {
			fprintf(stderr, "%s: %s\n", path, err);
			return -1;
		}
	}
	return 0;
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"attach", 1, NULL, 'a'},   {"returns", 1, NULL, 'r'}, {"ring", 1, NULL, 'b'},
		{"provider", 1, NULL, 'p'}, {"never", 1, NULL, 'n'},   {"judge", 1, NULL, 'j'},
		{"times", 1, NULL, 't'},    {"debug", 0, NULL, 'd'},   {NULL, 0, NULL, 0},
	};
	int c;

	*o = (struct options){.probes = {0, -1, -1}, .times = 1};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (c == 'a')
			o->probes.force_attach = strtol(optarg, NULL, 10);
		else if (c == 'r')
			o->probes.force_returns = strtol(optarg, NULL, 10);
		else if (c == 'b')
			o->probes.ring_bytes = strtoul(optarg, NULL, 10);
		else if (c == 'p' && o->providers < HOSTS_MAX)
			o->provider[o->providers++] = optarg;
		else if (c == 'n' && o->nevers < HOSTS_MAX)
			o->never[o->nevers++] = optarg;
		else if (c == 'j')
			o->judge = optarg;
		else if (c == 't')
			o->times = strtol(optarg, NULL, 10);
		else if (c == 'd')
			log_set_level(LOG_LEVEL_DEBUG);
		else
			exit(2);
	}
}

static void list_path(void *user, const char *suffix)
{
	struct trace *t = user;

	if (probes_list_path(t->probes, suffix))
		fprintf(stderr, "trace: path %s not listed\n", suffix);
}

static int list_hosts(struct trace *t, const struct options *o)
{
	int rc = 0;

	provider_each_shape(list_path, t);
	for (size_t i = 0; i < o->providers && !rc; i++)
		rc = probes_list_host(t->probes, o->provider[i], true);
	for (size_t i = 0; i < o->nevers && !rc; i++)
		rc = probes_list_host(t->probes, o->never[i], false);
	return rc;
}

/* False when the tool shall end. */
static bool command(struct trace *t)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin) || !strcmp(line, "quit\n"))
		return false;
	if (!strcmp(line, "stats\n")) {
		while (!t->paused && capture_drain(t->capture))
			;
		print_stats(t);
	} else if (!strcmp(line, "reader\n")) {
		probes_new_reader(t->probes);
		puts("{\"type\":\"reader\"}");
	} else {
		t->paused = !strcmp(line, "pause\n");
		printf("{\"type\":\"%s\"}\n", t->paused ? "paused" : "resumed");
	}
	return true;
}

static void run(struct trace *t)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			       {.fd = capture_fd(t->capture), .events = POLLIN}};

	do {
		fflush(stdout);
		fds[1].fd = t->paused ? -1 : capture_fd(t->capture);
		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			return;
		if (fds[1].revents)
			capture_drain(t->capture);
	} while (!fds[0].revents || command(t));
}

int main(int argc, char **argv)
{
	char err[PROBES_ERROR_MAX] = "";
	struct trace t = {0};
	const struct probe_caps *caps;
	struct options o;
	int rc;

	parse(&o, argc, argv);
	setvbuf(stdin, NULL, _IONBF, 0);
	rc = probes_new(&t.probes, &o.probes, err, sizeof(err));
	if (rc) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	t.judge = o.judge;
	rc = list_hosts(&t, &o);
	for (int i = optind; i < argc && !rc; i++)
		rc = attach(&t, argv[i], o.times);
	if (!rc)
		rc = capture_new(&t.capture, probes_ring_fd(t.probes), probes_ring_bytes(t.probes),
				 &ops, &t);
	if (!rc) {
		caps = probes_caps(t.probes);
		printf("{\"type\":\"ready\",\"attach\":\"%s\",\"returns\":\"%s\"}\n",
		       attach_kind_names[caps->attach], return_kind_names[caps->returns]);
		run(&t);
	}
	capture_free(t.capture);
	probes_free(t.probes);
	return rc ? 1 : 0;
}
