/* SPDX-License-Identifier: Apache-2.0 */
/* Any split gives the same values; nothing comes after broken; memory does not follow the input. */
#include "agent/base/money.h"
#include "agent/json/scan.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY_MAX (64u << 10)

static const char *const paths[] = {
	"id",
	"usage.prompt_tokens",
	"choices[].delta.content",
	"usage.**",
	"[].id",
	"output[].type",
	"output[]{}",
	"error.message",
	"a.b.c.d",
};

struct run {
	struct trace trace;
	enum json_result result;
};

static void on_value(void *user, const struct json_value *value)
{
	struct run *r = user;
	int64_t number = 0;

	must_hold(r->result != JSON_BROKEN && value->path < ARRAY_LEN(paths));
	must_hold(value->text.len <= JSON_STRING_MAX && value->type <= JSON_NULL);
	trace_event(&r->trace, 'v', (uint64_t)value->path << 8 | value->type);
	trace_event(&r->trace, 'l', value->text_len);
	trace_bytes(&r->trace, value->text.ptr, value->text.len);
	trace_bytes(&r->trace, value->tail.ptr, value->tail.len);
	if (value->type == JSON_NUMBER && decimal_parse(value->text, 0, &number))
		must_hold(number >= 0);
}

static void on_object(void *user, size_t path, bool begin)
{
	struct run *r = user;

	must_hold(r->result != JSON_BROKEN && path < ARRAY_LEN(paths));
	trace_event(&r->trace, begin ? '{' : '}', path);
}

static const struct json_ops ops = {.value = on_value, .object = on_object};

static struct json_paths *compiled(void)
{
	static struct json_paths *list;

	if (!list && json_paths_new(&list, paths, ARRAY_LEN(paths)))
		abort();
	return list;
}

static struct run run(struct cutter cutter)
{
	struct run r = {.result = JSON_MORE};
	struct json_scan *scan;
	struct slice piece;

	if (json_scan_new(&scan, compiled(), &ops, &r))
		abort();
	while (next_piece(&cutter, &piece)) {
		r.result = json_scan_feed(scan, piece);
		must_hold(json_scan_memory(scan) <= MEMORY_MAX);
	}
	r.result = json_scan_eof(scan);
	json_scan_free(scan);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole = run((struct cutter){data, size, 0, 0});
	struct run cut = run((struct cutter){data, size, 0, 1 + (uint32_t)size});

	must_hold(whole.result == cut.result && trace_eq(&whole.trace, &cut.trace));
	return 0;
}
