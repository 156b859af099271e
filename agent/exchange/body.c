/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/parts.h"

#include "agent/base/counters.h"
#include "agent/decode/decode.h"
#include "agent/exchange/estimate.h"
#include "agent/exchange/guess.h"
#include "agent/providers/provider.h"
#include "agent/runs/link.h"
#include "agent/usage/meter.h"

#include <errno.h>

static void on_decoded(void *user, struct slice bytes)
{
	struct work *w = user;
	bool content;

	if (w->guess)
		guess_feed(w->guess, bytes);
	else
		meter_feed(w->meter, bytes);
	content = w->guess ? guess_content(w->guess) : meter_facts(w->meter)->content;
	if (!w->first_content_ns && content)
		w->first_content_ns = w->now_ns;
}

static void tell_gap(struct work *w, uint64_t n)
{
	if (w->guess)
		guess_gap(w->guess, n);
	else
		meter_gap(w->meter, n);
}

/* From here on the body cannot be read: what it said so far may not be its last word. */
static void stop_reading(struct work *w)
{
	tell_gap(w, 0);
	decode_free(w->decode);
	w->decode = NULL;
	w->coding_unseen = false;
}

static void decode(struct work *w, struct slice bytes)
{
	enum decode_result result = w->decode ? decode_feed(w->decode, bytes) : DECODE_OK;

	if (result == DECODE_OK)
		return;
	counter_add(result == DECODE_BOMB ? COUNTER_DECODE_BOMB : COUNTER_DECODE_CODING, 1);
	w->undecodable = true;
	stop_reading(w);
}

static bool starts_with(struct slice text, const char *start)
{
	size_t n = strlen(start);

	return text.len >= n && slice_ieq((struct slice){text.ptr, n}, slice_of(start));
}

static enum meter_hint hint_of(const struct http_head *head)
{
	static const struct {
		const char *type;
		enum meter_hint hint;
	} labels[] = {
		{"text/event-stream", METER_SSE},
		{"application/x-ndjson", METER_LINES},
		{"application/stream+json", METER_LINES},
		{"application/vnd.amazon.eventstream", METER_EVENTSTREAM},
	};
	struct slice type = http_head_get(head, "content-type");

	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		if (starts_with(type, labels[i].type))
			return labels[i].hint;
	}
	return METER_PLAIN;
}

/* Counts that stand in the head of a good answer. */
static void read_head_counts(struct work *w, const struct http_head *head)
{
	const struct dialect_head *row = w->dialect->head;

	for (; row && row->header && head->status < 300; row++) {
		struct slice value = http_head_get(head, row->header);

		if (value.len)
			meter_header(w->meter, row, value);
	}
}

static void on_content(void *user, struct slice text)
{
	estimate_output(user, text);
}

static void on_tool_call(void *user, struct slice id)
{
	struct exchange *x = user;

	link_add(&x->work->call.gives, x->env->fingerprint_key, RUN_BY_TOOL_CALL, id);
}

static int begin_meter(struct exchange *x, const struct http_head *head)
{
	struct work *w = x->work;
	enum meter_hint hint = head->unseen ? METER_SSE : hint_of(head);
	struct json_paths *paths;

	if (w->dialect == path_unseen.dialect)
		return guess_new(&w->guess, x->env->providers, x->provider, hint);
	paths = provider_table_paths(x->env->providers, w->dialect);
	if (!paths || meter_new(&w->meter, w->dialect, paths, hint))
		return -ENOMEM;
	if (!w->reads)
		meter_on_tool_call(w->meter, on_tool_call, x);
	if (estimate_goes_on(w->units.estimate))
		meter_on_content(w->meter, on_content, w->units.estimate);
	return 0;
}

static void begin_decode(struct work *w, struct slice coding)
{
	int err = decode_new(&w->decode, coding, on_decoded, w);

	w->coded = coding.len && !slice_ieq(coding, SLICE("identity"));
	if (!err)
		return;
	w->undecodable = true;
	counter_add(err == -ENOMEM ? COUNTER_DECODE_MEMORY : COUNTER_DECODE_CODING, 1);
}

/*
 * The coding that a body's first bytes show, when its field was not seen: text is JSON or events.
 * Brotli has no magic number (RFC 7932); that it begins with one of these pairs is most unlikely.
 */
static struct slice coding_by_start(const char *b)
{
	static const char openers[] = "{[:deir \t\r\n", after_brace[] = "\"} \t\r\n",
			  after_bracket[] = "{\"]0123456789 \t\r\n";

	if (!memcmp(b, "\x1f\x8b", 2))
		return SLICE("gzip"); /* RFC 1952 2.3.1 */
	if (!memcmp(b, "\x28\xb5\x2f\xfd", 4))
		return SLICE("zstd"); /* RFC 8878 3.1.1 */
	if (!memcmp(b, "\xef\xbb\xbf", 3) || !memcmp(b, "\0\0", 2))
		return SLICE("identity"); /* a byte order mark; the length of an AWS event */
	if (!b[0] || !strchr(openers, b[0]) || !b[1] ||
	    (b[0] == '{' && !strchr(after_brace, b[1])) ||
	    (b[0] == '[' && !strchr(after_bracket, b[1])))
		return SLICE("br");
	return SLICE("identity");
}

/* Gathers the first bytes that tell the coding, and decodes them; what is left of `bytes`. */
static struct slice sniff_coding(struct work *w, struct slice bytes)
{
	size_t n = sizeof(w->start) - w->start_len;

	n = bytes.len < n ? bytes.len : n;
	memcpy(w->start + w->start_len, bytes.ptr, n);
	w->start_len += n;
	if (w->start_len == sizeof(w->start)) {
		w->coding_unseen = false;
		begin_decode(w, coding_by_start(w->start));
		decode(w, (struct slice){w->start, w->start_len});
	}
	return (struct slice){bytes.ptr + n, bytes.len - n};
}

void body_begin(struct exchange *x, const struct http_head *head)
{
	struct work *w = x->work;
	struct slice coding = http_head_get(head, "content-encoding");

	if (begin_meter(x, head)) {
		counter_add(COUNTER_DECODE_MEMORY, 1);
		return;
	}
	if (w->reads)
		reading_begin(x);
	read_head_counts(w, head);
	/* Within a body no bytes tell its coding; gRPC codes its messages one by one. */
	w->coding_unseen =
		head->cut && !coding.len && !head->unseen && w->dialect->wire == WIRE_JSON;
	if (!w->coding_unseen)
		begin_decode(w, coding);
}

static void judge_body(struct exchange *x)
{
	const struct meter_facts *facts;

	if (!x->work->meter)
		return;
	facts = meter_facts(x->work->meter);
	if (facts->marked)
		exchange_judge(x, JUDGE_WATCH);
	else if (facts->alien)
		exchange_judge(x, JUDGE_MUTE);
}

void body_feed(struct exchange *x, struct slice bytes)
{
	struct work *w = x->work;

	if (w->coding_unseen)
		bytes = sniff_coding(w, bytes);
	if (!w->decode)
		return;
	if (bytes.len)
		decode(w, bytes);
	judge_body(x);
}

void body_gap(struct work *w, uint64_t n)
{
	if (!w->meter && !w->guess)
		return;
	/* Compressed bytes mean nothing without those before them. */
	if (w->coded || w->coding_unseen)
		stop_reading(w);
	else
		tell_gap(w, n);
}
