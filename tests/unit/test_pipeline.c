/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of a process in a container, from chunk to row, while the test plays the courier. The
 * broker only opens /proc files of this process, and says that it is in a container.
 */
#include "agent/pipeline.h"

#include "agent/base/counters.h"
#include "agent/base/procfs.h"
#include "agent/courier/client.h"
#include "agent/exchange/privacy.h"
#include "agent/held.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ID	 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define START_NS (1000 * NSEC_PER_SEC)

struct broker {
	const char *cgroup;
};

static int text_fd(const char *text)
{
	int fd = memfd_create("cgroup", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
	return fd;
}

int broker_open_proc(struct broker *b, uint32_t pid, enum proc_file file)
{
	int fd = -ENOENT;

	(void)pid;
	if (file == PROC_CGROUP)
		return text_fd(b->cgroup);
	if (file == PROC_STAT)
		fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	return fd;
}

int broker_read_exe(struct broker *b, uint32_t pid, char *path, size_t size)
{
	(void)b;
	(void)pid;
	snprintf(path, size, "/usr/bin/app");
	return 0;
}

/* ---- the bench ------------------------------------------------------------------------------ */

#define ROWS_MAX 512

struct bench {
	struct broker broker;
	int ours, its;
	struct courier_client *client;
	struct pipeline *pipeline;
	uint64_t start_boot_ns;
	uint64_t next_ssl;
	size_t rows, asked;
	char asked_model[CALL_NAME_MAX];
	char container[ROWS_MAX][CALL_NAME_MAX];
	struct call last;
	char container_id[80];
	int open;				     /* calls that a row may come of */
	void (*more)(struct courier_answer *answer); /* that is found; NULL: nothing */
	struct slice env;			     /* of the next connection's process */
	bool minimal;
	size_t judged;
};

static void on_asked(void *user, const struct call *call, const char *model_id)
{
	struct bench *b = user;

	assert_int_equal(call->workload.pid, b->minimal ? 0 : getpid());
	assert_non_null(model_id);
	slice_copy(b->asked_model, sizeof(b->asked_model), slice_of(model_id));
	b->asked++;
}

static void on_call(void *user, const struct call *call, const char *model_id)
{
	struct bench *b = user;

	assert_true(b->rows < ROWS_MAX);
	if (call->model_requested[0]) {
		assert_true(b->asked > b->rows);
		assert_string_equal(model_id, b->asked_model);
	}
	b->last = *call;
	b->open--;
	slice_copy(b->container[b->rows++], CALL_NAME_MAX, slice_of(call->workload.container));
	slice_copy(b->container_id, sizeof(b->container_id), slice_of(call->workload.container_id));
	assert_int_equal(call->basis, BASIS_REPORTED_USAGE);
	assert_true(call->cost.cost_pusd > 0);
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	fail_msg("%s: ignored (%d)", provider, reason);
}

static void on_open(void *user, int change)
{
	struct bench *b = user;

	b->open += change;
}

static void on_judge(void *user, uint32_t tgid, uint64_t ssl, bool watch)
{
	struct bench *b = user;

	assert_int_equal(tgid, getpid());
	assert_int_equal(ssl, b->next_ssl);
	assert_false(watch);
	b->judged++;
}

static const struct pipeline_ops ops = {
	.call = on_call,
	.asked = on_asked,
	.ignored = on_ignored,
	.judge = on_judge,
	.open = on_open,
};

static uint64_t own_start_ns(void)
{
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	struct proc_stat stat;
	char text[1024];
	ssize_t n = proc_read(fd, text, sizeof(text));

	close(fd);
	assert_true(n > 0 && proc_stat_parse((struct slice){text, (size_t)n}, &stat));
	return stat.start_ticks * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

static const struct privacy *profile; /* of the next bench */

static struct bench *bench_open(const char *cgroup, bool with_courier)
{
	static struct bench b;
	struct pipeline_opts opts = {
		.ops = &ops, .user = &b, .broker = &b.broker, .privacy = profile};
	char err[CATALOG_ERROR_MAX];
	int fds[2];

	b = (struct bench){.broker.cgroup = cgroup, .start_boot_ns = own_start_ns()};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	b.ours = fds[0];
	b.its = fds[1];
	assert_int_equal(courier_client_new(&b.client, b.ours, START_NS), 0);
	opts.courier = with_courier ? b.client : NULL;
	assert_int_equal(provider_table_new(&opts.providers), 0);
	assert_int_equal(
		catalog_load(&opts.catalog, "pricing/catalog.json", NULL, err, sizeof(err)), 0);
	assert_int_equal(pipeline_new(&b.pipeline, &opts), 0);
	return &b;
}

static void bench_close(struct bench *b)
{
	pipeline_free(b->pipeline);
	courier_client_free(b->client);
	closep(&b->ours);
	closep(&b->its);
}

static void feed(struct bench *b, const struct conn_id *conn, enum chunk_dir dir, struct slice data,
		 uint64_t now_ns)
{
	const struct chunk chunk = {.conn = *conn,
				    .dir = dir,
				    .entry_ns = now_ns,
				    .now_ns = now_ns,
				    .data = data,
				    .want = (uint32_t)data.len};

	pipeline_capture_ops.chunk(b->pipeline, &chunk);
}

#define REQUEST "{\"model\":\"gpt-4o-mini\",\"messages\":[]}"
#define ANSWER                                                                \
	"{\"id\":\"c1\",\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[]," \
	"\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":500,"        \
	"\"total_tokens\":1500}}"

/* A connection of its own whose request is sent 500 ns before end_ns. */
static struct conn_id ask_at(struct bench *b, uint64_t end_ns)
{
	const struct conn_id conn = {
		.ssl = ++b->next_ssl,
		.tgid = (uint32_t)getpid(),
		.start_boot_ns = b->start_boot_ns,
	};
	const struct conn_open open = {.conn = conn,
				       .now_ns = end_ns - 1000,
				       .comm = "app",
				       .host = "api.openai.com",
				       .env = b->env};
	char text[1024];
	int n = snprintf(text, sizeof(text),
			 "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
			 "Content-Length: %zu\r\n\r\n" REQUEST,
			 sizeof(REQUEST) - 1);

	pipeline_capture_ops.opened(b->pipeline, &open);
	feed(b, &conn, CHUNK_WRITE, (struct slice){text, (size_t)n}, end_ns - 500);
	return conn;
}

static void answer_at(struct bench *b, const struct conn_id *conn, uint64_t end_ns)
{
	char text[1024];
	int n = snprintf(text, sizeof(text),
			 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n" ANSWER,
			 sizeof(ANSWER) - 1);

	feed(b, conn, CHUNK_READ, (struct slice){text, (size_t)n}, end_ns);
}

static void call_at(struct bench *b, uint64_t end_ns)
{
	const struct conn_id conn = ask_at(b, end_ns);

	answer_at(b, &conn, end_ns);
}

/* Answers what was asked; returns how much that was. */
static unsigned reply(struct bench *b, enum courier_result result, const char *name)
{
	struct courier_request request;
	struct courier_answer answer;
	char datagram[512];
	unsigned count = 0;
	ssize_t n;

	while ((n = recv(b->its, datagram, sizeof(datagram), MSG_DONTWAIT)) > 0) {
		assert_true(courier_request_read(&request, (struct slice){datagram, (size_t)n}));
		courier_answer_make(&answer, &request, result);
		courier_answer_text(&answer, COURIER_NAME, slice_of(name));
		if (b->more)
			b->more(&answer);
		assert_int_equal(send(b->its, &answer, sizeof(answer), 0), sizeof(answer));
		count++;
	}
	pipeline_courier_ready(b->pipeline);
	return count;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_row_gets_the_name_of_its_container(void **state)
{
	struct bench *b = bench_open("0::/docker/" ID "\n", true);

	(void)state;
	call_at(b, START_NS);
	assert_int_equal(b->rows, 0); /* held */
	assert_int_equal(reply(b, COURIER_FOUND, "web"), 1);
	assert_int_equal(b->rows, 1);
	assert_string_equal(b->container[0], "web");
	assert_string_equal(b->container_id, ID);
	/* From now on the name is known and nothing waits. */
	call_at(b, START_NS + NSEC_PER_SEC);
	assert_int_equal(b->rows, 2);
	assert_string_equal(b->container[1], "web");
	assert_int_equal(reply(b, COURIER_FOUND, "web"), 0);
	bench_close(b);
	assert_int_equal(b->rows, 2);
}

static void be_a_pod(struct courier_answer *answer)
{
	courier_answer_text(answer, COURIER_NAMESPACE, SLICE("shop"));
	courier_answer_text(answer, COURIER_POD, SLICE("web-1"));
	courier_answer_text(answer, COURIER_NODE, SLICE("node-7"));
	courier_answer_tag(answer, SLICE("team"), SLICE("checkout"));
	courier_answer_tag(answer, SLICE("workload"), SLICE("Deployment/web"));
}

static void check_pod(const struct call *call)
{
	assert_string_equal(call->workload.namespace_, "shop");
	assert_string_equal(call->workload.pod, "web-1");
	assert_string_equal(call->workload.container, "web");
	assert_string_equal(call->workload.node, "node-7");
	assert_int_equal(call->tags.count, 2);
	assert_string_equal(call->tags.item[0].key, "team");
	assert_string_equal(call->tags.item[0].value, "checkout");
	assert_int_equal(call->tags.item[0].source, TAG_POD);
	assert_string_equal(call->tags.item[1].value, "Deployment/web");
}

static void a_row_gets_its_pod_and_tags(void **state)
{
	struct bench *b = bench_open("0::/kubepods/pod1/" ID "\n", true);

	(void)state;
	b->more = be_a_pod;
	call_at(b, START_NS);
	assert_int_equal(reply(b, COURIER_FOUND, "web"), 1);
	assert_int_equal(b->rows, 1);
	check_pod(&b->last);
	call_at(b, START_NS + NSEC_PER_SEC); /* known by now */
	assert_int_equal(b->rows, 2);
	check_pod(&b->last);
	bench_close(b);
}

static void opt_out(struct courier_answer *answer)
{
	answer->ignored = 1;
}

static void a_container_that_opted_out_has_no_rows(void **state)
{
	struct bench *b = bench_open("0::/kubepods/pod1/" ID "\n", true);
	uint64_t before = counter_get(COUNTER_OPTED_OUT_CALLS);

	(void)state;
	b->more = opt_out;
	call_at(b, START_NS);
	assert_int_equal(b->open, 1);
	assert_int_equal(reply(b, COURIER_FOUND, "web"), 1);
	call_at(b, START_NS + NSEC_PER_SEC);
	assert_int_equal(b->rows, 0);
	assert_int_equal(b->open, 0); /* no row of them is missed */
	assert_int_equal(counter_get(COUNTER_OPTED_OUT_CALLS) - before, 2);
	bench_close(b);
	assert_int_equal(b->rows, 0);
}

static void a_row_without_an_answer_has_its_id_alone(void **state)
{
	struct bench *b = bench_open("0::/docker/" ID "\n", true);

	(void)state;
	call_at(b, START_NS);
	pipeline_tick(b->pipeline, START_NS + HELD_NS - NSEC_PER_MSEC);
	assert_int_equal(b->rows, 0);
	pipeline_tick(b->pipeline, START_NS + HELD_NS);
	assert_int_equal(b->rows, 1);
	assert_string_equal(b->container[0], "");
	assert_string_equal(b->container_id, ID);
	/* Given up: calls of this container do not wait again until it is asked for again. */
	pipeline_tick(b->pipeline, START_NS + COURIER_PATIENCE_NS);
	call_at(b, START_NS + COURIER_PATIENCE_NS + 1);
	assert_int_equal(b->rows, 2);
	bench_close(b);
	assert_int_equal(b->rows, 2);
}

static void an_engine_that_knows_nothing_releases_the_row(void **state)
{
	struct bench *b = bench_open("0::/docker/" ID "\n", true);

	(void)state;
	call_at(b, START_NS);
	assert_int_equal(reply(b, COURIER_UNKNOWN, ""), 1);
	assert_int_equal(b->rows, 1);
	assert_string_equal(b->container[0], "");
	assert_string_equal(b->container_id, ID);
	bench_close(b);
}

static void held_rows_are_delivered_at_the_end(void **state)
{
	struct bench *b = bench_open("0::/docker/" ID "\n", true);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		call_at(b, START_NS + i);
	assert_int_equal(b->rows, 0);
	bench_close(b);
	assert_int_equal(b->rows, 3);
}

/* A courier that says nothing while calls pour in: more than can be held, and each is one row. */
static void no_row_is_lost_to_a_silent_courier(void **state)
{
	struct bench *b = bench_open("0::/docker/" ID "\n", true);

	(void)state;
	for (unsigned i = 0; i < HELD_CALLS_MAX + 50; i++)
		call_at(b, START_NS + i);
	assert_int_equal(b->rows, 50);
	pipeline_tick(b->pipeline, START_NS + NSEC_PER_SEC);
	assert_int_equal(b->rows, HELD_CALLS_MAX + 50);
	bench_close(b);
	assert_int_equal(b->rows, HELD_CALLS_MAX + 50);
}

static void nothing_waits_where_nothing_is_asked(void **state)
{
	struct bench *b = bench_open("0::/docker/" ID "\n", false);

	(void)state;
	call_at(b, START_NS);
	assert_int_equal(b->rows, 1);
	bench_close(b);
	b = bench_open("0::/system.slice/app.service\n", true);
	call_at(b, START_NS);
	assert_int_equal(b->rows, 1);
	assert_int_equal(reply(b, COURIER_FOUND, "web"), 0);
	bench_close(b);
}

/* Rules wait for the container's name, and prices for the tags of rules. */
static void rules_see_the_name_and_prices_the_tags(void **state)
{
	static const char overrides[] =
		"{\"schema\":\"tolltap-overrides/1\",\"overrides\":[{\"provider\":\"openai\","
		"\"project\":\"shop\",\"factor\":\"0.5\"}]}";
	struct bench *b = bench_open("0::/docker/" ID "\n", true);
	char dir[] = "/tmp/tolltap-test-XXXXXX", path[64], err[1024];
	struct catalog *catalog;
	struct rules *rules;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/half.json", dir);
	file = fopen(path, "w");
	fputs(overrides, file);
	fclose(file);
	assert_int_equal(catalog_load(&catalog, "pricing/catalog.json", dir, err, sizeof(err)), 0);
	pipeline_set_catalog(b->pipeline, catalog);
	unlink(path);
	rmdir(dir);
	assert_int_equal(rules_new(&rules), 0);
	assert_int_equal(rules_begin(rules, 1, err, sizeof(err)), 0);
	assert_int_equal(rules_name(rules, "shop", err, sizeof(err)), 0);
	assert_int_equal(rules_condition(rules, "container", err, sizeof(err)), 0);
	assert_int_equal(rules_pattern(rules, "prefix", "web", err, sizeof(err)), 0);
	assert_int_equal(rules_tag(rules, "project", "shop", TAG_RULE, err, sizeof(err)), 0);
	assert_int_equal(rules_end(rules, err, sizeof(err)), 0);
	pipeline_set_rules(b->pipeline, rules);
	call_at(b, START_NS);
	assert_int_equal(reply(b, COURIER_FOUND, "web-1"), 1);
	assert_int_equal(b->rows, 1);
	assert_int_equal(b->last.tags.count, 1);
	assert_string_equal(b->last.tags.item[0].value, "shop");
	assert_int_equal(2 * b->last.cost.cost_pusd, b->last.cost.list_pusd);
	pipeline_set_rules(b->pipeline, NULL);
	call_at(b, START_NS + NSEC_PER_SEC);
	assert_int_equal(b->rows, 2);
	assert_int_equal(b->last.tags.count, 0);
	assert_int_equal(b->last.cost.cost_pusd, b->last.cost.list_pusd);
	bench_close(b);
	rules_free(rules);
}

/* Priced as any other; then who made it, and where to, is gone. */
static void a_minimal_row_has_no_workload(void **state)
{
	static const char env[] = "TOLLTAP_TAGS=team=a\0OTEL_SERVICE_NAME=api";
	struct privacy minimal;
	struct workload none = {0};
	struct bench *b;

	(void)state;
	privacy_init(&minimal, true);
	profile = &minimal;
	b = bench_open("0::/docker/" ID "\n", true);
	profile = NULL;
	b->minimal = true;
	b->env = (struct slice){env, sizeof(env)};
	call_at(b, START_NS);
	assert_int_equal(reply(b, COURIER_FOUND, "web"), 1);
	assert_int_equal(b->rows, 1);
	bench_close(b);
	assert_memory_equal(&b->last.workload, &none, sizeof(none));
	assert_string_equal(b->last.host, "");
	assert_string_equal(b->last.response_id, "");
	assert_int_equal(b->last.tags.count, 1);
	assert_string_equal(b->last.tags.item[0].value, "a");
	assert_string_equal(b->last.model, "gpt-4o-mini-2024-07-18");
	assert_string_equal(b->last.provider, "openai");
	assert_int_equal(b->last.usage.tokens[TOKEN_INPUT_UNCACHED], 1000);
	assert_int_equal(b->last.duration_us, 0);
	assert_string_equal(b->last.operation, "chat");
}

/* Nothing of it is parsed, whatever it sends; it is one process, however often it calls. */
static void a_process_may_opt_out(void **state)
{
	static const struct {
		const char *env;
		size_t len;
		bool out;
	} cases[] = {
		{"TOLLTAP_IGNORE=1", 17, true},
		{"A=1\0TOLLTAP_IGNORE=1", 21, true},
		{"TOLLTAP_IGNORE=0\0TOLLTAP_IGNORE=1", 34, false},
		{"TOLLTAP_IGNORE=", 16, false},
		{"TOLLTAP_IGNORE=1x", 18, false},
		{"XTOLLTAP_IGNORE=1", 18, false},
		{"TOLLTAP_IGNORE=1", 16, false}, /* cut */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bench *b = bench_open("0::/system.slice/app.service\n", false);
		uint64_t processes = counter_get(COUNTER_OPTED_OUT_PROCESSES);
		uint64_t conns = counter_get(COUNTER_OPTED_OUT_CONNS);

		b->env = (struct slice){cases[i].env, cases[i].len};
		call_at(b, START_NS);
		call_at(b, START_NS + NSEC_PER_SEC);
		pipeline_tick(b->pipeline, START_NS + 5 * NSEC_PER_SEC);
		bench_close(b);
		assert_int_equal(b->rows, cases[i].out ? 0 : 2);
		assert_int_equal(b->judged, cases[i].out ? 2 : 0);
		assert_int_equal(counter_get(COUNTER_OPTED_OUT_PROCESSES) - processes,
				 cases[i].out);
		assert_int_equal(counter_get(COUNTER_OPTED_OUT_CONNS) - conns,
				 cases[i].out ? 2 : 0);
	}
}

static void check_times(const struct bench *b, size_t rows, int64_t started_us, int64_t duration_us)
{
	assert_int_equal(b->rows, rows);
	assert_int_equal(b->last.started_at_us, started_us);
	assert_int_equal(b->last.duration_us, duration_us);
}

/* Work that is read back is dated and priced by its own time; one to come is not believed. */
static void work_has_its_own_date(void **state)
{
	static const struct {
		const char *created;
		int64_t started_us; /* 0 = as it was seen */
	} rows[] = {{"1749427199", 1749427199000000},
		    {"1749427200", 1749427200000000},
		    {"1999999999", 0},
		    {"0", 0}};
	const int64_t wall_ns = 1795329195 * (int64_t)NSEC_PER_SEC;
	struct bench *b = bench_open("0::/system.slice/app.service\n", false);

	(void)state;
	pipeline_set_wall_offset(b->pipeline, wall_ns - (int64_t)START_NS);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conn_id conn = {.ssl = 100 + i,
					     .tgid = (uint32_t)getpid(),
					     .start_boot_ns = b->start_boot_ns};
		const struct conn_open open = {
			.conn = conn, .now_ns = START_NS, .comm = "app", .host = "api.openai.com"};
		char body[512], text[1024];
		int n = snprintf(
			body, sizeof(body),
			"{\"id\":\"resp_%zu\",\"object\":\"response\",\"model\":\"gpt-4o\","
			"\"created_at\":%s,\"status\":\"completed\",\"usage\":{"
			"\"input_tokens\":9,\"output_tokens\":1,\"total_tokens\":10}}",
			i, rows[i].created);

		n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
			     n, body);
		pipeline_capture_ops.opened(b->pipeline, &open);
		feed(b, &conn, CHUNK_WRITE,
		     SLICE("GET /v1/responses/resp_1 HTTP/1.1\r\nHost: api.openai.com\r\n\r\n"),
		     START_NS);
		feed(b, &conn, CHUNK_READ, (struct slice){text, (size_t)n}, START_NS);
		assert_int_equal(b->rows, i + 1);
		assert_int_equal(b->last.started_at_us,
				 rows[i].started_us ? rows[i].started_us : wall_ns / 1000);
	}
	bench_close(b);
}

/* The wall clock is set while calls are made: each has the time its clock showed, and its duration.
 */
static void the_wall_clock_may_be_set(void **state)
{
	const int64_t hour_ns = 3600 * (int64_t)NSEC_PER_SEC, wall_ns = 500000 * hour_ns;
	const int64_t asked_ns = (int64_t)START_NS - 500;
	struct bench *b = bench_open("0::/system.slice/app.service\n", false);
	const int64_t jumps[] = {0, 72 * hour_ns, -2 * hour_ns, -wall_ns};
	uint8_t event_id[16];
	struct conn_id conn;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
		pipeline_set_wall_offset(b->pipeline, wall_ns + jumps[i]);
		call_at(b, START_NS);
		check_times(b, i + 1, (asked_ns + wall_ns + jumps[i]) / 1000, 0);
	}
	/* Under way meanwhile: told in the new time, as long as it was. */
	pipeline_set_wall_offset(b->pipeline, wall_ns);
	conn = ask_at(b, START_NS);
	pipeline_set_wall_offset(b->pipeline, wall_ns - hour_ns);
	answer_at(b, &conn, START_NS + NSEC_PER_SEC);
	check_times(b, 5, (asked_ns + wall_ns - hour_ns) / 1000, 1000000);
	memcpy(event_id, b->last.event_id, sizeof(event_id));
	bench_close(b);
	/* No id comes from the wall clock: to the next reader the same bytes are the same call. */
	b = bench_open("0::/system.slice/app.service\n", false);
	b->next_ssl = ARRAY_LEN(jumps);
	call_at(b, START_NS);
	assert_memory_equal(b->last.event_id, event_id, sizeof(event_id));
	bench_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_gets_the_name_of_its_container),
		cmocka_unit_test(a_row_gets_its_pod_and_tags),
		cmocka_unit_test(a_container_that_opted_out_has_no_rows),
		cmocka_unit_test(a_row_without_an_answer_has_its_id_alone),
		cmocka_unit_test(an_engine_that_knows_nothing_releases_the_row),
		cmocka_unit_test(held_rows_are_delivered_at_the_end),
		cmocka_unit_test(no_row_is_lost_to_a_silent_courier),
		cmocka_unit_test(nothing_waits_where_nothing_is_asked),
		cmocka_unit_test(rules_see_the_name_and_prices_the_tags),
		cmocka_unit_test(a_minimal_row_has_no_workload),
		cmocka_unit_test(a_process_may_opt_out),
		cmocka_unit_test(work_has_its_own_date),
		cmocka_unit_test(the_wall_clock_may_be_set),
	};

	return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
