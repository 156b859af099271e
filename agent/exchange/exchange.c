/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/exchange.h"

#include "agent/base/counters.h"
#include "agent/decode/decode.h"
#include "agent/exchange/credential.h"
#include "agent/exchange/event_id.h"
#include "agent/exchange/operation.h"
#include "agent/exchange/request.h"
#include "agent/providers/provider.h"
#include "agent/usage/meter.h"

#include <errno.h>
#include <nettle/hmac.h>
#include <stdio.h>

const char *const ignored_reason_names[IGNORED_REASONS] = {
	[IGNORED_PATH_NOT_BILLABLE] = "path_not_billable",
	[IGNORED_PATH_UNKNOWN] = "path_unknown",
	[IGNORED_METHOD] = "method",
	[IGNORED_NOT_LLM] = "not_llm",
	[IGNORED_UPGRADE] = "upgrade",
};

/* What only an exchange that may yield a row needs. */
struct work {
	struct call call;
	const struct dialect *dialect;
	bool by_shape;	  /* the host is not listed: the answer must carry the dialect's marks */
	enum basis basis; /* as settled, before pricing */
	char deployment[CALL_NAME_MAX]; /* what the path names in a model's place; "" = nothing */
	bool coded;			/* the answer has a content coding */
	struct request_body *request;
	enum { HASH_NONE, HASH_GROWS, HASH_WHOLE } hash_state;
	struct hmac_sha256_ctx hash;	  /* HASH_GROWS: of the request so far */
	struct operation_key request_key; /* HASH_WHOLE: the request's */
	struct decode *decode;
	struct meter *meter;
	bool answer_gap; /* part of the answer was not captured */
	uint64_t first_byte_ns;
	uint64_t first_content_ns;
	uint64_t now_ns; /* of the piece being decoded */
};

struct exchange {
	const struct exchange_env *env;
	struct conn_id conn;
	uint64_t entry_ns;
	uint32_t index_in_record;
	bool candidate;
	bool judged;
	bool is_head;
	bool is_connect;
	bool closed;
	enum ignored_reason ignored; /* when there is no work */
	const struct provider *provider;
	struct work *work; /* NULL: this exchange yields no row */
};

/* ---- the request ----------------------------------------------------------------------------- */

/* What host, method and path mean; NULL with x->ignored set when they give no row. */
static const struct api_path *look_up(struct exchange *x, const struct http_head *head,
				      const char *hint, struct call *call, bool *by_shape)
{
	struct provider_host host = provider_table_host(x->env->providers, slice_of(call->host));
	const struct api_path *path = NULL;

	if (!host.provider && hint[0])
		host = provider_table_host(x->env->providers, slice_of(hint));
	*by_shape = !host.provider;
	x->ignored = IGNORED_PATH_UNKNOWN;
	if (host.provider) {
		x->provider = host.provider;
		path = provider_path(host.provider, head->method, head->target);
		if (!path && provider_is_poll(host.provider, head->method, head->target))
			x->ignored = IGNORED_METHOD;
	} else {
		x->provider = provider_by_shape(head->method, head->target, &path);
	}
	call->role = host.role;
	if (path && !path->dialect) {
		x->ignored = IGNORED_PATH_NOT_BILLABLE;
		return NULL;
	}
	if (!path && http_head_get(head, "upgrade").len)
		x->ignored = IGNORED_UPGRADE;
	return path;
}

static void set_text(char *dst, size_t size, const char *text)
{
	slice_copy(dst, size, slice_of(text));
}

static void describe(struct exchange *x, struct work *w, const struct api_path *path,
		     const struct http_head *head)
{
	struct call *c = &w->call;
	struct slice deployment = provider_path_model(path, head->target);

	set_text(c->provider, sizeof(c->provider), x->provider->name);
	set_text(c->billed_by, sizeof(c->billed_by), x->provider->name);
	set_text(c->api, sizeof(c->api), path->api);
	set_text(c->operation, sizeof(c->operation), path->operation);
	slice_copy(w->deployment, sizeof(w->deployment), deployment);
	slice_copy(c->model_requested, sizeof(c->model_requested), deployment);
	c->billable = true;
	c->time_to_first_token_us = -1;
	c->usage.provider_cost_pusd = -1;
	c->cost.list_pusd = -1;
	c->cost.cost_pusd = -1;
	request_head_facts(c, head);
	credential_read(c, head, x->env->fingerprint_key);
}

/* ---- attempts of one operation --------------------------------------------------------------- */

static void hash_text(struct hmac_sha256_ctx *hash, struct slice text)
{
	hmac_sha256_update(hash, text.len, (const uint8_t *)text.ptr);
	hmac_sha256_update(hash, 1, (const uint8_t *)"");
}

static void hash_begin(struct exchange *x, const struct http_head *head)
{
	const struct exchange_env *env = x->env;
	struct work *w = x->work;
	const uint64_t process[2] = {x->conn.tgid, x->conn.start_boot_ns};

	if (!env->operations)
		return;
	hmac_sha256_set_key(&w->hash, sizeof(env->fingerprint_key), env->fingerprint_key);
	hmac_sha256_update(&w->hash, sizeof(process), (const uint8_t *)process);
	hash_text(&w->hash, slice_of(w->call.host));
	hash_text(&w->hash, head->target);
	w->hash_state = HASH_GROWS;
}

static void set_operation(struct call *c, const struct operation_attempt *attempt)
{
	c->attempt = attempt->number;
	for (size_t i = 0; i < sizeof(attempt->operation_id); i++)
		snprintf(c->operation_id + 2 * i, 3, "%02x", attempt->operation_id[i]);
}

static void identify(struct exchange *x)
{
	struct call *c = &x->work->call;
	struct operation_attempt alone;

	event_id_fill(c->event_id, x->env, &x->conn, x->entry_ns, x->index_in_record, 0);
	alone = operation_alone(c->event_id, c->attempt - 1);
	set_operation(c, &alone);
}

/* The request was sent whole: now it can be told from others. */
static void attempt_begin(struct exchange *x)
{
	struct work *w = x->work;
	struct operation_attempt attempt;

	if (w->hash_state != HASH_GROWS)
		return;
	hmac_sha256_digest(&w->hash, sizeof(w->request_key.bytes), w->request_key.bytes);
	w->hash_state = HASH_WHOLE;
	operation_begin(x->env->operations, &w->request_key, w->call.event_id, w->call.attempt - 1,
			x->entry_ns, &attempt);
	set_operation(&w->call, &attempt);
}

static void attempt_end(struct exchange *x, bool failed, uint64_t now_ns)
{
	const struct work *w = x->work;

	if (w->hash_state == HASH_WHOLE)
		operation_end(x->env->operations, &w->request_key, w->call.event_id, failed,
			      now_ns);
}

/* Clients send again what was not answered, and what these statuses ask to send again. */
static bool is_worth_retrying(const struct call *c)
{
	if (c->outcome == OUTCOME_ABORTED)
		return true;
	if (c->outcome != OUTCOME_ERROR)
		return false;
	return c->status < 300 || c->status == 408 || c->status == 409 || c->status == 429 ||
	       c->status >= 500;
}

/* ---- the request, from head to end ----------------------------------------------------------- */

static int begin_work(struct exchange *x, const struct exchange_start *start,
		      const struct http_head *head)
{
	struct work *w = calloc(1, sizeof(*w));
	const struct api_path *path;
	int err;

	if (!w)
		return -ENOMEM;
	request_host(&w->call, head, start->host_hint ? start->host_hint : "");
	path = look_up(x, head, start->host_hint ? start->host_hint : "", &w->call, &w->by_shape);
	if (!path) {
		free(w);
		return 0;
	}
	w->dialect = path->dialect;
	describe(x, w, path, head);
	err = request_body_new(&w->request, &w->call, http_head_get(head, "content-encoding"));
	if (err == -ENOMEM) {
		free(w);
		return err;
	}
	if (err)
		counter_add(COUNTER_DECODE_CODING, 1);
	x->work = w;
	identify(x);
	hash_begin(x, head);
	return 0;
}

static int exchange_new(struct exchange **out, const struct exchange_env *env,
			const struct exchange_start *start, const struct http_head *request)
{
	struct exchange *x = calloc(1, sizeof(*x));
	int err;

	if (!x)
		return -ENOMEM;
	x->env = env;
	x->conn = start->conn;
	x->entry_ns = start->entry_ns;
	x->index_in_record = start->index_in_record;
	x->candidate = start->candidate;
	x->is_head = slice_eq(request->method, SLICE("HEAD"));
	x->is_connect = slice_eq(request->method, SLICE("CONNECT"));
	err = begin_work(x, start, request);
	if (err) {
		free(x);
		return err;
	}
	*out = x;
	return 0;
}

int exchange_begin(struct exchange **out, const struct exchange_env *env,
		   const struct exchange_start *start, const struct http_head *request)
{
	int err = exchange_new(out, env, start, request);

	if (err)
		counter_add(COUNTER_DECODE_MEMORY, 1);
	return err;
}

static void drop_request(struct work *w)
{
	request_body_free(w->request);
	w->request = NULL;
}

void exchange_request_body(struct exchange *x, struct slice bytes)
{
	struct work *w = x->work;

	if (!w)
		return;
	if (w->hash_state == HASH_GROWS)
		hmac_sha256_update(&w->hash, bytes.len, (const uint8_t *)bytes.ptr);
	if (!w->request || request_body_feed(w->request, bytes))
		return;
	drop_request(w); /* a multipart form, or a broken coding: the answer still counts */
}

void exchange_request_gap(struct exchange *x, uint64_t n)
{
	(void)n;
	if (!x->work)
		return;
	x->work->call.gaps++;
	x->work->hash_state = HASH_NONE; /* what was not seen may differ */
	drop_request(x->work);
}

void exchange_request_end(struct exchange *x, enum message_end how)
{
	if (!x->work)
		return;
	drop_request(x->work);
	if (how == MESSAGE_COMPLETE)
		attempt_begin(x);
}

void exchange_may_end(struct exchange *x, uint64_t now_ns)
{
	if (x->work && !x->closed)
		attempt_end(x, true, now_ns);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void on_decoded(void *user, struct slice bytes)
{
	struct work *w = user;

	meter_feed(w->meter, bytes);
	if (!w->first_content_ns && meter_facts(w->meter)->content)
		w->first_content_ns = w->now_ns;
}

/* From here on the body cannot be read: what it said so far may not be its last word. */
static void stop_reading(struct work *w)
{
	meter_gap(w->meter);
	decode_free(w->decode);
	w->decode = NULL;
}

static bool says_events(const struct http_head *head)
{
	struct slice type = http_head_get(head, "content-type"),
		     events = SLICE("text/event-stream");

	return type.len >= events.len && slice_ieq((struct slice){type.ptr, events.len}, events);
}

static void begin_answer(struct exchange *x, const struct http_head *head)
{
	struct work *w = x->work;
	struct json_paths *paths = provider_table_paths(x->env->providers, w->dialect);
	struct slice coding = http_head_get(head, "content-encoding");
	int err;

	if (!paths || meter_new(&w->meter, w->dialect, paths, says_events(head))) {
		counter_add(COUNTER_DECODE_MEMORY, 1);
		return;
	}
	w->coded = coding.len && !slice_ieq(coding, SLICE("identity"));
	err = decode_new(&w->decode, coding, on_decoded, w);
	if (err)
		counter_add(err == -ENOMEM ? COUNTER_DECODE_MEMORY : COUNTER_DECODE_CODING, 1);
}

void exchange_response_head(struct exchange *x, const struct http_head *head, uint64_t now_ns)
{
	(void)now_ns;
	if (head->status == 101) {
		x->ignored = IGNORED_UPGRADE;
		if (x->work)
			x->work->call.status = head->status;
		return;
	}
	if (!x->work || head->status < 200 || x->work->meter)
		return;
	x->work->call.status = head->status;
	response_head_facts(&x->work->call, head, x->provider->request_id_header);
	begin_answer(x, head);
}

static void judge(struct exchange *x, enum judgement judgement)
{
	if (!x->candidate || x->judged)
		return;
	x->judged = true;
	if (x->env->ops->judged)
		x->env->ops->judged(x->env->user, &x->conn, judgement,
				    x->work ? x->work->call.host : "");
}

static void judge_body(struct exchange *x)
{
	const struct meter_facts *facts = meter_facts(x->work->meter);

	if (facts->marked)
		judge(x, JUDGE_WATCH);
	else if (facts->alien)
		judge(x, JUDGE_MUTE);
}

void exchange_response_body(struct exchange *x, struct slice bytes, uint64_t now_ns)
{
	struct work *w = x->work;
	enum decode_result result;

	if (!w || !w->decode || !bytes.len || x->closed)
		return;
	w->now_ns = now_ns;
	if (!w->first_byte_ns)
		w->first_byte_ns = now_ns;
	result = decode_feed(w->decode, bytes);
	if (result != DECODE_OK) {
		counter_add(result == DECODE_BOMB ? COUNTER_DECODE_BOMB : COUNTER_DECODE_CODING, 1);
		stop_reading(w);
	}
	judge_body(x);
}

void exchange_response_gap(struct exchange *x, uint64_t n)
{
	struct work *w = x->work;

	(void)n;
	if (!w || x->closed)
		return;
	w->call.gaps++;
	w->answer_gap = true;
	if (!w->meter)
		return;
	/* Compressed bytes mean nothing without those before them. */
	if (w->coded)
		stop_reading(w);
	else
		meter_gap(w->meter);
}

/* ---- the record ------------------------------------------------------------------------------ */

/* Only identifiers pass: an error's text may quote the prompt. */
static bool is_identifier(const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	return text[0] && text[strspn(text, plain)] == '\0' && strlen(text) < 64;
}

static void set_error_class(struct call *c, const struct answer *a)
{
	const char *type = a->text[TEXT_ERROR_TYPE], *code = a->text[TEXT_ERROR_CODE];

	if (is_identifier(type))
		set_text(c->error_class, sizeof(c->error_class), type);
	else if (is_identifier(code))
		set_text(c->error_class, sizeof(c->error_class), code);
}

static void take(char *dst, size_t size, const struct answer *a, enum answer_text field)
{
	if (a->text[field][0])
		set_text(dst, size, a->text[field]);
}

/* "auto" proves nothing: neither asked for nor in an answer that leaves the tier open. */
static void set_tier(struct call *c, const char *served)
{
	if (strcmp(c->service_tier, "auto") == 0)
		c->service_tier[0] = '\0';
	if (served[0] && (strcmp(served, "auto") != 0 || !c->service_tier[0]))
		set_text(c->service_tier, sizeof(c->service_tier), served);
	c->batch = strcmp(c->service_tier, "batch") == 0;
}

static void set_names(struct work *w, const struct answer *a)
{
	struct call *c = &w->call;

	take(c->response_id, sizeof(c->response_id), a, TEXT_RESPONSE_ID);
	set_tier(c, a->text[TEXT_SERVICE_TIER]);
	take(c->inference_geo, sizeof(c->inference_geo), a, TEXT_INFERENCE_GEO);
	take(c->speed, sizeof(c->speed), a, TEXT_SPEED);
	take(c->model, sizeof(c->model), a, TEXT_MODEL);
}

/* What the usage is worth, given how the answer ended. */
static enum basis basis_of(const struct work *w, bool whole)
{
	const struct meter_facts *facts = meter_facts(w->meter);
	const struct usage *u = &w->call.usage;

	if (!u->known)
		return whole && !w->answer_gap ? BASIS_ESTIMATED : BASIS_PARTIAL;
	if (!facts->final || (facts->stream && !whole) || u->lower_bound)
		return BASIS_PARTIAL;
	/* What a gateway says a call costs is its estimate: no bill, unless its prices say so. */
	return u->provider_cost_pusd >= 0 && w->call.role != ROLE_GATEWAY ? BASIS_PROVIDER_REPORTED
									  : BASIS_REPORTED_USAGE;
}

static void settle_answer(struct work *w, enum message_end how)
{
	const struct meter_facts *facts = meter_facts(w->meter);
	const struct answer *a = meter_answer(w->meter);
	struct call *c = &w->call;
	bool whole = how == MESSAGE_COMPLETE || facts->ended;

	meter_usage(w->meter, &c->usage);
	set_names(w, a);
	c->stream |= facts->stream;
	if (c->status >= 300 || facts->failed)
		c->outcome = OUTCOME_ERROR;
	else
		c->outcome = whole ? OUTCOME_OK : OUTCOME_ABORTED;
	if (c->outcome == OUTCOME_ERROR)
		set_error_class(c, a);
	c->basis = c->status >= 300 && !c->usage.known ? BASIS_NOT_BILLED : basis_of(w, whole);
	if (facts->broken)
		counter_add(COUNTER_DECODE_JSON, 1);
}

static int64_t since_us(const struct exchange *x, uint64_t now_ns)
{
	return now_ns > x->entry_ns ? (int64_t)((now_ns - x->entry_ns) / NSEC_PER_USEC) : 0;
}

/* An answer that never came, or for which there was no memory: nothing is known, least of all zero.
 */
static void settle_unread(struct call *c, enum message_end how)
{
	if (c->status >= 300) {
		c->outcome = OUTCOME_ERROR;
		c->basis = BASIS_NOT_BILLED;
	} else if (c->status && how == MESSAGE_COMPLETE) {
		c->outcome = OUTCOME_OK;
		c->basis = BASIS_ESTIMATED;
	} else { /* the provider may have worked and may bill */
		c->outcome = OUTCOME_ABORTED;
		c->basis = BASIS_PARTIAL;
	}
}

static void settle_first_token(struct exchange *x)
{
	struct work *w = x->work;
	uint64_t first_ns = meter_facts(w->meter)->stream ? w->first_content_ns : w->first_byte_ns;

	if (first_ns)
		w->call.time_to_first_token_us = since_us(x, first_ns);
}

static void settle(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	struct work *w = x->work;
	struct call *c = &w->call;

	c->duration_us = since_us(x, now_ns);
	if (w->meter) {
		meter_eof(w->meter);
		settle_answer(w, how);
		settle_first_token(x);
	} else {
		settle_unread(c, how);
	}
	/* A deployment's name is no model: better unpriced than priced as another. */
	if (!c->model[0] && strcmp(c->model_requested, w->deployment) != 0)
		set_text(c->model, sizeof(c->model), c->model_requested);
}

/* Usage at other models: further rows of the same exchange. */
static void report_subs(struct exchange *x)
{
	struct work *w = x->work;
	const struct answer *a = meter_answer(w->meter);

	for (uint32_t i = 0; i < a->sub_count; i++) {
		w->call.basis = w->basis; /* pricing may have changed it in the row before */
		w->call.sub_index = (int)i + 1;
		event_id_fill(w->call.event_id, x->env, &x->conn, x->entry_ns, x->index_in_record,
			      i + 1);
		set_text(w->call.model, sizeof(w->call.model), a->sub[i].model);
		meter_sub_usage(w->meter, i, &w->call.usage);
		x->env->ops->done(x->env->user, &x->conn, x->entry_ns, &w->call);
	}
}

static void ignore(struct exchange *x, enum ignored_reason reason)
{
	if (x->env->ops->ignored)
		x->env->ops->ignored(x->env->user, x->provider ? x->provider->name : "", reason);
}

/* An unlisted host whose answer never looked like an LLM's. */
static bool is_stranger(const struct work *w)
{
	return w->by_shape && (!w->meter || !meter_facts(w->meter)->marked);
}

static void close_record(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	struct work *w = x->work;

	if (x->closed)
		return;
	x->closed = true;
	if (!w) {
		judge(x, JUDGE_MUTE);
		ignore(x, x->ignored);
		return;
	}
	if (w->call.status == 101) {
		ignore(x, IGNORED_UPGRADE);
		return;
	}
	settle(x, how, now_ns);
	attempt_end(x, is_worth_retrying(&w->call), now_ns);
	if (is_stranger(w)) {
		if (how == MESSAGE_COMPLETE)
			judge(x, JUDGE_MUTE);
		ignore(x, IGNORED_NOT_LLM);
		return;
	}
	judge(x, JUDGE_WATCH);
	w->basis = w->call.basis;
	x->env->ops->done(x->env->user, &x->conn, x->entry_ns, &w->call);
	if (w->meter)
		report_subs(x);
}

void exchange_response_end(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	close_record(x, how, now_ns);
}

void exchange_rest(struct exchange *x, uint64_t now_ns)
{
	if (x->work && x->work->meter && meter_facts(x->work->meter)->ended)
		close_record(x, MESSAGE_COMPLETE, now_ns);
}

void exchange_abandon(struct exchange *x, uint64_t now_ns)
{
	close_record(x, MESSAGE_CUT, now_ns);
}

bool exchange_is_head(const struct exchange *x)
{
	return x->is_head;
}

bool exchange_is_connect(const struct exchange *x)
{
	return x->is_connect;
}

void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	if (x->work) {
		drop_request(x->work);
		decode_free(x->work->decode);
		meter_free(x->work->meter);
		explicit_bzero(&x->work->hash, sizeof(x->work->hash));
		free(x->work);
	}
	free(x);
}

size_t exchange_memory(const struct exchange *x)
{
	const struct work *w = x->work;

	if (!w)
		return sizeof(*x);
	return sizeof(*x) + sizeof(*w) + request_body_memory(w->request) +
	       (w->decode ? decode_memory(w->decode) : 0) + meter_memory(w->meter);
}
