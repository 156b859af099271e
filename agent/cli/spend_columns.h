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
	bool times;	    /* when and how long: only of what spend.ended_us is known of */
	/* What spend_print_choose fills, behind the heads that stand there already. */
	char names[QUERY_KEYS_MAX][TAG_KEY_MAX + 8];
	struct output_column heads[OUTPUT_COLUMNS_MAX];
	const struct spend_column *shown[OUTPUT_COLUMNS_MAX];
	size_t head_count; /* the caller's, the keys', then the columns shown, then total */
	size_t lead;	   /* the caller's and the keys' */
};

/* Fills heads, which must outlive the printer made with them. */
void spend_print_choose(struct spend_print *p);
void spend_print_row(const struct spend_print *p, struct output *o, const struct spend *spend,
		     bool total);
/* The same without the caller's and the keys' cells, for a row that is printed by hand. */
void spend_print_cells(const struct spend_print *p, struct output *o, const struct spend *spend,
		       bool total);

#endif
