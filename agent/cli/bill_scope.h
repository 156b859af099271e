/* SPDX-License-Identifier: Apache-2.0 */
/* What a reconciliation is of, said before its figures. */
#ifndef TT_CLI_BILL_SCOPE_H
#define TT_CLI_BILL_SCOPE_H

#include "agent/cli/cli.h"
#include "exporter/bills/sides.h"

struct bill_scope {
	struct recon_scope asked;
	const struct billed_side *billed;
	const struct ledger_side *ledger;
	const struct recon_uptime *uptime;
	const char *bills_path;
	bool all_hosts; /* the operator says that the ledger is of every host of this part */
};

/* Could the ledger have seen all that is billed on that day? Else "untracked" would be a guess. */
bool bill_scope_covers(const struct bill_scope *scope, int64_t day);

/* Tables: lines on stdout. JSON: one object on stdout. CSV: lines on stderr. */
void bill_scope_print(const struct bill_scope *scope, enum output_form form);

#endif
