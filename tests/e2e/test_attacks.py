#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attacks on the meter's memory and time. Beside each of them others make their calls: every one of
theirs has its right row, and the agent stays small and answers.

TOLLTAP_ATTACKS=long makes them as large as docs/limits.md tells; its figures are the lines `= ...`.
A name as the second argument runs that attack alone.
"""
import contextlib
import gzip
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import SLOWNESS, Agent, Skip, main, wait_until
from load import Audit, Load, losses
from peer import Peer

LONG = os.environ.get("TOLLTAP_ATTACKS") == "long"
TIMES = 8 if LONG else 1  # how much more of the same
CALLS_PER_SECOND = 100
MEMORY_MAX = 64 << 20
PARSERS_MAX = 64 << 20  # memory of connections has this bound, beside all else
ANSWER_MAX_S = 10
CPU_MAX = 0.9  # of one core, while it lasts
IDLE = 100000 if LONG else 20000
LIBRARIES = 10000 if LONG else 1000
STORM_S = 30 if LONG else 6
STORM_RATE = 1000
RATE_MAX = 50 << 20  # bytes a second
FOUND_MAX_S = 90 if LONG else 20
LOOKED_MAX_S = 150 if LONG else 40
PROCESS_FILES_MAX = 16  # agent/discovery/processes.h
LIBSSL = "/usr/lib/x86_64-linux-gnu/libssl.so.3"


class Watch:
    """The most memory that the agent's processes had of their own, decoders too, the ring left out;
    the longest it took to answer."""

    def __init__(self, agent):
        self.agent, self.memory, self.answer_s, self.failures = agent, 0, 0, []
        self.pids, self.broker = agent.pids(), agent.pid_of("broker")
        self.over = threading.Event()
        self.threads = [threading.Thread(target=f, daemon=True) for f in (
            self._weigh, self._ask)]
        for thread in self.threads:
            thread.start()

    def _weigh(self):
        while not self.over.wait(0.1):
            pids = self.pids + children_of(self.broker)
            self.memory = max(self.memory, sum(map(own_bytes, pids)))

    def _ask(self):
        while not self.over.wait(0.2):
            begin = time.monotonic()
            try:
                answer = self.agent.get("/readyz", ANSWER_MAX_S * SLOWNESS)
                if answer[0] != 200:
                    self.failures.append(answer)
            except OSError as e:
                self.failures.append(e)
            self.answer_s = max(self.answer_s, time.monotonic() - begin)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def children_of(pid):
    children = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open("/proc/%s/stat" % entry) as f:
            if f.read().rsplit(")", 1)[1].split()[1] == str(pid):
                children.append(entry)
    return children


def own_bytes(pid):
    """0 when it has ended."""
    try:
        with open("/proc/%s/status" % pid) as f:
            return next((int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon")), 0)
    except OSError:
        return 0


@contextlib.contextmanager
def others(build, name, memory_max=MEMORY_MAX, lost_share=0):
    """An agent, and others' calls for as long as the block runs. That share of them may lack what a
    counter tells of."""
    with tempfile.TemporaryDirectory(prefix="tolltap-load.") as folder, Agent(build) as agent, Load(
            build, folder, 3600, CALLS_PER_SECOND, keeping=1, spawning=1) as load:
        watch, begin_cpu, begin = Watch(agent), agent.cpu_s(), time.monotonic()
        audit = Audit(load.books, agent.storage)
        time.sleep(0.5)
        try:
            yield agent
        except BaseException:
            print("lost: %s" % losses(agent))
            raise
        seconds, cpu = time.monotonic() - begin, agent.cpu_s() - begin_cpu
        time.sleep(0.5)
        load.end()
        audit.settle(30)
        watch.end()
        lost = losses(agent)
        print("= %s: %.1f s, %.1f s of the agent's CPU, %.0f MB at most, answers within %.2f s; "
              "others: %d calls, %d right, %d marked, %d missing, %d wrong; lost: %s" % (
                  name, seconds, cpu, watch.memory / 1e6, watch.answer_s, audit.calls, audit.right,
                  audit.marked, audit.missing, len(audit.wrong), lost or "nothing"), flush=True)
        assert agent.process.poll() is None, "the agent died: " + agent.stderr[-2000:]
        assert all(p["restarts"] == 0 for p in agent.status()["agent"]), agent.stderr[-2000:]
        audit.check(lost)
        assert audit.calls >= seconds * CALLS_PER_SECOND / 4, "%d calls of others" % audit.calls
        assert audit.calls - audit.right <= audit.calls * lost_share, "calls were lost: %s" % lost
        assert watch.memory < memory_max, "%d bytes of memory" % watch.memory
        assert cpu < CPU_MAX * seconds * SLOWNESS, "%.1f s of CPU in %.1f s" % (cpu, seconds)
        assert not watch.failures, watch.failures[:3]


def ends_of(agent, pid):
    """{(outcome, basis): rows} of one process."""
    with contextlib.closing(sqlite3.connect("file:%s/ledger.db?mode=ro" % agent.storage,
                                            uri=True)) as ledger:
        return {(outcome, basis): count for outcome, basis, count in ledger.execute(
            "SELECT outcome,basis,count(*) FROM events WHERE pid=? GROUP BY 1,2", (pid,))}


# ---- bytes ---------------------------------------------------------------------------------------

BODY = (b'{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[],%s'
        b'"usage":{"prompt_tokens":10,"completion_tokens":5}}')
SURE = ("reported_usage", {"input_uncached": 10, "output_text": 5})
UNTOLD = ("estimated", None)
CUT = ("partial", None)


ASKED = b'{"model":"gpt-4o-mini",%s"messages":[]}'


def ask(body, *fields):
    return b"\r\n".join((b"POST /v1/chat/completions HTTP/1.1", b"Host: api.openai.com",
                         b"Content-Length: %d" % len(body), *fields, b"", body))


def head(name, *fields):
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"x-request-id: attack-" + name.encode(), *fields, b"",
                         b""))


def coded(coding, data):
    def pieces(name):
        yield head(name, b"Content-Encoding: " + coding, b"Content-Length: %d" % len(data)) + data
    return pieces


def gzip_bomb():
    """A megabyte that is a gigabyte of spaces."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b" " * (1 << 20)) for _ in range(128 * TIMES)) + packer.flush()


def zstd_bomb():
    """128 KiB from four bytes, again and again (RFC 8878: blocks of one repeated byte)."""
    frame = struct.pack("<IBB", 0xFD2FB528, 0, 0x38)  # no size told, window of 128 KiB
    block = struct.pack("<I", (1 << 17) << 3 | 1 << 1)[:3] + b" "
    return frame + block * (1024 * TIMES) + struct.pack("<I", 1)[:3]


def brotli_bomb():
    import brotli
    packer = brotli.Compressor(quality=5)
    return b"".join(packer.process(b" " * (1 << 20)) for _ in range(128 * TIMES)) + packer.finish()


def stacked_bomb():
    return gzip.compress(gzip.compress(gzip_bomb()))


def endless_line(name):
    yield head(name, b"Content-Type: text/event-stream") + b"data: "
    for _ in range(64 * TIMES):
        yield b"x" * (1 << 20)


def endless_event(name):
    yield head(name, b"Content-Type: text/event-stream")
    for _ in range(16 * TIMES):
        yield b"data: [\n" * (1 << 17)


def chunks_of_a_byte(name):
    body = BODY % (b'"x":"%s",' % (b"y" * 50000 * TIMES))
    yield head(name, b"Transfer-Encoding: chunked")
    yield b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


def endless_chunk_line(name):
    yield head(name, b"Transfer-Encoding: chunked") + b"1;"
    for _ in range(16 * TIMES):
        yield b"x" * (1 << 20)


def endless_trailer(name):
    body = BODY % b""
    yield head(name, b"Transfer-Encoding: chunked")
    yield b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    for _ in range(16 * TIMES):
        yield b"X-A: aaaaaaaa\r\n" * (1 << 16)


def writes_of_a_byte(name):
    body = BODY % (b'"x":"%s",' % (b"y" * 20000 * TIMES))
    for byte in head(name, b"Content-Length: %d" % len(body)) + body:
        yield bytes([byte])


DEEP = b'"x":%s1%s,' % (b'[{"a":' * 10000, b"}]" * 10000)


def plain(name, body=BODY % b""):
    yield head(name, b"Content-Length: %d" % len(body)) + body


def deep_json(name):
    return plain(name, BODY % DEEP)


def deep_usage(name):
    deep = b'{"d":' * 10000 + b"1" + b"}" * 10000
    return plain(name, (BODY % b"").replace(b'"usage":{', b'"usage":{"a":%s,' % deep))


def endless_fields(start):
    """Without the end of any head."""
    yield start
    for _ in range(4000 * TIMES):
        yield b"X-A: " + b"a" * 8000 + b"\r\n"


def endless_field(start):
    yield start + b"X-A: "
    for _ in range(16 * TIMES):
        yield b"a" * (1 << 20)


ANSWERS = {
    "gzip": (coded(b"gzip", gzip_bomb()), UNTOLD),
    "zstd": (coded(b"zstd", zstd_bomb()), UNTOLD),
    "stacked": (coded(b"gzip, gzip, gzip", stacked_bomb()), UNTOLD),
    "endless-line": (endless_line, UNTOLD),
    "endless-event": (endless_event, UNTOLD),
    "chunks": (chunks_of_a_byte, SURE),
    "endless-chunk-line": (endless_chunk_line, CUT),
    "endless-trailer": (endless_trailer, SURE),
    "writes": (writes_of_a_byte, SURE),
    "deep-json": (deep_json, SURE),
    "deep-usage": (deep_usage, SURE),
}
BOMBS = {"gzip", "zstd", "stacked", "brotli"}
REQUESTS = {
    "asked-bomb": ask(gzip_bomb(), b"Content-Encoding: gzip"),
    "asked-deep": ask(ASKED % DEEP),
}
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"


class Sender:
    """Counts what one end sends and the other receives. More at a time were a flood of the ring: what
    that costs others is counted, not prevented (docs/threat-model.md)."""

    def __init__(self, peer):
        self.peer, self.bytes, self.next_s = peer, 0, 0

    def _sent(self, count):
        self.bytes += count
        time.sleep(max(0, self.next_s - time.monotonic()))
        self.next_s = time.monotonic() + count / RATE_MAX

    def call(self, request, pieces):
        connection = self.peer.connect()
        self._sent(connection.write(request))
        for piece in pieces:
            self._sent(connection.answer(piece))

    def ask_without_end(self, pieces):
        connection = self.peer.connect()
        for piece in pieces:
            self._sent(connection.write(piece))


def bytes_without_end(build):
    """Bombs, endless heads and lines, single bytes, depth: in answers and in requests."""
    answers = dict(ANSWERS)
    try:
        answers["brotli"] = (coded(b"br", brotli_bomb()), UNTOLD)
    except ImportError:
        pass
    expected = {"attack-" + name: ends for name, (_, ends) in answers.items()}
    expected.update(("attack-" + name, SURE) for name in REQUESTS)
    with others(build, "bytes") as agent, Peer() as peer:
        sent = Sender(peer)
        for name, (pieces, _) in answers.items():
            sent.call(ask(ASKED % b""), pieces(name))
        for name, request in REQUESTS.items():
            sent.call(request, plain(name))
        for endless in endless_fields, endless_field:
            sent.call(ask(ASKED % b""), endless(head("never")[:-2]))
            sent.ask_without_end(endless(POST))
        sent.ask_without_end(endless_field(b"POST /v1/"))
        rows = agent.wait_rows(len(expected) + 2, 20,
                               lambda row: row["workload"].get("pid") == os.getpid())
        got = {row["request_id"]: (row["basis"], row["tokens"]) for row in rows}
        assert got.pop(None) == CUT, rows
        assert got == expected, {name: ends for name, ends in got.items()
                                 if ends != expected[name]}
        bombs = len(BOMBS & set(answers)) + 1
        assert agent.metric_sum("tolltap_decode_errors_total", "content_coding_limit") == bombs
        taken = agent.metric_sum("tolltap_capture_bytes_total")
        assert taken >= sent.bytes, "%d bytes sent, %d seen" % (sent.bytes, taken)
        print("= %.0f MB sent" % (sent.bytes / 1e6))


def many_windows(build):
    """Answers that ask for the largest window each, and never end."""
    count = 100 * TIMES
    frame = struct.pack("<IBB", 0xFD2FB528, 0, (23 - 10) << 3)  # a window of 8 MiB
    block = struct.pack("<I", (1 << 17) << 3 | 1 << 1)[:3] + b" "
    with others(build, "%d windows" % count, MEMORY_MAX + PARSERS_MAX) as agent, Peer() as peer:
        connections = [peer.connect() for _ in range(count)]
        for connection in connections:
            connection.write(ask(ASKED % b""))
            connection.answer(head("window", b"Content-Encoding: zstd") + frame + block * 7)
        least = count - PARSERS_MAX // (8 << 20)
        del connections, connection
        wait_until(lambda: sum(ends_of(agent, os.getpid()).values()) == count, 20, "rows of all")
        evicted = agent.metric_sum("tolltap_connections_evicted_total", "memory")
        assert evicted >= least, "%d evicted" % evicted
        assert ends_of(agent, os.getpid()) == {
            ("unknown", "partial"): evicted, ("ok", "estimated"): count - evicted}


# ---- numbers -------------------------------------------------------------------------------------

def program(build, *arguments):
    return subprocess.Popen([os.path.join(build, "tests", "load", "attack"), *map(str, arguments)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def many_idle_connections(build):
    """All with a request that never ends: more than any table holds. Every one has its row. The
    kernel's table keeps what is used only nearly always: see docs/limits.md."""
    with others(build, "%d idle connections" % IDLE, MEMORY_MAX + PARSERS_MAX, 0.001) as agent, \
            program(build, "idle", IDLE) as attack:
        assert attack.stdout.readline() == "open\n", "the attack failed"
        attack.stdin.close()
        assert attack.wait(60) == 0
        wait_until(lambda: sum(ends_of(agent, attack.pid).values()) == IDLE, 20, "rows of all")
        evicted = agent.metric_sum("tolltap_connections_evicted_total")
        assert evicted >= IDLE - 8192, "%d evicted" % evicted
        assert all(basis == "partial" for _, basis in ends_of(agent, attack.pid))


def storm_of_processes(build):
    """A quarter of them are programs with a TLS library, the others forks of one."""
    with others(build, "storm of processes") as agent, program(
            build, "storm", STORM_S, STORM_RATE) as attack:
        attack.wait(STORM_S * 4 + 30)
        rate = int(attack.stdout.readline()) / STORM_S
        print("= %.0f processes a second" % rate)
        assert rate * SLOWNESS > STORM_RATE / 5, "%.0f processes a second are no storm" % rate
        wait_until(lambda: agent.get("/readyz")[0] == 200, 10, "it answers")


# ---- files ---------------------------------------------------------------------------------------

class Files:
    """Files that programs may map."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="tolltap-files.")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def add(self, name, data, size=0):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(data)
            f.truncate(max(size, len(data)))
        return path


@contextlib.contextmanager
def mapping(build, paths):
    """A program that maps them all at once."""
    with program(build, "map", *paths) as attack:
        assert attack.stdout.readline() == "open\n", "the attack failed"
        yield
        attack.stdin.close()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def no_tls(library):
    return library.replace(b"SSL_", b"XSL_")


def states(agent):
    """{path: state} of the TLS files that it lists."""
    return {file["path"]: file["state"] for file in agent.status()["files"]}


@contextlib.contextmanager
def newcomers(build, agent):
    """A program with a TLS library that nobody has seen starts in the midst of it. It is metered once
    that is found; tells how long it took."""
    with tempfile.TemporaryDirectory(prefix="tolltap-new.") as folder:
        library = shutil.copy(os.path.realpath(LIBSSL), os.path.join(folder, "libssl.so.3"))
        environment = dict(os.environ, LD_LIBRARY_PATH=folder)
        begin = time.monotonic()
        with Load(build, folder, 3600, 10, 1, 1, "first", environment):
            wait_until(lambda: states(agent).get(library) == "attached", FOUND_MAX_S, "it is found")
            print("= a new library is found within %.1f s" % (time.monotonic() - begin))
        with Load(build, folder, 2, 50, 1, 1, "new", environment) as load:
            audit = Audit(load.books, agent.storage, load.name)
            load.wait(20)
            audit.settle(30)
            audit.check({})
            assert audit.right == audit.calls > 0, "newcomers: %d of %d" % (
                audit.right, audit.calls)
        yield


def many_libraries(build):
    """All of one process, and of no other. A few of them have the functions of a TLS library, and tell
    that all were looked into."""
    library = read(os.path.join(build, "tests", "kernel", "libnested.so"))
    with Files() as files:
        paths = [files.add("lib%d.so" % i, (no_tls(library) if i % (LIBRARIES // 10) else library) +
                           b"%d" % i) for i in range(LIBRARIES)]
        marks = paths[::LIBRARIES // 10]
        with others(build, "%d libraries" % LIBRARIES) as agent, mapping(
                build, paths), newcomers(build, agent):
            begin, most = time.monotonic(), LOOKED_MAX_S * SLOWNESS
            found = lambda: sum(states(agent).get(path) == "attached" for path in marks)
            while found() < len(marks) and time.monotonic() - begin < most:
                time.sleep(1)
            print("= %d of %d were looked into within %.1f s" % (
                LIBRARIES * found() // len(marks), LIBRARIES, time.monotonic() - begin))
            assert found() >= 3, found()


def many_tls_libraries(build):
    """As many as one process may have are probed, and others' libraries have their place."""
    library = read(os.path.join(build, "tests", "kernel", "libnested.so"))
    with Files() as files:
        paths = {files.add("lib%d.so" % i, library + b"%d" % i) for i in range(LIBRARIES)}
        with others(build, "%d TLS libraries" % LIBRARIES) as agent, mapping(
                build, paths), newcomers(build, agent):
            probed = lambda: len(paths & set(states(agent)))
            wait_until(lambda: probed() >= PROCESS_FILES_MAX - 2 and agent.metric_sum(
                "tolltap_discovery_table_full_total", "files_of_process"), FOUND_MAX_S, "a share")
            time.sleep(2)
            assert probed() <= PROCESS_FILES_MAX, probed()


def sections_of(data):
    at, = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    return [at + i * size for i in range(count)]


def with_header(data, offset, form, values):
    data = bytearray(data)
    struct.pack_into(form, data, offset, *values)
    return bytes(data)


def with_sizes(data, size):
    """Every section says that it is that long."""
    data = bytearray(data)
    for at in sections_of(data):
        struct.pack_into("<Q", data, at + 32, size)
    return bytes(data)


def with_section(data, type_, content):
    """The first section of that type holds something else, behind all that was there."""
    at = next(at for at in sections_of(data) if struct.unpack_from("<I", data, at + 4)[0] == type_)
    return with_header(data, at + 24, "<QQ", (len(data), len(content))) + content


def with_unwind_rows(data, count):
    """The unwind table says that it has that many rows."""
    at, = struct.unpack_from("<Q", data, 0x20)
    size, segments = struct.unpack_from("<HH", data, 0x36)
    for segment in range(at, at + size * segments, size):
        if struct.unpack_from("<I", data, segment)[0] == 0x6474E550:  # PT_GNU_EH_FRAME
            table, = struct.unpack_from("<Q", data, segment + 8)
            data = with_header(data, segment + 32, "<Q", (1 << 40,))
            return with_header(data, table + 8, "<I", (count,))
    raise AssertionError("no unwind table")


SYMBOLS, STRINGS, DYNAMIC_SYMBOLS = 2, 3, 11
MANY = 32 << 20


def hostile_files():
    """{name: (data, size of the file)}: headers that tell of more than there is, or of much."""
    if not os.path.exists(LIBSSL):
        raise Skip("no libssl.so.3")
    library = read(LIBSSL)
    symbol = struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x1000, 1 << 63)
    return {
        "segments": (with_header(library, 0x38, "<H", (0xFFFF,)), 0),
        "sections": (with_header(library, 0x3C, "<H", (0xFFFF,)), 0),
        "sizes-2^63": (with_sizes(library, 1 << 63), 0),
        "sizes-2^40": (with_sizes(library, 1 << 40), 0),
        "sizes-of-holes": (with_sizes(library, 1 << 33), 1 << 34),
        "symbols": (with_section(library, DYNAMIC_SYMBOLS, symbol * (MANY // len(symbol))), 0),
        "names": (with_section(library, STRINGS, b"SSL_" * (MANY // 4)), 0),
        "half-names": (with_section(library, STRINGS, b"SSL_read_" * (MANY // 9)), 0),
        "unwind-rows": (with_unwind_rows(library, 0xFFFFFFFF), 0),
        "entry-0": (with_header(library, 0x3A, "<H", (0,)), 0),
        "noise": (library[:64] + os.urandom(1 << 20), 0),
    }


def hostile_programs(build):
    """Real libraries with hostile headers: each is looked into, and refused if there is any doubt."""
    hostile = hostile_files()
    with Files() as files, contextlib.ExitStack() as stack:
        rounds = [[files.add("libssl.so.%s.%d" % (name, i), *hostile[name]) for name in hostile]
                  for i in range(2 * TIMES)]
        paths = set(sum(rounds, []))
        with others(build, "%d hostile programs" % len(paths)) as agent:
            for some in rounds:
                stack.enter_context(mapping(build, some))
            wait_until(lambda: not paths - set(states(agent)), 20 * TIMES, "all were looked into")
            wrong = {path: state for path, state in states(agent).items() if path in paths and
                     state != ("attached" if "unwind" in path else "refused")}
            assert not wrong, wrong


if __name__ == "__main__":
    sys.exit(main([bytes_without_end, many_windows, many_idle_connections, storm_of_processes,
                   many_libraries, many_tls_libraries, hostile_programs]))
