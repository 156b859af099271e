/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sse/sse.h"

enum state {
	IN_FIELD,     /* the field's name, until ':' or the end of the line */
	BEFORE_VALUE, /* one space after the colon is skipped */
	IN_DATA,      /* value of `data`: handed out as it comes */
	IN_NAME,      /* value of `event`: kept */
	IN_SKIPPED,   /* comment, id, retry or unknown field: until the end of the line */
};

static const char bom_bytes[] = {'\xef', '\xbb', '\xbf'};
#define BOM_DONE sizeof(bom_bytes)

void sse_init(struct sse *s, const struct sse_ops *ops, void *user)
{
	*s = (struct sse){.ops = ops, .user = user, .state = IN_FIELD};
}

static void begin_data_line(struct sse *s)
{
	if (s->in_event) {
		s->ops->data(s->user, SLICE("\n"));
		return;
	}
	s->in_event = true;
	s->ops->begin(s->user, (struct slice){s->name, s->name_len});
}

/* The field's name is complete: what becomes of its value. */
static enum state value_state(struct sse *s)
{
	struct slice field = {s->field, s->field_len};

	if (slice_eq(field, SLICE("data"))) {
		begin_data_line(s);
		return IN_DATA;
	}
	if (slice_eq(field, SLICE("event"))) {
		s->name_len = 0;
		return IN_NAME;
	}
	return IN_SKIPPED;
}

static void end_event(struct sse *s)
{
	if (s->in_event)
		s->ops->end(s->user);
	s->in_event = false;
	s->name_len = 0;
}

static void end_line(struct sse *s)
{
	if (s->state == IN_FIELD && s->field_len == 0)
		end_event(s);
	else if (s->state == IN_FIELD || s->state == BEFORE_VALUE)
		value_state(s); /* the value is empty; the colon may be missing */
	s->state = IN_FIELD;
	s->field_len = 0;
}

/* A colon as the first byte of a line leaves an empty field name: a comment. */
static size_t eat_field(struct sse *s, struct slice bytes)
{
	char c = bytes.ptr[0];

	if (c == ':')
		s->state = BEFORE_VALUE;
	else if (s->field_len < SSE_FIELD_MAX)
		s->field[s->field_len++] = c;
	return 1;
}

static size_t eat_before_value(struct sse *s, struct slice bytes)
{
	s->state = value_state(s);
	return bytes.ptr[0] == ' ';
}

static size_t eat_data(struct sse *s, struct slice bytes)
{
	s->ops->data(s->user, bytes);
	return bytes.len;
}

static size_t eat_name(struct sse *s, struct slice bytes)
{
	if (s->name_len < SSE_NAME_MAX)
		s->name[s->name_len++] = bytes.ptr[0];
	return 1;
}

static size_t eat_skipped(struct sse *s, struct slice bytes)
{
	(void)s;
	return bytes.len;
}

static size_t (*const eaters[])(struct sse *s, struct slice bytes) = {
	[IN_FIELD] = eat_field, [BEFORE_VALUE] = eat_before_value, [IN_DATA] = eat_data,
	[IN_NAME] = eat_name,	[IN_SKIPPED] = eat_skipped,
};

/* Bytes of one line, without its end. */
static void eat_line_part(struct sse *s, struct slice bytes)
{
	while (bytes.len) {
		size_t n = eaters[s->state](s, bytes);

		bytes.ptr += n;
		bytes.len -= n;
	}
}

static size_t line_part_len(struct slice bytes)
{
	size_t n = 0;

	while (n < bytes.len && bytes.ptr[n] != '\n' && bytes.ptr[n] != '\r')
		n++;
	return n;
}

/* True while the stream may still begin with a BOM; a false start is given to the parser. */
static bool eat_bom(struct sse *s, char c)
{
	size_t matched = s->bom;

	if (c == bom_bytes[matched]) {
		s->bom++;
		return true;
	}
	s->bom = BOM_DONE;
	eat_line_part(s, (struct slice){bom_bytes, matched});
	return false;
}

void sse_feed(struct sse *s, struct slice bytes)
{
	while (bytes.len) {
		size_t n;

		if (s->bom < BOM_DONE && eat_bom(s, bytes.ptr[0])) {
			n = 1;
		} else if ((n = line_part_len(bytes))) {
			s->after_cr = false;
			eat_line_part(s, (struct slice){bytes.ptr, n});
		} else {
			if (!s->after_cr || bytes.ptr[0] == '\r')
				end_line(s);
			s->after_cr = bytes.ptr[0] == '\r';
			n = 1;
		}
		bytes.ptr += n;
		bytes.len -= n;
	}
}

void sse_eof(struct sse *s)
{
	if (s->state != IN_FIELD || s->field_len)
		end_line(s);
	end_event(s);
	s->after_cr = false;
}
