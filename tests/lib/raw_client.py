# SPDX-License-Identifier: Apache-2.0
"""A TLS client that the tests steer over stdin, one Python statement a line, on real OpenSSL calls.

    raw_client.py PORT CACERT

Names at hand: connect(host) -> TLS socket; send(tls, method, path, host, body, **headers) as one
SSL_write; answer(tls) reads one answer to its end and returns (status, body). After each statement it
prints the value, or `ok`, as one line.
"""
import http.client
import io
import json
import os
import select
import socket
import ssl
import sys
import time

PORT, CACERT = int(sys.argv[1]), sys.argv[2]


def connect(host="api.openai.com", sni=True):
    context = ssl.create_default_context(cafile=CACERT)
    if not sni:
        context.check_hostname = False
    plain = socket.create_connection(("127.0.0.1", PORT))
    return context.wrap_socket(plain, server_hostname=host if sni else None)


def request(method, path, host, body=b"", **headers):
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: " + host]
    lines += ["%s: %s" % (name.replace("_", "-"), value) for name, value in headers.items()]
    if body or method == "POST":
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def send(tls, method, path, host="api.openai.com", body=b"", **headers):
    return tls.send(request(method, path, host, body, **headers))


def chat(tls, scenario="plain", host="api.openai.com", model="gpt-4o-mini", padding=0, stream=False):
    body = {"model": model, "messages": [{"role": "user", "content": "x" * padding}]}
    if stream:
        body.update(stream=True, stream_options={"include_usage": True})
    body = json.dumps(body).encode()
    return send(tls, "POST", "/v1/chat/completions", host, body, x_demo_scenario=scenario)


class Reader(io.RawIOBase):
    def __init__(self, tls):
        self.tls = tls

    def readable(self):
        return True

    def readinto(self, view):
        data = self.tls.recv(len(view))
        view[:len(data)] = data
        return len(data)

    def makefile(self, *args, **kwargs):
        return io.BufferedReader(self, 65536)


def answer(tls):
    return answers(tls, 1)[0]


def answers(tls, count):
    """(status, length) of as many answers, which may share a read."""
    reader = Reader(tls).makefile()
    reader.makefile = lambda *args, **kwargs: reader
    reader.close = lambda: None
    found = []
    for _ in range(count):
        response = http.client.HTTPResponse(reader, method="POST")
        response.begin()
        found.append((response.status, len(response.read())))
    return found


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            value = eval(line)
        except SyntaxError:
            exec(line)
            value = None
        print("ok" if value is None else value, flush=True)
