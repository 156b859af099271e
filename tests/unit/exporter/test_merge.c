/* SPDX-License-Identifier: Apache-2.0 */
/* Several ledgers as one: databases, exported lines, copies, older versions, and lines that lie. */
#include "older.h"

#include "agent/cli/export.h"
#include "exporter/charges.h"
#include "exporter/losses.h"
#include "exporter/merge.h"

#include <errno.h>
#include <fcntl.h>

static char dirs[3][sizeof(dir)];
static char base[64];

/* Three directories below the test's; `dir`, where record() writes, is the first. */
static int setup_dirs(void **state)
{
	if (setup(state))
		return -1;
	memcpy(base, dir, sizeof(base));
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		snprintf(dirs[i], sizeof(dirs[i]), "%.40s/%zu", base, i);
	memcpy(dir, dirs[0], sizeof(dir));
	return 0;
}

static int teardown_dirs(void **state)
{
	(void)state;
	remove_tree(base);
	return 0;
}

static void at(int n)
{
	memcpy(dir, dirs[n], sizeof(dir));
}

static void run_sql(int n, const char *sql)
{
	sqlite3 *db;

	at(n);
	db = open_sqlite();
	execute(db, sql);
	sqlite3_close(db);
}

static void copy_ledger(int from, int to)
{
	char command[512];

	snprintf(command, sizeof(command), "cp -r %s %s", dirs[from], dirs[to]);
	assert_int_equal(system(command), 0);
}

static struct query *open_paths(const char *const *paths, size_t count)
{
	struct query_sources sources = {.paths = paths, .count = count};
	struct query *q = NULL;

	if (query_open_many(&q, &sources, err, sizeof(err)))
		fail_msg("%s", err);
	return q;
}

static struct query *open_two(const char *a, const char *b)
{
	const char *paths[] = {a, b};

	return open_paths(paths, 2);
}

static struct spend total_of(struct query *q)
{
	struct query_filter filter = {0};
	struct spend *rows, total = {0};
	size_t count;

	assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
	for (size_t i = 0; i < count; i++)
		spend_add(&total, &rows[i]);
	query_spend_free(rows, count);
	return total;
}

struct listed {
	int64_t count;
	int64_t last_us;
	pusd_sum cost;
	int64_t revisions;
};

static int list(void *user, const struct event *event)
{
	struct listed *listed = user;

	assert_true(event->call.started_at_us >= listed->last_us);
	listed->last_us = event->call.started_at_us;
	listed->count++;
	listed->revisions += event->revision;
	listed->cost += event->call.cost.cost_pusd < 0 ? 0 : event->call.cost.cost_pusd;
	return 0;
}

static struct listed list_of(struct query *q)
{
	struct listed listed = {0};

	assert_int_equal(query_events(q, &(struct query_filter){0}, 0, 0, list, &listed), 0);
	return listed;
}

static char *export_to(const char *path, struct query *q)
{
	struct export e = {.q = q, .filter = &(struct query_filter){0}, .stream = fopen(path, "w")};
	bool query_failed = false;
	char *text = calloc(1, 1 << 20);
	FILE *f;

	assert_non_null(e.stream);
	assert_int_equal(export_jsonl(&e, &query_failed), 0);
	fclose(e.stream);
	f = fopen(path, "r");
	assert_true(fread(text, 1, (1 << 20) - 1, f) < (1 << 20) - 1);
	fclose(f);
	return text;
}

static void file_path(char *dst, const char *name)
{
	snprintf(dst, 128, "%s/%s", base, name);
}

static void two_ledgers_give_each_event_once(void **state)
{
	struct listed listed;
	struct spend total;
	struct query *q;

	(void)state;
	at(1);
	record(5, 10);
	at(0);
	record(0, 10);
	q = open_two(dirs[1], dirs[0]);
	listed = list_of(q);
	total = total_of(q);
	assert_int_equal(listed.count, 15);
	assert_int_equal(total.calls, 15);
	assert_true(total.cost == listed.cost && total.cost == 15 * (pusd_sum)512500000);
	assert_int_equal(total.tokens[TOKEN_INPUT_UNCACHED], 1500);
	query_close(q);
}

static void the_newest_of_merged_events_are_the_latest(void **state)
{
	struct listed listed = {0};
	struct query *q;

	(void)state;
	record(10, 5);
	at(1);
	record(0, 5);
	q = open_two(dirs[0], dirs[1]);
	assert_int_equal(query_events(q, &(struct query_filter){0}, 0, 3, list, &listed), 0);
	assert_int_equal(listed.count, 3);
	assert_true(listed.last_us == SAMPLE_STARTED_US + 14);
	query_close(q);
}

static void the_highest_revision_counts(void **state)
{
	(void)state;
	record(0, 3);
	copy_ledger(0, 1);
	run_sql(1, "UPDATE calls SET cost_pusd=7,revision=2 WHERE seq=2");
	for (int first = 0; first < 2; first++) {
		struct query *q = open_two(dirs[first], dirs[!first]);
		struct listed listed = list_of(q);

		assert_int_equal(listed.count, 3);
		assert_int_equal(listed.revisions, 4);
		assert_true(listed.cost == 2 * (pusd_sum)512500000 + 7);
		assert_true(total_of(q).cost == listed.cost);
		query_close(q);
	}
}

/* Extremes of every column: what is not known, the largest, below 0, and text that needs escapes.
 */
static void record_extremes(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = 0; i < 4; i++) {
		sample_call(&call, i);
		if (i == 1) {
			call.cost.cost_pusd = call.cost.list_pusd = INT64_MAX;
			call.usage.tokens[TOKEN_OUTPUT_TEXT] = INT64_MAX - 1;
			call.workload.start_boot_ns = INT64_MAX;
			call.cost.cache_savings_pusd = INT64_MIN;
			call.summed = call.usage_conflict = call.is_on_behalf = true;
			call.on_behalf_of = call.workload;
			memcpy(call.usage.raw_json, "{\"a\":[9223372036854775807,0.10]}", 33);
			tags_set(&call.tags, SLICE("\xc3\xbc\"\\\x7f"), SLICE("\xe2\x82\xac,\"\\"),
				 TAG_BODY);
		}
		if (i == 2) {
			call.usage = (struct usage){.provider_cost_pusd = -1};
			call.cost = (struct cost){.list_pusd = -1, .cost_pusd = -1};
			call.basis = BASIS_ESTIMATED;
			call.outcome = OUTCOME_UNKNOWN;
			call.status = 0;
			call.time_to_first_token_us = -1;
			call.workload = (struct workload){0};
			call.tags.count = 0;
			*call.model = *call.service_tier = *call.session_id = '\0';
		}
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

static void assert_correction(struct query *q)
{
	struct charge_correction *corrections;
	size_t count;

	assert_int_equal(query_corrections(q, &(struct query_filter){0}, &corrections, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(corrections->seq, 2);
	assert_int_equal(corrections->at_us, 20);
	assert_int_equal(corrections->list_pusd, -5);
	assert_true(corrections->cost_pusd == INT64_MAX && !corrections->late);
	free(corrections);
}

static void a_line_read_back_is_the_row_it_was(void **state)
{
	char first[128], second[128], *before, *after;
	const char *const lines[] = {first};
	struct query *q;

	(void)state;
	file_path(first, "first.jsonl");
	file_path(second, "second.jsonl");
	record_extremes();
	run_sql(0,
		"INSERT INTO losses VALUES(3,1,2,'host_crash',4,5,6,7);"
		"INSERT INTO runs VALUES(9,'node-1',10,11);"
		"INSERT INTO periods VALUES(1,'2026-11',0,9,9,'me',NULL,NULL,0,0,0,0,0,'','');"
		"INSERT INTO corrections VALUES(4,20,1,'reprice',1,2,1,0,-5,9223372036854775807);"
		"UPDATE calls SET revision=3 WHERE seq=2");
	q = open_query();
	before = export_to(first, q);
	query_close(q);
	assert_non_null(strstr(before, "9223372036854775807"));
	assert_non_null(strstr(before, "\"record\":\"loss\""));
	assert_non_null(strstr(before, "\"record\":\"run\""));
	assert_non_null(strstr(before, "\"record\":\"correction\""));
	q = open_paths(lines, 1);
	after = export_to(second, q);
	assert_correction(q);
	query_close(q);
	assert_string_equal(before, after);
	q = open_two(dirs[0], first); /* a copy of itself */
	assert_correction(q);
	query_close(q);
	run_sql(0, "UPDATE periods SET reopened_at_us=21,reopened_by='me'");
	q = open_query();
	free(after);
	after = export_to(second, q);
	assert_null(strstr(after, "\"record\":\"correction\""));
	query_close(q);
	free(before);
	free(after);
}

static void lines_and_a_database_are_one(void **state)
{
	char path[128];
	struct query *q;

	(void)state;
	file_path(path, "a.jsonl");
	record(0, 10);
	q = open_query();
	free(export_to(path, q));
	query_close(q);
	at(1);
	record(5, 10);
	for (int i = 0; i < 2; i++) {
		q = open_two(i ? path : dirs[1], i ? dirs[1] : path);
		assert_int_equal(list_of(q).count, 15);
		assert_int_equal(total_of(q).calls, 15);
		query_close(q);
	}
}

static void older_ledgers_are_read(void **state)
{
	(void)state;
	for (int version = 1; version < SCHEMA_VERSION; version++) {
		char other[160];
		struct query *q;

		at(0);
		record(0, 4);
		downgrade(version);
		at(1);
		record(2, 4);
		snprintf(other, sizeof(other), "%s/" LEDGER_FILE, dirs[0]);
		q = open_two(other, dirs[1]); /* the file by name */
		assert_int_equal(list_of(q).count, 6);
		assert_int_equal(total_of(q).calls, 6);
		query_close(q);
		remove_tree(dirs[0]);
		remove_tree(dirs[1]);
	}
}

/* As retention does: the calls go, the roll-up stays. */
static const char forget_calls[] =
	"DELETE FROM calls;INSERT INTO meta VALUES('detail_since_us',1795392000000000)";

/* Half of the calls under a facet of equal content and another key. */
static const char two_facets[] =
	"CREATE TEMP TABLE f AS SELECT * FROM facets;UPDATE f SET id=99,key=x'00';"
	"INSERT INTO facets SELECT * FROM f;CREATE TEMP TABLE r AS SELECT * FROM rollup;"
	"UPDATE r SET "
	"facet=99,calls=2,cost_pusd_lo=2*512500000,list_cost_pusd_lo=list_cost_pusd_lo/3,"
	"cache_savings_pusd_hi=cache_savings_pusd_hi/3,cache_savings_pusd_lo=cache_savings_pusd_lo/"
	"3;"
	"INSERT INTO rollup SELECT * FROM r;"
	"UPDATE rollup SET "
	"calls=4,cost_pusd_lo=4*512500000,list_cost_pusd_lo=list_cost_pusd_lo/3*2,"
	"cache_savings_pusd_hi=cache_savings_pusd_hi/3*2,"
	"cache_savings_pusd_lo=cache_savings_pusd_lo/3*2 WHERE facet<>99";

static void double_lines(const char *path)
{
	char command[1024];

	snprintf(command, sizeof(command), "cat %s %s > %s.b && mv %s.b %s", path, path, path, path,
		 path);
	assert_int_equal(system(command), 0);
}

static void sums_stand_for_calls_that_are_gone(void **state)
{
	char path[128];
	struct query *q;
	const char *paths[1];
	char again[128];
	pusd_sum cost;

	(void)state;
	file_path(again, "again.jsonl");
	record(0, 6);
	copy_ledger(0, 1);
	run_sql(0, forget_calls);
	run_sql(0, two_facets);
	copy_ledger(0, 2);
	at(0);
	q = open_query();
	cost = total_of(q).cost;
	file_path(path, "sums.jsonl");
	free(export_to(path, q));
	query_close(q);
	assert_true(cost == 6 * (pusd_sum)512500000);

	q = open_two(dirs[0], dirs[2]); /* two copies without calls: one of them counts */
	assert_true(total_of(q).cost == cost && total_of(q).calls == 6);
	assert_int_equal(list_of(q).count, 0);
	query_close(q);
	for (int i = 0; i < 2; i++) { /* the other copy still has the calls */
		q = open_two(i ? path : dirs[0], dirs[1]);
		assert_true(total_of(q).cost == cost && total_of(q).calls == 6);
		assert_int_equal(list_of(q).count, 6);
		query_close(q);
	}
	/* Two facets of one content, as versions before could leave them, are told apart. */
	paths[0] = path;
	q = open_paths(paths, 1);
	free(export_to(again, q));
	query_close(q);
	q = open_two(again, again);
	assert_true(total_of(q).cost == cost && total_of(q).calls == 6);
	query_close(q);
	double_lines(path);
	q = open_two(path, path); /* a file that has every line twice, and twice */
	assert_true(total_of(q).cost == cost && total_of(q).calls == 6);
	query_close(q);
	run_sql(1, "DELETE FROM calls WHERE seq>4"); /* but fewer than the sums know of */
	q = open_two(dirs[0], dirs[1]);
	assert_true(total_of(q).cost == cost && total_of(q).calls == 6);
	query_close(q);
}

/* A backup has the calls as they were before a reprice; retention took them from the ledger since.
 */
static void sums_after_a_reprice_are_newer_than_a_copys_calls(void **state)
{
	static const char *const columns[] = {"cost_pusd", "list_cost_pusd", "cache_savings_pusd"};
	char repriced[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		record(0, 6);
		copy_ledger(0, 1);
		snprintf(repriced, sizeof(repriced), "UPDATE rollup SET %s_lo=%s_lo+7", columns[i],
			 columns[i]);
		run_sql(0, repriced);
		run_sql(0, forget_calls);
		for (int turn = 0; turn < 2; turn++) {
			struct query *live = open_paths((const char *const[]){dirs[0]}, 1);
			struct query *q = open_two(dirs[turn], dirs[!turn]);
			struct spend expected = total_of(live), total = total_of(q);

			assert_int_equal(total.calls, 6);
			assert_true(total.cost == expected.cost);
			assert_true(total.cache_savings == expected.cache_savings);
			assert_int_equal(list_of(q).count, 0);
			query_close(live);
			query_close(q);
		}
		remove_tree(dirs[0]);
		remove_tree(dirs[1]);
		at(0);
	}
}

static void another_hosts_sums_are_added(void **state)
{
	struct query *q;

	(void)state;
	record(0, 6);
	run_sql(0, forget_calls);
	at(1);
	record(100, 3);
	q = open_two(dirs[0], dirs[1]);
	assert_int_equal(total_of(q).calls, 9);
	assert_int_equal(list_of(q).count, 3);
	query_close(q);
}

static void losses_of_copies_are_counted_once(void **state)
{
	struct query_losses lost;
	struct query *q;

	(void)state;
	record(0, 1);
	run_sql(0, "INSERT INTO losses VALUES(1,1,2,'host_crash',4,5,6,1)");
	copy_ledger(0, 1);
	run_sql(1, "UPDATE losses SET calls=9,times=2");
	at(2);
	record(9, 1);
	run_sql(2, "INSERT INTO losses VALUES(1,1,2,'host_crash',100,5,6,1)");
	{
		const char *paths[] = {dirs[0], dirs[1], dirs[2]};

		q = open_paths(paths, 3);
	}
	assert_int_equal(query_losses(q, 0, 0, &lost), 0);
	assert_int_equal(lost.occasions, 3);
	assert_int_equal(lost.calls, 109);
	query_close(q);
}

static void only_the_time_asked_for_is_copied(void **state)
{
	const char *paths[2] = {dirs[0], dirs[1]};
	struct query_sources sources = {.paths = paths, .count = 2};
	struct query *q = NULL;

	(void)state;
	record(0, 3);
	at(1);
	record(3, 3);
	sources.since_us = SAMPLE_STARTED_US + 2 * SCHEMA_US_PER_HOUR;
	assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), 0);
	assert_int_equal(list_of(q).count, 0);
	query_close(q);
	sources.since_us = SAMPLE_STARTED_US + 2;
	sources.until_us = SAMPLE_STARTED_US + 4;
	assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), 0);
	assert_int_equal(list_of(q).count, 6); /* in whole hours; queries cut them */
	query_close(q);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* A good line with one thing changed, behind a good one. */
static void bad_lines_are_named(void **state)
{
	static const struct {
		const char *from, *to, *why;
	} cases[] = {
		{"\"record\":\"call\"", "\"record\":\"other\"", "newer"},
		{"\"record\":\"call\"", "\"recard\":\"call\"", "not a line of"},
		{"\"schema\":", "\"schema\":9", "newer"},
		{"\"status\":200", "\"status\":\"200\"", "status"},
		{"\"status\":200", "\"status\":2.5", "status"},
		{"\"status\":200", "\"status\":-1", "status"},
		{"\"output_text\":20", "\"output_text\":-20", "output_text"},
		{"\"cost_pusd\":512500000", "\"cost_pusd\":-1", "cost_pusd"},
		{"\"cost_pusd\":512500000", "\"cost_pusd\":99999999999999999999", "cost_pusd"},
		{"\"basis\":\"reported_usage\"", "\"basis\":\"guessed\"", "basis"},
		{"\"event_id\":\"", "\"event_id\":\"00", "event_id"},
		{"\"revision\":1", "\"revision\":0", "revision"},
		{"\"started_at_us\":", "\"started\":", "started_at_us"},
		{"\"started_at_us\":1", "\"started_at_us\":999", "year 9999"},
		{"\"key_fingerprint\":\"0badcafe\"", "\"key_fingerprint\":\"0badcafe0\"",
		 "key_fingerprint"},
		{"\"attempt\":1", "\"attempt\":", "not a whole JSON object"},
	};
	char path[128], expected[160], *good, *line;
	const char *const paths[] = {path};
	struct query_sources sources = {.paths = paths, .count = 1};
	struct query *q;

	(void)state;
	file_path(path, "bad.jsonl");
	record(0, 1);
	q = open_query();
	good = export_to(path, q);
	query_close(q);
	strchr(good, '\n')[1] = '\0'; /* the call alone */
	line = calloc(1, 1 << 16);
	snprintf(expected, sizeof(expected), "%s:2: ", path);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *at = strstr(good, cases[i].from);

		if (!at)
			fail_msg("no %s in %s", cases[i].from, good);
		snprintf(line, 1 << 16, "%s%.*s%s%s", good, (int)(at - good), good, cases[i].to,
			 at + strlen(cases[i].from));
		write_file(path, line);
		assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), -EBADMSG);
		if (strncmp(err, expected, strlen(expected)) != 0 || !strstr(err, cases[i].why))
			fail_msg("%s: %s", cases[i].to, err);
	}
	free(line);
	free(good);
}

/* What the sums of an hour cannot be. */
static void bad_sums_are_named(void **state)
{
	static const char *const parts[] = {
		"\"hour\":498702,\"facet\":1,\"calls\":0",
		"\"hour\":498702,\"facet\":1,\"calls\":-1",
		"\"hour\":498702,\"facet\":1,\"calls\":\"many\"",
		"\"hour\":498702,\"facet\":1,\"calls\":9999999999",
		"\"hour\":498702,\"facet\":1,\"calls\":1,\"output_text\":-1",
		"\"hour\":498702,\"facet\":1,\"calls\":1,\"cost_pusd_hi\":-1",
		"\"hour\":498702,\"facet\":1,\"calls\":1,\"cost_pusd_lo\":1.5",
		"\"hour\":498702,\"facet\":1,\"calls\":1,\"cost_pusd_hi\":2147483648",
		"\"hour\":498702,\"facet\":1,\"calls\":2,\"list_cost_pusd_lo\":8589934591",
		"\"hour\":498702,\"facet\":1,\"calls\":1,\"cache_savings_pusd_hi\":-2147483649",
		"\"hour\":498702,\"facet\":1,\"calls\":1,\"cache_savings_pusd_lo\":-1",
		"\"hour\":\"x\",\"facet\":1,\"calls\":1",
		"\"hour\":498702,\"calls\":1",
		"\"hour\":498702,\"facet\":1,\"calls\":1,\"basis\":\"guessed\"",
	};
	char path[128], line[512], expected[160];
	const char *const paths[] = {path};
	struct query_sources sources = {.paths = paths, .count = 1};
	struct query *q;

	(void)state;
	assert_int_equal(mkdir(dirs[0], 0700), 0);
	file_path(path, "sums.jsonl");
	snprintf(expected, sizeof(expected), "%s:1: ", path);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		snprintf(line, sizeof(line),
			 "{\"record\":\"sum\",\"schema\":4,\"ledger\":\"a\",%s}\n", parts[i]);
		write_file(path, line);
		if (query_open_many(&q, &sources, err, sizeof(err)) != -EBADMSG ||
		    strncmp(err, expected, strlen(expected)) != 0)
			fail_msg("%s: %s", parts[i], err);
	}
}

/* Sums that are each good, of one hour and facet: exact up to the bound, and refused beyond it. */
static void sums_stay_exact(void **state)
{
	static const char line[] =
		"{\"record\":\"sum\",\"schema\":4,\"ledger\":\"%c\",\"hour\":498702,\"facet\":1,"
		"\"calls\":%lld,\"cost_pusd_hi\":%lld,\"cost_pusd_lo\":%lld}\n";
	const long long half = 1LL << 29, hi = half * INT32_MAX, lo = half * UINT32_MAX;
	char path[128], text[1024];
	const char *const paths[] = {path};
	struct query_sources sources = {.paths = paths, .count = 1};
	struct query *q;
	int n;

	(void)state;
	assert_int_equal(mkdir(dirs[0], 0700), 0);
	file_path(path, "sums.jsonl");
	n = snprintf(text, sizeof(text), line, 'a', half, hi, lo);
	n += snprintf(text + n, sizeof(text) - (size_t)n, line, 'b', half, hi, lo);
	write_file(path, text);
	q = open_paths(paths, 1);
	assert_int_equal(total_of(q).calls, 1LL << 30);
	assert_true(total_of(q).cost == (pusd_sum)INT64_MAX << 30);
	query_close(q);
	snprintf(text + n, sizeof(text) - (size_t)n, line, 'c', 1LL, 0LL, 0LL);
	write_file(path, text);
	assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, "the hour 498702 since 1970"));
}

static void a_line_without_end_is_refused(void **state)
{
	char path[128], *long_line = malloc(MERGE_LINE_MAX_BYTES + 16);
	const char *const paths[] = {path};
	struct query_sources sources = {.paths = paths, .count = 1};
	struct query *q;

	(void)state;
	file_path(path, "long.jsonl");
	memset(long_line, ' ', MERGE_LINE_MAX_BYTES + 15);
	long_line[0] = '{';
	long_line[MERGE_LINE_MAX_BYTES + 15] = '\0';
	assert_int_equal(mkdir(dirs[0], 0700) < 0 && errno != EEXIST, 0);
	write_file(path, long_line);
	assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, ":1: a line of more than"));
	free(long_line);
}

static void what_cannot_be_opened_is_named(void **state)
{
	const char *many[MERGE_SOURCES_MAX + 1], *paths[2] = {dirs[0], dirs[1]};
	struct query_sources sources = {.paths = paths, .count = 2};
	char path[128];
	struct query *q;

	(void)state;
	record(0, 1);
	assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, dirs[1]));
	file_path(path, "foreign");
	write_file(path,
		   "this is text, and no ledger at all, and it is long enough to be looked at");
	paths[1] = path;
	assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, path));
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = dirs[0];
	sources = (struct query_sources){.paths = many, .count = ARRAY_LEN(many)};
	assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), -E2BIG);
}

static void an_empty_export_is_an_empty_ledger(void **state)
{
	char path[128];
	const char *const paths[] = {path};
	struct query *q;

	(void)state;
	assert_int_equal(mkdir(dirs[0], 0700), 0);
	file_path(path, "empty.jsonl");
	write_file(path, "");
	q = open_paths(paths, 1);
	assert_int_equal(total_of(q).calls, 0);
	query_close(q);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_dirs, teardown_dirs)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_ledgers_give_each_event_once),
		TEST(the_newest_of_merged_events_are_the_latest),
		TEST(the_highest_revision_counts),
		TEST(a_line_read_back_is_the_row_it_was),
		TEST(lines_and_a_database_are_one),
		TEST(older_ledgers_are_read),
		TEST(sums_stand_for_calls_that_are_gone),
		TEST(sums_after_a_reprice_are_newer_than_a_copys_calls),
		TEST(another_hosts_sums_are_added),
		TEST(losses_of_copies_are_counted_once),
		TEST(only_the_time_asked_for_is_copied),
		TEST(bad_lines_are_named),
		TEST(bad_sums_are_named),
		TEST(sums_stay_exact),
		TEST(a_line_without_end_is_refused),
		TEST(what_cannot_be_opened_is_named),
		TEST(an_empty_export_is_an_empty_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
