/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of `tolltap spend`. A number that is not defined (no calls, no output) is null. */
#ifndef TT_CLI_SPEND_COLUMNS_H
#define TT_CLI_SPEND_COLUMNS_H

#include "agent/cli/output.h"
#include "agent/cli/query_flags.h"

struct spend_column;

struct spend_print {
	struct query_keys keys;
	enum output_form form;
	bool efficiency;
	bool knows_savings; /* query_knows_savings */
	/* What spend_print_choose fills. */
	char names[QUERY_KEYS_MAX][TAG_KEY_MAX + 8];
	struct output_column heads[OUTPUT_COLUMNS_MAX];
	const struct spend_column *shown[OUTPUT_COLUMNS_MAX];
	size_t head_count; /* the keys', then the columns shown, then total */
};

/* Fills heads, which must outlive the printer made with them. */
void spend_print_choose(struct spend_print *p);
void spend_print_row(const struct spend_print *p, struct output *o, const struct spend *spend,
		     bool total);

#endif
