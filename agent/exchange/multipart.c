/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/multipart.h"

#include <strings.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static bool starts_with_word(struct slice text, const char *word)
{
	size_t n = strlen(word);

	return text.len >= n && strncasecmp(text.ptr, word, n) == 0;
}

/* ---- parameters of a header field ------------------------------------------------------------ */

/* Takes the text before the next ';' off *rest; a quoted one may hold any. */
static struct slice next_parameter(struct slice *rest)
{
	struct slice out = *rest;
	bool quoted = false;
	size_t i = 0;

	for (; i < rest->len && (quoted || rest->ptr[i] != ';'); i++) {
		if (quoted && rest->ptr[i] == '\\' && i + 1 < rest->len)
			i++;
		else if (rest->ptr[i] == '"')
			quoted = !quoted;
	}
	out.len = i;
	i += i < rest->len;
	rest->ptr += i;
	rest->len -= i;
	return slice_trim(out);
}

/* The value of `name=` as it stands, without its quotes; false when it is another parameter. */
static bool parameter_is(struct slice parameter, const char *name, struct slice *value)
{
	size_t n = strlen(name);

	if (!starts_with_word(parameter, name) || parameter.len == n || parameter.ptr[n] != '=')
		return false;
	*value = (struct slice){parameter.ptr + n + 1, parameter.len - n - 1};
	if (value->len >= 2 && value->ptr[0] == '"' && value->ptr[value->len - 1] == '"')
		*value = (struct slice){value->ptr + 1, value->len - 2};
	return true;
}

bool multipart_init(struct multipart *m, struct slice content_type, const struct multipart_ops *ops,
		    void *user)
{
	struct slice boundary = {NULL, 0};

	if (!content_type.len ||
	    !slice_ieq(next_parameter(&content_type), SLICE("multipart/form-data")))
		return false;
	while (content_type.len && !boundary.len)
		parameter_is(next_parameter(&content_type), "boundary", &boundary);
	if (!boundary.len || boundary.len > MULTIPART_BOUNDARY_MAX ||
	    memchr(boundary.ptr, '\r', boundary.len))
		return false;
	*m = (struct multipart){.ops = ops, .user = user, .delimiter_len = boundary.len + 4};
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, boundary.ptr, boundary.len);
	m->matched = 2; /* the first delimiter may open the body */
	return true;
}

/* ---- a part ---------------------------------------------------------------------------------- */

static void part_end(struct multipart *m)
{
	if (m->wanted)
		m->ops->field(m->user, (struct slice){m->name, m->name_len},
			      (struct slice){m->value, m->value_len});
	m->wanted = false;
	m->is_file = false;
	m->name_len = 0;
	m->value_len = 0;
	m->line_len = 0;
	m->matched = 0;
	m->state = MULTIPART_DELIMITED;
}

/* Content-Disposition: form-data; name="..."[; filename="..."] */
static void header_line(struct multipart *m)
{
	struct slice line = {m->line, m->line_len}, value;

	if (!starts_with_word(line, "content-disposition:"))
		return;
	while (line.len) {
		struct slice parameter = next_parameter(&line);

		if (parameter_is(parameter, "filename", &value) ||
		    parameter_is(parameter, "filename*", &value))
			m->is_file = true;
		else if (parameter_is(parameter, "name", &value) &&
			 value.len <= MULTIPART_NAME_MAX) {
			memcpy(m->name, value.ptr, value.len);
			m->name_len = value.len;
		}
	}
}

static void in_header(struct multipart *m, char c)
{
	if (c != '\n') {
		if (m->line_len < MULTIPART_LINE_MAX)
			m->line[m->line_len] = c;
		m->line_len += m->line_len <= MULTIPART_LINE_MAX;
		return;
	}
	if (m->line_len > MULTIPART_LINE_MAX) {
		m->is_file = true; /* it cannot be told: not taken for a field */
	} else if (m->line_len == 1 && m->line[0] == '\r') {
		m->wanted = m->name_len && !m->is_file;
		m->state = MULTIPART_BODY;
	} else {
		m->line_len -= m->line_len && m->line[m->line_len - 1] == '\r';
		header_line(m);
	}
	m->line_len = 0;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void keep(struct multipart *m, const char *bytes, size_t n)
{
	if (!m->wanted)
		return;
	if (n > MULTIPART_VALUE_MAX - m->value_len) {
		m->wanted = false;
		return;
	}
	memcpy(m->value + m->value_len, bytes, n);
	m->value_len += n;
}

/* A delimiter begins with the only CR in it, so a match that fails can begin anew only there. */
static const char *in_body(struct multipart *m, const char *p, const char *end)
{
	const char *from = p;

	if (!m->matched) {
		p = memchr(p, '\r', (size_t)(end - p));
		p = p ? p : end;
		keep(m, from, (size_t)(p - from));
		m->matched = p < end;
		return p + m->matched;
	}
	if (*p == m->delimiter[m->matched]) {
		if (++m->matched == m->delimiter_len)
			part_end(m);
		return p + 1;
	}
	keep(m, m->delimiter, m->matched);
	m->matched = 0;
	return p;
}

static enum multipart_state behind_delimiter(enum multipart_state state, char c)
{
	if (state == MULTIPART_DASH)
		return c == '-' ? MULTIPART_END : MULTIPART_BROKEN;
	if (state == MULTIPART_LINE_END)
		return c == '\n' ? MULTIPART_HEADER : MULTIPART_BROKEN;
	if (state == MULTIPART_DELIMITED && c == '-')
		return MULTIPART_DASH;
	if (c == '\r')
		return MULTIPART_LINE_END;
	return is_space(c) ? MULTIPART_PADDING : MULTIPART_BROKEN;
}

bool multipart_feed(struct multipart *m, struct slice bytes)
{
	const char *p = bytes.ptr, *end = p + bytes.len;

	while (p < end && m->state < MULTIPART_END) {
		if (m->state == MULTIPART_BODY)
			p = in_body(m, p, end);
		else if (m->state == MULTIPART_HEADER)
			in_header(m, *p++);
		else
			m->state = behind_delimiter(m->state, *p++);
	}
	return m->state < MULTIPART_END;
}
