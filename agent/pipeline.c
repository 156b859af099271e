/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/base/counters.h"
#include "agent/base/log.h"
#include "agent/exchange/batch_dates.h"
#include "agent/exchange/operation.h"
#include "agent/exchange/privacy.h"
#include "agent/held.h"
#include "agent/legs.h"
#include "agent/runs/run.h"
#include "agent/stream/conn.h"
#include "agent/tokens/tokenizers.h"
#include "bpf/events.h"

/* A host metered by its shape, until config gives its role. */
struct hint_row {
	char host[CALL_HOST_MAX];
	char provider[32];
};

struct pipeline {
	const struct pipeline_ops *ops;
	void *user;
	struct exchange_env env;
	struct privacy privacy;
	struct provider_table *providers;
	struct catalog *catalog;
	struct rules *rules;
	struct attribution *attribution;
	struct operation_table *operations;
	struct batch_dates *batch_dates;
	struct conn_table *conns;
	struct courier_client *courier;
	struct held_calls *held;
	struct legs *legs;
	struct runs *runs;
	uint64_t now_ns; /* of the last tick */
	int64_t wall_minus_mono_ns;
	char machine_id[64];
	char boot_id[64];
	struct hint_row hint[PIPELINE_HINTS_MAX];
	size_t hint_count;
};

static void read_line(const char *path, char *dst, size_t size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, dst, size - 1);

	dst[n < 0 ? 0 : n] = '\0';
	dst[strcspn(dst, "\n")] = '\0';
}

static void note_unknown_role(struct pipeline *p, const struct call *call)
{
	struct hint_row *row;

	if (call->role != ROLE_UNKNOWN)
		return;
	for (size_t i = 0; i < p->hint_count; i++) {
		if (!strcmp(p->hint[i].host, call->host))
			return;
	}
	if (p->hint_count == PIPELINE_HINTS_MAX)
		return;
	row = &p->hint[p->hint_count++];
	slice_copy(row->host, sizeof(row->host), slice_of(call->host));
	slice_copy(row->provider, sizeof(row->provider), slice_of(call->provider));
	log_warn("gate",
		 "%s answers like %s but is not listed: its calls are metered unpriced; add "
		 "--provider.host=%s=%s[,role=direct|gateway|self_hosted]",
		 row->host, row->provider, row->host, row->provider);
}

/* A bill names its payer, too. */
static bool call_opted_out(const struct call *call)
{
	return call->workload.ignored || (call->is_on_behalf && call->on_behalf_of.ignored);
}

/* Rules see the container's name, and prices the tags of rules. */
static void deliver(void *user, struct call *call)
{
	struct pipeline *p = user;

	if (call_opted_out(call)) {
		counter_add(COUNTER_OPTED_OUT_CALLS, 1);
		if (p->ops->open)
			p->ops->open(p->user, -1);
		return;
	}
	rules_apply(p->rules, call, NULL, NULL);
	price_call(p->catalog, call);
	if (p->privacy.minimal)
		call_minimise(call);
	p->ops->call(p->user, call, catalog_model_id(p->catalog, call));
}

static bool complete(void *user, struct call *call)
{
	const struct attribution *a = ((struct pipeline *)user)->attribution;
	bool named = attribution_name(a, &call->workload, &call->tags);

	/* The payer's tags come last: they stand. */
	return (!call->is_on_behalf || attribution_name(a, &call->on_behalf_of, &call->tags)) &&
	       named;
}

static const struct held_ops held_ops = {.complete = complete, .release = deliver};

static void on_open(void *user, const struct call *call, uint64_t started_ns, int change)
{
	struct pipeline *p = user;

	if (call && change > 0)
		legs_begin(p->legs, call, started_ns);
	else if (call)
		legs_drop(p->legs, call);

	if (p->ops->open)
		p->ops->open(p->user, change);
}

/* Nothing of such a process is parsed. What is listed the kernel copies all the same. */
static bool is_opted_out(struct pipeline *p, const struct conn_id *conn)
{
	bool first, out = attribution_opted_out(p->attribution, conn, &first);

	if (first)
		counter_add(COUNTER_OPTED_OUT_PROCESSES, 1);
	return out;
}

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct pipeline *p = user;

	call->started_at_us = ((int64_t)started_ns + p->wall_minus_mono_ns) / 1000;
	/* Work that was done before it was read of; nobody knows of work to come. */
	if (call->dated_us && call->dated_us < call->started_at_us)
		call->started_at_us = call->dated_us;
	attribution_fill(p->attribution, conn, call);
	if (is_opted_out(p, conn)) { /* known too late: it had been given up meanwhile */
		on_open(p, call, started_ns, -1);
		return;
	}
	legs_done(p->legs, call, started_ns, started_ns + (uint64_t)call->duration_us * 1000);
}

/* Whose bill it is is settled. */
static void on_settled(void *user, struct call *call, uint64_t ended_ns)
{
	struct pipeline *p = user;

	runs_join(p->runs, call);
	if (!call->collapsed_by)
		note_unknown_role(p, call);
	if (complete(p, call))
		deliver(p, call);
	else
		held_calls_add(p->held, call, ended_ns);
}

static void on_asked(void *user, const struct conn_id *conn, const struct call *asked)
{
	struct pipeline *p = user;
	struct call call;

	if (!p->ops->asked)
		return;
	call = *asked;
	if (!call.model[0])
		slice_copy(call.model, sizeof(call.model), slice_of(call.model_requested));
	if (!call.model[0]) /* it reads back what was asked for before */
		return;
	attribution_fill(p->attribution, conn, &call);
	(void)attribution_name(p->attribution, &call.workload, &call.tags);
	if (call_opted_out(&call))
		return;
	rules_apply(p->rules, &call, NULL, NULL);
	if (p->privacy.minimal)
		call_minimise(&call);
	p->ops->asked(p->user, &call, catalog_model_id(p->catalog, &call));
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	struct pipeline *p = user;

	p->ops->ignored(p->user, provider, reason);
}

static void on_judged(void *user, const struct conn_id *conn, enum judgement judgement,
		      const char *host)
{
	struct pipeline *p = user;

	log_debug("gate", "pid %u, %s: %s", conn->tgid, host,
		  judgement == JUDGE_WATCH ? "answers like an LLM, watched" : "not LLM, muted");
	p->ops->judge(p->user, conn->tgid, conn->ssl, judgement == JUDGE_WATCH);
}

static bool on_may_be_lost(void *user, uint64_t from_ns, uint64_t until_ns)
{
	struct pipeline *p = user;

	return p->ops->may_be_lost && p->ops->may_be_lost(p->user, from_ns, until_ns);
}

static const struct exchange_ops exchange_ops = {
	.done = on_done,
	.asked = on_asked,
	.ignored = on_ignored,
	.judged = on_judged,
	.may_be_lost = on_may_be_lost,
	.open = on_open,
};

int pipeline_new(struct pipeline **out, const struct pipeline_opts *opts)
{
	struct pipeline *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->ops = opts->ops;
	p->user = opts->user;
	p->wall_minus_mono_ns = opts->wall_minus_mono_ns;
	p->courier = opts->courier;
	p->rules = opts->rules;
	p->env = (struct exchange_env){
		.providers = opts->providers,
		.tokenizers = opts->tokenizers,
		.privacy = &p->privacy,
		.machine_id = p->machine_id,
		.boot_id = p->boot_id,
		.reader_since_ns = opts->reader_since_ns,
		.ops = &exchange_ops,
		.user = p,
	};
	if (opts->privacy)
		p->privacy = *opts->privacy;
	else
		privacy_init(&p->privacy, false);
	memcpy(p->env.fingerprint_key, opts->fingerprint_key, sizeof(p->env.fingerprint_key));
	read_line("/etc/machine-id", p->machine_id, sizeof(p->machine_id));
	read_line("/proc/sys/kernel/random/boot_id", p->boot_id, sizeof(p->boot_id));
	if (attribution_new(&p->attribution, opts->broker) < 0 ||
	    (opts->courier && attribution_use_courier(p->attribution, opts->courier) < 0) ||
	    held_calls_new(&p->held, &held_ops, p) < 0 || legs_new(&p->legs, on_settled, p) < 0 ||
	    runs_new(&p->runs, p->env.fingerprint_key) < 0 ||
	    operation_table_new(&p->operations) < 0 || batch_dates_new(&p->batch_dates) < 0 ||
	    conn_table_new(&p->conns, &p->env) < 0) {
		pipeline_free(p);
		return -ENOMEM;
	}
	attribution_minimal(p->attribution, p->privacy.minimal);
	p->env.operations = p->operations;
	p->env.batch_dates = p->batch_dates;
	p->providers = opts->providers;
	p->catalog = opts->catalog;
	*out = p;
	return 0;
}

void pipeline_free(struct pipeline *p)
{
	if (!p)
		return;
	conn_table_free(p->conns);
	legs_free(p->legs);
	runs_free(p->runs);
	held_calls_free(p->held);
	operation_table_free(p->operations);
	batch_dates_free(p->batch_dates);
	attribution_free(p->attribution);
	provider_table_free(p->providers);
	catalog_free(p->catalog);
	explicit_bzero(p->env.fingerprint_key, sizeof(p->env.fingerprint_key));
	free(p);
}

/* ---- input ---------------------------------------------------------------------------------- */

static void on_clock(void *user, int64_t wall_minus_mono_ns)
{
	pipeline_set_wall_offset(user, wall_minus_mono_ns);
}

static void on_opened(void *user, const struct conn_open *open)
{
	struct pipeline *p = user;

	if (p->ops->metered)
		p->ops->metered(p->user, open->conn.tgid);
	attribution_open(p->attribution, open);
	if (is_opted_out(p, &open->conn)) {
		counter_add(COUNTER_OPTED_OUT_CONNS, 1);
		p->ops->judge(p->user, open->conn.tgid, open->conn.ssl, false);
		return;
	}
	conn_table_open(p->conns, &open->conn, open->host, open->now_ns);
}

static void on_chunk(void *user, const struct chunk *chunk)
{
	struct pipeline *p = user;

	if (!is_opted_out(p, &chunk->conn))
		conn_table_feed(p->conns, chunk);
}

static void on_may_end(void *user, const struct conn_id *conn, uint64_t now_ns)
{
	struct pipeline *p = user;

	conn_table_may_end(p->conns, conn, now_ns);
}

const struct capture_ops pipeline_capture_ops = {
	.clock = on_clock,
	.opened = on_opened,
	.chunk = on_chunk,
	.may_end = on_may_end,
};

void pipeline_allow_arguments(struct pipeline *p, struct argument_patterns *patterns)
{
	attribution_allow_arguments(p->attribution, patterns);
}

void pipeline_program_started(struct pipeline *p, uint32_t pid, struct slice exe)
{
	attribution_program(p->attribution, pid, exe);
}

void pipeline_process_started(struct pipeline *p, uint32_t pid)
{
	attribution_prefetch(p->attribution, pid);
}

void pipeline_process_exited(struct pipeline *p, uint32_t pid, uint64_t now_ns)
{
	conn_table_process_exit(p->conns, pid, now_ns);
	attribution_exit(p->attribution, pid, now_ns);
}

void pipeline_each_living(const struct pipeline *p, attribution_told *told, void *user)
{
	attribution_each_living(p->attribution, told, user);
}

void pipeline_tick(struct pipeline *p, uint64_t now_ns)
{
	p->now_ns = now_ns;
	conn_table_tick(p->conns, now_ns);
	attribution_tick(p->attribution, now_ns);
	if (p->courier)
		courier_client_tick(p->courier, now_ns);
	legs_tick(p->legs, now_ns);
	if (p->env.tokenizers)
		tokenizers_refill(p->env.tokenizers, now_ns);
	held_calls_sweep(p->held, now_ns);
}

void pipeline_courier_ready(struct pipeline *p)
{
	courier_client_run(p->courier);
	held_calls_sweep(p->held, p->now_ns);
}

/* ---- tables --------------------------------------------------------------------------------- */

void pipeline_set_wall_offset(struct pipeline *p, int64_t wall_minus_mono_ns)
{
	p->wall_minus_mono_ns = wall_minus_mono_ns;
}

void pipeline_set_catalog(struct pipeline *p, struct catalog *catalog)
{
	catalog_free(p->catalog);
	p->catalog = catalog;
}

void pipeline_set_rules(struct pipeline *p, struct rules *rules)
{
	p->rules = rules;
}

void pipeline_set_hosts(struct pipeline *p, const struct provider_table *from)
{
	provider_table_take_hosts(p->providers, from);
	p->hint_count = 0;
}

const struct catalog *pipeline_catalog(const struct pipeline *p)
{
	return p->catalog;
}

const struct provider_table *pipeline_providers(const struct pipeline *p)
{
	return p->providers;
}

/* ---- what it sees --------------------------------------------------------------------------- */

void pipeline_status(const struct pipeline *p, struct cJSON *status)
{
	cJSON *hints = cJSON_AddArrayToObject(status, "hints");
	cJSON *containers = cJSON_AddObjectToObject(status, "containers");
	char line[CALL_HOST_MAX + 64];

	for (size_t i = 0; i < p->hint_count; i++) {
		cJSON *row = cJSON_CreateObject();

		snprintf(line, sizeof(line), "--provider.host=%s=%s", p->hint[i].host,
			 p->hint[i].provider);
		cJSON_AddStringToObject(row, "kind", "host_role_unknown");
		cJSON_AddStringToObject(row, "host", p->hint[i].host);
		cJSON_AddStringToObject(row, "line", line);
		cJSON_AddItemToArray(hints, row);
	}
	cJSON_AddStringToObject(containers, "forbidden_socket",
				attribution_forbidden_socket(p->attribution));
	cJSON_AddNumberToObject(status, "connections_open", (double)conn_table_count(p->conns));
	cJSON_AddNumberToObject(status, "parser_memory_bytes", (double)conn_table_memory(p->conns));
}
