/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attachment is nothing but a set of fds: closing them disarms it, and so
 * does the end of the process, however it comes.
 */
#include "agent/privsep/probes.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/privsep/calibrate.h"
#include "agent/privsep/disarm.h"
#include "agent/privsep/evictions.h"
#include "agent/privsep/uprobe.h"
#include "agent/privsep/walk.h"
#include "bpf/events.h"
#include "bpf/openssl.skel.h"

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

struct probes {
	struct probe_caps caps;
	struct openssl_bpf *skel;
	struct sockets *sockets; /* NULL: no port was asked for */
	struct hook_programs programs[HOOKS];
	struct attachment attachments[PROBES_FILES_MAX];
	struct evictions evictions;
	struct tt_host_key listed[TT_HOSTS_MAX]; /* since the hosts were settled */
	size_t listed_count;
};

static void list_programs(struct probes *b)
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
static void choose_programs(struct probes *b)
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

static void watch_evictions(struct probes *b)
{
	b->evictions = (struct evictions){
		.tables = {[TT_TABLE_CONNS] = b->skel->maps.conns,
			   [TT_TABLE_FRAMES] = b->skel->maps.frames,
			   [TT_TABLE_PROCESSES] = b->skel->maps.tls_processes,
			   [TT_TABLE_JUDGEMENTS] = b->skel->maps.judgements},
		.stats = b->skel->maps.table_stats,
	};
}

/* The decoder is forked for every file and reads what strangers wrote: it must not share these. */
static int keep_from_children(const struct openssl_bpf *skel)
{
	return madvise(skel->bss, sizeof(*skel->bss), MADV_DONTFORK) ? -errno : 0;
}

/* Returns 0 or -errno; on failure b->skel is NULL. */
static int load(struct probes *b, uint32_t ring_bytes)
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
	if (!rc)
		rc = keep_from_children(b->skel);
	if (rc) {
		openssl_bpf__destroy(b->skel);
		b->skel = NULL;
		return rc;
	}
	b->skel->bss->own_tgids[0] = (uint32_t)getpid();
	watch_evictions(b);
	return 0;
}

/* Tries this kind of link, then the plainer ones unless it was forced. */
static int load_best(struct probes *b, const struct probe_opts *opts)
{
	for (;;) {
		int rc = load(b, opts->ring_bytes ? opts->ring_bytes : TT_RING_BYTES);

		if (!rc || opts->force_attach >= 0 || b->caps.attach == ATTACH_PERF)
			return rc;
		log_warn("probes", "%s probes do not load here (%s); trying %s",
			 attach_kind_names[b->caps.attach], strerror(-rc),
			 attach_kind_names[b->caps.attach + 1]);
		b->caps.attach++;
		if (b->caps.attach == ATTACH_MULTI && !b->caps.multi)
			b->caps.attach++;
	}
}

/* Applies what the caller insists on. Returns 0 or -EINVAL. */
static int apply_force(struct probe_caps *caps, const struct probe_opts *opts)
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

int probes_new(struct probes **out, const struct probe_opts *opts, char *err, size_t err_size)
{
	struct probes *b = calloc(1, sizeof(*b));
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
	b->caps.plaintext_ports = port_set_count(&opts->plaintext_ports);
	rc = b->caps.plaintext_ports
		     ? sockets_new(&b->sockets, b->skel->obj, &opts->plaintext_ports, err, err_size)
		     : 0;
	if (rc)
		goto fail;
	*out = b;
	return 0;
fail:
	probes_free(b);
	return rc;
}

/* The probes of all files at once: together they take as long as a few. */
static void detach_all(struct probes *b)
{
	_cleanup_(freep) int *fds = NULL;
	size_t count = 0;

	for (int i = 0; i < PROBES_FILES_MAX; i++)
		count += b->attachments[i].fd_count;
	fds = count ? malloc(count * sizeof(*fds)) : NULL;
	count = 0;
	for (int i = 0; fds && i < PROBES_FILES_MAX; i++) {
		struct attachment *attachment = &b->attachments[i];

		if (attachment->fd_count)
			memcpy(&fds[count], attachment->fds, attachment->fd_count * sizeof(*fds));
		count += attachment->fd_count;
		attachment->fd_count = 0;
	}
	disarm_all(fds, count);
	for (int i = 0; i < PROBES_FILES_MAX; i++)
		probes_detach(b, i);
}

void probes_free(struct probes *b)
{
	if (!b)
		return;
	detach_all(b);
	sockets_free(b->sockets);
	openssl_bpf__destroy(b->skel);
	free(b);
}

const struct probe_caps *probes_caps(const struct probes *b)
{
	return &b->caps;
}

int probes_ring_fd(const struct probes *b)
{
	return bpf_map__fd(b->skel->maps.ring);
}

uint32_t probes_ring_bytes(const struct probes *b)
{
	return bpf_map__max_entries(b->skel->maps.ring);
}

void probes_set_own(struct probes *b, const uint32_t *tgids, size_t count)
{
	for (size_t i = 0; i < TT_OWN_MAX; i++)
		b->skel->bss->own_tgids[i] = i < count ? tgids[i] : 0;
	sockets_set_own(b->sockets, tgids, count);
}

void probes_new_reader(struct probes *b)
{
	b->skel->bss->reader_epoch++;
	sockets_new_reader(b->sockets);
}

int probes_list_host(struct probes *b, const char *suffix, bool provider)
{
	uint32_t class = provider ? TT_HOST_PROVIDER : TT_HOST_NEVER;
	struct tt_host_key key;

	while (*suffix == '*' || *suffix == '.')
		suffix++;
	if (!host_key(&key, suffix, *suffix != '-'))
		return -EINVAL;
	if (b->listed_count == TT_HOSTS_MAX)
		return -ENOSPC;
	b->listed[b->listed_count++] = key;
	return bpf_map_update_elem(bpf_map__fd(b->skel->maps.hosts), &key, &class, BPF_ANY);
}

static bool is_listed(const struct probes *b, const struct tt_host_key *key)
{
	for (size_t i = 0; i < b->listed_count; i++) {
		if (memcmp(&b->listed[i], key, sizeof(*key)) == 0)
			return true;
	}
	return false;
}

void probes_settle_hosts(struct probes *b)
{
	int fd = bpf_map__fd(b->skel->maps.hosts);
	struct tt_host_key key, kept, *last = NULL;

	/* Onwards from what stays: a key that is gone would begin the walk again. */
	for (size_t i = 0; i < TT_HOSTS_MAX && !bpf_map_get_next_key(fd, last, &key); i++) {
		if (!is_listed(b, &key)) {
			bpf_map_delete_elem(fd, &key);
			continue;
		}
		kept = key;
		last = &kept;
	}
	b->listed_count = 0;
}

int probes_list_path(struct probes *b, const char *suffix)
{
	uint32_t value = 1;
	struct tt_host_key key;

	if (!host_key(&key, suffix, false))
		return -EINVAL;
	return bpf_map_update_elem(bpf_map__fd(b->skel->maps.paths), &key, &value, BPF_ANY);
}

int probes_judge(struct probes *b, uint32_t tgid, uint64_t ssl, bool watch)
{
	struct tt_conn_key key = {.ssl = ssl, .tgid = tgid};
	uint32_t verdict = watch ? TT_WATCHED : TT_MUTED;
	int fd = bpf_map__fd(b->skel->maps.judgements);
	int rc = bpf_map_update_elem(fd, &key, &verdict, BPF_NOEXIST);

	if (!rc)
		b->evictions.added[TT_TABLE_JUDGEMENTS]++;
	return rc == -EEXIST ? bpf_map_update_elem(fd, &key, &verdict, BPF_ANY) : rc;
}

static bool forget(struct probes *b, enum tt_table table, const void *key)
{
	if (bpf_map_delete_elem(bpf_map__fd(b->evictions.tables[table]), key))
		return false;
	b->evictions.removed[table]++;
	return true;
}

struct ended {
	struct probes *b;
	uint32_t tgid;
};

static void forget_conn(void *user, const void *data)
{
	const struct ended *ended = user;
	const struct tt_conn_key *key = data;

	if (key->tgid != ended->tgid)
		return;
	forget(ended->b, TT_TABLE_CONNS, key);
	forget(ended->b, TT_TABLE_JUDGEMENTS, key);
}

/* A call in which the process was killed. */
static void forget_frame(void *user, const void *data)
{
	const struct ended *ended = user;
	const struct tt_frame_key *key = data;

	if (key->pid_tgid >> 32 == ended->tgid)
		forget(ended->b, TT_TABLE_FRAMES, key);
}

void probes_forget_process(struct probes *b, uint32_t tgid)
{
	struct ended ended = {b, tgid};

	/* Most processes never spoke TLS: for those this one call is all. */
	if (!forget(b, TT_TABLE_PROCESSES, &tgid))
		return;
	map_walk(b->skel->maps.conns, forget_conn, &ended);
	map_walk(b->skel->maps.frames, forget_frame, &ended);
}

bool probes_know_process(const struct probes *b, uint32_t tgid)
{
	uint32_t value;

	return bpf_map_lookup_elem(bpf_map__fd(b->skel->maps.tls_processes), &tgid, &value) == 0;
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* What is being armed on one file. */
struct arming {
	const struct probes *b;
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
	const struct probe_caps *caps = &a->b->caps;
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

static bool sees_requests(enum hook hook)
{
	return hook == HOOK_WRITE || hook == HOOK_WRITE_EX || hook == HOOK_WRITE_EX2;
}

/*
 * Writes come last: no request may be seen whose answer is not. *refused is the site at which an
 * error came.
 */
static int arm_sites(struct arming *a, const struct probe_sites *sites, size_t *refused)
{
	for (int writes = 0; writes <= 1; writes++) {
		for (size_t i = 0; i < sites->count; i++) {
			int rc = sees_requests(sites->site[i].hook) == writes
					 ? arm_hook(a, &sites->site[i])
					 : 0;

			*refused = i;
			if (rc)
				return rc;
		}
	}
	return 0;
}

static void close_all(int *fds, size_t count)
{
	while (count > 0)
		close(fds[--count]);
}

/* Reasons not to touch this file at all. Returns 0 or -ENOTSUP/-EINVAL with a line in err. */
static int check_sites(const struct probes *b, const struct probe_sites *sites, char *err,
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

static int free_slot(const struct probes *b)
{
	for (int i = 0; i < PROBES_FILES_MAX; i++)
		if (!b->attachments[i].fds)
			return i;
	return -ENOSPC;
}

int probes_attach(struct probes *b, int fd, const struct probe_sites *sites, char *err,
		  size_t err_size)
{
	struct arming a = {.b = b, .file_fd = fd};
	int slot, rc = check_sites(b, sites, err, err_size);
	size_t refused = 0;
	int *fds;

	if (rc)
		return rc;
	slot = free_slot(b);
	if (slot < 0) {
		snprintf(err, err_size, "more than %d files attached", PROBES_FILES_MAX);
		return slot;
	}
	rc = arm_sites(&a, sites, &refused);
	if (rc) {
		snprintf(err, err_size, "%s: %s probe refused by the kernel: %s",
			 hook_symbols[sites->site[refused].hook], attach_kind_names[b->caps.attach],
			 strerror(-rc));
		close_all(a.fds, a.fd_count);
		return rc;
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

void probes_detach(struct probes *b, int handle)
{
	struct attachment *attachment;

	if (handle < 0 || handle >= PROBES_FILES_MAX)
		return;
	attachment = &b->attachments[handle];
	disarm_all(attachment->fds, attachment->fd_count);
	free(attachment->fds);
	*attachment = (struct attachment){0};
}

size_t probes_probe_count(const struct probes *b, int handle)
{
	return handle >= 0 && handle < PROBES_FILES_MAX ? b->attachments[handle].probe_count : 0;
}

/* ---- counters -------------------------------------------------------------------------------- */

void probes_kernel_counters(struct probes *b, uint64_t *lost, uint64_t *stats)
{
	percpu_sum(b->skel->maps.lost, TT_LOST_REASONS, lost);
	percpu_sum(b->skel->maps.gate_stats, TT_GATE_STATS, stats);
	evictions_count(&b->evictions);
	for (int i = 0; i < TT_TABLES; i++)
		lost[TT_LOST_EVICTED_FIRST + i] = b->evictions.evicted[i];
}
