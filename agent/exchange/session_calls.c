/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/parts.h"

#include "agent/base/counters.h"
#include "agent/base/money.h"
#include "agent/exchange/event_id.h"
#include "agent/exchange/request.h"
#include "agent/exchange/session.h"
#include "agent/exchange/usage_key.h"
#include "agent/providers/provider.h"

/* "models/NAME", as Gemini writes it, is NAME. */
static const char *plain_model(const char *model)
{
	static const char folder[] = "models/";
	const char *at = strstr(model, folder);

	return at && (at == model || at[-1] == '/') ? at + sizeof(folder) - 1 : model;
}

/* What is known of a call before its end: the session's facts, and those of its request. */
static void describe_session_call(struct exchange *x, const struct session_call *s)
{
	struct work *w = x->work;
	struct call *c = &w->call;

	event_id_fill(c->event_id, x->env, &x->conn, x->entry_ns, x->index_in_record,
		      (uint32_t)w->session_calls);
	attempt_alone(c, 0);
	c->sub_index = w->session_calls++;
	c->stream = true;
	c->gaps += s->gaps;
	if (s->event == SESSION_SIDE || s->model_requested[0])
		set_text(c->model_requested, sizeof(c->model_requested), s->model_requested);
	if (s->event != SESSION_SIDE)
		set_text(c->model, sizeof(c->model), plain_model(s->model));
	set_text(c->service_tier, sizeof(c->service_tier), s->service_tier);
	set_text(c->response_id, sizeof(c->response_id), s->id);
	if (!c->session_id[0])
		set_text(c->session_id, sizeof(c->session_id), s->session_id);
}

/* How the session's own words for an end change what the message itself says. */
static void settle_session_end(struct call *c, const struct session_call *s, const char *status)
{
	int64_t code;

	if (s->event == SESSION_ERROR) {
		c->outcome = OUTCOME_ERROR;
		c->basis = s->created ? BASIS_PARTIAL : BASIS_NOT_BILLED;
		if (decimal_parse(slice_of(status), 0, &code) && code >= 300 && code < 1000)
			c->status = (int)code;
	} else if (strcmp(status, "cancelled") == 0) {
		c->outcome = OUTCOME_ABORTED;
		if (c->basis == BASIS_ESTIMATED)
			c->basis = BASIS_PARTIAL;
	} else if (strcmp(status, "failed") == 0) {
		c->outcome = OUTCOME_ERROR;
	}
}

static void settle_session_call(struct work *w, const struct session_call *s)
{
	struct call *c = &w->call;

	w->meter = s->meter;
	if (s->meter) {
		settle_answer(w, s->how);
		settle_session_end(c, s, meter_answer(s->meter)->text[TEXT_STATUS]);
		if (c->outcome == OUTCOME_ERROR)
			settle_error_class(c, meter_answer(s->meter));
	} else {
		settle_unread(c, s->how);
	}
	w->answer_gap = s->gaps != 0;
	c->usage_missing = settle_missing(w);
	w->answer_gap = false;
	w->meter = NULL;
}

/* It may be read back by its id, like one that a POST has made. */
static void set_key(struct exchange *x)
{
	const char *kind = x->work->dialect->object;
	struct call *c = &x->work->call;

	if (!kind)
		return;
	usage_key_object(&c->key, x->env, c, kind, slice_of(c->response_id));
	c->key.made = true;
}

/* One call of a session is over: a record beside those of its other calls. */
static void on_session_call(void *user, const struct session_call *s, uint64_t now_ns)
{
	struct exchange *x = user;
	struct work *w = x->work;
	struct call *c = &w->call;
	struct call kept = *c; /* the session's own facts, for the calls to come */

	describe_session_call(x, s);
	settle_session_call(w, s);
	set_key(x);
	if (!c->model[0] && !(w->is_deployment && strcmp(c->model_requested, w->path_model) == 0))
		set_text(c->model, sizeof(c->model), plain_model(c->model_requested));
	c->duration_us = between_us(s->begun_ns, now_ns);
	if (s->content_ns)
		c->time_to_first_token_us = between_us(s->begun_ns, s->content_ns);
	exchange_judge(x, JUDGE_WATCH);
	x->env->ops->done(x->env->user, &x->conn, s->begun_ns, c);
	*c = kept;
}

static void on_session_open(void *user, int change)
{
	exchange_count_open(user, change);
}

static const struct session_ops session_ops = {.call = on_session_call, .open = on_session_open};

void session_calls_begin(struct exchange *x, const struct http_head *head)
{
	struct work *w = x->work;
	struct json_paths *paths = provider_table_paths(x->env->providers, w->dialect);
	struct ws_deflate deflate[WS_SIDES];

	w->call.status = head->status;
	if (!w->dialect->session || !route_asks_websocket(head) || !paths ||
	    !ws_extensions(http_head_get(head, "sec-websocket-extensions"), deflate))
		return;
	if (session_new(&w->session, w->dialect, paths, deflate, &session_ops, x)) {
		counter_add(COUNTER_DECODE_MEMORY, 1);
		return;
	}
	response_head_facts(x->env, &w->call, head, x->provider->request_id_header);
	exchange_count_open(x, -1); /* from here on each call counts for itself */
}

bool exchange_is_session(const struct exchange *x)
{
	return x->work && x->work->session;
}

bool exchange_is_blind(const struct exchange *x)
{
	return session_is_blind(x->work->session);
}

void exchange_session_bytes(struct exchange *x, enum chunk_dir dir, struct slice bytes,
			    bool call_begins, uint64_t now_ns)
{
	session_feed(x->work->session, dir, bytes, call_begins, now_ns);
}

void exchange_session_gap(struct exchange *x, enum chunk_dir dir, uint64_t n, uint64_t now_ns)
{
	session_gap(x->work->session, dir, n, now_ns);
}
