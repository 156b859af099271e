/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/worker_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/input.h"
#include "agent/capture/capture.h"
#include "agent/courier/client.h"
#include "agent/discovery/discovery.h"
#include "agent/exchange/privacy.h"
#include "agent/pipeline.h"
#include "agent/privsep/broker.h"
#include "agent/privsep/sandbox.h"
#include "agent/publisher.h"
#include "exporter/aggregate.h"
#include "exporter/http.h"
#include "exporter/ledger.h"
#include "exporter/secret.h"
#include "exporter/storage.h"

#define TICK_NS		 (NSEC_PER_SEC / TICKS_PER_SECOND)
#define TICKS_PER_SECOND 2

/* ---- what the pipeline delivers ------------------------------------------------------------- */

static void on_call(void *user, const struct call *call, const char *model_id)
{
	struct worker *w = user;

	if (!ledger_decides(call))
		aggregate_add(w->aggregate, call, model_id);
	if (ledger_append_as(w->ledger, call, model_id) < 0)
		log_error("ledger", "a call of %s was not recorded%s: queue full",
			  call->workload.comm,
			  ledger_decides(call) ? "" : ", though counted in metrics");
}

/* Metrics of what may repeat others wait for the ledger's word: they only ever grow. */
static void on_counted(void *user, const struct call *call, const char *model_id)
{
	struct worker *w = user;

	aggregate_add(w->aggregate, call, model_id);
}

static void on_asked(void *user, const struct call *call, const char *model_id)
{
	struct worker *w = user;

	aggregate_expect(w->aggregate, call, model_id);
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	struct worker *w = user;

	aggregate_ignored(w->aggregate, provider, reason);
}

static void on_open(void *user, int change)
{
	struct worker *w = user;

	ledger_calls(w->ledger, change);
}

static void on_judge(void *user, uint32_t tgid, uint64_t ssl, bool watch)
{
	struct worker *w = user;
	int err = broker_judge(w->broker, tgid, ssl, watch);

	if (err)
		log_warn("gate", "pid %u: judgement not stored: %s", tgid, strerror(-err));
}

static void on_metered(void *user, uint32_t pid)
{
	struct worker *w = user;

	if (w->discovery)
		discovery_note(w->discovery, pid);
}

static const struct pipeline_ops pipeline_ops = {
	.call = on_call,
	.asked = on_asked,
	.may_be_lost = worker_may_be_lost,
	.ignored = on_ignored,
	.judge = on_judge,
	.metered = on_metered,
	.open = on_open,
};

static void on_program_started(void *user, uint32_t pid, struct slice exe)
{
	struct worker *w = user;

	pipeline_program_started(w->pipeline, pid, exe);
}

static void on_process_started(void *user, uint32_t pid)
{
	struct worker *w = user;

	pipeline_process_started(w->pipeline, pid);
}

/* The ring may still hold the process' last bytes: they count before its end does. */
static void on_process_exited(void *user, uint32_t pid)
{
	struct worker *w = user;

	(void)capture_drain_all(w->capture);
	pipeline_process_exited(w->pipeline, pid, clock_mono_ns());
	broker_forget_process(w->broker, pid);
}

static const struct discovery_ops discovery_ops = {
	.program_started = on_program_started,
	.process_started = on_process_started,
	.process_exited = on_process_exited,
};

/* ---- loop sources --------------------------------------------------------------------------- */

static void on_signal(void *user)
{
	struct worker *w = user;
	struct signalfd_siginfo info;

	while (read(w->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			worker_reload(w);
		else
			w->loop.stop = true;
	}
}

/* Who they are before what they said: a process may be gone when its first record is read. */
static void on_ring(void *user)
{
	uint64_t asked_ns = clock_mono_ns();
	struct worker *w = user;

	discovery_run(w->discovery);
	/* In this order: what was over when it was asked for passed under probes. */
	if (!capture_drain(w->capture) && broker_alive(w->broker))
		ledger_beat(w->ledger, clock_mono_ns() - asked_ns);
}

static void on_process_events(void *user)
{
	struct worker *w = user;

	discovery_run(w->discovery);
}

static void on_courier(void *user)
{
	struct worker *w = user;

	pipeline_courier_ready(w->pipeline);
}

static void on_http(void *user)
{
	struct worker *w = user;

	http_server_run(w->http);
}

static void on_timer(void *user)
{
	struct worker *w = user;
	uint64_t now_ns = clock_mono_ns();

	timer_drain(w->timer_fd);
	pipeline_set_wall_offset(w->pipeline, clock_wall_minus_mono_ns());
	pipeline_tick(w->pipeline, now_ns);
	on_ring(w);
	if (w->ticks++ % TICKS_PER_SECOND)
		return;
	discovery_tick(w->discovery, now_ns);
	http_server_run(w->http);
	worker_publish_status(w);
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

static int watch_sources(struct worker *w)
{
	const struct {
		int fd;
		void (*ready)(void *user);
	} sources[] = {
		{w->signal_fd, on_signal},
		{capture_fd(w->capture), on_ring},
		{discovery_fd(w->discovery), on_process_events},
		{http_server_fd(w->http), on_http},
		{courier_client_fd(w->courier), on_courier},
		{w->timer_fd, on_timer},
	};
	int err = loop_open(&w->loop);

	for (size_t i = 0; err == 0 && i < ARRAY_LEN(sources); i++)
		err = loop_add(&w->loop, sources[i].fd, sources[i].ready, w);
	return err;
}

/* ---- start, in the order in which a failure is cheapest ----------------------------------------
 */

static int start_failed(enum exit_code code, const char *err)
{
	return cli_fail(code, "run", "%s", err);
}

static int start_ledger(struct worker *w, uint8_t *fingerprint_key)
{
	const struct inflight_owner owner = {
		.pid = w->opts->supervisor,
		.started_ns = w->opts->board->started_ns,
	};
	const struct retention retention = {
		.days = w->config->retention_days,
		.max_bytes = w->config->retention_mib << 20,
	};
	char err[LEDGER_ERROR_MAX] = "";

	if (ledger_open(&w->ledger, w->config->storage_path, &owner, err, sizeof(err)) < 0)
		return start_failed(EXIT_STORAGE, err);
	ledger_retain(w->ledger, &retention);
	if (secret_load(fingerprint_key, w->config->fingerprint_key_file, w->config->storage_path,
			err, sizeof(err)) < 0)
		return start_failed(w->config->fingerprint_key_file ? EXIT_CONFIG : EXIT_STORAGE,
				    err);
	return EXIT_OK;
}

static int start_pipeline(struct worker *w, struct catalog *catalog,
			  struct provider_table *providers, const struct privacy *privacy,
			  const uint8_t *fingerprint_key)
{
	struct pipeline_opts opts = {
		.privacy = privacy,
		.ops = &pipeline_ops,
		.user = w,
		.broker = w->broker,
		.providers = providers,
		.catalog = catalog,
		.rules = w->tables->rules,
		.wall_minus_mono_ns = clock_wall_minus_mono_ns(),
		.reader_since_ns = clock_mono_ns(),
	};
	int rc = courier_client_new(&w->courier, w->opts->courier_fd, clock_mono_ns());

	if (rc)
		return rc;
	opts.courier = w->courier;
	rc = strcmp(w->config->estimate, "yes") ? 0 : tokenizers_open(&w->tokenizers, NULL);
	if (rc)
		log_warn("usage",
			 "no tables of tokens (%s): streams without usage are not estimated",
			 strerror(-rc));
	opts.tokenizers = w->tokenizers;
	memcpy(opts.fingerprint_key, fingerprint_key, sizeof(opts.fingerprint_key));
	rc = pipeline_new(&w->pipeline, &opts);
	explicit_bzero(opts.fingerprint_key, sizeof(opts.fingerprint_key));
	return rc;
}

static int open_setting(void *user, const char *path)
{
	return broker_open_setting(user, path);
}

#define BROKER_END_MS 2000 /* for the supervisor to see a broker's end; less than it gives us */

bool worker_is_first(const struct worker *w)
{
	return w->opts->board->process[AGENT_WORKER].restarts == 0;
}

/*
 * A broker that cannot start has said why and ends the agent: this waits for that end instead of
 * adding a second reason. One that served an earlier worker and is silent now hangs.
 */
static int start_broker(struct worker *w)
{
	int wait_ms = worker_is_first(w) ? BROKER_START_MS : BROKER_ANSWER_MS;
	int rc = broker_connect(&w->broker, w->opts->broker_fd, w->opts->broker_line, wait_ms);

	if (rc == 0) {
		input_route(open_setting, w->broker);
		return EXIT_OK;
	}
	if (!worker_is_first(w))
		return WORKER_BROKER_SILENT;
	poll(NULL, 0, BROKER_END_MS);
	return EXIT_FAILED;
}

static void each_living(void *user, workload_fn *told, void *told_user)
{
	pipeline_each_living(user, told, told_user);
}

static void refresh_metrics(void *user)
{
	struct worker *w = user;

	worker_refresh_counters(w);
	aggregate_settle(w->aggregate, clock_mono_ns(), each_living, w->pipeline);
}

static int start_http(struct worker *w)
{
	struct http_env env = {
		.aggregate = w->aggregate,
		.ready = worker_is_ready,
		.status_json = worker_status_text,
		.refresh = refresh_metrics,
		.user = w,
	};

	return http_server_new(&w->http, w->opts->listen_fd, &env)
		       ? start_failed(EXIT_FAILED, "the metrics endpoint cannot start")
		       : EXIT_OK;
}

static int start_publisher(struct worker *w)
{
	return publisher_start(&w->publisher, storage_dir(w->config->storage_path))
		       ? start_failed(EXIT_FAILED, "no thread can be started")
		       : EXIT_OK;
}

static int start_capture(struct worker *w)
{
	int rc = capture_new(&w->capture, broker_ring_fd(w->broker), broker_ring_bytes(w->broker),
			     &pipeline_capture_ops, w->pipeline);

	if (rc == 0)
		rc = discovery_new(&w->discovery, w->broker, &discovery_ops, w);
	if (rc == 0) {
		worker_fill_gate(w, w->tables);
		worker_list_paths(w);
		discovery_prime(w->discovery);
		rc = discovery_scan(w->discovery);
	}
	if (rc == 0) {
		broker_settle(w->broker);
		rc = watch_sources(w);
	}
	if (rc)
		return cli_fail(EXIT_FAILED, "run", "capture cannot start: %s", strerror(-rc));
	return EXIT_OK;
}

static int start_metrics(struct worker *w)
{
	const struct config *c = w->config;
	char err[CONFIG_ERROR_MAX] = "out of memory";

	if (aggregate_new(&w->aggregate) < 0)
		return start_failed(EXIT_FAILED, err);
	if (aggregate_set_labels(w->aggregate, c->metrics_level,
				 (const char *const *)c->metrics_tags, c->metrics_tag_count, err,
				 sizeof(err)) < 0)
		return start_failed(EXIT_CONFIG, err);
	ledger_on_counted(w->ledger, on_counted, w);
	aggregate_set_prices(w->aggregate, catalog_sha256(pipeline_catalog(w->pipeline)));
	aggregate_set_standing(w->aggregate, ledger_standing(w->ledger));
	return EXIT_OK;
}

/* Tables, ledger and what is between them. */
static int start_books(struct worker *w)
{
	uint8_t fingerprint_key[32];
	struct provider_table *providers = NULL;
	struct catalog *catalog = NULL;
	struct privacy privacy;
	int code = worker_load_tables(w, &providers, &catalog, &privacy);

	if (code == EXIT_OK)
		code = start_ledger(w, fingerprint_key);
	if (code == EXIT_OK &&
	    start_pipeline(w, catalog, providers, &privacy, fingerprint_key) == 0) {
		catalog = NULL;
		providers = NULL;
	}
	explicit_bzero(fingerprint_key, sizeof(fingerprint_key));
	catalog_free(catalog);
	provider_table_free(providers);
	if (code != EXIT_OK)
		return code;
	return w->pipeline ? start_metrics(w) : start_failed(EXIT_FAILED, "out of memory");
}

/*
 * The state directory may lie below one that is closed to the worker's user, and to a supervisor
 * that has sealed itself: it is entered by its descriptor, and named from within when its path does
 * not lead there.
 */
static int drop_privilege(struct worker *w)
{
	const struct sandbox_drop drop = {
		.identity = w->opts->identity,
		.parent = w->opts->supervisor,
	};
	_cleanup_(closep) int storage_fd = w->opts->storage_fd;
	const char *path = w->config->storage_path;
	char err[SANDBOX_ERROR_MAX] = "";

	if (sandbox_become(&drop, err, sizeof(err)))
		return start_failed(EXIT_PRIVILEGE, err);
	if (access(path, R_OK | W_OK | X_OK) != 0 && fchdir(storage_fd) == 0)
		storage_entered(path);
	return EXIT_OK;
}

/* All threads run by now, and nothing that others wrote has been read yet. */
static int seal(void)
{
	char err[SANDBOX_ERROR_MAX] = "";

	return sandbox_seal(SANDBOX_WORKER, err, sizeof(err)) ? start_failed(EXIT_PRIVILEGE, err)
							      : EXIT_OK;
}

static int start(struct worker *w)
{
	int (*const steps[])(struct worker *) = {start_broker, start_books, worker_load_arguments,
						 start_http, start_publisher};
	int code = drop_privilege(w);

	for (size_t i = 0; code == EXIT_OK && i < ARRAY_LEN(steps); i++) {
		code = steps[i](w);
		if (code == EXIT_OK && steps[i] == start_broker)
			worker_refresh_config(w);
	}
	if (code == EXIT_OK)
		code = seal();
	return code == EXIT_OK ? start_capture(w) : code;
}

#define LAST_LOOKS 100 /* a ms apart, for a record that is still being written before others */

static void stop(struct worker *w)
{
	if (w->capture) {
		for (int n = 0; n < LAST_LOOKS && !capture_drain_all(w->capture); n++)
			poll(NULL, 0, 1);
		/* Asks the broker, who is there if this end was wanted. */
		worker_refresh_counters(w);
		if (!broker_alive(w->broker))
			ledger_crashed(w->ledger);
	}
	discovery_free(w->discovery);
	capture_free(w->capture);
	pipeline_free(w->pipeline); /* open calls reach the ledger as partial */
	tokenizers_free(w->tokenizers);
	courier_client_free(w->courier);
	http_server_free(w->http);
	publisher_stop(w->publisher);
	if (w->aggregate)
		aggregate_set_standing(w->aggregate, NULL);
	ledger_close(w->ledger);
	aggregate_free(w->aggregate);
	broker_close(w->broker);
	config_free(&w->fresh);
	loop_close(&w->loop);
	closep(&w->signal_fd);
	closep(&w->timer_fd);
}

/* The supervisor sees the broker's end a little later than we do, and says so better. */
static void await_the_end(const struct worker *w)
{
	struct pollfd signals = {.fd = w->signal_fd, .events = POLLIN};

	poll(&signals, 1, BROKER_END_MS);
}

static void tell_ready(struct worker *w)
{
	const uint64_t one = 1;

	w->ready = true;
	ledger_metering(w->ledger);
	worker_publish_status(w);
	if (worker_is_first(w)) /* whoever waits for us to be ready may look at once */
		publisher_flush(w->publisher);
	(void)!write(w->opts->ready_fd, &one, sizeof(one));
}

int worker_run(const struct worker_opts *opts)
{
	struct worker w = {
		.opts = opts,
		.config = opts->config,
		.tables = opts->config,
		.loop.epoll_fd = -1,
		.started_us = clock_wall_ns() / 1000,
	};
	int code;

	log_set_level(opts->config->log_level);
	w.signal_fd = open_signals();
	w.timer_fd = timer_open(TICK_NS);
	code = w.signal_fd < 0 || w.timer_fd < 0
		       ? cli_fail(EXIT_FAILED, "run", "no signalfd or timerfd: %s", strerror(errno))
		       : start(&w);
	if (code == EXIT_OK)
		tell_ready(&w);
	while (!w.loop.stop && code == EXIT_OK) {
		int rc = loop_once(&w.loop, -1);

		if (rc)
			code = cli_fail(EXIT_FAILED, "run", "event loop: %s", strerror(-rc));
		else if (!broker_alive(w.broker))
			code = WORKER_BROKER_SILENT;
	}
	if (code == WORKER_BROKER_SILENT)
		await_the_end(&w);
	stop(&w);
	return code;
}
