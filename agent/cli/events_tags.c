/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/events_tags.h"

const struct output_column events_tags_columns[EVENTS_TAGS_COLUMNS] = {
	{"event_id", OUTPUT_LEFT}, {"started_at", OUTPUT_LEFT}, {"comm", OUTPUT_LEFT},
	{"model", OUTPUT_LEFT},	   {"tag", OUTPUT_LEFT},	{"value", OUTPUT_LEFT},
	{"source", OUTPUT_LEFT},
};

static void print_call(struct output *o, const struct call *call)
{
	char text[48];

	output_text(o, events_id_text(text, call->event_id));
	output_text(o, events_time_text(text, call->started_at_us));
	output_text(o, call_payer(call)->comm);
	output_text(o, call->model);
}

void events_tags_print(struct output *o, const struct event *event)
{
	const struct tags *tags = &event->call.tags;

	for (uint32_t i = 0; i < tags->count; i++) {
		print_call(o, &event->call);
		output_text(o, tags->item[i].key);
		output_text(o, tags->item[i].value);
		output_text(o, tag_source_names[tags->item[i].source]);
		output_row(o);
	}
	if (tags->count == 0) {
		print_call(o, &event->call);
		output_row(o);
	}
}
