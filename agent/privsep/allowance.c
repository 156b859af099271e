/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/allowance.h"

bool allowance_take(struct allowance *a, uint64_t now_ns, uint64_t cost_ns, uint64_t most_ns,
		    uint32_t slowness)
{
	uint64_t back_ns = (now_ns - a->at_ns) / slowness;

	a->at_ns = now_ns;
	a->spent_ns -= back_ns < a->spent_ns ? back_ns : a->spent_ns;
	if (a->spent_ns + cost_ns > most_ns)
		return false;
	a->spent_ns += cost_ns;
	return true;
}
