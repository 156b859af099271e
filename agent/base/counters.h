/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's own counters: a fixed table, one row per (metric family, label set). Any module but a
 * parser may count; the exporter prints the table, zero series included. Adding one is adding a
 * row.
 */
#ifndef TT_COUNTERS_H
#define TT_COUNTERS_H

#include "agent/base/base.h"

/* X(symbol, family, labels or "") */
#define TT_COUNTERS(X)                                                                            \
	X(LOST_RING_FULL, "tolltap_capture_lost_events_total", "reason=\"ring_full\"")            \
	X(LOST_USER_COPY, "tolltap_capture_lost_events_total", "reason=\"user_copy\"")            \
	X(LOST_CALL_TOO_LONG, "tolltap_capture_lost_events_total", "reason=\"call_too_long\"")    \
	X(LOST_FRAME_MAP, "tolltap_capture_lost_events_total", "reason=\"frame_map\"")            \
	X(LOST_CONN_MAP, "tolltap_capture_lost_events_total", "reason=\"conn_map\"")              \
	X(LOST_INVALID, "tolltap_capture_lost_events_total", "reason=\"invalid_record\"")         \
	X(LOST_PROC_EVENTS, "tolltap_capture_lost_events_total", "reason=\"process_event\"")      \
	X(EVICTED_CONNS, "tolltap_capture_evicted_entries_total", "table=\"connections\"")        \
	X(EVICTED_FRAMES, "tolltap_capture_evicted_entries_total", "table=\"calls\"")             \
	X(EVICTED_PROCESSES, "tolltap_capture_evicted_entries_total", "table=\"processes\"")      \
	X(EVICTED_JUDGEMENTS, "tolltap_capture_evicted_entries_total", "table=\"judgements\"")    \
	X(DISCOVERY_FILES_FULL, "tolltap_discovery_table_full_total", "table=\"files\"")          \
	X(DISCOVERY_SHARE_FULL, "tolltap_discovery_table_full_total",                             \
	  "table=\"files_of_process\"")                                                           \
	X(DISCOVERY_PROCESSES_FULL, "tolltap_discovery_table_full_total", "table=\"processes\"")  \
	X(DISCOVERY_UNDECIDED, "tolltap_discovery_undecided_total", "")                           \
	X(BROKER_REFUSED, "tolltap_broker_refused_total", "")                                     \
	X(CAPTURE_BYTES, "tolltap_capture_bytes_total", "")                                       \
	X(CAPTURE_CALLS, "tolltap_capture_calls_total", "")                                       \
	X(CONN_DECODED, "tolltap_connections_total", "state=\"decoded\",reason=\"\"")             \
	X(CONN_CANDIDATE, "tolltap_connections_total", "state=\"candidate\",reason=\"\"")         \
	X(CONN_MUTED, "tolltap_connections_total", "state=\"muted\",reason=\"not_llm\"")          \
	X(CONN_MUTED_HTTP2, "tolltap_connections_total",                                          \
	  "state=\"muted\",reason=\"http2_unlisted\"")                                            \
	X(CONN_MUTED_SERVER, "tolltap_connections_total",                                         \
	  "state=\"muted\",reason=\"server_side\"")                                               \
	X(CONN_MUTED_NEVER, "tolltap_connections_total", "state=\"muted\",reason=\"never_host\"") \
	X(CONN_BLIND_UPGRADE, "tolltap_connections_total", "state=\"blind\",reason=\"upgrade\"")  \
	X(OPTED_OUT_PROCESSES, "tolltap_opted_out_processes_total", "")                           \
	X(OPTED_OUT_CONNS, "tolltap_opted_out_connections_total", "")                             \
	X(CONN_EVICTED, "tolltap_connections_evicted_total", "reason=\"table_full\"")             \
	X(CONN_EVICTED_IDLE, "tolltap_connections_evicted_total", "reason=\"idle\"")              \
	X(CONN_EVICTED_MEMORY, "tolltap_connections_evicted_total", "reason=\"memory\"")          \
	X(STREAM_GAPS, "tolltap_stream_gaps_total", "")                                           \
	X(DECODE_HTTP1, "tolltap_decode_errors_total", "layer=\"http1\"")                         \
	X(DECODE_HTTP2, "tolltap_decode_errors_total", "layer=\"http2\"")                         \
	X(DECODE_HTTP2_STREAMS, "tolltap_decode_errors_total", "layer=\"http2_streams_limit\"")   \
	X(DECODE_HPACK, "tolltap_decode_errors_total", "layer=\"hpack\"")                         \
	X(DECODE_WEBSOCKET, "tolltap_decode_errors_total", "layer=\"websocket\"")                 \
	X(DECODE_CODING, "tolltap_decode_errors_total", "layer=\"content_coding\"")               \
	X(DECODE_BOMB, "tolltap_decode_errors_total", "layer=\"content_coding_limit\"")           \
	X(DECODE_JSON, "tolltap_decode_errors_total", "layer=\"json\"")                           \
	X(DECODE_GRPC, "tolltap_decode_errors_total", "layer=\"grpc\"")                           \
	X(DECODE_MEMORY, "tolltap_decode_errors_total", "layer=\"memory\"")                       \
	X(USAGE_MISMATCH, "tolltap_usage_mismatch_total", "")                                     \
	X(USAGE_REPEATS, "tolltap_usage_repeats_total", "")                                       \
	X(USAGE_CONFLICTS, "tolltap_usage_conflicts_total", "")                                   \
	X(USAGE_KEYS_EVICTED, "tolltap_usage_keys_evicted_total", "")                             \
	X(BATCH_DATES_EVICTED, "tolltap_batch_dates_evicted_total", "")                           \
	X(OPERATIONS_EVICTED, "tolltap_operations_evicted_total", "")                             \
	X(RUN_LINKS_EVICTED, "tolltap_run_links_evicted_total", "")                               \
	X(LEGS_BY_ID, "tolltap_gateway_legs_total", "by=\"response_id\"")                         \
	X(LEGS_BY_BODY, "tolltap_gateway_legs_total", "by=\"request_body\"")                      \
	X(LEGS_EVICTED_OPEN, "tolltap_gateway_legs_evicted_total", "table=\"open\"")              \
	X(LEGS_EVICTED_HELD, "tolltap_gateway_legs_evicted_total", "table=\"held\"")              \
	X(LEGS_EVICTED_BILLED, "tolltap_gateway_legs_evicted_total", "table=\"billed\"")          \
	X(RULES_GAVE_UP, "tolltap_rules_limited_total", "limit=\"match_steps\"")                  \
	X(RULES_TAGS_FULL, "tolltap_rules_limited_total", "limit=\"tags_of_call\"")               \
	X(CONTAINER_FOUND, "tolltap_container_lookups_total", "result=\"found\"")                 \
	X(CONTAINER_UNKNOWN, "tolltap_container_lookups_total", "result=\"unknown\"")             \
	X(CONTAINER_FORBIDDEN, "tolltap_container_lookups_total", "result=\"forbidden\"")         \
	X(CONTAINER_FAILED, "tolltap_container_lookups_total", "result=\"failed\"")               \
	X(CONTAINER_LATE, "tolltap_container_lookups_total", "result=\"late\"")                   \
	X(CONTAINER_BUSY, "tolltap_container_lookups_total", "result=\"busy\"")                   \
	X(OPTED_OUT_CALLS, "tolltap_opted_out_calls_total", "by=\"container\"")                   \
	X(HELD_NOW, "tolltap_container_waiting_calls", "")                                        \
	X(HELD_ANSWERED, "tolltap_container_waited_calls_total", "end=\"answered\"")              \
	X(HELD_LATE, "tolltap_container_waited_calls_total", "end=\"late\"")                      \
	X(HELD_OVERFLOW, "tolltap_container_waited_calls_total", "end=\"overflow\"")              \
	X(COURIER_INVALID, "tolltap_courier_answers_dropped_total", "reason=\"invalid\"")         \
	X(COURIER_STALE, "tolltap_courier_answers_dropped_total", "reason=\"stale\"")             \
	X(LEDGER_ROWS, "tolltap_ledger_rows_total", "")                                           \
	X(LEDGER_COMMITS, "tolltap_ledger_commits_total", "")                                     \
	X(LEDGER_RETIRED, "tolltap_ledger_retired_rows_total", "")                                \
	X(LEDGER_DROPPED, "tolltap_ledger_dropped_total", "reason=\"queue_full\"")                \
	X(LEDGER_DROPPED_DISK, "tolltap_ledger_dropped_total", "reason=\"disk\"")                 \
	X(CALLS_LOST_WORKER, "tolltap_calls_lost_total", "reason=\"worker_crash\"")               \
	X(CALLS_LOST_AGENT, "tolltap_calls_lost_total", "reason=\"agent_crash\"")                 \
	X(CALLS_LOST_HOST, "tolltap_calls_lost_total", "reason=\"host_crash\"")                   \
	X(CALLS_LOST_NOT_WRITTEN, "tolltap_calls_lost_total", "reason=\"not_written\"")           \
	X(CALLS_LOST_DAMAGED, "tolltap_calls_lost_total", "reason=\"ledger_damaged\"")            \
	X(CALLS_LOST_REPLACED, "tolltap_calls_lost_total", "reason=\"ledger_replaced\"")          \
	X(UNMETERED_SECONDS, "tolltap_unmetered_seconds_total", "")                               \
	X(CONFIG_RELOADS, "tolltap_config_reloads_total", "result=\"ok\"")                        \
	X(CONFIG_RELOADS_BAD, "tolltap_config_reloads_total", "result=\"error\"")                 \
	X(PRICES_RELOADS_BAD, "tolltap_prices_reload_errors_total", "")

enum counter {
#define X(symbol, family, labels) COUNTER_##symbol,
	TT_COUNTERS(X)
#undef X
		COUNTERS
};

struct counter_row {
	const char *family;
	const char *labels;
};

extern const struct counter_row counter_rows[COUNTERS];

void counter_add(enum counter which, uint64_t n); /* thread-safe */
void counter_set(enum counter which, uint64_t n); /* for totals kept elsewhere (kernel maps) */
uint64_t counter_get(enum counter which);

#endif
