/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/dialect.h"

void raw_clear(int64_t raw[RAW_FIELDS])
{
	for (int i = 0; i < RAW_FIELDS; i++)
		raw[i] = RAW_ABSENT;
}

int64_t usage_take(int64_t *rest, int64_t part, bool *clamped)
{
	int64_t taken = part < *rest ? part : *rest;

	if (taken < part)
		*clamped = true;
	*rest -= taken;
	return taken;
}
