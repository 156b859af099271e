#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes recording.ttr and recording.truth.jsonl: exchanges with the demo provider, written as the
records that the probes would have put into the ring (bpf/events.h), and the provider's books.

    write_recording.py [DIRECTORY]      (default: this one)

The bytes are real: sent and received over TLS, cut where the TLS library cut them.
"""
import json
import os
import socket
import ssl
import struct
import sys
import tempfile
import time

from provider import Provider, dumps

MAGIC = b"TOLLTAP-RECORDING-2\n"
REC_OPEN, REC_DATA, REC_CLOSE = 1, 2, 3
WATCHED = 2
WRITE, READ = 0, 1
LAST_PIECE = 1
PIECE_MAX = 32 << 10
HEAD = struct.Struct("<IIQQIIIIQ")
OPEN = struct.Struct("<II16s1920x128s4096s")  # no cgroup
DATA = struct.Struct("<QQQIIBB6x")

OPENAI = ("api.openai.com", ("Authorization", "Bearer sk-demo-0000"))
ANTHROPIC = ("api.anthropic.com", ("x-api-key", "sk-ant-demo-0000"))
CALLS = (  # comm, provider, path, encoding, scenario, body
    ("curl", OPENAI, "/v1/chat/completions", "", "plain",
     {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}),
    ("python3", OPENAI, "/v1/chat/completions", "gzip", "plain",
     {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "stream"}],
      "stream": True, "stream_options": {"include_usage": True}}),
    ("python3", OPENAI, "/v1/responses", "gzip", "reasoning",
     {"model": "gpt-5", "input": "think", "stream": True}),
    ("node", ANTHROPIC, "/v1/messages", "gzip", "cache-5m-1h",
     {"model": "claude-sonnet-4-5", "max_tokens": 64, "stream": True,
      "messages": [{"role": "user", "content": "hello"}]}),
    ("python3", OPENAI, "/v1/embeddings", "", "plain",
     {"model": "text-embedding-3-small", "input": "hello"}),
    ("curl", OPENAI, "/v1/chat/completions", "", "error-429",
     {"model": "gpt-4o", "messages": [{"role": "user", "content": "too much"}]}),
)


class Recording:
    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(MAGIC + struct.pack("<q", time.time_ns() - time.monotonic_ns()))

    def record(self, kind, process, body):
        head = HEAD.pack(kind, HEAD.size + len(body), process.ssl, process.start_ns, process.pid,
                         process.pid, 0, WATCHED, time.monotonic_ns())
        self.file.write(struct.pack("<I", HEAD.size + len(body)) + head + body)

    def data(self, process, direction, entry_ns, data):
        for at in range(0, len(data), PIECE_MAX):
            piece = data[at:at + PIECE_MAX]
            last = at + len(piece) == len(data)
            self.record(REC_DATA, process, DATA.pack(
                entry_ns, process.offset[direction] + at, len(data), len(piece), len(piece),
                direction, LAST_PIECE if last else 0) + piece)
        process.offset[direction] += len(data)


class Process:
    """What the records say of who made a call; it need not be this program."""

    def __init__(self, serial, comm):
        self.pid = 4200 + serial
        self.ssl = 0x7f0000001000 + 0x1000 * serial
        self.start_ns = (60 + serial) * 10 ** 9
        self.comm = comm.encode()
        self.offset = [0, 0]


def call(provider, recording, process, host, key, path, encoding, scenario, body):
    data = dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"{key[0]}: {key[1]}",
             "Content-Type: application/json", f"Content-Length: {len(data)}",
             f"x-demo-scenario: {scenario}", "Connection: close"]
    if encoding:
        lines.append(f"Accept-Encoding: {encoding}")
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + data
    context = ssl.create_default_context(cafile=provider.cacert)
    with socket.create_connection(("127.0.0.1", provider.port)) as plain, \
            context.wrap_socket(plain, server_hostname=host) as tls:
        env = b"TOLLTAP_TAGS=team=demo\0"
        recording.record(REC_OPEN, process, OPEN.pack(1000, len(env), process.comm,
                                                      host.encode(), env))
        entry_ns = time.monotonic_ns()
        tls.sendall(request)
        recording.data(process, WRITE, entry_ns, request)
        while True:
            entry_ns = time.monotonic_ns()
            part = tls.recv(65536)
            if not part:
                break
            recording.data(process, READ, entry_ns, part)
        recording.record(REC_CLOSE, process, b"")


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as work:
        truth = os.path.join(work, "truth.jsonl")
        recording = Recording(os.path.join(directory, "recording.ttr"))
        with Provider(truth) as provider:
            for serial, (comm, (host, key), path, encoding, scenario, body) in enumerate(CALLS):
                call(provider, recording, Process(serial, comm), host, key, path, encoding,
                     scenario, body)
            rows = provider.truth_rows()
        recording.file.close()
        with open(os.path.join(directory, "recording.truth.jsonl"), "w", encoding="utf-8") as f:
            f.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
