/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a decoder beaten by its file might tell the broker. What is accepted is safe to use: texts
 * end, counts fit their arrays, and every offset lies inside the file.
 *
 * Input: the file's size in eight bytes, then a struct decoded, cut or filled up with zeros.
 */
#include "agent/privsep/decoder.h"
#include "tests/fuzz/fuzz.h"

static void check_site(const struct probe_site *site, uint64_t bytes)
{
	must_hold((unsigned)site->hook < HOOKS && (unsigned)site->class_ < SITE_CLASSES);
	must_hold(site->entry < bytes && site->function < bytes);
	must_hold(site->function + site->size <= bytes);
	must_hold(site->return_count <= SITE_RETURNS_MAX);
	for (uint32_t i = 0; i < site->return_count; i++)
		must_hold(site->returns[i] < bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct decoded d;
	uint64_t bytes;

	if (size < sizeof(bytes))
		return 0;
	memcpy(&bytes, data, sizeof(bytes));
	data += sizeof(bytes);
	size -= sizeof(bytes);
	memset(&d, 0, sizeof(d));
	memcpy(&d, data, size < sizeof(d) ? size : sizeof(d));
	if (!decoded_valid(&d, bytes))
		return 0;
	must_hold(strlen(d.reason) < sizeof(d.reason));
	if (d.decision != DECISION_PROBE)
		return 0;
	must_hold(d.sites.count > 0 && d.sites.count <= SITES_MAX);
	must_hold(strlen(d.sites.build_id) < sizeof(d.sites.build_id));
	must_hold(strlen(d.sites.soname) < sizeof(d.sites.soname));
	for (size_t i = 0; i < d.sites.count; i++)
		check_site(&d.sites.site[i], bytes);
	return 0;
}
