/* SPDX-License-Identifier: Apache-2.0 */
/* Clients by what they call themselves; the names are of real ones. */
#include "stage.h"

#include "agent/exchange/clients.h"

static struct call read_head(const char *const *lines)
{
	struct http_head head = head_of("POST", "/v1/messages", 0, lines);
	struct call call = {0};

	clients_read(&call, &head);
	return call;
}

static void names(void **state)
{
	static const struct {
		const char *field, *sdk, *framework, *agent;
	} rows[] = {
		{"User-Agent: OpenAI/Python 1.109.1", "openai-python", "", ""},
		{"User-Agent: AsyncOpenAI/Python 1.109.1", "openai-python", "", ""},
		{"User-Agent: AzureOpenAI/Python 1.2", "openai-python", "", ""},
		{"User-Agent: OpenAI/JS 4.104.0", "openai-js", "", ""},
		{"User-Agent: Anthropic/Python 0.89.0", "anthropic-python", "", ""},
		{"User-Agent: AsyncAnthropic/Python 0.89.0", "anthropic-python", "", ""},
		{"User-Agent: AsyncGroq/Python 0.9", "groq-python", "", ""},
		{"User-Agent: Boto3/1.35.1 md/Botocore#1.35.1 ua/2.0 lang/python#3.10", "boto3", "",
		 ""},
		{"User-Agent: google-genai-sdk/1.52.0 gl-python/3.11", "google-genai", "", ""},
		{"x-goog-api-client: google-genai-sdk/1.52.0 gl-python/3.11", "google-genai", "",
		 ""},
		{"User-Agent: mistral-client-python/1.9.10", "mistral-python", "", ""},
		{"User-Agent: ollama-python/0.4 (x86_64 linux) Python/3.11", "ollama-python", "",
		 ""},
		{"User-Agent: Agents/Python 0.2", "", "openai-agents", ""},
		{"User-Agent: langchain-anthropic/1.0", "", "langchain", ""},
		{"User-Agent: pydantic-ai/1.2.3", "", "pydantic-ai", ""},
		{"User-Agent: ai/5.0.1 ai-sdk/provider-utils/3.0.0 runtime/node.js/22", "",
		 "vercel-ai", ""},
		{"User-Agent: claude-cli/1.0.83 (external, cli)", "", "", "claude-code"},
		{"user-agent: claude-code/2.1.45", "", "", "claude-code"},
		{"X-Claude-Code-Session-Id: 1", "", "", "claude-code"},
		{"User-Agent: codex_cli_rs/0.58.0 (Ubuntu 24.4.0; x86_64) WindowsTerminal", "", "",
		 "codex"},
		{"User-Agent: codex_vscode/0.58.0", "", "", "codex"},
		{"originator: codex_exec", "", "", "codex"},
		{"User-Agent: GeminiCLI/0.1.5 (Linux; x86_64)", "", "", "gemini-cli"},
		{"User-Agent: GitHubCopilotChat/0.26.7", "", "", "copilot"},
		{"User-Agent: opencode/1.0.1 ai-sdk/provider-utils/3", "", "vercel-ai", "opencode"},
		{"x-stainless-lang: python", "stainless-python", "", ""},
		{"x-stainless-lang: tell me a story", "", "", ""},
		{"User-Agent: curl/7.88.1", "", "", ""},
		{"User-Agent: Mozilla/5.0 (X11; opencode/1 Linux claude-cli/1) x", "", "", ""},
		{"User-Agent: x ((codex_cli/1) boto3/1) openai/js", "openai-js", "", ""},
		{"User-Agent: ((openai/js", "", "", ""},
		{"User-Agent: my openai/pythonic", "openai-python", "", ""},
		{"User-Agent: openai", "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct call c = read_head(LINES(rows[i].field));

		if (strcmp(tag(&c, "sdk"), rows[i].sdk) != 0 ||
		    strcmp(tag(&c, "framework"), rows[i].framework) != 0 ||
		    strcmp(tag(&c, "coding_agent"), rows[i].agent) != 0)
			fail_msg("%s: '%s' '%s' '%s'", rows[i].field, tag(&c, "sdk"),
				 tag(&c, "framework"), tag(&c, "coding_agent"));
		for (uint32_t k = 0; k < c.tags.count; k++)
			assert_int_equal(c.tags.item[k].source, TAG_HEADER);
	}
}

static void several_fields(void **state)
{
	struct call c = read_head(LINES("User-Agent: claude-cli/2.0 (external, cli)",
					"x-stainless-lang: js", "originator: codex_cli_rs"));

	(void)state;
	assert_string_equal(tag(&c, "coding_agent"), "claude-code");
	assert_string_equal(tag(&c, "sdk"), "stainless-js");
	assert_string_equal(tag(&c, "framework"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(several_fields),
	};

	return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
