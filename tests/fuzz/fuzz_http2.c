/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: bit 0 joined late, the rest how calls are cut. Then steps: one byte of what (STEP_*),
 * two of length, so many bytes of a call or of a gap. Any split gives the same events; a stream
 * begins with the client's head, each side of it ends once, the server's last; memory stays in
 * bounds. What the client writes is seen by a server's session of libnghttp2 the same way, as long
 * as that one has nothing against it.
 */
#include "agent/http2/http2.h"
#include "tests/fuzz/fuzz.h"

#include <nghttp2/nghttp2.h>

enum { STEP_SERVER = 1, STEP_GAP = 2 };
#define STEP_HEAD 3

/* Two blocks that grow by doubling, two HPACK decoders full of placeholders, the streams. */
#define MEMORY_MAX (3u << 20)

struct run {
	struct http2 *p;
	struct trace trace;
	size_t open;
	bool ending;
	bool whole;	       /* nothing was left out or is beyond a limit */
	struct trace requests; /* what another parser has to see too */
};

/* owner of a stream: bits of what it has had */
enum { HAD_HEAD = 1, HAD_CLIENT_END = 2 };

static uintptr_t had(const struct http2_stream *s)
{
	return (uintptr_t)s->owner;
}

static void trace_slice(struct trace *t, char kind, struct slice s)
{
	trace_event(t, kind, s.len);
	trace_bytes(t, s.ptr, s.len);
}

static void on_start(void *user)
{
	struct run *r = user;

	trace_event(&r->trace, 's', 0);
}

static void trace_head(struct trace *t, uint32_t id, const struct http_head *head)
{
	trace_event(t, 'h', id);
	trace_slice(t, 'm', head->method);
	trace_slice(t, 't', head->target);
	for (size_t i = 0; i < head->count; i++) {
		trace_slice(t, 'n', head->fields[i].name);
		trace_slice(t, 'v', head->fields[i].value);
	}
}

static void on_head(void *user, struct http2_stream *s, enum http2_side side,
		    const struct http_head *head)
{
	struct run *r = user;

	must_hold(!r->ending && s->id % 2 && head->count <= HTTP_FIELDS_MAX);
	must_hold(head->status == 0 || (head->status >= 100 && head->status <= 999));
	must_hold(side == HTTP2_SERVER || !had(s));
	if (side == HTTP2_CLIENT) {
		s->owner = (void *)(uintptr_t)HAD_HEAD;
		must_hold(++r->open <= HTTP2_STREAMS_MAX);
		trace_head(&r->requests, s->id, head);
	}
	must_hold(had(s));
	r->whole &= !head->cut;
	trace_event(&r->trace, side ? 'H' : 'h', (uint64_t)head->status << 1 | head->cut);
	trace_head(&r->trace, s->id, head);
}

static void on_body(void *user, struct http2_stream *s, enum http2_side side, struct slice bytes)
{
	struct run *r = user;

	must_hold(!r->ending && had(s) && bytes.len);
	must_hold(side == HTTP2_SERVER || !(had(s) & HAD_CLIENT_END));
	for (size_t i = 0; i < bytes.len; i++) {
		trace_hash(&r->trace, &s->id, sizeof(s->id));
		trace_hash(&r->trace, bytes.ptr + i, 1);
	}
	if (side == HTTP2_CLIENT)
		trace_bytes(&r->requests, bytes.ptr, bytes.len);
}

static void on_trailers(void *user, struct http2_stream *s, const struct http_head *fields)
{
	struct run *r = user;

	must_hold(!r->ending && had(s) && fields->count <= HTTP_FIELDS_MAX);
	trace_event(&r->trace, 'T', (uint64_t)s->id << 1 | fields->cut);
	trace_head(&r->trace, s->id, fields);
}

static void on_gap(void *user, struct http2_stream *s, enum http2_side side, uint64_t n)
{
	struct run *r = user;

	must_hold(!r->ending && had(s));
	trace_event(&r->trace, side ? 'G' : 'g', (uint64_t)s->id << 32 | n);
}

static void on_end(void *user, struct http2_stream *s, enum http2_side side, enum message_end how)
{
	struct run *r = user;

	must_hold(had(s) && (side == HTTP2_SERVER) == !!(had(s) & HAD_CLIENT_END));
	s->owner = (void *)(had(s) | HAD_CLIENT_END);
	trace_event(&r->trace, side ? 'E' : 'e', (uint64_t)s->id << 8 | how);
	if (side == HTTP2_SERVER)
		r->open--;
	if (!r->ending && (side == HTTP2_SERVER || how == MESSAGE_COMPLETE))
		trace_event(&r->requests, side ? 'x' : 'e', s->id);
}

static void on_trouble(void *user, enum http2_trouble what)
{
	struct run *r = user;

	must_hold(!r->ending && what < HTTP2_TROUBLES);
	r->whole = false;
	trace_event(&r->trace, '!', what);
}

static const struct http2_ops ops = {
	.start = on_start,
	.head = on_head,
	.body = on_body,
	.trailers = on_trailers,
	.gap = on_gap,
	.end = on_end,
	.trouble = on_trouble,
};

static bool next_step(const uint8_t **data, size_t *size, uint8_t *what, struct slice *bytes)
{
	size_t n;

	if (*size <= STEP_HEAD)
		return false;
	*what = (*data)[0];
	n = (*data)[1] | (size_t)(*data)[2] << 8;
	if (n > *size - STEP_HEAD)
		n = *size - STEP_HEAD;
	*bytes = (struct slice){(const char *)*data + STEP_HEAD, n};
	*data += STEP_HEAD + n;
	*size -= STEP_HEAD + n;
	return true;
}

static void step(struct run *r, uint8_t what, struct slice bytes, uint32_t seed)
{
	enum http2_side side = what & STEP_SERVER ? HTTP2_SERVER : HTTP2_CLIENT;
	struct cutter cutter = {(const uint8_t *)bytes.ptr, bytes.len, 0, seed};
	bool begins = true;
	struct slice piece;

	if (what & STEP_GAP) {
		http2_skip(r->p, side, bytes.len);
		return;
	}
	for (; next_piece(&cutter, &piece); begins = false)
		http2_feed(r->p, side, piece, begins);
}

static void run(struct run *r, const uint8_t *data, size_t size, uint32_t seed)
{
	struct slice bytes;
	uint8_t what;

	*r = (struct run){.whole = true};
	if (http2_new(&r->p, data[0] & 1, &ops, r))
		abort();
	data++;
	size--;
	while (next_step(&data, &size, &what, &bytes)) {
		step(r, what, bytes, seed);
		must_hold(http2_memory(r->p) <= MEMORY_MAX);
		must_hold(http2_streams(r->p) == r->open);
	}
	r->ending = true;
	http2_end(r->p, MESSAGE_CUT);
	must_hold(r->open == 0 && http2_streams(r->p) == 0);
	http2_free(r->p);
}

/* ---- libnghttp2 as oracle ---------------------------------------------------------------------
 */

#define TEXT_MAX 65536

struct other {
	struct trace requests;
	struct http_head head;
	bool pseudo; /* the head has a pseudo-header */
	size_t len;
	char text[TEXT_MAX];
	bool objects; /* it would answer with an error: what it does then is its own affair */
};

static struct slice other_keep(struct other *o, const uint8_t *ptr, size_t len)
{
	struct slice kept = {o->text + o->len, len};

	if (len > TEXT_MAX - o->len) {
		o->objects = true;
		return (struct slice){"", 0};
	}
	memcpy(o->text + o->len, ptr, len);
	o->len += len;
	return kept;
}

static int other_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct other *o = user;

	(void)session;
	(void)frame;
	o->len = 0;
	o->head = (struct http_head){0};
	o->pseudo = false;
	return 0;
}

static void other_add(struct other *o, struct slice name, struct slice value)
{
	if (o->head.count == HTTP_FIELDS_MAX)
		o->objects = true;
	else
		o->head.fields[o->head.count++] = (struct http_field){name, slice_trim(value)};
}

static int other_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *n,
		       size_t n_len, const uint8_t *v, size_t v_len, uint8_t flags, void *user)
{
	struct other *o = user;
	struct slice name = other_keep(o, n, n_len), value = other_keep(o, v, v_len);

	(void)session;
	(void)frame;
	(void)flags;
	o->pseudo |= slice_starts(name, SLICE(":"));
	if (slice_eq(name, SLICE(":method")))
		o->head.method = value;
	else if (slice_eq(name, SLICE(":path")))
		o->head.target = value;
	else if (slice_eq(name, SLICE(":authority")))
		other_add(o, SLICE("host"), value);
	else if (slice_eq(name, SLICE(":protocol")))
		other_add(o, SLICE("upgrade"), value);
	else if (!name.len || name.ptr[0] != ':')
		other_add(o, name, value);
	return 0;
}

static int other_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		      size_t len, void *user)
{
	struct other *o = user;

	(void)session;
	(void)flags;
	(void)id;
	trace_bytes(&o->requests, data, len);
	return 0;
}

static int other_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct other *o = user;
	uint32_t id = (uint32_t)frame->hd.stream_id;
	bool content = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;

	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		/* Without one it is malformed (RFC 9113 8.3.1); to us these are trailers of a
		 * request that was not seen. */
		o->objects |= !o->pseudo;
		trace_head(&o->requests, id, &o->head);
	}
	if (content && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		trace_event(&o->requests, 'e', id);
	if (frame->hd.type == NGHTTP2_RST_STREAM &&
	    nghttp2_session_find_stream(session, frame->hd.stream_id)) {
		/* Ours ends the request first, if it had not ended, which is not told apart. */
		trace_event(&o->requests, 'x', id);
	}
	return 0;
}

static int other_invalid(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
	struct other *o = user;

	(void)session;
	(void)frame;
	(void)code;
	o->objects = true;
	return 0;
}

static int other_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct other *o = user;

	(void)session;
	o->objects |= frame->hd.type == NGHTTP2_RST_STREAM || frame->hd.type == NGHTTP2_GOAWAY;
	return 0;
}

static nghttp2_session *other_new(struct other *o)
{
	nghttp2_session_callbacks *calls = NULL;
	nghttp2_session *session = NULL;
	nghttp2_option *option = NULL;

	if (nghttp2_session_callbacks_new(&calls) || nghttp2_option_new(&option))
		abort();
	nghttp2_session_callbacks_set_on_begin_headers_callback(calls, other_begin);
	nghttp2_session_callbacks_set_on_header_callback(calls, other_field);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, other_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(calls, other_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(calls, other_invalid);
	nghttp2_session_callbacks_set_on_frame_send_callback(calls, other_send);
	nghttp2_option_set_no_http_messaging(option, 1); /* any fields will do for us too */
	if (nghttp2_session_server_new2(&session, calls, o, option))
		abort();
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(calls);
	return session;
}

/* Takes the bytes; false when it has something against them. */
static bool other_takes(nghttp2_session *session, struct other *o, struct slice bytes)
{
	const uint8_t *out;
	ssize_t n = nghttp2_session_mem_recv(session, (const uint8_t *)bytes.ptr, bytes.len);

	if (n != (ssize_t)bytes.len)
		return false;
	while ((n = nghttp2_session_mem_send(session, &out)) > 0)
		;
	return n == 0 && !o->objects;
}

static void must_be_seen_alike(const uint8_t *data, size_t size)
{
	static struct other other;
	struct run ours;
	nghttp2_session *session;
	struct slice bytes;
	bool takes = true;
	uint8_t what;

	if (data[0] & 1)
		return;
	other = (struct other){0};
	session = other_new(&other);
	ours = (struct run){.whole = true};
	if (http2_new(&ours.p, false, &ops, &ours))
		abort();
	data++;
	size--;
	while (takes && next_step(&data, &size, &what, &bytes)) {
		if (what & (STEP_SERVER | STEP_GAP))
			continue;
		http2_feed(ours.p, HTTP2_CLIENT, bytes, true);
		takes = other_takes(session, &other, bytes);
	}
	if (takes && ours.whole)
		must_hold(trace_eq(&ours.requests, &other.requests));
	ours.ending = true;
	http2_end(ours.p, MESSAGE_CUT);
	http2_free(ours.p);
	nghttp2_session_del(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, cut;

	if (size < 2)
		return 0;
	run(&whole, data, size, 0);
	run(&cut, data, size, 1u + data[0]);
	must_hold(trace_eq(&whole.trace, &cut.trace));
	must_be_seen_alike(data, size);
	return 0;
}
