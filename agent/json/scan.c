/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/json/number.h"
#include "agent/json/paths.h"

#include <errno.h>
#include <stdio.h>

enum state {
	S_VALUE,       /* a value must come; at depth 0: between documents */
	S_FIRST_KEY,   /* after '{': a key or '}' */
	S_KEY,	       /* after ',' in an object */
	S_COLON,       /* after a key */
	S_FIRST_ITEM,  /* after '[': a value or ']' */
	S_AFTER,       /* after a value: ',' or the container's end */
	S_STRING,      /* inside a string */
	S_ESCAPE,      /* after a backslash */
	S_HEX,	       /* inside the four digits of \u */
	S_NUMBER,      /* inside a number */
	S_SKIM,	       /* behind a number in an array of which nothing is watched */
	S_LITERAL,     /* inside true, false or null */
	S_SKIP,	       /* below JSON_DEPTH_MAX: only brackets are counted */
	S_SKIP_STRING, /* a string there */
	S_SKIP_ESCAPE, /* after a backslash in it */
	S_BROKEN,
};

/* Where a value stands in the path tree. */
struct place {
	int node;	   /* JSON_NODE_NONE = nothing watched exactly here */
	int deep;	   /* the "**" path that covers it, or JSON_NODE_NONE */
	uint16_t tail_len; /* its keys below that path, in tail[] */
};

struct frame {
	struct place at;
	bool array;
	uint32_t index; /* of the next element */
};

struct json_scan {
	struct json_paths *paths;
	const struct json_ops *ops;
	void *user;
	enum state state;
	bool any_document;
	int depth;
	struct frame frame[JSON_DEPTH_MAX];
	struct place at;     /* of the value being read */
	uint64_t skip_depth; /* open brackets below JSON_DEPTH_MAX */

	/* The string, number or literal being read. */
	bool is_key;
	bool keep;
	int in_pieces; /* path of a string that is handed out as it comes, or -1 */
	size_t kept;   /* bytes in key[] or text[] */
	uint64_t full; /* bytes it has in all */
	uint32_t hex;
	uint8_t hex_digits;
	uint16_t high; /* a high surrogate that waits for its low one */
	enum json_number number;
	const char *literal; /* what of it is still to come */
	enum json_type literal_type;
	size_t key_len;
	char key[JSON_KEY_MAX];
	char text[JSON_STRING_MAX];
	char tail[JSON_TAIL_MAX];
};

/* ---- the path tree ------------------------------------------------------------------------- */

/* Appends a segment to the tail; a tail that grows too long leaves the "**" path. */
static void tail_append(struct json_scan *s, struct place *at, struct slice segment)
{
	size_t dot = at->tail_len ? 1 : 0;

	if (segment.len + dot > (size_t)JSON_TAIL_MAX - at->tail_len) {
		at->deep = JSON_NODE_NONE;
		return;
	}
	if (dot)
		s->tail[at->tail_len++] = '.';
	memcpy(s->tail + at->tail_len, segment.ptr, segment.len);
	at->tail_len += (uint16_t)segment.len;
}

/* The place of the value that begins now. */
static struct place place_of_next(struct json_scan *s)
{
	const struct frame *f = s->depth ? &s->frame[s->depth - 1] : NULL;
	struct slice key = {s->key, s->key_len};
	char index[16];
	struct place at;
	int deep;

	if (!f)
		return (struct place){.node = 0, .deep = JSON_NODE_NONE};
	if (!f->array && s->key_len >= JSON_KEY_MAX)
		return (struct place){.node = JSON_NODE_NONE, .deep = JSON_NODE_NONE};
	at = f->at;
	at.node = json_paths_child(s->paths, f->at.node, f->array ? (struct slice){NULL, 0} : key);
	deep = f->at.node == JSON_NODE_NONE ? JSON_NODE_NONE : s->paths->node[f->at.node].deep;
	if (deep != JSON_NODE_NONE) {
		at.deep = deep;
		at.tail_len = 0;
	}
	if (at.deep == JSON_NODE_NONE)
		return at;
	if (f->array) {
		key.ptr = index;
		key.len = (size_t)snprintf(index, sizeof(index), "[%u]", f->index);
	}
	tail_append(s, &at, key);
	return at;
}

static const struct json_node *node_here(const struct json_scan *s)
{
	return s->at.node == JSON_NODE_NONE ? NULL : &s->paths->node[s->at.node];
}

static bool wanted(const struct json_scan *s)
{
	const struct json_node *n = node_here(s);

	return s->at.deep != JSON_NODE_NONE || (n && n->leaf != JSON_NODE_NONE && !n->length_only);
}

/* The "~" path of the value that begins, or -1. */
static int piece_path(const struct json_scan *s)
{
	const struct json_node *n = node_here(s);

	return n && n->in_pieces ? n->leaf : -1;
}

static void emit(struct json_scan *s, enum json_type type, bool cut)
{
	const struct json_node *n = node_here(s);
	struct json_value v = {
		.type = type, .text = {s->text, s->kept}, .cut = cut, .text_len = s->full};

	if (n && n->leaf != JSON_NODE_NONE) {
		v.path = (size_t)n->leaf;
		if (n->length_only)
			v.text.len = 0;
		s->ops->value(s->user, &v);
		v.text.len = s->kept;
	}
	if (s->at.deep != JSON_NODE_NONE) {
		v.path = (size_t)s->at.deep;
		v.tail = (struct slice){s->tail, s->at.tail_len};
		s->ops->value(s->user, &v);
	}
}

static void emit_object(struct json_scan *s, const struct frame *f, bool begin)
{
	const struct json_node *n;

	if (f->array || f->at.node == JSON_NODE_NONE || !s->ops->object)
		return;
	n = &s->paths->node[f->at.node];
	if (n->object != JSON_NODE_NONE)
		s->ops->object(s->user, (size_t)n->object, begin);
}

/* ---- containers ---------------------------------------------------------------------------- */

static void after_value(struct json_scan *s)
{
	if (s->depth) {
		s->state = S_AFTER;
		return;
	}
	s->state = S_VALUE;
	s->any_document = true;
}

static void open_container(struct json_scan *s, bool array)
{
	struct frame *f;

	if (s->depth == JSON_DEPTH_MAX) {
		s->state = S_SKIP;
		s->skip_depth = 1;
		return;
	}
	f = &s->frame[s->depth++];
	*f = (struct frame){.at = s->at, .array = array};
	s->state = array ? S_FIRST_ITEM : S_FIRST_KEY;
	emit_object(s, f, true);
}

static void close_container(struct json_scan *s, bool array)
{
	struct frame *f = &s->frame[s->depth - 1];

	if (f->array != array) {
		s->state = S_BROKEN;
		return;
	}
	emit_object(s, f, false);
	s->depth--;
	after_value(s);
}

/* ---- strings ------------------------------------------------------------------------------- */

static void begin_string(struct json_scan *s, bool is_key)
{
	s->state = S_STRING;
	s->is_key = is_key;
	s->keep = is_key || wanted(s);
	s->in_pieces = is_key ? -1 : piece_path(s);
	s->kept = 0;
	s->full = 0;
	s->high = 0;
}

static void keep_bytes(struct json_scan *s, const char *bytes, size_t n)
{
	size_t room = (s->is_key ? JSON_KEY_MAX : JSON_STRING_MAX) - s->kept;
	size_t take = n < room ? n : room;

	s->full += n;
	if (s->in_pieces >= 0)
		s->ops->piece(s->user, (size_t)s->in_pieces, (struct slice){bytes, n});
	if (!s->keep)
		return;
	memcpy((s->is_key ? s->key : s->text) + s->kept, bytes, take);
	s->kept += take;
}

static void keep_code_point(struct json_scan *s, uint32_t c)
{
	char out[4];
	size_t n;

	if (c < 0x80) {
		out[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		n = 2;
	} else if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		n = 3;
	} else {
		out[0] = (char)(0xf0 | c >> 18);
		n = 4;
	}
	for (size_t i = 1; i < n; i++)
		out[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
	keep_bytes(s, out, n);
}

/* A high surrogate that no low one followed (RFC 8259 section 8.2). */
static void flush_surrogate(struct json_scan *s)
{
	if (s->high)
		keep_code_point(s, 0xfffd);
	s->high = 0;
}

static void code_unit(struct json_scan *s, uint32_t unit)
{
	bool low = unit >= 0xdc00 && unit <= 0xdfff;

	if (low && s->high) {
		keep_code_point(s, 0x10000 + ((s->high - 0xd800u) << 10) + (unit - 0xdc00));
		s->high = 0;
		return;
	}
	flush_surrogate(s);
	if (unit >= 0xd800 && unit <= 0xdbff)
		s->high = (uint16_t)unit;
	else
		keep_code_point(s, low ? 0xfffd : unit);
}

/* A cut string must not end inside a UTF-8 sequence. */
static void drop_partial_sequence(struct json_scan *s)
{
	size_t n = s->kept;

	while (n && s->kept - n < 3 && ((uint8_t)s->text[n - 1] & 0xc0) == 0x80)
		n--;
	if (n && (uint8_t)s->text[n - 1] >= 0xc0)
		s->kept = n - 1;
}

static void end_string(struct json_scan *s)
{
	flush_surrogate(s);
	if (s->is_key) {
		s->key_len = s->full < JSON_KEY_MAX ? s->kept : JSON_KEY_MAX;
		s->state = S_COLON;
		return;
	}
	if (s->keep && s->full > s->kept)
		drop_partial_sequence(s);
	emit(s, JSON_STRING, s->keep && s->full > s->kept);
	after_value(s);
}

#define BLOCK_BYTES 32 /* without branches, so that a block becomes vector code */

/* The first quote or backslash at or after p. */
static const char *skip_plain(const char *p, const char *end)
{
	for (; end - p >= BLOCK_BYTES; p += BLOCK_BYTES) {
		uint8_t stop = 0;

		for (int i = 0; i < BLOCK_BYTES; i++)
			stop |= (p[i] == '"') | (p[i] == '\\');
		if (stop)
			break;
	}
	while (p < end && *p != '"' && *p != '\\')
		p++;
	return p;
}

static const char *in_string(struct json_scan *s, const char *p, const char *end)
{
	const char *from = p;

	p = skip_plain(p, end);
	if (p > from) {
		flush_surrogate(s);
		keep_bytes(s, from, (size_t)(p - from));
	}
	if (p == end)
		return p;
	if (*p == '"')
		end_string(s);
	else
		s->state = S_ESCAPE;
	return p + 1;
}

static void in_escape(struct json_scan *s, char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *hit = c ? strchr(from, c) : NULL;

	if (c == 'u') {
		s->state = S_HEX;
		s->hex = 0;
		s->hex_digits = 0;
	} else if (hit) {
		flush_surrogate(s);
		keep_bytes(s, &to[hit - from], 1);
		s->state = S_STRING;
	} else {
		s->state = S_BROKEN;
	}
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void in_hex(struct json_scan *s, char c)
{
	int digit = hex_value(c);

	if (digit < 0) {
		s->state = S_BROKEN;
		return;
	}
	s->hex = s->hex << 4 | (uint32_t)digit;
	if (++s->hex_digits < 4)
		return;
	s->state = S_STRING;
	code_unit(s, s->hex);
}

/* ---- numbers and literals ------------------------------------------------------------------- */

static void keep_number(struct json_scan *s, char c)
{
	s->full++;
	if (s->kept < JSON_NUMBER_MAX)
		s->text[s->kept++] = c;
}

static void end_number(struct json_scan *s)
{
	if (!json_number_whole(s->number)) {
		s->state = S_BROKEN;
		return;
	}
	emit(s, JSON_NUMBER, s->full > s->kept);
	after_value(s);
}

static const char *in_number(struct json_scan *s, const char *p, const char *end)
{
	for (; p < end; p++) {
		enum json_number next = json_number_next(s->number, *p);

		if (next == NUMBER_NONE)
			break;
		s->number = next;
		keep_number(s, *p);
	}
	if (p == end)
		return p;
	end_number(s);
	if (s->state == S_AFTER && s->frame[s->depth - 1].array && !node_here(s) &&
	    s->at.deep == JSON_NODE_NONE)
		s->state = S_SKIM;
	return p;
}

static void begin_literal(struct json_scan *s, const char *rest, enum json_type type)
{
	s->state = S_LITERAL;
	s->literal = rest;
	s->literal_type = type;
	s->kept = 0;
	s->full = 0;
}

static void in_literal(struct json_scan *s, char c)
{
	if (c != *s->literal) {
		s->state = S_BROKEN;
		return;
	}
	if (*++s->literal)
		return;
	emit(s, s->literal_type, false);
	after_value(s);
}

/* ---- structure ----------------------------------------------------------------------------- */

static void begin_value(struct json_scan *s, char c)
{
	s->at = place_of_next(s);
	if (s->depth)
		s->frame[s->depth - 1].index++;
	switch (c) {
	case '{':
	case '[':
		open_container(s, c == '[');
		return;
	case '"':
		begin_string(s, false);
		return;
	case 't':
		begin_literal(s, "rue", JSON_TRUE);
		return;
	case 'f':
		begin_literal(s, "alse", JSON_FALSE);
		return;
	case 'n':
		begin_literal(s, "ull", JSON_NULL);
		return;
	}
	if (c != '-' && (c < '0' || c > '9')) {
		s->state = S_BROKEN;
		return;
	}
	s->state = S_NUMBER;
	s->number = json_number_next(NUMBER_NONE, c);
	s->kept = 0;
	s->full = 0;
	keep_number(s, c);
}

static void structural(struct json_scan *s, char c)
{
	switch (s->state) {
	case S_VALUE:
		begin_value(s, c);
		return;
	case S_FIRST_ITEM:
		if (c == ']')
			close_container(s, true);
		else
			begin_value(s, c);
		return;
	case S_FIRST_KEY:
	case S_KEY:
		if (c == '"')
			begin_string(s, true);
		else if (c == '}' && s->state == S_FIRST_KEY)
			close_container(s, false);
		else
			s->state = S_BROKEN;
		return;
	case S_COLON:
		s->state = c == ':' ? S_VALUE : S_BROKEN;
		return;
	case S_AFTER:
		if (c == ',')
			s->state = s->frame[s->depth - 1].array ? S_VALUE : S_KEY;
		else if (c == '}' || c == ']')
			close_container(s, c == ']');
		else
			s->state = S_BROKEN;
		return;
	default:
		s->state = S_BROKEN;
	}
}

/* Below JSON_DEPTH_MAX nothing is watched and bracket kinds are not remembered. */
static void skip(struct json_scan *s, char c)
{
	switch (s->state) {
	case S_SKIP_ESCAPE:
		s->state = S_SKIP_STRING;
		return;
	case S_SKIP_STRING:
		if (c == '"' || c == '\\')
			s->state = c == '"' ? S_SKIP : S_SKIP_ESCAPE;
		return;
	default:
		break;
	}
	if (c == '"')
		s->state = S_SKIP_STRING;
	else if (c == '{' || c == '[')
		s->skip_depth++;
	else if ((c == '}' || c == ']') && --s->skip_depth == 0)
		s->state = S_AFTER;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The first byte at or after p that is no white space: a bomb may be all of it. */
static const char *skip_space(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

/*
 * The further numbers of an array of which nothing is watched are passed unread, so bad grammar
 * among them goes unnoticed. Whatever else stands there is read as a value.
 */
static const char *in_skim(struct json_scan *s, const char *p, const char *end)
{
	p = json_skim_numbers(p, end);
	if (p == end)
		return p;
	if (*p == ']')
		close_container(s, true);
	else
		begin_value(s, *p);
	return p + 1;
}

/* Takes at least one byte, or changes the state. */
static const char *step(struct json_scan *s, const char *p, const char *end)
{
	switch (s->state) {
	case S_STRING:
		return in_string(s, p, end);
	case S_NUMBER:
		return in_number(s, p, end);
	case S_SKIM:
		return in_skim(s, p, end);
	case S_ESCAPE:
		in_escape(s, *p);
		break;
	case S_HEX:
		in_hex(s, *p);
		break;
	case S_LITERAL:
		in_literal(s, *p);
		break;
	case S_SKIP:
	case S_SKIP_STRING:
	case S_SKIP_ESCAPE:
		skip(s, *p);
		break;
	default:
		if (is_space(*p))
			return skip_space(p, end);
		structural(s, *p);
	}
	return p + 1;
}

static enum json_result result(const struct json_scan *s)
{
	if (s->state == S_BROKEN)
		return JSON_BROKEN;
	return s->state == S_VALUE && s->depth == 0 && s->any_document ? JSON_DONE : JSON_MORE;
}

enum json_result json_scan_feed(struct json_scan *s, struct slice bytes)
{
	const char *p = bytes.ptr, *end = p + bytes.len;

	while (p < end && s->state != S_BROKEN)
		p = step(s, p, end);
	return result(s);
}

enum json_result json_scan_eof(struct json_scan *s)
{
	if (s->state == S_NUMBER && s->depth == 0)
		end_number(s);
	return result(s);
}

int json_scan_new(struct json_scan **out, struct json_paths *paths, const struct json_ops *ops,
		  void *user)
{
	struct json_scan *s = malloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->paths = paths;
	paths->refs++;
	s->ops = ops;
	s->user = user;
	json_scan_reset(s);
	*out = s;
	return 0;
}

void json_scan_free(struct json_scan *s)
{
	if (!s)
		return;
	json_paths_free(s->paths);
	explicit_bzero(s, sizeof(*s));
	free(s);
}

void json_scan_reset(struct json_scan *s)
{
	s->state = S_VALUE;
	s->any_document = false;
	s->depth = 0;
	s->key_len = 0;
	s->kept = 0;
	s->full = 0;
}

size_t json_scan_memory(const struct json_scan *s)
{
	return s ? sizeof(*s) : 0;
}
