/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which calls are of one agent run. A trace id (header traceparent) says it, else a session id (of
 * a coding agent or a gateway's client): the run has that name. A call that tells neither goes on
 * from another one: by that answer's id (previous_response_id), by a conversation the provider
 * keeps, or by the result of a tool call that an answer asked for, over processes, connections and
 * providers. It is joined to that one's run.
 *
 * Nothing else joins: not the process, not the connection, not equal prompts. What points to two
 * runs (an id that two answers gave, tool calls of two runs) joins none: a call that is not joined
 * begins a run of its own, named after its event id.
 *
 * Pure: no clock. Links are hashes (agent/runs/link.h). Bounds: RUN_LINKS_MAX links, the one given
 * longest ago goes first, counted; what would join by it then begins a run of its own.
 */
#ifndef TT_RUN_H
#define TT_RUN_H

#include "agent/usage/call.h"

#define RUN_LINKS_MAX 32768

struct runs;

/* key: the install's, 32 bytes, copied. Returns 0 or -ENOMEM. */
int runs_new(struct runs **out, const uint8_t *key) TT_MUST_CHECK;
void runs_free(struct runs *r); /* NULL is fine */

/*
 * Fills run_id and joined_by of a call that is over, in the order of their ends, and remembers what
 * others may go on from. Of a leg (collapsed_by) nothing is remembered: its bill has the same.
 */
void runs_join(struct runs *r, struct call *call);

#endif
