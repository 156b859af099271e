/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads the BPF object for the best kind of link this kernel has, fills its tables, and arms its
 * programs on files. An attachment is nothing but a set of fds: closing them disarms it, and so
 * does the end of the process, however it comes.
 */
#include "agent/privsep/broker.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/privsep/calibrate.h"
#include "agent/privsep/disarm.h"
#include "agent/privsep/uprobe.h"
#include "bpf/events.h"
#include "bpf/openssl.skel.h"

#define ATTACHMENTS_MAX 1024
/* Entry and at most SITE_RETURNS_MAX returns of each hook. */
#define ATTACHMENT_FDS_MAX (HOOKS * (1 + SITE_RETURNS_MAX))

const char *const attach_kind_names[ATTACH_KINDS] = {
	[ATTACH_SESSION] = "session", [ATTACH_MULTI] = "multi", [ATTACH_PERF] = "perf"};
const char *const return_kind_names[RETURN_KINDS] = {
	[RETURN_TRAMPOLINE] = "trampoline", [RETURN_SITES] = "sites"};

/* The programs of one hook; leave and ret_site are NULL where only the entry matters. */
struct hook_programs {
	struct bpf_program *enter, *session, *leave, *ret_site;
};

struct attachment {
	int *fds; /* NULL: free slot */
	size_t fd_count;
	size_t probe_count;
};

struct broker {
	struct broker_caps caps;
	struct openssl_bpf *skel;
	struct hook_programs programs[HOOKS];
	struct attachment attachments[ATTACHMENTS_MAX];
};

static void list_programs(struct broker *b)
{
	struct openssl_bpf *s = b->skel;
	const struct hook_programs programs[HOOKS] = {
		[HOOK_WRITE] = {s->progs.enter_write, s->progs.session_write, s->progs.return_write,
				s->progs.ret_site_write},
		[HOOK_READ] = {s->progs.enter_read, s->progs.session_read, s->progs.return_read,
			       s->progs.ret_site_read},
		[HOOK_WRITE_EX] = {s->progs.enter_write_ex, s->progs.session_write_ex,
				   s->progs.return_write, s->progs.ret_site_write},
		[HOOK_READ_EX] = {s->progs.enter_read_ex, s->progs.session_read_ex,
				  s->progs.return_read, s->progs.ret_site_read},
		[HOOK_FREE] = {.enter = s->progs.enter_free},
		[HOOK_CLEAR] = {.enter = s->progs.enter_clear},
		[HOOK_CTRL] = {.enter = s->progs.enter_ctrl},
		[HOOK_WRITE_EX2] = {s->progs.enter_write_ex2, s->progs.session_write_ex2,
				    s->progs.return_write, s->progs.ret_site_write},
	};

	memcpy(b->programs, programs, sizeof(programs));
}

static void use_program(struct bpf_program *program, enum attach_kind kind)
{
	bpf_program__set_autoload(program, true);
	bpf_program__set_expected_attach_type(program, uprobe_attach_type(kind));
}

/* Marks the programs that this kind of link and of return needs; the others are never loaded. */
static void choose_programs(struct broker *b)
{
	bool session = b->caps.attach == ATTACH_SESSION;
	enum attach_kind plain = session ? ATTACH_MULTI : b->caps.attach;
	struct bpf_program *program;

	bpf_object__for_each_program(program, b->skel->obj)
		bpf_program__set_autoload(program, false);
	for (size_t i = 0; i < HOOKS; i++) {
		const struct hook_programs *hook = &b->programs[i];

		if (session && hook->session) {
			use_program(hook->session, ATTACH_SESSION);
			continue;
		}
		use_program(hook->enter, plain);
		if (hook->leave)
			use_program(b->caps.returns == RETURN_SITES ? hook->ret_site : hook->leave,
				    plain);
	}
}

/* Returns 0 or -errno; on failure b->skel is NULL. */
static int load(struct broker *b, uint32_t ring_bytes)
{
	int rc;

	b->skel = openssl_bpf__open();
	if (!b->skel)
		return -errno;
	list_programs(b);
	choose_programs(b);
	rc = bpf_map__set_max_entries(b->skel->maps.ring, ring_bytes);
	if (!rc)
		rc = openssl_bpf__load(b->skel);
	if (rc) {
		openssl_bpf__destroy(b->skel);
		b->skel = NULL;
		return rc;
	}
	b->skel->bss->own_tgids[0] = getpid();
	return 0;
}

/* Tries this kind of link, then the plainer ones unless it was forced. */
static int load_best(struct broker *b, const struct broker_opts *opts)
{
	for (;;) {
		int rc = load(b, opts->ring_bytes ? opts->ring_bytes : TT_RING_BYTES);

		if (!rc || opts->force_attach >= 0 || b->caps.attach == ATTACH_PERF)
			return rc;
		log_warn("broker", "%s probes do not load here (%s); trying %s",
			 attach_kind_names[b->caps.attach], strerror(-rc),
			 attach_kind_names[b->caps.attach + 1]);
		b->caps.attach++;
		if (b->caps.attach == ATTACH_MULTI && !b->caps.multi)
			b->caps.attach++;
	}
}

/* Applies what the caller insists on. Returns 0 or -EINVAL. */
static int apply_force(struct broker_caps *caps, const struct broker_opts *opts)
{
	if (opts->force_attach >= ATTACH_KINDS || opts->force_returns >= RETURN_KINDS)
		return -EINVAL;
	if (opts->force_returns >= 0) {
		caps->returns = opts->force_returns;
		if (caps->returns == RETURN_SITES && caps->attach == ATTACH_SESSION)
			caps->attach = ATTACH_MULTI;
	}
	if (opts->force_attach >= 0)
		caps->attach = opts->force_attach;
	return caps->attach == ATTACH_SESSION && caps->returns == RETURN_SITES ? -EINVAL : 0;
}

static bool host_key(struct tt_host_key *key, const char *text, bool close)
{
	size_t len = strlen(text);

	if (len == 0 || len + close > TT_HOST_MAX - 1)
		return false;
	memset(key, 0, sizeof(*key));
	for (size_t i = 0; i < len; i++)
		key->reversed[i] =
			close ? tolower((unsigned char)text[len - 1 - i]) : text[len - 1 - i];
	if (close)
		key->reversed[len] = '.';
	key->prefix_len = 8 * (len + close);
	return true;
}

int broker_new(struct broker **out, const struct broker_opts *opts, char *err, size_t err_size)
{
	struct broker *b = calloc(1, sizeof(*b));
	int rc;

	if (!b) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	rc = calibrate(&b->caps, err, err_size);
	if (rc)
		goto fail;
	rc = apply_force(&b->caps, opts);
	if (rc) {
		snprintf(err, err_size, "this kind of probe cannot see returns this way");
		goto fail;
	}
	rc = load_best(b, opts);
	if (rc) {
		snprintf(err, err_size, "the kernel refused the BPF programs (%s): %s",
			 strerror(-rc),
			 rc == -EPERM ? "run as root, or raise the locked-memory limit"
				      : "run with --log.level=debug for the verifier's words");
		goto fail;
	}
	*out = b;
	return 0;
fail:
	broker_free(b);
	return rc;
}

/* The probes of all files at once: together they take as long as a few. */
static void detach_all(struct broker *b)
{
	_cleanup_(freep) int *fds = NULL;
	size_t count = 0;

	for (int i = 0; i < ATTACHMENTS_MAX; i++)
		count += b->attachments[i].fd_count;
	fds = count ? malloc(count * sizeof(*fds)) : NULL;
	count = 0;
	for (int i = 0; fds && i < ATTACHMENTS_MAX; i++) {
		struct attachment *attachment = &b->attachments[i];

		if (attachment->fd_count)
			memcpy(&fds[count], attachment->fds, attachment->fd_count * sizeof(*fds));
		count += attachment->fd_count;
		attachment->fd_count = 0;
	}
	disarm_all(fds, count);
	for (int i = 0; i < ATTACHMENTS_MAX; i++)
		broker_detach(b, i);
}

void broker_free(struct broker *b)
{
	if (!b)
		return;
	detach_all(b);
	openssl_bpf__destroy(b->skel);
	free(b);
}

const struct broker_caps *broker_caps(const struct broker *b)
{
	return &b->caps;
}

int broker_ring_fd(const struct broker *b)
{
	return bpf_map__fd(b->skel->maps.ring);
}

int broker_list_host(struct broker *b, const char *suffix, bool provider)
{
	uint32_t class = provider ? TT_HOST_PROVIDER : TT_HOST_NEVER;
	struct tt_host_key key;

	while (*suffix == '*' || *suffix == '.')
		suffix++;
	if (!host_key(&key, suffix, true))
		return -EINVAL;
	return bpf_map_update_elem(bpf_map__fd(b->skel->maps.hosts), &key, &class, BPF_ANY);
}

int broker_list_path(struct broker *b, const char *suffix)
{
	uint32_t value = 1;
	struct tt_host_key key;

	if (!host_key(&key, suffix, false))
		return -EINVAL;
	return bpf_map_update_elem(bpf_map__fd(b->skel->maps.paths), &key, &value, BPF_ANY);
}

void broker_clear_hosts(struct broker *b)
{
	int fd = bpf_map__fd(b->skel->maps.hosts);
	struct tt_host_key key;

	for (int i = 0; i < (int)TT_HOSTS_MAX && !bpf_map_get_next_key(fd, NULL, &key); i++)
		bpf_map_delete_elem(fd, &key);
}

int broker_judge(struct broker *b, uint32_t tgid, uint64_t ssl, bool watch)
{
	struct tt_conn_key key = {.ssl = ssl, .tgid = tgid};
	uint32_t verdict = watch ? TT_WATCHED : TT_MUTED;

	return bpf_map_update_elem(bpf_map__fd(b->skel->maps.judgements), &key, &verdict, BPF_ANY);
}

void broker_forget_process(struct broker *b, uint32_t tgid)
{
	int conns = bpf_map__fd(b->skel->maps.conns);
	struct tt_conn_key key, next;
	bool more;

	/* Most processes never spoke TLS: for those this one call is all. */
	if (bpf_map_delete_elem(bpf_map__fd(b->skel->maps.tls_processes), &tgid))
		return;
	more = !bpf_map_get_next_key(conns, NULL, &key);
	/* Twice the bound: keys that vanish meanwhile make the kernel start again. */
	for (uint32_t i = 0; more && i < 2 * TT_CONNS_MAX; i++) {
		more = !bpf_map_get_next_key(conns, &key, &next);
		if (key.tgid == tgid) {
			bpf_map_delete_elem(conns, &key);
			bpf_map_delete_elem(bpf_map__fd(b->skel->maps.judgements), &key);
		}
		key = next;
	}
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* What is being armed on one file. */
struct arming {
	const struct broker *b;
	int file_fd;
	int fds[ATTACHMENT_FDS_MAX];
	size_t fd_count;
	size_t probe_count;
};

static int arm(struct arming *a, const struct bpf_program *program, enum attach_kind kind,
	       const uint64_t *offsets, size_t count, bool on_return)
{
	struct uprobe_spec spec = {
		.prog_fd = bpf_program__fd(program),
		.file_fd = a->file_fd,
		.offsets = offsets,
		.count = count,
		.on_return = on_return,
	};
	int n = uprobe_arm(kind, &spec, &a->fds[a->fd_count]);

	if (n < 0)
		return n;
	a->fd_count += n;
	a->probe_count += count;
	return 0;
}

/*
 * A return probe belongs where the return address is on top of the stack: at the function, or just
 * behind its endbr64, which touches nothing and leaves the cheaper instruction to be probed.
 */
#define ENDBR64_BYTES 4

static uint64_t return_offset(const struct probe_site *site)
{
	return site->entry == site->function + ENDBR64_BYTES ? site->entry : site->function;
}

/* The return before the entry: a frame must never be made whose return cannot be seen. */
static int arm_hook(struct arming *a, const struct probe_site *site)
{
	const struct hook_programs *hook = &a->b->programs[site->hook];
	const struct broker_caps *caps = &a->b->caps;
	enum attach_kind plain = caps->attach == ATTACH_SESSION ? ATTACH_MULTI : caps->attach;
	uint64_t at = return_offset(site);
	int rc = 0;

	if (hook->session && caps->attach == ATTACH_SESSION)
		return arm(a, hook->session, ATTACH_SESSION, &at, 1, false);
	if (hook->leave && caps->returns == RETURN_SITES)
		rc = arm(a, hook->ret_site, plain, site->returns, site->return_count, false);
	else if (hook->leave)
		rc = arm(a, hook->leave, plain, &at, 1, true);
	return rc ? rc : arm(a, hook->enter, plain, &site->entry, 1, false);
}

static void close_all(int *fds, size_t count)
{
	while (count > 0)
		close(fds[--count]);
}

/* Reasons not to touch this file at all. Returns 0 or -ENOTSUP/-EINVAL with a line in err. */
static int check_sites(const struct broker *b, const struct probe_sites *sites, char *err,
		       size_t err_size)
{
	if (sites->count == 0 || sites->count > SITES_MAX) {
		snprintf(err, err_size, "no probe sites");
		return -EINVAL;
	}
	for (size_t i = 0; i < sites->count; i++) {
		const struct probe_site *site = &sites->site[i];

		if (site->hook >= HOOKS || site->return_count > SITE_RETURNS_MAX) {
			snprintf(err, err_size, "malformed probe site");
			return -EINVAL;
		}
		if (b->caps.returns == RETURN_SITES && b->programs[site->hook].leave &&
		    site->return_count == 0) {
			snprintf(err, err_size,
				 "%s: return probes are not safe on this kernel (seccomp) and the "
				 "function's returns could not all be found",
				 hook_symbols[site->hook]);
			return -ENOTSUP;
		}
	}
	return 0;
}

static int free_slot(const struct broker *b)
{
	for (int i = 0; i < ATTACHMENTS_MAX; i++)
		if (!b->attachments[i].fds)
			return i;
	return -ENOSPC;
}

int broker_attach(struct broker *b, int fd, const struct probe_sites *sites, char *err,
		  size_t err_size)
{
	struct arming a = {.b = b, .file_fd = fd};
	int slot, rc = check_sites(b, sites, err, err_size);
	int *fds;

	if (rc)
		return rc;
	slot = free_slot(b);
	if (slot < 0) {
		snprintf(err, err_size, "more than %d files attached", ATTACHMENTS_MAX);
		return slot;
	}
	for (size_t i = 0; i < sites->count; i++) {
		rc = arm_hook(&a, &sites->site[i]);
		if (rc) {
			snprintf(err, err_size, "%s: %s probe refused by the kernel: %s",
				 hook_symbols[sites->site[i].hook],
				 attach_kind_names[b->caps.attach], strerror(-rc));
			close_all(a.fds, a.fd_count);
			return rc;
		}
	}
	fds = malloc(a.fd_count * sizeof(*fds));
	if (!fds) {
		snprintf(err, err_size, "out of memory");
		close_all(a.fds, a.fd_count);
		return -ENOMEM;
	}
	memcpy(fds, a.fds, a.fd_count * sizeof(*fds));
	b->attachments[slot] = (struct attachment){fds, a.fd_count, a.probe_count};
	return slot;
}

void broker_detach(struct broker *b, int handle)
{
	struct attachment *attachment;

	if (handle < 0 || handle >= ATTACHMENTS_MAX)
		return;
	attachment = &b->attachments[handle];
	disarm_all(attachment->fds, attachment->fd_count);
	free(attachment->fds);
	*attachment = (struct attachment){0};
}

size_t broker_probe_count(const struct broker *b, int handle)
{
	return handle >= 0 && handle < ATTACHMENTS_MAX ? b->attachments[handle].probe_count : 0;
}

/* ---- counters -------------------------------------------------------------------------------- */

static void sum_cpus(struct bpf_map *map, uint32_t count, uint64_t *out)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_(freep) uint64_t *values = cpus > 0 ? calloc(cpus, sizeof(*values)) : NULL;

	for (uint32_t i = 0; i < count; i++) {
		out[i] = 0;
		if (!values || bpf_map_lookup_elem(bpf_map__fd(map), &i, values))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			out[i] += values[cpu];
	}
}

void broker_kernel_counters(struct broker *b, uint64_t *lost, uint64_t *stats)
{
	sum_cpus(b->skel->maps.lost, TT_LOST_REASONS, lost);
	sum_cpus(b->skel->maps.gate_stats, TT_GATE_STATS, stats);
}
