/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/dialect.h"

void raw_clear(int64_t raw[RAW_FIELDS])
{
	for (int i = 0; i < RAW_FIELDS; i++)
		raw[i] = RAW_ABSENT;
}

bool raw_any(const int64_t raw[RAW_FIELDS], const enum raw_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (raw[fields[i]] != RAW_ABSENT)
			return true;
	}
	return false;
}

int64_t usage_take(int64_t *rest, int64_t part, bool *clamped)
{
	int64_t taken = part < *rest ? part : *rest;

	if (taken < part)
		*clamped = true;
	*rest -= taken;
	return taken;
}
