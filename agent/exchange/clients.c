/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/clients.h"

enum kind { KIND_SDK, KIND_FRAMEWORK, KIND_AGENT, KINDS };

static const char *const kind_tags[KINDS] = {
	[KIND_SDK] = "sdk", [KIND_FRAMEWORK] = "framework", [KIND_AGENT] = "coding_agent"};

/* Where clients name themselves, surest first. */
static const char *const name_headers[] = {"user-agent", "x-goog-api-client", "originator"};

/*
 * How a product's name begins, in any case; more specific ones first. A name that ends with '/' is
 * whole, one without goes on in ways of its own.
 */
static const struct {
	const char *product;
	enum kind kind;
	const char *name;
} clients[] = {
	{"claude-cli/", KIND_AGENT, "claude-code"},
	{"claude-code/", KIND_AGENT, "claude-code"},
	{"codex_", KIND_AGENT, "codex"}, /* codex_cli_rs, codex_exec, codex_vscode */
	{"codex-tui/", KIND_AGENT, "codex"},
	{"geminicli", KIND_AGENT, "gemini-cli"}, /* "/VERSION", "-IDE/VERSION" */
	{"githubcopilotchat/", KIND_AGENT, "copilot"},
	{"githubcopilot/", KIND_AGENT, "copilot"},
	{"copilot/", KIND_AGENT, "copilot"},
	{"opencode/", KIND_AGENT, "opencode"},

	{"agents/python", KIND_FRAMEWORK, "openai-agents"},
	{"agents/javascript", KIND_FRAMEWORK, "openai-agents"},
	{"langchain", KIND_FRAMEWORK, "langchain"}, /* langchain-anthropic/, langchain/ */
	{"pydantic-ai/", KIND_FRAMEWORK, "pydantic-ai"},
	{"litellm/", KIND_FRAMEWORK, "litellm"},
	{"ai-sdk/", KIND_FRAMEWORK, "vercel-ai"},

	{"openai/python", KIND_SDK, "openai-python"},
	{"asyncopenai/python", KIND_SDK, "openai-python"},
	{"azureopenai/python", KIND_SDK, "openai-python"},
	{"asyncazureopenai/python", KIND_SDK, "openai-python"},
	{"openai/js", KIND_SDK, "openai-js"},
	{"azureopenai/js", KIND_SDK, "openai-js"},
	{"openai/go", KIND_SDK, "openai-go"},
	{"openai/java", KIND_SDK, "openai-java"},
	{"openai/ruby", KIND_SDK, "openai-ruby"},
	{"anthropic/python", KIND_SDK, "anthropic-python"},
	{"asyncanthropic/python", KIND_SDK, "anthropic-python"},
	{"anthropic/js", KIND_SDK, "anthropic-js"},
	{"anthropic/go", KIND_SDK, "anthropic-go"},
	{"anthropic/java", KIND_SDK, "anthropic-java"},
	{"anthropic/ruby", KIND_SDK, "anthropic-ruby"},
	{"groq/python", KIND_SDK, "groq-python"},
	{"asyncgroq/python", KIND_SDK, "groq-python"},
	{"boto3/", KIND_SDK, "boto3"},
	{"aws-sdk-js/", KIND_SDK, "aws-sdk-js"},
	{"google-genai-sdk/", KIND_SDK, "google-genai"},
	{"mistral-client-python/", KIND_SDK, "mistral-python"},
	{"ollama-python/", KIND_SDK, "ollama-python"},
};

/* Headers that one client alone sends, whatever it is called by. */
static const struct {
	const char *header;
	enum kind kind;
	const char *name;
} own_headers[] = {
	{"x-claude-code-session-id", KIND_AGENT, "claude-code"},
};

/* Of SDKs that Stainless makes and that are called something else: x-stainless-lang. */
static const struct {
	struct slice language;
	const char *name;
} stainless[] = {
	{SLICE("python"), "stainless-python"}, {SLICE("js"), "stainless-js"},
	{SLICE("java"), "stainless-java"},     {SLICE("kotlin"), "stainless-kotlin"},
	{SLICE("go"), "stainless-go"},	       {SLICE("ruby"), "stainless-ruby"},
	{SLICE("csharp"), "stainless-csharp"}, {SLICE("php"), "stainless-php"},
};

static void match_product(struct slice product, const char *found[KINDS])
{
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		struct slice start = slice_of(clients[i].product);

		if (product.len < start.len ||
		    !slice_ieq((struct slice){product.ptr, start.len}, start))
			continue;
		if (!found[clients[i].kind])
			found[clients[i].kind] = clients[i].name;
		return;
	}
}

/* Products stand apart by spaces; what is in brackets is a comment (RFC 9110 10.1.5). */
static void match_products(struct slice text, const char *found[KINDS])
{
	size_t start = 0;
	int depth = 0;

	for (size_t i = 0; i <= text.len; i++) {
		char c = i < text.len ? text.ptr[i] : ' ';

		depth += c == '(';
		depth -= c == ')' && depth > 0;
		if (c != ' ' && c != '(' && c != ')')
			continue;
		if (c != ')' && depth == (c == '(') && i > start)
			match_product((struct slice){text.ptr + start, i - start}, found);
		start = i + 1;
	}
}

void clients_read(struct call *call, const struct http_head *head)
{
	const char *found[KINDS] = {NULL};
	struct slice language = http_head_get(head, "x-stainless-lang");

	for (size_t i = 0; i < ARRAY_LEN(name_headers); i++)
		match_products(http_head_get(head, name_headers[i]), found);
	for (size_t i = 0; i < ARRAY_LEN(own_headers); i++) {
		if (!found[own_headers[i].kind] && http_head_get(head, own_headers[i].header).len)
			found[own_headers[i].kind] = own_headers[i].name;
	}
	for (size_t i = 0; i < ARRAY_LEN(stainless) && !found[KIND_SDK]; i++) {
		if (slice_ieq(language, stainless[i].language))
			found[KIND_SDK] = stainless[i].name;
	}
	for (int i = 0; i < KINDS; i++) {
		if (found[i])
			tags_set(&call->tags, slice_of(kind_tags[i]), slice_of(found[i]),
				 TAG_HEADER);
	}
}
