/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/parts.h"

#include "agent/base/counters.h"
#include "agent/decode/decode.h"
#include "agent/exchange/estimate.h"
#include "agent/exchange/event_id.h"
#include "agent/exchange/grpc_status.h"
#include "agent/exchange/guess.h"
#include "agent/exchange/session.h"
#include "agent/providers/provider.h"
#include "agent/usage/meter.h"

#include <errno.h>

const char *const ignored_reason_names[IGNORED_REASONS] = {
	[IGNORED_PATH_NOT_BILLABLE] = "path_not_billable",
	[IGNORED_PATH_UNKNOWN] = "path_unknown",
	[IGNORED_METHOD] = "method",
	[IGNORED_NOT_LLM] = "not_llm",
	[IGNORED_UPGRADE] = "upgrade",
	[IGNORED_SESSION_EMPTY] = "session_empty",
};

void exchange_count_open(const struct exchange *x, int change)
{
	const struct work *w = x->work;

	if (x->env->ops->open)
		x->env->ops->open(x->env->user, w->dialect->session ? NULL : &w->call, x->entry_ns,
				  change);
}

void exchange_judge(struct exchange *x, enum judgement judgement)
{
	if (!x->candidate || x->judged)
		return;
	x->judged = true;
	if (x->env->ops->judged)
		x->env->ops->judged(x->env->user, &x->conn, judgement,
				    x->work ? x->work->call.host : "");
}

static void ignore(struct exchange *x, enum ignored_reason reason)
{
	if (x->work && !x->work->session)
		exchange_count_open(x, -1);
	if (x->env->ops->ignored)
		x->env->ops->ignored(x->env->user, x->provider ? x->provider->name : "", reason);
}

/* ---- the request ----------------------------------------------------------------------------- */

static int begin_work(struct exchange *x, const struct exchange_start *start,
		      const struct http_head *head)
{
	struct work *w = calloc(1, sizeof(*w));
	const struct api_path *path;
	int err;

	if (!w)
		return -ENOMEM;
	request_host(&w->call, head, start->host_hint ? start->host_hint : "");
	path = route_find(x, head, start->host_hint ? start->host_hint : "", &w->call,
			  &w->by_shape);
	if (!path) {
		free(w);
		return 0;
	}
	w->dialect = path->dialect;
	route_describe(x, w, path, head);
	/* Without memory for it nothing is estimated. */
	if (w->dialect->usage_on_request && x->env->tokenizers &&
	    estimate_new(&w->units.estimate, x->env->tokenizers))
		counter_add(COUNTER_DECODE_MEMORY, 1);
	w->units.link_key = x->env->fingerprint_key;
	err = request_body_new(&w->request, x->env, &w->call, &w->units, head, w->dialect->request);
	if (err == -ENOMEM) {
		estimate_free(w->units.estimate);
		free(w);
		return err;
	}
	if (err) {
		estimate_stop(w->units.estimate);
		counter_add(COUNTER_DECODE_CODING, 1);
	}
	x->work = w;
	attempt_identify(x);
	attempt_hash_begin(x, head);
	exchange_count_open(x, 1);
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
	attempt_hash_body(w, bytes);
	if (!w->request || request_body_feed(w->request, bytes))
		return;
	drop_request(w); /* the answer still counts */
	estimate_stop(w->units.estimate);
}

void exchange_request_gap(struct exchange *x, uint64_t n)
{
	(void)n;
	if (!x->work)
		return;
	x->work->call.gaps++;
	x->work->hash_state = HASH_NONE; /* what was not seen may differ */
	drop_request(x->work);
	estimate_stop(x->work->units.estimate);
}

/* Is the text wanted? Only now is it known. */
static void end_estimate(struct work *w, enum message_end how)
{
	const struct call *c = &w->call;

	if (how == MESSAGE_COMPLETE && c->stream && !w->units.usage_asked)
		estimate_request_end(w->units.estimate,
				     c->model_requested[0] ? c->model_requested : w->path_model);
	else
		estimate_stop(w->units.estimate);
}

void exchange_request_end(struct exchange *x, enum message_end how)
{
	if (!x->work)
		return;
	drop_request(x->work);
	end_estimate(x->work, how);
	if (how != MESSAGE_COMPLETE)
		return;
	attempt_begin(x);
	if (x->env->ops->asked && !x->candidate && !x->work->dialect->session)
		x->env->ops->asked(x->env->user, &x->conn, &x->work->call);
}

void exchange_may_end(struct exchange *x, uint64_t now_ns)
{
	if (x->work && !x->closed)
		attempt_end(x, true, now_ns);
}

/* ---- the answer ------------------------------------------------------------------------------ */

void exchange_response_head(struct exchange *x, const struct http_head *head, uint64_t now_ns)
{
	(void)now_ns;
	if (head->status == 101) {
		x->ignored = IGNORED_UPGRADE;
		if (x->work)
			session_calls_begin(x, head);
		return;
	}
	if (!x->work || (head->status && head->status < 200) || x->work->meter || x->work->guess)
		return;
	x->work->call.status = head->status;
	response_head_facts(x->env, &x->work->call, head, x->provider->request_id_header);
	x->work->grpc_status = grpc_status_read(head);
	body_begin(x, head);
}

void exchange_response_body(struct exchange *x, struct slice bytes, uint64_t now_ns)
{
	struct work *w = x->work;

	if (!w || !bytes.len || x->closed)
		return;
	w->now_ns = now_ns;
	if (!w->first_byte_ns)
		w->first_byte_ns = now_ns;
	body_feed(x, bytes);
}

void exchange_response_gap(struct exchange *x, uint64_t n)
{
	struct work *w = x->work;

	if (!w || x->closed)
		return;
	w->call.gaps++;
	w->answer_gap = true;
	body_gap(w, n);
}

void exchange_response_trailers(struct exchange *x, const struct http_head *trailers)
{
	struct work *w = x->work;

	if (!w || x->closed)
		return;
	w->grpc_status = grpc_status_read(trailers);
	w->status_unseen = trailers->cut && !w->grpc_status;
}

/* ---- the record ------------------------------------------------------------------------------ */

/* An unlisted host whose answer never looked like an LLM's. */
static bool is_stranger(const struct work *w)
{
	return w->by_shape && (!w->meter || !meter_facts(w->meter)->marked);
}

/* The path was not seen; by the answer's dialect it is this one. */
static void adopt_path(struct work *w)
{
	struct guessed found = guess_take(w->guess);

	if (!found.path)
		return;
	w->meter = found.meter;
	w->dialect = found.path->dialect;
	w->reads = provider_path_reads(found.path);
	w->doubtful = found.doubtful;
	set_text(w->call.api, sizeof(w->call.api), found.path->api);
	set_text(w->call.operation, sizeof(w->call.operation), found.path->operation);
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
		exchange_count_open(x, 1);
		x->env->ops->done(x->env->user, &x->conn, x->entry_ns, &w->call);
	}
}

/* The answer itself is no record; its units were, if it had any. */
static void close_reading(struct exchange *x)
{
	if (x->work->units_told)
		exchange_count_open(x, -1);
	else
		ignore(x, IGNORED_METHOD);
}

static void close_record(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	struct work *w = x->work;

	if (x->closed)
		return;
	x->closed = true;
	if (!w) {
		exchange_judge(x, JUDGE_MUTE);
		ignore(x, x->ignored);
		return;
	}
	if (w->session) {
		session_end(w->session, settle_seen_end(x, how, now_ns), now_ns);
		if (!w->session_calls)
			ignore(x, IGNORED_SESSION_EMPTY);
		return;
	}
	if (w->call.status == 101) {
		ignore(x, IGNORED_UPGRADE);
		return;
	}
	/* An upgrade that was not made asks for nothing that is billed. */
	if (w->dialect->session && w->call.status < 300) {
		ignore(x, w->call.status ? IGNORED_METHOD : IGNORED_SESSION_EMPTY);
		return;
	}
	if (w->guess)
		adopt_path(w);
	if (w->dialect == path_unseen.dialect) {
		ignore(x, IGNORED_PATH_UNKNOWN);
		return;
	}
	how = settle_seen_end(x, how, now_ns);
	settle_call(x, how, now_ns);
	if (w->reads && !reading_end(x)) {
		close_reading(x);
		return;
	}
	if (w->dialect->object && !w->reads)
		reading_made(x);
	attempt_end(x, settle_worth_retrying(w), now_ns);
	if (is_stranger(w)) {
		if (how == MESSAGE_COMPLETE || how == MESSAGE_CLOSED)
			exchange_judge(x, JUDGE_MUTE);
		ignore(x, IGNORED_NOT_LLM);
		return;
	}
	exchange_judge(x, JUDGE_WATCH);
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
	const struct work *w = x->work;

	if (!w)
		return;
	if (w->guess ? guess_ended(w->guess) : w->meter && meter_facts(w->meter)->ended)
		close_record(x, MESSAGE_COMPLETE, now_ns);
}

void exchange_abandon(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	close_record(x, how, now_ns);
}

/* ---- life ------------------------------------------------------------------------------------ */

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
		if (!x->closed && !x->work->session)
			exchange_count_open(x, -1);
		session_free(x->work->session);
		drop_request(x->work);
		decode_free(x->work->decode);
		meter_free(x->work->meter);
		guess_free(x->work->guess);
		estimate_free(x->work->units.estimate);
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
	       (w->decode ? decode_memory(w->decode) : 0) + meter_memory(w->meter) +
	       (w->guess ? guess_memory(w->guess) : 0) + session_memory(w->session) +
	       estimate_memory(w->units.estimate);
}
