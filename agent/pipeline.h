/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path from chunk to priced call, wired once for the live agent and for replay: connection
 * table -> exchange -> attribution -> rules -> price. It needs no kernel; its input is struct
 * capture_ops. A call whose container's name is still asked for is held (agent/held.h), then
 * delivered anyway.
 */
#ifndef TT_PIPELINE_H
#define TT_PIPELINE_H

#include "agent/attribution/attribution.h"
#include "agent/attribution/rules.h"
#include "agent/capture/chunk.h"
#include "agent/exchange/exchange.h"
#include "agent/providers/provider.h"
#include "pricing/catalog.h"

struct cJSON;
struct pipeline;
struct privacy;

#define PIPELINE_HINTS_MAX 64 /* hosts whose role is unknown */

struct argument_patterns;
struct tokenizers;

struct pipeline_ops {
	/* A finished, attributed and priced call, and its model's id in the price table or NULL. */
	void (*call)(void *user, const struct call *call, const char *model_id);
	/* A request for a model went out: its call, as far as it is known by then. Optional. */
	void (*asked)(void *user, const struct call *call, const char *model_id);
	void (*ignored)(void *user, const char *provider, enum ignored_reason reason);
	/* A row may come (+1), or none will any more (-1); call ends one by itself. Optional. */
	void (*open)(void *user, int change);
	/* A candidate connection was judged; the gate must learn of it. */
	void (*judge)(void *user, uint32_t tgid, uint64_t ssl, bool watch);
	/* Records of a connection of this process begin: its end is to be told. Optional. */
	void (*metered)(void *user, uint32_t tgid);
	/* May a record made in between have been lost? NULL: none ever is. */
	bool (*may_be_lost)(void *user, uint64_t from_ns, uint64_t until_ns);
};

struct pipeline_opts {
	const struct pipeline_ops *ops;
	void *user;
	struct broker *broker;		  /* for attribution; NULL when replaying */
	struct tokenizers *tokenizers;	  /* the caller's; NULL: nothing is estimated */
	struct courier_client *courier;	  /* for names; the caller's; NULL: none are asked for */
	struct provider_table *providers; /* taken */
	struct catalog *catalog;	  /* taken */
	struct rules *rules;		  /* the caller's; NULL: there are none */
	const struct privacy *privacy;	  /* copied; NULL: its default list */
	uint8_t fingerprint_key[32];
	int64_t wall_minus_mono_ns;
	uint64_t reader_since_ns; /* exchange_env's */
};

/* Returns 0 or -ENOMEM. providers and catalog are taken only on success. */
int pipeline_new(struct pipeline **out, const struct pipeline_opts *opts) TT_MUST_CHECK;
/* Open calls end as they stand and are delivered first, held ones too. */
void pipeline_free(struct pipeline *p);

extern const struct capture_ops pipeline_capture_ops; /* user = struct pipeline */

void pipeline_program_started(struct pipeline *p, uint32_t pid, struct slice exe);
void pipeline_process_started(struct pipeline *p, uint32_t pid);
void pipeline_process_exited(struct pipeline *p, uint32_t pid, uint64_t now_ns);
void pipeline_tick(struct pipeline *p, uint64_t now_ns);
/* The courier's client has something to read (courier_client_fd). */
void pipeline_courier_ready(struct pipeline *p);
/* Tells the workload of each known process that has not ended. */
void pipeline_each_living(const struct pipeline *p, attribution_told *told, void *user);
void pipeline_set_wall_offset(struct pipeline *p, int64_t wall_minus_mono_ns);

/* As attribution_allow_arguments. */
void pipeline_allow_arguments(struct pipeline *p, struct argument_patterns *patterns);
/* The old catalogue is freed, the new one taken. */
void pipeline_set_catalog(struct pipeline *p, struct catalog *catalog);
/* As in the options. */
void pipeline_set_rules(struct pipeline *p, struct rules *rules);
/* The configured hosts of `from` replace today's; `from` stays the caller's. */
void pipeline_set_hosts(struct pipeline *p, const struct provider_table *from);
const struct catalog *pipeline_catalog(const struct pipeline *p);
const struct provider_table *pipeline_providers(const struct pipeline *p);

/* Adds "hints", "containers" and table sizes to status (agent/status.h). */
void pipeline_status(const struct pipeline *p, struct cJSON *status);

#endif
