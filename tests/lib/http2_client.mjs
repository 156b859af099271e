// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 client that is steered over stdin:
//   node http2_client.mjs PORT CACERT HOST
// A line is a JSON list of calls {path, headers, body}: all are begun at once, each on a stream of the
// one connection. When all have ended their statuses are printed as one line; 0: it was reset.
import fs from "node:fs";
import http2 from "node:http2";
import readline from "node:readline";

const [, , port, cacert, host] = process.argv;
const session = http2.connect(`https://127.0.0.1:${port}`,
	{ ca: fs.readFileSync(cacert), servername: host });

function call({ path, headers, body }) {
	return new Promise((resolve) => {
		const stream = session.request({
			":method": body ? "POST" : "GET", ":path": path, ":authority": host, ...headers,
		});
		let status = 0;
		stream.on("response", (head) => { status = head[":status"]; });
		stream.on("error", () => { status = 0; });
		stream.on("close", () => resolve(status));
		stream.resume();
		stream.end(body);
	});
}

for await (const line of readline.createInterface({ input: process.stdin }))
	console.log(JSON.stringify(await Promise.all(JSON.parse(line).map(call))));
session.close();
