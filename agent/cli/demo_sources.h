/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls what in the made-up company of `tolltap demo --data`, as data. */
#ifndef TT_DEMO_SOURCES_H
#define TT_DEMO_SOURCES_H

#include "agent/base/base.h"

#define DEMO_SOURCES 13

/* When in a day. */
enum demo_profile { OFFICE, NIGHT, ALWAYS, DEMO_PROFILES };

/* How the provider tells usage. */
enum demo_telling { TELL_CHAT, TELL_RESPONSES, TELL_MESSAGES, TELL_GEMINI, TELL_INPUT };

struct demo_source {
	const char *team, *project;
	const char *provider, *host, *api, *operation, *model;
	const char *key, *credential;
	const char *user, *comm, *unit, *namespace_, *deployment;
	enum demo_profile profile;
	enum demo_telling telling;
	uint16_t share;		 /* of a weekday's calls */
	uint16_t weekend;	 /* percent of a weekday's */
	int16_t growth;		 /* percent from the first day to the last */
	uint16_t places;	 /* pods, users or workers that make them */
	uint32_t prompt, output; /* tokens, on average */
	uint8_t reads, writes;	 /* percent of the prompt: cache */
	uint8_t reasons;	 /* percent of the output */
	/* Of a thousand: refused and tried again, cut, and streams that were not asked for usage.
	 */
	uint16_t refused, cut, unasked;
	bool stream, subscription, batch, gateway, self_hosted;
};

extern const struct demo_source demo_sources[DEMO_SOURCES];

/* Share of a day's calls by the hour (UTC). */
extern const uint8_t demo_profiles[DEMO_PROFILES][24];

#endif
