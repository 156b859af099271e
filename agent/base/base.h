/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabulary every module shares: borrowed byte ranges, ownership marks and checked results.
 * Nothing here allocates, logs or knows another module.
 */
#ifndef TT_BASE_H
#define TT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TT_MUST_CHECK	    __attribute__((warn_unused_result))
#define TT_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define ARRAY_LEN(a)	    (sizeof(a) / sizeof((a)[0]))

#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL

/* A borrowed byte range: valid until the call it was passed to returns, no longer. Not 0-ended. */
struct slice {
	const char *ptr;
	size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_FMT(s)   (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *cstr)
{
	return (struct slice){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case-insensitive equality (header names, codings). */
static inline bool slice_ieq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

static inline bool slice_ends(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len &&
	       memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0;
}

/* Without leading and trailing spaces and tabs (RFC 9110 5.6.3 OWS). */
static inline struct slice slice_trim(struct slice s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
		s.ptr++;
		s.len--;
	}
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Exactly so many lower-case hex digits. */
bool slice_is_hex(struct slice s, size_t digits);

/* Length of the well-formed UTF-8 sequence (RFC 3629 section 4) s begins with, 0 if it has none. */
size_t slice_utf8_length(struct slice s);

/*
 * Copies what fits in size - 1 bytes and ends with 0. What comes from others must not steer a
 * terminal or break a reader: control characters and bytes that are no UTF-8 become '?'. Returns
 * false when the text was cut. dst is a fixed array of a record, or src itself.
 */
bool slice_copy(char *dst, size_t size, struct slice src);

/*
 * The text with %XX as the byte it stands for, into dst, whose size bounds it; what is no such code
 * stays. Not cleaned: any byte may come out. Returns dst and how much of it is used.
 */
struct slice percent_decode(char *dst, size_t size, struct slice src);

/* Scope-exit release: `_cleanup_(fclosep)` style, each module declares its own helper. */
#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Marks the escape of a value from a scope that would release it. */
#define TAKE_PTR(p)                          \
	({                                   \
		__typeof__(p) *_pp = &(p);   \
		__typeof__(p) _taken = *_pp; \
		*_pp = NULL;                 \
		_taken;                      \
	})
#define TAKE_FD(fd)                \
	({                         \
		int *_fp = &(fd);  \
		int _taken = *_fp; \
		*_fp = -1;         \
		_taken;            \
	})

void freep(void *p);  /* for _cleanup_(freep) char *x */
void closep(int *fd); /* for _cleanup_(closep) int fd = -1 */

#endif
