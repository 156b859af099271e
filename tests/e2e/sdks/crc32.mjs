// SPDX-License-Identifier: Apache-2.0
// The checksum of AWS event streams (CRC-32 as in gzip). node:zlib has it from Node 22 on.
const table = Array.from({ length: 256 }, (_, n) => {
	for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
	return n >>> 0;
});

export function crc32(bytes) {
	let sum = 0xffffffff;
	for (const byte of bytes) sum = table[(sum ^ byte) & 0xff] ^ (sum >>> 8);
	return (sum ^ 0xffffffff) >>> 0;
}
