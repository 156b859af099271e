/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/demo_calls.h"

#include "agent/base/hex.h"
#include "agent/cli/demo_sources.h"

#include <stdio.h>

#define HOURS	  (DEMO_DAYS * 24)
#define HOUR_US	  3600000000LL
#define PERMILLE  1000
#define RETRY_US  2500000
#define DEMO_SEED 0x746f6c6c746170ULL
#define ATTEMPTS  3

/* ---- numbers ----------------------------------------------------------------------------- */

/* A call that failed and is tried again by the same place. */
struct retry {
	int attempt; /* 0 = none */
	uint32_t place;
	int64_t at_us;
	uint8_t operation[16];
};

struct demo_calls {
	uint64_t rows, made;
	int64_t since_us;
	uint64_t weight_all, weight_done;
	int hour;
	uint64_t random;
	struct retry retry[DEMO_SOURCES];
	/* The hour under way: which source, by time. */
	struct slot {
		uint32_t at_us_low; /* microseconds into the hour */
		uint32_t source;
	} * slot;
	size_t slots, next_slot;
};

/* Mixes a counter into 64 bits that look random (the finaliser of MurmurHash3). */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

static uint64_t draw(struct demo_calls *d)
{
	d->random += 0x9e3779b97f4a7c15ULL; /* odd: every value comes once */
	return mix(d->random);
}

static uint64_t below(struct demo_calls *d, uint64_t n)
{
	return (uint64_t)((unsigned __int128)draw(d) * n >> 64);
}

static bool one_of(struct demo_calls *d, uint64_t permille)
{
	return below(d, PERMILLE) < permille;
}

/* Around the mean, with a longer tail above it. */
static int64_t around(struct demo_calls *d, uint64_t mean)
{
	uint64_t a = 40 + below(d, 121), b = 40 + below(d, 121);

	return (int64_t)(mean * a * b / 10000);
}

static uint64_t weight(const struct demo_source *s, int day, int weekday, int hour)
{
	uint64_t season = weekday == 0 || weekday == 6 ? s->weekend : 100;
	uint64_t growth = (uint64_t)(100 * DEMO_DAYS + s->growth * day);

	return s->share * season * growth * demo_profiles[s->profile][hour];
}

static uint64_t weight_at(const struct demo_calls *d, size_t source, int hour)
{
	int64_t day = d->since_us / (24 * HOUR_US) + hour / 24;

	/* 1970-01-01 was a Thursday. */
	return weight(&demo_sources[source], hour / 24, (int)((day + 4) % 7), hour % 24);
}

/* ---- hours ------------------------------------------------------------------------------- */

struct demo_calls *demo_calls_new(uint64_t rows, int64_t until_us)
{
	struct demo_calls *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->rows = rows;
	d->since_us = until_us - HOURS * HOUR_US;
	d->random = DEMO_SEED;
	d->hour = -1;
	for (int hour = 0; hour < HOURS; hour++) {
		for (size_t i = 0; i < DEMO_SOURCES; i++)
			d->weight_all += weight_at(d, i, hour);
	}
	return d;
}

void demo_calls_free(struct demo_calls *d)
{
	if (d)
		free(d->slot);
	free(d);
}

/* How many of all rows stand before this much of the weight. */
static uint64_t rows_before(const struct demo_calls *d, uint64_t done)
{
	return (uint64_t)((unsigned __int128)d->rows * done / d->weight_all);
}

static int by_time(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->at_us_low != y->at_us_low)
		return x->at_us_low < y->at_us_low ? -1 : 1;
	return x->source < y->source ? -1 : x->source > y->source;
}

/* False without memory. */
static bool fill_hour(struct demo_calls *d)
{
	uint64_t done = d->weight_done, first, end;
	struct slot *grown;
	size_t total;

	for (size_t i = 0; i < DEMO_SOURCES; i++)
		done += weight_at(d, i, d->hour);
	total = (size_t)(rows_before(d, done) - rows_before(d, d->weight_done));
	d->slots = d->next_slot = 0;
	grown = reallocarray(d->slot, total + 1, sizeof(*grown));
	if (!grown)
		return false;
	d->slot = grown;
	for (size_t i = 0; i < DEMO_SOURCES; i++) {
		first = rows_before(d, d->weight_done);
		d->weight_done += weight_at(d, i, d->hour);
		end = rows_before(d, d->weight_done);
		for (; first < end; first++) {
			grown[d->slots].at_us_low = (uint32_t)below(d, HOUR_US);
			grown[d->slots++].source = (uint32_t)i;
		}
	}
	qsort(grown, d->slots, sizeof(*grown), by_time);
	return true;
}

/* ---- one call ---------------------------------------------------------------------------- */

#define SET(field, ...) ((void)snprintf(field, sizeof(field), __VA_ARGS__))

static void hex(char *dst, size_t digits, uint64_t seed)
{
	for (size_t i = 0; i < digits; i += 16)
		snprintf(dst + i, digits - i < 16 ? digits - i + 1 : 17, "%016llx",
			 (unsigned long long)mix(seed + i));
}

/* Pods are new each week, as a deployment makes them. */
static void set_place(struct workload *w, const struct demo_source *s, uint32_t place,
		      uint64_t week)
{
	uint64_t seed = mix((uint64_t)(s - demo_sources) << 32 | week << 16 | place);
	uint32_t number = (uint32_t)(s - demo_sources) * 64 + place;

	w->pid = 2000 + number + (uint32_t)week * 1000;
	w->start_boot_ns = (week * 7 * 86400 + place) * NSEC_PER_SEC;
	w->uid_known = true;
	w->uid = 1000 + number % 100;
	SET(w->comm, "%s", s->comm);
	SET(w->exe, "/usr/bin/%s", s->comm);
	if (!s->deployment) {
		SET(w->user, s->places > 4 ? "%s-%02u" : "%s", s->user, place);
		SET(w->unit, "%s", s->unit);
		SET(w->cgroup, "/system.slice/%s", s->unit);
		SET(w->node, "host-1");
		return;
	}
	SET(w->user, "%s", s->user);
	hex(w->container_id, 64, seed);
	SET(w->cgroup, "/kubepods.slice/cri-containerd-%.64s.scope", w->container_id);
	SET(w->namespace_, "%s", s->namespace_);
	SET(w->pod, "%s-%08llx-%u", s->deployment, (unsigned long long)(seed >> 32), place);
	SET(w->container, "%s", s->deployment);
	SET(w->node, "node-%u", 1 + place % 3);
}

static void set_names(struct call *call, const struct demo_source *s)
{
	SET(call->provider, "%s", s->provider);
	SET(call->billed_by, "%s", s->provider);
	SET(call->host, "%s", s->host);
	SET(call->api, "%s", s->api);
	SET(call->operation, "%s", s->operation);
	SET(call->model_requested, "%s", s->model);
	SET(call->model, "%s", s->model);
	SET(call->key_fingerprint, "%s", s->key ? s->key : "");
	SET(call->credential_kind, "%s", s->credential ? s->credential : "");
	call->role = s->gateway ? ROLE_GATEWAY : s->self_hosted ? ROLE_SELF_HOSTED : ROLE_DIRECT;
	call->billing_mode = s->subscription ? BILLING_SUBSCRIPTION : BILLING_METERED;
	call->billable = true;
	call->stream = s->stream;
	call->batch = s->batch;
	tags_set(&call->tags, SLICE("team"), slice_of(s->team), TAG_ENV);
	tags_set(&call->tags, SLICE("project"), slice_of(s->project), TAG_ENV);
	tags_set(&call->tags, SLICE("env"), SLICE("prod"), TAG_NODE);
}

static void set_usage(struct demo_calls *d, struct usage *u, const struct demo_source *s)
{
	int64_t prompt = 1 + around(d, s->prompt), output = around(d, s->output);

	u->known = true;
	u->tokens[TOKEN_INPUT_CACHE_READ] = prompt * (int64_t)below(d, 2 * s->reads + 1) / 100;
	if (u->tokens[TOKEN_INPUT_CACHE_READ] > prompt * 19 / 20)
		u->tokens[TOKEN_INPUT_CACHE_READ] = prompt * 19 / 20;
	prompt -= u->tokens[TOKEN_INPUT_CACHE_READ];
	if (one_of(d, 300))
		u->tokens[TOKEN_INPUT_CACHE_WRITE_5M] = prompt * s->writes / 100;
	else if (one_of(d, 100))
		u->tokens[TOKEN_INPUT_CACHE_WRITE_1H] = prompt * s->writes / 100;
	u->tokens[TOKEN_INPUT_UNCACHED] = prompt - u->tokens[TOKEN_INPUT_CACHE_WRITE_5M] -
					  u->tokens[TOKEN_INPUT_CACHE_WRITE_1H];
	u->tokens[TOKEN_OUTPUT_REASONING] = output * s->reasons / 100;
	u->tokens[TOKEN_OUTPUT_TEXT] = output - u->tokens[TOKEN_OUTPUT_REASONING];
}

/* The provider's own integers, as its API has them. */
static void set_raw(struct usage *u, enum demo_telling telling)
{
	long long input = usage_input_total(u), output = usage_output_total(u);
	long long read = u->tokens[TOKEN_INPUT_CACHE_READ];
	long long reasons = u->tokens[TOKEN_OUTPUT_REASONING];

	switch (telling) {
	case TELL_CHAT:
		SET(u->raw_json,
		    "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
		    "\"prompt_tokens_details\":{\"cached_tokens\":%lld},"
		    "\"completion_tokens_details\":{\"reasoning_tokens\":%lld}}",
		    input, output, input + output, read, reasons);
		return;
	case TELL_RESPONSES:
		SET(u->raw_json,
		    "{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":%lld},"
		    "\"output_tokens\":%lld,\"output_tokens_details\":{\"reasoning_tokens\":%lld},"
		    "\"total_tokens\":%lld}",
		    input, read, output, reasons, input + output);
		return;
	case TELL_MESSAGES:
		SET(u->raw_json,
		    "{\"input_tokens\":%lld,\"cache_creation_input_tokens\":%lld,"
		    "\"cache_read_input_tokens\":%lld,\"output_tokens\":%lld}",
		    (long long)u->tokens[TOKEN_INPUT_UNCACHED],
		    (long long)(u->tokens[TOKEN_INPUT_CACHE_WRITE_5M] +
				u->tokens[TOKEN_INPUT_CACHE_WRITE_1H]),
		    read, output);
		return;
	case TELL_GEMINI:
		SET(u->raw_json,
		    "{\"promptTokenCount\":%lld,\"cachedContentTokenCount\":%lld,"
		    "\"candidatesTokenCount\":%lld,\"thoughtsTokenCount\":%lld,"
		    "\"totalTokenCount\":%lld}",
		    input, read, output - reasons, reasons, input + output);
		return;
	case TELL_INPUT:
		SET(u->raw_json, "{\"prompt_tokens\":%lld,\"total_tokens\":%lld}", input, input);
		return;
	}
}

static void refuse(struct call *call, const struct demo_source *s)
{
	bool busy = call->event_id[0] & 1;

	call->status = busy ? 429 : 500;
	call->outcome = OUTCOME_ERROR;
	call->basis = BASIS_NOT_BILLED;
	call->duration_us /= 20;
	call->usage = (struct usage){.provider_cost_pusd = -1};
	SET(call->error_class, "%s",
	    !busy			  ? "server_error"
	    : s->telling == TELL_MESSAGES ? "rate_limit_error"
					  : "rate_limit_exceeded");
}

/* The client hung up: what the opening event said is known, and the output up to there. */
static void cut(struct call *call)
{
	call->outcome = OUTCOME_ABORTED;
	call->basis = BASIS_PARTIAL;
	call->usage_missing = MISSING_CUT;
	call->usage.lower_bound = true;
	call->usage.tokens[TOKEN_OUTPUT_TEXT] /= 7;
	call->usage.tokens[TOKEN_OUTPUT_REASONING] = 0;
	*call->usage.raw_json = '\0';
}

static void not_asked(struct call *call)
{
	call->basis = BASIS_ESTIMATED;
	call->usage_missing = MISSING_NOT_ASKED;
	SET(call->estimated_by, "o200k_base");
	call->usage.tokens[TOKEN_INPUT_UNCACHED] += call->usage.tokens[TOKEN_INPUT_CACHE_READ];
	call->usage.tokens[TOKEN_INPUT_CACHE_READ] = 0;
	*call->usage.raw_json = '\0';
}

static void set_ids(struct demo_calls *d, struct call *call, const struct demo_source *s,
		    const struct retry *before)
{
	uint64_t high = draw(d), low = draw(d);
	const uint8_t *operation = before->attempt ? before->operation : call->event_id;

	memcpy(call->event_id, &high, sizeof(high));
	memcpy(call->event_id + sizeof(high), &low, sizeof(low));
	call->attempt = before->attempt + 1;
	hex_of(call->operation_id, operation, sizeof(before->operation));
	SET(call->request_id, "req_%016llx", (unsigned long long)draw(d));
	SET(call->response_id, "resp_%016llx", (unsigned long long)draw(d));
	if (s->telling == TELL_MESSAGES)
		SET(call->session_id, "s-%016llx",
		    (unsigned long long)mix(d->made / 200 * DEMO_SOURCES +
					    (uint64_t)(s - demo_sources)));
}

static void set_times(struct demo_calls *d, struct call *call, const struct demo_source *s,
		      const struct retry *before)
{
	int64_t hour_us = d->since_us + d->hour * HOUR_US, end_us = d->since_us + HOURS * HOUR_US;

	call->started_at_us = before->attempt ? before->at_us + RETRY_US
					      : hour_us + d->slot[d->next_slot].at_us_low;
	if (call->started_at_us >= end_us)
		call->started_at_us = end_us - 1;
	call->duration_us = 180000 + around(d, 12000) * (int64_t)(1 + s->output / 20);
	call->time_to_first_token_us = s->stream ? call->duration_us / 6 : -1;
}

static void make(struct demo_calls *d, struct call *call, uint32_t source)
{
	const struct demo_source *s = &demo_sources[source];
	struct retry *retry = &d->retry[source];
	uint32_t place = retry->attempt ? retry->place : (uint32_t)below(d, s->places);

	*call = (struct call){.status = 200, .basis = BASIS_REPORTED_USAGE};
	call->usage.provider_cost_pusd = -1;
	set_names(call, s);
	set_times(d, call, s, retry);
	set_ids(d, call, s, retry);
	set_place(&call->workload, s, place, (uint64_t)d->hour / (7 * 24));
	if (s->gateway) {
		call->is_on_behalf = true;
		set_place(&call->on_behalf_of, &demo_sources[place % 2], place,
			  (uint64_t)d->hour / 168);
	}
	set_usage(d, &call->usage, s);
	set_raw(&call->usage, s->telling);
	if (retry->attempt < ATTEMPTS - 1 && one_of(d, s->refused)) {
		refuse(call, s);
		if (!retry->attempt)
			memcpy(retry->operation, call->event_id, sizeof(retry->operation));
		retry->attempt++;
		retry->place = place;
		retry->at_us = call->started_at_us;
		return;
	}
	*retry = (struct retry){0};
	if (one_of(d, s->cut))
		cut(call);
	else if (one_of(d, s->unasked))
		not_asked(call);
}

bool demo_calls_next(struct demo_calls *d, struct call *call)
{
	while (d->next_slot == d->slots) {
		if (++d->hour >= HOURS || !fill_hour(d))
			return false;
	}
	make(d, call, d->slot[d->next_slot].source);
	d->next_slot++;
	d->made++;
	return true;
}
