/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one answer's decoded body in a dialect: tells JSON from events (SSE or AWS's) by its first
 * byte (labels lie) and a stream of JSON lines by what its first line says; gRPC is what the
 * dialect says it is. Feeds each document to the scanner, gathers what the dialect's rows name and
 * says whether the usage is final. Holds counts, identifiers and lengths, never text. Pure; gaps
 * are input too.
 */
#ifndef TT_METER_H
#define TT_METER_H

#include "agent/json/scan.h"
#include "agent/usage/dialect.h"

struct meter;

struct meter_facts {
	bool stream;  /* the body is a stream of events or lines */
	bool alien;   /* neither JSON nor events */
	bool marked;  /* it carries marks of the dialect */
	bool named;   /* the marks are words of the dialect, not only counts that others have too */
	bool content; /* the first generated text was seen (streams) */
	bool final;   /* usage is whole: nothing later would change it */
	bool ended;   /* the body said by itself that it is over */
	bool failed;  /* an error stood in it */
	bool broken;  /* a document in it was no JSON */
};

/* The dialect's rows as a path list; free with json_paths_free. */
int dialect_paths_new(struct json_paths **out, const struct dialect *dialect) TT_MUST_CHECK;

/* What the label says; used only when the first bytes are lost. */
enum meter_hint { METER_PLAIN, METER_SSE, METER_LINES, METER_EVENTSTREAM };

int meter_new(struct meter **out, const struct dialect *dialect, struct json_paths *paths,
	      enum meter_hint hint) TT_MUST_CHECK;
void meter_free(struct meter *m);

/* Forgets all that was read: another answer begins. */
void meter_restart(struct meter *m);

/* Of a dialect with units: `unit` is called at the end of each, when meter_answer is its alone. */
void meter_on_unit(struct meter *m, void (*unit)(void *user), void *user);

/* Generated text as it comes, of a dialect whose rows ask for its bytes ("x~"); not kept. */
void meter_on_content(struct meter *m, void (*content)(void *user, struct slice text), void *user);

/* The ids of the tool calls it asks for, as they come, each once or more often; not kept. */
void meter_on_tool_call(struct meter *m, void (*tool_call)(void *user, struct slice id),
			void *user);

/* A count of the answer's head, before the body. */
void meter_header(struct meter *m, const struct dialect_head *row, struct slice value);

void meter_feed(struct meter *m, struct slice bytes);
/*
 * n bytes are missing; 0: it is not known how many. Events go on after the next blank line or at
 * the next prelude, lines after the next line's end, messages of gRPC behind the one of known
 * length in which bytes are missing; a single JSON document is given up.
 */
void meter_gap(struct meter *m, uint64_t n);
void meter_eof(struct meter *m);

const struct meter_facts *meter_facts(const struct meter *m);
const struct answer *meter_answer(const struct meter *m);
void meter_usage(const struct meter *m, struct usage *out);
/* The usage of sub-model i < meter_answer(m)->sub_count. */
void meter_sub_usage(const struct meter *m, uint32_t i, struct usage *out);
size_t meter_memory(const struct meter *m);

#endif
