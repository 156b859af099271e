/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/counters.h"
#include "agent/base/loop.h"
#include "agent/base/notify.h"
#include "agent/capture/capture.h"
#include "agent/discovery/discovery.h"
#include "agent/pipeline.h"
#include "agent/privsep/broker.h"
#include "agent/status.h"
#include "bpf/events.h"
#include "exporter/aggregate.h"
#include "exporter/http.h"
#include "exporter/ledger.h"

#define TICK_NS		 (NSEC_PER_SEC / TICKS_PER_SECOND)
#define TICKS_PER_SECOND 2

struct agent {
	const struct config *config;
	int argc;
	char **argv;
	struct loop loop;
	struct broker *broker;
	struct capture *capture;
	struct discovery *discovery;
	struct pipeline *pipeline;
	struct ledger *ledger;
	struct aggregate *aggregate;
	struct http_server *http;
	int signal_fd;
	int timer_fd;
	int64_t started_us;
	unsigned ticks;
	bool ready;
};

/* ---- what the pipeline delivers ------------------------------------------------------------- */

static void on_call(void *user, const struct call *call, const char *model_id)
{
	struct agent *a = user;

	aggregate_add(a->aggregate, call, model_id);
	if (ledger_append(a->ledger, call) < 0)
		log_error("ledger",
			  "a call of %s was counted in metrics but not recorded: queue full",
			  call->workload.comm);
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	struct agent *a = user;

	aggregate_ignored(a->aggregate, provider, reason);
}

static void on_judge(void *user, uint32_t tgid, uint64_t ssl, bool watch)
{
	struct agent *a = user;
	int err = broker_judge(a->broker, tgid, ssl, watch);

	if (err)
		log_warn("gate", "pid %u: judgement not stored: %s", tgid, strerror(-err));
}

static const struct pipeline_ops pipeline_ops = {
	.call = on_call,
	.ignored = on_ignored,
	.judge = on_judge,
};

static void on_program_started(void *user, uint32_t pid, struct slice exe)
{
	struct agent *a = user;

	pipeline_program_started(a->pipeline, pid, exe);
}

static void on_process_started(void *user, uint32_t pid)
{
	struct agent *a = user;

	pipeline_process_started(a->pipeline, pid);
}

/* Everything the ring holds now, however fast it is filled meanwhile. */
static void drain_all(struct agent *a)
{
	for (uint32_t n = 0; n < a->config->ring_bytes / CAPTURE_DRAIN_MAX; n++) {
		if (!capture_drain(a->capture))
			return;
	}
}

/* The ring may still hold the process' last bytes: they count before its end does. */
static void on_process_exited(void *user, uint32_t pid)
{
	struct agent *a = user;

	drain_all(a);
	pipeline_process_exited(a->pipeline, pid, clock_mono_ns());
	broker_forget_process(a->broker, pid);
}

static const struct discovery_ops discovery_ops = {
	.program_started = on_program_started,
	.process_started = on_process_started,
	.process_exited = on_process_exited,
};

/* ---- status --------------------------------------------------------------------------------- */

static void refresh_counters(void *user)
{
	static const enum counter lost_counter[TT_LOST_REASONS] = {
		[TT_LOST_RING_FULL] = COUNTER_LOST_RING_FULL,
		[TT_LOST_USER_COPY] = COUNTER_LOST_USER_COPY,
		[TT_LOST_CALL_TOO_LONG] = COUNTER_LOST_CALL_TOO_LONG,
		[TT_LOST_FRAME_MAP] = COUNTER_LOST_FRAME_MAP,
		[TT_LOST_CONN_MAP] = COUNTER_LOST_CONN_MAP,
	};
	static const struct {
		uint32_t verdict;
		enum counter counter;
	} verdict_counter[] = {
		{TT_WATCHED, COUNTER_CONN_DECODED},
		{TT_CANDIDATE, COUNTER_CONN_CANDIDATE},
		{TT_MUTED, COUNTER_CONN_MUTED},
		{TT_MUTED_SERVER, COUNTER_CONN_MUTED_SERVER},
		{TT_MUTED_NEVER, COUNTER_CONN_MUTED_NEVER},
		{TT_BLIND_HTTP2, COUNTER_CONN_BLIND_HTTP2},
	};
	struct agent *a = user;
	uint64_t lost[TT_LOST_REASONS], stats[TT_GATE_STATS];

	broker_kernel_counters(a->broker, lost, stats);
	for (size_t i = 0; i < TT_LOST_REASONS; i++)
		counter_set(lost_counter[i], lost[i]);
	for (size_t i = 0; i < ARRAY_LEN(verdict_counter); i++)
		counter_set(verdict_counter[i].counter,
			    stats[TT_STAT_VERDICT_FIRST + verdict_counter[i].verdict]);
	counter_set(COUNTER_CAPTURE_CALLS, stats[TT_STAT_CALLS]);
	counter_set(COUNTER_CAPTURE_BYTES, stats[TT_STAT_BYTES_TAKEN]);
}

static void add_counters(cJSON *status)
{
	cJSON *connections = cJSON_AddObjectToObject(status, "connections");
	cJSON *counters = cJSON_AddObjectToObject(status, "counters");
	uint64_t muted = counter_get(COUNTER_CONN_MUTED) + counter_get(COUNTER_CONN_MUTED_SERVER) +
			 counter_get(COUNTER_CONN_MUTED_NEVER);
	uint64_t blind =
		counter_get(COUNTER_CONN_BLIND_HTTP2) + counter_get(COUNTER_CONN_BLIND_UPGRADE);
	char name[256];

	cJSON_AddNumberToObject(connections, "decoded", (double)counter_get(COUNTER_CONN_DECODED));
	cJSON_AddNumberToObject(connections, "candidate",
				(double)counter_get(COUNTER_CONN_CANDIDATE));
	cJSON_AddNumberToObject(connections, "muted", (double)muted);
	cJSON_AddNumberToObject(connections, "blind", (double)blind);
	for (size_t i = 0; i < COUNTERS; i++) {
		snprintf(name, sizeof(name), counter_rows[i].labels[0] ? "%s{%s}" : "%s%s",
			 counter_rows[i].family, counter_rows[i].labels);
		cJSON_AddNumberToObject(counters, name, (double)counter_get((enum counter)i));
	}
}

static cJSON *build_status(struct agent *a)
{
	cJSON *status = cJSON_CreateObject();
	char text[CLOCK_TEXT_MAX], web[320];

	refresh_counters(a);
	snprintf(web, sizeof(web), "http://%s", a->config->web_listen_address);
	cJSON_AddNumberToObject(status, "pid", getpid());
	cJSON_AddStringToObject(status, "version", TOLLTAP_VERSION);
	cJSON_AddStringToObject(status, "started_at", clock_format_us(text, a->started_us));
	cJSON_AddStringToObject(status, "updated_at",
				clock_format_us(text, clock_wall_ns() / 1000));
	cJSON_AddStringToObject(status, "web", web);
	cJSON_AddStringToObject(status, "prices_sha256",
				catalog_sha256(pipeline_catalog(a->pipeline)));
	status_add_kernel(status, broker_caps(a->broker));
	discovery_status(a->discovery, status);
	add_counters(status);
	pipeline_status(a->pipeline, status);
	return status;
}

static char *status_text(void *user)
{
	cJSON *status = build_status(user);
	char *text = cJSON_PrintUnformatted(status);

	cJSON_Delete(status);
	return text;
}

static void publish_status(struct agent *a)
{
	cJSON *status = build_status(a);
	int err = status_write(a->config->storage_path, status);

	if (err)
		log_warn("status", "%s/" STATUS_FILE " not written: %s", a->config->storage_path,
			 strerror(-err));
	cJSON_Delete(status);
}

static bool is_ready(void *user, char *why, size_t why_size)
{
	struct agent *a = user;

	if (!a->ready)
		snprintf(why, why_size, "probes are not attached yet");
	else if (!ledger_healthy(a->ledger))
		snprintf(why, why_size, "the ledger cannot write to %s", a->config->storage_path);
	else
		return true;
	return false;
}

/* ---- reload --------------------------------------------------------------------------------- */

static void list_provider_host(void *user, const char *suffix)
{
	struct agent *a = user;
	int err = broker_list_host(a->broker, suffix, true);

	if (err)
		log_warn("gate", "host %s not listed: %s", suffix, strerror(-err));
}

static void list_candidate_path(void *user, const char *suffix)
{
	struct agent *a = user;
	int err = broker_list_path(a->broker, suffix);

	if (err)
		log_warn("gate", "path %s not listed: %s", suffix, strerror(-err));
}

static void fill_host_gate(struct agent *a, const struct config *config)
{
	broker_clear_hosts(a->broker);
	provider_table_each_host(pipeline_providers(a->pipeline), list_provider_host, a);
	for (size_t i = 0; i < config->never_host_count; i++) {
		int err = broker_list_host(a->broker, config->never_hosts[i], false);

		if (err)
			log_warn("gate", "host %s not listed: %s", config->never_hosts[i],
				 strerror(-err));
	}
}

static int load_providers(struct provider_table **out, const struct config *config, char *err,
			  size_t err_size)
{
	struct provider_table *table = NULL;
	int rc = provider_table_new(&table);

	for (size_t i = 0; rc == 0 && i < config->provider_host_count; i++)
		rc = provider_table_add_host(table, config->provider_hosts[i], err, err_size);
	if (rc) {
		provider_table_free(table);
		return rc;
	}
	*out = table;
	return 0;
}

/* config_load takes the flags it knows out of argv: it works on a copy. */
static int read_config(struct config *out, const struct agent *a, char *err, size_t err_size)
{
	_cleanup_(freep) char **argv = calloc((size_t)a->argc + 1, sizeof(*argv));
	int argc = a->argc;

	if (!argv)
		return -ENOMEM;
	memcpy(argv, a->argv, (size_t)argc * sizeof(*argv));
	return config_load(out, &argc, argv, err, err_size);
}

/* The new tables replace the old only when all of them are valid. */
static void reload(struct agent *a)
{
	struct config config = {0};
	struct catalog *catalog = NULL;
	struct provider_table *providers = NULL;
	char err[CONFIG_ERROR_MAX] = "out of memory";

	if (read_config(&config, a, err, sizeof(err)) < 0 ||
	    load_providers(&providers, &config, err, sizeof(err)) < 0) {
		counter_add(COUNTER_CONFIG_RELOADS_BAD, 1);
		log_error("reload", "the old configuration stays: %s", err);
	} else if (catalog_load(&catalog, config.prices_file, config.prices_dir, err, sizeof(err)) <
		   0) {
		counter_add(COUNTER_PRICES_RELOADS_BAD, 1);
		counter_add(COUNTER_CONFIG_RELOADS_BAD, 1);
		log_error("reload", "the old prices stay: %s", err);
	} else {
		log_set_level(config.log_level);
		pipeline_set_catalog(a->pipeline, catalog);
		aggregate_set_prices(a->aggregate, catalog_sha256(catalog));
		pipeline_set_hosts(a->pipeline, providers);
		fill_host_gate(a, &config);
		counter_add(COUNTER_CONFIG_RELOADS, 1);
		log_info("reload", "hosts, prices and log level are reloaded; storage, address and "
				   "capture options need a restart");
	}
	provider_table_free(providers);
	config_free(&config);
}

/* ---- loop sources --------------------------------------------------------------------------- */

static void on_signal(void *user)
{
	struct agent *a = user;
	struct signalfd_siginfo info;

	while (read(a->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload(a);
		else
			a->loop.stop = true;
	}
}

/* Who they are before what they said: a process may be gone when its first record is read. */
static void on_ring(void *user)
{
	struct agent *a = user;

	discovery_run(a->discovery);
	capture_drain(a->capture);
}

static void on_process_events(void *user)
{
	struct agent *a = user;

	discovery_run(a->discovery);
}

static void on_http(void *user)
{
	struct agent *a = user;

	http_server_run(a->http);
}

static void on_timer(void *user)
{
	struct agent *a = user;
	uint64_t now_ns = clock_mono_ns();

	timer_drain(a->timer_fd);
	pipeline_set_wall_offset(a->pipeline, clock_wall_minus_mono_ns());
	pipeline_tick(a->pipeline, now_ns);
	if (a->ticks++ % TICKS_PER_SECOND)
		return;
	discovery_tick(a->discovery, now_ns);
	http_server_run(a->http);
	publish_status(a);
}

static int open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int watch_sources(struct agent *a)
{
	const struct {
		int fd;
		void (*ready)(void *user);
	} sources[] = {
		{a->signal_fd, on_signal},
		{capture_fd(a->capture), on_ring},
		{discovery_fd(a->discovery), on_process_events},
		{http_server_fd(a->http), on_http},
		{a->timer_fd, on_timer},
	};
	int err = loop_open(&a->loop);

	for (size_t i = 0; err == 0 && i < ARRAY_LEN(sources); i++)
		err = loop_add(&a->loop, sources[i].fd, sources[i].ready, a);
	return err;
}

/* ---- start, in the order in which a failure is cheapest ----------------------------------------
 */

static int start_failed(enum exit_code code, const char *err)
{
	return cli_fail(code, "run", "%s", err);
}

static int start_ledger(struct agent *a, uint8_t *fingerprint_key)
{
	char err[LEDGER_ERROR_MAX] = "";

	if (ledger_open(&a->ledger, a->config->storage_path, err, sizeof(err)) < 0)
		return start_failed(EXIT_STORAGE, err);
	if (ledger_install_key(a->config->storage_path, fingerprint_key, err, sizeof(err)) < 0)
		return start_failed(EXIT_STORAGE, err);
	return EXIT_OK;
}

static int start_pipeline(struct agent *a, struct catalog *catalog,
			  struct provider_table *providers, const uint8_t *fingerprint_key)
{
	struct pipeline_opts opts = {
		.ops = &pipeline_ops,
		.user = a,
		.broker = a->broker,
		.providers = providers,
		.catalog = catalog,
		.wall_minus_mono_ns = clock_wall_minus_mono_ns(),
	};
	int rc;

	memcpy(opts.fingerprint_key, fingerprint_key, sizeof(opts.fingerprint_key));
	rc = pipeline_new(&a->pipeline, &opts);
	explicit_bzero(opts.fingerprint_key, sizeof(opts.fingerprint_key));
	return rc;
}

static int start_broker(struct agent *a)
{
	struct broker_opts opts = {
		.ring_bytes = (uint32_t)a->config->ring_bytes,
		.force_attach = -1,
		.force_returns = -1,
	};
	char err[BROKER_ERROR_MAX] = "";
	int rc;

	for (int i = 0; i < ATTACH_KINDS; i++) {
		if (!strcmp(a->config->attach, attach_kind_names[i]))
			opts.force_attach = i;
	}
	for (int i = 0; i < RETURN_KINDS; i++) {
		if (!strcmp(a->config->returns, return_kind_names[i]))
			opts.force_returns = i;
	}
	rc = broker_new(&a->broker, &opts, err, sizeof(err));
	if (rc == -EPERM || rc == -EACCES)
		return start_failed(EXIT_PRIVILEGE, err);
	return rc ? start_failed(EXIT_KERNEL, err) : EXIT_OK;
}

static int start_http(struct agent *a)
{
	struct http_env env = {
		.aggregate = a->aggregate,
		.ready = is_ready,
		.status_json = status_text,
		.refresh = refresh_counters,
		.user = a,
	};
	char err[256] = "";

	if (http_server_new(&a->http, a->config->web_listen_address, &env, err, sizeof(err)) < 0)
		return start_failed(EXIT_ADDRESS, err);
	return EXIT_OK;
}

static int start_capture(struct agent *a)
{
	int rc = capture_new(&a->capture, broker_ring_fd(a->broker), &pipeline_capture_ops,
			     a->pipeline);

	if (rc == 0)
		rc = discovery_new(&a->discovery, a->broker, &discovery_ops, a);
	if (rc == 0) {
		fill_host_gate(a, a->config);
		provider_each_shape(list_candidate_path, a);
		discovery_prime(a->discovery);
		rc = discovery_scan(a->discovery);
	}
	if (rc == 0)
		rc = watch_sources(a);
	if (rc)
		return cli_fail(EXIT_FAILED, "run", "capture cannot start: %s", strerror(-rc));
	return EXIT_OK;
}

/* No core file may hold plaintext, and no other process of this user may read our memory. */
static void protect_memory(void)
{
	struct rlimit no_core = {0, 0};

	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int start(struct agent *a)
{
	uint8_t fingerprint_key[32];
	struct provider_table *providers = NULL;
	struct catalog *catalog = NULL;
	char err[CATALOG_ERROR_MAX] = "out of memory";
	int code;

	if (load_providers(&providers, a->config, err, sizeof(err)) < 0)
		return start_failed(EXIT_CONFIG, err);
	if (catalog_load(&catalog, a->config->prices_file, a->config->prices_dir, err,
			 sizeof(err)) < 0) {
		provider_table_free(providers);
		return start_failed(EXIT_CONFIG, err);
	}
	code = start_broker(a);
	if (code == EXIT_OK)
		code = start_ledger(a, fingerprint_key);
	if (code == EXIT_OK && start_pipeline(a, catalog, providers, fingerprint_key) == 0) {
		catalog = NULL;
		providers = NULL;
	}
	explicit_bzero(fingerprint_key, sizeof(fingerprint_key));
	catalog_free(catalog);
	provider_table_free(providers);
	if (code != EXIT_OK)
		return code;
	if (!a->pipeline || aggregate_new(&a->aggregate) < 0)
		return start_failed(EXIT_FAILED, "out of memory");
	aggregate_set_prices(a->aggregate, catalog_sha256(pipeline_catalog(a->pipeline)));
	code = start_http(a);
	return code == EXIT_OK ? start_capture(a) : code;
}

static void stop(struct agent *a)
{
	notify_systemd("STOPPING=1");
	if (a->capture)
		drain_all(a);
	discovery_free(a->discovery);
	capture_free(a->capture);
	pipeline_free(a->pipeline); /* open calls reach the ledger as partial */
	broker_free(a->broker);
	http_server_free(a->http);
	ledger_close(a->ledger);
	aggregate_free(a->aggregate);
	loop_close(&a->loop);
	closep(&a->signal_fd);
	closep(&a->timer_fd);
}

int agent_run(const struct config *config, int argc, char **argv)
{
	struct agent a = {
		.config = config,
		.argc = argc,
		.argv = argv,
		.loop.epoll_fd = -1,
		.started_us = clock_wall_ns() / 1000,
	};
	int code;

	protect_memory();
	log_set_level(config->log_level);
	a.signal_fd = open_signals();
	a.timer_fd = timer_open(TICK_NS);
	code = a.signal_fd < 0 || a.timer_fd < 0
		       ? cli_fail(EXIT_FAILED, "run", "no signalfd or timerfd: %s", strerror(errno))
		       : start(&a);
	if (code == EXIT_OK) {
		a.ready = true;
		publish_status(&a);
		printf("ready\n");
		fflush(stdout);
		notify_systemd("READY=1");
		while (!a.loop.stop && code == EXIT_OK) {
			int rc = loop_once(&a.loop, -1);

			if (rc)
				code = cli_fail(EXIT_FAILED, "run", "event loop: %s",
						strerror(-rc));
		}
	}
	stop(&a);
	return code;
}
