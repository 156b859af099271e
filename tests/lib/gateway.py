#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gateway as people run them before their providers: takes requests over TLS, sends them on, sends
the answers back as they come.

    gateway.py --cert FILE --key FILE --upstream PORT [--plain] [--retry] [--cache] [--rewrite]

prints its port, and serves until its stdin ends. --plain: the upstream speaks plain HTTP. --retry: an
answer of 5xx is asked for again without the scenario that made it. --cache: a request that was
answered before is answered from memory. --rewrite: the request's JSON is written anew, so that no
byte need be the same."""
import argparse
import http.client
import http.server
import json
import os
import socket
import ssl
import sys
import threading

HOST = "api.openai.com"
DROPPED = ("connection", "host", "transfer-encoding", "content-length", "keep-alive")


class Upstream(http.client.HTTPConnection):
    """Of the provider: its name leads to a port here."""

    def __init__(self, args):
        super().__init__(HOST, timeout=30)
        self.args = args

    def connect(self):
        self.sock = socket.create_connection(("127.0.0.1", self.args.upstream))
        if not self.args.plain:
            context = ssl.create_default_context(cafile=self.args.cert)
            self.sock = context.wrap_socket(self.sock, server_hostname=HOST)


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    args = None
    cache = {}

    def ask(self, body, headers):
        upstream = Upstream(self.args)
        upstream.request("POST", self.path, body, headers)
        return upstream.getresponse()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in DROPPED}
        if self.args.cache and body in self.cache:
            return self.send_on(*self.cache[body])
        sent = json.dumps(json.loads(body), indent=1).encode() if self.args.rewrite else body
        answer = self.ask(sent, headers)
        if self.args.retry and answer.status >= 500:
            answer.read()
            headers["x-demo-scenario"] = "plain"
            answer = self.ask(sent, headers)
        fields = [(k, v) for k, v in answer.getheaders() if k.lower() not in DROPPED]
        pieces = self.send_on(answer.status, fields, iter(lambda: answer.read1(65536), b""))
        self.cache[body] = (answer.status, fields, pieces)

    def send_on(self, status, fields, pieces):
        kept = []
        self.send_response_only(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            kept.append(piece)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        return kept

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--upstream", type=int, required=True)
    for flag in ("--plain", "--retry", "--cache", "--rewrite"):
        parser.add_argument(flag, action="store_true")
    Gateway.args = args = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
