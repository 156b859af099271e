#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Tolltap costs, side by side in one run: rounds are interleaved, medians are compared, ratios are
the result. `make bench` builds what it needs and prints a Markdown report.

The TLS peer uses a copy of libssl of its own and counts the probes on it: a sample is taken again when
there are others than those of its case. What each case claims (watched, muted) is asserted from /metrics of that very run.

usage: bench.py BUILD [--rounds N] [--calls N]
"""
import argparse
import glob
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent
from provider import Provider

LLM = ("api.openai.com", "/v1/chat/completions")
OTHER = ("www.example.test", "/bulk")
SIZES = (256, 4096, 16000)
ANSWERS, EVENTS = 5, 2000
QUIET_S = 60  # longest wait for other tracers to end


def libssl_of(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return next(os.path.realpath(line.split()[2]) for line in out.splitlines() if "libssl" in line)


class Peer:
    """tls_loop on its own copy of libssl, kept mapped by a sleeping process so that an agent that
    starts finds it."""

    def __init__(self, build):
        self.loop = os.path.join(build, "tests", "bench", "tls_loop")
        self.dir = tempfile.mkdtemp(prefix="tolltap-bench.")
        self.library = os.path.join(self.dir, "libssl.so.3")
        shutil.copy(libssl_of(self.loop), self.library)
        self.env = dict(os.environ, LD_LIBRARY_PATH=self.dir)
        self.holder = subprocess.Popen(["sleep", "infinity"],
                                       env=dict(os.environ, LD_PRELOAD=self.library))

    def close(self):
        self.holder.kill()
        self.holder.wait()
        shutil.rmtree(self.dir)

    def run(self, target, size):
        """(median ns of one client SSL_read over the answers, CPU seconds, probes on libssl)"""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([self.loop, *target, str(ANSWERS), str(EVENTS), str(size)],
                              capture_output=True, text=True, check=True, env=self.env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        probes, *ns = done.stdout.split()
        return statistics.median(map(float, ns)), cpu, int(probes)


class Nothing:
    pid = None
    probes = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def check(self, size):
        pass


class Anchor(Nothing):
    probes = 2

    def __init__(self, build, peer, kind, where):
        folder = os.path.join(build, "tests", "bench")
        self.command = [os.path.join(folder, "anchor"), kind, where,
                        os.path.join(folder, "anchor.bpf.o"), peer.library]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.pid = self.process.pid
        said = self.process.stdout.readline().split()
        assert said and said[0] == "ready", "the anchor did not attach"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(5)


class Tolltap(Nothing):
    """The agent; after each run it must have watched (or muted) exactly that traffic."""

    def __init__(self, build, peer, watched):
        self.agent, self.watched, self.library = Agent(build), watched, peer.library
        self.taken = self.muted = 0

    def __enter__(self):
        self.agent.start()
        self.pid = self.agent.process.pid
        with open(os.path.join(self.agent.storage, "status.json")) as f:
            status = json.load(f)
        assert status["kernel"]["attach"] == "session", "one probe a site is expected"
        self.probes = next(file["probes"] for file in status["files"]
                           if file["path"] == self.library)
        return self

    def __exit__(self, *_):
        self.agent.__exit__()

    def check(self, size):
        lost = self.agent.metric_sum("tolltap_capture_lost_events_total")
        taken = self.agent.metric_sum("tolltap_capture_bytes_total")
        muted = self.agent.metric_sum("tolltap_connections_total", 'reason="not_llm"')
        moved, self.taken = taken - self.taken, taken
        newly_muted, self.muted = muted - self.muted, muted
        if self.watched:
            assert moved + lost * size >= ANSWERS * EVENTS * size, "not watched: %d bytes" % moved
        else:
            # Other programs of the host may be metered meanwhile.
            assert newly_muted and moved < EVENTS * size, "not muted: %d bytes" % moved


def cpu_seconds(pid):
    """All threads, at the resolution of the scheduler's clock."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        with open(path) as f:
            total += int(f.read().split()[0])
    return total / 1e9


def sample(peer, tracer, target, size):
    """(ns, CPU seconds of peer and tracer) of one run, with no probes but the tracer's own."""
    deadline = time.monotonic() + QUIET_S
    while True:
        before = cpu_seconds(tracer.pid) if tracer.pid else 0
        ns, cpu, probes = peer.run(target, size)
        tracer.check(size)
        if tracer.pid:
            cpu += cpu_seconds(tracer.pid) - before
        if probes == tracer.probes:
            return ns, cpu
        assert time.monotonic() < deadline, "%d probes on libssl instead of %d: does another tracer " \
            "run here?" % (probes, tracer.probes)
        time.sleep(0.5)


def per_call(build, peer, rounds):
    """{size: {case: (ns, CPU)}}, medians: every case once a round, in turn."""
    cases = {
        "no tracer": (Nothing, LLM),
        "empty pair at SSL_read's entry": (lambda: Anchor(build, peer, "empty", "entry"), LLM),
        "empty pair at Tolltap's site": (lambda: Anchor(build, peer, "empty", "site"), LLM),
        "full copy at Tolltap's site": (lambda: Anchor(build, peer, "copy", "site"), LLM),
        "Tolltap, LLM traffic": (lambda: Tolltap(build, peer, True), LLM),
        "Tolltap, muted traffic": (lambda: Tolltap(build, peer, False), OTHER),
    }
    samples = {size: {case: [] for case in cases} for size in SIZES}
    for _ in range(rounds):
        for case, (tracer, target) in cases.items():
            with tracer() as running:
                for size in SIZES:
                    samples[size][case].append(sample(peer, running, target, size))
    return {size: {case: tuple(map(statistics.median, zip(*values))) for case, values in of.items()}
            for size, of in samples.items()}


def memory_kib(pid):
    """Resident KiB without and with the ring's own pages."""
    rss = ring = 0
    with open("/proc/%d/smaps" % pid) as f:
        in_ring = False
        for line in f:
            if "-" in line.split(" ")[0]:
                in_ring = "anon_inode:bpf" in line or "bpf-map" in line
            elif line.startswith("Rss:"):
                rss += int(line.split()[1])
                ring += int(line.split()[1]) if in_ring else 0
    return rss - ring, rss


def agent_cost(build, calls):
    """CPU of the agent per 1,000 streamed calls, its memory, what it lost."""
    text = ("for i in range(%d):\n"
            "    if i %% 50 == 0: tls = connect()\n"
            "    chat(tls, stream=True); answer(tls)\n" % calls)
    prologue = "import sys; sys.argv = ['raw', '%d', '%s']; sys.path.insert(0, '%s')\n" \
               "from raw_client import *\n"
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider)
        before = cpu_seconds(agent.process.pid)
        started = time.monotonic()
        subprocess.run(["/usr/bin/python3", "-c", prologue % (
            provider.port, provider.cacert, os.path.join(HERE, "..", "lib")) + text], check=True)
        agent.wait_rows(calls + 1, 10)
        elapsed = time.monotonic() - started
        spent = cpu_seconds(agent.process.pid) - before
        lean, whole = memory_kib(agent.process.pid)
        return {"calls": calls, "seconds": elapsed, "cpu_ms_per_1000": spent * 1e6 / calls,
                "rss_kib": lean, "rss_with_ring_kib": whole,
                "lost": agent.metric_sum("tolltap_capture_lost_events_total")}


def idle_cost(build, seconds=10):
    """(seconds to `ready`, share of a core when nothing happens, resident KiB)"""
    started = time.monotonic()
    with Agent(build) as agent:
        ready = time.monotonic() - started
        time.sleep(2)
        before = cpu_seconds(agent.process.pid)
        time.sleep(seconds)
        spent = (cpu_seconds(agent.process.pid) - before) / seconds
        return ready, spent, memory_kib(agent.process.pid)[0]


def report(per_size, cost, idle):
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()
    print("Linux %s, %s, %d cores, OpenSSL %s.\n" % (
        platform.release().split("-")[0], platform.machine(), os.cpu_count(), openssl[1]))
    print("| one SSL_read of | case | ns | added ns | x empty pair | x full copy | total CPU x |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size, of in per_size.items():
        base, base_cpu = of["no tracer"]
        pair = of["empty pair at Tolltap's site"][0] - base
        copy = of["full copy at Tolltap's site"][0] - base
        for case, (ns, cpu) in of.items():
            added = ns - base
            print("| %d B | %s | %.0f | %.0f | %.2f | %.2f | %.2f |" % (
                size, case, ns, added, added / pair, added / copy, cpu / base_cpu))
    print()
    print("%(calls)d streamed calls in %(seconds).1f s: agent CPU %(cpu_ms_per_1000).0f ms per 1,000 "
          "calls, resident %(rss_kib)d KiB without the ring's pages (%(rss_with_ring_kib)d KiB with "
          "them), events lost: %(lost)d." % cost)
    print("Idle agent: ready after %.2f s, %.2f %% of one core, resident %d KiB without the ring's "
          "pages." % (idle[0], idle[1] * 100, idle[2]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=1000)
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    peer = Peer(build)
    try:
        per_size = per_call(build, peer, args.rounds)
    finally:
        peer.close()
    report(per_size, agent_cost(build, args.calls), idle_cost(build))
    return 0


if __name__ == "__main__":
    sys.exit(main())
