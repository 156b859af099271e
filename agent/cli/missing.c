/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/missing.h"

#include <errno.h>
#include <stdio.h>

#define LINE_MAX_BYTES 1024

/* What it was, and what the operator or the workload's owner can do. */
static const struct {
	const char *why, *remedy;
} texts[USAGE_MISSING_REASONS] = {
	[MISSING_NOT_ASKED] = {"streams that did not ask for usage",
			       "let the client send \"stream_options\":{\"include_usage\":true}"},
	[MISSING_NOT_TOLD] = {"whole answers without usage",
			      "compare with the provider's bill; a gateway may strip it"},
	[MISSING_UNDER_WAY] = {"work that went on when its request was answered",
			       "none: its usage is counted when the client reads it back"},
	[MISSING_CUT] = {"answers that ended or failed before their usage",
			 "read streams to their end; cancelled work is billed"},
	[MISSING_NO_ANSWER] = {"requests that were not answered",
			       "look at the client's timeout; the provider may bill the work"},
	[MISSING_NOT_CAPTURED] = {"answers of which a part was not captured",
				  "see the lines on losses; try a larger --capture.ring-bytes"},
	[MISSING_UNDECODABLE] = {"answers that could not be decoded",
				 "let the client accept gzip, br, zstd or identity; see "
				 "tolltap_decode_errors_total"},
	[MISSING_UNKNOWN_SHAPE] = {"answers of a shape that is not known",
				   "update Tolltap, or report the API"},
	[MISSING_AMBIGUOUS] = {"answers whose request was not seen, and that fit several APIs",
			       "none: connections opened under a running agent are read whole"},
	[MISSING_INCOMPLETE] = {"answers whose counts leave some work out",
				"compare with the provider's bill"},
};

enum key { KEY_REASON, KEY_PROVIDER, KEY_MODEL, KEY_COMM, KEY_UNIT, KEY_NAMESPACE, KEY_POD, KEYS };

static const char *const key_names[KEYS] = {"usage_missing", "provider",  "model", "comm",
					    "unit",	     "namespace", "pod"};

static enum usage_missing reason_of(const struct spend *row)
{
	for (int i = MISSING_NOT + 1; row->group[KEY_REASON] && i < USAGE_MISSING_REASONS; i++) {
		if (!strcmp(usage_missing_names[i], row->group[KEY_REASON]))
			return (enum usage_missing)i;
	}
	return MISSING_NOT;
}

static int by_calls(const void *a, const void *b)
{
	const struct spend *x = a, *y = b;
	bool x_missing = reason_of(x), y_missing = reason_of(y);

	if (x_missing != y_missing)
		return x_missing ? -1 : 1;
	return (x->calls < y->calls) - (x->calls > y->calls);
}

static const char *known(const char *text, const char *otherwise)
{
	return text && *text ? text : otherwise;
}

/* The pod, else the unit, and the program in it. */
static void name_workload(char *dst, size_t size, const struct spend *row)
{
	const char *comm = known(row->group[KEY_COMM], "a process");

	if (row->group[KEY_POD])
		snprintf(dst, size, "%s in pod %s/%s", comm, known(row->group[KEY_NAMESPACE], "?"),
			 row->group[KEY_POD]);
	else if (row->group[KEY_UNIT])
		snprintf(dst, size, "%s in %s", comm, row->group[KEY_UNIT]);
	else
		snprintf(dst, size, "%s", comm);
}

static void tell_row(const struct spend *row, void (*tell)(void *user, const char *line),
		     void *user)
{
	enum usage_missing reason = reason_of(row);
	char workload[3 * CALL_NAME_MAX], line[LINE_MAX_BYTES];

	name_workload(workload, sizeof(workload), row);
	snprintf(line, sizeof(line), "%s, %s: %lld calls, %s (%s); %s", workload,
		 known(row->group[KEY_MODEL], known(row->group[KEY_PROVIDER], "?")),
		 (long long)row->calls, texts[reason].why, usage_missing_names[reason],
		 texts[reason].remedy);
	tell(user, line);
}

static void tell_rest(const struct spend *rows, size_t count,
		      void (*tell)(void *user, const char *line), void *user)
{
	char line[LINE_MAX_BYTES];
	long long calls = 0;
	size_t more = 0;

	for (; more < count && reason_of(&rows[more]); more++)
		calls += rows[more].calls;
	if (!more)
		return;
	snprintf(line, sizeof(line),
		 "%zu more workloads, %lld calls: tolltap spend --by=usage_missing,comm,unit,pod",
		 more, calls);
	tell(user, line);
}

int missing_tell(struct query *q, int64_t since_us, void (*tell)(void *user, const char *line),
		 void *user)
{
	const struct query_filter filter = {.since_us = since_us};
	struct query_key keys[KEYS];
	struct spend *rows = NULL;
	size_t count = 0, told = 0;
	int r;

	for (int i = 0; i < KEYS; i++) {
		if (!query_key_parse(slice_of(key_names[i]), &keys[i]))
			return -EINVAL;
	}
	r = query_spend(q, &filter, keys, KEYS, &rows, &count);
	if (r)
		return r;
	if (count)
		qsort(rows, count, sizeof(*rows), by_calls);
	for (; told < count && told < MISSING_WORKLOADS_MAX && reason_of(&rows[told]); told++)
		tell_row(&rows[told], tell, user);
	tell_rest(rows + told, count - told, tell, user);
	query_spend_free(rows, count);
	return 0;
}
