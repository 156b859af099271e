/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a call is printed, wherever it comes from (ledger, replay, exec): one table of columns for
 * JSON, CSV and people. The JSON keys are a contract; see docs/ledger.md.
 */
#ifndef TT_CLI_EVENTS_H
#define TT_CLI_EVENTS_H

#include "agent/cli/output.h"
#include "exporter/query.h"

struct events_printer;

enum events_view {
	EVENTS_PLAIN,
	EVENTS_WIDE, /* with provenance and what else the ledger keeps */
	EVENTS_TAGS, /* a row for each tag (events_tags.h) */
};

/* Returns 0 or -ENOMEM. */
int events_printer_new(struct events_printer **out, FILE *stream, enum output_form form,
		       enum events_view view) TT_MUST_CHECK;
void events_printer_print(struct events_printer *p, const struct event *event);
void events_printer_flush(struct events_printer *p);
/* Returns 0 or -errno, as output_end. */
int events_printer_end(struct events_printer *p) TT_MUST_CHECK;

/* 32 hex digits. dst holds 33 bytes. Returns dst. */
char *events_id_text(char *dst, const uint8_t id[16]);
/* RFC 3339 UTC with microseconds and Z. dst holds 32 bytes. Returns dst. */
char *events_time_text(char *dst, int64_t us);

#endif
