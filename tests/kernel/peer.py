#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Both ends of a TLS connection in one process, over memory BIOs, by the library's own calls.

usage: peer.py SCENARIO LIBRARY CERT KEY

Prints one JSON object of what the scenario moved: {"pid", "client", "server", "moved": [[dir, hex]]}.
A line "ready" is printed first by scenarios that wait for a line on stdin before they go on.
"""
import ctypes
import json
import os
import sys

HOST = "api.listed.test"
OTHER = "www.unlisted.test"


def request(method, path, host, body=b""):
    head = "%s %s HTTP/1.1\r\nAccept: */*\r\nhOST: %s:8443\r\nContent-Length: %d\r\n\r\n"
    return (head % (method, path, host, len(body))).encode() + body


def pattern(size, seed=0):
    return (bytes((i * 7 + seed) & 0xff for i in range(256)) * (size // 256 + 1))[:size]


class Library:
    """libssl by ctypes; pointers are plain integers."""

    def __init__(self, path, cert, key):
        self.ssl = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        self.crypto = ctypes.CDLL("libcrypto.so.3")
        for lib, name in ((self.ssl, "TLS_method"), (self.ssl, "SSL_CTX_new"),
                          (self.ssl, "SSL_new"), (self.crypto, "BIO_new"),
                          (self.crypto, "BIO_s_mem")):
            getattr(lib, name).restype = ctypes.c_void_p
        self.cert, self.key = cert.encode(), key.encode()

    def p(self, value):
        return ctypes.c_void_p(value)

    def context(self):
        ctx = self.ssl.SSL_CTX_new(self.p(self.ssl.TLS_method()))
        assert self.ssl.SSL_CTX_use_certificate_file(self.p(ctx), self.cert, 1) == 1
        assert self.ssl.SSL_CTX_use_PrivateKey_file(self.p(ctx), self.key, 1) == 1
        return ctx


class Pair:
    """A client and a server SSL*, connected and shaken hands."""

    def __init__(self, lib, ctx, server_name=None, buffer=0):
        self.lib, self.moved = lib, []
        ssl, p = lib.ssl, lib.p
        self.client, self.server = (ssl.SSL_new(p(ctx)) for _ in range(2))
        if buffer:
            a, b = ctypes.c_void_p(), ctypes.c_void_p()
            assert lib.crypto.BIO_new_bio_pair(ctypes.byref(a), ctypes.c_size_t(buffer),
                                               ctypes.byref(b), ctypes.c_size_t(buffer)) == 1
            ssl.SSL_set_bio(p(self.client), a, a)
            ssl.SSL_set_bio(p(self.server), b, b)
        else:
            up, down = (lib.crypto.BIO_new(p(lib.crypto.BIO_s_mem())) for _ in range(2))
            for bio in (up, down):
                lib.crypto.BIO_up_ref(p(bio))
            ssl.SSL_set_bio(p(self.client), p(down), p(up))
            ssl.SSL_set_bio(p(self.server), p(up), p(down))
        ssl.SSL_set_connect_state(p(self.client))
        ssl.SSL_set_accept_state(p(self.server))
        if server_name:
            ssl.SSL_ctrl(p(self.client), 55, ctypes.c_long(0), ctypes.c_char_p(server_name))
        for _ in range(10):
            ssl.SSL_do_handshake(p(self.client))
            ssl.SSL_do_handshake(p(self.server))

    def write(self, data, end=None, ex=False, buf=None):
        """buf: the same buffer again, as a retry must have it."""
        buf = buf or ctypes.create_string_buffer(data, len(data))
        ssl, done = self.lib.p(end or self.client), ctypes.c_size_t()
        if ex:
            ok = self.lib.ssl.SSL_write_ex(ssl, buf, ctypes.c_size_t(len(data)),
                                           ctypes.byref(done))
            n = done.value if ok == 1 else -1
        else:
            n = self.lib.ssl.SSL_write(ssl, buf, len(data))
        if n > 0 and ssl.value == self.client:
            self.moved.append(["write", data[:n].hex()])
        return n

    def read(self, size, end=None, ex=False):
        buf = ctypes.create_string_buffer(size)
        ssl, done = self.lib.p(end or self.client), ctypes.c_size_t()
        if ex:
            ok = self.lib.ssl.SSL_read_ex(ssl, buf, ctypes.c_size_t(size), ctypes.byref(done))
            n = done.value if ok == 1 else -1
        else:
            n = self.lib.ssl.SSL_read(ssl, buf, size)
        if n > 0 and ssl.value == self.client:
            self.moved.append(["read", buf.raw[:n].hex()])
        return buf.raw[:n] if n > 0 else b""

    def drain(self, end):
        data = b""
        while True:
            got = self.read(65536, end)
            if not got:
                return data
            data += got

    def call(self, req, answer, ex=False):
        """One request and its answer, as client and server see it."""
        assert self.write(req, ex=ex) == len(req)
        assert self.drain(self.server) == req
        assert self.write(answer, self.server, ex=ex) == len(answer)
        got = b""
        while len(got) < len(answer):
            got += self.read(16384, ex=ex)
        assert got == answer

    def free(self):
        self.lib.ssl.SSL_free(self.lib.p(self.client))
        self.lib.ssl.SSL_free(self.lib.p(self.server))


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
API = "/v1/chat/completions?x=1"


def report(pair, **more):
    print(json.dumps(dict(pid=os.getpid(), client=pair.client, server=pair.server,
                          moved=pair.moved, **more)), flush=True)


def wait():
    print("ready", flush=True)
    sys.stdin.readline()


def simple(lib, ctx):
    pair = Pair(lib, ctx)
    pair.call(request("POST", API, HOST, b"body"), ANSWER)
    pair.call(request("POST", API, HOST, b"more"), ANSWER, ex=True)
    report(pair)


def sizes(lib, ctx):
    pair = Pair(lib, ctx)
    pair.call(request("POST", API, HOST), ANSWER)
    for n in (0, 1, 255, 256, 257, 8191, 8192, 8193, 16383, 16384, 16385, 32767, 32768, 32769,
              65535, 65536, 65537, 300 << 10, (4 << 20) - 1, 4 << 20):
        assert pair.write(pattern(n, n), ex=n % 2 == 0) == n
        pair.drain(pair.server)
    report(pair)


def too_long(lib, ctx):
    pair = Pair(lib, ctx)
    pair.call(request("POST", API, HOST), ANSWER)
    assert pair.write(pattern((4 << 20) + 1)) == (4 << 20) + 1
    pair.drain(pair.server)
    pair.call(request("POST", API, HOST), ANSWER)
    report(pair)


def want_write(lib, ctx):
    pair = Pair(lib, ctx, buffer=20000)
    pair.write(request("POST", API, HOST))
    pair.drain(pair.server)
    data, got, retries = pattern(100000), b"", 0
    buf = ctypes.create_string_buffer(data, len(data))
    while pair.write(data, buf=buf) < 0:
        retries += 1
        got += pair.drain(pair.server)
    got += pair.drain(pair.server)
    assert got == data and retries >= 3
    report(pair, retries=retries)


def fork(lib, ctx):
    pair = Pair(lib, ctx)
    pair.call(request("POST", API, HOST, b"parent"), ANSWER)
    child = os.fork()
    if child == 0:
        pair.moved = []
        pair.call(request("POST", API, HOST, b"child"), ANSWER)
        report(pair)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    pair.call(request("POST", API, HOST, b"parent again"), ANSWER)
    report(pair)


def reused(lib, ctx, first, server_name=None):
    """Frees a connection and makes others until the allocator hands out the same SSL*."""
    first.free()
    kept = []
    for _ in range(100):
        second = Pair(lib, ctx, server_name)
        if second.client == first.client:
            break
        kept.append(second)
    return second


def reuse(lib, ctx):
    first = Pair(lib, ctx)
    first.call(request("POST", API, HOST, b"first"), ANSWER)
    second = reused(lib, ctx, first)
    second.call(request("POST", API, HOST, b"second"), ANSWER)
    report(second, same=second.client == first.client, before=first.moved)


def mute(lib, ctx):
    pair = Pair(lib, ctx, OTHER.encode())
    pair.call(request("GET", "/index.html", OTHER), ANSWER)
    pair.call(request("POST", "/login", OTHER), ANSWER)
    assert not any("chat" in bytes.fromhex(h).decode() for _, h in pair.moved)
    pair.moved = []
    pair.call(request("POST", API, HOST, b"back"), ANSWER)
    pair.call(request("GET", "/v1/models", HOST), ANSWER)
    report(pair)


def candidate(lib, ctx):
    pair = Pair(lib, ctx, OTHER.encode())
    pair.call(request("POST", API, OTHER, b"one"), ANSWER)
    wait()
    pair.call(request("POST", API, OTHER, b"two"), ANSWER)
    pair.call(request("GET", "/v1/models", OTHER), ANSWER)
    report(pair)


def large_candidate(lib, ctx):
    """Request and answer are together above what is taken of a candidate."""
    pair = Pair(lib, ctx, OTHER.encode())
    body = pattern(5 << 20)
    pair.call(request("POST", API, OTHER) + body[:4 << 20], ANSWER)
    assert pair.write(body[4 << 20:]) == 1 << 20
    pair.drain(pair.server)
    pair.call(request("POST", API, OTHER), ANSWER)
    report(pair)


def late_host(lib, ctx):
    pair = Pair(lib, ctx)
    head = "POST /x HTTP/1.1\r\nCookie: %s\r\nHost: %s\r\n\r\n" % ("c" * 3000, HOST)
    pair.call(head.encode(), ANSWER)
    report(pair)


def server_name(lib, ctx):
    pair = Pair(lib, ctx, b"eu.API.Listed.test")
    pair.call(request("POST", "/any", "10.0.0.1"), ANSWER)
    report(pair)


def never(lib, ctx):
    pair = Pair(lib, ctx, b"never.test")
    pair.call(request("POST", API, HOST), ANSWER)
    report(pair)


# The frames below are in shape only: the gate looks at none of them.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
PING = bytes((0, 0, 8, 6, 0, 0, 0, 0, 0)) + b"12345678"


def data_frame(size):
    return size.to_bytes(3, "big") + bytes((0, 0, 0, 0, 0, 1)) + pattern(size)


def http2(lib, ctx, server_name):
    """A server that speaks first, as it may; then calls of all sizes in both directions."""
    pair = Pair(lib, ctx, server_name)
    pair.write(SETTINGS, pair.server)
    pair.read(len(SETTINGS))
    pair.moved = []
    pair.call(PREFACE + SETTINGS, SETTINGS)
    for size in (1, 16384, 300 << 10):
        pair.call(data_frame(size), data_frame(size + 1))
    # Text in a body begins no request.
    pair.call(request("GET", API, OTHER), request("POST", API, OTHER))
    return pair


def http2_listed(lib, ctx):
    report(http2(lib, ctx, HOST.encode()))


def http2_unlisted(lib, ctx):
    report(http2(lib, ctx, OTHER.encode()))


def http2_nameless(lib, ctx):
    report(http2(lib, ctx, None))


def http2_never(lib, ctx):
    report(http2(lib, ctx, b"never.test"))


def http2_without_preface(lib, ctx):
    pair = Pair(lib, ctx, HOST.encode())
    pair.call(data_frame(50), data_frame(50))
    report(pair)


def http2_reuse(lib, ctx):
    first = Pair(lib, ctx, HOST.encode())
    first.call(PREFACE + SETTINGS, SETTINGS)
    second = reused(lib, ctx, first, OTHER.encode())
    second.call(PREFACE + SETTINGS, SETTINGS)
    second.call(data_frame(1000), data_frame(1000))
    report(second, same=second.client == first.client, before=first.moved)


def http2_waits(lib, ctx, server_name):
    """Waits; begins a write that must be repeated, and reads much before it can be."""
    pair = Pair(lib, ctx, server_name, buffer=20000)
    pair.call(PREFACE + SETTINGS, SETTINGS)
    wait()
    data = data_frame(30000)
    buf = ctypes.create_string_buffer(data, len(data))
    assert pair.write(data, buf=buf) < 0
    for _ in range(40):
        pair.write(data_frame(10), pair.server)
        pair.read(100)
    pair.moved = []
    while pair.write(data, buf=buf) < 0:
        pair.drain(pair.server)
    pair.drain(pair.server)
    pair.call(PING, PING)
    report(pair)


def http2_listed_waits(lib, ctx):
    http2_waits(lib, ctx, HOST.encode())


def http2_unlisted_waits(lib, ctx):
    http2_waits(lib, ctx, OTHER.encode())


def burst(lib, ctx):
    """Waits; moves far more than a small ring holds; waits; makes one more call."""
    pair = Pair(lib, ctx)
    pair.call(request("POST", API, HOST), ANSWER)
    wait()
    for i in range(40):
        pair.write(pattern(20000 + i, i))
        pair.drain(pair.server)
    wait()
    pair.call(request("POST", API, HOST, b"after"), ANSWER)
    report(pair)


def late(lib, ctx):
    """Open before the probes are: the next request is picked up."""
    pair = Pair(lib, ctx)
    pair.call(request("POST", API, HOST, b"unseen"), ANSWER)
    wait()
    pair.moved = []
    pair.call(request("POST", API, HOST, b"seen"), ANSWER)
    report(pair)


def another_reader(lib, ctx):
    """Waits in the middle of an answer; then makes another call."""
    pair = Pair(lib, ctx)
    asked = request("POST", API, HOST, b"one")
    pair.write(asked)
    pair.drain(pair.server)
    for part in (ANSWER[:20], ANSWER[20:]):
        pair.write(part, pair.server)
        assert pair.read(16384) == part
        if part == ANSWER[:20]:
            wait()
    before, pair.moved = pair.moved, []
    pair.call(request("POST", API, HOST, b"two"), ANSWER)
    report(pair, before=before)


def forbid_new_syscalls():
    """seccomp: every system call from number 335 on kills, uretprobe and uprobe among them."""
    code = bytes.fromhex("2000000000000000" "350000014f010000" "0600000000000080"
                         "060000000000ff7f")
    libc = ctypes.CDLL(None, use_errno=True)
    buf = ctypes.create_string_buffer(code, len(code))
    prog = ctypes.create_string_buffer(16)
    ctypes.c_uint16.from_buffer(prog, 0).value = len(code) // 8
    ctypes.c_uint64.from_buffer(prog, 8).value = ctypes.addressof(buf)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, prog, 0, 0) == 0


def seccomp(lib, ctx):
    pair = Pair(lib, ctx)
    forbid_new_syscalls()
    pair.call(request("POST", API, HOST), ANSWER)
    wait()
    pair.call(request("POST", API, HOST), ANSWER)
    wait()
    pair.call(request("POST", API, HOST), ANSWER)
    report(pair)


def nested(path):
    """The library in shape only: every call moves what it is asked for."""
    lib = ctypes.CDLL(path)
    moved, ssl, done = [], ctypes.c_void_p(0x5500), ctypes.c_size_t()

    def write(data, ex):
        if ex:
            lib.SSL_write_ex(ssl, data, ctypes.c_size_t(len(data)), ctypes.byref(done))
        else:
            lib.SSL_write(ssl, data, len(data))
        moved.append(["write", data.hex()])

    def read(size, ex):
        buf = ctypes.create_string_buffer(size)
        if ex:
            lib.SSL_read_ex(ssl, buf, ctypes.c_size_t(size), ctypes.byref(done))
        else:
            lib.SSL_read(ssl, buf, size)
        moved.append(["read", buf.raw.hex()])

    for ex in (False, True):
        write(request("POST", API, HOST), ex)
        for n in (1, 8191, 8192, 8193, 16384, 65535, 65536, 65537, 300 << 10, 4 << 20):
            read(n, ex)
    print(json.dumps(dict(pid=os.getpid(), client=ssl.value, server=0, moved=moved)), flush=True)


def many(path):
    """The library in shape only: one byte on each of a few connections, then on very many."""
    lib = ctypes.CDLL(path)
    for count in (1000, 20000):
        for i in range(count):
            lib.SSL_write(ctypes.c_void_p(0x100000 + 64 * i), b"x", 1)
        wait()
    print("{}", flush=True)


def main():
    scenario, path, cert, key = sys.argv[1:]
    if scenario in ("nested", "many"):
        globals()[scenario](path)
        return
    lib = Library(path, cert, key)
    globals()[scenario](lib, lib.context())


if __name__ == "__main__":
    main()
