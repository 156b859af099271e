/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/ports.h"

#include <ctype.h>

bool port_set_parse(struct port_set *set, const char *text)
{
	for (;;) {
		char *end;
		long port = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;

		if (port < 1 || port > 65535 || (*end && *end != ','))
			return false;
		if (set)
			set->bits[port / 64] |= 1ULL << (port % 64);
		if (!*end)
			return true;
		text = end + 1;
	}
}

uint32_t port_set_count(const struct port_set *set)
{
	uint32_t count = 0;

	for (size_t i = 0; i < PORT_WORDS; i++)
		count += (uint32_t)__builtin_popcountll(set->bits[i]);
	return count;
}
