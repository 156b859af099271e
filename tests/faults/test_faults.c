/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording becomes rows of a ledger with the 1st, 2nd, ... nth allocation failing, until none
 * fails: recording, pipeline, exchanges, decoders, attribution, prices, ledger and its writer. Each
 * run crashes nowhere and leaks nothing; a row of it is that of the run without failures, or says
 * by its basis that it is not; a row that is absent is counted, or the run says that it was
 * refused.
 */
#include "tests/faults/faults.h"
#include "tests/replay/wire.h"

#include "agent/base/counters.h"
#include "agent/base/log.h"
#include "agent/capture/capture.h"
#include "agent/pipeline.h"
#include "exporter/ledger.h"
#include "exporter/query.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CASES	       "tests/replay/cases/synthetic"
#define ROWS_MAX       16
#define PIECE	       700 /* bytes of one chunk */
#define NOW_NS	       5000000000ULL
#define OPENING_STRIDE 17 /* a ledger's tables take thousands, nearly all of SQLite's parser */

static const struct {
	const char *name;
	enum coding coding;
	size_t chunk;
} scenes[] = {
	{"chat-stream", CODING_GZIP, 100},
	{"messages-stream", CODING_BR, 300},
	{"responses", CODING_ZSTD, FRAMED_BY_LENGTH},
	{"error", CODING_NONE, FRAMED_BY_LENGTH},
	{"embeddings", CODING_NONE, FRAMED_BY_LENGTH},
	{"poll", CODING_NONE, FRAMED_BY_LENGTH},
	{"poll", CODING_NONE, FRAMED_BY_LENGTH}, /* again: no row */
};

static const char prices[] =
	"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{\"input\":"
	"\"1000000 tokens\"},\"sources\":[],\"providers\":[{\"provider\":\"openai\","
	"\"dated_suffixes\":[\"-YYYY-MM-DD\"],\"fees\":{\"web_search\":\"10\"}},{\"provider\":"
	"\"anthropic\",\"dated_suffixes\":[\"-YYYYMMDD\"]}],\"models\":["
	"{\"provider\":\"openai\",\"id\":\"gpt-4o\",\"dated\":[\"gpt-4o\"],\"periods\":[{"
	"\"prices\":"
	"{\"input\":\"2.5\",\"cache_read\":\"1.25\",\"cache_write_5m\":\"3\",\"input_audio\":"
	"\"40\",\"output_audio\":\"80\",\"output\":\"10\"}}]},"
	"{\"provider\":\"openai\",\"id\":\"gpt-5\",\"dated\":[\"gpt-5\"],\"periods\":[{\"prices\":"
	"{\"input\":\"1.25\",\"cache_read\":\"0.125\",\"cache_write_5m\":\"1.5\",\"output\":\"10\"}"
	"}]},"
	"{\"provider\":\"openai\",\"id\":\"text-embedding-3-small\",\"periods\":[{\"prices\":"
	"{\"input\":\"0.02\",\"output\":\"0\"}}]},"
	"{\"provider\":\"anthropic\",\"id\":\"claude-sonnet-4\",\"dated\":[\"claude-sonnet-4\"],"
	"\"periods\":[{\"prices\":{\"input\":\"3\",\"cache_read\":\"0.3\",\"cache_write_5m\":\"3."
	"75\","
	"\"cache_write_1h\":\"6\",\"output\":\"15\",\"web_search\":\"10\"}}]}]}";

static char top[64], recording_path[96], prices_path[96], new_dir[96], ledger_dir[96];

/* ---- the recording -------------------------------------------------------------------------- */

static void record_wire(struct recording *r, uint64_t ssl, enum chunk_dir dir,
			const struct bytes *wire)
{
	for (size_t at = 0; at < wire->len; at += PIECE) {
		size_t n = wire->len - at < PIECE ? wire->len - at : PIECE;
		struct chunk chunk = {
			.conn = {.ssl = ssl, .start_boot_ns = 7, .tgid = 42},
			.dir = dir,
			.offset = at,
			.entry_ns = NOW_NS + ssl,
			.now_ns = NOW_NS + ssl + 1000,
			.data = {wire->ptr + at, n},
			.want = (uint32_t)n,
		};

		recording_chunk(r, &chunk);
	}
}

static void record_scene(struct recording *r, size_t i)
{
	struct conn_open open = {
		.conn = {.ssl = i + 1, .start_boot_ns = 7, .tgid = 42},
		.now_ns = NOW_NS,
		.uid = 1000,
		.comm = "client",
		.host = "",
		.env = SLICE("TOLLTAP_TAGS=team=search\0OTEL_SERVICE_NAME=api\0"),
	};
	struct bytes wire;
	char path[256];
	static const struct {
		const char *head, *body;
		enum chunk_dir dir;
	} sides[] = {{"request.head", "request.body", CHUNK_WRITE},
		     {"response.head", "response.body", CHUNK_READ}};

	snprintf(path, sizeof(path), CASES "/%s", scenes[i].name);
	recording_open(r, &open, false);
	for (size_t s = 0; s < ARRAY_LEN(sides); s++) {
		struct bytes head = file_bytes(path, sides[s].head);
		struct bytes body = file_bytes(path, sides[s].body);
		bool request = sides[s].dir == CHUNK_WRITE;

		assert_non_null(head.ptr);
		bytes_add(&body, "", 0);
		wire = message(&head, &body, request ? CODING_NONE : scenes[i].coding,
			       request ? FRAMED_BY_LENGTH : scenes[i].chunk);
		record_wire(r, i + 1, sides[s].dir, &wire);
		bytes_free(&wire);
		bytes_free(&head);
		bytes_free(&body);
	}
	recording_may_end(r, &open.conn, NOW_NS + 5000);
}

static int setup(void **state)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char err[LEDGER_ERROR_MAX];
	struct ledger *ledger;
	struct recording *r;
	FILE *f;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(top, sizeof(top), "%s/tolltap-faults-XXXXXX", base);
	assert_non_null(mkdtemp(top));
	snprintf(recording_path, sizeof(recording_path), "%s/recording", top);
	snprintf(prices_path, sizeof(prices_path), "%s/prices.json", top);
	snprintf(new_dir, sizeof(new_dir), "%s/new", top);
	snprintf(ledger_dir, sizeof(ledger_dir), "%s/ledger", top);
	f = fopen(prices_path, "w");
	assert_true(f && fputs(prices, f) >= 0 && fclose(f) == 0);
	assert_int_equal(recording_new(&r, recording_path, 1000000), 0);
	for (size_t i = 0; i < ARRAY_LEN(scenes); i++)
		record_scene(r, i);
	assert_int_equal(recording_close(r), 0);
	assert_int_equal(ledger_open(&ledger, new_dir, NULL, err, sizeof(err)), 0);
	ledger_close(ledger);
	return 0;
}

static void empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		if (entry->d_type == DT_REG)
			unlinkat(dirfd(d), entry->d_name, 0);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static int teardown(void **state)
{
	(void)state;
	empty(ledger_dir);
	empty(new_dir);
	empty(top);
	return 0;
}

/* ---- one run -------------------------------------------------------------------------------- */

struct run {
	bool failed;	       /* an allocation did */
	const char *refused;   /* what could not be done, and said so; NULL = all was done */
	unsigned int rejected; /* calls that the ledger did not take, and said so */
	uint64_t told;	       /* losses counted */
	size_t rows;
	struct call row[ROWS_MAX];
};

static uint64_t losses(void)
{
	static const enum counter counted[] = {
		COUNTER_DECODE_MEMORY,	COUNTER_DECODE_HTTP1,	     COUNTER_DECODE_CODING,
		COUNTER_DECODE_JSON,	COUNTER_LEDGER_DROPPED,	     COUNTER_LEDGER_DROPPED_DISK,
		COUNTER_CONN_EVICTED,	COUNTER_CONN_EVICTED_MEMORY, COUNTER_CALLS_LOST_NOT_WRITTEN,
		COUNTER_USAGE_MISMATCH,
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(counted); i++)
		sum += counter_get(counted[i]);
	return sum;
}

struct sink {
	struct ledger *ledger;
	unsigned int rejected;
};

static void on_call(void *user, const struct call *call, const char *model_id)
{
	struct sink *sink = user;

	(void)model_id;
	if (call->usage.mismatch) /* as the metrics do */
		counter_add(COUNTER_USAGE_MISMATCH, 1);
	sink->rejected += ledger_append(sink->ledger, call) != 0;
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user, (void)provider, (void)reason;
}

static void on_judge(void *user, uint32_t tgid, uint64_t ssl, bool watch)
{
	(void)user, (void)tgid, (void)ssl, (void)watch;
}

static void on_open(void *user, int change)
{
	struct sink *sink = user;

	ledger_calls(sink->ledger, change);
}

static const struct pipeline_ops pipeline_ops = {
	.call = on_call, .ignored = on_ignored, .open = on_open, .judge = on_judge};

static int open_pipeline(struct pipeline **out, struct sink *sink, char *err, size_t err_size)
{
	struct pipeline_opts opts = {.ops = &pipeline_ops, .user = sink};
	int rc = provider_table_new(&opts.providers);

	if (!rc)
		rc = catalog_load(&opts.catalog, prices_path, NULL, err, err_size);
	if (!rc)
		rc = pipeline_new(out, &opts);
	if (rc) {
		provider_table_free(opts.providers);
		catalog_free(opts.catalog);
	}
	return rc;
}

/* What refuses, or NULL. */
static const char *replay(struct sink *sink)
{
	struct pipeline *pipeline = NULL;
	char err[512] = "";
	const char *refused = NULL;

	if (open_pipeline(&pipeline, sink, err, sizeof(err)) < 0)
		refused = "open_pipeline";
	else if (recording_replay(recording_path, &pipeline_capture_ops, pipeline, err,
				  sizeof(err)) < 0)
		refused = "recording_replay";
	pipeline_free(pipeline);
	ledger_close(sink->ledger);
	return refused;
}

static int collect(void *user, const struct event *event)
{
	struct run *run = user;

	assert_true(run->rows < ROWS_MAX);
	run->row[run->rows++] = event->call;
	return 0;
}

/* What the next run finds: the rows, and what the one before it did not make durable. */
static void read_rows(struct run *run)
{
	static const struct query_filter every = {0};
	char err[LEDGER_ERROR_MAX] = "";
	struct query_losses lost;
	struct ledger *ledger;
	struct query *q;

	if (ledger_open(&ledger, ledger_dir, NULL, err, sizeof(err)) < 0)
		fail_msg("no recovery: %s", err);
	ledger_close(ledger);
	assert_int_equal(query_open(&q, ledger_dir, err, sizeof(err)), 0);
	assert_int_equal(query_events(q, &every, 0, 0, collect, run), 0);
	assert_int_equal(query_losses(q, 0, 0, &lost), 0);
	query_close(q);
	run->told += (uint64_t)(lost.calls + lost.rows);
}

/* The empty ledger anew: to make and to open one takes most allocations of all, tested below. */
static void new_ledger(void)
{
	DIR *d = opendir(new_dir);
	struct dirent *entry;
	char path[512];

	empty(ledger_dir);
	assert_int_equal(mkdir(ledger_dir, 0750), 0);
	while (d && (entry = readdir(d))) {
		struct bytes content;
		FILE *f;

		if (entry->d_type != DT_REG)
			continue;
		content = file_bytes(new_dir, entry->d_name);
		snprintf(path, sizeof(path), "%s/%s", ledger_dir, entry->d_name);
		f = fopen(path, "wb");
		assert_true(f && fwrite(content.ptr, 1, content.len, f) == content.len);
		assert_int_equal(fclose(f), 0);
		bytes_free(&content);
	}
	closedir(d);
}

static void play(struct run *run, unsigned int n)
{
	char err[LEDGER_ERROR_MAX];
	struct sink sink = {0};
	uint64_t before = losses();

	memset(run, 0, sizeof(*run));
	new_ledger();
	assert_int_equal(ledger_open(&sink.ledger, ledger_dir, NULL, err, sizeof(err)), 0);
	faults_begin(n);
	run->refused = replay(&sink);
	run->failed = n && faults_end();
	run->rejected = sink.rejected;
	run->told = losses() - before;
	read_rows(run);
}

/* ---- what must hold ------------------------------------------------------------------------- */

static const struct call *same_event(const struct run *run, const struct call *call)
{
	for (size_t i = 0; i < run->rows; i++) {
		if (!memcmp(run->row[i].event_id, call->event_id, sizeof(call->event_id)))
			return &run->row[i];
	}
	return NULL;
}

/* The second poll counts where the first was not read. */
static const struct call *same_response(const struct run *run, const struct call *call)
{
	for (size_t i = 0; i < run->rows; i++) {
		if (!strcmp(run->row[i].response_id, call->response_id))
			return &run->row[i];
	}
	return NULL;
}

static bool same_numbers(const struct call *a, const struct call *b)
{
	return a->basis == b->basis && a->status == b->status && a->outcome == b->outcome &&
	       a->usage.known == b->usage.known &&
	       !memcmp(a->usage.tokens, b->usage.tokens, sizeof(a->usage.tokens)) &&
	       !memcmp(a->usage.tool_units, b->usage.tool_units, sizeof(a->usage.tool_units)) &&
	       a->cost.list_pusd == b->cost.list_pusd && a->cost.cost_pusd == b->cost.cost_pusd &&
	       !strcmp(a->model, b->model);
}

/* Tokens that are not all of them, or a cost that is none, under a basis that says so. */
static bool is_flagged(const struct call *call, const struct call *good)
{
	if (call->basis == BASIS_REPORTED_USAGE || call->basis == BASIS_PROVIDER_REPORTED)
		return false;
	for (int i = 0; i < TOKEN_KINDS; i++) {
		if (call->usage.known && call->usage.tokens[i] > good->usage.tokens[i])
			return false;
	}
	return call->cost.cost_pusd <= good->cost.cost_pusd;
}

/* Returns how many rows are not as they should be, all of them excused. */
static size_t check(const struct run *run, const struct run *good, unsigned int n)
{
	size_t lesser = 0, made = 0;

	for (size_t i = 0; i < run->rows; i++) {
		const struct call *call = &run->row[i], *want = same_event(good, call);

		made += want != NULL;
		if (!want)
			want = same_response(good, call);
		if (!want)
			fail_msg("allocation %u: a row that nobody made", n);
		if (same_numbers(call, want)) {
			/* The provider's own numbers may be missing as a whole. */
			if (!strcmp(call->usage.raw_json, want->usage.raw_json))
				continue;
			assert_string_equal(call->usage.raw_json, "");
		} else if (!is_flagged(call, want))
			fail_msg("allocation %u: %s %s: basis %s, cost %lld instead of %lld", n,
				 want->host, want->api, basis_names[call->basis],
				 (long long)call->cost.cost_pusd, (long long)want->cost.cost_pusd);
		lesser++;
	}
	lesser += good->rows - made;
	if (lesser && !run->refused && !run->rejected && !run->told)
		fail_msg("allocation %u: %zu rows are lost or less, and nothing counts it", n,
			 lesser);
	return lesser;
}

static void no_failing_allocation_gives_a_wrong_row(void **state)
{
	static struct run good, run;
	unsigned int n = 0, refused = 0, lossy = 0;

	(void)state;
	play(&good, 0);
	assert_null(good.refused);
	assert_int_equal(good.rows, ARRAY_LEN(scenes) - 1);
	assert_int_equal(good.told, 0);
	for (size_t i = 0; i < good.rows; i++)
		if (good.row[i].status == 200 && good.row[i].cost.cost_pusd <= 0)
			fail_msg("%s is not priced: %s", good.row[i].model,
				 unpriced_reason_names[good.row[i].cost.unpriced]);
	do {
		play(&run, ++n);
		lossy += check(&run, &good, n) > 0;
		refused += run.refused != NULL;
	} while (run.failed);
	assert_int_equal(run.rows, good.rows);
	assert_true(refused > 3 && lossy > refused + 3);
	print_message("%u allocations failed, one at a time: %u runs were refused, %u lost rows or "
		      "parts of them\n",
		      n - 1, refused, lossy - refused);
}

/* Whatever fails while a ledger is made or opened is said in a line, and the next attempt does it.
 */
static void open_with_faults(bool existing)
{
	unsigned int n = 1, refused = 0;
	bool failed;

	do {
		char err[LEDGER_ERROR_MAX] = "";
		struct ledger *ledger = NULL;
		int rc;

		if (existing)
			new_ledger();
		else
			empty(ledger_dir);
		faults_begin(n);
		rc = ledger_open(&ledger, ledger_dir, NULL, err, sizeof(err));
		failed = faults_end();
		if (rc > 0 || (rc < 0 && !err[0]))
			fail_msg("allocation %u: %d, and nothing is said", n, rc);
		refused += rc < 0;
		if (rc < 0 && ledger_open(&ledger, ledger_dir, NULL, err, sizeof(err)) < 0)
			fail_msg("allocation %u: no recovery: %s", n, err);
		ledger_close(ledger);
		n += OPENING_STRIDE;
	} while (failed);
	assert_true(refused > 0);
	print_message("of %u allocations every %dth failed: %u runs were refused\n", n,
		      OPENING_STRIDE, refused);
}

static void a_ledger_is_made_after_all(void **state)
{
	(void)state;
	open_with_faults(false);
}

static void a_ledger_is_opened_after_all(void **state)
{
	(void)state;
	open_with_faults(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_failing_allocation_gives_a_wrong_row),
		cmocka_unit_test(a_ledger_is_made_after_all),
		cmocka_unit_test(a_ledger_is_opened_after_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
