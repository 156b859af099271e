/* SPDX-License-Identifier: Apache-2.0 */
/* Which days the ledger's agents were there for. */
#include "exporter/bills/sides.h"

#include <errno.h>
#include <stdio.h>

#define US_PER_DAY (SECONDS_PER_DAY * (int64_t)1000000)

struct adding {
	struct recon_uptime *out;
	int64_t since_us, until_us;
	char host[256];	     /* whose spans are coming */
	int64_t seen_us;     /* of that host up to here */
	int64_t *seconds_us; /* of that host, by day */
};

/* A host that was away from a day for too long makes the day one that is not all metered. */
static void end_host(struct adding *a)
{
	if (!a->out->hosts)
		return;
	for (size_t i = 0; i < a->out->days; i++) {
		if (a->seconds_us[i] < US_PER_DAY - RECON_AWAY_MAX_S * (int64_t)1000000)
			a->out->metered[i] = 0;
	}
	memset(a->seconds_us, 0, a->out->days * sizeof(*a->seconds_us));
}

static void add_name(struct recon_uptime *out, const char *host)
{
	size_t len = strlen(out->host_names), more = strlen(host) + 2;

	if (len + more + sizeof(", ...") < sizeof(out->host_names))
		snprintf(out->host_names + len, sizeof(out->host_names) - len, "%s%s",
			 len ? ", " : "", host);
	else if (len && out->host_names[len - 1] != '.')
		snprintf(out->host_names + len, sizeof(out->host_names) - len, ", ...");
}

static int add_run(void *user, const struct query_run *run)
{
	const char *host = run->host ? run->host : "";
	struct adding *a = user;
	int64_t from = run->since_us > a->since_us ? run->since_us : a->since_us;
	int64_t to = run->until_us < a->until_us ? run->until_us : a->until_us;

	if (!a->out->hosts || strncmp(host, a->host, sizeof(a->host) - 1) != 0) {
		end_host(a);
		a->out->hosts++;
		a->seen_us = 0;
		(void)slice_copy(a->host, sizeof(a->host), slice_of(host));
		add_name(a->out, a->host);
	}
	/* Ledgers of one host may overlap. */
	from = from > a->seen_us ? from : a->seen_us;
	a->seen_us = to > a->seen_us ? to : a->seen_us;
	while (from < to) {
		int64_t day = from / US_PER_DAY, end = (day + 1) * US_PER_DAY;

		end = end < to ? end : to;
		a->seconds_us[day - a->out->first_day] += end - from;
		a->out->seconds += (end - from) / 1000000;
		from = end;
	}
	return 0;
}

/* The time that was not metered within a day, by the ledger's losses. */
static int take_losses(struct query *q, struct recon_uptime *out)
{
	struct query_losses lost;
	int r = 0;

	for (size_t i = 0; r == 0 && i < out->days; i++) {
		int64_t since_us = (out->first_day + (int64_t)i) * US_PER_DAY;

		r = query_losses(q, since_us, since_us + US_PER_DAY, &lost);
		if (r == 0 && lost.unmetered_seconds > RECON_AWAY_MAX_S)
			out->metered[i] = 0;
		if (r == 0)
			out->unmetered_seconds += lost.unmetered_seconds;
	}
	return r;
}

static int load_runs(struct query *q, const struct recon_scope *scope, struct recon_uptime *out)
{
	struct adding a = {
		.out = out, .since_us = scope->from_s * 1000000, .until_us = scope->to_s * 1000000};
	int r = -ENOMEM;

	a.seconds_us = calloc(out->days + 1, sizeof(*a.seconds_us));
	if (a.seconds_us) {
		r = query_runs(q, a.since_us, a.until_us, add_run, &a);
		end_host(&a);
	}
	free(a.seconds_us);
	return r;
}

int recon_uptime_load(struct query *q, const struct recon_scope *scope, struct recon_uptime *out)
{
	struct recon_uptime up = {.known = true, .first_day = bill_day(scope->from_s)};
	int r;

	up.days = (size_t)(bill_day(scope->to_s) - up.first_day);
	up.metered = malloc(up.days + 1);
	if (!up.metered)
		return -ENOMEM;
	memset(up.metered, 1, up.days + 1);
	r = load_runs(q, scope, &up);
	if (r == 0)
		r = take_losses(q, &up);
	if (r == -ENOTSUP) {
		up.known = false;
		r = 0;
	}
	if (r)
		recon_uptime_free(&up);
	else
		*out = up;
	return r;
}

void recon_uptime_free(struct recon_uptime *uptime)
{
	free(uptime->metered);
	*uptime = (struct recon_uptime){0};
}

bool recon_uptime_has(const struct recon_uptime *uptime, int64_t day)
{
	size_t i = (size_t)(day - uptime->first_day);

	return uptime->known && uptime->hosts && day >= uptime->first_day && i < uptime->days &&
	       uptime->metered[i];
}
