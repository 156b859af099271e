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
	const char *stop = body + strlen(body);
	struct samples found = {0};
	char start[128];
	size_t len = (size_t)snprintf(start, sizeof(start), "%s{", counter);

	/* Line by line: a sanitizer looks at all that a search may reach. */
	for (const char *line = body, *end; line < stop; line = end + 1) {
		const char *value;
		int64_t pico;

		end = memchr(line, '\n', (size_t)(stop - line));
		if ((size_t)(end - line) < len || memcmp(line, start, len) != 0 ||
		    !memmem(line, (size_t)(end - line), with, strlen(with)))
			continue;
		value = (const char *)memrchr(line, ' ', (size_t)(end - line)) + 1;
		assert_true(decimal_parse((struct slice){value, (size_t)(end - value)}, 12, &pico));
		found.count++;
		found.sum += pico;
	}
	return found;
}

#endif
