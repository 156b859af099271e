/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any split gives the same values; nothing comes after broken; memory does not follow the input. A
 * document that cJSON takes too has the same leaves.
 */
#include <cjson/cJSON.h>

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
	"bytes~",
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

static void on_piece(void *user, size_t path, struct slice bytes)
{
	struct run *r = user;

	must_hold(r->result != JSON_BROKEN && path == ARRAY_LEN(paths) - 1 && bytes.len);
	trace_bytes(&r->trace, bytes.ptr, bytes.len);
}

static const struct json_ops ops = {.value = on_value, .object = on_object, .piece = on_piece};

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

/* ---- cJSON as oracle ------------------------------------------------------------------------ */

#define ORACLE_DEPTH_MAX (JSON_DEPTH_MAX - 2)
#define ORACLE_TEXT_MAX	 64 /* bytes of a text that are compared, beside its length */
#define ORACLE_DIGITS	 60 /* cJSON reads 63 bytes of a number */

struct leaves {
	struct trace trace;
	bool beyond; /* past a limit of one of the two: not compared */
};

static void leaf(struct leaves *l, char kind, struct slice tail, struct slice text, uint64_t len)
{
	if (text.len > ORACLE_TEXT_MAX)
		text.len = ORACLE_TEXT_MAX;
	trace_event(&l->trace, kind, len);
	trace_bytes(&l->trace, tail.ptr, tail.len);
	trace_bytes(&l->trace, text.ptr, text.len);
}

static void leaf_number(struct leaves *l, struct slice tail, double number)
{
	leaf(l, 'n', tail, (struct slice){(const char *)&number, sizeof(number)}, 0);
}

static void on_leaf(void *user, const struct json_value *v)
{
	static const char kinds[] = {[JSON_TRUE] = 't', [JSON_FALSE] = 'f', [JSON_NULL] = '0'};
	struct leaves *l = user;
	char text[JSON_NUMBER_MAX + 1] = "";

	if (v->type == JSON_STRING) {
		leaf(l, 's', v->tail, v->text, v->text_len);
	} else if (v->type == JSON_NUMBER) {
		memcpy(text, v->text.ptr, v->text.len);
		l->beyond |= v->text.len > ORACLE_DIGITS;
		leaf_number(l, v->tail, strtod(text, NULL));
	} else {
		leaf(l, kinds[v->type], v->tail, SLICE(""), 0);
	}
}

static void flatten(struct leaves *l, struct slice tail, const cJSON *node, int depth)
{
	const cJSON *child;
	char path[JSON_TAIL_MAX + JSON_KEY_MAX + 8];
	int index = 0;

	l->beyond |= depth > ORACLE_DEPTH_MAX || tail.len > JSON_TAIL_MAX;
	if (l->beyond)
		return;
	if (cJSON_IsString(node))
		leaf(l, 's', tail, slice_of(node->valuestring), strlen(node->valuestring));
	else if (cJSON_IsNumber(node))
		leaf_number(l, tail, node->valuedouble);
	else if (!cJSON_IsObject(node) && !cJSON_IsArray(node))
		leaf(l,
		     cJSON_IsTrue(node)	   ? 't'
		     : cJSON_IsFalse(node) ? 'f'
					   : '0',
		     tail, SLICE(""), 0);
	cJSON_ArrayForEach(child, node)
	{
		const char *dot = tail.len ? "." : "";
		int n;

		if (cJSON_IsArray(node))
			n = snprintf(path, sizeof(path), "%.*s%s[%d]", SLICE_FMT(tail), dot,
				     index++);
		else if (strlen(child->string) < JSON_KEY_MAX)
			n = snprintf(path, sizeof(path), "%.*s%s%s", SLICE_FMT(tail), dot,
				     child->string);
		else
			n = JSON_TAIL_MAX + 1;
		l->beyond |= n > JSON_TAIL_MAX;
		if (!l->beyond)
			flatten(l, (struct slice){path, (size_t)n}, child, depth + 1);
	}
}

static bool is_space(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!strchr(" \t\r\n", s.ptr[i]))
			return false;
	}
	return true;
}

/* Without bare scalars, which lie below nothing, and NULs, which end cJSON's strings. */
static void must_have_the_same_leaves(struct slice text)
{
	static const struct json_ops leaf_ops = {.value = on_leaf};
	static const char *const all[] = {"**"};
	static struct json_paths *list;
	struct leaves ours = {0}, theirs = {0};
	struct json_scan *scan;
	const char *end;
	cJSON *root;

	if (memchr(text.ptr, '\0', text.len) || memmem(text.ptr, text.len, "u0000", 5))
		return;
	root = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, false);
	if (!(cJSON_IsObject(root) || cJSON_IsArray(root)) ||
	    !is_space((struct slice){end, (size_t)(text.ptr + text.len - end)})) {
		cJSON_Delete(root);
		return;
	}
	flatten(&theirs, SLICE(""), root, 1);
	cJSON_Delete(root);
	if (!list && json_paths_new(&list, all, 1))
		abort();
	if (json_scan_new(&scan, list, &leaf_ops, &ours))
		abort();
	if (json_scan_feed(scan, text) != JSON_BROKEN && json_scan_eof(scan) == JSON_DONE)
		must_hold(ours.beyond || theirs.beyond || trace_eq(&ours.trace, &theirs.trace));
	json_scan_free(scan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole = run((struct cutter){data, size, 0, 0});
	struct run cut = run((struct cutter){data, size, 0, 1 + (uint32_t)size});

	must_hold(whole.result == cut.result && trace_eq(&whole.trace, &cut.trace));
	must_have_the_same_leaves((struct slice){(const char *)data, size});
	return 0;
}
