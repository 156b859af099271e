// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 server over TLS in front of a provider that speaks plain HTTP/1.1 on loopback:
//   node http2_front.mjs PROVIDER_PORT CERT KEY
// Prints its port. Bytes of an answer go on as they come, in frames of at most FRAME bytes.
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";

const [, , provider, cert, key] = process.argv;
const FRAME = 1000;
const OF_ONE_CONNECTION = ["connection", "keep-alive", "transfer-encoding", "trailer"];

function withoutPseudo(headers) {
	const plain = Object.entries(headers).filter(([name]) => !name.startsWith(":"));
	return { ...Object.fromEntries(plain), host: headers[":authority"] };
}

function sendOn(answer, stream) {
	const fields = Object.entries(answer.headers)
		.filter(([name]) => !OF_ONE_CONNECTION.includes(name));
	stream.respond({ ":status": answer.statusCode, ...Object.fromEntries(fields) });
	let written = Promise.resolve();
	answer.on("data", (piece) => {
		for (let at = 0; at < piece.length; at += FRAME) {
			const frame = piece.subarray(at, at + FRAME);
			written = new Promise((resolve) => stream.write(frame, resolve));
		}
	});
	answer.on("end", () => stream.end());
	// Not close(): that ends the stream first, and END_STREAM may go out before the RST_STREAM.
	answer.on("error", (cut) => written.then(() => stream.destroy(cut)));
}

const server = http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
server.on("stream", (stream, headers) => {
	const request = http.request({
		host: "127.0.0.1", port: provider, method: headers[":method"],
		path: headers[":path"], headers: withoutPseudo(headers),
	}, (answer) => sendOn(answer, stream));
	stream.on("error", () => request.destroy());
	request.on("error", () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
	stream.pipe(request);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
