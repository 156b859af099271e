/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which software made a request, by what it calls itself: SDK, framework and coding agent. The tags
 * are words of a table here, never bytes of the request: a name that is not known gives none.
 */
#ifndef TT_CLIENTS_H
#define TT_CLIENTS_H

#include "agent/exchange/message.h"
#include "agent/usage/call.h"

/* Sets the tags sdk, framework and coding_agent, as far as they are known. */
void clients_read(struct call *call, const struct http_head *head);

#endif
