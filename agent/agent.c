/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <limits.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/notify.h"
#include "agent/courier/courier.h"
#include "agent/privsep/capabilities.h"
#include "agent/privsep/channel.h"
#include "agent/privsep/sandbox.h"
#include "agent/privsep/serve.h"
#include "agent/providers/provider.h"
#include "agent/worker.h"
#include "exporter/calendar.h"
#include "exporter/handover.h"
#include "exporter/http.h"
#include "exporter/ledger.h"
#include "exporter/secret.h"
#include "pricing/catalog.h"

/* To fork worker and courier again, as who they are, and to end them. */
#define SUPERVISOR_CAPS (SANDBOX_CAP(CAP_SETUID) | SANDBOX_CAP(CAP_SETGID) | SANDBOX_CAP(CAP_KILL))

/*
 * The ring's reader: ten times the share of a program that does nothing but compute, and the
 * shortest time slice there is, so that when woken it does not wait for those of others.
 */
#define READER_NICE	(-10)
#define READER_SLICE_NS 100000

/* What all processes are forked with. */
struct agent {
	const struct config *config;
	int argc;
	char **argv;
	struct supervisor_board *board;
	struct lifeline *broker_line;
	pid_t supervisor;
	bool may_change_user;
	struct identity identity[AGENT_PROCESSES];
	gid_t courier_groups[SANDBOX_GROUPS_MAX]; /* the ledger's, and --courier.group */
	size_t courier_group_count;
	struct kubelet_opts kubelet;
	char kubelet_url[KUBELET_URL_MAX]; /* where the operator gave none */
	int storage_fd; /* the directory: a later worker's path to it may be closed by then */
	char secret_path[PATH_MAX]; /* of --fingerprint.key-file; "": none */
	int listen_fd;
	int ready_fd;
	int control[2]; /* supervisor -> broker */
	int courier[2]; /* worker, courier */
	int worker[2];	/* worker, broker: made anew for each worker */
};

static void close_pair(int pair[2])
{
	closep(&pair[0]);
	closep(&pair[1]);
}

static const struct identity *identity_of(const struct agent *a, enum agent_process process)
{
	return a->may_change_user ? &a->identity[process] : NULL;
}

/*
 * The ring holds a second or two of traffic: a reader that waits for its turn among busy programs
 * loses the rest. A later worker inherits it from the supervisor. Where only the privilege is
 * missing, the service manager may have set it.
 */
static void go_first(void)
{
	int nice = getpriority(PRIO_PROCESS, 0);
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = SCHED_NORMAL,
		.sched_nice = nice < READER_NICE ? nice : READER_NICE,
		.sched_runtime = READER_SLICE_NS,
	};

	if (syscall(SYS_sched_setattr, 0, &attr, 0))
		log_debug("run", "the reader has no precedence over busy programs: %s",
			  strerror(errno));
}

/* ---- in the children --------------------------------------------------------------------------
 */

/* Ctrl-C reaches the whole group; these two end after the worker, when the supervisor says so. */
static void leave_interrupts_to_others(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* Only the reader of the ring is in a hurry, and those whose answers it waits for. */
static void stand_back(void)
{
	if (getpriority(PRIO_PROCESS, 0) < 0)
		setpriority(PRIO_PROCESS, 0, 0);
}

static struct probe_opts probe_opts_of(const struct config *config)
{
	struct probe_opts opts = {
		.ring_bytes = (uint32_t)config->ring_bytes,
		.force_attach = -1,
		.force_returns = -1,
	};

	for (int i = 0; i < ATTACH_KINDS; i++) {
		if (!strcmp(config->attach, attach_kind_names[i]))
			opts.force_attach = i;
	}
	for (int i = 0; i < RETURN_KINDS; i++) {
		if (!strcmp(config->returns, return_kind_names[i]))
			opts.force_returns = i;
	}
	if (config->plaintext_ports) /* read once already, as the option was */
		port_set_parse(&opts.plaintext_ports, config->plaintext_ports);
	return opts;
}

/* It is for those who tell of it: who reads what strangers wrote must not be able to write it. */
static void leave_board(struct agent *a)
{
	supervisor_board_free(a->board);
	a->board = NULL;
}

static int run_broker(void *user)
{
	struct agent *a = user;
	const struct config *config = a->config;
	const struct serve_opts opts = {
		.probes = probe_opts_of(config),
		.control_fd = a->control[1],
		.identity = identity_of(a, AGENT_BROKER),
		.supervisor = a->supervisor,
		.line = a->broker_line,
		.settings = {config->config_file, config->prices_file, config->prices_dir,
			     *a->secret_path ? a->secret_path : NULL},
	};

	leave_interrupts_to_others();
	leave_board(a);
	channel_keep_only(&opts.control_fd, 1);
	return broker_serve(&opts);
}

static int run_courier(void *user)
{
	struct agent *a = user;
	struct sandbox_drop drop = {
		.identity = identity_of(a, AGENT_COURIER),
		.group_count = a->courier_group_count,
		.parent = a->supervisor,
	};
	const struct courier_opts opts = {
		.container_sockets = a->config->container_sockets,
		.container_socket_count = a->config->container_socket_count,
		.labels = {a->config->container_labels, a->config->container_label_count},
		.kubelet = a->kubelet,
	};
	char err[SANDBOX_ERROR_MAX] = "";

	leave_interrupts_to_others();
	stand_back();
	leave_board(a);
	lifeline_free(a->broker_line);
	channel_keep_only(&a->courier[1], 1);
	memcpy(drop.groups, a->courier_groups, sizeof(drop.groups));
	if (sandbox_become(&drop, err, sizeof(err)))
		return cli_fail(EXIT_PRIVILEGE, "run", "%s", err);
	if (courier_prepare(err, sizeof(err)))
		log_error("courier", "%s", err);
	if (sandbox_seal(SANDBOX_COURIER, err, sizeof(err)))
		return cli_fail(EXIT_PRIVILEGE, "run", "%s", err);
	return courier_run(a->courier[1], &opts);
}

static int run_worker(void *user)
{
	struct agent *a = user;
	const struct worker_opts opts = {
		.config = a->config,
		.argc = a->argc,
		.argv = a->argv,
		.broker_fd = a->worker[0],
		.broker_line = a->broker_line,
		.storage_fd = a->storage_fd,
		.listen_fd = a->listen_fd,
		.courier_fd = a->courier[0],
		.ready_fd = a->ready_fd,
		.supervisor = a->supervisor,
		.identity = identity_of(a, AGENT_WORKER),
		.board = a->board,
	};
	const int kept[] = {opts.broker_fd, opts.storage_fd, opts.listen_fd, opts.courier_fd,
			    opts.ready_fd};

	channel_keep_only(kept, ARRAY_LEN(kept));
	if (lifeline_watch(a->broker_line))
		return cli_fail(EXIT_FAILED, "run", "out of memory");
	return worker_run(&opts);
}

/* ---- in the supervisor ------------------------------------------------------------------------
 */

static void tell_broker(struct agent *a, enum own_process which, uint32_t pid, int fd)
{
	const struct own_started started = {.which = which, .pid = pid};

	/* A broker that is gone ends the agent; there is nothing to add. */
	(void)!channel_send(a->control[0], &started, sizeof(started), fd);
}

static void broker_started(void *user, uint32_t pid)
{
	struct agent *a = user;

	(void)pid;
	closep(&a->control[1]);
	tell_broker(a, OWN_SUPERVISOR, (uint32_t)a->supervisor, -1);
}

static void courier_started(void *user, uint32_t pid)
{
	tell_broker(user, OWN_COURIER, pid, -1);
}

static int prepare_worker(void *user)
{
	struct agent *a = user;
	int rc;

	close_pair(a->worker); /* of a worker that could not be forked */
	rc = channel_pair(a->worker);
	return rc ? rc : channel_want_credentials(a->worker[1]);
}

static void worker_started(void *user, uint32_t pid)
{
	struct agent *a = user;

	tell_broker(a, OWN_WORKER, pid, a->worker[1]);
	close_pair(a->worker);
}

/* Its number may soon be another's, whose calls count. */
static void courier_ended(void *user)
{
	tell_broker(user, OWN_COURIER, 0, -1);
}

static void worker_ended(void *user)
{
	tell_broker(user, OWN_WORKER, 0, -1);
}

static void on_ready(void *user)
{
	(void)user;
	printf("ready\n");
	fflush(stdout);
	notify_systemd("READY=1");
}

static void on_stopping(void *user)
{
	(void)user;
	notify_systemd("STOPPING=1");
}

static const struct supervised processes[AGENT_PROCESSES] = {
	[AGENT_BROKER] = {.name = "broker", .run = run_broker, .started = broker_started},
	[AGENT_COURIER] = {.name = "courier",
			   .restarts = true,
			   .run = run_courier,
			   .started = courier_started,
			   .ended = courier_ended},
	[AGENT_WORKER] = {.name = "worker",
			  .restarts = true,
			  .fatal_code = WORKER_BROKER_SILENT,
			  .prepare = prepare_worker,
			  .run = run_worker,
			  .started = worker_started,
			  .ended = worker_ended},
};

/* ---- before anything runs, in the order in which a failure is cheapest --------------------------
 */

static int failed(enum exit_code code, const char *err)
{
	return cli_fail(code, "run", "%s", err);
}

/* No core file may hold plaintext, and no other process of this user may read our memory. */
static void protect_memory(void)
{
	struct rlimit no_core = {0, 0};

	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* The worker reads them again for itself; here a mistake is told before anything is touched. */
static int check_tables(const struct config *config)
{
	struct provider_table *providers = NULL;
	struct catalog *catalog = NULL;
	char err[CATALOG_ERROR_MAX] = "out of memory";
	int rc = provider_table_new(&providers);

	for (size_t i = 0; rc == 0 && i < config->provider_host_count; i++)
		rc = provider_table_add_host(providers, config->provider_hosts[i], err,
					     sizeof(err));
	if (rc == 0)
		rc = catalog_load(&catalog, config->prices_file, config->prices_dir, err,
				  sizeof(err));
	catalog_free(catalog);
	provider_table_free(providers);
	malloc_trim(0); /* every process to come would carry what was freed */
	return rc < 0 ? failed(EXIT_CONFIG, err) : EXIT_OK;
}

/* Of reports, the sums in the metrics among them; the processes to come inherit it. */
static int take_zone(const struct config *config)
{
	char err[256];

	return calendar_use(config->timezone, err, sizeof(err)) < 0 ? failed(EXIT_CONFIG, err)
								    : EXIT_OK;
}

/* The same of the fleet's secret, which the worker asks the broker for. */
static int check_secret(struct agent *a)
{
	const char *source = a->config->fingerprint_key_file;
	uint8_t key[LEDGER_KEY_BYTES];
	char err[LEDGER_ERROR_MAX] = "";
	int rc = 0;

	if (source)
		rc = secret_path(a->secret_path, source, err, sizeof(err));
	if (source && rc == 0)
		rc = secret_load(key, source, NULL, err, sizeof(err));
	explicit_bzero(key, sizeof(key));
	return rc < 0 ? failed(EXIT_CONFIG, err) : EXIT_OK;
}

static bool port_is_low(const char *address)
{
	const char *colon = strrchr(address, ':');
	long port = colon ? strtol(colon + 1, NULL, 10) : 0;

	return port > 0 && port < 1024;
}

/* Without these nothing can be metered, so nothing is made or listened on either. */
static int check_privilege(struct agent *a)
{
	const uint64_t permitted = sandbox_permitted_caps();
	const uint64_t probes = SANDBOX_CAP(CAP_BPF) | SANDBOX_CAP(CAP_PERFMON);
	const uint64_t users = SANDBOX_CAP(CAP_SETUID) | SANDBOX_CAP(CAP_SETGID);
	struct capability_facts facts;

	a->may_change_user = (permitted & users) == users;
	if ((permitted & probes) == probes || permitted & SANDBOX_CAP(CAP_SYS_ADMIN)) {
		capability_facts_read(&facts);
		facts.low_port = port_is_low(a->config->web_listen_address);
		capabilities_log_missing(permitted, &facts);
		return EXIT_OK;
	}
	return failed(EXIT_PRIVILEGE,
		      "no privilege to load BPF and attach probes: run as root (needs CAP_BPF, "
		      "CAP_PERFMON, CAP_SYS_PTRACE and, where uprobe_multi is missing, "
		      "CAP_SYS_ADMIN), outside of an unprivileged container");
}

static int find_users(struct agent *a)
{
	static const char *const names[AGENT_PROCESSES] = {
		[AGENT_BROKER] = IDENTITY_BROKER,
		[AGENT_COURIER] = IDENTITY_COURIER,
		[AGENT_WORKER] = IDENTITY_WORKER,
	};

	for (size_t i = 0; a->may_change_user && i < AGENT_PROCESSES; i++) {
		int rc = identity_resolve(&a->identity[i], names[i]);

		if (rc)
			return cli_fail(EXIT_FAILED, "run", "no user for the %s: %s",
					agent_process_names[i], strerror(-rc));
	}
	return EXIT_OK;
}

/* To read the ledger, and to open the sockets of container engines as the operator wants it. */
static int find_courier_groups(struct agent *a)
{
	if (a->may_change_user)
		a->courier_groups[a->courier_group_count++] = a->identity[AGENT_WORKER].gid;
	for (size_t i = 0; i < a->config->courier_group_count; i++) {
		const char *name = a->config->courier_groups[i];
		const struct group *group = getgrnam(name);

		if (!group)
			return cli_fail(EXIT_CONFIG, "run", "--courier.group: no group '%s' here",
					name);
		if (a->courier_group_count == SANDBOX_GROUPS_MAX)
			return cli_fail(EXIT_CONFIG, "run", "--courier.group: at most %d groups",
					SANDBOX_GROUPS_MAX - 1);
		a->courier_groups[a->courier_group_count++] = group->gr_gid;
	}
	return EXIT_OK;
}

static int find_kubelet(struct agent *a)
{
	char err[256];

	a->kubelet = (struct kubelet_opts){
		.url = a->config->kubelet_url,
		.token_file = a->config->kubernetes_token,
		.ca_file = a->config->kubernetes_ca,
		.node = a->config->kubernetes_node,
	};
	if (kubelet_opts_complete(&a->kubelet, getenv("KUBERNETES_SERVICE_HOST"),
				  getenv("NODE_NAME"), a->kubelet_url, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "run", "%s", err);
	return EXIT_OK;
}

static int prepare_storage(struct agent *a)
{
	const struct identity *worker = identity_of(a, AGENT_WORKER);
	char err[LEDGER_ERROR_MAX] = "";

	a->storage_fd = handover(a->config->storage_path, worker ? worker->uid : geteuid(),
				 worker ? worker->gid : getegid(), err, sizeof(err));
	return a->storage_fd < 0 ? failed(EXIT_STORAGE, err) : EXIT_OK;
}

static int prepare_sockets(struct agent *a)
{
	char err[256] = "";

	a->listen_fd = http_listen(a->config->web_listen_address, err, sizeof(err));
	if (a->listen_fd < 0)
		return failed(EXIT_ADDRESS, err);
	a->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->ready_fd < 0 || channel_pair(a->control) || channel_pair(a->courier))
		return cli_fail(EXIT_FAILED, "run", "no sockets between processes: %s",
				strerror(errno));
	return EXIT_OK;
}

static int prepare(struct agent *a)
{
	int code = check_tables(a->config);

	if (code == EXIT_OK)
		code = take_zone(a->config);
	if (code == EXIT_OK)
		code = check_secret(a);
	if (code == EXIT_OK)
		code = check_privilege(a);
	if (code == EXIT_OK)
		code = find_users(a);
	if (code == EXIT_OK)
		code = find_courier_groups(a);
	if (code == EXIT_OK)
		code = find_kubelet(a);
	if (code == EXIT_OK)
		code = prepare_storage(a);
	if (code == EXIT_OK)
		code = prepare_sockets(a);
	return code;
}

int agent_run(const struct config *config, int argc, char **argv)
{
	struct agent a = {
		.config = config,
		.argc = argc,
		.argv = argv,
		.board = supervisor_board_new(),
		.broker_line = lifeline_new(),
		.supervisor = getpid(),
		.storage_fd = -1,
		.listen_fd = -1,
		.ready_fd = -1,
		.control = {-1, -1},
		.courier = {-1, -1},
		.worker = {-1, -1},
	};
	struct supervisor_opts opts = {
		.processes = processes,
		.count = AGENT_PROCESSES,
		.user = &a,
		.board = a.board,
		.ready = on_ready,
		.stopping = on_stopping,
		.hangup_to = AGENT_WORKER,
		.caps = sandbox_permitted_caps() & SUPERVISOR_CAPS,
	};
	int code;

	protect_memory();
	log_set_level(config->log_level);
	go_first();
	code = a.board && a.broker_line ? prepare(&a) : failed(EXIT_FAILED, "out of memory");
	opts.ready_fd = a.ready_fd;
	if (code == EXIT_OK)
		code = supervisor_run(&opts);
	closep(&a.storage_fd);
	closep(&a.listen_fd);
	closep(&a.ready_fd);
	close_pair(a.control);
	close_pair(a.courier);
	close_pair(a.worker);
	lifeline_free(a.broker_line);
	supervisor_board_free(a.board);
	return code;
}
