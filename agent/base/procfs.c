/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/procfs.h"

#include <errno.h>
#include <unistd.h>

void proc_lines_init(struct proc_lines *lines, int fd)
{
	lines->fd = fd;
	lines->begin = 0;
	lines->end = 0;
	lines->skipping = false;
	lines->done = false;
}

/* Moves the rest to the front and reads on; false when nothing more comes. */
static bool lines_fill(struct proc_lines *lines)
{
	ssize_t n;

	if (lines->begin == 0 && lines->end == sizeof(lines->buf)) {
		lines->skipping = true;
		lines->end = 0;
	}
	memmove(lines->buf, lines->buf + lines->begin, lines->end - lines->begin);
	lines->end -= lines->begin;
	lines->begin = 0;
	n = proc_read(lines->fd, lines->buf + lines->end, sizeof(lines->buf) - lines->end);
	if (n <= 0)
		lines->done = true;
	else
		lines->end += (size_t)n;
	return n > 0;
}

bool proc_lines_next(struct proc_lines *lines, struct slice *line)
{
	while (!lines->done) {
		char *begin = lines->buf + lines->begin;
		char *newline = memchr(begin, '\n', lines->end - lines->begin);

		if (!newline) {
			lines_fill(lines);
			continue;
		}
		lines->begin = (size_t)(newline + 1 - lines->buf);
		if (!lines->skipping) {
			*line = (struct slice){begin, (size_t)(newline - begin)};
			return true;
		}
		lines->skipping = false;
	}
	return false;
}

ssize_t proc_read(int fd, void *dst, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)dst + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Takes a number in that base and the one byte behind it off the front of *s. */
static bool take_number(struct slice *s, unsigned base, char after, uint64_t *out)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < s->len && s->ptr[i] != after; i++) {
		char c = s->ptr[i];
		unsigned digit = c >= '0' && c <= '9'	? (unsigned)(c - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
							: 99;

		if (digit >= base || i == 20 || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	if (i == 0 || i == s->len)
		return false;
	s->ptr += i + 1;
	s->len -= i + 1;
	*out = value;
	return true;
}

bool proc_mapping_parse(struct slice line, struct proc_mapping *out)
{
	struct proc_mapping m = {0};
	uint64_t major, minor;

	if (!take_number(&line, 16, '-', &m.start) || !take_number(&line, 16, ' ', &m.end))
		return false;
	if (line.len < 5 || line.ptr[4] != ' ')
		return false;
	m.exec = line.ptr[2] == 'x';
	line.ptr += 5;
	line.len -= 5;
	if (!take_number(&line, 16, ' ', &m.offset) || !take_number(&line, 16, ':', &major) ||
	    !take_number(&line, 16, ' ', &minor) || major > UINT32_MAX || minor > UINT32_MAX ||
	    !take_number(&line, 10, ' ', &m.inode))
		return false;
	m.major = (uint32_t)major;
	m.minor = (uint32_t)minor;
	while (line.len && line.ptr[0] == ' ') {
		line.ptr++;
		line.len--;
	}
	m.path = line;
	*out = m;
	return true;
}

/* Takes the first n fields off, each ended by one space. */
static bool skip_fields(struct slice *s, int n)
{
	while (n--) {
		const char *space = memchr(s->ptr, ' ', s->len);

		if (!space)
			return false;
		s->len -= (size_t)(space + 1 - s->ptr);
		s->ptr = space + 1;
	}
	return true;
}

bool proc_stat_parse(struct slice text, struct proc_stat *out)
{
	const char *open = memchr(text.ptr, '(', text.len);
	const char *close = memrchr(text.ptr, ')', text.len); /* comm may hold any byte, ')' too */
	struct proc_stat stat = {0};
	uint64_t threads, parent;
	struct slice s;

	if (!open || !close || close < open)
		return false;
	slice_copy(stat.comm, sizeof(stat.comm),
		   (struct slice){open + 1, (size_t)(close - open - 1)});
	s = (struct slice){close + 1, (size_t)(text.ptr + text.len - close - 1)};
	if (s.len < 3)
		return false;
	stat.state = s.ptr[1];
	/* " S ppid ...": field 3 is the state, 4 the parent, 20 the threads, 22 the start, 23 the
	 * memory. */
	if (!skip_fields(&s, 2) || !take_number(&s, 10, ' ', &parent) || !skip_fields(&s, 15) ||
	    !take_number(&s, 10, ' ', &threads) || !skip_fields(&s, 1) ||
	    !take_number(&s, 10, ' ', &stat.start_ticks) ||
	    !take_number(&s, 10, ' ', &stat.memory_bytes))
		return false;
	stat.parent = parent < UINT32_MAX ? (uint32_t)parent : 0;
	stat.threads = threads < UINT32_MAX ? (uint32_t)threads : UINT32_MAX;
	*out = stat;
	return true;
}

bool proc_uid_parse(struct slice text, uint32_t *uid)
{
	uint64_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (i == 10 || text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	if (text.len == 0 || n >= UINT32_MAX)
		return false;
	*uid = (uint32_t)n;
	return true;
}

struct slice path_base(struct slice path)
{
	const char *slash = memrchr(path.ptr, '/', path.len);

	if (!slash)
		return path;
	return (struct slice){slash + 1, (size_t)(path.ptr + path.len - slash - 1)};
}

struct slice path_without_deleted(struct slice path)
{
	struct slice mark = SLICE(" (deleted)");

	if (slice_ends(path, mark))
		path.len -= mark.len;
	return path;
}
