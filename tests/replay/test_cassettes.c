/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded exchanges through the real path: wire bytes -> connection table -> HTTP/1.1 -> exchange
 * -> dialect -> call, against each recording's expected.json. Bodies are framed by length and in
 * chunks of every size class, plain and in each content coding, read in pieces of several sizes;
 * over HTTP/2 in frames of several sizes and with many streams at once. Every variant must give the
 * same row.
 *
 * gRPC runs over HTTP/2 alone, with trailers behind its messages, which are compressed or not.
 *
 * Sessions over a WebSocket are upgraded, framed, cut and compressed in every way that was agreed.
 *
 * Each exchange is one test, which passes when all of its forms give the expected rows; what they
 * come to is told by provider.
 *
 * Two sets: tests/replay/cases (the project's own, always there) and the folder named by
 * TOLLTAP_CASSETTES (default ../shared/data/cassettes), skipped by name when it is missing.
 */
#include "grpc.h"
#include "multiplexed.h"
#include "upgraded.h"

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

struct tally {
	size_t passed, failed;
};

static void run_cassette(const struct cassette *c)
{
	static const size_t chunks[] = {FRAMED_BY_LENGTH, 1, CHUNKS_AT_RANDOM, SIZE_MAX};
	static const size_t pieces[] = {1, 61, SIZE_MAX};
	static struct outcome_seen first, seen;
	struct provider_host host =
		provider_table_host(providers, slice_of(text_member(c, "host")));
	bool candidate = !host.provider, any = false;

	for (enum coding coding = CODING_NONE; coding < CODINGS; coding++) {
		for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
			struct bytes request =
				message(&c->request_head, &c->request_body,
					i % 2 ? CODING_ZSTD : CODING_NONE, chunks[i]);
			struct bytes response =
				message(&c->response_head, &c->response_body, coding, chunks[i]);
			char variant[128];

			for (size_t j = 0; j < ARRAY_LEN(pieces); j++) {
				snprintf(variant, sizeof(variant), "%s chunk %zu piece %zu",
					 coding_names[coding], chunks[i], pieces[j]);
				replay(&request, &response, pieces[j], candidate, &seen);
				if (!any) {
					first = seen;
					check_seen(c, &seen, candidate);
				}
				same_rows(c, &first, &seen, variant);
				any = true;
			}
			bytes_free(&request);
			bytes_free(&response);
		}
	}
	run_all_http2(c, &first, candidate);
	if (!candidate)
		run_all_late(c, &first);
}

static void run(const struct cassette *c)
{
	if (c->frames.ptr)
		run_session(c);
	else if (is_grpc(c))
		run_grpc(c);
	else
		run_cassette(c);
}

/* In a process of its own: an exchange that fails fails alone. */
static bool passes(const struct cassette *c)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		run(c);
		exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void visit(const char *dir, const char *name, struct tally *tally)
{
	struct cassette c;

	if (cassette_load(&c, dir, name)) {
		bool ok = passes(&c);

		printf("%s %s\n", ok ? "ok" : "FAIL", name);
		tally->passed += ok;
		tally->failed += !ok;
	}
	cassette_free(&c);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void visit_group(const char *top, const char *group, struct tally *all)
{
	struct dirent **entries = NULL;
	struct tally tally = {0};
	char dir[4096], name[600];
	int n;

	snprintf(dir, sizeof(dir), "%s/%s", top, group);
	n = scandir(dir, &entries, not_hidden, by_name);
	for (int i = 0; i < n; i++) {
		snprintf(dir, sizeof(dir), "%s/%s/%s", top, group, entries[i]->d_name);
		snprintf(name, sizeof(name), "%s/%s", group, entries[i]->d_name);
		visit(dir, name, &tally);
		free(entries[i]);
	}
	free(entries);
	printf("= %-20s %3zu passed, %zu failed\n", group, tally.passed, tally.failed);
	all->passed += tally.passed;
	all->failed += tally.failed;
}

static struct tally visit_all(const char *top)
{
	struct dirent **groups = NULL;
	int n = scandir(top, &groups, not_hidden, by_name);
	struct tally all = {0};

	for (int i = 0; i < n; i++) {
		if (groups[i]->d_type != DT_REG)
			visit_group(top, groups[i]->d_name, &all);
		free(groups[i]);
	}
	free(groups);
	return all;
}

int main(void)
{
	const char *recorded = getenv("TOLLTAP_CASSETTES");
	char err[CATALOG_ERROR_MAX];
	struct tally own, theirs;

	if (provider_table_new(&providers) ||
	    catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err)))
		return 1;
	if (!recorded)
		recorded = "../shared/data/cassettes";
	own = visit_all("tests/replay/cases");
	theirs = visit_all(recorded);
	if (!theirs.passed && !theirs.failed)
		printf("skip recorded_cassettes: no recordings in %s (TOLLTAP_CASSETTES)\n",
		       recorded);
	catalog_free(catalog);
	provider_table_free(providers);
	return own.failed || theirs.failed || own.passed < 10;
}
