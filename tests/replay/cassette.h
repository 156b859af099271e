/* SPDX-License-Identifier: Apache-2.0 */
/* A recording: what stood on the wire, and what is to come of it. */
#ifndef TT_TEST_CASSETTE_H
#define TT_TEST_CASSETTE_H

#include "wire.h"

#include <cjson/cJSON.h>

struct cassette {
	char name[600];
	cJSON *expected;
	struct bytes request_head, request_body, response_head, response_body;
	struct bytes frames; /* of a session: a message a line, in place of the four */
};

static const cJSON *member(const struct cassette *c, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(c->expected, key);
}

static const char *text_member(const struct cassette *c, const char *key)
{
	const char *text = cJSON_GetStringValue(member(c, key));

	return text ? text : "";
}

static void cassette_free(struct cassette *c)
{
	cJSON_Delete(c->expected);
	bytes_free(&c->request_head);
	bytes_free(&c->request_body);
	bytes_free(&c->response_head);
	bytes_free(&c->response_body);
	bytes_free(&c->frames);
}

static bool cassette_load(struct cassette *c, const char *dir, const char *name)
{
	struct bytes text = file_bytes(dir, "expected.json");

	memset(c, 0, sizeof(*c));
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->expected = text.ptr ? cJSON_Parse(text.ptr) : NULL;
	bytes_free(&text);
	if (!c->expected)
		return false;
	c->frames = file_bytes(dir, "frames.jsonl");
	if (c->frames.ptr)
		return true;
	c->request_head = file_bytes(dir, "request.head");
	c->request_body = file_bytes(dir, "request.body");
	c->response_head = file_bytes(dir, "response.head");
	c->response_body = file_bytes(dir, "response.body");
	if (c->response_body.len > 2 && memcmp(c->response_body.ptr, "\x1f\x8b", 2) == 0) {
		struct bytes plain = gzip(&c->response_body, true);

		bytes_free(&c->response_body);
		c->response_body = plain;
	}
	return true;
}

#endif
