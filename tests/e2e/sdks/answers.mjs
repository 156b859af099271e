// SPDX-License-Identifier: Apache-2.0
// What the local provider answers, by host, path and whether a stream was asked for, and what a row
// must say of it: `truth`. Its usage is no other row's, so that no test passes by chance.
import { chunk } from "./wire.mjs";

const chat = (model, delta, more = {}) => ({ id: "chatcmpl-1", object: "chat.completion.chunk",
	created: 1, model, choices: [{ index: 0, delta, finish_reason: null }], ...more });
const chatWhole = (model, usage, more = {}) => ({ id: "chatcmpl-1", object: "chat.completion",
	created: 1, model, usage, ...more, choices: [{ index: 0, finish_reason: "stop",
		message: { role: "assistant", content: "hello" } }] });
const counts = (prompt, completion, more = {}) => ({ prompt_tokens: prompt,
	completion_tokens: completion, total_tokens: prompt + completion, ...more });
const embedding = (model, usage) => ({ object: "list", model, usage,
	data: [{ object: "embedding", index: 0, embedding: [0.5, 0.25] }] });
const response = (status, usage) => ({ id: "resp_1", object: "response", created_at: 1, status,
	model: "gpt-5-2025-08-07", output: [], usage });
const sonnet = "claude-sonnet-4-5-20250929", haiku = "claude-3-haiku-20240307";
const claude = (model, usage, content = [{ type: "text", text: "hello" }]) => ({ id: "msg_1",
	type: "message", role: "assistant", model, content, stop_reason: "end_turn",
	stop_sequence: null, usage });
const claudeEvents = (model, first, last) => [
	{ type: "message_start", message: claude(model, first, []) },
	{ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
	{ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "hello" } },
	{ type: "content_block_stop", index: 0 },
	{ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: last },
	{ type: "message_stop" }];
const gemini = (usage) => ({ candidates: [{ content: { role: "model", parts: [{ text: "hello" }] },
	finishReason: "STOP", index: 0 }], usageMetadata: usage, modelVersion: "gemini-2.5-flash",
	responseId: "gem_1" });
const converse = { output: { message: { role: "assistant", content: [{ text: "hello" }] } },
	stopReason: "end_turn", metrics: { latencyMs: 5 },
	usage: { inputTokens: 151, outputTokens: 13, totalTokens: 164 } };
const converseEvents = [
	["messageStart", { role: "assistant" }],
	["contentBlockDelta", { contentBlockIndex: 0, delta: { text: "hello" } }],
	["contentBlockStop", { contentBlockIndex: 0 }],
	["messageStop", { stopReason: "end_turn" }],
	["metadata", { metrics: { latencyMs: 5 }, usage: { inputTokens: 161, outputTokens: 17,
		totalTokens: 282, cacheReadInputTokens: 104 } }]];
const cohereUsage = (input, output) => ({ billed_units: { input_tokens: input,
	output_tokens: output }, tokens: { input_tokens: input + 400, output_tokens: output } });

const openai = "api.openai.com", anthropic = "api.anthropic.com";
const google = "generativelanguage.googleapis.com", cohere = "api.cohere.com";
const mistral = "api.mistral.ai", groq = "api.groq.com";
const bedrock = "bedrock-runtime.us-east-1.amazonaws.com";
const converseModel = "amazon.nova-lite-v1:0";
const invokeModel = "anthropic.claude-3-haiku-20240307-v1:0";
const bedrockPath = (model, what) => `/model/${encodeURIComponent(model)}/${what}`;

export const hosts = [openai, anthropic, google, cohere, mistral, groq, bedrock];

const reported = { outcome: "ok", basis: "reported_usage", usage_missing: null, stream: false };
const streamed = { ...reported, stream: true };

export const answers = [
	{ host: openai, path: "/v1/chat/completions", wire: "json",
		documents: [chatWhole("gpt-4o-mini-2024-07-18", counts(111, 21, {
			prompt_tokens_details: { cached_tokens: 64 } }))],
		truth: { ...reported, provider: "openai", model: "gpt-4o-mini-2024-07-18",
			tokens: { input_uncached: 47, input_cache_read: 64, output_text: 21 } } },
	{ host: openai, path: "/v1/chat/completions", asks: "stream", wire: "sse",
		documents: [chat("gpt-4o-mini-2024-07-18", { role: "assistant", content: "" }),
			chat("gpt-4o-mini-2024-07-18", { content: "hello" }), "[DONE]"],
		truth: { ...streamed, provider: "openai", model: "gpt-4o-mini-2024-07-18",
			tokens: { input_uncached: 8, output_text: 1 }, /* hi: 1, its form: 4, the answer's begin: 3 */
			basis: "estimated", usage_missing: "not_asked" } },
	{ host: openai, path: "/v1/chat/completions", asks: "stream_options", wire: "sse",
		documents: [chat("gpt-4o-mini-2024-07-18", { content: "hello" }),
			{ ...chat("gpt-4o-mini-2024-07-18"), choices: [], usage: counts(112, 22, {
				completion_tokens_details: { reasoning_tokens: 12 } }) }, "[DONE]"],
		truth: { ...streamed, provider: "openai", model: "gpt-4o-mini-2024-07-18",
			tokens: { input_uncached: 112, output_text: 10, output_reasoning: 12 } } },
	{ host: openai, path: "/v1/responses", wire: "json",
		documents: [response("completed", { input_tokens: 113, output_tokens: 23, total_tokens: 136,
			input_tokens_details: { cached_tokens: 13 },
			output_tokens_details: { reasoning_tokens: 3 } })],
		truth: { ...reported, provider: "openai", model: "gpt-5-2025-08-07",
			tokens: { input_uncached: 100, input_cache_read: 13, output_text: 20,
				output_reasoning: 3 } } },
	{ host: openai, path: "/v1/responses", asks: "stream", wire: "sse",
		documents: [{ type: "response.created", sequence_number: 0,
			response: response("in_progress", null) },
		{ type: "response.output_text.delta", sequence_number: 1, item_id: "m", output_index: 0,
			content_index: 0, delta: "hello", logprobs: [] },
		{ type: "response.completed", sequence_number: 2, response: response("completed", {
			input_tokens: 114, output_tokens: 24, total_tokens: 138,
			input_tokens_details: { cached_tokens: 0 },
			output_tokens_details: { reasoning_tokens: 0 } }) }],
		truth: { ...streamed, provider: "openai", model: "gpt-5-2025-08-07",
			tokens: { input_uncached: 114, output_text: 24 } } },
	{ host: openai, path: "/v1/embeddings", wire: "json",
		documents: [embedding("text-embedding-3-small", { prompt_tokens: 115, total_tokens: 115 })],
		truth: { ...reported, provider: "openai", model: "text-embedding-3-small",
			tokens: { input_uncached: 115 } } },
	{ host: anthropic, path: "/v1/messages", wire: "json",
		documents: [claude(sonnet, { input_tokens: 121, output_tokens: 31, cache_read_input_tokens: 1000,
			cache_creation_input_tokens: 300, cache_creation: { ephemeral_5m_input_tokens: 100,
				ephemeral_1h_input_tokens: 200 }, service_tier: "standard" })],
		truth: { ...reported, provider: "anthropic", model: sonnet,
			tokens: { input_uncached: 121, input_cache_read: 1000, input_cache_write_5m: 100,
				input_cache_write_1h: 200, output_text: 31 } } },
	{ host: anthropic, path: "/v1/messages", asks: "stream", wire: "sse",
		documents: claudeEvents(sonnet, { input_tokens: 122, output_tokens: 1 },
			{ input_tokens: 122, output_tokens: 32 }),
		truth: { ...streamed, provider: "anthropic", model: sonnet,
			tokens: { input_uncached: 122, output_text: 32 } } },
	{ host: google, path: "/v1beta/models/gemini-2.5-flash:generateContent", wire: "json",
		documents: [gemini({ promptTokenCount: 131, candidatesTokenCount: 11,
			thoughtsTokenCount: 7, totalTokenCount: 149 })],
		truth: { ...reported, provider: "gcp.gemini", model: "gemini-2.5-flash",
			tokens: { input_uncached: 131, output_text: 11, output_reasoning: 7 } } },
	{ host: google, path: "/v1beta/models/gemini-2.5-flash:streamGenerateContent", wire: "sse",
		documents: [gemini({ promptTokenCount: 132, candidatesTokenCount: 1, totalTokenCount: 133 }),
			gemini({ promptTokenCount: 132, candidatesTokenCount: 12, totalTokenCount: 144 })],
		truth: { ...streamed, provider: "gcp.gemini", model: "gemini-2.5-flash",
			tokens: { input_uncached: 132, output_text: 12 } } },
	{ host: bedrock, path: bedrockPath(converseModel, "converse"), wire: "json",
		documents: [converse],
		truth: { ...reported, provider: "aws.bedrock", model: converseModel,
			tokens: { input_uncached: 151, output_text: 13 } } },
	{ host: bedrock, path: bedrockPath(converseModel, "converse-stream"), wire: "aws",
		documents: converseEvents,
		truth: { ...streamed, provider: "aws.bedrock", model: converseModel,
			tokens: { input_uncached: 161, input_cache_read: 104, output_text: 17 } } },
	{ host: bedrock, path: bedrockPath(invokeModel, "invoke"), wire: "json",
		documents: [claude(haiku, { input_tokens: 171, output_tokens: 19 })],
		fields: { "x-amzn-bedrock-input-token-count": "171",
			"x-amzn-bedrock-output-token-count": "19" },
		truth: { ...reported, provider: "aws.bedrock", model: haiku,
			tokens: { input_uncached: 171, output_text: 19 } } },
	{ host: bedrock, path: bedrockPath(invokeModel, "invoke-with-response-stream"), wire: "aws",
		documents: claudeEvents(haiku, { input_tokens: 181, output_tokens: 1 },
			{ output_tokens: 18 }).map(chunk),
		truth: { ...streamed, provider: "aws.bedrock", model: haiku,
			tokens: { input_uncached: 181, output_text: 18 } } },
	{ host: cohere, path: "/v2/chat", wire: "json",
		documents: [{ id: "co_1", finish_reason: "COMPLETE", message: { role: "assistant",
			content: [{ type: "text", text: "hello" }] }, usage: cohereUsage(191, 9) }],
		truth: { ...reported, provider: "cohere", model: "command-a-03-2025",
			tokens: { input_uncached: 191, output_text: 9 } } },
	{ host: cohere, path: "/v2/chat", asks: "stream", wire: "sse",
		documents: [{ type: "message-start", id: "co_2", delta: { message: { role: "assistant" } } },
			{ type: "content-delta", index: 0, delta: { message: { content: { text: "hello" } } } },
			{ type: "message-end", delta: { finish_reason: "COMPLETE",
				usage: cohereUsage(192, 8) } }],
		truth: { ...streamed, provider: "cohere", model: "command-a-03-2025",
			tokens: { input_uncached: 192, output_text: 8 } } },
	{ host: cohere, path: "/v2/rerank", wire: "json",
		documents: [{ id: "co_3", results: [{ index: 0, relevance_score: 0.5 }],
			meta: { api_version: { version: "2" }, billed_units: { search_units: 3 } } }],
		truth: { ...reported, provider: "cohere", model: "rerank-v3.5", tokens: {},
			tool_units: { search_units: 3 } } },
	{ host: mistral, path: "/v1/chat/completions", wire: "json",
		documents: [chatWhole("mistral-small-latest", counts(201, 41))],
		truth: { ...reported, provider: "mistral_ai", model: "mistral-small-latest",
			tokens: { input_uncached: 201, output_text: 41 } } },
	{ host: mistral, path: "/v1/chat/completions", asks: "stream", wire: "sse",
		documents: [chat("mistral-small-latest", { content: "hello" }),
			{ id: "c", object: "chat.completion.chunk", created: 1, model: "mistral-small-latest",
				usage: counts(202, 42),
				choices: [{ index: 0, delta: { content: "" }, finish_reason: "stop" }] },
			"[DONE]"],
		truth: { ...streamed, provider: "mistral_ai", model: "mistral-small-latest",
			tokens: { input_uncached: 202, output_text: 42 } } },
	{ host: groq, path: "/openai/v1/chat/completions", wire: "json",
		documents: [chatWhole("llama-3.3-70b-versatile", counts(211, 51, { queue_time: 0.01 }),
			{ x_groq: { id: "req_g" } })],
		truth: { ...reported, provider: "groq", model: "llama-3.3-70b-versatile",
			tokens: { input_uncached: 211, output_text: 51 } } },
	{ host: groq, path: "/openai/v1/chat/completions", asks: "stream", wire: "sse",
		documents: [chat("llama-3.3-70b-versatile", { content: "hello" }),
			chat("llama-3.3-70b-versatile", {}, { x_groq: { id: "req_g",
				usage: counts(212, 52) } }), "[DONE]"],
		truth: { ...streamed, provider: "groq", model: "llama-3.3-70b-versatile",
			tokens: { input_uncached: 212, output_text: 52 } } },
];

// The most that a request asks for of what an answer may want.
function asked(path, body) {
	if (body.stream_options?.include_usage) return "stream_options";
	return body.stream ? "stream" : undefined;
}

export function answerTo(host, path, body) {
	const asks = asked(path, body);
	return answers.find((a) => a.host === host && a.path === path && a.asks === asks);
}

// Sessions by their path: the first message, what is asked of each turn, the events that answer it,
// and its row.
const realtimeUsage = (n) => ({ total_tokens: 300 + 2 * n, input_tokens: 200 + n,
	output_tokens: 100 + n,
	input_token_details: { text_tokens: 200, audio_tokens: n, cached_tokens: 0 },
	output_token_details: { text_tokens: n, audio_tokens: 100 } });

export const sessions = {
	"/v1/realtime": {
		first: { type: "session.created", session: { id: "sess_1", model: "gpt-realtime" } },
		ask: { type: "response.create" },
		last: "response.done",
		turn: (n) => ({
			events: [
				{ type: "response.created", response: { id: `resp_${n}`, status: "in_progress" } },
				{ type: "response.output_text.delta", response_id: `resp_${n}`,
					delta: "hello ".repeat(n * 50) },
				{ type: "response.done", response: { id: `resp_${n}`, object: "realtime.response",
					status: "completed", output: [], usage: realtimeUsage(n) } }],
			truth: { ...streamed, provider: "openai", api: "realtime", model: "gpt-realtime",
				tokens: { input_uncached: 200, input_audio: n, output_text: n, output_audio: 100 } },
		}),
	},
	// As Codex speaks: the answers are those of Responses.
	"/v1/responses": {
		first: undefined,
		ask: { type: "response.create", model: "gpt-5", input: "hello" },
		last: "response.completed",
		turn: (n) => ({
			events: [
				{ type: "response.created", sequence_number: 0,
					response: { ...response("in_progress", null), id: `resp_ws_${n}` } },
				{ type: "response.output_text.delta", sequence_number: 1, item_id: "m",
					output_index: 0, content_index: 0, delta: "hello ".repeat(n * 50) },
				{ type: "response.completed", sequence_number: 2, response: {
					...response("completed", { input_tokens: 500 + n, output_tokens: 60 + n,
						total_tokens: 560 + 2 * n, input_tokens_details: { cached_tokens: 400 },
						output_tokens_details: { reasoning_tokens: 50 } }), id: `resp_ws_${n}` } }],
			truth: { ...streamed, provider: "openai", api: "responses", model: "gpt-5-2025-08-07",
				tokens: { input_uncached: 100 + n, input_cache_read: 400, output_text: 10 + n,
					output_reasoning: 50 } },
		}),
	},
};
