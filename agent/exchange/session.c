/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/session.h"

#include "agent/base/counters.h"

#include <errno.h>

/* A call that has begun and not ended. */
struct open_call {
	uint64_t begun_ns, content_ns;
	bool created; /* the provider has named it, or sent some of it */
	bool silent;  /* a request that asks for nothing to be generated */
	int gaps;     /* of the provider's messages, since it began */
	char id[CALL_NAME_MAX];
	char model_requested[CALL_NAME_MAX];
	char service_tier[32];
};

/* What one message of the client says. */
struct ask {
	char type[64];
	char model[CALL_NAME_MAX];
	char service_tier[32];
	bool silent;
};

struct session {
	const struct dialect *dialect;
	const struct session_ops *ops;
	void *user;
	uint64_t now_ns;
	bool blind;

	struct ws *sides[WS_SIDES];
	struct meter *meter; /* of the provider's message being read */
	bool said;	     /* it is not empty */
	struct json_paths *ask_paths;
	struct json_scan *ask_scan; /* of the client's */
	enum json_result ask_result;
	struct ask ask;

	size_t count;
	struct open_call calls[SESSION_CALLS_MAX]; /* the oldest first */
	char last_id[CALL_NAME_MAX];		   /* of the call that ended last */
	char model_requested[CALL_NAME_MAX];
	char model[CALL_NAME_MAX];
	char side_model[CALL_NAME_MAX];
	char session_id[CALL_NAME_MAX];
};

static void set_text(char *dst, size_t size, const char *text)
{
	slice_copy(dst, size, slice_of(text));
}

static void keep_text(char dst[CALL_NAME_MAX], const char *text)
{
	if (text[0])
		set_text(dst, CALL_NAME_MAX, text);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void count_open(struct session *s, int change)
{
	s->ops->open(s->user, change);
}

static void report(struct session *s, const struct open_call *c, struct session_call *out)
{
	out->begun_ns = c->begun_ns;
	out->content_ns = c->content_ns;
	out->created = c->created;
	out->gaps = c->gaps;
	out->id = c->id;
	out->model_requested = c->model_requested[0] ? c->model_requested : s->model_requested;
	out->model = s->model;
	out->service_tier = c->service_tier;
	out->session_id = s->session_id;
	s->ops->call(s->user, out, s->now_ns);
}

static bool has_tokens(const struct meter *m)
{
	struct usage u;

	meter_usage(m, &u);
	return u.known && usage_input_total(&u) + usage_output_total(&u) > 0;
}

/* Takes call i out of the list; event SESSION_NOTHING: no message ended it. */
static void end_call(struct session *s, size_t i, enum session_event event, enum message_end how)
{
	struct session_call out = {.event = event, .how = how};
	struct open_call c = s->calls[i];

	if (event != SESSION_NOTHING)
		out.meter = s->meter;
	s->count--;
	memmove(s->calls + i, s->calls + i + 1, (s->count - i) * sizeof(*s->calls));
	if (c.silent) {
		/* It is a call only if the provider counts something for it. */
		if (event != SESSION_DONE || !has_tokens(s->meter))
			return;
		count_open(s, 1);
	}
	report(s, &c, &out);
}

static struct open_call *begin_call(struct session *s)
{
	struct open_call *c;

	if (s->count == SESSION_CALLS_MAX) {
		s->calls[0].gaps++;
		end_call(s, 0, SESSION_NOTHING, MESSAGE_UNSEEN);
	}
	c = &s->calls[s->count++];
	*c = (struct open_call){.begun_ns = s->now_ns};
	return c;
}

/* The call of that id, or the first that has none yet; SESSION_CALLS_MAX: there is none. */
static size_t find_call(const struct session *s, const char *id)
{
	for (size_t i = 0; i < s->count && id[0]; i++) {
		if (strcmp(s->calls[i].id, id) == 0)
			return i;
	}
	for (size_t i = 0; i < s->count; i++) {
		if (!s->calls[i].id[0])
			return i;
	}
	return SESSION_CALLS_MAX;
}

/* ---- what the provider says ------------------------------------------------------------------ */

static struct open_call *name_call(struct session *s, const char *id)
{
	size_t i = find_call(s, id);
	struct open_call *c;

	if (i == SESSION_CALLS_MAX) {
		c = begin_call(s);
		count_open(s, 1);
	} else {
		c = &s->calls[i];
	}
	c->created = true;
	set_text(c->id, sizeof(c->id), id);
	return c;
}

/* A call ends; one whose begin was not seen has this message alone. */
static void done(struct session *s, const char *id)
{
	if (id[0] && strcmp(id, s->last_id) == 0)
		return; /* some peers tell the same end by two events */
	name_call(s, id);
	end_call(s, find_call(s, id), SESSION_DONE, MESSAGE_COMPLETE);
	set_text(s->last_id, sizeof(s->last_id), id);
}

/* Work beside the calls, at a model of its own. */
static void side(struct session *s, const struct answer *a)
{
	struct open_call c = {.begun_ns = s->now_ns, .created = true};
	struct session_call out = {
		.event = SESSION_SIDE, .how = MESSAGE_COMPLETE, .meter = s->meter};
	struct usage u;

	meter_usage(s->meter, &u);
	if (!u.known && !u.mismatch)
		return;
	set_text(c.id, sizeof(c.id), a->text[TEXT_SIDE_ID]);
	set_text(c.model_requested, sizeof(c.model_requested), s->side_model);
	count_open(s, 1);
	report(s, &c, &out);
}

/* Where one answer follows the other its pieces need not name it. */
static struct open_call *call_of_content(struct session *s, const char *id)
{
	const struct session_rules *rules = s->dialect->session;

	if (!rules->events && !s->count)
		return name_call(s, "");
	if (!rules->events || rules->asked)
		return s->count ? &s->calls[0] : NULL;
	for (size_t i = 0; i < s->count && id[0]; i++) {
		if (strcmp(s->calls[i].id, id) == 0)
			return &s->calls[i];
	}
	return NULL;
}

static void content(struct session *s, const char *id)
{
	struct open_call *c = call_of_content(s, id);

	if (c && !c->content_ns)
		c->content_ns = s->now_ns;
}

static enum session_event meaning(const struct session *s)
{
	const struct session_row *row = s->dialect->session->events;
	const char *type = meter_answer(s->meter)->text[TEXT_EVENT];

	if (!row)
		return meter_facts(s->meter)->final ? SESSION_DONE : SESSION_NOTHING;
	while (row->type && strcmp(row->type, type) != 0)
		row++;
	return row->event;
}

static void on_event(struct session *s)
{
	const struct answer *a = meter_answer(s->meter);
	const char *id = a->text[TEXT_RESPONSE_ID];

	keep_text(s->session_id, a->text[TEXT_SESSION_ID]);
	keep_text(s->model, a->text[TEXT_SESSION_MODEL]);
	keep_text(s->side_model, a->text[TEXT_SIDE_MODEL]);
	if (meter_facts(s->meter)->content)
		content(s, id);
	switch (meaning(s)) {
	case SESSION_BEGIN:
		name_call(s, id);
		break;
	case SESSION_DONE:
		done(s, id);
		break;
	case SESSION_SIDE:
		side(s, a);
		break;
	case SESSION_ERROR:
		if (s->count)
			end_call(s, 0, SESSION_ERROR, MESSAGE_COMPLETE);
		break;
	case SESSION_NOTHING:
		break;
	}
}

static void on_server_begin(void *user)
{
	struct session *s = user;

	meter_restart(s->meter);
	s->said = false;
}

static void on_server_data(void *user, struct slice piece)
{
	struct session *s = user;

	s->said = true;
	meter_feed(s->meter, piece);
}

static void on_server_end(void *user)
{
	struct session *s = user;
	const struct meter_facts *facts = meter_facts(s->meter);

	if (!s->said || facts->alien || facts->stream)
		return; /* none of JSON */
	if (facts->ended && !facts->broken)
		on_event(s);
	else
		counter_add(COUNTER_DECODE_JSON, 1);
}

static void count_lost(enum ws_reason why)
{
	static const enum counter counters[] = {
		[WS_BAD_FRAME] = COUNTER_DECODE_WEBSOCKET,
		[WS_BAD_DEFLATE] = COUNTER_DECODE_CODING,
		[WS_BOMB] = COUNTER_DECODE_BOMB,
		[WS_NO_MEMORY] = COUNTER_DECODE_MEMORY,
	};

	if (why != WS_FINE && why != WS_GAP) /* gaps are counted where they are found */
		counter_add(counters[why], 1);
}

static void on_server_lost(void *user, enum ws_reason why)
{
	struct session *s = user;

	count_lost(why);
	for (size_t i = 0; i < s->count; i++)
		s->calls[i].gaps++;
}

static void on_close(void *user)
{
	(void)user; /* how calls end that are still open is told by the connection */
}

static const struct ws_ops server_ops = {.begin = on_server_begin,
					 .data = on_server_data,
					 .end = on_server_end,
					 .lost = on_server_lost,
					 .close = on_close};

/* ---- what the client says -------------------------------------------------------------------- */

enum ask_field { ASK_TYPE, ASK_GENERATE, ASK_TIER, ASK_MODEL };

static const struct {
	const char *path;
	enum ask_field field;
} ask_rows[] = {
	{"type", ASK_TYPE},	    {"generate", ASK_GENERATE},	   {"service_tier", ASK_TIER},
	{"model", ASK_MODEL},	    {"response.model", ASK_MODEL}, {"session.model", ASK_MODEL},
	{"setup.model", ASK_MODEL},
};

static void on_ask_value(void *user, const struct json_value *v)
{
	struct session *s = user;
	bool text = v->type == JSON_STRING && v->text.len;

	switch (ask_rows[v->path].field) {
	case ASK_TYPE:
		if (text)
			slice_copy(s->ask.type, sizeof(s->ask.type), v->text);
		break;
	case ASK_GENERATE:
		s->ask.silent = v->type == JSON_FALSE;
		break;
	case ASK_TIER:
		if (text)
			slice_copy(s->ask.service_tier, sizeof(s->ask.service_tier), v->text);
		break;
	case ASK_MODEL:
		if (text)
			slice_copy(s->ask.model, sizeof(s->ask.model), v->text);
		break;
	}
}

static const struct json_ops ask_ops = {.value = on_ask_value};

/* Requests follow one another: one whose answer had gaps is over when the next one comes. */
static void end_unseen(struct session *s)
{
	for (size_t i = s->count; i-- > 0;) {
		if (s->calls[i].gaps)
			end_call(s, i, SESSION_NOTHING, MESSAGE_UNSEEN);
	}
}

static void on_ask(struct session *s)
{
	struct open_call *c;

	if (!s->dialect->session->asked) {
		keep_text(s->model_requested, s->ask.model);
		return;
	}
	if (strcmp(s->ask.type, "response.create") != 0)
		return;
	end_unseen(s);
	c = begin_call(s);
	c->silent = s->ask.silent;
	set_text(c->model_requested, sizeof(c->model_requested), s->ask.model);
	set_text(c->service_tier, sizeof(c->service_tier), s->ask.service_tier);
	if (!c->silent)
		count_open(s, 1);
}

static void on_client_begin(void *user)
{
	struct session *s = user;

	json_scan_reset(s->ask_scan);
	s->ask = (struct ask){0};
	s->ask_result = JSON_MORE;
}

static void on_client_data(void *user, struct slice piece)
{
	struct session *s = user;

	if (s->ask_result != JSON_BROKEN)
		s->ask_result = json_scan_feed(s->ask_scan, piece);
}

static void on_client_end(void *user)
{
	struct session *s = user;

	if (s->ask_result == JSON_DONE)
		on_ask(s);
}

static void on_client_lost(void *user, enum ws_reason why)
{
	(void)user;
	count_lost(why);
}

static const struct ws_ops client_ops = {.begin = on_client_begin,
					 .data = on_client_data,
					 .end = on_client_end,
					 .lost = on_client_lost,
					 .close = on_close};

/* ---- bytes ----------------------------------------------------------------------------------- */

static void go_blind(struct session *s)
{
	if (s->blind)
		return;
	s->blind = true;
	session_end(s, MESSAGE_UNSEEN, s->now_ns);
}

static enum ws_side side_of(enum chunk_dir dir)
{
	return dir == CHUNK_WRITE ? WS_CLIENT : WS_SERVER;
}

/* A client that cannot be read costs what its requests say, not the answers. */
static void after(struct session *s, enum ws_side side, enum ws_result result)
{
	if (result == WS_BROKEN && side == WS_SERVER)
		go_blind(s);
}

void session_feed(struct session *s, enum chunk_dir dir, struct slice bytes, bool call_begins,
		  uint64_t now_ns)
{
	enum ws_side side = side_of(dir);

	s->now_ns = now_ns;
	if (call_begins)
		ws_call_begins(s->sides[side]);
	after(s, side, ws_feed(s->sides[side], bytes));
}

void session_gap(struct session *s, enum chunk_dir dir, uint64_t n, uint64_t now_ns)
{
	enum ws_side side = side_of(dir);

	s->now_ns = now_ns;
	after(s, side, ws_skip(s->sides[side], n));
}

void session_end(struct session *s, enum message_end how, uint64_t now_ns)
{
	s->now_ns = now_ns;
	while (s->count) {
		bool unseen = s->calls[0].gaps && how == MESSAGE_CUT;

		end_call(s, 0, SESSION_NOTHING, unseen ? MESSAGE_UNSEEN : how);
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

static int asks_new(struct session *s)
{
	const char *paths[ARRAY_LEN(ask_rows)];
	int err;

	for (size_t i = 0; i < ARRAY_LEN(ask_rows); i++)
		paths[i] = ask_rows[i].path;
	err = json_paths_new(&s->ask_paths, paths, ARRAY_LEN(paths));
	return err ? err : json_scan_new(&s->ask_scan, s->ask_paths, &ask_ops, s);
}

int session_new(struct session **out, const struct dialect *dialect, struct json_paths *paths,
		const struct ws_deflate deflate[WS_SIDES], const struct session_ops *ops,
		void *user)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->dialect = dialect;
	s->ops = ops;
	s->user = user;
	if (meter_new(&s->meter, dialect, paths, METER_PLAIN) || asks_new(s) ||
	    ws_new(&s->sides[WS_CLIENT], WS_CLIENT, deflate[WS_CLIENT], &client_ops, s) ||
	    ws_new(&s->sides[WS_SERVER], WS_SERVER, deflate[WS_SERVER], &server_ops, s)) {
		session_free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++)
		count_open(s, s->calls[i].silent ? 0 : -1);
	for (int side = 0; side < WS_SIDES; side++)
		ws_free(s->sides[side]);
	meter_free(s->meter);
	json_scan_free(s->ask_scan);
	json_paths_free(s->ask_paths);
	free(s);
}

bool session_is_blind(const struct session *s)
{
	return s->blind;
}

size_t session_memory(const struct session *s)
{
	return s ? sizeof(*s) + meter_memory(s->meter) + json_scan_memory(s->ask_scan) +
			       ws_memory(s->sides[WS_CLIENT]) + ws_memory(s->sides[WS_SERVER])
		 : 0;
}
