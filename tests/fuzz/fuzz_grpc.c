/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a gRPC call, and one protobuf message. Any split gives the same messages and the
 * same values; begin, data and end come in that order, nothing after a loss; both are those of slow
 * readings of the whole, the messages also where bytes are missing: the first byte says how it is
 * cut, the second where (in 256ths), the third how many. Every dialect of gRPC makes the same usage
 * of any split.
 */
#include "agent/decode/decode.h"
#include "agent/grpc/grpc.h"
#include "agent/grpc/protobuf.h"
#include "agent/usage/meter.h"
#include "tests/fuzz/fuzz.h"

#define SIZE_TOP 4096
#define HEAD	 3

/* ---- messages -------------------------------------------------------------------------------- */

struct run {
	struct trace trace;
	bool open, lost;
};

static void on_begin(void *user)
{
	struct run *r = user;

	must_hold(!r->open && !r->lost);
	r->open = true;
	trace_event(&r->trace, 'b', 0);
}

static void on_data(void *user, struct slice piece)
{
	struct run *r = user;

	must_hold(r->open && !r->lost && piece.len);
	trace_bytes(&r->trace, piece.ptr, piece.len);
}

static void on_end(void *user, bool sound)
{
	struct run *r = user;

	must_hold(r->open && !r->lost);
	r->open = false;
	trace_event(&r->trace, 'e', sound);
}

static void on_lost(void *user)
{
	struct run *r = user;

	must_hold(!r->open && !r->lost);
	r->lost = true;
	trace_event(&r->trace, 'l', 0);
}

static const struct grpc_ops message_ops = {
	.begin = on_begin, .data = on_data, .end = on_end, .lost = on_lost};

/* What is read, and where bytes of it are missing. */
struct stream {
	const uint8_t *data;
	size_t size;
	bool gap;
	size_t at;  /* of the gap */
	uint64_t n; /* 0: not known */
};

static void feed(struct grpc *g, const uint8_t *data, size_t size, uint32_t seed)
{
	struct cutter cutter = {data, size, 0, seed};
	struct slice piece;

	while (next_piece(&cutter, &piece))
		grpc_feed(g, piece);
}

static struct run run(const struct stream *s, uint32_t seed)
{
	size_t before = s->gap ? s->at : s->size;
	struct run r = {0};
	struct grpc g;

	grpc_init(&g, &message_ops, &r);
	feed(&g, s->data, before, seed);
	if (s->gap)
		grpc_gap(&g, s->n);
	feed(&g, s->data + before, s->size - before, seed);
	must_hold(grpc_memory(&g) < 64u << 20);
	grpc_free(&g);
	return r;
}

static void pass(void *user, struct slice piece)
{
	on_data(user, piece);
}

/* The bytes of a message that are there, at one blow; false when its coding is broken. */
static bool tell_bytes(struct run *r, bool coded, struct slice bytes)
{
	struct decode *d;
	bool sound;

	if (!bytes.len)
		return true;
	if (!coded) {
		on_data(r, bytes);
		return true;
	}
	if (decode_new(&d, bytes.ptr[0] == 0x1f ? SLICE("gzip") : SLICE("deflate"), pass, r))
		abort();
	sound = decode_feed(d, bytes) == DECODE_OK;
	decode_free(d);
	return sound;
}

/* Where the stream's `len` bytes at `at` end, as if nothing were missing. */
static struct run read_slowly(const struct stream *s)
{
	size_t at = 0, size = s->gap ? s->at : s->size; /* what is there in a row */
	struct run r = {0};

	while (size - at >= GRPC_PREFIX) {
		const uint8_t *p = s->data + at;
		uint64_t len =
			(uint64_t)p[1] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 8 | p[4];
		uint64_t here = size - at - GRPC_PREFIX < len ? size - at - GRPC_PREFIX : len;
		uint64_t rest = len - here;
		bool sound;

		if (p[0] > 1 || len > GRPC_MESSAGE_MAX) {
			on_lost(&r);
			return r;
		}
		on_begin(&r);
		sound = tell_bytes(&r, p[0], (struct slice){(const char *)p + GRPC_PREFIX, here});
		at += GRPC_PREFIX + here;
		if (rest && size == s->size)
			return r;
		if (rest && (!s->n || s->n > rest || s->size - size < rest - s->n))
			return r;
		if (rest) { /* the gap lies within, and its end is there */
			sound = false;
			at = size + (rest - s->n);
			size = s->size;
		}
		on_end(&r, sound);
	}
	return r;
}

static void must_frame_alike(const struct stream *s, uint32_t seed)
{
	struct run whole = run(s, 0), cut = run(s, seed), slow = read_slowly(s);

	must_hold(trace_eq(&whole.trace, &cut.trace) && whole.open == cut.open);
	must_hold(trace_eq(&whole.trace, &slow.trace) && whole.open == slow.open);
}

/* ---- values ---------------------------------------------------------------------------------- */

static const char *const wanted[] = {"1",   "2{}",   "2.1",  "2.2{}", "2.2.1#",
				     "3[]", "4.5.6", "15{}", "16"};

static void on_value(void *user, const struct json_value *v)
{
	must_hold(v->path < ARRAY_LEN(wanted) && v->text.len <= PROTOBUF_TEXT_MAX);
	trace_event(user, v->type == JSON_STRING ? 's' : 'n', v->path);
	trace_event(user, v->cut ? 'c' : 'w', v->text_len);
	trace_bytes(user, v->text.ptr, v->text.len);
}

static void on_object(void *user, size_t path, bool begin)
{
	must_hold(path < ARRAY_LEN(wanted));
	trace_event(user, begin ? '(' : ')', path);
}

static const struct json_ops value_ops = {.value = on_value, .object = on_object};

static struct trace scan(struct cutter cutter, bool *sound)
{
	struct json_paths *paths;
	struct protobuf_scan *s;
	struct trace trace = {0};
	struct slice piece;

	if (json_paths_new(&paths, wanted, ARRAY_LEN(wanted)) ||
	    protobuf_scan_new(&s, paths, &value_ops, &trace))
		abort();
	while (next_piece(&cutter, &piece))
		protobuf_scan_feed(s, piece);
	*sound = protobuf_scan_end(s);
	protobuf_scan_free(s);
	json_paths_free(paths);
	return trace;
}

/* A slow reading: messages within messages by calls within calls. */
struct reader {
	const uint8_t *data;
	size_t size, at;
	struct trace trace;
};

static bool read_varint(struct reader *r, uint64_t end, uint64_t *out)
{
	__uint128_t value = 0;

	for (int i = 0; i < 10; i++) {
		uint8_t b;

		if (r->at == r->size || r->at == end)
			return false;
		b = r->data[r->at++];
		value |= (__uint128_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80)) {
			*out = (uint64_t)value;
			return value >> 64 == 0;
		}
	}
	return false;
}

/* The wanted path of this name with that ending, or -1. */
static int path_of(const char *name, const char *ending)
{
	char path[64];

	snprintf(path, sizeof(path), "%s%s", name, ending);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		if (strcmp(wanted[i], path) == 0)
			return (int)i;
	}
	return -1;
}

static bool is_within(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		if (strncmp(wanted[i], name, n) == 0 && wanted[i][n] == '.')
			return true;
	}
	return false;
}

static void tell_number(struct reader *r, const char *name, uint64_t number)
{
	static const char *const endings[] = {"[]", "", "#"};
	char digits[24];
	int path = -1, n = snprintf(digits, sizeof(digits), "%lld", (long long)number);
	struct json_value v = {.type = JSON_NUMBER, .text = {digits, (size_t)n}};

	for (size_t i = 0; i < ARRAY_LEN(endings) && path < 0; i++)
		path = path_of(name, endings[i]);
	v.path = (size_t)path;
	if (path >= 0)
		on_value(&r->trace, &v);
}

static bool read_packed(struct reader *r, const char *name, uint64_t end)
{
	while (r->at < end) {
		uint64_t number;

		if (!read_varint(r, end, &number))
			return false;
		tell_number(r, name, number);
	}
	return true;
}

static bool read_text(struct reader *r, const char *name, uint64_t len)
{
	int path = path_of(name, ""), measured = path_of(name, "#");
	struct slice text = {(const char *)r->data + r->at,
			     len < PROTOBUF_TEXT_MAX ? len : PROTOBUF_TEXT_MAX};
	struct json_value v = {.type = JSON_STRING, .text_len = len};

	if (len > r->size - r->at)
		return false;
	r->at += len;
	if (measured < 0) {
		v.text = text;
		v.cut = len > PROTOBUF_TEXT_MAX;
	}
	v.path = (size_t)(measured < 0 ? path : measured);
	if (path >= 0 || measured >= 0)
		on_value(&r->trace, &v);
	return true;
}

static bool read_fields(struct reader *r, const char *prefix, uint64_t end);

static bool read_bytes(struct reader *r, const char *name, uint64_t end)
{
	int object = path_of(name, "{}");
	uint64_t len;

	if (!read_varint(r, end, &len) || len > INT32_MAX || len > end - r->at)
		return false;
	if (path_of(name, "[]") >= 0)
		return read_packed(r, name, r->at + len);
	if (object < 0 && !is_within(name))
		return read_text(r, name, len);
	if (object >= 0)
		on_object(&r->trace, (size_t)object, true);
	if (!read_fields(r, name, r->at + len))
		return false;
	if (object >= 0)
		on_object(&r->trace, (size_t)object, false);
	return true;
}

static bool read_field(struct reader *r, const char *prefix, uint64_t end)
{
	char name[32];
	uint64_t tag, number, width;

	if (!read_varint(r, end, &tag) || tag >> 3 == 0 || tag >> 3 >= 1u << 29)
		return false;
	snprintf(name, sizeof(name), "%s%s%llu", prefix, prefix[0] ? "." : "",
		 (unsigned long long)(tag >> 3));
	switch (tag & 7) {
	case 0:
		if (!read_varint(r, end, &number))
			return false;
		tell_number(r, name, number);
		return true;
	case 2:
		return read_bytes(r, name, end);
	case 1:
	case 5:
		width = (tag & 7) == 1 ? 8 : 4;
		if (width > end - r->at || width > r->size - r->at)
			return false;
		r->at += width;
		return true;
	}
	return false;
}

static bool read_fields(struct reader *r, const char *prefix, uint64_t end)
{
	while (r->at < end) {
		if (r->at == r->size)
			return end == UINT64_MAX;
		if (!read_field(r, prefix, end))
			return false;
	}
	return true;
}

static void must_scan_alike(const uint8_t *data, size_t size, uint32_t seed)
{
	struct reader slow = {.data = data, .size = size};
	bool whole_sound, cut_sound, slow_sound = read_fields(&slow, "", UINT64_MAX);
	struct trace whole = scan((struct cutter){data, size, 0, 0}, &whole_sound);
	struct trace cut = scan((struct cutter){data, size, 0, seed}, &cut_sound);

	must_hold(trace_eq(&whole, &cut) && whole_sound == cut_sound);
	must_hold(trace_eq(&whole, &slow.trace) && whole_sound == slow_sound);
}

/* ---- usage ----------------------------------------------------------------------------------- */

static const struct dialect *const dialects[] = {
	&dialect_xai_grpc,
	&dialect_xai_grpc_stream,
	&dialect_vertex_grpc,
	&dialect_vertex_grpc_stream,
};

static struct json_paths *paths_of(size_t i)
{
	static struct json_paths *paths[ARRAY_LEN(dialects)];

	if (!paths[i] && dialect_paths_new(&paths[i], dialects[i]))
		abort();
	return paths[i];
}

struct metered {
	struct usage usage;
	struct meter_facts facts;
};

static void feed_meter(struct meter *m, const uint8_t *data, size_t size, uint32_t seed)
{
	struct cutter cutter = {data, size, 0, seed};
	struct slice piece;

	while (next_piece(&cutter, &piece))
		meter_feed(m, piece);
}

static void meter(const struct stream *s, size_t dialect, uint32_t seed, struct metered *out)
{
	size_t before = s->gap ? s->at : s->size;
	struct meter *m;

	if (meter_new(&m, dialects[dialect], paths_of(dialect), METER_PLAIN))
		abort();
	feed_meter(m, s->data, before, seed);
	if (s->gap)
		meter_gap(m, s->n);
	feed_meter(m, s->data + before, s->size - before, seed);
	meter_eof(m);
	memset(out, 0, sizeof(*out));
	meter_usage(m, &out->usage);
	out->facts = *meter_facts(m);
	meter_free(m);
	for (int i = 0; i < TOKEN_KINDS; i++)
		must_hold(out->usage.tokens[i] >= 0);
}

static void must_meter_alike(const struct stream *s, uint32_t seed)
{
	static struct metered whole, cut;

	for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
		meter(s, i, 0, &whole);
		meter(s, i, seed, &cut);
		must_hold(memcmp(&whole, &cut, sizeof(whole)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream s;
	uint32_t seed;

	if (size < HEAD || size > SIZE_TOP)
		return 0;
	seed = 1 + data[0];
	s = (struct stream){.data = data + HEAD, .size = size - HEAD};
	must_frame_alike(&s, seed);
	must_meter_alike(&s, seed);
	must_scan_alike(s.data, s.size, seed);
	s.gap = true;
	s.at = s.size * data[1] / 256;
	s.n = data[2];
	must_frame_alike(&s, seed);
	must_meter_alike(&s, seed);
	return 0;
}
