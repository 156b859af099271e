/* SPDX-License-Identifier: Apache-2.0 */
/* Builds AWS event streams, message by message, with true checksums. */
#ifndef TT_TEST_AWS_STREAM_H
#define TT_TEST_AWS_STREAM_H

#include <nettle/base64.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

struct stream {
	size_t len;
	char bytes[8192];
};

static inline void add(struct stream *s, const void *bytes, size_t n)
{
	assert_true(n <= sizeof(s->bytes) - s->len);
	memcpy(s->bytes + s->len, bytes, n);
	s->len += n;
}

static inline void add_number(struct stream *s, uint32_t n)
{
	const uint8_t bytes[] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				 (uint8_t)n};

	add(s, bytes, sizeof(bytes));
}

static inline void add_message(struct stream *s, const char *header, const char *type,
			       const char *payload)
{
	size_t at = s->len, n = strlen(payload), name = strlen(header), value = strlen(type);
	const uint8_t length = (uint8_t)name, tail[] = {7, 0, (uint8_t)value};

	add_number(s, (uint32_t)(16 + 1 + name + 3 + value + n));
	add_number(s, (uint32_t)(1 + name + 3 + value));
	add_number(s, (uint32_t)crc32(0, (const Bytef *)s->bytes + at, 8));
	add(s, &length, 1);
	add(s, header, name);
	add(s, tail, sizeof(tail));
	add(s, type, value);
	add(s, payload, n);
	add_number(s, (uint32_t)crc32(0, (const Bytef *)s->bytes + at, (uInt)(s->len - at)));
}

static inline void add_chunk(struct stream *s, const char *event)
{
	char payload[2048], coded[1536] = "";

	assert_true(BASE64_ENCODE_RAW_LENGTH(strlen(event)) < sizeof(coded));
	base64_encode_raw(coded, strlen(event), (const uint8_t *)event);
	snprintf(payload, sizeof(payload), "{\"bytes\":\"%s\",\"p\":\"abc\"}", coded);
	add_message(s, ":event-type", "chunk", payload);
}

#endif
