/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do with a file that a process maps executable: probe it, list it as a TLS stack that
 * cannot be read, or leave it alone.
 */
#ifndef TT_DECIDE_H
#define TT_DECIDE_H

#include "agent/discovery/signs.h"
#include "agent/discovery/sites.h"

enum decision { DECISION_NOT_TLS, DECISION_PROBE, DECISION_BLIND };

/* Everything the decision rests on; signs not asked for are BLIND_NOT. */
struct evidence {
	struct slice path;
	enum sites_refusal sites;
	enum blind library, program, content;
};

/* Pure: the decision and, for DECISION_BLIND, its reason (a literal). */
enum decision decide(const struct evidence *evidence, const char **reason);

/*
 * Gathers the evidence, the dear kinds only when the cheap ones leave a doubt, and decides.
 * want_returns as sites_find.
 */
enum decision decide_file(int fd, struct slice path, bool want_returns, struct probe_sites *sites,
			  const char **reason);

#endif
