/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/raw.h"

#include <stdio.h>

#define RAW_DEPTH_MAX 16
#define DOUBLE_DIGITS 308

struct entry {
	struct slice path;
	struct slice number;
	size_t at;   /* its position in the store */
	size_t size; /* with '=' and the line end */
};

/* The entry at position `at`; false at the end. */
static bool entry_at(const struct raw_store *s, size_t at, struct entry *out)
{
	const char *line = s->text + at, *equals, *end;

	if (at >= s->used)
		return false;
	end = memchr(line, '\n', s->used - at);
	equals = memchr(line, '=', (size_t)(end - line));
	*out = (struct entry){
		.path = {line, (size_t)(equals - line)},
		.number = {equals + 1, (size_t)(end - equals - 1)},
		.at = at,
		.size = (size_t)(end - line) + 1,
	};
	return true;
}

static struct slice next_segment(struct slice *path)
{
	const char *dot = memchr(path->ptr, '.', path->len);
	struct slice segment = {path->ptr, dot ? (size_t)(dot - path->ptr) : path->len};

	path->ptr += segment.len + (dot != NULL);
	path->len -= segment.len + (dot != NULL);
	return segment;
}

static size_t count_segments(struct slice path)
{
	size_t n = 1;

	for (size_t i = 0; i < path.len; i++)
		n += path.ptr[i] == '.';
	return n;
}

static bool is_element(struct slice segment)
{
	return segment.len && segment.ptr[0] == '[';
}

/* "[12]" of a list, or a name of letters, digits and '_'. */
static bool segment_is_plain(struct slice segment)
{
	bool element = is_element(segment);

	if (element) {
		if (segment.len < 3 || segment.ptr[segment.len - 1] != ']')
			return false;
		segment.ptr++;
		segment.len -= 2;
	}
	for (size_t i = 0; i < segment.len; i++) {
		char c = segment.ptr[i];
		bool digit = c >= '0' && c <= '9';

		if (!digit &&
		    (element || (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_')))
			return false;
	}
	return segment.len > 0;
}

static bool path_is_plain(struct slice path)
{
	size_t segments = count_segments(path);

	if (segments >= RAW_DEPTH_MAX)
		return false;
	while (segments--) {
		if (!segment_is_plain(next_segment(&path)))
			return false;
	}
	return true;
}

/* The length of the leading segments that both have, and their number. */
static size_t common_segments(struct slice a, struct slice b, size_t *len)
{
	size_t n = 0;

	*len = 0;
	for (size_t i = 0; i <= a.len && i <= b.len; i++) {
		bool a_ends = i == a.len || a.ptr[i] == '.';
		bool b_ends = i == b.len || b.ptr[i] == '.';

		if (a_ends && b_ends) {
			n++;
			*len = i;
		} else if (a_ends || b_ends || a.ptr[i] != b.ptr[i]) {
			break;
		}
		if (i == a.len || i == b.len)
			break;
	}
	return n;
}

/* Where a new path goes: behind the last entry that shares most of its objects. */
static size_t insert_position(const struct raw_store *s, struct slice path)
{
	size_t best = 0, best_at = s->used, len;
	struct entry e;

	for (size_t at = 0; entry_at(s, at, &e); at += e.size) {
		size_t n = common_segments(e.path, path, &len);

		if (n && n >= best) {
			best = n;
			best_at = at + e.size;
		}
	}
	return best_at;
}

static void replace(struct raw_store *s, size_t at, size_t old_size, const char *line, size_t size)
{
	if (size > RAW_STORE_MAX - (s->used - old_size))
		return;
	memmove(s->text + at + size, s->text + at + old_size, s->used - at - old_size);
	memcpy(s->text + at, line, size);
	s->used = s->used - old_size + size;
}

/*
 * Readers of the row make an IEEE double of it (RFC 8259 6): of 1e999 some make infinity, others
 * refuse the whole row. Not exact: what has more than DOUBLE_DIGITS digits in front of the point,
 * its exponent added, is out.
 */
static bool fits_double(struct slice number)
{
	const char *p = number.ptr, *end = number.ptr + number.len;
	int whole = 0, exponent = 0;
	bool negative;

	for (; p < end && *p != 'e' && *p != 'E' && *p != '.' && whole <= DOUBLE_DIGITS; p++)
		whole++;
	while (p < end && *p != 'e' && *p != 'E')
		p++;
	p += p < end;
	negative = p < end && *p == '-';
	for (; p < end && exponent <= DOUBLE_DIGITS; p++) {
		if (*p >= '0' && *p <= '9')
			exponent = 10 * exponent + (*p - '0');
	}
	return whole <= DOUBLE_DIGITS && (negative || whole + exponent <= DOUBLE_DIGITS);
}

void raw_store_set(struct raw_store *s, struct slice path, struct slice number)
{
	char line[512];
	struct entry e;
	int n;

	if (!path_is_plain(path) || !fits_double(number))
		return;
	n = snprintf(line, sizeof(line), "%.*s=%.*s\n", SLICE_FMT(path), SLICE_FMT(number));
	if (n < 0 || (size_t)n >= sizeof(line))
		return;
	for (size_t at = 0; entry_at(s, at, &e); at += e.size) {
		if (slice_eq(e.path, path)) {
			replace(s, at, e.size, line, (size_t)n);
			return;
		}
	}
	replace(s, insert_position(s, path), 0, line, (size_t)n);
}

/* ---- rendering ------------------------------------------------------------------------------- */

struct render {
	char *dst;
	size_t size, len;
	struct slice path; /* of the entry written last */
	size_t depth;	   /* open containers below the root object */
	char closer[RAW_DEPTH_MAX];
};

static void put(struct render *r, const char *bytes, size_t n)
{
	memcpy(r->dst + r->len, bytes, n);
	r->len += n;
}

/* Room for one entry in the worst case: closers, names with quotes, brackets, all closers again. */
static bool fits(const struct render *r, const struct entry *e)
{
	return r->len + e->size + 5 * count_segments(e->path) + 2 * RAW_DEPTH_MAX < r->size;
}

/*
 * Whether the entry has a place behind those that are written. A key that came twice may be a
 * number and an object, or an object and a list: the first one stands.
 */
static bool has_place(const struct render *r, const struct entry *e, size_t shared)
{
	struct slice rest = e->path;
	bool in_list = shared && r->closer[shared - 1] == ']';

	if (shared > r->depth || shared == count_segments(e->path))
		return false;
	for (size_t i = 0; i < shared; i++)
		next_segment(&rest);
	return is_element(next_segment(&rest)) == in_list;
}

static void render_entry(struct render *r, const struct entry *e)
{
	size_t shared_len, shared = common_segments(r->path, e->path, &shared_len);
	struct slice rest = e->path;
	bool first = r->len == 1;

	if (!has_place(r, e, shared))
		return;
	while (r->depth > shared)
		put(r, &r->closer[--r->depth], 1);
	for (size_t i = 0; i < shared; i++)
		next_segment(&rest);
	for (bool opened = false; rest.len; opened = true) {
		struct slice segment = next_segment(&rest);

		if (!opened && !first)
			put(r, ",", 1);
		if (!is_element(segment)) {
			put(r, "\"", 1);
			put(r, segment.ptr, segment.len);
			put(r, "\":", 2);
		}
		if (rest.len) {
			r->closer[r->depth++] = is_element(rest) ? ']' : '}';
			put(r, is_element(rest) ? "[" : "{", 1);
		}
	}
	put(r, e->number.ptr, e->number.len);
	r->path = e->path;
}

void raw_store_render(const struct raw_store *s, char *dst, size_t size)
{
	struct render r = {.dst = dst, .size = size};
	struct entry e;

	dst[0] = '\0';
	if (!s->used)
		return;
	put(&r, "{", 1);
	for (size_t at = 0; entry_at(s, at, &e) && fits(&r, &e); at += e.size)
		render_entry(&r, &e);
	while (r.depth)
		put(&r, &r.closer[--r.depth], 1);
	put(&r, "}", 1);
	dst[r.len > 2 ? r.len : 0] = '\0';
}
