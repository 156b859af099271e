/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/procevents.h"

#include <linux/perf_event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

struct record {
	uint8_t bytes[512];
	size_t len;
};

static void put(struct record *r, const void *p, size_t n)
{
	memcpy(r->bytes + r->len, p, n);
	r->len += n;
}

static void put32(struct record *r, uint32_t v)
{
	put(r, &v, sizeof(v));
}

static void put64(struct record *r, uint64_t v)
{
	put(r, &v, sizeof(v));
}

static void begin(struct record *r, uint32_t type, uint16_t misc)
{
	struct perf_event_header head = {.type = type, .misc = misc};

	r->len = 0;
	put(r, &head, sizeof(head));
}

static void end(struct record *r)
{
	((struct perf_event_header *)r->bytes)->size = (uint16_t)r->len;
}

static void mmap2(struct record *r, uint32_t prot, uint64_t inode)
{
	begin(r, PERF_RECORD_MMAP2, 0);
	put32(r, 42);
	put32(r, 43);
	put64(r, 0x7f0000001000);
	put64(r, 0x5000);
	put64(r, 0x1000);
	put32(r, 8);
	put32(r, 1);
	put64(r, inode);
	put64(r, 99);
	put32(r, prot);
	put32(r, MAP_PRIVATE);
	put(r, "/lib/libssl.so.3\0\0\0\0\0\0\0", 24);
	end(r);
}

static void task(struct record *r, uint32_t type, uint32_t pid, uint32_t parent, uint32_t tid)
{
	begin(r, type, 0);
	put32(r, pid);
	put32(r, parent);
	put32(r, tid);
	put32(r, parent);
	put64(r, 1);
	end(r);
}

static void parses_mappings(void **state)
{
	struct proc_event e;
	struct record r;

	(void)state;
	mmap2(&r, PROT_READ | PROT_EXEC, 7);
	assert_true(proc_event_parse(r.bytes, r.len, &e));
	assert_int_equal(e.type, PROC_EVENT_MAPPED);
	assert_int_equal(e.pid, 42);
	assert_int_equal(e.start, 0x7f0000001000);
	assert_int_equal(e.end, 0x7f0000006000);
	assert_int_equal(e.major, 8);
	assert_int_equal(e.minor, 1);
	assert_int_equal(e.inode, 7);
	assert_int_equal(e.generation, 99);
	assert_true(slice_eq(e.name, SLICE("/lib/libssl.so.3")));
	mmap2(&r, PROT_READ, 7);
	assert_false(proc_event_parse(r.bytes, r.len, &e));
	mmap2(&r, PROT_EXEC, 0);
	assert_false(proc_event_parse(r.bytes, r.len, &e));
}

static void parses_tasks(void **state)
{
	struct proc_event e;
	struct record r;

	(void)state;
	begin(&r, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC);
	put32(&r, 5);
	put32(&r, 5);
	put(&r, "curl\0\0\0\0", 8);
	end(&r);
	assert_true(proc_event_parse(r.bytes, r.len, &e));
	assert_int_equal(e.type, PROC_EVENT_EXEC);
	assert_true(slice_eq(e.name, SLICE("curl")));
	((struct perf_event_header *)r.bytes)->misc = 0;
	assert_true(proc_event_parse(r.bytes, r.len, &e));
	assert_int_equal(e.type, PROC_EVENT_RENAMED);

	task(&r, PERF_RECORD_FORK, 10, 5, 10);
	assert_true(proc_event_parse(r.bytes, r.len, &e));
	assert_int_equal(e.type, PROC_EVENT_FORKED);
	assert_int_equal(e.parent, 5);
	task(&r, PERF_RECORD_FORK, 5, 5, 11);
	assert_false(proc_event_parse(r.bytes, r.len, &e)); /* a thread */
	task(&r, PERF_RECORD_EXIT, 5, 1, 11);
	assert_true(proc_event_parse(r.bytes, r.len, &e));
	assert_int_equal(e.type, PROC_EVENT_EXITED);
	assert_int_equal(e.tid, 11);

	begin(&r, PERF_RECORD_LOST, 0);
	put64(&r, 1);
	put64(&r, 17);
	end(&r);
	assert_true(proc_event_parse(r.bytes, r.len, &e));
	assert_int_equal(e.lost, 17);
}

/* Each record cut at each length: refused or whole, never read past. */
static void refuses_cut_records(void **state)
{
	struct proc_event e;
	struct record r;

	(void)state;
	mmap2(&r, PROT_EXEC, 7);
	for (size_t len = 0; len < r.len - 8; len++) {
		_cleanup_(freep) uint8_t *cut = malloc(len ? len : 1);

		if (len >= sizeof(struct perf_event_header))
			((struct perf_event_header *)r.bytes)->size = (uint16_t)len;
		memcpy(cut, r.bytes, len);
		assert_false(proc_event_parse(cut, len, &e));
	}
	task(&r, PERF_RECORD_EXIT, 5, 1, 5);
	assert_false(proc_event_parse(r.bytes, r.len - 1, &e));
}

static void reads_across_the_ring_end(void **state)
{
	uint8_t ring[256], got[512];
	struct record r;

	(void)state;
	mmap2(&r, PROT_EXEC, 7);
	for (uint64_t tail = 1ULL << 40; tail < (1ULL << 40) + sizeof(ring); tail += 8) {
		for (size_t i = 0; i < r.len; i++)
			ring[(tail + i) % sizeof(ring)] = r.bytes[i];
		assert_int_equal(proc_ring_record(ring, sizeof(ring), tail + r.len, tail, got),
				 r.len);
		assert_memory_equal(got, r.bytes, r.len);
		assert_int_equal(proc_ring_record(ring, sizeof(ring), tail + r.len - 8, tail, got),
				 0);
		assert_int_equal(proc_ring_record(ring, sizeof(ring), tail, tail, got), 0);
	}
	memset(ring, 0, sizeof(ring));
	assert_int_equal(proc_ring_record(ring, sizeof(ring), 64, 0, got), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_mappings),
		cmocka_unit_test(parses_tasks),
		cmocka_unit_test(refuses_cut_records),
		cmocka_unit_test(reads_across_the_ring_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
