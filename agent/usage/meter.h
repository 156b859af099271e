/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one answer's decoded body in a dialect: tells JSON from a stream of events by its first
 * byte (labels lie), feeds each to the scanner, gathers what the dialect's rows name and says
 * whether the usage is final. Holds counts, identifiers and lengths, never text. Pure; gaps are
 * input too.
 */
#ifndef TT_METER_H
#define TT_METER_H

#include "agent/json/scan.h"
#include "agent/usage/dialect.h"

struct meter;

struct meter_facts {
	bool stream;  /* the body is a stream of events */
	bool alien;   /* neither JSON nor events */
	bool marked;  /* it carries marks of the dialect */
	bool content; /* the first generated text was seen (streams) */
	bool final;   /* usage is whole: nothing later would change it */
	bool ended;   /* the body said by itself that it is over */
	bool failed;  /* an error stood in it */
	bool broken;  /* a document in it was no JSON */
};

/* The dialect's rows as a path list; free with json_paths_free. */
int dialect_paths_new(struct json_paths **out, const struct dialect *dialect) TT_MUST_CHECK;

/* sse_hint: the label says events; used only when the first bytes are lost. */
int meter_new(struct meter **out, const struct dialect *dialect, struct json_paths *paths,
	      bool sse_hint) TT_MUST_CHECK;
void meter_free(struct meter *m);

void meter_feed(struct meter *m, struct slice bytes);
/* Bytes are missing: events go on after the next blank line, a JSON body is given up. */
void meter_gap(struct meter *m);
void meter_eof(struct meter *m);

const struct meter_facts *meter_facts(const struct meter *m);
const struct answer *meter_answer(const struct meter *m);
void meter_usage(const struct meter *m, struct usage *out);
/* The usage of sub-model i < meter_answer(m)->sub_count. */
void meter_sub_usage(const struct meter *m, uint32_t i, struct usage *out);
size_t meter_memory(const struct meter *m);

#endif
