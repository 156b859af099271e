/* SPDX-License-Identifier: Apache-2.0 */
/* What a call says in the words of FOCUS. Private to focus.c and focus_facts.c. */
#ifndef TT_CLI_FOCUS_FACTS_H
#define TT_CLI_FOCUS_FACTS_H

#include "agent/cli/focus.h"

#define FOCUS_TEXT_MAX (64u << 10) /* of all facts of a charge, tags included */

/* Appends every fact of a call's charge for a meter, each ended by 0, in the order of the enum. */
void focus_put_facts(struct text *out, const struct call *call, bool cost_known, int meter);

/* "exact", ...: what the cost of a call is worth. */
const char *focus_cost_state(const struct call *call, bool cost_known);

#endif
