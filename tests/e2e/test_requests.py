#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Odd but legal requests, and calls that end oddly, on raw TLS: each is one right row in time."""
import gzip
import json
import os
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clients
from harness import ROW_DELAY_S, Agent, main
from provider import Provider

HOST = b"Host: api.openai.com\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}).encode()


def connect(provider, sni="api.openai.com"):
    context = ssl.create_default_context(cafile=provider.cacert)
    context.check_hostname = False
    plain = socket.create_connection(("127.0.0.1", provider.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=sni)


def read_answer(tls):
    """Reads one answer that has a Content-Length; returns its status."""
    text = b""
    while b"\r\n\r\n" not in text:
        piece = tls.recv(65536)
        assert piece, "no answer: %r" % text
        text += piece
    head, body = text.split(b"\r\n\r\n", 1)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields.get(b"content-length", 0)) - len(body)
    while left > 0:
        left -= len(tls.recv(65536))
    return int(head.split()[1])


def head(*fields, line=POST, length=len(BODY)):
    return line + b"".join(fields) + b"Content-Length: %d\r\n\r\n" % length


def bytewise(text):
    return [bytes([c]) for c in text]


def split_head(text):
    return [text[:3], text[3:40], text[40:]]


def once(text):
    return [text]


COOKIES = b"Cookie: " + b"a=b; " * 1700 + b"\r\n"
CHUNKS = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i:i + 7]), BODY[i:i + 7])
                  for i in range(0, len(BODY), 7)) + b"0\r\n\r\n"
ZIPPED = gzip.compress(BODY)
REQUESTS = (  # name, bytes, how they are written
    ("port in Host", head(b"Host: api.openai.com:443\r\n") + BODY, once),
    ("upper case", head(b"HOST: API.OpenAI.COM\r\n") + BODY, once),
    ("no space", head(b"host:api.openai.com\r\n") + BODY, once),
    ("much space", head(b"Host: \t api.openai.com \t\r\n") + BODY, once),
    ("Host last", POST + b"Content-Length: %d\r\n" % len(BODY) + HOST + b"\r\n" + BODY, once),
    ("8 KiB before Host", head(COOKIES, HOST) + BODY, once),
    ("HTTP/1.0", head(HOST, line=POST.replace(b"1.1", b"1.0")) + BODY, once),
    ("query", head(HOST, line=POST.replace(b" HTTP", b"?x=y HTTP")) + BODY, once),
    ("chunked body", POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS, once),
    ("zipped body", head(HOST, b"Content-Encoding: gzip\r\n", length=len(ZIPPED)) + ZIPPED, once),
    ("a byte a write", head(HOST) + BODY, bytewise),
    ("three bytes first", head(HOST) + BODY, split_head),
    ("a line a write", head(COOKIES, HOST) + BODY, lambda text: text.splitlines(True)),
)


def mine(row):
    return row["workload"].get("pid") == os.getpid()


def odd_requests(build):
    """Two agents on their own directories see each of them, with and without a server name."""
    with Agent(build) as first, Agent(build) as second, Provider() as provider:
        calls = [(name, text, pieces, sni) for name, text, pieces in REQUESTS
                 for sni in ("api.openai.com", None)]
        statuses = []
        for name, text, pieces, sni in calls:
            tls = connect(provider, sni)
            for piece in pieces(text):
                tls.sendall(piece)
            statuses.append(read_answer(tls))
            tls.close()
        truth = {row["request_id"]: row for row in provider.truth_rows()}
        for agent in (first, second):
            rows = agent.wait_rows(len(calls), where=mine)
            for (name, *_), status, row in zip(calls, statuses, rows):
                assert row["status"] == status and row["gaps"] == 0, (name, row)
                assert row["model_requested"] == "gpt-4o-mini", (name, row)
                assert row["host"].lower().split(":")[0] == "api.openai.com", (name, row)
                # The provider refuses coded bodies: such a call is in no book.
                assert status == 200 or "body" in name, "%s: answered %d" % (name, status)
                if status == 200:
                    clients.check_row(row, truth[row["request_id"]])


def thousand_calls_in_order(build):
    with Agent(build) as agent, Provider() as provider:
        tls = connect(provider)
        for _ in range(1000):
            tls.sendall(head(HOST) + BODY)
            assert read_answer(tls) == 200
        end = time.monotonic()
        rows = agent.wait_rows(1000, ROW_DELAY_S, mine)
        assert time.monotonic() - end <= ROW_DELAY_S
        for row, truth in zip(rows, provider.truth_rows()):
            clients.check_row(row, truth)
        tls.close()


ENDING = """
import socket, ssl, sys, time
sys.path.insert(0, sys.argv[4])
import test_requests
class Provider: port, cacert = int(sys.argv[1]), sys.argv[2]
tls = test_requests.connect(Provider)
body = test_requests.BODY[:-1] + b', "stream": true}'
tls.sendall(test_requests.head(test_requests.HOST, b'x-demo-scenario: {"delay_ms": 700}\\r\\n',
                               length=len(body)) + body)
text = b""
while b"data:" not in text:
    text += tls.recv(65536)
print("seen", flush=True)
if sys.argv[3] == "close":
    tls.close()
    del tls
time.sleep(60)
"""


def a_cut_call_is_a_row_in_time(build):
    """Closed or killed in the middle of a stream: partial, within 2 s, and as long as it was."""
    with Agent(build) as agent, Provider() as provider:
        for how in ("close", "kill"):
            client = subprocess.Popen(
                ["/usr/bin/python3", "-c", ENDING, str(provider.port), provider.cacert, how,
                 os.path.dirname(os.path.abspath(__file__))], stdout=subprocess.PIPE, text=True)
            try:
                start = time.monotonic()
                assert client.stdout.readline() == "seen\n"
                if how == "kill":
                    client.kill()
                end = time.monotonic()
                row = agent.wait_rows(1, ROW_DELAY_S,
                                      lambda row: row["workload"].get("pid") == client.pid)[0]
                assert row["outcome"] == "aborted" and row["basis"] == "partial", row
                assert row["duration_ms"] <= (end - start) * 1000 + 100, row["duration_ms"]
            finally:
                client.kill()
                client.wait()


if __name__ == "__main__":
    sys.exit(main([odd_requests, thousand_calls_in_order, a_cut_call_is_a_row_in_time]))
