// SPDX-License-Identifier: Apache-2.0
// Makes the calls of one SDK against the local provider:
//   node client.mjs SDK PORT
// Names of hosts lead to 127.0.0.1; nothing else of the SDKs is touched.
import dns from "node:dns";
import { createRequire } from "node:module";
import { Agent } from "node:https";
import { sessions } from "./answers.mjs";

const require = createRequire(import.meta.url);
const [, , sdk, port] = process.argv;
const apiKey = "sk-test-of-the-sdks";
const messages = [{ role: "user", content: "hello" }];
const at = (host, path = "") => `https://${host}:${port}${path}`;

dns.lookup = (_name, options, done) => {
	const callback = done ?? options;
	return options?.all ? callback(null, [{ address: "127.0.0.1", family: 4 }])
		: callback(null, "127.0.0.1", 4);
};

async function drain(stream) {
	for await (const _ of stream);
}

async function openai() {
	const { OpenAI } = require("openai");
	const client = new OpenAI({ apiKey, baseURL: at("api.openai.com", "/v1"), maxRetries: 0 });
	const model = "gpt-4o-mini";
	await client.chat.completions.create({ model, messages });
	await drain(await client.chat.completions.create({ model, messages, stream: true }));
	await drain(await client.chat.completions.create({ model, messages, stream: true,
		stream_options: { include_usage: true } }));
	await client.responses.create({ model: "gpt-5", input: "hello" });
	await drain(await client.responses.create({ model: "gpt-5", input: "hello", stream: true }));
	await client.embeddings.create({ model: "text-embedding-3-small", input: "hello" });
}

async function anthropic() {
	const { Anthropic } = require("@anthropic-ai/sdk");
	const client = new Anthropic({ apiKey, baseURL: at("api.anthropic.com"), maxRetries: 0 });
	const request = { model: "claude-sonnet-4-5", max_tokens: 9, messages };
	await client.messages.create(request);
	await client.messages.stream(request).finalMessage();
}

async function google() {
	const { GoogleGenAI } = require("@google/genai");
	const client = new GoogleGenAI({ apiKey,
		httpOptions: { baseUrl: at("generativelanguage.googleapis.com") } });
	const request = { model: "gemini-2.5-flash", contents: "hello" };
	await client.models.generateContent(request);
	await drain(await client.models.generateContentStream(request));
}

async function bedrockOver(requestHandler) {
	const aws = require("@aws-sdk/client-bedrock-runtime");
	const client = new aws.BedrockRuntimeClient({ region: "us-east-1", maxAttempts: 1,
		endpoint: at("bedrock-runtime.us-east-1.amazonaws.com"), requestHandler,
		credentials: { accessKeyId: "AKIATEST", secretAccessKey: "secret-of-the-sdks" } });
	const talk = { modelId: "amazon.nova-lite-v1:0",
		messages: [{ role: "user", content: [{ text: "hello" }] }] };
	const invoke = { modelId: "anthropic.claude-3-haiku-20240307-v1:0",
		body: JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 9, messages }) };
	await client.send(new aws.ConverseCommand(talk));
	await drain((await client.send(new aws.ConverseStreamCommand(talk))).stream);
	await client.send(new aws.InvokeModelCommand(invoke));
	await drain((await client.send(new aws.InvokeModelWithResponseStreamCommand(invoke))).body);
	client.destroy();
}

async function bedrock() { // as it comes: HTTP/2
	await bedrockOver(undefined);
}

async function bedrockHttp1() {
	const { NodeHttpHandler } = require("@smithy/node-http-handler");
	await bedrockOver(new NodeHttpHandler({ httpsAgent: new Agent({ keepAlive: true }) }));
}

async function cohere() {
	const { CohereClientV2 } = require("cohere-ai");
	const client = new CohereClientV2({ token: apiKey, environment: at("api.cohere.com") });
	await client.chat({ model: "command-a-03-2025", messages });
	await drain(await client.chatStream({ model: "command-a-03-2025", messages }));
	await client.rerank({ model: "rerank-v3.5", query: "hello", documents: ["hello"] });
}

async function mistral() {
	const { Mistral } = await import("@mistralai/mistralai");
	const client = new Mistral({ apiKey, serverURL: at("api.mistral.ai") });
	const request = { model: "mistral-small-latest", messages };
	await client.chat.complete(request);
	await drain(await client.chat.stream(request));
}

async function groq() {
	const { Groq } = require("groq-sdk");
	const client = new Groq({ apiKey, baseURL: at("api.groq.com"), maxRetries: 0 });
	const request = { model: "llama-3.3-70b-versatile", messages };
	await client.chat.completions.create(request);
	await drain(await client.chat.completions.create({ ...request, stream: true }));
}

// Four turns of one session.
function talk(path, session, deflate) {
	const { WebSocket } = require("ws");
	const socket = new WebSocket(
		`wss://api.openai.com:${port}${path}?model=gpt-realtime&deflate=${deflate}`,
		{ perMessageDeflate: deflate !== "none" && { threshold: 0 },
			headers: { Authorization: `Bearer ${apiKey}` } });
	return new Promise((resolve, reject) => {
		let turns = 0;
		const ask = () => socket.send(JSON.stringify(session.ask));
		socket.on("error", reject);
		socket.on("open", ask);
		socket.on("message", (message) => {
			if (JSON.parse(message).type !== session.last) return;
			if (++turns === 4) socket.close(1000);
			else ask();
		});
		socket.on("close", () => resolve());
	});
}

// With each setting of compression.
async function ws() {
	for (const [path, session] of Object.entries(sessions))
		for (const deflate of ["none", "fresh", "kept"]) await talk(path, session, deflate);
}

const sdks = { openai, anthropic, google, bedrock, bedrockHttp1, cohere, mistral, groq, ws };

await sdks[sdk]();
process.exit(0);
