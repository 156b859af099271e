/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/families.h"

/* Histograms have no workload: nothing folds them (exporter/series.h). */
const struct family_row families[FAMILIES] = {
	[FAMILY_COST] = {.prom = {"tolltap_cost_usd", PROM_COUNTER,
				  "Cost of calls in US dollars; a lower bound for the bases "
				  "estimated, partial and unpriced."},
			 .kind = VALUE_PICO,
			 .labels = {"provider", "model", "basis"},
			 .workload = true,
			 .tags = true},
	[FAMILY_DIFFERENCE] = {.prom = {"tolltap_cost_difference_usd", PROM_COUNTER,
					"What providers say calls cost beyond their list price "
					"(above), or short of it (below)."},
			       .kind = VALUE_PICO,
			       .labels = {"provider", "model", "basis", "direction"}},
	[FAMILY_SUBSCRIPTION] = {.prom = {"tolltap_subscription_list_usd", PROM_COUNTER,
					  "List price of calls covered by a subscription; in no "
					  "other sum."},
				 .kind = VALUE_PICO,
				 .labels = {"provider", "model"}},
	[FAMILY_TOKENS] = {.prom = {"tolltap_tokens", PROM_COUNTER, "Tokens by disjoint kind."},
			   .kind = VALUE_COUNT,
			   .labels = {"provider", "model", "kind"},
			   .tags = true},
	[FAMILY_REQUESTS] = {.prom = {"tolltap_requests", PROM_COUNTER, "Metered calls."},
			     .kind = VALUE_COUNT,
			     .labels = {"provider", "model", "operation", "status", "outcome"},
			     .tags = true},
	[FAMILY_ERRORS] = {.prom = {"tolltap_request_errors", PROM_COUNTER, "Calls that failed."},
			   .kind = VALUE_COUNT,
			   .labels = {"reason"}},
	[FAMILY_DURATION] = {.prom = {"tolltap_request_duration_seconds", PROM_HISTOGRAM,
				      "From the request's first byte to the answer's last."},
			     .kind = VALUE_HISTOGRAM,
			     .labels = {"provider", "model", "operation"}},
	[FAMILY_FIRST_TOKEN] = {.prom = {"tolltap_time_to_first_token_seconds", PROM_HISTOGRAM,
					 "From the request's first byte to the first token of the "
					 "answer."},
				.kind = VALUE_HISTOGRAM,
				.labels = {"provider", "model", "operation"}},
	[FAMILY_UNPRICED] = {.prom = {"tolltap_unpriced_calls", PROM_COUNTER,
				      "Calls with usage but no price, by reason."},
			     .kind = VALUE_COUNT,
			     .labels = {"reason", "provider"},
			     .workload = true},
	[FAMILY_USAGE_MISSING] = {.prom = {"tolltap_usage_missing", PROM_COUNTER,
					   "Calls whose usage is not known or not whole, by "
					   "reason."},
				  .kind = VALUE_COUNT,
				  .labels = {"reason"},
				  .workload = true},
	[FAMILY_IGNORED] = {.prom = {"tolltap_requests_ignored", PROM_COUNTER,
				     "Requests to known hosts that are not billable calls."},
			    .kind = VALUE_COUNT,
			    .labels = {"provider", "reason"}},
};
