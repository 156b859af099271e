/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/grpc/protobuf.h"

#include "agent/json/paths.h"

#include <errno.h>
#include <stdio.h>

enum state {
	IN_TAG,
	IN_NUMBER, /* a varint that is a value */
	IN_LENGTH,
	IN_TEXT,    /* `left` bytes that are kept or measured */
	IN_SKIPPED, /* `left` bytes of a value that nobody asked for */
	BROKEN,
	STATES
};

enum wire_type { VARINT, I64, LEN, START_GROUP, END_GROUP, I32 };

#define FIELD_MAX     ((1u << 29) - 1)
#define VARINT_BITS   64
#define NO_END	      UINT64_MAX /* the length of the whole is told by what holds it */
#define NUMBER_DIGITS 24

/* A message, or a run of packed numbers. */
struct frame {
	int node;
	uint64_t end; /* where it is over, in bytes from the message's beginning */
	bool packed;
};

struct protobuf_scan {
	struct json_paths *paths;
	const struct json_ops *ops;
	void *user;
	enum state state;
	uint64_t at; /* bytes of the message so far */
	size_t depth;
	struct frame frame[PROTOBUF_DEPTH_MAX + 1]; /* [0] is the whole */
	int node;				    /* of the field being read, or JSON_NODE_NONE */
	uint64_t varint;			    /* as far as it was read */
	unsigned int bits;			    /* read of it */
	uint64_t left;
	uint64_t text_len; /* of the whole string */
	size_t kept;
	char text[PROTOBUF_TEXT_MAX];
};

int protobuf_scan_new(struct protobuf_scan **out, struct json_paths *paths,
		      const struct json_ops *ops, void *user)
{
	struct protobuf_scan *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->paths = paths;
	s->paths->refs++;
	s->ops = ops;
	s->user = user;
	protobuf_scan_begin(s);
	*out = s;
	return 0;
}

void protobuf_scan_free(struct protobuf_scan *s)
{
	if (!s)
		return;
	json_paths_free(s->paths);
	explicit_bzero(s->text, sizeof(s->text));
	free(s);
}

static void expect(struct protobuf_scan *s, enum state state)
{
	s->state = state;
	s->varint = 0;
	s->bits = 0;
}

void protobuf_scan_begin(struct protobuf_scan *s)
{
	s->at = 0;
	s->depth = 0;
	s->frame[0] = (struct frame){.node = 0, .end = NO_END};
	expect(s, IN_TAG);
}

/* ---- what is told ---------------------------------------------------------------------------- */

static const struct json_node *node_at(const struct protobuf_scan *s, int node)
{
	return &s->paths->node[node];
}

/* The node for the elements of a repeated number, or JSON_NODE_NONE. */
static int element_of(const struct protobuf_scan *s, int node)
{
	return json_paths_child(s->paths, node, (struct slice){NULL, 0});
}

static bool has_leaf(const struct protobuf_scan *s, int node)
{
	return node != JSON_NODE_NONE && node_at(s, node)->leaf != JSON_NODE_NONE;
}

static void tell_number(struct protobuf_scan *s, int node)
{
	char digits[NUMBER_DIGITS];
	int n = snprintf(digits, sizeof(digits), "%lld", (long long)s->varint);
	struct json_value v = {.type = JSON_NUMBER, .text = {digits, (size_t)n}};

	if (!has_leaf(s, node))
		return;
	v.path = (size_t)node_at(s, node)->leaf;
	s->ops->value(s->user, &v);
}

static void tell_text(struct protobuf_scan *s)
{
	struct json_value v = {
		.path = (size_t)node_at(s, s->node)->leaf,
		.type = JSON_STRING,
		.text = {s->text, s->kept},
		.text_len = s->text_len,
	};

	v.cut = s->kept < s->text_len && !node_at(s, s->node)->length_only;
	s->ops->value(s->user, &v);
	explicit_bzero(s->text, s->kept);
}

static void tell_message(struct protobuf_scan *s, int node, bool begin)
{
	int path = node_at(s, node)->object;

	if (path != JSON_NODE_NONE && s->ops->object)
		s->ops->object(s->user, (size_t)path, begin);
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* Whatever is open and over; then the next field, or the next of packed numbers. */
static void go_on(struct protobuf_scan *s)
{
	while (s->depth && s->at == s->frame[s->depth].end) {
		const struct frame *f = &s->frame[s->depth--];

		if (!f->packed)
			tell_message(s, f->node, false);
	}
	expect(s, s->frame[s->depth].packed ? IN_NUMBER : IN_TAG);
}

static void begin_skipped(struct protobuf_scan *s, uint64_t length)
{
	s->left = length;
	s->state = IN_SKIPPED;
	if (!length)
		go_on(s);
}

static void push(struct protobuf_scan *s, uint64_t length, bool packed)
{
	s->frame[++s->depth] =
		(struct frame){.node = s->node, .end = s->at + length, .packed = packed};
	if (!packed)
		tell_message(s, s->node, true);
	go_on(s);
}

static bool is_message(const struct protobuf_scan *s, int node)
{
	const struct json_node *n = node_at(s, node);

	return n->object != JSON_NODE_NONE ||
	       (n->child != JSON_NODE_NONE && node_at(s, n->child)->key.ptr);
}

static void begin_text(struct protobuf_scan *s, uint64_t length)
{
	s->left = s->text_len = length;
	s->kept = 0;
	s->state = IN_TEXT;
	if (length)
		return;
	tell_text(s);
	go_on(s);
}

static void on_length(struct protobuf_scan *s, uint64_t length)
{
	bool nested;

	if (length > PROTOBUF_LENGTH_MAX || length > s->frame[s->depth].end - s->at) {
		s->state = BROKEN;
		return;
	}
	nested = s->node != JSON_NODE_NONE && s->depth < PROTOBUF_DEPTH_MAX;
	if (nested && is_message(s, s->node)) {
		push(s, length, false);
	} else if (nested && has_leaf(s, element_of(s, s->node))) {
		push(s, length, true);
	} else if (has_leaf(s, s->node)) {
		begin_text(s, length);
	} else {
		begin_skipped(s, length);
	}
}

static void on_number(struct protobuf_scan *s)
{
	const struct frame *f = &s->frame[s->depth];
	int node = f->packed ? f->node : s->node;
	int element = node == JSON_NODE_NONE ? node : element_of(s, node);

	tell_number(s, element == JSON_NODE_NONE ? node : element);
	go_on(s);
}

static void begin_fixed(struct protobuf_scan *s, uint64_t n)
{
	if (n > s->frame[s->depth].end - s->at)
		s->state = BROKEN;
	else
		begin_skipped(s, n);
}

static void on_tag(struct protobuf_scan *s, uint64_t tag)
{
	uint64_t field = tag >> 3;
	char key[NUMBER_DIGITS];
	int n = snprintf(key, sizeof(key), "%llu", (unsigned long long)field);

	if (!field || field > FIELD_MAX) {
		s->state = BROKEN;
		return;
	}
	s->node =
		json_paths_child(s->paths, s->frame[s->depth].node, (struct slice){key, (size_t)n});
	switch ((enum wire_type)(tag & 7)) {
	case VARINT:
		expect(s, IN_NUMBER);
		break;
	case I64:
		begin_fixed(s, 8);
		break;
	case LEN:
		expect(s, IN_LENGTH);
		break;
	case I32:
		begin_fixed(s, 4);
		break;
	default:
		s->state = BROKEN;
	}
}

/* ---- one function per state: takes some bytes, returns how many ------------------------------ */

static void end_varint(struct protobuf_scan *s)
{
	uint64_t value = s->varint;

	if (s->state == IN_TAG)
		on_tag(s, value);
	else if (s->state == IN_LENGTH)
		on_length(s, value);
	else
		on_number(s);
}

static size_t eat_varint(struct protobuf_scan *s, struct slice bytes)
{
	uint64_t part = (uint8_t)bytes.ptr[0] & 0x7f;
	uint64_t left = s->frame[s->depth].end - s->at; /* of the message around it */
	bool more = (uint8_t)bytes.ptr[0] & 0x80;

	/* The tenth byte holds one bit (protobuf.dev, "Base 128 Varints"). */
	if (left < 1u + more || s->bits >= VARINT_BITS ||
	    (s->bits == VARINT_BITS - 1 && part > 1)) {
		s->state = BROKEN;
		return 0;
	}
	s->at++;
	s->varint |= part << s->bits;
	s->bits += 7;
	if (!more)
		end_varint(s);
	return 1;
}

static size_t take(struct protobuf_scan *s, struct slice *bytes)
{
	if (bytes->len > s->left)
		bytes->len = s->left;
	s->at += bytes->len;
	s->left -= bytes->len;
	return bytes->len;
}

static size_t eat_text(struct protobuf_scan *s, struct slice bytes)
{
	size_t n = take(s, &bytes), room = sizeof(s->text) - s->kept;

	if (node_at(s, s->node)->length_only)
		room = 0;
	if (bytes.len > room)
		bytes.len = room;
	if (bytes.len)
		memcpy(s->text + s->kept, bytes.ptr, bytes.len);
	s->kept += bytes.len;
	if (!s->left) {
		tell_text(s);
		go_on(s);
	}
	return n;
}

static size_t eat_skipped(struct protobuf_scan *s, struct slice bytes)
{
	size_t n = take(s, &bytes);

	if (!s->left)
		go_on(s);
	return n;
}

static size_t eat_broken(struct protobuf_scan *s, struct slice bytes)
{
	(void)s;
	return bytes.len;
}

void protobuf_scan_feed(struct protobuf_scan *s, struct slice bytes)
{
	static size_t (*const eaters[STATES])(struct protobuf_scan * s, struct slice bytes) = {
		[IN_TAG] = eat_varint, [IN_NUMBER] = eat_varint,   [IN_LENGTH] = eat_varint,
		[IN_TEXT] = eat_text,  [IN_SKIPPED] = eat_skipped, [BROKEN] = eat_broken,
	};

	while (bytes.len) {
		size_t n = eaters[s->state](s, bytes);

		bytes.ptr += n;
		bytes.len -= n;
	}
}

bool protobuf_scan_end(const struct protobuf_scan *s)
{
	return s->state == IN_TAG && !s->bits && !s->depth;
}

size_t protobuf_scan_memory(const struct protobuf_scan *s)
{
	return s ? sizeof(*s) : 0;
}
