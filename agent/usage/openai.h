/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's chat counts, for dialects that tell the same in other words. Private to agent/usage. */
#ifndef TT_USAGE_OPENAI_H
#define TT_USAGE_OPENAI_H

#include "agent/usage/dialect.h"

/* Input, output and their details, by the total they add up to, and the cost on the wire. */
void openai_chat_finish(const struct answer *a, struct usage *u);

#endif
