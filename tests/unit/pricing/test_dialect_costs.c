/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden vectors across dialects: one usage, told by seven providers in the dialect of each, as a
 * body and as a stream, goes through the real decoders and one artificial price sheet. Buckets and
 * cost must be the same, or some dialect counts cached, written or thinking tokens otherwise.
 */
#include "pricing/catalog.h"
#include "tests/unit/exchange/stage.h"
#include "tests/unit/pricing/files.h"
#include "tests/unit/usage/aws_stream.h"

#define M 1000000LL

/* Whose dialects are compared; the last three also say what a call costs. */
static const char *const providers[] = {"openai",   "anthropic",  "gcp.gemini", "aws.bedrock",
					"deepseek", "perplexity", "openrouter", "x_ai"};
#define TELL_COST 5 /* the first that does */

/* The one sheet: 3 USD in, 0.3 read, 3.75 written, 15 out, of which thinking has no own price. */
static void write_table(void)
{
	char text[4096] = "{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{},"
			  "\"providers\":[";
	size_t used = strlen(text);

	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s{\"provider\":\"%s\",\"cost_on_wire\":%s}",
					 i ? "," : "", providers[i],
					 i >= TELL_COST ? "true" : "false");
	used += (size_t)snprintf(text + used, sizeof(text) - used, "],\"models\":[");
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used,
			"%s{\"provider\":\"%s\",\"id\":\"m\",\"periods\":[{\"prices\":"
			"{\"input\":\"3\",\"cache_read\":\"0.3\",\"cache_write_5m\":"
			"\"3.75\",\"output\":\"15\"}}]}",
			i ? "," : "", providers[i]);
	assert_true(used + 2 < sizeof(text));
	snprintf(text + used, sizeof(text) - used, "]}");
	files_write(files_catalog, text);
}

static struct catalog *catalog;

/* --- the wire ------------------------------------------------------------------------------ */

/* The one usage: 100 tokens in, 30 of them read from a cache; 40 out. Told with it: */
enum telling {
	PLAIN,	  /* nothing more */
	THINKING, /* 15 of the output are thinking */
	WRITTEN,  /* 20 of the input were written to a cache */
	TELLINGS
};

static const struct {
	int64_t tokens[TOKEN_KINDS], pusd;
} wanted[TELLINGS] = {
	/* 70x3M + 30x0.3M + 40x15M = 210M + 9M + 600M */
	[PLAIN] = {{[TOKEN_INPUT_UNCACHED] = 70,
		    [TOKEN_INPUT_CACHE_READ] = 30,
		    [TOKEN_OUTPUT_TEXT] = 40},
		   819 * M},
	/* 70x3M + 30x0.3M + (25 + 15)x15M: thinking is output */
	[THINKING] = {{[TOKEN_INPUT_UNCACHED] = 70,
		       [TOKEN_INPUT_CACHE_READ] = 30,
		       [TOKEN_OUTPUT_TEXT] = 25,
		       [TOKEN_OUTPUT_REASONING] = 15},
		      819 * M},
	/* 50x3M + 30x0.3M + 20x3.75M + 40x15M = 150M + 9M + 75M + 600M */
	[WRITTEN] = {{[TOKEN_INPUT_UNCACHED] = 50,
		      [TOKEN_INPUT_CACHE_READ] = 30,
		      [TOKEN_INPUT_CACHE_WRITE_5M] = 20,
		      [TOKEN_OUTPUT_TEXT] = 40},
		     834 * M},
};

#define CHAT_USAGE(in_details, out_details)                                     \
	"{\"prompt_tokens\":100,\"completion_tokens\":40,\"total_tokens\":140," \
	"\"prompt_tokens_details\":{\"cached_tokens\":30" in_details "},"       \
	"\"completion_tokens_details\":{" out_details "}}"
#define RESPONSES_USAGE(in_details, out_details)                           \
	"{\"input_tokens\":100,\"output_tokens\":40,\"total_tokens\":140," \
	"\"input_tokens_details\":{\"cached_tokens\":30" in_details "},"   \
	"\"output_tokens_details\":{" out_details "}}"
#define ANTHROPIC_USAGE(input, written, details)                                    \
	"{\"input_tokens\":" input ",\"cache_read_input_tokens\":30,"               \
	"\"cache_creation_input_tokens\":" written ",\"output_tokens\":40," details \
	"\"service_tier\":\"standard\"}"
#define GEMINI_USAGE(out)                                                                      \
	"{\"promptTokenCount\":100,\"cachedContentTokenCount\":30," out "\"totalTokenCount\":" \
	"140}"
#define BEDROCK_USAGE(input, written)                     \
	"{\"inputTokens\":" input ",\"outputTokens\":40," \
	"\"cacheReadInputTokens\":30,\"cacheWriteInputTokens\":" written ",\"totalTokens\":140}"
#define DEEPSEEK_USAGE(details)                                                 \
	"{\"prompt_tokens\":100,\"completion_tokens\":40,\"total_tokens\":140," \
	"\"prompt_tokens_details\":{\"cached_tokens\":30},"                     \
	"\"prompt_cache_hit_tokens\":30,\"prompt_cache_miss_tokens\":70" details "}"
#define XAI_USAGE(completion, thinking)                                           \
	"{\"prompt_tokens\":100,\"completion_tokens\":" completion                \
	",\"total_tokens\":140,\"prompt_tokens_details\":{\"cached_tokens\":30}," \
	"\"completion_tokens_details\":{\"reasoning_tokens\":" thinking "}}"

#define WRITTEN_TOKENS ",\"cache_write_tokens\":20"
#define THOUGHT	       "\"reasoning_tokens\":15"

#define CHAT_BODY(u)                                                                    \
	"{\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"message\":{}," \
	"\"finish_reason\":\"stop\"}],\"usage\":" u "}"
#define CHUNK(rest) "data: {\"object\":\"chat.completion.chunk\",\"model\":\"m\"," rest "}\n\n"
#define CHAT_STREAM(u)                                                         \
	CHUNK("\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null") \
	CHUNK("\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]")       \
	CHUNK("\"choices\":[],\"usage\":" u) "data: [DONE]\n\n"
/* DeepSeek and xAI put the usage beside the last choice. */
#define CHAT_STREAM_WITH_CHOICE(u)                                       \
	CHUNK("\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]")          \
	CHUNK("\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]," \
	      "\"usage\":" u)                                            \
	"data: [DONE]\n\n"
#define RESPONSES_BODY(u)                                                    \
	"{\"object\":\"response\",\"model\":\"m\",\"status\":\"completed\"," \
	"\"output\":[],\"usage\":" u "}"
#define RESPONSES_STREAM(u)                                                               \
	"event: response.created\ndata: {\"type\":\"response.created\",\"response\":"     \
	"{\"object\":\"response\",\"model\":\"m\",\"usage\":null}}\n\n"                   \
	"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":" \
	"{\"object\":\"response\",\"model\":\"m\",\"usage\":" u "}}\n\n"
#define ANTHROPIC_BODY(u)                                       \
	"{\"type\":\"message\",\"model\":\"m\",\"content\":[]," \
	"\"stop_reason\":\"end_turn\",\"usage\":" u "}"
/* The opening event tells counts that the last one replaces, never adds to. */
#define ANTHROPIC_STREAM(opening, u)                                                         \
	"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":"    \
	"\"m\",\"usage\":" opening "}}\n\n"                                                  \
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\"" \
	":\"end_turn\"},\"usage\":" u "}\n\n"                                                \
	"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
#define GEMINI_BODY(u)                                                          \
	"{\"candidates\":[{\"finishReason\":\"STOP\"}],\"modelVersion\":\"m\"," \
	"\"usageMetadata\":" u "}"
/* Cumulative: an earlier chunk's counts are part of the last one's. */
#define GEMINI_STREAM(u)                                                                     \
	"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}],"             \
	"\"modelVersion\":\"m\",\"usageMetadata\":{\"promptTokenCount\":100,"                \
	"\"cachedContentTokenCount\":30,\"candidatesTokenCount\":2,\"totalTokenCount\":102}" \
	"}\n\ndata: " GEMINI_BODY(u) "\n\n"
#define CONVERSE_BODY(u) "{\"output\":{},\"stopReason\":\"end_turn\",\"usage\":" u "}"

#define OPENAI	 "api.openai.com"
#define CLAUDE	 "api.anthropic.com"
#define GEMINI	 "generativelanguage.googleapis.com"
#define AWS	 "bedrock-runtime.us-east-1.amazonaws.com"
#define DEEPSEEK "api.deepseek.com"
#define XAI	 "api.x.ai"

#define ASK_CHAT   "{\"model\":\"m\",\"messages\":[]}"
#define ASK_STREAM "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}"

/* `told` [t] is the answer that tells t; NULL: the dialect has no word for it. */
static const struct {
	const char *name, *host, *path, *request, *told[TELLINGS];
	bool aws; /* the text is the last event of an AWS stream */
} rows[] = {
	{"chat",
	 OPENAI,
	 "/v1/chat/completions",
	 ASK_CHAT,
	 {CHAT_BODY(CHAT_USAGE("", "")), CHAT_BODY(CHAT_USAGE("", THOUGHT)),
	  CHAT_BODY(CHAT_USAGE(WRITTEN_TOKENS, ""))},
	 false},
	{"chat stream",
	 OPENAI,
	 "/v1/chat/completions",
	 ASK_STREAM,
	 {CHAT_STREAM(CHAT_USAGE("", "")), CHAT_STREAM(CHAT_USAGE("", THOUGHT)),
	  CHAT_STREAM(CHAT_USAGE(WRITTEN_TOKENS, ""))},
	 false},
	{"responses",
	 OPENAI,
	 "/v1/responses",
	 ASK_CHAT,
	 {RESPONSES_BODY(RESPONSES_USAGE("", "")), RESPONSES_BODY(RESPONSES_USAGE("", THOUGHT)),
	  RESPONSES_BODY(RESPONSES_USAGE(WRITTEN_TOKENS, ""))},
	 false},
	{"responses stream",
	 OPENAI,
	 "/v1/responses",
	 ASK_STREAM,
	 {RESPONSES_STREAM(RESPONSES_USAGE("", "")), RESPONSES_STREAM(RESPONSES_USAGE("", THOUGHT)),
	  RESPONSES_STREAM(RESPONSES_USAGE(WRITTEN_TOKENS, ""))},
	 false},
	{"messages",
	 CLAUDE,
	 "/v1/messages",
	 ASK_CHAT,
	 {ANTHROPIC_BODY(ANTHROPIC_USAGE("70", "0", "")),
	  ANTHROPIC_BODY(ANTHROPIC_USAGE("70", "0",
					 "\"output_tokens_details\":{\"thinking_tokens\":15},")),
	  ANTHROPIC_BODY(ANTHROPIC_USAGE("50", "20", ""))},
	 false},
	{"messages stream",
	 CLAUDE,
	 "/v1/messages",
	 ASK_STREAM,
	 {ANTHROPIC_STREAM("{\"input_tokens\":70,\"cache_read_input_tokens\":30,"
			   "\"cache_creation_input_tokens\":0,\"output_tokens\":2}",
			   "{\"output_tokens\":40}"),
	  ANTHROPIC_STREAM("{\"input_tokens\":1,\"output_tokens\":2}",
			   ANTHROPIC_USAGE("70", "0",
					   "\"output_tokens_details\":{\"thinking_tokens\":15},")),
	  ANTHROPIC_STREAM("{\"input_tokens\":50,\"cache_read_input_tokens\":30,"
			   "\"cache_creation_input_tokens\":20,\"output_tokens\":2}",
			   ANTHROPIC_USAGE("50", "20", ""))},
	 false},
	{"generateContent",
	 GEMINI,
	 "/v1beta/models/m:generateContent",
	 "{}",
	 {GEMINI_BODY(GEMINI_USAGE("\"candidatesTokenCount\":40,")),
	  GEMINI_BODY(GEMINI_USAGE("\"candidatesTokenCount\":25,\"thoughtsTokenCount\":15,")),
	  NULL},
	 false},
	{"streamGenerateContent",
	 GEMINI,
	 "/v1beta/models/m:streamGenerateContent?alt=sse",
	 "{}",
	 {GEMINI_STREAM(GEMINI_USAGE("\"candidatesTokenCount\":40,")),
	  GEMINI_STREAM(GEMINI_USAGE("\"candidatesTokenCount\":25,\"thoughtsTokenCount\":15,")),
	  NULL},
	 false},
	{"converse",
	 AWS,
	 "/model/m/converse",
	 "{}",
	 {CONVERSE_BODY(BEDROCK_USAGE("70", "0")), NULL, CONVERSE_BODY(BEDROCK_USAGE("50", "20"))},
	 false},
	{"converse-stream",
	 AWS,
	 "/model/m/converse-stream",
	 "{}",
	 {"{\"usage\":" BEDROCK_USAGE("70", "0") "}", NULL,
	  "{\"usage\":" BEDROCK_USAGE("50", "20") "}"},
	 true},
	{"invoke (Claude)",
	 AWS,
	 "/model/m/invoke",
	 "{}",
	 {ANTHROPIC_BODY(ANTHROPIC_USAGE("70", "0", "")), NULL,
	  ANTHROPIC_BODY(ANTHROPIC_USAGE("50", "20", ""))},
	 false},
	{"DeepSeek",
	 DEEPSEEK,
	 "/chat/completions",
	 ASK_CHAT,
	 {CHAT_BODY(DEEPSEEK_USAGE("")),
	  CHAT_BODY(DEEPSEEK_USAGE(",\"completion_tokens_details\":{" THOUGHT "}")), NULL},
	 false},
	{"DeepSeek stream",
	 DEEPSEEK,
	 "/chat/completions",
	 ASK_STREAM,
	 {CHAT_STREAM_WITH_CHOICE(DEEPSEEK_USAGE("")),
	  CHAT_STREAM_WITH_CHOICE(DEEPSEEK_USAGE(",\"completion_tokens_details\":{" THOUGHT "}")),
	  NULL},
	 false},
	/* Thinking stands beside the completion here, inside it everywhere else. */
	{"xAI",
	 XAI,
	 "/v1/chat/completions",
	 ASK_CHAT,
	 {CHAT_BODY(XAI_USAGE("40", "0")), CHAT_BODY(XAI_USAGE("25", "15")), NULL},
	 false},
	{"xAI stream",
	 XAI,
	 "/v1/chat/completions",
	 ASK_STREAM,
	 {CHAT_STREAM_WITH_CHOICE(XAI_USAGE("40", "0")),
	  CHAT_STREAM_WITH_CHOICE(XAI_USAGE("25", "15")), NULL},
	 false},
	{"xAI responses",
	 XAI,
	 "/v1/responses",
	 ASK_CHAT,
	 {RESPONSES_BODY(RESPONSES_USAGE("", "")), RESPONSES_BODY(RESPONSES_USAGE("", THOUGHT)),
	  NULL},
	 false},
	{"xAI responses stream",
	 XAI,
	 "/v1/responses",
	 ASK_STREAM,
	 {RESPONSES_STREAM(RESPONSES_USAGE("", "")), RESPONSES_STREAM(RESPONSES_USAGE("", THOUGHT)),
	  NULL},
	 false},
};

/* --- the way through ----------------------------------------------------------------------- */

static void feed(struct exchange *x, const struct stream *s, size_t piece)
{
	for (size_t i = 0; i < s->len; i += piece) {
		size_t n = s->len - i < piece ? s->len - i : piece;

		exchange_response_body(x, (struct slice){s->bytes + i, n}, 5 * SEC);
	}
}

static void answer_of(struct stream *s, bool aws, const char *text)
{
	if (!aws)
		return add(s, text, strlen(text));
	add_message(s, ":event-type", "messageStart", "{\"role\":\"assistant\"}");
	add_message(s, ":event-type", "contentBlockDelta", "{\"delta\":{\"text\":\"Hi\"}}");
	add_message(s, ":event-type", "messageStop", "{\"stopReason\":\"end_turn\"}");
	add_message(s, ":event-type", "metadata", text);
}

static void check(const char *name, enum telling t, struct call *call)
{
	price_call(catalog, call);
	if (seen.rows != 1 || call->basis != BASIS_REPORTED_USAGE || call->usage.mismatch)
		fail_msg("%s, telling %d: %zu rows, %s, mismatch %d", name, t, seen.rows,
			 basis_names[call->basis], call->usage.mismatch);
	for (int i = 0; i < TOKEN_KINDS; i++) {
		if (call->usage.tokens[i] != wanted[t].tokens[i])
			fail_msg("%s, telling %d: %s is %lld, not %lld", name, t,
				 token_kind_names[i], (long long)call->usage.tokens[i],
				 (long long)wanted[t].tokens[i]);
	}
	if (call->cost.cost_pusd != wanted[t].pusd || call->cost.list_pusd != wanted[t].pusd)
		fail_msg("%s, telling %d: cost %lld, not %lld", name, t,
			 (long long)call->cost.cost_pusd, (long long)wanted[t].pusd);
}

static void play(size_t row, enum telling t, size_t piece)
{
	char host[128];
	struct stream s = {0};
	struct exchange *x;

	memset(&seen, 0, sizeof(seen));
	snprintf(host, sizeof(host), "Host: %s", rows[row].host);
	answer_of(&s, rows[row].aws, rows[row].told[t]);
	x = begin_as("POST", rows[row].path, false, LINES(host));
	request(x, rows[row].request);
	answer_head(x, 200, NULL);
	feed(x, &s, piece);
	end(x, MESSAGE_COMPLETE);
	check(rows[row].name, t, &seen.row[0]);
}

static void one_usage_one_cost(void **state)
{
	int played[TELLINGS] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int t = 0; t < TELLINGS; t++) {
			if (!rows[i].told[t])
				continue;
			played[t]++;
			for (size_t piece = 1; piece < 4096; piece = piece * 3 + 1)
				play(i, (enum telling)t, piece);
		}
	}
	assert_int_equal(played[PLAIN], ARRAY_LEN(rows));
	assert_int_equal(played[THINKING], 14); /* all but Bedrock, which does not tell it */
	assert_int_equal(played[WRITTEN], 9);
}

/* --- costs on the wire --------------------------------------------------------------------- */

#define TOLD(cost)                                                              \
	"{\"prompt_tokens\":100,\"completion_tokens\":40,\"total_tokens\":140," \
	"\"prompt_tokens_details\":{\"cached_tokens\":30}," cost "}"
#define OPENROUTER "openrouter.ai"
#define ROUTED	   "/api/v1/chat/completions"
#define PERPLEXITY "api.perplexity.ai"

static const struct {
	const char *name, *host, *path, *text;
	int64_t pusd; /* beside a list price of 819M */
	enum basis basis;
} told[] = {
	{"OpenRouter", OPENROUTER, ROUTED, CHAT_BODY(TOLD("\"cost\":0.0009,\"is_byok\":false")),
	 900 * M, BASIS_PROVIDER_REPORTED},
	{"OpenRouter stream", OPENROUTER, ROUTED,
	 CHAT_STREAM_WITH_CHOICE(TOLD("\"cost\":0.0009,\"is_byok\":false")), 900 * M,
	 BASIS_PROVIDER_REPORTED},
	{"OpenRouter, for nothing", OPENROUTER, ROUTED, CHAT_BODY(TOLD("\"cost\":0")), 0,
	 BASIS_PROVIDER_REPORTED},
	/* 0.0009 is billed to the own key, 0.000045 by the router: 0.000945 are owed. */
	{"OpenRouter with an own key", OPENROUTER, ROUTED,
	 CHAT_BODY(TOLD("\"cost\":0.000045,\"is_byok\":true,\"cost_details\":{"
			"\"upstream_inference_cost\":0.0009}")),
	 945 * M, BASIS_PROVIDER_REPORTED},
	/* The part of a call that is not on an own key is in its cost already. */
	{"OpenRouter tells what it pays itself", OPENROUTER, ROUTED,
	 CHAT_BODY(TOLD("\"cost\":0.0009,\"is_byok\":false,\"cost_details\":{"
			"\"upstream_inference_cost\":0.0008}")),
	 900 * M, BASIS_PROVIDER_REPORTED},
	{"an own key whose bill is not told", OPENROUTER, ROUTED,
	 CHAT_BODY(TOLD("\"cost\":0,\"is_byok\":true")), 819 * M, BASIS_REPORTED_USAGE},
	{"xAI's ticks", XAI, "/v1/chat/completions",
	 CHAT_BODY(TOLD("\"cost_in_usd_ticks\":8190000")), 819 * M, BASIS_PROVIDER_REPORTED},
	{"no ticks are no cost", XAI, "/v1/chat/completions",
	 CHAT_BODY(TOLD("\"cost_in_usd_ticks\":0")), 819 * M, BASIS_REPORTED_USAGE},
	{"Perplexity", PERPLEXITY, "/chat/completions",
	 CHAT_BODY(TOLD("\"cost\":{\"input_tokens_cost\":0.0001,\"total_cost\":0.00582}")),
	 5820 * M, BASIS_PROVIDER_REPORTED},
	{"Perplexity's last chunk", PERPLEXITY, "/chat/completions",
	 CHUNK("\"choices\":[{\"delta\":{}}],\"usage\":" TOLD("\"cost\":{\"total_cost\":0.0001}"))
		 CHUNK("\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":" TOLD(
			 "\"cost\":{\"request_cost\":0.005,\"total_cost\":0.00582}")),
	 5820 * M, BASIS_PROVIDER_REPORTED},
};

/* What the provider says is the bill where it is; the table's figure stays beside it. */
static void costs_on_the_wire(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		struct stream s = {0};
		char host[128];
		struct exchange *x;
		struct call *call = &seen.row[0];

		memset(&seen, 0, sizeof(seen));
		snprintf(host, sizeof(host), "Host: %s", told[i].host);
		answer_of(&s, false, told[i].text);
		x = begin_as("POST", told[i].path, false, LINES(host));
		request(x, ASK_CHAT);
		answer_head(x, 200, NULL);
		feed(x, &s, 7);
		end(x, MESSAGE_COMPLETE);
		price_call(catalog, call);
		if (call->cost.cost_pusd != told[i].pusd || call->cost.list_pusd != 819 * M ||
		    call->basis != told[i].basis)
			fail_msg("%s: cost %lld, list %lld, %s", told[i].name,
				 (long long)call->cost.cost_pusd, (long long)call->cost.list_pusd,
				 basis_names[call->basis]);
	}
}

static int load(void **state)
{
	char err[CATALOG_ERROR_MAX] = "";

	if (files_setup(state))
		return -1;
	write_table();
	if (catalog_load(&catalog, files_catalog, NULL, err, sizeof(err))) {
		print_error("%s\n", err);
		return -1;
	}
	return set_up(state);
}

static int unload(void **state)
{
	catalog_free(catalog);
	return tear_down(state) || files_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_usage_one_cost),
		cmocka_unit_test(costs_on_the_wire),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
