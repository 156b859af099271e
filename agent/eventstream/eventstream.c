/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/eventstream/eventstream.h"

#include <zlib.h>

enum state {
	IN_PRELUDE, /* where one must stand */
	SEEKING,    /* for the next sound one */
	IN_HEADERS,
	IN_PAYLOAD,
	IN_SUM,
};

enum part { NAME_LENGTH, NAME, TYPE, VALUE_LENGTH, VALUE };

#define TYPE_STRING 7

/* Bytes of a value by its type; those with a length of their own in front. */
static const uint8_t value_bytes[] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};

static bool has_length(uint8_t type)
{
	return type == 6 || type == TYPE_STRING;
}

void eventstream_init(struct eventstream *s, const struct eventstream_ops *ops, void *user)
{
	*s = (struct eventstream){.ops = ops, .user = user, .state = IN_PRELUDE};
}

void eventstream_gap(struct eventstream *s)
{
	s->state = SEEKING;
	s->kept = 0;
}

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t sum_of(uint32_t sum, const void *bytes, size_t n)
{
	return (uint32_t)crc32(sum, bytes, (uInt)n);
}

/* ---- headers --------------------------------------------------------------------------------- */

/* Where the value of the header that was just named goes. */
static char *text_of(struct eventstream *s)
{
	const struct {
		const char *name;
		char *text;
	} kept[] = {
		{":message-type", s->head.message_type},
		{":event-type", s->head.event_type},
		{":exception-type", s->head.exception_type},
		{":error-code", s->head.exception_type},
		{":content-type", s->head.content_type},
	};

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		if (slice_eq(slice_of(kept[i].name), (struct slice){s->name, s->name_len}))
			return kept[i].text;
	}
	return NULL;
}

static void begin_value(struct eventstream *s, uint8_t type)
{
	if (type >= ARRAY_LEN(value_bytes)) {
		s->malformed = true;
		return;
	}
	s->text = type == TYPE_STRING ? text_of(s) : NULL;
	s->text_len = 0;
	if (s->text)
		memset(s->text, 0, EVENTSTREAM_TEXT_MAX);
	s->value_left = value_bytes[type];
	s->length_left = 2;
	if (has_length(type))
		s->part = VALUE_LENGTH;
	else
		s->part = s->value_left ? VALUE : NAME_LENGTH;
}

static void value_length(struct eventstream *s, uint8_t byte)
{
	s->value_left = (uint16_t)(s->value_left << 8 | byte);
	if (--s->length_left == 0)
		s->part = s->value_left ? VALUE : NAME_LENGTH;
}

static void name_byte(struct eventstream *s, char c)
{
	if (s->name_len < EVENTSTREAM_NAME_MAX)
		s->name[s->name_len++] = c;
	if (--s->name_left == 0)
		s->part = TYPE;
}

static void header_byte(struct eventstream *s, char c)
{
	switch ((enum part)s->part) {
	case NAME_LENGTH:
		s->malformed = c == 0;
		s->name_left = (uint8_t)c;
		s->name_len = 0;
		s->part = NAME;
		break;
	case NAME:
		name_byte(s, c);
		break;
	case TYPE:
		begin_value(s, (uint8_t)c);
		break;
	case VALUE_LENGTH:
		value_length(s, (uint8_t)c);
		break;
	case VALUE:
		if (s->text && s->text_len < EVENTSTREAM_TEXT_MAX - 1)
			s->text[s->text_len++] = c;
		if (--s->value_left == 0)
			s->part = NAME_LENGTH;
		break;
	}
}

/* ---- messages -------------------------------------------------------------------------------- */

static void end_headers(struct eventstream *s)
{
	if (s->part != NAME_LENGTH)
		s->malformed = true;
	if (s->malformed)
		memset(&s->head, 0, sizeof(s->head));
	s->ops->begin(s->user, &s->head);
	s->state = s->payload_left ? IN_PAYLOAD : IN_SUM;
}

static bool is_prelude(const uint8_t window[EVENTSTREAM_PRELUDE])
{
	uint32_t total = big_endian(window), headers = big_endian(window + 4);

	return total <= EVENTSTREAM_MESSAGE_MAX && headers <= EVENTSTREAM_HEADERS_MAX &&
	       total >= EVENTSTREAM_PRELUDE + headers + EVENTSTREAM_SUM &&
	       sum_of(0, window, 8) == big_endian(window + 8);
}

static void begin_message(struct eventstream *s)
{
	uint32_t total = big_endian(s->window);

	s->headers_left = big_endian(s->window + 4);
	s->payload_left = total - EVENTSTREAM_PRELUDE - s->headers_left - EVENTSTREAM_SUM;
	s->sum = sum_of(0, s->window, EVENTSTREAM_PRELUDE);
	s->kept = 0;
	s->part = NAME_LENGTH;
	s->malformed = false;
	memset(&s->head, 0, sizeof(s->head));
	s->state = IN_HEADERS;
	if (!s->headers_left)
		end_headers(s);
}

static size_t eat_prelude(struct eventstream *s, struct slice bytes)
{
	s->window[s->kept++] = (uint8_t)bytes.ptr[0];
	if (s->kept < EVENTSTREAM_PRELUDE)
		return 1;
	if (is_prelude(s->window)) {
		begin_message(s);
		return 1;
	}
	if (s->state == IN_PRELUDE)
		s->ops->lost(s->user);
	s->state = SEEKING;
	memmove(s->window, s->window + 1, --s->kept);
	return 1;
}

static size_t eat_headers(struct eventstream *s, struct slice bytes)
{
	size_t n = bytes.len < s->headers_left ? bytes.len : s->headers_left;

	s->sum = sum_of(s->sum, bytes.ptr, n);
	for (size_t i = 0; i < n && !s->malformed; i++)
		header_byte(s, bytes.ptr[i]);
	s->headers_left -= (uint32_t)n;
	if (!s->headers_left)
		end_headers(s);
	return n;
}

static size_t eat_payload(struct eventstream *s, struct slice bytes)
{
	size_t n = bytes.len < s->payload_left ? bytes.len : s->payload_left;

	s->sum = sum_of(s->sum, bytes.ptr, n);
	if (!s->malformed)
		s->ops->data(s->user, (struct slice){bytes.ptr, n});
	s->payload_left -= (uint32_t)n;
	if (!s->payload_left)
		s->state = IN_SUM;
	return n;
}

static size_t eat_sum(struct eventstream *s, struct slice bytes)
{
	s->window[s->kept++] = (uint8_t)bytes.ptr[0];
	if (s->kept < EVENTSTREAM_SUM)
		return 1;
	s->kept = 0;
	s->state = IN_PRELUDE;
	s->ops->end(s->user, !s->malformed && big_endian(s->window) == s->sum);
	return 1;
}

void eventstream_feed(struct eventstream *s, struct slice bytes)
{
	static size_t (*const eaters[])(struct eventstream * s, struct slice bytes) = {
		[IN_PRELUDE] = eat_prelude, [SEEKING] = eat_prelude, [IN_HEADERS] = eat_headers,
		[IN_PAYLOAD] = eat_payload, [IN_SUM] = eat_sum,
	};

	while (bytes.len) {
		size_t n = eaters[s->state](s, bytes);

		bytes.ptr += n;
		bytes.len -= n;
	}
}
