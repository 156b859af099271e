// SPDX-License-Identifier: Apache-2.0
// Calls the demo provider from Node: node client.mjs --port N --cacert FILE [--with https|fetch]
// [--api chat|responses|embeddings|messages] [--scenario S] [--stream] [--repeat N]
// [--prompt-bytes N] [--model M]. Only name resolution is redirected. For fetch, start with
// NODE_EXTRA_CA_CERTS=FILE.
import dns from "node:dns";
import fs from "node:fs";
import https from "node:https";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
	options: {
		port: { type: "string" },
		cacert: { type: "string" },
		with: { type: "string", default: "https" },
		api: { type: "string", default: "chat" },
		scenario: { type: "string", default: "plain" },
		model: { type: "string" },
		stream: { type: "boolean", default: false },
		repeat: { type: "string", default: "1" },
		"prompt-bytes": { type: "string", default: "0" },
	},
});

const apis = {
	chat: ["api.openai.com", "/v1/chat/completions", "gpt-4o-mini"],
	responses: ["api.openai.com", "/v1/responses", "gpt-5"],
	embeddings: ["api.openai.com", "/v1/embeddings", "text-embedding-3-small"],
	messages: ["api.anthropic.com", "/v1/messages", "claude-sonnet-4-5"],
};
const [host, path, model] = apis[args.api];

function requestBody() {
	const size = Number(args["prompt-bytes"]);
	const prompt = size ? "x".repeat(size) : `hello from ${args.with}`;
	const body = { model: args.model ?? model };

	if (args.api === "chat" || args.api === "messages")
		body.messages = [{ role: "user", content: prompt }];
	else
		body.input = prompt;
	if (args.api === "messages")
		body.max_tokens = 64;
	if (args.stream)
		body.stream = true;
	if (args.stream && args.api === "chat")
		body.stream_options = { include_usage: true };
	return JSON.stringify(body);
}

const headers = { "Content-Type": "application/json", "x-demo-scenario": args.scenario };
if (args.api === "messages") {
	headers["x-api-key"] = "sk-ant-demo-0000";
	headers["anthropic-version"] = "2023-06-01";
} else {
	headers.Authorization = "Bearer sk-demo-0000";
}

function toLoopback(name, options, done) {
	if (options.all)
		return done(null, [{ address: "127.0.0.1", family: 4 }]);
	return done(null, "127.0.0.1", 4);
}

function byHttps(agent, body) {
	return new Promise((resolve, reject) => {
		const request = https.request({
			host, path, agent, port: Number(args.port), method: "POST",
			lookup: toLoopback, servername: host,
			headers: { ...headers, Host: host, "Content-Length": Buffer.byteLength(body),
				"Accept-Encoding": "gzip" },
		}, (response) => {
			response.on("data", () => {});
			response.on("end", resolve);
			response.on("error", reject);
		});
		request.on("error", reject);
		request.end(body);
	});
}

async function byFetch(body) {
	const response = await fetch(`https://${host}:${args.port}${path}`,
		{ method: "POST", headers, body });
	for await (const part of response.body)
		void part;
}

const body = requestBody();
if (args.with === "fetch")
	dns.lookup = (name, options, done) => toLoopback(name, options, done);
const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: fs.readFileSync(args.cacert) });
for (let i = 0; i < Number(args.repeat); i++)
	await (args.with === "fetch" ? byFetch(body) : byHttps(agent, body));
agent.destroy();
