/* SPDX-License-Identifier: Apache-2.0 */
/* What tests ask of an exposition's text. */
#ifndef TT_TEST_EXPOSITION_H
#define TT_TEST_EXPOSITION_H

#include "agent/base/money.h"

#include <stdio.h>

/* The samples of a counter ("tolltap_cost_usd_total") whose line holds `with` ("" = all). */
struct samples {
	size_t count;
	pusd_sum sum; /* in 10^-12 of the unit */
};

static inline struct samples samples_of(const char *body, const char *counter, const char *with)
{
	struct samples found = {0};
	char start[128];

	snprintf(start, sizeof(start), "\n%s{", counter);
	for (const char *p = body; (p = strstr(p, start)); p++) {
		const char *end = strchr(p + 1, '\n');
		const char *value = (const char *)memrchr(p, ' ', (size_t)(end - p)) + 1;
		const char *at = strstr(p, with);
		int64_t pico;

		if (!at || at >= end)
			continue;
		assert_true(decimal_parse((struct slice){value, (size_t)(end - value)}, 12, &pico));
		found.count++;
		found.sum += pico;
	}
	return found;
}

#endif
