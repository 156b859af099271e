/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/decide.h"

#include "agent/base/procfs.h"

enum decision decide(const struct evidence *evidence, const char **reason)
{
	struct slice name = path_base(path_without_deleted(evidence->path));
	enum blind blind = evidence->library   ? evidence->library
			   : evidence->program ? evidence->program
					       : evidence->content;

	if (evidence->sites == SITES_FOUND)
		return DECISION_PROBE;
	if (sites_refused_for_safety(evidence->sites)) {
		*reason = sites_refusal_names[evidence->sites];
		return DECISION_BLIND;
	}
	if (blind) {
		*reason = blind_names[blind];
		return DECISION_BLIND;
	}
	if (slice_starts(name, SLICE("libssl.so")) || slice_starts(name, SLICE("libssl-"))) {
		*reason = sites_refusal_names[evidence->sites];
		return DECISION_BLIND;
	}
	return DECISION_NOT_TLS;
}

enum decision decide_file(int fd, struct slice path, bool want_returns, struct probe_sites *sites,
			  const char **reason)
{
	struct evidence evidence = {
		.path = path,
		.sites = SITES_NO_SYMBOLS,
		.library = blind_by_library(path),
	};

	if (!evidence.library)
		evidence.sites = sites_find(fd, want_returns, sites);
	if (!evidence.library && evidence.sites != SITES_FOUND)
		evidence.program = blind_by_program(path);
	if (!evidence.library && !evidence.program && evidence.sites == SITES_NO_SYMBOLS)
		evidence.content = blind_by_content(fd);
	return decide(&evidence, reason);
}
