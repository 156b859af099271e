/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line of a place in a price file that parsed: the tree keeps no positions, so the text is
 * walked once more, and only to say an error.
 */
#include "pricing/table.h"

#include <ctype.h>

static const char *skip_space(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* Behind a string, whose opening quote p is at. */
static const char *skip_string(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
	}
	return *p ? p + 1 : p;
}

/* Behind a value of any kind. */
static const char *skip_value(const char *p)
{
	int depth = 0;

	for (p = skip_space(p); *p; p++) {
		if (*p == '"') {
			p = skip_string(p) - 1;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			if (--depth < 0)
				return p;
		} else if (*p == ',' && depth == 0) {
			return p;
		}
	}
	return p;
}

/* The next element or member of the container that p is inside of, or NULL behind the last. */
static const char *next_item(const char *p)
{
	p = skip_space(skip_value(p));
	return *p == ',' ? skip_space(p + 1) : NULL;
}

/* The value of a member of the object at p, or NULL. */
static const char *find_member(const char *p, struct slice key)
{
	if (*p != '{')
		return NULL;
	for (p = skip_space(p + 1); p && *p == '"'; p = next_item(p)) {
		const char *end = skip_string(p);
		struct slice name = {p + 1, (size_t)(end - p) - 2};

		p = skip_space(end);
		if (*p != ':')
			return NULL;
		p = skip_space(p + 1);
		if (name.len == key.len && !memcmp(name.ptr, key.ptr, key.len))
			return p;
	}
	return NULL;
}

static const char *find_element(const char *p, unsigned long index)
{
	if (*p != '[')
		return NULL;
	for (p = skip_space(p + 1); p && index; index--)
		p = next_item(p);
	return p;
}

/* One step of a place, "key" or "[n]"; moves *place behind it and its dot or remark. */
static const char *step(const char *at, const char **place)
{
	const char *p = *place;
	size_t n = strcspn(p, "[. ");
	char *end;

	if (*p == '[') {
		at = find_element(at, strtoul(p + 1, &end, 10));
		p = *end == ']' ? end + 1 : end;
	} else {
		at = n ? find_member(at, (struct slice){p, n}) : NULL;
		p += n;
	}
	if (p[0] == ' ') /* " (provider/model)", which may hold any character */
		p = strrchr(p, ')') ? strrchr(p, ')') + 1 : "";
	*place = *p == '.' ? p + 1 : p;
	return at;
}

int place_line(const char *text, const char *place)
{
	const char *at = skip_space(text);
	int line = 1;

	while (at && *place)
		at = step(at, &place);
	for (; at && text < at; text++)
		line += *text == '\n';
	return at ? line : 0;
}
