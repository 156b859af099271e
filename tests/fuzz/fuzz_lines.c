/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of exported lines. It is refused with one line that says where, or what is read of it is
 * a ledger: no count and no cost is below 0, and the charges of FOCUS sum to its spend.
 */
#include "agent/cli/focus.h"
#include "exporter/merge.h"
#include "tests/fuzz/fuzz.h"

static int check_event(void *user, const struct event *event)
{
	const struct call *call = &event->call;

	(void)user;
	must_hold(event->revision > 0 && call->cost.cost_pusd >= -1);
	for (int i = 0; i < TOKEN_KINDS; i++)
		must_hold(call->usage.tokens[i] >= 0);
	must_hold(call->tags.count <= CALL_TAGS_MAX);
	must_hold(memchr(call->model, 0, sizeof(call->model)) != NULL);
	return 0;
}

static int sum_charge(void *user, const struct focus_charge *charge)
{
	must_hold(charge->units >= 0);
	*(pusd_sum *)user += charge->effective;
	return 0;
}

static void check_ledger(struct query *q)
{
	const struct query_filter all = {0};
	struct focus_doubts doubts;
	struct spend *rows = NULL;
	pusd_sum charged = 0, spent = 0;
	struct focus *focus;
	bool failed;
	size_t count;

	must_hold(query_events(q, &all, 0, 0, check_event, NULL) == 0);
	if (query_spend(q, &all, NULL, 0, &rows, &count)) { /* sums of no real hour */
		must_hold(strstr(query_error(q), "overflow"));
		return;
	}
	for (size_t i = 0; i < count; i++)
		spent += rows[i].cost;
	query_spend_free(rows, count);
	must_hold(focus_new(&focus, NULL, sum_charge, &charged) == 0);
	must_hold(focus_run(focus, q, &all, &doubts, &failed) == 0);
	focus_free(focus);
	must_hold(charged == spent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("lines", MFD_CLOEXEC);
	char path[64], err[QUERY_ERROR_MAX] = "";
	const char *const paths[] = {path};
	struct query_sources sources = {.paths = paths, .count = 1};
	struct query *q = NULL;

	if (fd < 0 || write(fd, "{", 1) != 1 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (query_open_many(&q, &sources, err, sizeof(err))) {
		must_hold(strstr(err, path) && !strchr(err, '\n'));
	} else {
		check_ledger(q);
		query_close(q);
	}
	close(fd);
	return 0;
}
