/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A family is a hash table from label text to value. Label values come from closed sets (tables of
 * providers, prices, operations, reasons) or from the host (units, pods); a family that is full
 * adds to its overflow series instead, so that no money and no count is lost.
 */
#include "exporter/aggregate.h"

#include "agent/base/counters.h"
#include "exporter/process.h"
#include "exporter/promtext.h"
#include "exporter/standing.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <time.h>

#define uthash_nonfatal_oom(series) ((series)->detached = true)
#include "agent/base/hash.h"

#ifndef TOLLTAP_VERSION
#define TOLLTAP_VERSION "0.0.0"
#endif

enum family {
	FAMILY_COST,
	FAMILY_DIFFERENCE,
	FAMILY_SUBSCRIPTION,
	FAMILY_TOKENS,
	FAMILY_REQUESTS,
	FAMILY_ERRORS,
	FAMILY_DURATION,
	FAMILY_FIRST_TOKEN,
	FAMILY_UNPRICED,
	FAMILY_USAGE_MISSING,
	FAMILY_IGNORED,
	FAMILIES
};

enum value_kind { VALUE_COUNT, VALUE_PICO, VALUE_HISTOGRAM };

static const struct {
	struct prom_family prom;
	enum value_kind kind;
	const char *labels[8]; /* names, for the overflow series */
} families[FAMILIES] = {
	[FAMILY_COST] = {{"tolltap_cost_usd", PROM_COUNTER,
			  "Cost of calls in US dollars; a lower bound for the bases estimated, "
			  "partial and unpriced."},
			 VALUE_PICO,
			 {"provider", "model", "basis"}},
	[FAMILY_DIFFERENCE] =
		{{"tolltap_cost_difference_usd", PROM_COUNTER,
		  "What providers say calls cost beyond their list price (above), or short of it "
		  "(below)."},
		 VALUE_PICO,
		 {"provider", "model", "basis", "direction"}},
	[FAMILY_SUBSCRIPTION] =
		{{"tolltap_subscription_list_usd", PROM_COUNTER,
		  "List price of calls covered by a subscription; in no other sum."},
		 VALUE_PICO,
		 {"provider", "model"}},
	[FAMILY_TOKENS] = {{"tolltap_tokens", PROM_COUNTER, "Tokens by disjoint kind."},
			   VALUE_COUNT,
			   {"provider", "model", "kind"}},
	[FAMILY_REQUESTS] = {{"tolltap_requests", PROM_COUNTER, "Metered calls."},
			     VALUE_COUNT,
			     {"provider", "model", "operation", "status", "outcome"}},
	[FAMILY_ERRORS] = {{"tolltap_request_errors", PROM_COUNTER, "Calls that failed."},
			   VALUE_COUNT,
			   {"reason"}},
	[FAMILY_DURATION] = {{"tolltap_request_duration_seconds", PROM_HISTOGRAM,
			      "From the request's first byte to the answer's last."},
			     VALUE_HISTOGRAM,
			     {"provider", "model", "operation"}},
	[FAMILY_FIRST_TOKEN] = {{"tolltap_time_to_first_token_seconds", PROM_HISTOGRAM,
				 "From the request's first byte to the first token of the answer."},
				VALUE_HISTOGRAM,
				{"provider", "model", "operation"}},
	[FAMILY_UNPRICED] = {{"tolltap_unpriced_calls", PROM_COUNTER,
			      "Calls with usage but no price, by reason."},
			     VALUE_COUNT,
			     {"reason", "provider"}},
	[FAMILY_USAGE_MISSING] = {{"tolltap_usage_missing", PROM_COUNTER,
				   "Calls whose usage is not known or not whole, by reason."},
				  VALUE_COUNT,
				  {"reason"}},
	[FAMILY_IGNORED] = {{"tolltap_requests_ignored", PROM_COUNTER,
			     "Requests to known hosts that are not billable calls."},
			    VALUE_COUNT,
			    {"provider", "reason"}},
};

struct series {
	char *labels;
	union {
		uint64_t count;
		pusd_sum pico;
		struct prom_histogram histogram;
	};
	bool detached; /* the table could not take it */
	UT_hash_handle hh;
};

struct aggregate {
	pthread_mutex_t lock;
	struct series *series[FAMILIES];
	struct series overflow[FAMILIES];
	bool overflowed[FAMILIES];
	int64_t started_us;
	char prices_sha256[65];
	struct standing *standing; /* the ledger's, or NULL */
};

/* ---- series ------------------------------------------------------------------------------ */

static struct series *series_make(struct aggregate *a, enum family family, const char *labels)
{
	struct series *series = calloc(1, sizeof(*series));

	if (!series)
		return NULL;
	series->labels = strdup(labels);
	if (series->labels)
		HASH_ADD_KEYPTR(hh, a->series[family], series->labels, strlen(series->labels),
				series);
	if (!series->labels || series->detached) {
		free(series->labels);
		free(series);
		return NULL;
	}
	return series;
}

/* The series with these labels, made if new; the overflow series when it cannot be made. */
static struct series *series_get(struct aggregate *a, enum family family, struct text *labels)
{
	const char *text = text_cstr(labels);
	struct series *series = NULL;

	if (text)
		HASH_FIND(hh, a->series[family], text, labels->len, series);
	if (text && !series && HASH_COUNT(a->series[family]) < AGGREGATE_SERIES_MAX)
		series = series_make(a, family, text);
	if (series)
		return series;
	a->overflowed[family] = true;
	return &a->overflow[family];
}

static void put_workload(struct text *labels, const struct workload *w)
{
	if (*w->pod) {
		promtext_label(labels, "namespace", w->namespace_);
		promtext_label(labels, "pod", w->pod);
		promtext_label(labels, "container", w->container);
	} else {
		promtext_label(labels, "unit", w->unit);
	}
}

/* The series of these labels: pairs of name and value, ended by NULL, then the workload's. */
__attribute__((sentinel)) static struct series *find(struct aggregate *a, enum family family,
						     const struct workload *w, ...)
{
	struct text labels = TEXT_INIT(PROMTEXT_LABELS_MAX);
	struct series *series;
	const char *name;
	va_list pairs;

	va_start(pairs, w);
	while ((name = va_arg(pairs, const char *)))
		promtext_label(&labels, name, va_arg(pairs, const char *));
	va_end(pairs);
	if (w)
		put_workload(&labels, w);
	series = series_get(a, family, &labels);
	text_free(&labels);
	return series;
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

static void add_cost(struct aggregate *a, const struct call *call, const char *model)
{
	struct series *cost = find(a, FAMILY_COST, call_payer(call), "provider", call->provider,
				   "model", model, "basis", basis_names[call->basis], NULL);

	if (call->cost.cost_pusd > 0)
		cost->pico += call->cost.cost_pusd;
	if (call->billing_mode == BILLING_SUBSCRIPTION && call->cost.list_pusd >= 0)
		find(a, FAMILY_SUBSCRIPTION, NULL, "provider", call->provider, "model", model, NULL)
			->pico += call->cost.list_pusd;
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
		struct series *series =
			find(a, FAMILY_DIFFERENCE, NULL, "provider", call->provider, "model", model,
			     "basis", basis_names[call->basis], "direction", directions[i], NULL);

		if ((told > listed) == (i == 0))
			series->pico += told > listed ? told - listed : listed - told;
	}
}

static void add_tokens(struct aggregate *a, const struct call *call, const char *model)
{
	for (int i = 0; call->usage.known && i < TOKEN_KINDS; i++) {
		struct series *series;

		if (call->usage.tokens[i] <= 0)
			continue;
		series = find(a, FAMILY_TOKENS, NULL, "provider", call->provider, "model", model,
			      "kind", token_kind_names[i], NULL);
		if (__builtin_add_overflow(series->count, (uint64_t)call->usage.tokens[i],
					   &series->count))
			series->count = UINT64_MAX;
	}
}

static void add_times(struct aggregate *a, const struct call *call, const char *model)
{
	prom_histogram_add(&find(a, FAMILY_DURATION, NULL, "provider", call->provider, "model",
				 model, "operation", call->operation, NULL)
				    ->histogram,
			   call->duration_us);
	if (call->time_to_first_token_us >= 0)
		prom_histogram_add(&find(a, FAMILY_FIRST_TOKEN, NULL, "provider", call->provider,
					 "model", model, "operation", call->operation, NULL)
					    ->histogram,
				   call->time_to_first_token_us);
}

/* All reasons of a provider appear together, so that none is missing before its first call. */
static void add_unpriced(struct aggregate *a, const struct call *call)
{
	for (int i = UNPRICED_NOT + 1; i < UNPRICED_REASONS; i++) {
		struct series *series =
			find(a, FAMILY_UNPRICED, call_payer(call), "reason",
			     unpriced_reason_names[i], "provider", call->provider, NULL);

		if (call->basis == BASIS_UNPRICED && (int)call->cost.unpriced == i)
			series->count++;
	}
}

static void add_missing(struct aggregate *a, const struct call *call, const struct workload *w)
{
	for (int i = MISSING_NOT + 1; i < USAGE_MISSING_REASONS; i++) {
		struct series *series =
			find(a, FAMILY_USAGE_MISSING, w, "reason", usage_missing_names[i], NULL);

		if (call && (int)call->usage_missing == i)
			series->count++;
	}
}

void aggregate_add(struct aggregate *a, const struct call *call, const char *model_id)
{
	const char *model = model_id ? model_id : "other";

	if (call->collapsed_by) /* tolltap_gateway_legs_total counts it */
		return;
	if (call->usage.mismatch)
		counter_add(COUNTER_USAGE_MISMATCH, 1);
	pthread_mutex_lock(&a->lock);
	add_cost(a, call, model);
	add_difference(a, call, model);
	add_tokens(a, call, model);
	add_times(a, call, model);
	add_unpriced(a, call);
	add_missing(a, call, call_payer(call));
	find(a, FAMILY_REQUESTS, NULL, "provider", call->provider, "model", model, "operation",
	     call->operation, "status", status_class(call->status), "outcome",
	     outcome_names[call->outcome], NULL)
		->count++;
	if (call->outcome != OUTCOME_OK)
		find(a, FAMILY_ERRORS, NULL, "reason", error_reason(call), NULL)->count++;
	pthread_mutex_unlock(&a->lock);
}

void aggregate_ignored(struct aggregate *a, const char *provider, enum ignored_reason reason)
{
	pthread_mutex_lock(&a->lock);
	for (int i = 0; i < IGNORED_REASONS; i++) {
		struct series *series = find(a, FAMILY_IGNORED, NULL, "provider",
					     provider && *provider ? provider : "unknown", "reason",
					     ignored_reason_names[i], NULL);

		if ((int)reason == i)
			series->count++;
	}
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

static bool make_overflow_series(struct aggregate *a, enum family family)
{
	struct text labels = TEXT_INIT(PROMTEXT_LABELS_MAX);

	for (const char *const *name = families[family].labels; *name; name++)
		promtext_label(&labels, *name, "overflow");
	if (text_cstr(&labels))
		a->overflow[family].labels = labels.ptr;
	else
		text_free(&labels);
	return a->overflow[family].labels;
}

int aggregate_new(struct aggregate **out)
{
	struct aggregate *a = calloc(1, sizeof(*a));
	struct timespec now;

	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	for (int i = 0; i < FAMILIES; i++) {
		if (!make_overflow_series(a, (enum family)i)) {
			aggregate_free(a);
			return -ENOMEM;
		}
	}
	clock_gettime(CLOCK_REALTIME, &now);
	a->started_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	for (size_t i = 0; i < ARRAY_LEN(error_reasons); i++)
		find(a, FAMILY_ERRORS, NULL, "reason", error_reasons[i].reason, NULL);
	for (size_t i = 0; i < ARRAY_LEN(other_reasons); i++)
		find(a, FAMILY_ERRORS, NULL, "reason", other_reasons[i], NULL);
	add_missing(a, NULL, NULL);
	*out = a;
	return 0;
}

void aggregate_free(struct aggregate *a)
{
	struct series *series, *next;

	if (!a)
		return;
	for (int i = 0; i < FAMILIES; i++) {
		HASH_ITER (hh, a->series[i], series, next) {
			HASH_DEL(a->series[i], series);
			free(series->labels);
			free(series);
		}
		free(a->overflow[i].labels);
	}
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- rendering --------------------------------------------------------------------------- */

static void put_series(struct text *out, enum family family, const struct series *series)
{
	const struct prom_family *prom = &families[family].prom;

	switch (families[family].kind) {
	case VALUE_COUNT:
		return promtext_uint(out, prom, series->labels, series->count);
	case VALUE_PICO:
		return promtext_pico(out, prom, series->labels, series->pico);
	case VALUE_HISTOGRAM:
		return promtext_histogram(out, prom, series->labels, &series->histogram);
	}
}

static void put_families(struct text *out, const struct aggregate *a, bool openmetrics)
{
	for (int i = 0; i < FAMILIES; i++) {
		enum family family = (enum family)i;

		promtext_family(out, &families[i].prom, openmetrics);
		for (const struct series *s = a->series[i]; s; s = s->hh.next)
			put_series(out, family, s);
		if (a->overflowed[i])
			put_series(out, family, &a->overflow[i]);
	}
}

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
	put_families(&out, a, openmetrics);
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
