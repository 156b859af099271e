/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/worker_parts.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "agent/base/clock.h"
#include "agent/base/counters.h"
#include "agent/discovery/discovery.h"
#include "agent/pipeline.h"
#include "agent/privsep/broker.h"
#include "agent/publisher.h"
#include "agent/status.h"
#include "bpf/events.h"
#include "exporter/ledger.h"
#include "exporter/storage.h"

const char *const agent_process_names[AGENT_PROCESSES] = {
	[AGENT_BROKER] = "broker",
	[AGENT_COURIER] = "courier",
	[AGENT_WORKER] = "worker",
};

/* Those that may cost a call a part of it. */
static uint64_t records_lost(void)
{
	static const enum counter reasons[] = {
		COUNTER_LOST_RING_FULL, COUNTER_LOST_FRAME_MAP, COUNTER_LOST_CONN_MAP,
		COUNTER_LOST_INVALID,	COUNTER_EVICTED_FRAMES, COUNTER_EVICTED_CONNS,
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		sum += counter_get(reasons[i]);
	return sum;
}

void worker_refresh_counters(void *user)
{
	static const enum counter lost_counter[TT_LOST_REASONS] = {
		[TT_LOST_RING_FULL] = COUNTER_LOST_RING_FULL,
		[TT_LOST_USER_COPY] = COUNTER_LOST_USER_COPY,
		[TT_LOST_CALL_TOO_LONG] = COUNTER_LOST_CALL_TOO_LONG,
		[TT_LOST_FRAME_MAP] = COUNTER_LOST_FRAME_MAP,
		[TT_LOST_CONN_MAP] = COUNTER_LOST_CONN_MAP,
		[TT_LOST_EVICTED_FIRST + TT_TABLE_CONNS] = COUNTER_EVICTED_CONNS,
		[TT_LOST_EVICTED_FIRST + TT_TABLE_FRAMES] = COUNTER_EVICTED_FRAMES,
		[TT_LOST_EVICTED_FIRST + TT_TABLE_PROCESSES] = COUNTER_EVICTED_PROCESSES,
		[TT_LOST_EVICTED_FIRST + TT_TABLE_JUDGEMENTS] = COUNTER_EVICTED_JUDGEMENTS,
	};
	static const struct {
		uint32_t stat;
		enum counter counter;
	} gate_counter[] = {
		{TT_STAT_VERDICT_FIRST + TT_WATCHED, COUNTER_CONN_DECODED},
		{TT_STAT_VERDICT_FIRST + TT_CANDIDATE, COUNTER_CONN_CANDIDATE},
		{TT_STAT_VERDICT_FIRST + TT_MUTED, COUNTER_CONN_MUTED},
		{TT_STAT_VERDICT_FIRST + TT_MUTED_SERVER, COUNTER_CONN_MUTED_SERVER},
		{TT_STAT_VERDICT_FIRST + TT_MUTED_NEVER, COUNTER_CONN_MUTED_NEVER},
		{TT_STAT_MUTED_HTTP2, COUNTER_CONN_MUTED_HTTP2},
		{TT_STAT_CALLS, COUNTER_CAPTURE_CALLS},
		{TT_STAT_BYTES_TAKEN, COUNTER_CAPTURE_BYTES},
	};
	uint64_t asked_ns = clock_mono_ns();
	struct worker *w = user;
	uint64_t lost[TT_LOST_REASONS], stats[TT_GATE_STATS], refused;

	if (!broker_counters(w->broker, lost, stats, &refused))
		return;
	counter_set(COUNTER_BROKER_REFUSED, refused);
	for (size_t i = 0; i < TT_LOST_REASONS; i++)
		counter_set(lost_counter[i], lost[i]);
	for (size_t i = 0; i < ARRAY_LEN(gate_counter); i++)
		counter_set(gate_counter[i].counter, stats[gate_counter[i].stat]);
	lost_note(&w->lost, records_lost(), asked_ns, clock_mono_ns());
}

/* What the ring held for long was counted with what came after it: one question for all of it. */
bool worker_may_be_lost(void *user, uint64_t from_ns, uint64_t until_ns)
{
	struct worker *w = user;

	if (w->lost.known_ns < until_ns)
		worker_refresh_counters(w);
	else /* the reader's own may have grown */
		lost_note(&w->lost, records_lost(), w->lost.known_ns, clock_mono_ns());
	return lost_between(&w->lost, from_ns, until_ns);
}

static void add_counters(cJSON *status)
{
	cJSON *connections = cJSON_AddObjectToObject(status, "connections");
	cJSON *counters = cJSON_AddObjectToObject(status, "counters");
	uint64_t unlisted = counter_get(COUNTER_CONN_MUTED_HTTP2);
	uint64_t muted = counter_get(COUNTER_CONN_MUTED) + counter_get(COUNTER_CONN_MUTED_SERVER) +
			 counter_get(COUNTER_CONN_MUTED_NEVER) + unlisted;
	char name[256];

	cJSON_AddNumberToObject(connections, "decoded", (double)counter_get(COUNTER_CONN_DECODED));
	cJSON_AddNumberToObject(connections, "candidate",
				(double)counter_get(COUNTER_CONN_CANDIDATE));
	cJSON_AddNumberToObject(connections, "muted", (double)muted);
	cJSON_AddNumberToObject(connections, "http2_unlisted", (double)unlisted);
	cJSON_AddNumberToObject(connections, "blind",
				(double)counter_get(COUNTER_CONN_BLIND_UPGRADE));
	for (size_t i = 0; i < COUNTERS; i++) {
		snprintf(name, sizeof(name), counter_rows[i].labels[0] ? "%s{%s}" : "%s%s",
			 counter_rows[i].family, counter_rows[i].labels);
		cJSON_AddNumberToObject(counters, name, (double)counter_get((enum counter)i));
	}
}

/* The agent's own processes: `processes` lists those that are metered. */
static void add_processes(cJSON *status, const struct supervisor_board *board)
{
	cJSON *own = cJSON_AddArrayToObject(status, "agent");

	for (size_t i = 0; i < AGENT_PROCESSES; i++) {
		cJSON *row = cJSON_CreateObject();

		cJSON_AddStringToObject(row, "process", agent_process_names[i]);
		cJSON_AddNumberToObject(row, "pid", board->process[i].pid);
		cJSON_AddNumberToObject(row, "restarts", board->process[i].restarts);
		cJSON_AddItemToArray(own, row);
	}
}

static cJSON *build_status(struct worker *w)
{
	cJSON *status = cJSON_CreateObject();
	char text[CLOCK_TEXT_MAX], web[320];

	worker_refresh_counters(w);
	snprintf(web, sizeof(web), "http://%s", w->config->web_listen_address);
	cJSON_AddNumberToObject(status, "pid", w->opts->supervisor);
	add_processes(status, w->opts->board);
	cJSON_AddStringToObject(status, "version", TOLLTAP_VERSION);
	cJSON_AddStringToObject(status, "started_at", clock_format_us(text, w->started_us));
	cJSON_AddStringToObject(status, "updated_at",
				clock_format_us(text, clock_wall_ns() / 1000));
	cJSON_AddStringToObject(status, "web", web);
	cJSON_AddStringToObject(status, "prices_sha256",
				catalog_sha256(pipeline_catalog(w->pipeline)));
	status_add_kernel(status, broker_caps(w->broker));
	discovery_status(w->discovery, status);
	add_counters(status);
	pipeline_status(w->pipeline, status);
	return status;
}

char *worker_status_text(void *user)
{
	cJSON *status = build_status(user);
	char *text = cJSON_PrintUnformatted(status);

	cJSON_Delete(status);
	return text;
}

void worker_publish_status(struct worker *w)
{
	cJSON *status = build_status(w);

	if (status)
		publisher_put(w->publisher, status);
}

bool worker_is_ready(void *user, char *why, size_t why_size)
{
	struct worker *w = user;

	if (!w->ready)
		snprintf(why, why_size, "probes are not attached yet");
	else if (!ledger_healthy(w->ledger))
		snprintf(why, why_size, "the ledger cannot write to %s", w->config->storage_path);
	else
		return true;
	return false;
}
