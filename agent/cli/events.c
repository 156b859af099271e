/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/events.h"

#include "agent/base/hex.h"
#include "agent/base/money.h"
#include "agent/cli/events_tags.h"
#include "exporter/text.h"

#include <errno.h>
#include <time.h>

/* In which forms a column appears. */
enum { J = 1, C = 2, T = 4, WIDE = 8, ALL = J | C | T };

struct event_column {
	const char *name;
	unsigned forms; /* WIDE: only with --wide */
	enum output_align align;
	void (*emit)(struct output *o, const struct event *event, size_t arg);
	size_t arg; /* offset in struct call, or an index */
};

char *events_time_text(char *dst, int64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(dst, 24, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(dst + n, 32 - n, ".%06dZ", (int)(us % 1000000));
	return dst;
}

char *events_id_text(char *dst, const uint8_t id[16])
{
	hex_of(dst, id, 16);
	return dst;
}

/* ---- cells ------------------------------------------------------------------------------- */

static void emit_text(struct output *o, const struct event *e, size_t offset)
{
	output_text(o, (const char *)&e->call + offset);
}

static void emit_seq(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_int(o, e->seq);
}

static void emit_revision(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_int(o, e->revision);
}

static void emit_event_id(struct output *o, const struct event *e, size_t arg)
{
	char hex[2 * sizeof(e->call.event_id) + 1];

	(void)arg;
	output_text(o, events_id_text(hex, e->call.event_id));
}

static void emit_started_at(struct output *o, const struct event *e, size_t arg)
{
	char text[32];

	(void)arg;
	output_text(o, events_time_text(text, e->call.started_at_us));
}

static void emit_ms(struct output *o, const struct event *e, size_t offset)
{
	output_ms(o, *(const int64_t *)((const char *)&e->call + offset));
}

static void emit_int(struct output *o, const struct event *e, size_t offset)
{
	output_int(o, *(const int *)((const char *)&e->call + offset));
}

static void emit_bool(struct output *o, const struct event *e, size_t offset)
{
	output_bool(o, *(const bool *)((const char *)&e->call + offset));
}

static void emit_status(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	if (e->call.status)
		output_int(o, e->call.status);
	else
		output_null(o);
}

static void emit_outcome(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	if (e->call.outcome == OUTCOME_UNKNOWN)
		output_null(o);
	else
		output_text(o, outcome_names[e->call.outcome]);
}

static void emit_basis(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_text(o, basis_names[e->call.basis]);
}

static void emit_billing_mode(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_text(o, billing_mode_names[e->call.billing_mode]);
}

static void emit_role(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_text(o, host_role_names[e->call.role]);
}

static void emit_joined_by(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_text(o, run_source_names[e->call.joined_by]);
}

static void emit_unpriced(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_text(o, unpriced_reason_names[e->call.cost.unpriced]);
}

static void emit_missing(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_text(o, usage_missing_names[e->call.usage_missing]);
}

/* Picodollars as they are; negative = unknown. */
static void emit_pusd(struct output *o, const struct event *e, size_t offset)
{
	int64_t pusd = *(const int64_t *)((const char *)&e->call + offset);

	if (pusd < 0)
		output_null(o);
	else
		output_int(o, pusd);
}

/* Picodollars as exact decimal dollars, a string. */
static void emit_usd(struct output *o, const struct event *e, size_t offset)
{
	int64_t pusd = *(const int64_t *)((const char *)&e->call + offset);
	char text[PUSD_TEXT_MAX];

	output_text(o, pusd < 0 ? NULL : pusd_format(text, pusd));
}

static void emit_token(struct output *o, const struct event *e, size_t kind)
{
	if (e->call.usage.known)
		output_int(o, e->call.usage.tokens[kind]);
	else
		output_null(o);
}

static void emit_input(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	if (e->call.usage.known)
		output_int(o, usage_input_total(&e->call.usage));
	else
		output_null(o);
}

static void emit_output(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	if (e->call.usage.known)
		output_int(o, usage_output_total(&e->call.usage));
	else
		output_null(o);
}

static const struct workload *workload_at(const struct event *e, size_t offset)
{
	return (const struct workload *)((const char *)&e->call + offset);
}

/* Of the workload there. */
static void emit_pid(struct output *o, const struct event *e, size_t offset)
{
	const struct workload *w = workload_at(e, offset);

	if (w->pid)
		output_int(o, w->pid);
	else
		output_null(o);
}

static void emit_uid(struct output *o, const struct event *e, size_t offset)
{
	const struct workload *w = workload_at(e, offset);

	if (w->uid_known)
		output_int(o, w->uid);
	else
		output_null(o);
}

/* ---- objects ----------------------------------------------------------------------------- */

static void put_member(struct text *json, const char *name)
{
	text_puts(json, json->len == 1 ? "" : ",");
	text_json_string(json, slice_of(name));
	text_puts(json, ":");
}

static void put_text_member(struct text *json, const char *name, const char *value)
{
	if (!*value)
		return;
	put_member(json, name);
	text_json_string(json, slice_of(value));
}

static void put_count_member(struct text *json, const char *name, int64_t value)
{
	if (value == 0)
		return;
	put_member(json, name);
	text_printf(json, "%lld", (long long)value);
}

static void emit_object(struct output *o, struct text *json)
{
	text_puts(json, "}");
	if (text_cstr(json))
		output_json(o, json->ptr);
	else
		output_null(o);
	text_free(json);
}

static struct text object_begin(void)
{
	struct text json = TEXT_INIT(OUTPUT_CELL_MAX);

	text_puts(&json, "{");
	return json;
}

static void emit_tokens(struct output *o, const struct event *e, size_t arg)
{
	struct text json;

	(void)arg;
	if (!e->call.usage.known) {
		output_null(o);
		return;
	}
	json = object_begin();
	for (int i = 0; i < TOKEN_KINDS; i++)
		put_count_member(&json, token_kind_names[i], e->call.usage.tokens[i]);
	emit_object(o, &json);
}

static void emit_tool_units(struct output *o, const struct event *e, size_t arg)
{
	struct text json = object_begin();

	(void)arg;
	for (int i = 0; i < TOOL_UNITS; i++)
		put_count_member(&json, tool_unit_names[i], e->call.usage.tool_units[i]);
	emit_object(o, &json);
}

/* The ledger keeps only objects of numbers here (schema.c), so it is printed as it is. */
static void emit_usage_raw(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	if (*e->call.usage.raw_json)
		output_json(o, e->call.usage.raw_json);
	else
		output_null(o);
}

static void emit_workload(struct output *o, const struct event *e, size_t offset)
{
	const struct workload *w = workload_at(e, offset);
	struct text json = object_begin();

	put_count_member(&json, "pid", w->pid);
	if (w->uid_known) {
		put_member(&json, "uid");
		text_printf(&json, "%u", w->uid);
	}
	put_text_member(&json, "user", w->user);
	put_text_member(&json, "comm", w->comm);
	put_text_member(&json, "exe", w->exe);
	put_text_member(&json, "cgroup", w->cgroup);
	put_text_member(&json, "container_id", w->container_id);
	put_text_member(&json, "unit", w->unit);
	put_text_member(&json, "slice", w->slice);
	put_text_member(&json, "login", w->login);
	put_text_member(&json, "login_session", w->login_session);
	put_text_member(&json, "started_by", w->started_by);
	put_text_member(&json, "argv", w->argv);
	put_text_member(&json, "namespace", w->namespace_);
	put_text_member(&json, "pod", w->pod);
	put_text_member(&json, "pod_uid", w->pod_uid);
	put_text_member(&json, "container", w->container);
	put_text_member(&json, "node", w->node);
	emit_object(o, &json);
}

static void emit_on_behalf_of(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	if (e->call.is_on_behalf)
		emit_workload(o, e, offsetof(struct call, on_behalf_of));
	else
		output_null(o);
}

static void emit_collapsed(struct output *o, const struct event *e, size_t arg)
{
	(void)arg;
	output_text(o, collapse_names[e->call.collapsed_by]);
}

/* {"key":"value"}, or with sources {"key":"source"}. */
static void emit_tags(struct output *o, const struct event *e, size_t sources)
{
	struct text json = object_begin();

	for (uint32_t i = 0; i < e->call.tags.count; i++) {
		const struct tag *tag = &e->call.tags.item[i];

		put_text_member(&json, tag->key,
				sources ? tag_source_names[tag->source] : tag->value);
	}
	emit_object(o, &json);
}

/* ---- the table --------------------------------------------------------------------------- */

#define AT(field) offsetof(struct call, field)
#define L	  OUTPUT_LEFT
#define R	  OUTPUT_RIGHT
#define TEXT(name, forms, field)                     \
	{                                            \
		name, forms, L, emit_text, AT(field) \
	}
#define TOKEN(name, kind)                    \
	{                                    \
		name, C, R, emit_token, kind \
	}

static const struct event_column columns[] = {
	{"seq", J | C | WIDE, R, emit_seq, 0},
	{"revision", J | C | WIDE, R, emit_revision, 0},
	{"event_id", J | C, L, emit_event_id, 0},
	{"started_at", ALL, L, emit_started_at, 0},
	{"duration_ms", ALL, R, emit_ms, AT(duration_us)},
	{"time_to_first_token_ms", J | C, R, emit_ms, AT(time_to_first_token_us)},
	{"pid", T, R, emit_pid, AT(workload)},
	TEXT("comm", T, workload.comm),
	TEXT("provider", ALL, provider),
	TEXT("host", J | C, host),
	TEXT("host", T | WIDE, host),
	{"host_role", J | C | WIDE, L, emit_role, 0},
	TEXT("operation", J | C, operation),
	TEXT("api", ALL, api),
	TEXT("model_requested", J | C, model_requested),
	TEXT("model", ALL, model),
	{"stream", J | C, L, emit_bool, AT(stream)},
	{"status", ALL, R, emit_status, 0},
	{"outcome", ALL, L, emit_outcome, 0},
	{"basis", ALL, L, emit_basis, 0},
	{"tokens", J, L, emit_tokens, 0},
	{"input", T, R, emit_input, 0},
	{"output", T, R, emit_output, 0},
	TOKEN("input_uncached", TOKEN_INPUT_UNCACHED),
	TOKEN("input_cache_read", TOKEN_INPUT_CACHE_READ),
	TOKEN("input_cache_write_5m", TOKEN_INPUT_CACHE_WRITE_5M),
	TOKEN("input_cache_write_1h", TOKEN_INPUT_CACHE_WRITE_1H),
	TOKEN("input_audio", TOKEN_INPUT_AUDIO),
	TOKEN("input_image", TOKEN_INPUT_IMAGE),
	TOKEN("output_text", TOKEN_OUTPUT_TEXT),
	TOKEN("output_reasoning", TOKEN_OUTPUT_REASONING),
	TOKEN("output_audio", TOKEN_OUTPUT_AUDIO),
	TOKEN("output_image", TOKEN_OUTPUT_IMAGE),
	{"usage_raw", J | C, L, emit_usage_raw, 0},
	{"usage_mismatch", J | C | WIDE, L, emit_bool, AT(usage.mismatch)},
	{"usage_conflict", J | C, L, emit_bool, AT(usage_conflict)},
	{"usage_conflict", T | WIDE, L, emit_bool, AT(usage_conflict)},
	{"usage_missing", J | C, L, emit_missing, 0},
	TEXT("estimated_by", J | C, estimated_by),
	TEXT("estimated_by", T | WIDE, estimated_by),
	{"usage_missing", T | WIDE, L, emit_missing, 0},
	{"tool_units", J | C, L, emit_tool_units, 0},
	{"cost_usd", ALL, R, emit_usd, AT(cost.cost_pusd)},
	{"cost_pusd", J | C, R, emit_pusd, AT(cost.cost_pusd)},
	{"list_cost_usd", J | C, R, emit_usd, AT(cost.list_pusd)},
	{"list_cost_pusd", J | C, R, emit_pusd, AT(cost.list_pusd)},
	{"provider_cost_pusd", J | C | WIDE, R, emit_pusd, AT(usage.provider_cost_pusd)},
	{"billable", J | C, L, emit_bool, AT(billable)},
	TEXT("billed_by", J | C, billed_by),
	{"collapsed_by", J | C, L, emit_collapsed, 0},
	{"unpriced_reason", ALL | WIDE, L, emit_unpriced, 0},
	TEXT("price_id", J | C, cost.price_id),
	TEXT("prices_sha256", J | C, cost.prices_sha256),
	TEXT("service_tier", J | C, service_tier),
	{"billing_mode", J | C, L, emit_billing_mode, 0},
	{"batch", J | C, L, emit_bool, AT(batch)},
	TEXT("inference_geo", J | C | WIDE, inference_geo),
	TEXT("speed", J | C | WIDE, speed),
	TEXT("error_class", ALL | WIDE, error_class),
	TEXT("response_id", J | C, response_id),
	TEXT("request_id", J | C, request_id),
	{"attempt", J | C, R, emit_int, AT(attempt)},
	TEXT("operation_id", J | C, operation_id),
	TEXT("trace_id", J | C, trace_id),
	TEXT("span_id", J | C | WIDE, span_id),
	TEXT("session_id", J | C, session_id),
	TEXT("run_id", J | C, run_id),
	{"joined_by", J | C, L, emit_joined_by, 0},
	TEXT("key_fingerprint", J | C, key_fingerprint),
	TEXT("credential_kind", J | C | WIDE, credential_kind),
	{"workload", J, L, emit_workload, AT(workload)},
	{"on_behalf_of", J, L, emit_on_behalf_of, 0},
	{"pid", C, R, emit_pid, AT(workload)},
	{"uid", C, R, emit_uid, AT(workload)},
	TEXT("user", C, workload.user),
	TEXT("user", T | WIDE, workload.user),
	TEXT("comm", C, workload.comm),
	TEXT("exe", C, workload.exe),
	TEXT("cgroup", C, workload.cgroup),
	TEXT("container_id", C, workload.container_id),
	TEXT("unit", C, workload.unit),
	TEXT("unit", T | WIDE, workload.unit),
	TEXT("slice", C, workload.slice),
	TEXT("login", C, workload.login),
	TEXT("login_session", C, workload.login_session),
	TEXT("started_by", C, workload.started_by),
	TEXT("argv", C, workload.argv),
	TEXT("namespace", C, workload.namespace_),
	TEXT("pod", C, workload.pod),
	TEXT("pod_uid", C, workload.pod_uid),
	TEXT("container", C, workload.container),
	TEXT("node", C, workload.node),
	{"on_behalf_of_pid", C, R, emit_pid, AT(on_behalf_of)},
	{"on_behalf_of_uid", C, R, emit_uid, AT(on_behalf_of)},
	TEXT("on_behalf_of_user", C, on_behalf_of.user),
	TEXT("on_behalf_of_comm", C, on_behalf_of.comm),
	TEXT("on_behalf_of_exe", C, on_behalf_of.exe),
	TEXT("on_behalf_of_cgroup", C, on_behalf_of.cgroup),
	TEXT("on_behalf_of_container_id", C, on_behalf_of.container_id),
	TEXT("on_behalf_of_unit", C, on_behalf_of.unit),
	TEXT("on_behalf_of_slice", C, on_behalf_of.slice),
	TEXT("on_behalf_of_login", C, on_behalf_of.login),
	TEXT("on_behalf_of_login_session", C, on_behalf_of.login_session),
	TEXT("on_behalf_of_started_by", C, on_behalf_of.started_by),
	TEXT("on_behalf_of_argv", C, on_behalf_of.argv),
	TEXT("on_behalf_of_namespace", C, on_behalf_of.namespace_),
	TEXT("on_behalf_of_pod", C, on_behalf_of.pod),
	TEXT("on_behalf_of_pod_uid", C, on_behalf_of.pod_uid),
	TEXT("on_behalf_of_container", C, on_behalf_of.container),
	TEXT("on_behalf_of_node", C, on_behalf_of.node),
	{"tags", J | C, L, emit_tags, false},
	{"tags", T | WIDE, L, emit_tags, false},
	{"tag_sources", J | C | WIDE, L, emit_tags, true},
	{"gaps", J | C, R, emit_int, AT(gaps)},
};

struct events_printer {
	struct output *output;
	const struct event_column *shown[OUTPUT_COLUMNS_MAX];
	struct output_column heads[OUTPUT_COLUMNS_MAX];
	size_t count; /* 0: tags are shown */
};

int events_printer_new(struct events_printer **out, FILE *stream, enum output_form form,
		       enum events_view view)
{
	static const unsigned form_bits[] = {
		[OUTPUT_TABLE] = T, [OUTPUT_JSON] = J, [OUTPUT_CSV] = C};
	struct events_printer *p = calloc(1, sizeof(*p));
	int r;

	_Static_assert(ARRAY_LEN(columns) <= OUTPUT_COLUMNS_MAX, "every column can be shown");
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; view != EVENTS_TAGS && i < ARRAY_LEN(columns); i++) {
		const struct event_column *column = &columns[i];

		if (!(column->forms & form_bits[form]) ||
		    ((column->forms & WIDE) && view != EVENTS_WIDE))
			continue;
		p->heads[p->count] = (struct output_column){column->name, column->align};
		p->shown[p->count++] = column;
	}
	if (view == EVENTS_TAGS)
		r = output_new(&p->output, stream, form, events_tags_columns, EVENTS_TAGS_COLUMNS);
	else
		r = output_new(&p->output, stream, form, p->heads, p->count);
	if (r) {
		free(p);
		return r;
	}
	*out = p;
	return 0;
}

void events_printer_print(struct events_printer *p, const struct event *event)
{
	if (p->count == 0) {
		events_tags_print(p->output, event);
		return;
	}
	for (size_t i = 0; i < p->count; i++)
		p->shown[i]->emit(p->output, event, p->shown[i]->arg);
	output_row(p->output);
}

void events_printer_flush(struct events_printer *p)
{
	output_flush(p->output);
}

int events_printer_end(struct events_printer *p)
{
	int r = output_end(p->output);

	free(p);
	return r;
}
