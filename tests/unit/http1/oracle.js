// SPDX-License-Identifier: Apache-2.0
// What Node's own HTTP parser (llhttp) sees: for each line "KIND HEX" of the file named by the first
// argument, one line of events: heads "(METHOD TARGET FIELDS)" or "(STATUS FIELDS)", body bytes in
// hex, "." at a message's end, "!" where it refuses.
'use strict';
process.removeAllListeners('warning');
process.on('warning', () => {});
const fs = require('fs');
const { HTTPParser, methods } = process.binding('http_parser');

function events(kind, bytes) {
  const request = kind === 'request';
  const parser = new HTTPParser();
  let text = '', interim = false;
  parser.initialize(request ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 0);
  parser[HTTPParser.kOnHeadersComplete] = (major, minor, headers, method, url, status) => {
    const fields = [];
    for (let i = 0; i < headers.length; i += 2) fields.push(`${headers[i]}=${headers[i + 1]}`);
    interim = !request && status < 200;
    text += `(${request ? `${methods[method]} ${url}` : status} ${fields.join('|')})`;
  };
  parser[HTTPParser.kOnBody] = (b) => { text += b.toString('hex'); };
  parser[HTTPParser.kOnMessageComplete] = () => { if (!interim) text += '.'; };
  const fed = parser.execute(bytes);
  if (fed instanceof Error || parser.finish() instanceof Error) text += '!';
  return text;
}

for (const line of fs.readFileSync(process.argv[2], 'latin1').split('\n')) {
  if (!line) continue;
  const [kind, hex] = line.split(' ');
  console.log(events(kind, Buffer.from(hex || '', 'hex')));
}
