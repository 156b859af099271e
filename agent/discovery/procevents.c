/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/procevents.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECORD_MAX (64u << 10) /* perf_event_header.size is 16 bits wide */

/* The fixed parts of the records, as perf_event_open(2) lays them out behind the header. */
struct mmap2_part {
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	uint32_t major, minor;
	uint64_t inode, generation;
	uint32_t prot, flags;
};
struct comm_part {
	uint32_t pid, tid;
};
struct task_part {
	uint32_t pid, parent, tid, parent_tid;
	uint64_t time;
};
struct lost_part {
	uint64_t id, lost;
};

/* Copies the fixed part, and finds the 0-ended text behind it. */
static bool take_part(const uint8_t *body, size_t len, void *part, size_t part_size,
		      struct slice *text)
{
	const char *p = (const char *)body + part_size;

	if (len < part_size)
		return false;
	memcpy(part, body, part_size);
	if (text) {
		const char *end = memchr(p, '\0', len - part_size);

		if (!end)
			return false;
		*text = (struct slice){p, (size_t)(end - p)};
	}
	return true;
}

static bool parse_mmap2(const uint8_t *body, size_t len, struct proc_event *out)
{
	struct mmap2_part part;
	struct slice path;

	if (!take_part(body, len, &part, sizeof(part), &path) || part.inode == 0 ||
	    part.len > UINT64_MAX - part.addr || !(part.prot & PROT_EXEC))
		return false;
	*out = (struct proc_event){
		.type = PROC_EVENT_MAPPED,
		.pid = part.pid,
		.tid = part.tid,
		.start = part.addr,
		.end = part.addr + part.len,
		.inode = part.inode,
		.generation = part.generation,
		.major = part.major,
		.minor = part.minor,
		.name = path,
	};
	return true;
}

static bool parse_comm(const uint8_t *body, size_t len, bool exec, struct proc_event *out)
{
	struct comm_part part;
	struct slice comm;

	if (!take_part(body, len, &part, sizeof(part), &comm))
		return false;
	*out = (struct proc_event){
		.type = exec ? PROC_EVENT_EXEC : PROC_EVENT_RENAMED,
		.pid = part.pid,
		.tid = part.tid,
		.name = comm,
	};
	return true;
}

static bool parse_task(const uint8_t *body, size_t len, bool fork, struct proc_event *out)
{
	struct task_part part;

	if (!take_part(body, len, &part, sizeof(part), NULL) || (fork && part.pid == part.parent))
		return false;
	*out = (struct proc_event){
		.type = fork ? PROC_EVENT_FORKED : PROC_EVENT_EXITED,
		.pid = part.pid,
		.tid = part.tid,
		.parent = part.parent,
	};
	return true;
}

static bool parse_lost(const uint8_t *body, size_t len, struct proc_event *out)
{
	struct lost_part part;

	if (!take_part(body, len, &part, sizeof(part), NULL))
		return false;
	*out = (struct proc_event){.type = PROC_EVENT_LOST, .lost = part.lost};
	return true;
}

bool proc_event_parse(const void *record, size_t size, struct proc_event *out)
{
	struct perf_event_header head;
	const uint8_t *body = (const uint8_t *)record + sizeof(head);
	size_t len = size - sizeof(head);

	if (size < sizeof(head))
		return false;
	memcpy(&head, record, sizeof(head));
	if (head.size != size)
		return false;
	switch (head.type) {
	case PERF_RECORD_MMAP2:
		return !(head.misc & PERF_RECORD_MISC_MMAP_BUILD_ID) && parse_mmap2(body, len, out);
	case PERF_RECORD_COMM:
		return parse_comm(body, len, head.misc & PERF_RECORD_MISC_COMM_EXEC, out);
	case PERF_RECORD_FORK:
		return parse_task(body, len, true, out);
	case PERF_RECORD_EXIT:
		return parse_task(body, len, false, out);
	case PERF_RECORD_LOST:
		return parse_lost(body, len, out);
	default:
		return false;
	}
}

static void copy_out(const uint8_t *data, size_t size, uint64_t at, uint8_t *dst, size_t len)
{
	size_t begin = at & (size - 1);
	size_t first = len < size - begin ? len : size - begin;

	memcpy(dst, data + begin, first);
	memcpy(dst + first, data, len - first);
}

size_t proc_ring_record(const uint8_t *data, size_t size, uint64_t head, uint64_t tail,
			uint8_t *dst)
{
	struct perf_event_header record;

	if (head - tail < sizeof(record) || head - tail > size)
		return 0;
	copy_out(data, size, tail, (uint8_t *)&record, sizeof(record));
	if (record.size < sizeof(record) || record.size > head - tail)
		return 0;
	copy_out(data, size, tail, dst, record.size);
	return record.size;
}

int proc_ring_open(struct proc_ring *out, int fd)
{
	size_t bytes = (size_t)sysconf(_SC_PAGESIZE) * (1 + PROC_RING_PAGES);
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (pages == MAP_FAILED)
		return -errno;
	*out = (struct proc_ring){.pages = pages, .bytes = bytes};
	return 0;
}

void proc_ring_close(struct proc_ring *ring)
{
	if (ring->pages)
		munmap(ring->pages, ring->bytes);
	ring->pages = NULL;
}

bool proc_ring_drain(struct proc_ring *ring, bool (*event)(void *user, const struct proc_event *),
		     void *user)
{
	struct perf_event_mmap_page *control = ring->pages;
	size_t page = ring->bytes / (1 + PROC_RING_PAGES);
	const uint8_t *data = (const uint8_t *)ring->pages + page;
	uint64_t head = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = control->data_tail;
	static uint8_t record[RECORD_MAX]; /* one loop thread; too large for its stack */

	while (tail != head) {
		size_t len = proc_ring_record(data, ring->bytes - page, head, tail, record);
		struct proc_event parsed;

		/* The kernel publishes whole records only; what is none cannot be stepped over. */
		tail = len ? tail + len : head;
		__atomic_store_n(&control->data_tail, tail, __ATOMIC_RELEASE);
		if (len && proc_event_parse(record, len, &parsed) && !event(user, &parsed))
			return false;
	}
	return true;
}
