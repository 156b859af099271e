/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an estimate is worth: chats whose answers told their usage are played as streams that did
 * not, and the estimate is held against what was told. Prints the errors by provider and shape;
 * fails where plain text to OpenAI's models is not counted exactly, or more was generated than they
 * say.
 *
 * The recordings are those of test_cassettes.c; skipped when they are missing.
 */
#include "cassette.h"

#include "agent/exchange/exchange.h"
#include "agent/exchange/operation.h"
#include "agent/providers/provider.h"
#include "agent/tokens/tokenizers.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>

#define SHAPES_MAX 64

/* Of one provider's chats of one shape. */
struct errors {
	char name[64];
	int count;
	double input, output; /* sums of relative errors, without sign */
	double worst_input, worst_output;
};

static struct errors errors[SHAPES_MAX];
static size_t error_count;
static int inexact;
static struct call told;

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	(void)user;
	(void)conn;
	(void)started_ns;
	told = *call;
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	(void)provider;
	(void)reason;
}

static const struct exchange_ops ops = {.done = on_done, .ignored = on_ignored};
static struct exchange_env env = {.fingerprint_key = "0123456789abcdef0123456789abcde",
				  .ops = &ops};

static void add_event(struct bytes *out, const cJSON *event)
{
	char *text = cJSON_PrintUnformatted(event);

	bytes_add(out, "data: ", 6);
	bytes_add(out, text, strlen(text));
	bytes_add(out, "\n\n", 2);
	cJSON_free(text);
}

/* A whole answer as one event: its messages become deltas. */
static void add_document(struct bytes *out, cJSON *document)
{
	cJSON *choice;

	cJSON_ArrayForEach(choice, cJSON_GetObjectItem(document, "choices"))
	{
		cJSON *message = cJSON_DetachItemFromObject(choice, "message");

		if (message)
			cJSON_AddItemToObject(choice, "delta", message);
	}
	cJSON_DeleteItemFromObject(document, "usage");
	add_event(out, document);
}

/* The answer as a stream without usage. */
static struct bytes silent(const struct cassette *c)
{
	struct bytes out = {0};
	cJSON *document = cJSON_Parse(c->response_body.ptr);
	char *line, *rest = c->response_body.ptr;

	if (document)
		add_document(&out, document);
	cJSON_Delete(document);
	while (!document && (line = strsep(&rest, "\n"))) {
		cJSON *event = strncmp(line, "data:", 5) ? NULL : cJSON_Parse(line + 5);

		cJSON_DeleteItemFromObject(event, "usage");
		cJSON_DeleteItemFromObject(event, "x_groq");
		if (event)
			add_event(&out, event);
		cJSON_Delete(event);
	}
	bytes_add(&out, "data: [DONE]\n\n", 14);
	return out;
}

/* The request as one for a stream; NULL when it is no chat in JSON. */
static char *unasked(const struct cassette *c, cJSON **request)
{
	*request = cJSON_Parse(c->request_body.ptr ? c->request_body.ptr : "");
	if (!cJSON_GetObjectItem(*request, "messages"))
		return NULL;
	cJSON_DeleteItemFromObject(*request, "stream_options");
	cJSON_DeleteItemFromObject(*request, "stream");
	cJSON_AddTrueToObject(*request, "stream");
	return cJSON_PrintUnformatted(*request);
}

static void play(const char *request, const struct bytes *answer)
{
	const struct exchange_start start = {.conn = {.tgid = 42}, .entry_ns = 1, .host_hint = ""};
	struct http_head head = {.method = SLICE("POST"),
				 .target = SLICE("/v1/chat/completions"),
				 .fields = {{SLICE("host"), SLICE("api.openai.com")}},
				 .count = 1};
	struct http_head answer_head = {.status = 200};
	struct exchange *x = NULL;

	memset(&told, 0, sizeof(told));
	if (exchange_begin(&x, &env, &start, &head))
		abort();
	exchange_request_body(x, slice_of(request));
	exchange_request_end(x, MESSAGE_COMPLETE);
	exchange_response_head(x, &answer_head, 2);
	exchange_response_body(x, (struct slice){answer->ptr, answer->len}, 3);
	exchange_response_end(x, MESSAGE_COMPLETE, 4);
	exchange_free(x);
}

static bool has_parts(const cJSON *request)
{
	const cJSON *message;

	cJSON_ArrayForEach(message, cJSON_GetObjectItem(request, "messages"))
	{
		if (cJSON_IsArray(cJSON_GetObjectItem(message, "content")))
			return true;
	}
	return false;
}

static double count_of(const struct cassette *c, const char *key)
{
	return cJSON_GetNumberValue(cJSON_GetObjectItem(member(c, "usage"), key));
}

static const char *shape_of(const struct cassette *c, const cJSON *request)
{
	if (cJSON_GetObjectItem(request, "tools") || cJSON_GetObjectItem(request, "functions") ||
	    cJSON_GetObjectItem(request, "response_format"))
		return "tools";
	if (has_parts(request))
		return "parts";
	return count_of(c, "reasoning_tokens") > 0 ? "thinking" : "text";
}

static struct errors *errors_of(const char *provider, const char *shape)
{
	char name[64];

	snprintf(name, sizeof(name), "%s, %s", provider, shape);
	for (size_t i = 0; i < error_count; i++) {
		if (!strcmp(errors[i].name, name))
			return &errors[i];
	}
	if (error_count == SHAPES_MAX)
		abort();
	snprintf(errors[error_count].name, sizeof(errors[0].name), "%s", name);
	return &errors[error_count++];
}

static double relative(int64_t got, double want)
{
	return want > 0 ? fabs((double)got - want) / want : 0;
}

static void compare(const struct cassette *c, const cJSON *request)
{
	const char *shape = shape_of(c, request);
	struct errors *e = errors_of(text_member(c, "provider"), shape);
	double want_in = count_of(c, "input_tokens"), want_out = count_of(c, "output_tokens");
	int64_t in = told.usage.tokens[TOKEN_INPUT_UNCACHED];
	int64_t out = told.usage.tokens[TOKEN_OUTPUT_TEXT];
	double err_in = relative(in, want_in), err_out = relative(out, want_out);

	if (!told.usage.known) {
		printf("FAIL %s: not estimated\n", c->name);
		inexact++;
		return;
	}
	e->count++;
	e->input += err_in;
	e->output += err_out;
	e->worst_input = fmax(e->worst_input, err_in);
	e->worst_output = fmax(e->worst_output, err_out);
	if (getenv("ESTIMATES"))
		printf("%-34s %-9s %-18s in %6lld of %6.0f  out %6lld of %6.0f\n", c->name, shape,
		       told.estimated_by, (long long)in, want_in, (long long)out, want_out);
	if (!strcmp(told.estimated_by, "o200k_base") &&
	    (!strcmp(shape, "text") || !strcmp(shape, "thinking")) &&
	    (err_in > 0 || (double)out > want_out)) {
		printf("FAIL %s: input %lld of %.0f, output %lld of %.0f\n", c->name, (long long)in,
		       want_in, (long long)out, want_out);
		inexact++;
	}
}

static void visit(const char *dir, const char *name)
{
	struct cassette c;
	cJSON *request = NULL;
	struct bytes answer;
	char *body;

	if (!cassette_load(&c, dir, name))
		return;
	body = strstr(text_member(&c, "path"), "/chat/completions") &&
			       count_of(&c, "input_tokens") > 0 && member(&c, "response_id")
		       ? unasked(&c, &request)
		       : NULL;
	if (body) {
		answer = silent(&c);
		play(body, &answer);
		compare(&c, request);
		bytes_free(&answer);
	}
	cJSON_free(body);
	cJSON_Delete(request);
	cassette_free(&c);
}

static void visit_all(const char *folder)
{
	struct dirent **groups, **names;
	char group[512], dir[1024], name[600];
	int group_count = scandir(folder, &groups, NULL, alphasort);

	for (int g = 0; g < group_count; g++) {
		int n;

		snprintf(group, sizeof(group), "%s/%s", folder, groups[g]->d_name);
		n = groups[g]->d_name[0] == '.' ? 0 : scandir(group, &names, NULL, alphasort);
		for (int i = 0; i < n; i++) {
			snprintf(dir, sizeof(dir), "%s/%s", group, names[i]->d_name);
			snprintf(name, sizeof(name), "%s/%s", groups[g]->d_name, names[i]->d_name);
			if (names[i]->d_name[0] != '.')
				visit(dir, name);
			free(names[i]);
		}
		if (n > 0)
			free(names);
		free(groups[g]);
	}
	if (group_count > 0)
		free(groups);
}

static void print_errors(void)
{
	printf("# %-28s %5s %8s %8s %8s %8s\n", "provider, shape", "chats", "input", "worst",
	       "output", "worst");
	for (size_t i = 0; i < error_count; i++) {
		const struct errors *e = &errors[i];

		printf("# %-28s %5d %7.1f%% %7.1f%% %7.1f%% %7.1f%%\n", e->name, e->count,
		       100 * e->input / e->count, 100 * e->worst_input, 100 * e->output / e->count,
		       100 * e->worst_output);
	}
}

int main(void)
{
	const char *recorded = getenv("TOLLTAP_CASSETTES");
	struct provider_table *providers = NULL;
	struct operation_table *operations = NULL;
	struct tokenizers *tokenizers = NULL;

	if (provider_table_new(&providers) || operation_table_new(&operations) ||
	    tokenizers_open(&tokenizers, "agent/tokens"))
		return 1;
	env.providers = providers;
	env.operations = operations;
	env.tokenizers = tokenizers;
	visit_all(recorded ? recorded : "../shared/data/cassettes");
	print_errors();
	if (!error_count)
		printf("skip estimates: no recordings (TOLLTAP_CASSETTES)\n");
	else if (!inexact)
		printf("ok plain_text_to_openai_is_counted_exactly\n");
	tokenizers_free(tokenizers);
	operation_table_free(operations);
	provider_table_free(providers);
	return inexact != 0;
}
