/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of an upgraded connection (WebSocket), as calls: which message begins one, which
 * ends it, what it was asked for. The dialect's rules (usage/dialect.h) say what an event means.
 * Each message is read piece by piece and none is kept; a call's usage is what the message that
 * ends it says.
 *
 * Bound: SESSION_CALLS_MAX calls at once; beyond it the oldest is over, its end not seen.
 */
#ifndef TT_SESSION_H
#define TT_SESSION_H

#include "agent/capture/chunk.h"
#include "agent/exchange/message.h"
#include "agent/usage/meter.h"
#include "agent/websocket/websocket.h"

#define SESSION_CALLS_MAX 16

struct session;

/* A call that is over, as far as it was seen. Texts are "" where nothing was said. */
struct session_call {
	uint64_t begun_ns;   /* its request, or where there is none its first sign */
	uint64_t content_ns; /* the first of what was generated; 0 = nothing was seen of it */
	struct meter *meter; /* the message that ended it, whole; NULL: none came */
	enum message_end how;
	enum session_event event; /* SESSION_DONE, SESSION_SIDE, SESSION_ERROR; else cut */
	bool created;		  /* the provider said that it began */
	int gaps;
	const char *id;
	const char *model_requested;
	const char *model; /* the session's, where the message names none */
	const char *service_tier;
	const char *session_id;
};

struct session_ops {
	void (*call)(void *user, const struct session_call *call, uint64_t now_ns);
	void (*open)(void *user, int change); /* as in exchange_ops; call ends one by itself */
};

/* deflate by enum ws_side. Returns 0 or -ENOMEM. The arguments stay the caller's. */
int session_new(struct session **out, const struct dialect *dialect, struct json_paths *paths,
		const struct ws_deflate deflate[WS_SIDES], const struct session_ops *ops,
		void *user) TT_MUST_CHECK;
/* Calls that are open are dropped without a word but open. NULL is fine. */
void session_free(struct session *s);

void session_feed(struct session *s, enum chunk_dir dir, struct slice bytes, bool call_begins,
		  uint64_t now_ns);
void session_gap(struct session *s, enum chunk_dir dir, uint64_t n, uint64_t now_ns);
/* Nothing more will come: open calls end so. */
void session_end(struct session *s, enum message_end how, uint64_t now_ns);

/* The provider's messages cannot be read any more. */
bool session_is_blind(const struct session *s);
size_t session_memory(const struct session *s);

#endif
