#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Tolltap costs, side by side in one run: rounds are interleaved, medians are compared, ratios are
the result. `make bench` builds what it needs and prints a Markdown report.

usage: bench.py BUILD [--rounds N]
"""
import argparse
import os
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent
from provider import Provider

LLM = ("api.openai.com", "/v1/chat/completions")
OTHER = ("www.example.test", "/bulk")
EVENTS = 2000


def libssl_of(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return next(os.path.realpath(line.split()[2]) for line in out.splitlines() if "libssl" in line)


class Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Anchor:
    def __init__(self, build, kind):
        folder = os.path.join(build, "tests", "bench")
        self.command = [os.path.join(folder, "anchor"), kind, os.path.join(folder, "anchor.bpf.o"),
                        libssl_of(os.path.join(folder, "tls_loop"))]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout.readline() == "ready\n", "the anchor did not attach"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(5)


def read_ns(build, target, size):
    """Median nanoseconds of one client SSL_read over five answers of one process."""
    done = subprocess.run([os.path.join(build, "tests", "bench", "tls_loop"), *target, "5",
                           str(EVENTS), str(size)], capture_output=True, text=True, check=True)
    return statistics.median(map(float, done.stdout.split()))


def per_call(build, rounds):
    """{size: {case: median ns}}: every case once a round, in turn."""
    cases = {
        "no tracer": (Nothing, LLM),
        "empty probe pair": (lambda: Anchor(build, "empty"), LLM),
        "full-copy anchor": (lambda: Anchor(build, "copy"), LLM),
        "Tolltap, LLM traffic": (lambda: Agent(build), LLM),
        "Tolltap, muted traffic": (lambda: Agent(build), OTHER),
    }
    sizes = (256, 4096, 16000)
    samples = {size: {case: [] for case in cases} for size in sizes}
    for _ in range(rounds):
        for case, (tracer, target) in cases.items():
            with tracer():
                for size in sizes:
                    samples[size][case].append(read_ns(build, target, size))
    return {size: {case: statistics.median(values) for case, values in of.items()}
            for size, of in samples.items()}


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid, ring_name="bpf-ringbuf"):
    """Resident KiB without and with the ring's own pages."""
    rss = ring = 0
    with open("/proc/%d/smaps" % pid) as f:
        in_ring = False
        for line in f:
            if "-" in line.split(" ")[0]:
                in_ring = "bpf_ringbuf" in line or "anon_inode:bpf" in line or "bpf-map" in line
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


def idle_cost(build, seconds=5):
    with Agent(build) as agent:
        time.sleep(1)
        before = cpu_seconds(agent.process.pid)
        time.sleep(seconds)
        return (cpu_seconds(agent.process.pid) - before) / seconds


def report(per_size, cost, idle):
    print("| client SSL_read of | case | ns | added ns | x empty pair | x full-copy anchor |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size, of in per_size.items():
        base = of["no tracer"]
        pair = of["empty probe pair"] - base
        copy = of["full-copy anchor"] - base
        for case, ns in of.items():
            added = ns - base
            print("| %d B | %s | %.0f | %.0f | %.2f | %.2f |" % (
                size, case, ns, added, added / pair, added / copy))
    print()
    print("%(calls)d streamed calls in %(seconds).1f s: agent CPU %(cpu_ms_per_1000).0f ms per 1,000 "
          "calls, resident %(rss_kib)d KiB without the ring's pages (%(rss_with_ring_kib)d KiB with "
          "them), events lost: %(lost)d." % cost)
    print("Idle agent: %.2f %% of one core." % (idle * 100))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=1000)
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    report(per_call(build, args.rounds), agent_cost(build, args.calls), idle_cost(build))
    return 0


if __name__ == "__main__":
    sys.exit(main())
