/* SPDX-License-Identifier: Apache-2.0 */
/* A filled call and a scratch directory, for the tests of this folder. */
#ifndef TT_TEST_SAMPLE_H
#define TT_TEST_SAMPLE_H

#include "agent/usage/call.h"

#include <ftw.h>
#include <stdio.h>

/* 2026-11-22T06:33:15.000001Z */
#define SAMPLE_STARTED_US 1795329195000001LL

/* Every field is set and differs from its unknown value; n makes the event id. */
static inline void sample_call(struct call *c, uint32_t n)
{
	*c = (struct call){
		.started_at_us = SAMPLE_STARTED_US + n,
		.duration_us = 1234567,
		.time_to_first_token_us = 345678,
		.provider = "openai",
		.host = "api.openai.com",
		.role = ROLE_DIRECT,
		.operation = "chat",
		.api = "chat.completions",
		.model_requested = "gpt-4o",
		.model = "gpt-4o-2024-08-06",
		.stream = true,
		.status = 200,
		.outcome = OUTCOME_OK,
		.basis = BASIS_REPORTED_USAGE,
		.usage_missing = MISSING_INCOMPLETE,
		.error_class = "none_really",
		.usage = {.known = true,
			  .mismatch = true,
			  .tokens = {[TOKEN_INPUT_UNCACHED] = 100,
				     [TOKEN_INPUT_CACHE_READ] = 50,
				     [TOKEN_OUTPUT_TEXT] = 20},
			  .tool_units = {[TOOL_WEB_SEARCH] = 2},
			  .provider_cost_pusd = 77,
			  .raw_json = "{\"prompt_tokens\":150,\"details\":{\"cached_tokens\":50}}"},
		.service_tier = "default",
		.batch = true,
		.summed = true,
		.inference_geo = "us",
		.speed = "fast",
		.billing_mode = BILLING_METERED,
		.billable = true,
		.billed_by = "openai",
		.response_id = "chatcmpl-1",
		.request_id = "req_1",
		.attempt = 1,
		.operation_id = "op-1",
		.trace_id = "0af7651916cd43dd8448eb211c80319c",
		.span_id = "b7ad6b7169203331",
		.session_id = "s-1",
		.run_id = "0af7651916cd43dd8448eb211c80319c",
		.joined_by = RUN_BY_TRACE,
		.key_fingerprint = "0badcafe",
		.credential_kind = "api_key",
		.workload = {.pid = 4242,
			     .uid = 1000,
			     .uid_known = true,
			     .start_boot_ns = 987654321,
			     .user = "alice",
			     .comm = "python3",
			     .exe = "/usr/bin/python3.11",
			     .cgroup = "/system.slice/app.service",
			     .container_id = "c0ffee",
			     .unit = "app.service",
			     .slice = "system.slice",
			     .login = "bob",
			     .login_session = "c1",
			     .started_by = "agent/claude",
			     .argv = "--job=nightly",
			     .pod_uid = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901",
			     .namespace_ = "ns",
			     .pod = "pod-1",
			     .container = "main",
			     .node = "node-1"},
		.gaps = 1,
		.cost = {.list_pusd = 512500000,
			 .cost_pusd = 512500000,
			 .cache_savings_pusd = 62500000,
			 .price_id = "openai/gpt-4o@2024-08-06",
			 .prices_sha256 = "ab"},
	};
	memcpy(c->event_id, "tolltap-test", 12);
	memcpy(c->event_id + 12, &n, sizeof(n));
	tags_set(&c->tags, SLICE("team"), SLICE("pay\"ments"), TAG_ENV);
	tags_set(&c->tags, SLICE("feature"), SLICE("search"), TAG_HEADER);
}

static inline int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *dir)
{
	nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
