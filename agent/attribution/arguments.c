/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/arguments.h"

#include <errno.h>
#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define GROUPS_MAX  16
#define MATCH_LIMIT 100000 /* steps; a command line of 4 KiB needs a few thousand */
#define HEAP_KIB    256

struct argument_patterns {
	pcre2_code *code[ARGUMENT_PATTERNS_MAX];
	size_t count;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

void argument_patterns_free(struct argument_patterns *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++)
		pcre2_code_free(p->code[i]);
	pcre2_match_data_free(p->match);
	pcre2_match_context_free(p->limits);
	free(p);
}

static int compile(struct argument_patterns *p, const char *pattern, char *err, size_t err_size)
{
	PCRE2_UCHAR why[128] = "longer than a pattern may be";
	PCRE2_SIZE where = ARGUMENT_PATTERN_MAX;
	int code;

	if (strlen(pattern) <= ARGUMENT_PATTERN_MAX)
		p->code[p->count] =
			pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
				      PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &where, NULL);
	if (p->code[p->count]) {
		p->count++;
		return 0;
	}
	if (strlen(pattern) <= ARGUMENT_PATTERN_MAX)
		pcre2_get_error_message(code, why, sizeof(why));
	snprintf(err, err_size, "workload.argv: '%.60s': %s (at byte %zu)", pattern,
		 (const char *)why, where);
	return -EINVAL;
}

int argument_patterns_new(struct argument_patterns **out, char *const *patterns, size_t count,
			  char *err, size_t err_size)
{
	struct argument_patterns *p;
	int rc = 0;

	*out = NULL;
	if (count == 0)
		return 0;
	if (count > ARGUMENT_PATTERNS_MAX) {
		snprintf(err, err_size, "workload.argv: at most %d patterns",
			 ARGUMENT_PATTERNS_MAX);
		return -EINVAL;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->match = pcre2_match_data_create(GROUPS_MAX + 1, NULL);
	p->limits = pcre2_match_context_create(NULL);
	if (!p->match || !p->limits)
		rc = -ENOMEM;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = compile(p, patterns[i], err, err_size);
	if (rc) {
		argument_patterns_free(p);
		return rc;
	}
	pcre2_set_match_limit(p->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(p->limits, MATCH_LIMIT);
	pcre2_set_heap_limit(p->limits, HEAP_KIB);
	*out = p;
	return 0;
}

/* The first match of one pattern, or an empty slice. */
static struct slice match(const struct argument_patterns *p, size_t i, struct slice line)
{
	int rc = pcre2_match(p->code[i], (PCRE2_SPTR)line.ptr, line.len, 0, 0, p->match, p->limits);
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->match);
	uint32_t groups = 0;

	pcre2_pattern_info(p->code[i], PCRE2_INFO_CAPTURECOUNT, &groups);
	/* 0: more groups than there is room for, the first ones are there. */
	if (rc < 0 || (groups && rc == 1))
		return (struct slice){"", 0};
	if (groups)
		at += 2;
	/* \K may set a start behind the end (pcre2api(3)). */
	if (at[0] == PCRE2_UNSET || at[0] > at[1] || at[1] > line.len)
		return (struct slice){"", 0};
	return (struct slice){line.ptr + at[0], at[1] - at[0]};
}

void argument_patterns_read(const struct argument_patterns *p, struct slice arguments, char *dst,
			    size_t size)
{
	_cleanup_(freep) char *line = malloc(arguments.len + 1);
	size_t len = 0;

	*dst = '\0';
	if (!line)
		return;
	slice_copy(line, arguments.len + 1, arguments); /* UTF-8, and '?' for each 0 */
	for (size_t i = 0; i < arguments.len; i++)
		line[i] = arguments.ptr[i] ? line[i] : ' ';
	for (size_t i = 0; i < p->count; i++) {
		struct slice found = match(p, i, slice_trim(slice_of(line)));

		if (found.len == 0 || found.len > ARGUMENT_BYTES_MAX || found.len + 1 >= size - len)
			continue;
		if (len)
			dst[len++] = ' ';
		memcpy(dst + len, found.ptr, found.len);
		len += found.len;
		dst[len] = '\0';
	}
	explicit_bzero(line, arguments.len);
}
