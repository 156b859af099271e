/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call adds to which family (exporter/families.h), and the exposition of all of it. Label
 * values come from closed sets (tables of providers, prices, operations, reasons), from the host
 * (workloads, exporter/bearers.h) or from tags that the operator named (exporter/tag_labels.h).
 */
#include "exporter/aggregate.h"

#include "agent/base/counters.h"
#include "exporter/process.h"
#include "exporter/series.h"
#include "exporter/standing.h"
#include "exporter/tag_labels.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#ifndef TOLLTAP_VERSION
#define TOLLTAP_VERSION "0.0.0"
#endif

struct aggregate {
	pthread_mutex_t lock;
	struct bearers bearers;
	struct series_set series[FAMILIES];
	struct tag_labels *tags;
	int64_t started_us;
	char prices_sha256[65];
	struct standing *standing; /* the ledger's, or NULL */
};

/* What all series of a call have in common; no call: those of the node. */
struct about {
	struct bearer *bearer; /* held */
	struct text tags;
};

static void about_begin(struct aggregate *a, const struct call *call, struct about *about)
{
	about->bearer = bearer_of(&a->bearers, call_payer(call));
	about->tags = TEXT_INIT(PROMTEXT_LABELS_MAX);
	tag_labels_put(a->tags, &call->tags, &about->tags);
}

static void about_end(struct aggregate *a, struct about *about)
{
	bearer_drop(&a->bearers, about->bearer);
	text_free(&about->tags);
}

/* Values of a family's own labels, in the order of its row. */
#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The value under these labels, 0 if it is new. `about` may be NULL. */
static union series_value *find(struct aggregate *a, enum family family, const struct about *about,
				const char *const *values)
{
	const struct family_row *row = &families[family];
	struct text labels = TEXT_INIT(PROMTEXT_LABELS_MAX);
	union series_value *value;

	for (size_t i = 0; values[i] && row->labels[i]; i++)
		promtext_label(&labels, row->labels[i], values[i]);
	if (about && row->tags && about->tags.len) {
		text_puts(&labels, labels.len ? "," : "");
		text_append(&labels, about->tags.ptr, about->tags.len);
	}
	if (about && row->tags && about->tags.failed)
		labels.failed = true;
	value = series_get(&a->series[family], text_cstr(&labels),
			   about && row->workload ? about->bearer : NULL);
	text_free(&labels);
	return value;
}

/* ---- what a call adds ------------------------------------------------------------------- */

static const char *status_class(int status)
{
	static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
	int i = status / 100;

	return i >= 0 && i < (int)ARRAY_LEN(classes) ? classes[i] : "none";
}

/* Closed set: the provider's own error texts are not label values. */
static const struct {
	int status;
	const char *reason;
} error_reasons[] = {
	{400, "invalid_request"}, {401, "authentication"},  {402, "billing"},
	{403, "permission"},	  {404, "not_found"},	    {408, "timeout"},
	{413, "too_large"},	  {422, "invalid_request"}, {429, "rate_limit"},
	{500, "server_error"},	  {502, "bad_gateway"},	    {503, "overloaded"},
	{504, "gateway_timeout"}, {529, "overloaded"},
};
static const char *const other_reasons[] = {"aborted", "unknown", "in_stream", "other"};

static const char *error_reason(const struct call *call)
{
	if (call->outcome == OUTCOME_ABORTED || call->outcome == OUTCOME_UNKNOWN)
		return outcome_names[call->outcome];
	for (size_t i = 0; i < ARRAY_LEN(error_reasons); i++) {
		if (error_reasons[i].status == call->status)
			return error_reasons[i].reason;
	}
	return call->status >= 200 && call->status < 300 ? "in_stream" : "other";
}

static void add_cost(struct aggregate *a, const struct about *about, const struct call *call,
		     const char *model)
{
	union series_value *cost = find(a, FAMILY_COST, about,
					VALUES(call->provider, model, basis_names[call->basis]));

	if (call->cost.cost_pusd > 0)
		cost->pico += call->cost.cost_pusd;
	if (call->billing_mode == BILLING_SUBSCRIPTION && call->cost.list_pusd >= 0)
		find(a, FAMILY_SUBSCRIPTION, about, VALUES(call->provider, model))->pico +=
			call->cost.list_pusd;
}

/*
 * The cost on the wire against that of the table, for whole calls that have both. Each direction
 * is a counter of its own, so that differences never cancel out; both appear together.
 */
static void add_difference(struct aggregate *a, const struct call *call, const char *model)
{
	static const char *const directions[] = {"above", "below"};
	bool whole = call->basis == BASIS_PROVIDER_REPORTED || call->basis == BASIS_REPORTED_USAGE;
	int64_t told = call->usage.provider_cost_pusd, listed = call->cost.list_pusd;

	for (size_t i = 0; i < ARRAY_LEN(directions) && whole && told >= 0 && listed >= 0; i++) {
		union series_value *value = find(
			a, FAMILY_DIFFERENCE, NULL,
			VALUES(call->provider, model, basis_names[call->basis], directions[i]));

		if ((told > listed) == (i == 0))
			value->pico += told > listed ? told - listed : listed - told;
	}
}

static void add_tokens(struct aggregate *a, const struct about *about, const struct call *call,
		       const char *model)
{
	for (int i = 0; call->usage.known && i < TOKEN_KINDS; i++) {
		union series_value *value;

		if (call->usage.tokens[i] <= 0)
			continue;
		value = find(a, FAMILY_TOKENS, about,
			     VALUES(call->provider, model, token_kind_names[i]));
		if (__builtin_add_overflow(value->count, (uint64_t)call->usage.tokens[i],
					   &value->count))
			value->count = UINT64_MAX;
	}
}

static void add_times(struct aggregate *a, const struct call *call, const char *model)
{
	const char *const *values = VALUES(call->provider, model, call->operation);

	prom_histogram_add(&find(a, FAMILY_DURATION, NULL, values)->histogram, call->duration_us);
	if (call->time_to_first_token_us >= 0)
		prom_histogram_add(&find(a, FAMILY_FIRST_TOKEN, NULL, values)->histogram,
				   call->time_to_first_token_us);
}

/* All reasons of a provider appear together, so that none is missing before its first call. */
static void add_unpriced(struct aggregate *a, const struct about *about, const char *provider,
			 enum unpriced_reason reason)
{
	for (int i = UNPRICED_NOT + 1; i < UNPRICED_REASONS; i++)
		find(a, FAMILY_UNPRICED, about, VALUES(unpriced_reason_names[i], provider))
			->count += (int)reason == i;
}

static void add_missing(struct aggregate *a, const struct about *about, enum usage_missing reason)
{
	for (int i = MISSING_NOT + 1; i < USAGE_MISSING_REASONS; i++)
		find(a, FAMILY_USAGE_MISSING, about, VALUES(usage_missing_names[i]))->count +=
			(int)reason == i;
}

static void add(struct aggregate *a, const struct about *about, const struct call *call,
		const char *model)
{
	add_cost(a, about, call, model);
	add_difference(a, call, model);
	add_tokens(a, about, call, model);
	add_times(a, call, model);
	add_unpriced(a, about, call->provider,
		     call->basis == BASIS_UNPRICED ? call->cost.unpriced : UNPRICED_NOT);
	add_missing(a, about, call->usage_missing);
	find(a, FAMILY_REQUESTS, about,
	     VALUES(call->provider, model, call->operation, status_class(call->status),
		    outcome_names[call->outcome]))
		->count++;
	if (call->outcome != OUTCOME_OK)
		find(a, FAMILY_ERRORS, NULL, VALUES(error_reason(call)))->count++;
}

static const char *model_label(const char *model_id)
{
	return model_id ? model_id : "other";
}

void aggregate_add(struct aggregate *a, const struct call *call, const char *model_id)
{
	struct about about;

	if (call->collapsed_by) /* tolltap_gateway_legs_total counts it */
		return;
	if (call->usage.mismatch)
		counter_add(COUNTER_USAGE_MISMATCH, 1);
	pthread_mutex_lock(&a->lock);
	about_begin(a, call, &about);
	add(a, &about, call, model_label(model_id));
	about_end(a, &about);
	pthread_mutex_unlock(&a->lock);
}

/* The commonest of what may come of it: a call that is answered, with its usage. */
void aggregate_expect(struct aggregate *a, const struct call *call, const char *model_id)
{
	static const enum token_kind kinds[] = {TOKEN_INPUT_UNCACHED, TOKEN_OUTPUT_TEXT};
	const char *model = model_label(model_id);
	struct about about;

	pthread_mutex_lock(&a->lock);
	about_begin(a, call, &about);
	find(a, FAMILY_COST, &about,
	     VALUES(call->provider, model, basis_names[BASIS_REPORTED_USAGE]));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		find(a, FAMILY_TOKENS, &about,
		     VALUES(call->provider, model, token_kind_names[kinds[i]]));
	find(a, FAMILY_REQUESTS, &about,
	     VALUES(call->provider, model, call->operation, status_class(200),
		    outcome_names[OUTCOME_OK]));
	find(a, FAMILY_DURATION, NULL, VALUES(call->provider, model, call->operation));
	add_unpriced(a, &about, call->provider, UNPRICED_NOT);
	add_missing(a, &about, MISSING_NOT);
	about_end(a, &about);
	pthread_mutex_unlock(&a->lock);
}

void aggregate_ignored(struct aggregate *a, const char *provider, enum ignored_reason reason)
{
	const char *name = provider && *provider ? provider : "unknown";

	pthread_mutex_lock(&a->lock);
	for (int i = 0; i < IGNORED_REASONS; i++)
		find(a, FAMILY_IGNORED, NULL, VALUES(name, ignored_reason_names[i]))->count +=
			(int)reason == i;
	pthread_mutex_unlock(&a->lock);
}

/* ---- workloads that end ------------------------------------------------------------------ */

static void mark_living(void *user, const struct workload *w)
{
	bearers_lives(user, w);
}

void aggregate_settle(struct aggregate *a, uint64_t now_ns, aggregate_each_living *each_living,
		      void *user)
{
	pthread_mutex_lock(&a->lock);
	bearers_census(&a->bearers, now_ns);
	each_living(user, mark_living, &a->bearers);
	for (int i = 0; i < FAMILIES; i++)
		series_fold_ended(&a->series[i], now_ns);
	pthread_mutex_unlock(&a->lock);
}

void aggregate_set_standing(struct aggregate *a, struct standing *standing)
{
	pthread_mutex_lock(&a->lock);
	a->standing = standing;
	pthread_mutex_unlock(&a->lock);
}

void aggregate_set_prices(struct aggregate *a, const char *sha256)
{
	pthread_mutex_lock(&a->lock);
	slice_copy(a->prices_sha256, sizeof(a->prices_sha256), slice_of(sha256));
	pthread_mutex_unlock(&a->lock);
}

/* ---- life -------------------------------------------------------------------------------- */

int aggregate_new(struct aggregate **out)
{
	struct aggregate *a = calloc(1, sizeof(*a));
	struct timespec now;
	int rc;

	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	a->bearers.level = METRICS_CONTAINER;
	rc = tag_labels_new(&a->tags, NULL, 0, NULL, 0);
	for (int i = 0; rc == 0 && i < FAMILIES; i++)
		rc = series_set_init(&a->series[i], &families[i], &a->bearers);
	if (rc) {
		aggregate_free(a);
		return rc;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	a->started_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	for (size_t i = 0; i < ARRAY_LEN(error_reasons); i++)
		find(a, FAMILY_ERRORS, NULL, VALUES(error_reasons[i].reason));
	for (size_t i = 0; i < ARRAY_LEN(other_reasons); i++)
		find(a, FAMILY_ERRORS, NULL, VALUES(other_reasons[i]));
	add_missing(a, NULL, MISSING_NOT);
	*out = a;
	return 0;
}

int aggregate_set_labels(struct aggregate *a, const char *level, const char *const *tags,
			 size_t tag_count, char *err, size_t err_size)
{
	struct tag_labels *fresh;
	int at = 0, rc;

	while (at < METRICS_LEVELS && strcmp(metrics_level_names[at], level) != 0)
		at++;
	if (at == METRICS_LEVELS) {
		snprintf(err, err_size, "--metrics.level: no level '%.60s'", level);
		return -EINVAL;
	}
	rc = tag_labels_new(&fresh, tags, tag_count, err, err_size);
	if (rc)
		return rc;
	pthread_mutex_lock(&a->lock);
	a->bearers.level = (enum metrics_level)at;
	tag_labels_free(a->tags);
	a->tags = fresh;
	pthread_mutex_unlock(&a->lock);
	return 0;
}

void aggregate_free(struct aggregate *a)
{
	if (!a)
		return;
	for (int i = 0; i < FAMILIES; i++)
		series_set_free(&a->series[i]);
	tag_labels_free(a->tags);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- rendering --------------------------------------------------------------------------- */

/* Help of the counters table; a family without a row here still prints. */
static const char *counter_help(const char *family)
{
	static const struct {
		const char *family, *help;
	} helps[] = {
		{"tolltap_capture_lost_events_total", "Records lost or cut on the way from the "
						      "kernel, by reason."},
		{"tolltap_capture_evicted_entries_total",
		 "Entries in use that the kernel recycled because its table was full, by table."},
		{"tolltap_capture_bytes_total", "Plaintext bytes taken from probed calls."},
		{"tolltap_capture_calls_total", "Successful probed TLS calls seen."},
		{"tolltap_connections_total",
		 "TLS connections by what is known of them: coverage."},
		{"tolltap_opted_out_processes_total",
		 "Processes that said TOLLTAP_IGNORE=1 and called an LLM's host."},
		{"tolltap_opted_out_connections_total", "Connections of these: not metered."},
		{"tolltap_connections_evicted_total", "Connections forgotten to stay in bounds."},
		{"tolltap_stream_gaps_total", "Gaps in captured streams."},
		{"tolltap_decode_errors_total", "Messages that could not be decoded, by layer."},
		{"tolltap_usage_mismatch_total",
		 "Calls whose counts disagree with each other or are no counts."},
		{"tolltap_operations_evicted_total", "Requests forgotten while a retry of them "
						     "could still come."},
		{"tolltap_ledger_rows_total", "Calls made durable in the ledger."},
		{"tolltap_ledger_commits_total", "Groups committed to the ledger."},
		{"tolltap_ledger_retired_rows_total", "Calls that went by retention."},
		{"tolltap_gateway_legs_total",
		 "Calls to gateways whose bill is another row, by the sign that told."},
		{"tolltap_gateway_legs_evicted_total",
		 "Legs forgotten while their other leg could still come, by table."},
		{"tolltap_rules_limited_total", "Bounds of rules that were reached: a regex gave "
						"up, or a call had too many tags."},
		{"tolltap_container_lookups_total", "Names of containers asked for, by result."},
		{"tolltap_container_waiting_calls",
		 "Calls that wait for the name of their container."},
		{"tolltap_container_waited_calls_total",
		 "Calls that waited for the name of their container, by how that ended."},
		{"tolltap_courier_answers_dropped_total",
		 "Answers of the courier that nobody waits for, or that are none."},
		{"tolltap_ledger_dropped_total", "Calls counted here but not in the ledger."},
		{"tolltap_calls_lost_total",
		 "Calls known to be lost, by reason: the ledger's sums."},
		{"tolltap_unmetered_seconds_total", "Time nothing was attached after a crash: the "
						    "ledger's sum."},
		{"tolltap_config_reloads_total", "Reloads of the configuration, by result."},
		{"tolltap_prices_reload_errors_total", "Price files refused at a reload."},
	};

	for (size_t i = 0; i < ARRAY_LEN(helps); i++) {
		if (!strcmp(helps[i].family, family))
			return helps[i].help;
	}
	return "A counter of the agent; see docs/metrics.md.";
}

static bool counter_family_done(int row)
{
	for (int i = 0; i < row; i++) {
		if (!strcmp(counter_rows[i].family, counter_rows[row].family))
			return true;
	}
	return false;
}

static void put_counters(struct text *out, bool openmetrics)
{
	for (int i = 0; i < COUNTERS; i++) {
		struct slice name = slice_of(counter_rows[i].family);
		bool counter = slice_ends(name, SLICE("_total"));
		char base[128];
		struct prom_family family = {base, counter ? PROM_COUNTER : PROM_GAUGE,
					     counter_help(name.ptr)};

		if (counter_family_done(i))
			continue;
		name.len -= counter ? strlen("_total") : 0;
		slice_copy(base, sizeof(base), name);
		promtext_family(out, &family, openmetrics);
		for (int k = i; k < COUNTERS; k++) {
			if (!strcmp(counter_rows[k].family, counter_rows[i].family))
				promtext_uint(out, &family, counter_rows[k].labels,
					      counter_get((enum counter)k));
		}
	}
}

static void put_info(struct text *out, const char *name, const char *help, const char *label,
		     const char *value, bool openmetrics)
{
	const struct prom_family family = {name, PROM_GAUGE, help};
	struct text labels = TEXT_INIT(PROMTEXT_LABELS_MAX);

	promtext_label(&labels, label, value);
	promtext_family(out, &family, openmetrics);
	promtext_uint(out, &family, text_cstr(&labels) ? labels.ptr : "", 1);
	text_free(&labels);
}

int aggregate_render(struct aggregate *a, bool openmetrics, char **body, size_t *len)
{
	struct text out = TEXT_INIT(PROMTEXT_MAX);

	pthread_mutex_lock(&a->lock);
	for (int i = 0; i < FAMILIES; i++)
		series_put(&a->series[i], &out, openmetrics);
	if (*a->prices_sha256)
		put_info(&out, "tolltap_prices_info", "The price table in force.", "sha256",
			 a->prices_sha256, openmetrics);
	if (a->standing)
		standing_put(a->standing, &out, openmetrics);
	pthread_mutex_unlock(&a->lock);
	put_counters(&out, openmetrics);
	put_info(&out, "tolltap_build_info", "The running version.", "version", TOLLTAP_VERSION,
		 openmetrics);
	process_metrics(&out, a->started_us, openmetrics);
	promtext_end(&out, openmetrics);
	if (!text_cstr(&out)) {
		text_free(&out);
		return -ENOMEM;
	}
	*len = out.len;
	*body = TAKE_PTR(out.ptr);
	return 0;
}
