// SPDX-License-Identifier: Apache-2.0
// Documents to the bytes of an answer, by content type.
import { crc32 } from "./crc32.mjs";

// One message of an AWS event stream: prelude, its sum, headers, payload, sum of all.
function awsMessage(type, payload) {
	const names = { ":message-type": "event", ":event-type": type,
		":content-type": "application/json" };
	const headers = Buffer.concat(Object.entries(names).map(([name, value]) => Buffer.concat([
		Buffer.from([name.length]), Buffer.from(name), Buffer.from([7, 0, value.length]),
		Buffer.from(value)])));
	const message = Buffer.alloc(16 + headers.length + payload.length);
	message.writeUInt32BE(message.length, 0);
	message.writeUInt32BE(headers.length, 4);
	message.writeUInt32BE(crc32(message.subarray(0, 8)), 8);
	headers.copy(message, 12);
	payload.copy(message, 12 + headers.length);
	message.writeUInt32BE(crc32(message.subarray(0, -4)), message.length - 4);
	return message;
}

const text = JSON.stringify;

// Each: documents to pieces, which are written one by one.
export const wires = {
	json: { type: "application/json", pieces: ([document]) => [text(document)] },
	// Events of Anthropic's and of Responses' kind are named by their type.
	sse: { type: "text/event-stream", pieces: (documents) => documents.map((d) =>
		`${d.type ? `event: ${d.type}\n` : ""}data: ${typeof d === "string" ? d : text(d)}\n\n`) },
	aws: { type: "application/vnd.amazon.eventstream", pieces: (documents) =>
		documents.map(([type, d]) => awsMessage(type, Buffer.from(text(d)))) },
};

// The payload of InvokeModelWithResponseStream: the model's own event, in base64.
export const chunk = (event) => ["chunk", { bytes: Buffer.from(text(event)).toString("base64") }];
