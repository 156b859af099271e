/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many rows a second the ledger's own writer takes: as many calls as are asked for are queued
 * as fast as the queue has room, and the clock stops when the last is durable.
 *
 * usage: ledger_writer DIR ROWS; prints "ROWS SECONDS COMMITS"
 */
#include "agent/base/clock.h"
#include "agent/base/counters.h"
#include "agent/cli/demo_calls.h"
#include "exporter/ledger.h"
#include "pricing/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define UNTIL_US (1793491200LL * 1000000) /* 2026-11-01, as the demo's */

static int fill(struct ledger *l, const struct catalog *catalog, uint64_t rows)
{
	struct demo_calls *calls = demo_calls_new(rows, UNTIL_US);
	struct call call;
	int r = 0;

	while (calls && r == 0 && demo_calls_next(calls, &call)) {
		call.event_id[0] ^= 0xff; /* the demo has made the same calls */
		call.event_id[1] ^= (uint8_t)getpid();
		price_call(catalog, &call);
		while ((r = ledger_append(l, &call)) == -EAGAIN)
			usleep(1000);
	}
	demo_calls_free(calls);
	return r;
}

int main(int argc, char **argv)
{
	char err[LEDGER_ERROR_MAX] = "give DIR and ROWS";
	struct catalog *catalog = NULL;
	struct ledger *l = NULL;
	uint64_t begun_ns, commits;
	long long rows = argc == 3 ? strtoll(argv[2], NULL, 10) : 0;

	if (rows < 1 || catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err)) ||
	    ledger_open(&l, argv[1], NULL, err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	begun_ns = clock_mono_ns();
	if (fill(l, catalog, (uint64_t)rows))
		return 1;
	ledger_close(l);
	commits = counter_get(COUNTER_LEDGER_COMMITS);
	printf("%lld %.3f %llu\n", rows, (double)(clock_mono_ns() - begun_ns) / 1e9,
	       (unsigned long long)commits);
	catalog_free(catalog);
	return 0;
}
