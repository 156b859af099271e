/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The facts of a call that rules may see: one table of names and places. Facts of a workload are
 * those of who pays (call_payer). To add a fact, add a row.
 */
#ifndef TT_RULE_FACTS_H
#define TT_RULE_FACTS_H

#include "agent/base/key_names.h"
#include "agent/usage/call.h"

struct rule_fact_row;

/* A fact as a rule names it. */
struct rule_fact {
	const struct rule_fact_row *row;
	char tag[TAG_KEY_MAX]; /* of "tag:NAME" and its like; else "" */
};

#define RULE_FACT_NAME_MAX (TAG_KEY_MAX + 8)

/* False when there is no such fact. */
bool rule_fact_parse(struct slice name, struct rule_fact *out);
/* As it was written; dst holds RULE_FACT_NAME_MAX. Returns dst. */
const char *rule_fact_name(const struct rule_fact *fact, char *dst);
/* All names, for messages. */
void rule_fact_list(char *dst, size_t size);

#define RULE_FACT_SCRATCH 16
/*
 * The fact's value in a call; empty = unknown. Borrowed from the call, keys or scratch, which holds
 * RULE_FACT_SCRATCH bytes. keys may be NULL.
 */
struct slice rule_fact_value(const struct rule_fact *fact, const struct call *call,
			     const struct key_names *keys, char *scratch);

/* What tags of a rule may be called: 1 to TAG_KEY_MAX - 1 letters, digits and "_.:/-". */
bool rule_tag_name_ok(struct slice name);

#endif
