/* SPDX-License-Identifier: Apache-2.0 */
/* Gemini's counts, for dialects that tell the same in other words. Private to agent/usage. */
#ifndef TT_USAGE_GEMINI_H
#define TT_USAGE_GEMINI_H

#include "agent/usage/dialect.h"

/* Of an item: what its list breaks down by modality. */
enum gemini_list { LIST_INPUT, LIST_CACHED, LIST_OUTPUT, LIST_PREDICTIONS };

/* Enums as numbers: where a client asks for them, and in protobuf. */
extern const struct dialect_name gemini_names[];

void gemini_modality(struct answer *a); /* an item: TEXT_ITEM_TYPE, and RAW_INPUT tokens of it */
void gemini_finish(const struct answer *a, struct usage *u);

#endif
