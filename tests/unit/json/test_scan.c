/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/json/scan.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- events as text ---------------------------------------------------------------------------
 */

struct log {
	char *text;
	size_t len, cap;
};

static void log_add(struct log *l, const char *bytes, size_t n)
{
	if (n + 1 > l->cap - l->len) {
		char *grown = realloc(l->text, (l->cap + n) * 2 + 64);

		assert_non_null(grown);
		l->text = grown;
		l->cap = (l->cap + n) * 2 + 64;
	}
	memcpy(l->text + l->len, bytes, n);
	l->len += n;
	l->text[l->len] = '\0';
}

static void log_text(struct log *l, const char *text)
{
	log_add(l, text, strlen(text));
}

static void log_free(struct log *l)
{
	free(l->text);
	*l = (struct log){0};
}

static const char type_mark[] = {[JSON_STRING] = 's',
				 [JSON_NUMBER] = 'n',
				 [JSON_TRUE] = 't',
				 [JSON_FALSE] = 'f',
				 [JSON_NULL] = '0'};

static void on_value(void *user, const struct json_value *v)
{
	char head[64];

	snprintf(head, sizeof(head), "%zu%c", v->path, type_mark[v->type]);
	log_text(user, head);
	if (v->tail.len) {
		log_text(user, "@");
		log_add(user, v->tail.ptr, v->tail.len);
	}
	if (v->cut || (!v->text.len && v->text_len)) {
		snprintf(head, sizeof(head), "%s%llu", v->cut ? "~" : "#",
			 (unsigned long long)v->text_len);
		log_text(user, head);
	}
	if (!v->cut && v->text.len) {
		log_text(user, "=");
		log_add(user, v->text.ptr, v->text.len);
	}
	log_text(user, ";");
}

static void on_object(void *user, size_t path, bool begin)
{
	char text[32];

	snprintf(text, sizeof(text), "%zu%c;", path, begin ? '{' : '}');
	log_text(user, text);
}

static const struct json_ops ops = {.value = on_value, .object = on_object};

/* Feeds text cut at `at` (SIZE_MAX = byte by byte), ends it, returns the last result. */
static enum json_result scan(struct json_paths *paths, struct slice text, size_t at,
			     struct log *out)
{
	struct json_scan *s = NULL;
	enum json_result r = JSON_MORE;

	assert_int_equal(json_scan_new(&s, paths, &ops, out), 0);
	if (at == SIZE_MAX) {
		for (size_t i = 0; i < text.len; i++)
			r = json_scan_feed(s, (struct slice){text.ptr + i, 1});
	} else {
		r = json_scan_feed(s, (struct slice){text.ptr, at});
		r = json_scan_feed(s, (struct slice){text.ptr + at, text.len - at});
	}
	r = json_scan_eof(s);
	json_scan_free(s);
	return r;
}

/* ---- tables ------------------------------------------------------------------------------------
 */

static const char *const table_paths[] = {
	"usage.prompt_tokens",	/* 0 */
	"choices[].delta.text", /* 1 */
	"usage.**",		/* 2 */
	"out[]{}",		/* 3 */
	"out[].type",		/* 4 */
	"body#",		/* 5 */
	"{}",			/* 6 */
	"[].id",		/* 7 */
};

static const struct {
	const char *text;
	const char *events;
	enum json_result result;
} good[] = {
	{"{\"usage\":{\"prompt_tokens\":12}}", "6{;0n=12;2n@prompt_tokens=12;6};", JSON_DONE},
	{" { \"usage\" : null } ", "6{;6};", JSON_DONE},
	{"{\"usage\":{\"a\":{\"b\":[1,{\"c\":true}]},\"d\":null}}",
	 "6{;2n@a.b.[0]=1;2t@a.b.[1].c;20@d;6};", JSON_DONE},
	{"{\"choices\":[{\"delta\":{\"text\":\"a\\n\\u00e9\\ud83d\\ude00\\/\"}},{\"delta\":{}}]}",
	 "6{;1s=a\n\xc3\xa9\xf0\x9f\x98\x80/;6};", JSON_DONE},
	{"{\"choices\":[{\"delta\":{\"text\":\"\\ud83d!\\udc00\\ud800\"}}]}",
	 "6{;1s=\xef\xbf\xbd!\xef\xbf\xbd\xef\xbf\xbd;6};", JSON_DONE},
	{"{\"out\":[{\"type\":\"x\"},{\"type\":1},3,[{\"type\":2}]]}",
	 "6{;3{;4s=x;3};3{;4n=1;3};6};", JSON_DONE},
	{"{\"body\":\"h\\u00e9llo\"}", "6{;5s#6;6};", JSON_DONE},
	{"{\"body\":\"\"}", "6{;5s;6};", JSON_DONE},
	{"[{\"id\":1},{\"id\":\"2\"}]", "7n=1;7s=2;", JSON_DONE},
	{"{\"a\":1}\n{\"usage\":{\"prompt_tokens\":-2.5e+3}}\n",
	 "6{;6};6{;0n=-2.5e+3;2n@prompt_tokens=-2.5e+3;6};", JSON_DONE},
	{"{\"usage\":{\"prompt_tokens\":1,\"prompt_tokens\":2}}",
	 "6{;0n=1;2n@prompt_tokens=1;0n=2;2n@prompt_tokens=2;6};", JSON_DONE},
	{"{\"us\\u0061ge\":{\"prompt_tokens\":0}}", "6{;0n=0;2n@prompt_tokens=0;6};", JSON_DONE},
	{"{\"data\":[[0.1, -2,3e5 ,4],[5,6]],\"usage\":{\"prompt_tokens\":7}}",
	 "6{;0n=7;2n@prompt_tokens=7;6};", JSON_DONE},
	{"{\"data\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,\"],[\",{\"usage\":0},"
	 "[0.0123456,0.0123456,0.0123456,0.0123456,0.0123456],null,8],\"usage\":{\"d\":1}}",
	 "6{;2n@d=1;6};", JSON_DONE},
	{"17", "", JSON_DONE},
	{"\"usage\"", "", JSON_DONE},
	{"", "", JSON_MORE},
	{"{\"usage\":{\"prompt_tokens\":12", "6{;", JSON_MORE},
	{"{\"usage\":{\"prompt_tokens\":12,", "6{;0n=12;2n@prompt_tokens=12;", JSON_MORE},
};

static const char *const bad[] = {
	"{\"a\":01}",
	"{\"a\":1.}",
	"{\"a\":.5}",
	"{\"a\":+1}",
	"{\"a\":1e}",
	"{\"a\":tru}",
	"{a:1}",
	"{\"a\" 1}",
	"{\"a\":1,}",
	"[1,]",
	"[1}",
	"{\"a\":1]",
	"}",
	"<html>",
	"{\"a\":\"\\x\"}",
	"{\"a\":\"\\u12g4\"}",
	"nul ",
	"[1 2]",
	"{\"a\"}",
	"{,}",
	"[DONE]",
	"-x",
};

static void tables(void **state)
{
	struct json_paths *paths = NULL;

	(void)state;
	assert_int_equal(json_paths_new(&paths, table_paths, ARRAY_LEN(table_paths)), 0);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct slice text = slice_of(good[i].text);

		for (size_t at = 0; at <= text.len + 1; at++) {
			struct log out = {0};

			log_text(&out, "");
			assert_int_equal(scan(paths, text, at > text.len ? SIZE_MAX : at, &out),
					 good[i].result);
			assert_string_equal(out.text, good[i].events);
			log_free(&out);
		}
	}
	json_paths_free(paths);
}

static void broken(void **state)
{
	struct json_paths *paths = NULL;

	(void)state;
	assert_int_equal(json_paths_new(&paths, table_paths, ARRAY_LEN(table_paths)), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct slice text = slice_of(bad[i]);
		cJSON *oracle = cJSON_ParseWithOpts(bad[i], NULL, true);

		/* cJSON takes numbers as strtod does and any \\u; RFC 8259 is stricter. */
		if (!strpbrk(bad[i], "0.e+-") && !strstr(bad[i], "\\u"))
			assert_null(oracle);
		cJSON_Delete(oracle);
		for (size_t at = 0; at <= text.len; at++) {
			struct log out = {0};

			if (scan(paths, text, at, &out) != JSON_BROKEN)
				fail_msg("%s passed", bad[i]);
			log_free(&out);
		}
	}
	json_paths_free(paths);
}

static void silent_after_broken(void **state)
{
	struct json_paths *paths = NULL;
	struct json_scan *s = NULL;
	struct log out = {0};
	struct slice fine = SLICE("{\"usage\":{\"prompt_tokens\":1}}");

	(void)state;
	log_text(&out, "");
	assert_int_equal(json_paths_new(&paths, table_paths, 1), 0);
	assert_int_equal(json_scan_new(&s, paths, &ops, &out), 0);
	json_paths_free(paths); /* the scanner keeps its own hold */
	assert_int_equal(json_scan_feed(s, SLICE("{]")), JSON_BROKEN);
	assert_int_equal(json_scan_feed(s, fine), JSON_BROKEN);
	assert_string_equal(out.text, "");
	json_scan_reset(s);
	assert_int_equal(json_scan_feed(s, fine), JSON_DONE);
	assert_string_equal(out.text, "0n=1;");
	json_scan_free(s);
	log_free(&out);
}

static void paths_refused(void **state)
{
	static const char *const twice[] = {"a.b", "a.b"};
	static const char *const wrong[] = {"", ".", "a..b", "a.**.c", "a{}b", "[]["};
	struct json_paths *paths = NULL;

	(void)state;
	assert_int_equal(json_paths_new(&paths, twice, 2), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		if (json_paths_new(&paths, &wrong[i], 1) != -EINVAL)
			fail_msg("path \"%s\" passed", wrong[i]);
	}
	assert_null(paths);
}

/* ---- limits -------------------------------------------------------------------------------------
 */

static void too_deep(void **state)
{
	static const char *const one[] = {"x"};
	struct json_paths *paths = NULL;
	struct log text = {0}, out = {0};

	(void)state;
	log_text(&text, "{\"deep\":");
	for (int i = 0; i < 500; i++)
		log_text(&text, i % 2 ? "[" : "{\"x\":");
	log_text(&text, "\"]}\\\"\"");
	for (int i = 499; i >= 0; i--)
		log_text(&text, i % 2 ? "]" : "}");
	log_text(&text, ",\"x\":5}");
	assert_int_equal(json_paths_new(&paths, one, 1), 0);
	assert_int_equal(scan(paths, (struct slice){text.text, text.len}, SIZE_MAX, &out),
			 JSON_DONE);
	assert_string_equal(out.text, "0n=5;");
	json_paths_free(paths);
	log_free(&text);
	log_free(&out);
}

static void too_long(void **state)
{
	static const char *const three[] = {"s", "t#", "n"};
	struct json_paths *paths = NULL;
	struct log text = {0}, out = {0};

	(void)state;
	log_text(&text, "{\"");
	for (int i = 0; i < 300; i++)
		log_text(&text, "s");
	log_text(&text, "\":1,\"s\":\"");
	for (int i = 0; i < 3000; i++)
		log_text(&text, "\xc3\xa9");
	log_text(&text, "\",\"t\":\"");
	for (int i = 0; i < 3000; i++)
		log_text(&text, "\\u00e9");
	log_text(&text, "\",\"n\":");
	for (int i = 0; i < 100; i++)
		log_text(&text, "7");
	log_text(&text, "}");
	assert_int_equal(json_paths_new(&paths, three, 3), 0);
	assert_int_equal(scan(paths, (struct slice){text.text, text.len}, 4000, &out), JSON_DONE);
	assert_string_equal(out.text, "0s~6000;1s#6000;2n~100;");
	json_paths_free(paths);
	log_free(&text);
	log_free(&out);
}

/* A body of many megabytes passes in the memory of a small one. */
static void constant_memory(void **state)
{
	static const char *const one[] = {"usage.total_tokens"};
	struct slice piece = SLICE("[0.0123,-4.5e-3,\"a long text\",{\"k\":[true,null]}],");
	struct json_paths *paths = NULL;
	struct json_scan *s = NULL;
	struct log out = {0};
	size_t before;

	(void)state;
	assert_int_equal(json_paths_new(&paths, one, 1), 0);
	assert_int_equal(json_scan_new(&s, paths, &ops, &out), 0);
	before = json_scan_memory(s);
	assert_int_equal(json_scan_feed(s, SLICE("{\"data\":[")), JSON_MORE);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(json_scan_feed(s, piece), JSON_MORE);
	assert_int_equal(json_scan_feed(s, SLICE("0],\"usage\":{\"total_tokens\":9}}")), JSON_DONE);
	assert_int_equal(json_scan_memory(s), before);
	assert_string_equal(out.text, "0n=9;");
	json_scan_free(s);
	json_paths_free(paths);
	log_free(&out);
}

/* ---- cJSON as oracle
 * ----------------------------------------------------------------------------- */

struct flat {
	struct log *log;
	size_t count;
};

static void log_leaf(struct log *l, const char *tail, const cJSON *leaf)
{
	char text[64];

	if (strlen(tail) > JSON_TAIL_MAX)
		return;
	log_text(l, tail);
	if (cJSON_IsString(leaf)) {
		snprintf(text, sizeof(text), " s%zu ", strlen(leaf->valuestring));
		log_text(l, text);
		log_add(l, leaf->valuestring,
			strlen(leaf->valuestring) < 64 ? strlen(leaf->valuestring) : 64);
	} else if (cJSON_IsNumber(leaf)) {
		snprintf(text, sizeof(text), " n%.17g", leaf->valuedouble);
		log_text(l, text);
	} else {
		log_text(l, cJSON_IsTrue(leaf)	  ? " true"
			    : cJSON_IsFalse(leaf) ? " false"
						  : " null");
	}
	log_text(l, "\n");
}

static void flatten(struct log *l, const char *tail, const cJSON *node)
{
	const cJSON *child;
	char path[2048];
	int index = 0;

	if (!cJSON_IsObject(node) && !cJSON_IsArray(node)) {
		log_leaf(l, tail, node);
		return;
	}
	cJSON_ArrayForEach(child, node)
	{
		if (cJSON_IsArray(node))
			snprintf(path, sizeof(path), "%s%s[%d]", tail, *tail ? "." : "", index++);
		else
			snprintf(path, sizeof(path), "%s%s%s", tail, *tail ? "." : "",
				 child->string);
		flatten(l, path, child);
	}
}

static void on_flat_value(void *user, const struct json_value *v)
{
	struct log *l = user;
	char text[128];

	log_add(l, v->tail.ptr, v->tail.len);
	switch (v->type) {
	case JSON_STRING:
		snprintf(text, sizeof(text), " s%llu ", (unsigned long long)v->text_len);
		log_text(l, text);
		log_add(l, v->text.ptr, v->text.len < 64 ? v->text.len : 64);
		break;
	case JSON_NUMBER:
		snprintf(text, sizeof(text), "%.*s", SLICE_FMT(v->text));
		snprintf(text, sizeof(text), " n%.17g", strtod(text, NULL));
		log_text(l, text);
		break;
	default:
		log_text(l, v->type == JSON_TRUE    ? " true"
			    : v->type == JSON_FALSE ? " false"
						    : " null");
	}
	log_text(l, "\n");
}

static const struct json_ops flat_ops = {.value = on_flat_value};

/* Scans in pieces of `piece` and compares with what cJSON reads. */
static void compare_with_oracle(const char *text, size_t len, size_t piece)
{
	static const char *const all[] = {"**"};
	struct json_paths *paths = NULL;
	struct json_scan *s = NULL;
	struct log want = {0}, got = {0};
	cJSON *oracle = cJSON_ParseWithLength(text, len);
	enum json_result r = JSON_MORE;

	assert_non_null(oracle);
	log_text(&want, "");
	log_text(&got, "");
	flatten(&want, "", oracle);
	assert_int_equal(json_paths_new(&paths, all, 1), 0);
	assert_int_equal(json_scan_new(&s, paths, &flat_ops, &got), 0);
	for (size_t at = 0; at < len; at += piece)
		r = json_scan_feed(s,
				   (struct slice){text + at, len - at < piece ? len - at : piece});
	assert_int_equal(r, JSON_DONE);
	assert_string_equal(got.text, want.text);
	json_scan_free(s);
	json_paths_free(paths);
	cJSON_Delete(oracle);
	log_free(&want);
	log_free(&got);
}

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

static void generate(struct log *l, int depth)
{
	static const char *const scalars[] = {
		"0",
		"-1.5e-3",
		"123456789012",
		"true",
		"false",
		"null",
		"\"\"",
		"\"plain\"",
		"\"\\u00e9\\n\\\"\\\\\"",
		"2.0",
		"\"\\ud83d\\ude00\"",
		"\"[{,:}]\"",
	};
	static const char *const spaces[] = {"", " ", "\n\t", ""};
	uint32_t kind = random_below(4), n = random_below(5);
	char key[32];

	log_text(l, spaces[random_below(4)]);
	if (depth == 0 || kind < 2) {
		log_text(l, scalars[random_below(ARRAY_LEN(scalars))]);
		return;
	}
	log_text(l, kind == 2 ? "[" : "{");
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			log_text(l, ",");
		snprintf(key, sizeof(key), "\"k%u%s\":", random_below(9), i % 2 ? "\\t" : "");
		if (kind == 3)
			log_text(l, key);
		generate(l, depth - 1);
		log_text(l, spaces[random_below(4)]);
	}
	log_text(l, kind == 2 ? "]" : "}");
}

static void generated_documents(void **state)
{
	(void)state;
	for (int i = 0; i < 400; i++) {
		struct log text = {0};

		log_text(&text, "{\"root\":");
		generate(&text, 6);
		log_text(&text, "}");
		compare_with_oracle(text.text, text.len, 1);
		compare_with_oracle(text.text, text.len, 1 + random_below(40));
		compare_with_oracle(text.text, text.len, SIZE_MAX);
		log_free(&text);
	}
}

static size_t compare_file(const char *path)
{
	static char text[8 << 20];
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	const char *end = NULL;
	cJSON *oracle;
	bool whole;

	if (f)
		fclose(f);
	text[n] = '\0';
	if (n == 0 || n == sizeof(text) - 1 || (text[0] != '{' && text[0] != '['))
		return 0;
	oracle = cJSON_ParseWithLengthOpts(text, n, &end, false);
	whole = oracle && strspn(end, " \r\n\t") == n - (size_t)(end - text);
	cJSON_Delete(oracle);
	if (!whole)
		return 0; /* JSON lines, multipart */
	compare_with_oracle(text, n, 1);
	compare_with_oracle(text, n, 4093);
	return 1;
}

/* Every JSON body two folders below top. */
static size_t compare_tree(const char *top)
{
	static const char *const names[] = {"request.body", "response.body", "expected.json"};
	char path[4096];
	DIR *groups = opendir(top);
	size_t n = 0;

	for (struct dirent *g; groups && (g = readdir(groups));) {
		DIR *cases;

		snprintf(path, sizeof(path), "%s/%s", top, g->d_name);
		cases = g->d_name[0] == '.' ? NULL : opendir(path);
		for (struct dirent *c; cases && (c = readdir(cases));) {
			for (size_t i = 0; i < ARRAY_LEN(names) && c->d_name[0] != '.'; i++) {
				snprintf(path, sizeof(path), "%s/%.200s/%.200s/%s", top, g->d_name,
					 c->d_name, names[i]);
				n += compare_file(path);
			}
		}
		if (cases)
			closedir(cases);
	}
	if (groups)
		closedir(groups);
	return n;
}

static void recorded_documents(void **state)
{
	const char *top = getenv("TOLLTAP_CASSETTES");
	size_t own = compare_tree("tests/replay/cases"), recorded;

	(void)state;
	recorded = compare_tree(top ? top : "../shared/data/cassettes");
	assert_true(own > 10);
	printf("# %zu own and %zu recorded documents equal to cJSON's reading\n", own, recorded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(broken),
		cmocka_unit_test(silent_after_broken),
		cmocka_unit_test(paths_refused),
		cmocka_unit_test(too_deep),
		cmocka_unit_test(too_long),
		cmocka_unit_test(constant_memory),
		cmocka_unit_test(generated_documents),
		cmocka_unit_test(recorded_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
