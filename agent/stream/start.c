/* SPDX-License-Identifier: Apache-2.0 */
/* Where a message may begin: what a direction that has lost its place looks for. */
#include "agent/stream/stream.h"

static const struct slice methods[] = {
	{"POST ", 5},	{"GET ", 4},	 {"HEAD ", 5},	  {"PUT ", 4},	 {"PATCH ", 6},
	{"DELETE ", 7}, {"OPTIONS ", 8}, {"CONNECT ", 8}, {"TRACE ", 6},
};

/* What `data` has of `wanted`: all of it, a first part, or something else. */
static enum start compare_start(struct slice data, struct slice wanted)
{
	size_t n = data.len < wanted.len ? data.len : wanted.len;

	if (!n || memcmp(data.ptr, wanted.ptr, n) != 0)
		return START_NO;
	return n == wanted.len ? START_YES : START_MAYBE;
}

enum start request_start(struct slice data)
{
	enum start start = START_NO;
	const char *lf;

	for (size_t i = 0; i < ARRAY_LEN(methods) && start == START_NO; i++)
		start = compare_start(data, methods[i]);
	if (start != START_YES)
		return start;
	lf = memchr(data.ptr, '\n', data.len);
	if (!lf)
		return START_MAYBE;
	data.len = (size_t)(lf - data.ptr);
	data.len -= data.ptr[data.len - 1] == '\r';
	return slice_ends(data, SLICE(" HTTP/1.1")) || slice_ends(data, SLICE(" HTTP/1.0"))
		       ? START_YES
		       : START_NO;
}

bool conversation_start(struct slice data)
{
	return slice_starts(data, SLICE(HTTP2_PREFACE)) || request_start(data) == START_YES;
}

enum start message_start(enum chunk_dir dir, struct slice data)
{
	return dir == CHUNK_WRITE ? request_start(data) : compare_start(data, SLICE("HTTP/1."));
}
