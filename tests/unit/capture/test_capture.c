/* SPDX-License-Identifier: Apache-2.0 */
/* Records valid and invalid, and recordings: what is written is what is replayed. */
#include <setjmp.h>
#include <stdarg.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/base/counters.h"
#include "agent/capture/capture.h"
#include "agent/capture/ring.h"
#include "bpf/events.h"

struct seen {
	int opened, chunks, may_end;
	int64_t wall_minus_mono_ns;
	uint64_t next_offset;
	uint32_t want_bytes;
	bool gap;
	size_t len;
	char data[100000];
	char host[TT_HOST_MAX];
};

static void on_clock(void *user, int64_t wall_minus_mono_ns)
{
	struct seen *seen = user;

	seen->wall_minus_mono_ns = wall_minus_mono_ns;
}

static void on_open(void *user, const struct conn_open *open)
{
	struct seen *seen = user;

	seen->opened++;
	slice_copy(seen->host, sizeof(seen->host), slice_of(open->host));
}

static void on_chunk(void *user, const struct chunk *chunk)
{
	struct seen *seen = user;

	if (seen->chunks++ > 0)
		assert_int_equal(chunk->offset, seen->next_offset);
	seen->next_offset = chunk->offset + chunk->want;
	seen->want_bytes += chunk->want;
	seen->gap |= chunk->gap_before;
	assert_true(chunk->data.len <= sizeof(seen->data) - seen->len);
	memcpy(seen->data + seen->len, chunk->data.ptr, chunk->data.len);
	seen->len += chunk->data.len;
}

static void on_may_end(void *user, const struct conn_id *conn, uint64_t now_ns)
{
	struct seen *seen = user;

	(void)conn;
	(void)now_ns;
	seen->may_end++;
}

static const struct capture_ops ops = {
	.clock = on_clock,
	.opened = on_open,
	.chunk = on_chunk,
	.may_end = on_may_end,
};

/* A record of any type, with room behind a data record. */
union record {
	struct tt_rec_head head;
	struct tt_rec_open open;
	struct tt_rec_data data;
};

#define DATA_SIZE (sizeof(struct tt_rec_data) + 256)

static size_t fill(union record *r, uint32_t type)
{
	size_t size = type == TT_REC_DATA   ? DATA_SIZE
		      : type == TT_REC_OPEN ? sizeof(r->open)
					    : sizeof(r->head);

	memset(r, 0, sizeof(*r));
	r->head = (struct tt_rec_head){.type = type, .size = size, .verdict = TT_WATCHED};
	if (type == TT_REC_DATA) {
		r->data.call_len = r->data.want = r->data.len = 100;
		r->data.flags = TT_F_LAST_PIECE;
	}
	return size;
}

/* One field set to a bad value; size_change is what the caller lies about. */
struct bad {
	const char *what;
	uint32_t type;
	size_t field, width;
	uint64_t value;
	int size_change;
};

#define FIELD(part, name) \
	offsetof(struct tt_rec_##part, name), sizeof(((struct tt_rec_##part *)0)->name)

static const struct bad bads[] = {
	{"type 0", TT_REC_DATA, FIELD(head, type), 0, 0},
	{"unknown type", TT_REC_CLOSE, FIELD(head, type), 4, 0},
	{"data as open", TT_REC_DATA, FIELD(head, type), TT_REC_OPEN, 0},
	{"open as close", TT_REC_OPEN, FIELD(head, type), TT_REC_CLOSE, 0},
	{"size too small", TT_REC_DATA, FIELD(head, size), DATA_SIZE - 1, 0},
	{"size too large", TT_REC_DATA, FIELD(head, size), DATA_SIZE + 1, 0},
	{"cut short", TT_REC_CLOSE, FIELD(head, tid), 0, -8},
	{"less than a head", TT_REC_CLOSE, FIELD(head, tid), 0,
	 8 - (int)sizeof(struct tt_rec_head)},
	{"verdict", TT_REC_CLOSE, FIELD(head, verdict), TT_VERDICTS, 0},
	{"direction", TT_REC_DATA, FIELD(data, dir), TT_DIRS, 0},
	{"len beyond record", TT_REC_DATA, FIELD(data, len), 257, 0},
	{"len far beyond", TT_REC_DATA, FIELD(data, len), 0xffffffff, 0},
	{"len below want unmarked", TT_REC_DATA, FIELD(data, len), 99, 0},
	{"len above want", TT_REC_DATA, FIELD(data, want), 99, 0},
	{"no want", TT_REC_DATA, FIELD(data, want), 0, 0},
	{"want beyond call", TT_REC_DATA, FIELD(data, call_len), 99, 0},
	{"offset wraps", TT_REC_DATA, FIELD(data, offset), UINT64_MAX, 0},
	{"env too long", TT_REC_OPEN, FIELD(open, env_len), TT_ENV_MAX + 1, 0},
};

static void delivers_valid_records(void **state)
{
	union record r;
	struct seen seen = {0};

	(void)state;
	assert_true(capture_dispatch(&ops, &seen, &r, fill(&r, TT_REC_OPEN)));
	assert_true(capture_dispatch(&ops, &seen, &r, fill(&r, TT_REC_DATA)));
	assert_true(capture_dispatch(&ops, &seen, &r, fill(&r, TT_REC_CLOSE)));
	assert_int_equal(seen.opened, 1);
	assert_int_equal(seen.len, 100);
	assert_int_equal(seen.may_end, 1);
}

static void refuses_invalid_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		const struct bad *bad = &bads[i];
		uint64_t before = counter_get(COUNTER_LOST_INVALID);
		struct seen seen = {0};
		union record r;
		size_t size = fill(&r, bad->type);

		memcpy((char *)&r + bad->field, &bad->value, bad->width);
		if (bad->size_change) {
			size += bad->size_change;
			r.head.size = size;
		}
		if (capture_dispatch(&ops, &seen, &r, size))
			fail_msg("accepted: %s", bad->what);
		assert_int_equal(seen.opened + seen.chunks + seen.may_end, 0);
		assert_int_equal(counter_get(COUNTER_LOST_INVALID), before + 1);
	}
}

static void refuses_text_without_end(void **state)
{
	struct seen seen = {0};
	union record r;
	size_t size = fill(&r, TT_REC_OPEN);

	(void)state;
	memset(r.open.host, 'x', sizeof(r.open.host));
	assert_false(capture_dispatch(&ops, &seen, &r, size));
	size = fill(&r, TT_REC_OPEN);
	memset(r.open.cgroup[1], 'x', sizeof(r.open.cgroup[1]));
	assert_true(capture_dispatch(&ops, &seen, &r, size)); /* behind the first empty name */
	memset(r.open.cgroup[0], 'x', sizeof(r.open.cgroup[0]));
	assert_false(capture_dispatch(&ops, &seen, &r, size));
}

static void delivers_marked_gaps(void **state)
{
	struct seen seen = {0};
	union record r;
	size_t size = fill(&r, TT_REC_DATA);

	(void)state;
	r.data.flags |= TT_F_CUT | TT_F_GAP_BEFORE;
	r.data.len = 60;
	assert_true(capture_dispatch(&ops, &seen, &r, size));
	assert_int_equal(seen.len, 60);
	assert_int_equal(seen.want_bytes, 100);
	assert_true(seen.gap);
	r.data.offset = 100;
	r.data.flags = TT_F_COPY_FAILED;
	r.data.len = 0;
	assert_true(capture_dispatch(&ops, &seen, &r, size));
	assert_int_equal(seen.want_bytes, 200);
}

static char path[] = "/tmp/tolltap-recording-XXXXXX";

static int make_path(void **state)
{
	int fd;

	(void)state;
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	return fd < 0 || close(fd);
}

static int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

/* A body above TT_PIECE_MAX, so that it is cut into records; its last 10 bytes are a gap. */
static void replays_what_was_recorded(void **state)
{
	static char body[70000];
	struct conn_id id = {.ssl = 1, .tgid = 2, .start_boot_ns = 3};
	struct conn_open open = {.conn = id, .comm = "curl", .host = "h", .env = SLICE("A=b")};
	struct chunk chunk = {.conn = id,
			      .offset = 500,
			      .data = {body, sizeof(body)},
			      .want = sizeof(body) + 10,
			      .gap_before = true};
	struct seen seen = {0};
	struct recording *r;
	char err[200];

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = i * 31 + i / 251;
	assert_int_equal(recording_new(&r, path, -42), 0);
	recording_open(r, &open, true);
	recording_chunk(r, &chunk);
	recording_may_end(r, &id, 9);
	assert_int_equal(recording_close(r), 0);
	assert_int_equal(recording_replay(path, &ops, &seen, err, sizeof(err)), 0);
	assert_int_equal(seen.wall_minus_mono_ns, -42);
	assert_int_equal(seen.opened, 1);
	assert_string_equal(seen.host, "h");
	assert_true(seen.chunks > 2 && seen.gap);
	assert_int_equal(seen.want_bytes, sizeof(body) + 10);
	assert_int_equal(seen.len, sizeof(body));
	assert_memory_equal(seen.data, body, sizeof(body));
	assert_int_equal(seen.may_end, 1);
}

static void refuses_cut_recordings(void **state)
{
	struct conn_id id = {.ssl = 1};
	struct recording *r;
	char err[200];
	long whole;
	FILE *f;

	(void)state;
	assert_int_equal(recording_new(&r, path, 0), 0);
	recording_may_end(r, &id, 9);
	assert_int_equal(recording_close(r), 0);
	f = fopen(path, "re");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	whole = ftell(f);
	fclose(f);
	for (long cut = whole - 1; cut >= 0; cut--) {
		struct seen seen = {0};
		int rc;

		assert_int_equal(truncate(path, cut), 0);
		rc = recording_replay(path, &ops, &seen, err, sizeof(err));
		/* Cut right behind the file's head it is a recording of nothing. */
		if (cut == (long)sizeof(RECORDING_MAGIC) - 1 + 8)
			assert_int_equal(rc, 0);
		else
			assert_true(rc < 0);
		assert_int_equal(seen.may_end, 0);
	}
}

static void count_record(void *user, const void *data, size_t size)
{
	(void)data;
	assert_int_equal(size, 8);
	++*(int *)user;
}

/* What lies behind a record that is still being written waits for it, and is not told as read. */
static void a_record_being_written_holds_up_the_rest(void **state)
{
	uint64_t memory[2 * 64 / 8] = {8, 0, 8 | BPF_RINGBUF_BUSY_BIT, 0, 8, 0};
	uint64_t consumer = 0, producer = 48;
	struct ring ring = {.consumer = &consumer,
			    .producer = &producer,
			    .data = (const uint8_t *)memory,
			    .bytes = 64};
	uint64_t end = ring_end(&ring);
	int count = 0;
	bool torn;

	(void)state;
	assert_int_equal(ring_consume(&ring, 10, count_record, &count, &torn), 1);
	assert_false(ring_reached(&ring, end));
	memory[2] = 8;
	assert_int_equal(ring_consume(&ring, 10, count_record, &count, &torn), 2);
	assert_true(ring_reached(&ring, end));
	assert_false(torn);
	producer += 16;
	assert_true(ring_reached(&ring, end)); /* what came later is no part of it */
	assert_false(ring_reached(&ring, ring_end(&ring)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delivers_valid_records),
		cmocka_unit_test(refuses_invalid_records),
		cmocka_unit_test(refuses_text_without_end),
		cmocka_unit_test(delivers_marked_gaps),
		cmocka_unit_test(a_record_being_written_holds_up_the_rest),
		cmocka_unit_test_setup_teardown(replays_what_was_recorded, make_path, remove_path),
		cmocka_unit_test_setup_teardown(refuses_cut_recordings, make_path, remove_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
