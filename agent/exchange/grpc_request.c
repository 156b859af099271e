/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/grpc_request.h"

#include "agent/grpc/grpc.h"
#include "agent/grpc/protobuf.h"
#include "agent/usage/dialect.h"

#include <errno.h>

#define FIELDS_MAX 16

struct grpc_request {
	const struct request_field *fields;
	const struct grpc_request_ops *ops;
	void *user;
	bool over;
	struct grpc grpc;
	struct protobuf_scan *protobuf;
};

static struct slice behind(struct slice text, const char *mark)
{
	const char *end = text.ptr + text.len;
	const char *at = mark && text.len ? memmem(text.ptr, text.len, mark, strlen(mark)) : NULL;

	if (!at)
		return text;
	at += strlen(mark);
	return (struct slice){at, (size_t)(end - at)};
}

static void on_value(void *user, const struct json_value *v)
{
	struct grpc_request *r = user;
	const struct request_field *field = &r->fields[v->path];

	if (!v->cut)
		r->ops->field(r->user, slice_of(field->name), behind(v->text, field->behind));
}

static const struct json_ops value_ops = {.value = on_value};

static void message_begin(void *user)
{
	(void)user;
}

static void message_data(void *user, struct slice piece)
{
	struct grpc_request *r = user;

	if (!r->over)
		protobuf_scan_feed(r->protobuf, piece);
}

static void message_end(void *user, bool sound)
{
	struct grpc_request *r = user;

	(void)sound;
	r->over = true;
}

static void message_lost(void *user)
{
	struct grpc_request *r = user;

	r->over = true;
}

static const struct grpc_ops message_ops = {
	.begin = message_begin,
	.data = message_data,
	.end = message_end,
	.lost = message_lost,
};

static int open_protobuf(struct grpc_request *r)
{
	const char *wanted[FIELDS_MAX];
	struct json_paths *paths = NULL;
	size_t count = 0;
	int err;

	for (; r->fields[count].path && count < FIELDS_MAX; count++)
		wanted[count] = r->fields[count].path;
	err = json_paths_new(&paths, wanted, count);
	if (!err)
		err = protobuf_scan_new(&r->protobuf, paths, &value_ops, r);
	json_paths_free(paths); /* the scanner keeps it */
	return err;
}

int grpc_request_new(struct grpc_request **out, const struct request_field *fields,
		     const struct grpc_request_ops *ops, void *user)
{
	struct grpc_request *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->fields = fields;
	r->ops = ops;
	r->user = user;
	grpc_init(&r->grpc, &message_ops, r);
	if (open_protobuf(r)) {
		grpc_request_free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void grpc_request_free(struct grpc_request *r)
{
	if (!r)
		return;
	grpc_free(&r->grpc);
	protobuf_scan_free(r->protobuf);
	free(r);
}

bool grpc_request_feed(struct grpc_request *r, struct slice bytes)
{
	grpc_feed(&r->grpc, bytes);
	return !r->over;
}

size_t grpc_request_memory(const struct grpc_request *r)
{
	return r ? sizeof(*r) + protobuf_scan_memory(r->protobuf) + grpc_memory(&r->grpc) : 0;
}
