/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The gate: which connections are read at all. A connection is unknown until a request start is
 * seen; who writes it is the client. Then, in this order: the server name (SSL_ctrl 55), the Host
 * of that first write, and for any other host a POST to the path of a known API, which makes a
 * candidate that user space judges. All else is muted; of a muted connection only the first 8 bytes
 * of each write are looked at, so that the next POST brings it back. HTTP/2 begins with its preface
 * and packs hosts and paths (RFC 7541): there the server name alone decides.
 */
#ifndef TT_GATE_BPF_H
#define TT_GATE_BPF_H

#include "bpf/emit.bpf.h"

/* How a call's bytes begin. */
enum start {
	START_NONE,
	START_POST,
	START_METHOD, /* any other request */
	START_PREFACE,
	START_RESPONSE,
};

#define BYTE(c, i)		      ((__u64)(__u8)(c) << (8 * (i)))
#define TEXT4(a, b, c, d)	      (BYTE(a, 0) | BYTE(b, 1) | BYTE(c, 2) | BYTE(d, 3))
#define TEXT8(a, b, c, d, e, f, g, h) (TEXT4(a, b, c, d) | TEXT4(e, f, g, h) << 32)
#define FIRST(n)		      (~0ULL >> (64 - 8 * (n)))

/* RFC 9110 9.3, RFC 5789; RFC 9113 3.4. `first`: 8 bytes as loaded, little-endian. */
static __always_inline enum start start_of(__u64 first)
{
	if ((first & FIRST(5)) == (TEXT4('P', 'O', 'S', 'T') | BYTE(' ', 4)))
		return START_POST;
	if ((first & FIRST(7)) == TEXT8('H', 'T', 'T', 'P', '/', '1', '.', 0))
		return START_RESPONSE;
	if (first == TEXT8('P', 'R', 'I', ' ', '*', ' ', 'H', 'T'))
		return START_PREFACE;
	if ((first & FIRST(4)) == TEXT4('G', 'E', 'T', ' ') ||
	    (first & FIRST(4)) == TEXT4('P', 'U', 'T', ' ') ||
	    (first & FIRST(5)) == (TEXT4('H', 'E', 'A', 'D') | BYTE(' ', 4)) ||
	    (first & FIRST(6)) == TEXT8('P', 'A', 'T', 'C', 'H', ' ', 0, 0) ||
	    (first & FIRST(6)) == TEXT8('T', 'R', 'A', 'C', 'E', ' ', 0, 0) ||
	    (first & FIRST(7)) == TEXT8('D', 'E', 'L', 'E', 'T', 'E', ' ', 0) ||
	    first == TEXT8('O', 'P', 'T', 'I', 'O', 'N', 'S', ' ') ||
	    first == TEXT8('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '))
		return START_METHOD;
	return START_NONE;
}

/*
 * The length of a call whose conn->take is still that. Verifier: what is found out about call->len
 * itself parts the ways from there to the end of the program.
 */
static __always_inline __u64 call_len(const struct call *call)
{
	return read_back(&call->conn->take[call->dir & 1]);
}

static __always_inline enum start read_start(__u64 buf, __u64 len)
{
	__u64 first;

	if (len < sizeof(first) || bpf_probe_read_user(&first, sizeof(first), (void *)buf))
		return START_NONE;
	return start_of(first);
}

/* A first write of a few bytes: may "POST " go on from here? */
static __always_inline int may_become_post(__u64 buf, __u64 len)
{
	__u64 first = 0, post = TEXT4('P', 'O', 'S', 'T') | BYTE(' ', 4);

	if (len >= sizeof(first) || bpf_probe_read_user(&first, len & 7, (void *)buf))
		return 0;
	return len < 5 ? first == (post & ~(~0ULL << (8 * (len & 7)))) : (first & FIRST(5)) == post;
}

/*
 * Longest rule that ends text[from, *to), or 0. text holds `size` bytes, a power of two. Without a
 * branch in the loop there is but one path through it; what lies outside is read and made 0.
 */
static __always_inline __u32 suffix_class(void *map, const char *text, __u64 size, __u64 from,
					  const __u32 *to)
{
	struct tt_host_key key;
	__u64 len = read_back(to) - from;
	__u32 *class;

	for (__u64 i = 0; i < TT_HOST_MAX; i++) {
		__u64 at = (from + len - 1 - i) & (size - 1);
		__u64 before_end = i - len, after_end = len - i;

		/* Keeps clang from making branches of the signs. */
		barrier_var(before_end);
		barrier_var(after_end);
		before_end >>= 63;
		after_end >>= 63;
		key.reversed[i] = (__u8)text[at] * before_end + '.' * (1 ^ before_end ^ after_end);
	}
	key.prefix_len = 8 * (len < TT_HOST_MAX ? len + 1 : TT_HOST_MAX);
	class = bpf_map_lookup_elem(map, &key);
	return class ? *class : 0;
}

static __always_inline char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/*
 * The host table's word on conn->host, after ending it at its port or at the first character that
 * no name has. A name without an end within the array is none.
 */
static __always_inline __u32 host_class(struct conn *conn)
{
	write_through(&conn->host_len, TT_HOST_MAX);
	for (__u64 i = 0; i < TT_HOST_MAX; i++) {
		__u8 c = conn->host[i];

		if (read_back(&conn->host_len) == TT_HOST_MAX && (c <= ' ' || c == ':'))
			write_through(&conn->host_len, i);
		conn->host[i] = i < read_back(&conn->host_len) ? lower(c) : 0;
	}
	if (read_back(&conn->host_len) == TT_HOST_MAX) {
		conn->host[0] = 0;
		return 0;
	}
	return suffix_class(&hosts, conn->host, TT_HOST_MAX, 0, &conn->host_len);
}

/* What was found in the start of a request. Lives in ring space. */
struct request_facts {
	__u32 host_at;	/* 0: none */
	__u32 path_end; /* 0: not within TT_PATH_MAX */
	__u32 head_end; /* 1: the head ends inside the window */
	__u32 len;	/* bytes of it that were looked at */
};

#define HOST_FIELD	0x0d0a686f73743aULL /* "\r\nhost:" */
#define HOST_FIELD_CASE 0x00002020202000ULL
#define HOST_FIELD_MASK 0x00ffffffffffffffULL
#define HEAD_END	0x0d0a0d0aU
#define PATH_AT		5 /* after "POST " */

static __always_inline void request_look(struct request_facts *facts, const __u8 *text)
{
	__u64 roll = 0;

	write_through(&facts->host_at, 0);
	write_through(&facts->path_end, 0);
	write_through(&facts->head_end, 0);
	for (__u64 i = PATH_AT; i < TT_PATH_MAX; i++) {
		if (i < read_back(&facts->len) && (text[i] == ' ' || text[i] == '?')) {
			write_through(&facts->path_end, i);
			break;
		}
	}
	for (__u64 i = 0; i < TT_HEAD_WINDOW; i++) {
		if (i >= read_back(&facts->len))
			break;
		roll = roll << 8 | text[i];
		if (((roll | HOST_FIELD_CASE) & HOST_FIELD_MASK) == HOST_FIELD) {
			write_through(&facts->host_at, i + 1);
			break;
		}
		if ((__u32)roll == HEAD_END) {
			write_through(&facts->head_end, 1);
			break;
		}
	}
}

/* Bytes of a request that are looked at: a Host that begins in the window is whole. */
#define LOOK_BYTES (TT_HEAD_WINDOW + TT_HOST_MAX)

/* Takes the Host field's value, without a leading space, into conn->host. */
static __always_inline void take_host(struct conn *conn, struct request_facts *facts,
				      const __u8 *text)
{
	__u64 at = read_back(&facts->host_at);

	barrier_var(at);
	if (at < LOOK_BYTES && text[at] == ' ')
		write_through(&facts->host_at, at + 1);
	for (__u64 i = 0; i < TT_HOST_MAX; i++) {
		at = read_back(&facts->host_at) + i;
		barrier_var(at);
		conn->host[i] = at < LOOK_BYTES && at < read_back(&facts->len) ? text[at] : 0;
	}
}

/* What the server name says; TT_UNKNOWN: nothing. */
static __always_inline __u32 name_verdict(const struct conn *conn)
{
	if (conn->host_class == TT_HOST_PROVIDER)
		return TT_WATCHED;
	return conn->host_class == TT_HOST_NEVER ? TT_MUTED_NEVER : TT_UNKNOWN;
}

/* What an HTTP/1.1 request that was just written says. rec->env is scratch. */
static __always_inline __u32 request_verdict(const struct call *call, struct tt_rec_open *rec)
{
	struct request_facts *facts = (void *)&rec->env[LOOK_BYTES];
	struct conn *conn = call->conn;
	__u64 len = call_len(call), start = read_back(&conn->start);
	__u32 class;

	if (len > LOOK_BYTES)
		len = LOOK_BYTES;
	if (bpf_probe_read_user(rec->env, len, (void *)call->buf)) {
		add_to(&lost, TT_LOST_USER_COPY, 1);
		return TT_UNKNOWN;
	}
	facts->len = len;
	request_look(facts, rec->env);
	if (read_back(&facts->host_at)) {
		take_host(conn, facts, rec->env);
		class = host_class(conn);
		if (class == TT_HOST_PROVIDER)
			return TT_WATCHED;
		if (class == TT_HOST_NEVER)
			return TT_MUTED;
	}
	if (start != START_POST)
		return TT_MUTED;
	if (read_back(&facts->path_end) &&
	    suffix_class(&paths, (char *)rec->env, TT_PATH_MAX, PATH_AT, &facts->path_end))
		return TT_CANDIDATE;
	/* Host not seen: a longer head, or more writes. It may be a listed one. */
	return read_back(&facts->host_at) || read_back(&facts->head_end) ? TT_MUTED : TT_CANDIDATE;
}

/* Counts each verdict once per connection, however often it flaps. */
static __always_inline void set_verdict(struct conn *conn, __u32 verdict)
{
	conn->verdict = verdict;
	if (verdict == TT_UNKNOWN || verdict == conn->counted || verdict >= TT_VERDICTS)
		return;
	conn->counted = verdict;
	if (verdict == TT_MUTED && conn->start == START_PREFACE)
		add_to(&gate_stats, TT_STAT_MUTED_HTTP2, 1);
	else
		add_to(&gate_stats, TT_STAT_VERDICT_FIRST + verdict, 1);
}

/* A request was written: decides, and opens the connection when it is to be read. */
static __always_inline void gate_request(const struct call *call, enum start start)
{
	struct conn *conn = call->conn;
	struct tt_rec_open *rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	__u32 verdict;

	if (!rec) {
		add_to(&lost, TT_LOST_RING_FULL, 1);
		conn->verdict = TT_UNKNOWN;
		return;
	}
	verdict = name_verdict(conn);
	if (verdict == TT_UNKNOWN)
		verdict = start == START_PREFACE ? TT_MUTED : request_verdict(call, rec);
	if (verdict != TT_CANDIDATE && verdict != TT_WATCHED) {
		bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
		set_verdict(conn, verdict);
		return;
	}
	entry_remove(&judgements, TT_TABLE_JUDGEMENTS, &call->key);
	if (conn->opened && !conn->ended)
		conn->generation++;
	conn->opened = 1;
	conn->ended = 0;
	conn->taken_bytes = 0;
	conn->offset[TT_WRITE] = 0;
	conn->offset[TT_READ] = 0;
	conn->gap[TT_WRITE] = 0;
	conn->gap[TT_READ] = 0;
	set_verdict(conn, verdict);
	submit_open(rec, call);
}

/*
 * HTTP/2 without a verdict: opened for a reader that is gone, or the ring was full. It is joined at
 * the next write, whatever that carries.
 */
static __always_inline int may_join(const struct conn *conn)
{
	return conn->start == START_PREFACE && conn->verdict == TT_UNKNOWN;
}

/* Unknown, or ended by SSL_free/SSL_clear: does this call begin a request, and who is the client?
 */
static __always_inline void gate_look(const struct call *call)
{
	struct conn *conn = call->conn;
	enum start start = read_start(call->buf, call_len(call));

	if (start == START_NONE && call->dir == TT_WRITE &&
	    may_become_post(call->buf, call_len(call)))
		start = START_POST;
	if (start == START_NONE && may_join(conn)) {
		if (call->dir == TT_READ)
			return;
		start = START_PREFACE;
	}
	if (start == START_NONE || (start == START_RESPONSE && call->dir == TT_READ)) {
		if (conn->verdict == TT_UNKNOWN && ++conn->unknown_calls >= TT_UNKNOWN_MAX)
			set_verdict(conn, TT_MUTED);
		return;
	}
	write_through(&conn->start, start);
	if (call->dir == TT_WRITE && start != START_RESPONSE)
		gate_request(call, start);
	else
		set_verdict(conn, TT_MUTED_SERVER);
}

/* How many bytes of this call to take from a candidate. 0: it used up its room. */
static __always_inline __u64 candidate_room(const struct call *call, __u64 take)
{
	__u64 limit = TT_CANDIDATE_MAX, taken = call->conn->taken_bytes;

	if (call->dir == TT_WRITE)
		limit -= TT_CANDIDATE_ANSWER_MIN;
	if (taken >= limit)
		return 0;
	if (take > limit - taken)
		take = limit - taken;
	call->conn->taken_bytes += take;
	return take;
}

static __always_inline void apply_judgement(const struct call *call)
{
	__u32 *verdict = bpf_map_lookup_elem(&judgements, &call->key);

	if (verdict)
		set_verdict(call->conn, *verdict == TT_WATCHED ? TT_WATCHED : TT_MUTED);
}

/* One successful call of call->len > 0 bytes. */
static __always_inline void gate_call(const struct call *call)
{
	struct conn *conn = call->conn;
	__u64 take = call->len;

	write_through(&conn->take[call->dir & 1], take);
	if (conn->verdict == TT_CANDIDATE)
		apply_judgement(call);
	if (conn->verdict == TT_UNKNOWN || conn->ended)
		gate_look(call);
	if (conn->verdict != TT_CANDIDATE && conn->verdict != TT_WATCHED)
		return;
	if (take > TT_CALL_MAX) {
		take = TT_CALL_MAX;
		add_to(&lost, TT_LOST_CALL_TOO_LONG, 1);
	}
	if (conn->verdict == TT_CANDIDATE) {
		take = candidate_room(call, take);
		if (take == 0 && call->dir == TT_READ) {
			set_verdict(conn, TT_MUTED);
			return;
		}
	}
	write_through(&conn->take[call->dir & 1], take);
	emit_call(call);
	conn->offset[call->dir & 1] += call->len;
}

#endif
