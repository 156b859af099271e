/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/request.h"

#include "agent/base/counters.h"
#include "agent/base/money.h"
#include "agent/decode/decode.h"
#include "agent/exchange/clients.h"
#include "agent/exchange/estimate.h"
#include "agent/exchange/exchange.h"
#include "agent/exchange/grpc_request.h"
#include "agent/exchange/multipart.h"
#include "agent/exchange/privacy.h"
#include "agent/json/scan.h"
#include "agent/runs/link.h"

#include <errno.h>
#include <stdio.h>

/* ---- heads ----------------------------------------------------------------------------------- */

/* Where request ids stand when the provider's own header is missing. */
static const char *const request_id_headers[] = {"x-request-id", "request-id", "apim-request-id"};

static void set_attempt(struct call *call, const struct http_head *head)
{
	int64_t retries;

	call->attempt = 1;
	if (decimal_parse(http_head_get(head, "x-stainless-retry-count"), 0, &retries) &&
	    retries < 1000)
		call->attempt = (int)retries + 1;
}

void request_head_facts(const struct exchange_env *env, struct call *call,
			const struct http_head *head)
{
	set_attempt(call, head);
	privacy_keep_head(env, call, FROM_HEADER, head);
	if (!env->privacy || !env->privacy->minimal)
		clients_read(call, head);
}

/* AWS names the error in the head: "ThrottlingException:http://...". */
static void set_aws_error(struct call *call, const struct http_head *head)
{
	struct slice type = http_head_get(head, "x-amzn-errortype");
	size_t n = 0;

	while (n < type.len && (type.ptr[n] | 0x20) >= 'a' && (type.ptr[n] | 0x20) <= 'z')
		n++;
	if (head->status >= 300)
		slice_copy(call->error_class, sizeof(call->error_class),
			   (struct slice){type.ptr, n});
}

void response_head_facts(const struct exchange_env *env, struct call *call,
			 const struct http_head *head, const char *id_header)
{
	struct slice id = id_header ? http_head_get(head, id_header) : (struct slice){NULL, 0};

	for (size_t i = 0; i < ARRAY_LEN(request_id_headers) && !id.len; i++)
		id = http_head_get(head, request_id_headers[i]);
	slice_copy(call->request_id, sizeof(call->request_id), id);
	set_aws_error(call, head);
	privacy_keep_head(env, call, FROM_ANSWER, head);
}

/* The authority of an absolute-form target (RFC 9112 3.2.2), or {NULL, 0}. */
static struct slice target_authority(struct slice target)
{
	const char *scheme = target.len ? memmem(target.ptr, target.len, "://", 3) : NULL;
	const char *end, *slash;

	if (!scheme || target.ptr[0] == '/')
		return (struct slice){NULL, 0};
	end = target.ptr + target.len;
	scheme += 3;
	slash = memchr(scheme, '/', (size_t)(end - scheme));
	return (struct slice){scheme, (size_t)((slash ? slash : end) - scheme)};
}

void request_host(struct call *call, const struct http_head *head, const char *hint)
{
	struct slice host = target_authority(head->target), port = SLICE(":443");

	if (!host.len)
		host = http_head_get(head, "host");
	if (!host.len)
		host = slice_of(hint);
	if (slice_ends(host, port))
		host.len -= port.len;
	slice_copy(call->host, sizeof(call->host), host);
	for (char *c = call->host; *c; c++)
		*c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

enum body_field {
	BODY_TEXT,
	BODY_STREAM,
	BODY_VALUE,
	BODY_USAGE,
	BODY_CHARACTERS,
	BODY_LINK,
	BODY_PROMPT,
	BODY_MESSAGE,
	BODY_TOOL
};

/*
 * offset: where a BODY_TEXT goes in struct call; folder: a BODY_VALUE's name without its tail;
 * size: of the text, or as which link (enum run_source) a BODY_VALUE or BODY_LINK joins runs.
 */
static const struct body_row {
	enum body_field field;
	size_t offset;
	size_t size;
	const char *folder;
} body_rows[] = {
	{BODY_TEXT, offsetof(struct call, model_requested), CALL_NAME_MAX, NULL},
	{BODY_TEXT, offsetof(struct call, service_tier), sizeof(((struct call *)0)->service_tier),
	 NULL},
	{BODY_TEXT, offsetof(struct call, inference_geo), sizeof(((struct call *)0)->inference_geo),
	 NULL},
	{BODY_TEXT, offsetof(struct call, speed), sizeof(((struct call *)0)->speed), NULL},
	{BODY_STREAM, 0, 0, NULL},
	{BODY_VALUE, 0, 0, "user"},
	{BODY_VALUE, 0, 0, "safety_identifier"},
	{BODY_VALUE, 0, 0, "prompt_cache_key"},
	{BODY_VALUE, 0, RUN_BY_RESPONSE, "previous_response_id"},
	{BODY_VALUE, 0, RUN_BY_CONVERSATION, "conversation"},
	{BODY_VALUE, 0, RUN_BY_CONVERSATION, "conversation.id"},
	{BODY_VALUE, 0, 0, "metadata."},
	{BODY_VALUE, 0, 0, "requestMetadata."},
	{BODY_VALUE, 0, 0, "labels."},
	{BODY_USAGE, 0, 0, NULL},
	{BODY_CHARACTERS, 0, 0, NULL},
	{BODY_LINK, 0, RUN_BY_TOOL_CALL, NULL},
	{BODY_LINK, 0, RUN_BY_TOOL_CALL, NULL},
	{BODY_LINK, 0, RUN_BY_TOOL_CALL, NULL},
	{BODY_LINK, 0, RUN_BY_TOOL_CALL, NULL},
	{BODY_MESSAGE, 0, 0, NULL},
	{BODY_PROMPT, 0, 0, NULL},
	{BODY_PROMPT, 0, 0, NULL},
	{BODY_PROMPT, 0, 0, NULL},
	{BODY_PROMPT, 0, 0, NULL},
	{BODY_PROMPT, 0, 0, NULL},
	{BODY_PROMPT, 0, 0, NULL},
	{BODY_PROMPT, 0, 0, NULL},
	{BODY_PROMPT, 0, 0, NULL},
	{BODY_TOOL, 0, 0, NULL},
};

/* Same order as body_rows. */
static const char *const body_paths[] = {
	"model",
	"service_tier",
	"inference_geo",
	"speed",
	"stream",
	"user",
	"safety_identifier",
	"prompt_cache_key",
	"previous_response_id",
	"conversation",
	"conversation.id",
	"metadata.**",
	"requestMetadata.**",
	"labels.**",
	"stream_options.include_usage",
	"input~",
	"messages[].tool_call_id",
	"messages[].content[].tool_use_id",
	"messages[].content[].toolResult.toolUseId",
	"input[].call_id",
	"messages[]{}",
	"messages[].content~",
	"messages[].content[].text~",
	"messages[].name~",
	"messages[].tool_calls[].function.name~",
	"messages[].tool_calls[].function.arguments~",
	"prompt~",
	"tools[].function.name~",
	"tools[].function.description~",
	"tools[].function.parameters.**",
};
_Static_assert(ARRAY_LEN(body_rows) == ARRAY_LEN(body_paths), "one row per path");

/* From here on they are text that is only counted: without an estimate nobody looks at it. */
static size_t body_path_count(const struct request_units *units)
{
	size_t n = 0;

	while (n < ARRAY_LEN(body_rows) && (units->estimate || body_rows[n].field < BODY_PROMPT))
		n++;
	return n;
}

struct request_body {
	const struct exchange_env *env;
	struct call *call;
	struct request_units *units;
	bool is_form;
	struct multipart form;
	struct grpc_request *grpc; /* NULL: it is none */
	struct json_paths *paths;
	struct json_scan *scan;
	struct decode *decode;
	bool readable;
};

/* "properties.city.type" -> "type" */
static struct slice last_key(struct slice tail)
{
	const char *dot = tail.len ? memrchr(tail.ptr, '.', tail.len) : NULL;

	return dot ? (struct slice){dot + 1, tail.len - (size_t)(dot + 1 - tail.ptr)} : tail;
}

static void add_link(struct request_body *b, const struct body_row *row, const struct json_value *v)
{
	if (row->size && b->units->link_key && v->type == JSON_STRING && !v->cut)
		link_add(&b->call->asks, b->units->link_key, (enum run_source)row->size, v->text);
}

/* Its tail is of a "**" alone. */
static void keep_value(struct request_body *b, const char *folder, const struct json_value *v)
{
	char name[PRIVACY_NAME_MAX];
	int n = snprintf(name, sizeof(name), "%s%.*s", folder, SLICE_FMT(v->tail));

	if (n > 0 && (size_t)n < sizeof(name)) /* longer ones are not listed */
		privacy_keep_body(b->env, b->call, (struct slice){name, (size_t)n}, v->text);
}

static void on_value(void *user, const struct json_value *v)
{
	struct request_body *b = user;
	const struct body_row *row = &body_rows[v->path];
	bool text = (v->type == JSON_STRING || v->type == JSON_NUMBER) && v->text.len;

	switch (row->field) {
	case BODY_TEXT:
		if (v->type == JSON_STRING)
			slice_copy((char *)b->call + row->offset, row->size, v->text);
		break;
	case BODY_STREAM:
		b->call->stream = v->type == JSON_TRUE;
		if (!b->call->stream)
			estimate_stop(b->units->estimate);
		break;
	case BODY_VALUE:
		if (text)
			keep_value(b, row->folder, v);
		add_link(b, row, v);
		break;
	case BODY_LINK:
		add_link(b, row, v);
		break;
	case BODY_USAGE:
		b->units->usage_asked = v->type == JSON_TRUE;
		if (b->units->usage_asked)
			estimate_stop(b->units->estimate);
		break;
	case BODY_PROMPT:
		estimate_input_end(b->units->estimate);
		break;
	case BODY_TOOL: /* only where text is counted: the last key of a place, and what stands
			   there */
		estimate_input(b->units->estimate, last_key(v->tail));
		estimate_input_end(b->units->estimate);
		estimate_input(b->units->estimate, v->text);
		estimate_input_end(b->units->estimate);
		break;
	case BODY_MESSAGE:
	case BODY_CHARACTERS:
		break; /* an object; in pieces */
	}
}

/* Bytes that open a code point (UTF-8). */
static void on_piece(void *user, size_t path, struct slice bytes)
{
	struct request_body *b = user;

	if (body_rows[path].field == BODY_PROMPT) {
		estimate_input(b->units->estimate, bytes);
		return;
	}
	for (size_t i = 0; i < bytes.len; i++)
		b->units->characters += ((uint8_t)bytes.ptr[i] & 0xc0) != 0x80;
}

static void on_object(void *user, size_t path, bool begin)
{
	struct request_body *b = user;

	if (begin && body_rows[path].field == BODY_MESSAGE)
		estimate_message(b->units->estimate);
}

static const struct json_ops body_ops = {.value = on_value, .object = on_object, .piece = on_piece};

/* A form has the names of JSON, and all of its values are text; so has what gRPC is made into. */
static void on_field(void *user, struct slice name, struct slice value)
{
	struct request_body *b = user;
	struct json_value v = {.type = JSON_STRING, .text = value, .text_len = value.len};

	if (slice_eq(value, SLICE("true")))
		v.type = JSON_TRUE;
	for (; v.path < ARRAY_LEN(body_paths); v.path++) {
		if (slice_eq(name, slice_of(body_paths[v.path])))
			on_value(b, &v);
	}
}

static const struct multipart_ops form_ops = {.field = on_field};
static const struct grpc_request_ops grpc_ops = {.field = on_field};

static void on_decoded(void *user, struct slice bytes)
{
	struct request_body *b = user;

	if (!b->readable)
		return;
	if (b->grpc)
		b->readable = grpc_request_feed(b->grpc, bytes);
	else if (b->is_form)
		b->readable = multipart_feed(&b->form, bytes);
	else
		b->readable = json_scan_feed(b->scan, bytes) != JSON_BROKEN;
}

int request_body_new(struct request_body **out, const struct exchange_env *env, struct call *call,
		     struct request_units *units, const struct http_head *head,
		     const struct request_field *fields)
{
	struct request_body *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->env = env;
	b->call = call;
	b->units = units;
	b->readable = true;
	b->is_form = multipart_init(&b->form, http_head_get(head, "content-type"), &form_ops, b);
	err = json_paths_new(&b->paths, body_paths, body_path_count(units));
	if (!err)
		err = json_scan_new(&b->scan, b->paths, &body_ops, b);
	if (!err && fields)
		err = grpc_request_new(&b->grpc, fields, &grpc_ops, b);
	if (!err)
		err = decode_new(&b->decode, http_head_get(head, "content-encoding"), on_decoded,
				 b);
	if (err) {
		request_body_free(b);
		return err;
	}
	*out = b;
	return 0;
}

void request_body_free(struct request_body *b)
{
	if (!b)
		return;
	decode_free(b->decode);
	grpc_request_free(b->grpc);
	json_scan_free(b->scan);
	json_paths_free(b->paths);
	free(b);
}

bool request_body_feed(struct request_body *b, struct slice bytes)
{
	enum decode_result result = decode_feed(b->decode, bytes);

	if (result != DECODE_OK)
		counter_add(result == DECODE_BOMB ? COUNTER_DECODE_BOMB : COUNTER_DECODE_CODING, 1);
	return result == DECODE_OK && b->readable;
}

size_t request_body_memory(const struct request_body *b)
{
	return b ? sizeof(*b) + json_scan_memory(b->scan) + decode_memory(b->decode) +
			       grpc_request_memory(b->grpc)
		 : 0;
}
