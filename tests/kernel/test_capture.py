#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Loads the real BPF programs and holds what they deliver against what a TLS peer really moved.

usage: test_capture.py BUILD      prints `ok NAME`, `FAIL NAME: why`, `skip NAME: why`
"""
import glob
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
STEP_S = 20  # no single wait is longer

# Values of bpf/events.h.
CANDIDATE, WATCHED, MUTED, MUTED_SERVER, MUTED_NEVER, MUTED_HTTP2 = 1, 2, 3, 4, 5, 6
VERDICTS = slice(2, 9)  # with the stat of what is muted for its HTTP/2, which follows the verdicts
RING_FULL, CALL_TOO_LONG, EVICTED = 0, 2, slice(5, 9)
CONNS_MAX = 16384
CALL_MAX, CANDIDATE_MAX = 4 << 20, 4 << 20

# How probes can be attached: flags of the tool. Forced kinds that the kernel lacks are skipped.
KINDS = {
    "session": ["--attach=0"],
    "multi": ["--attach=1"],
    "perf": ["--attach=2"],
    "multi-sites": ["--attach=1", "--returns=1"],
    "perf-sites": ["--attach=2", "--returns=1"],
}


class Trace:
    """The tool in tests/kernel/trace.c with the records that it printed so far."""

    def __init__(self, files, *flags):
        self.records, self.replies = [], queue.Queue()
        self.tool = subprocess.Popen(
            [os.path.join(BUILD, "tests/kernel/trace"), "--provider=api.listed.test",
             "--never=never.test", *flags, *files],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self.pump, daemon=True).start()
        self.caps = self.reply()

    def pump(self):
        for line in self.tool.stdout:
            record = json.loads(line)
            if record["type"] in ("ready", "stats", "paused", "resumed", "reader"):
                self.replies.put(record)
            else:
                self.records.append(record)
        self.replies.put(None)

    def reply(self):
        got = self.replies.get(timeout=STEP_S)
        if got is None:
            raise RuntimeError("trace ended: " + self.tool.stderr.read().strip())
        return got

    def ask(self, command):
        self.tool.stdin.write(command + "\n")
        self.tool.stdin.flush()
        return self.reply()

    def of(self, moved, ssl=None):
        """Records of one connection, all delivered so far."""
        self.ask("stats")
        ssl = moved["client"] if ssl is None else ssl
        return [r for r in self.records if r["tgid"] == moved["pid"] and r["ssl"] == ssl]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tool.kill()
        self.tool.wait()


class Peer:
    """A scenario of peer.py. lines(): what it prints; go(): lets a waiting one continue."""

    def __init__(self, env, scenario, library=None, **variables):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(HERE, "peer.py"), scenario, library or env.library,
             env.cert, env.key], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=dict(os.environ, **variables))
        self.timer = threading.Timer(STEP_S, self.process.kill)
        self.timer.start()

    def line(self):
        return self.process.stdout.readline().strip()

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def results(self):
        out, err = self.process.communicate()
        self.timer.cancel()
        assert self.process.returncode == 0, "peer failed (%d): %s" % (self.process.returncode,
                                                                       err.strip())
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


class Env:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="tolltap-kernel-")
        self.cert, self.key = (os.path.join(self.dir, n) for n in ("cert.pem", "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test", "-days", "2",
                        "-out", self.cert, "-keyout", self.key], check=True, capture_output=True)
        # An own copy has its own inode, so other traffic of the machine stays out of the test.
        system = sorted(glob.glob("/usr/lib/*/libssl.so.3"))[0]
        self.library, self.other = (os.path.join(self.dir, n) for n in ("libssl.so.3", "b.so.3"))
        for copy in (self.library, self.other):
            shutil.copy(system, copy)
        self.nested = os.path.join(BUILD, "tests/kernel/libnested.so")

    def run(self, scenario, **kw):
        return Peer(self, scenario, **kw).results()[-1]


def equal(what, got, want):
    assert got == want, "%s is %.200s, not %.200s" % (what, got, want)


def streams(moved):
    out = {"write": b"", "read": b""}
    for direction, data in moved:
        out[direction] += bytes.fromhex(data)
    return out


def delivered(records):
    """Reassembles by offset; asserts that nothing overlaps. Returns {dir: (bytes, gaps)}."""
    out = {}
    for direction in ("write", "read"):
        data, gaps, at = b"", 0, 0
        for r in (r for r in records if r["type"] == "data" and r["dir"] == direction):
            assert r["offset"] >= at, "%s goes back from %d to %d" % (direction, at, r["offset"])
            piece = bytes.fromhex(r["data"])
            gaps += (r["offset"] - at) + (r["want"] - len(piece))
            data += piece
            at = r["offset"] + r["want"]
        out[direction] = (data, gaps)
    return out


def exactly(trace, moved):
    """The records of the client's SSL* carry exactly what it moved, in order, once."""
    records = trace.of(moved)
    assert records, "no records"
    equal("first record", records[0]["type"], "open")
    got = delivered(records)
    for direction, data in streams(moved["moved"]).items():
        equal(direction + " gaps", got[direction][1], 0)
        equal(direction + " length", len(got[direction][0]), len(data))
        assert got[direction][0] == data, "%s bytes differ" % direction
    return records


def verdicts(trace, run):
    """What run() moved, and the verdicts that were counted meanwhile, one for each connection."""
    before = trace.ask("stats")["gate"][VERDICTS]
    moved = run()
    after = trace.ask("stats")["gate"][VERDICTS]
    return moved, [v for v in range(len(after)) for _ in range(after[v] - before[v])]


# ---- tests: one trace for all of them, then those that need their own ---------------------------

def test_sizes(env, trace):
    exactly(trace, env.run("sizes"))


def test_read_sizes_and_nested_calls(env, trace):
    exactly(trace, env.run("nested", library=env.nested))


def test_call_too_long(env, trace):
    before = trace.ask("stats")["lost"][CALL_TOO_LONG]
    moved = env.run("too_long")
    got, want = delivered(trace.of(moved)), streams(moved["moved"])
    equal("gap", got["write"][1], 1)
    head = len(bytes.fromhex(moved["moved"][0][1])) + CALL_MAX
    assert got["write"][0] == want["write"][:head] + want["write"][head + 1:]
    assert got["read"][0] == want["read"]
    equal("counted", trace.ask("stats")["lost"][CALL_TOO_LONG], before + 1)


def test_want_write(env, trace):
    exactly(trace, env.run("want_write"))


def test_fork_with_equal_ssl(env, trace):
    parts = Peer(env, "fork").results()
    equal("processes", len(parts), 2)
    for moved in parts:
        exactly(trace, moved)
    equal("SSL*", parts[0]["client"], parts[1]["client"])


def test_reuse_after_free(env, trace):
    moved = env.run("reuse")
    assert moved["same"], "the allocator never handed out the same SSL*"
    records = trace.of(moved)
    first = [r for r in records if r["generation"] == records[0]["generation"]]
    second = [r for r in records if r["generation"] != records[0]["generation"]]
    equal("end", first[-1]["type"], "close")
    equal("begin", second[0]["type"], "open")
    for part, calls in ((first, moved["before"]), (second, moved["moved"])):
        for direction, data in streams(calls).items():
            assert delivered(part)[direction] == (data, 0), "%s bytes differ" % direction


def test_server_side_is_muted(env, trace):
    moved, counted = verdicts(trace, lambda: env.run("simple"))
    equal("server's records", trace.of(moved, moved["server"]), [])
    equal("verdicts", counted, [WATCHED, MUTED_SERVER])


def test_muted_comes_back(env, trace):
    moved, counted = verdicts(trace, lambda: env.run("mute"))
    equal("verdicts", counted, [WATCHED, MUTED, MUTED_SERVER])
    exactly(trace, moved)


def test_head_longer_than_window_is_candidate(env, trace):
    records = exactly(trace, env.run("late_host"))
    assert all(r["candidate"] for r in records if r["type"] == "data")


def test_server_name_decides(env, trace):
    records = exactly(trace, env.run("server_name"))
    equal("host", records[0]["host"], "eu.api.listed.test")


def test_never_host(env, trace):
    not_read(trace, env, "never", MUTED_NEVER)


def not_read(trace, env, scenario, verdict):
    moved, counted = verdicts(trace, lambda: env.run(scenario))
    equal("records", trace.of(moved), [])
    equal("verdicts", sorted(counted), sorted([verdict, MUTED_SERVER]))


def test_http2_listed_is_watched(env, trace):
    moved, counted = verdicts(trace, lambda: env.run("http2_listed"))
    records = exactly(trace, moved)
    equal("host", records[0]["host"], "api.listed.test")
    equal("server's records", trace.of(moved, moved["server"]), [])
    equal("verdicts", counted, [WATCHED, MUTED_SERVER])


def test_http2_unlisted_is_muted(env, trace):
    not_read(trace, env, "http2_unlisted", MUTED_HTTP2)


def test_http2_without_server_name_is_muted(env, trace):
    not_read(trace, env, "http2_nameless", MUTED_HTTP2)


def test_http2_never_host(env, trace):
    not_read(trace, env, "http2_never", MUTED_NEVER)


def test_http2_without_preface_is_none(env, trace):
    moved, counted = verdicts(trace, lambda: env.run("http2_without_preface"))
    equal("records", trace.of(moved), [])
    equal("verdicts", counted, [])


def test_http2_reuse_after_free(env, trace):
    """A listed HTTP/2 connection, then one to another host in the same memory: no byte of it."""
    moved = env.run("http2_reuse")
    assert moved["same"], "the allocator never handed out the same SSL*"
    records = trace.of(moved)
    equal("last record", records[-1]["type"], "close")
    exactly(trace_view(records), {"moved": moved["before"]})


def test_open_carries_process_facts(env, trace):
    moved = env.run("simple", TOLLTAP_TAGS="team=red")
    opened = trace.of(moved)[0]
    assert b"TOLLTAP_TAGS=team=red" in bytes.fromhex(opened["env"]).split(b"\0")
    equal("comm", opened["comm"], "python3")
    equal("uid", opened["uid"], os.getuid())
    equal("host", opened["host"], "api.listed.test")


def test_candidate_room(env, trace):
    """Above 4 MiB a candidate's bytes are gaps of known length, and the answer still comes."""
    moved = env.run("large_candidate")
    got, want = delivered(trace.of(moved)), streams(moved["moved"])
    assert len(got["write"][0]) < CANDIDATE_MAX < len(want["write"])
    equal("write total", len(got["write"][0]) + got["write"][1], len(want["write"]))
    equal("read", got["read"], (want["read"], 0))


class trace_view:
    """Records already taken, for exactly()."""

    def __init__(self, records):
        self.records = records

    def of(self, _):
        return self.records


def own_candidate(env, judge, watched):
    with Trace([env.library], "--judge=" + judge) as trace:
        peer = Peer(env, "candidate")
        equal("peer", peer.line(), "ready")
        trace.ask("stats")
        peer.go()
        moved = peer.results()[-1]
        records = trace.of(moved)
        data = [r for r in records if r["type"] == "data"]
        assert data[0]["candidate"] and data[1]["candidate"]
        if watched:
            exactly(trace_view(records), moved)
            assert not any(r["candidate"] for r in data[2:])
        else:
            # The next POST brings it back as a candidate of a new generation; the GET goes too.
            assert [r["generation"] for r in records if r["type"] == "open"][:1] == [0]
            assert trace.ask("stats")["gate"][VERDICTS][MUTED] == 1


def own_candidate_watched(env):
    own_candidate(env, "watch", True)


def own_candidate_muted(env):
    own_candidate(env, "mute", False)


def own_second_attach_counts_once(env):
    with Trace([env.library], "--times=2") as trace:
        exactly(trace, env.run("simple"))


def own_two_inodes(env):
    with Trace([env.library, env.other]) as trace:
        for library in (env.library, env.other):
            exactly(trace, env.run("simple", library=library))


def own_late_attach(env):
    peer = Peer(env, "late")
    equal("peer", peer.line(), "ready")
    with Trace([env.library]) as trace:
        peer.go()
        exactly(trace, peer.results()[-1])


def own_another_reader(env):
    """It gets the rest of an answer; the next write begins the connection anew."""
    with Trace([env.library]) as trace:
        peer = Peer(env, "another_reader")
        equal("peer", peer.line(), "ready")
        trace.ask("reader")
        peer.go()
        moved = peer.results()[-1]
        records = trace.of(moved)
        anew = [i for i, r in enumerate(records) if r["type"] == "open"]
        equal("openings", len(anew), 2)
        for part, want in ((records[:anew[1]], moved["before"]), (records[anew[1]:], moved["moved"])):
            got = delivered(part)
            for direction, data in streams(want).items():
                equal(direction, got[direction], (data, 0))


def own_http2_next_reader(env):
    """A new reader joins at the next write, whatever frame it carries; what is muted stays so."""
    with Trace([env.library]) as trace:
        for scenario, records in (("http2_listed_waits", ["open", "data", "data", "data"]),
                                  ("http2_unlisted_waits", [])):
            peer = Peer(env, scenario)
            equal("peer", peer.line(), "ready")
            trace.ask("stats")
            trace.records.clear()
            trace.ask("reader")
            peer.go()
            moved = peer.results()[-1]
            equal(scenario, [r["type"] for r in trace.of(moved)], records)
            if records:
                exactly(trace, moved)


def own_http2_late_attach(env):
    """Whose it is was said before the probes were there: not read."""
    peer = Peer(env, "http2_listed_waits")
    equal("peer", peer.line(), "ready")
    with Trace([env.library]) as trace:
        peer.go()
        equal("records", trace.of(peer.results()[-1]), [])


def own_ring_full(env):
    with Trace([env.library], "--ring=262144") as trace:
        peer = Peer(env, "burst")
        equal("peer", peer.line(), "ready")
        trace.ask("pause")
        peer.go()
        equal("peer", peer.line(), "ready")
        trace.ask("resume")
        trace.ask("stats")
        peer.go()
        moved = peer.results()[-1]
        records = trace.of(moved)
        got, want = delivered(records), streams(moved["moved"])
        assert got["write"][1] > 0, "nothing was lost: the test does not test"
        equal("total", len(got["write"][0]) + got["write"][1], len(want["write"]))
        assert trace.ask("stats")["lost"][RING_FULL] > 0, "loss not counted"
        assert any(r.get("gap") for r in records), "no gap mark"
        for r in (r for r in records if r["type"] == "data"):
            data, at = bytes.fromhex(r["data"]), r["offset"]
            assert want[r["dir"]][at:at + len(data)] == data, "spliced at %d" % at
        equal("read", got["read"], (want["read"], 0))


def own_seccomp_target_survives(env):
    """Attach, traffic, detach, traffic; then again with the tool killed instead."""
    for how in ("quit", "kill"):
        trace = Trace([env.library])
        peer = Peer(env, "seccomp")
        equal("peer", peer.line(), "ready")
        if how == "quit":
            trace.tool.stdin.close()
        else:
            trace.tool.send_signal(signal.SIGKILL)
        trace.tool.wait(timeout=STEP_S)
        peer.go()
        equal("peer", peer.line(), "ready")
        with Trace([env.library]):
            peer.go()
            peer.results()


def own_kinds_agree(env):
    """Every kind of probe gives the same records for the same traffic."""
    seen = {}
    for kind, flags in KINDS.items():
        try:
            trace = Trace([env.library, env.nested], *flags)
        except RuntimeError as e:
            print("skip kinds_agree %s: %s" % (kind, e))
            continue
        with trace:
            out = []
            for scenario, library in (("simple", None), ("mute", None), ("want_write", None),
                                      ("reuse", None), ("nested", env.nested)):
                moved = env.run(scenario, library=library)
                out.append([(r["type"], r.get("dir"), r.get("offset"), r.get("want"),
                             r.get("data"), r.get("gap"), r["generation"])
                            for r in trace.of(moved)])
            assert all(out), "%s delivered nothing" % kind
            seen[kind] = out
    assert len(seen) >= 2, "only %s" % list(seen)
    base = next(iter(seen))
    for kind in seen:
        assert seen[kind] == seen[base], "%s and %s differ" % (kind, base)


def own_small_call_is_prompt(env):
    """No wake-up is made for a small record, yet it is delivered within the reader's period."""
    with Trace([env.library]) as trace:
        peer = Peer(env, "late")
        equal("peer", peer.line(), "ready")
        peer.go()
        peer.results()
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            if any(r["type"] == "data" and r["dir"] == "read" for r in list(trace.records)):
                return
            time.sleep(0.02)
        raise AssertionError("not delivered after 500 ms")


def own_evictions_are_counted(env):
    """The kernel recycles entries of full tables without a word; the count finds them."""
    with Trace([env.nested]) as trace:
        peer = Peer(env, "many", library=env.nested)
        equal("peer", peer.line(), "ready")
        equal("evicted while there is room", trace.ask("stats")["lost"][EVICTED], [0, 0, 0, 0])
        peer.go()
        equal("peer", peer.line(), "ready")
        conns, *others = trace.ask("stats")["lost"][EVICTED]
        # Each CPU keeps up to 128 free entries to itself, so a table is full a little early.
        least, spare = 20000 - CONNS_MAX, 128 * (os.cpu_count() + 1)
        assert least <= conns <= least + spare, "%d connections, not %d" % (conns, least)
        equal("others", others, [0, 0, 0])
        equal("again", trace.ask("stats")["lost"][EVICTED], [conns, 0, 0, 0])
        peer.go()
        peer.results()


def check(name, test, *args):
    try:
        test(*args)
    except Exception as e:
        print("FAIL %s: %s" % (name, str(e) or repr(e)), flush=True)
        return 1
    print("ok %s" % name, flush=True)
    return 0


def main():
    failed = 0
    if os.geteuid() != 0:
        print("skip kernel_capture: needs root")
        return 0
    env = Env()
    tests = {n: f for n, f in globals().items() if callable(f)}
    only = sys.argv[2:]
    try:
        with Trace([env.library, env.nested]) as trace:
            print("# %(attach)s, %(returns)s" % trace.caps)
            for name, test in tests.items():
                if name.startswith("test_") and (not only or name[5:] in only):
                    failed += check(name[5:], test, env, trace)
        for name, test in tests.items():
            if name.startswith("own_") and name != "own_candidate" and (
                    not only or name[4:] in only):
                failed += check(name[4:], test, env)
    finally:
        shutil.rmtree(env.dir)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
