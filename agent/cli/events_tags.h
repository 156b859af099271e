/* SPDX-License-Identifier: Apache-2.0 */
/* The tags of calls, a row each, with where each comes from (tolltap events --explain). */
#ifndef TT_CLI_EVENTS_TAGS_H
#define TT_CLI_EVENTS_TAGS_H

#include "agent/cli/events.h"

#define EVENTS_TAGS_COLUMNS 7
extern const struct output_column events_tags_columns[EVENTS_TAGS_COLUMNS];

/* A call without tags has one row, whose tag is unknown. */
void events_tags_print(struct output *o, const struct event *event);

#endif
