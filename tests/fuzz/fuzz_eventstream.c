/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any split gives the same messages; begin, data and end come in that order; they are those of a
 * slow reading of the whole text, also behind a gap. The input is read as it is, and again with its
 * lengths made plausible and its sums made true, so that messages are reached. What a payload
 * unwraps to is what cJSON and base64 at one blow find in it.
 */
#include <cjson/cJSON.h>
#include <nettle/base64.h>
#include <zlib.h>

#include "agent/eventstream/chunk.h"
#include "agent/eventstream/eventstream.h"
#include "tests/fuzz/fuzz.h"

#define SIZE_TOP 4096 /* of inputs */

struct run {
	struct trace trace;
	bool open;
	uint64_t bytes;
};

static void trace_text(struct run *r, const char *text)
{
	must_hold(strnlen(text, EVENTSTREAM_TEXT_MAX) < EVENTSTREAM_TEXT_MAX);
	trace_event(&r->trace, 't', strlen(text));
	trace_bytes(&r->trace, text, strlen(text));
}

static void on_begin(void *user, const struct eventstream_head *head)
{
	struct run *r = user;

	must_hold(!r->open);
	r->open = true;
	trace_event(&r->trace, 'b', 0);
	trace_text(r, head->message_type);
	trace_text(r, head->event_type);
	trace_text(r, head->exception_type);
	trace_text(r, head->content_type);
}

static void on_data(void *user, struct slice piece)
{
	struct run *r = user;

	must_hold(r->open && piece.len);
	r->bytes += piece.len;
	trace_bytes(&r->trace, piece.ptr, piece.len);
}

static void on_end(void *user, bool sound)
{
	struct run *r = user;

	must_hold(r->open);
	r->open = false;
	trace_event(&r->trace, sound ? 'e' : 'u', r->bytes);
}

static void on_lost(void *user)
{
	struct run *r = user;

	must_hold(!r->open);
	trace_event(&r->trace, 'l', 0);
}

static const struct eventstream_ops ops = {
	.begin = on_begin, .data = on_data, .end = on_end, .lost = on_lost};

static struct run run(struct cutter cutter, bool gap)
{
	struct run r = {0};
	struct eventstream s;
	struct slice piece;

	eventstream_init(&s, &ops, &r);
	if (gap)
		eventstream_gap(&s);
	while (next_piece(&cutter, &piece))
		eventstream_feed(&s, piece);
	must_hold(r.bytes <= cutter.size);
	return r;
}

/* ---- the slow reading ----------------------------------------------------------------------- */

static uint32_t number(const uint8_t *p, size_t bytes)
{
	uint32_t n = 0;

	while (bytes--)
		n = n << 8 | *p++;
	return n;
}

static void put(uint8_t *p, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> (24 - 8 * i));
}

static bool is_prelude(const uint8_t *p)
{
	uint32_t total = number(p, 4), headers = number(p + 4, 4);

	return headers <= EVENTSTREAM_HEADERS_MAX && total <= EVENTSTREAM_MESSAGE_MAX &&
	       total >= headers + 16 && number(p + 8, 4) == crc32(0, p, 8);
}

static void take_text(struct eventstream_head *head, const char *name, size_t name_len,
		      const uint8_t *value, size_t len)
{
	static const char *const names[] = {":message-type", ":event-type", ":exception-type",
					    ":error-code", ":content-type"};
	char *texts[] = {head->message_type, head->event_type, head->exception_type,
			 head->exception_type, head->content_type};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (name_len != strlen(names[i]) || memcmp(name, names[i], name_len) != 0)
			continue;
		memset(texts[i], 0, EVENTSTREAM_TEXT_MAX);
		memcpy(texts[i], value,
		       len < EVENTSTREAM_TEXT_MAX ? len : EVENTSTREAM_TEXT_MAX - 1);
	}
}

/* False when the headers cannot be read. */
static bool read_headers(const uint8_t *p, const uint8_t *end, struct eventstream_head *head)
{
	static const uint8_t fixed[] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};

	while (p < end) {
		size_t name_len = *p++, len;
		const char *name = (const char *)p;
		uint8_t type;

		if (!name_len || (size_t)(end - p) < name_len + 1)
			return false;
		p += name_len;
		type = *p++;
		if (type > 9)
			return false;
		len = fixed[type];
		if (type == 6 || type == 7) {
			if (end - p < 2)
				return false;
			len = number(p, 2);
			p += 2;
		}
		if ((size_t)(end - p) < len)
			return false;
		if (type == 7)
			take_text(head, name, name_len, p, len);
		p += len;
	}
	return true;
}

/* One message at p, of which `have` bytes are there. */
static void read_message(struct run *r, const uint8_t *p, size_t have)
{
	size_t total = number(p, 4), headers = number(p + 4, 4), payload = total - headers - 16;
	struct eventstream_head head = {0};
	bool fine;

	if (have < 12 + headers)
		return;
	fine = read_headers(p + 12, p + 12 + headers, &head);
	if (!fine)
		memset(&head, 0, sizeof(head));
	on_begin(r, &head);
	if (payload > have - 12 - headers)
		payload = have - 12 - headers;
	if (fine && payload)
		on_data(r, (struct slice){(const char *)p + 12 + headers, payload});
	if (have >= total)
		on_end(r, fine && number(p + total - 4, 4) == crc32(0, p, (uInt)total - 4));
}

static struct run read_slowly(const uint8_t *p, size_t size, bool seeking)
{
	struct run r = {0};

	while (size >= 12) {
		size_t step = 1;

		if (is_prelude(p)) {
			step = number(p, 4);
			read_message(&r, p, size < step ? size : step);
			seeking = false;
		} else {
			if (!seeking)
				on_lost(&r);
			seeking = true;
		}
		if (step > size)
			break;
		p += step;
		size -= step;
	}
	return r;
}

/* Makes lengths that fit into what is there, and their sums; every seventh is left as it is. */
static void mend(uint8_t *p, size_t size)
{
	while (size >= 16) {
		size_t total = 16 + number(p, 4) % (size - 15);

		if (p[3] % 7 != 6) {
			put(p, (uint32_t)total);
			put(p + 4, number(p + 4, 4) % (uint32_t)(total - 15));
			put(p + 8, (uint32_t)crc32(0, p, 8));
		}
		if (p[11] % 7 != 6)
			put(p + total - 4, (uint32_t)crc32(0, p, (uInt)total - 4));
		p += total;
		size -= total;
	}
}

static void must_agree(const uint8_t *data, size_t size)
{
	for (int gap = 0; gap < 2; gap++) {
		struct run whole = run((struct cutter){data, size, 0, 0}, gap);
		struct run cut = run((struct cutter){data, size, 0, 1 + (uint32_t)size}, gap);
		struct run slow = read_slowly(data, size, gap);

		must_hold(trace_eq(&whole.trace, &cut.trace) && whole.open == cut.open);
		must_hold(trace_eq(&whole.trace, &slow.trace) && whole.open == slow.open);
	}
}

/* ---- payloads of chunks ---------------------------------------------------------------------- */

struct unwrapped {
	size_t len;
	char text[SIZE_TOP];
	bool sound;
};

static void on_bytes(void *user, struct slice piece)
{
	struct unwrapped *u = user;

	must_hold(piece.len && piece.len <= sizeof(u->text) - u->len);
	memcpy(u->text + u->len, piece.ptr, piece.len);
	u->len += piece.len;
}

static void unwrap(struct cutter cutter, struct unwrapped *u)
{
	struct chunk_reader *r;
	struct slice piece;

	u->len = 0;
	if (chunk_reader_new(&r, on_bytes, u))
		abort();
	while (next_piece(&cutter, &piece))
		chunk_reader_feed(r, piece);
	u->sound = chunk_reader_end(r);
	chunk_reader_free(r);
}

/* Of payloads that name "bytes" once, without escapes and the NULs that end cJSON's strings. */
static void must_unwrap_alike(const uint8_t *data, size_t size, const struct unwrapped *u)
{
	const char *end, *text = (const char *)data, *at = memmem(text, size, "\"bytes\"", 7);
	struct base64_decode_ctx ctx;
	uint8_t out[SIZE_TOP];
	size_t n = sizeof(out);
	const char *value;
	cJSON *root;

	if (!u->sound || !at || memchr(text, '\\', size) || memchr(text, '\0', size) ||
	    memmem(at + 7, (size_t)(text + size - at - 7), "\"bytes\"", 7))
		return;
	root = cJSON_ParseWithLengthOpts(text, size, &end, false);
	value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "bytes"));
	if (value) {
		base64_decode_init(&ctx);
		must_hold(base64_decode_update(&ctx, &n, out, strlen(value), value));
		must_hold(n == u->len && memcmp(out, u->text, n) == 0);
	}
	cJSON_Delete(root);
}

static void must_unwrap(const uint8_t *data, size_t size)
{
	static struct unwrapped whole, cut;

	unwrap((struct cutter){data, size, 0, 0}, &whole);
	unwrap((struct cutter){data, size, 0, 1 + (uint32_t)size}, &cut);
	must_hold(whole.sound == cut.sound && whole.len == cut.len);
	must_hold(memcmp(whole.text, cut.text, whole.len) == 0);
	must_unwrap_alike(data, size, &whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mended[SIZE_TOP];

	if (size > SIZE_TOP)
		return 0;
	must_agree(data, size);
	must_unwrap(data, size);
	memcpy(mended, data, size);
	mend(mended, size);
	must_agree(mended, size);
	return 0;
}
