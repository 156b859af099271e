/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/lost.h"

void lost_note(struct lost *l, uint64_t sum, uint64_t asked_ns, uint64_t answered_ns)
{
	if (sum != l->sum)
		l->last_ns = answered_ns;
	l->sum = sum;
	l->known_ns = asked_ns;
}

bool lost_between(const struct lost *l, uint64_t from_ns, uint64_t until_ns)
{
	return l->known_ns < until_ns || l->last_ns > from_ns;
}
