// SPDX-License-Identifier: Apache-2.0
// The provider of all SDKs, over HTTP/1.1, HTTP/2 and WebSocket:
//   node server.mjs CERT KEY
// Prints its port, then for each call one line of JSON: what its row must say.
import fs from "node:fs";
import http2 from "node:http2";
import { createRequire } from "node:module";
import { answerTo, sessions } from "./answers.mjs";
import { wires } from "./wire.mjs";

const { WebSocketServer } = createRequire(import.meta.url)("ws");
const [, , cert, key] = process.argv;

const hostOf = (request) => (request.authority ?? request.headers.host).split(":")[0];
const tell = (truth, more) => console.log(JSON.stringify({ ...truth, ...more }));
const pause = () => new Promise((resolve) => setTimeout(resolve, 3));

async function respond(request, body, out) {
	const answer = answerTo(hostOf(request), request.url.split("?")[0], body);
	if (!answer) {
		out.writeHead(404).end("{}");
		return tell({ unknown: `${hostOf(request)} ${request.url} ${JSON.stringify(body)}` });
	}
	const wire = wires[answer.wire];
	out.writeHead(200, { "content-type": wire.type, ...answer.fields });
	for (const piece of wire.pieces(answer.documents)) {
		out.write(piece);
		await pause();
	}
	tell(answer.truth, { host: answer.host, http: request.httpVersion });
	out.end();
}

const server = http2.createSecureServer(
	{ cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true },
	async (request, out) => {
		const pieces = [];
		for await (const piece of request) pieces.push(piece);
		const body = Buffer.concat(pieces).toString();
		await respond(request, body ? JSON.parse(body) : {}, out);
	});

// The client's choice of compression is the server's: `?deflate=` none, fresh or kept.
const deflates = { none: false,
	fresh: { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 },
	kept: { threshold: 0 } };

function serveSession(socket, request) {
	const session = sessions[new URL(request.url, "https://x").pathname];
	let turns = 0;
	if (session.first) socket.send(JSON.stringify(session.first));
	socket.on("message", (message) => {
		if (JSON.parse(message).type !== "response.create") return;
		const turn = session.turn(++turns);
		tell(turn.truth, { host: "api.openai.com", http: "1.1" });
		for (const event of turn.events) socket.send(JSON.stringify(event));
	});
}

const sockets = Object.fromEntries(Object.entries(deflates).map(([name, perMessageDeflate]) => {
	const one = new WebSocketServer({ noServer: true, perMessageDeflate });
	return [name, one.on("connection", serveSession)];
}));

server.on("upgrade", (request, socket, head) => {
	const how = new URL(request.url, "https://x").searchParams.get("deflate");
	sockets[how].handleUpgrade(request, socket, head, (ready) =>
		sockets[how].emit("connection", ready, request));
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
