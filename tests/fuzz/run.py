#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs fuzz targets built with libFuzzer and reports them as tests do.

usage: tests/fuzz/run.py [--bin DIR] [--work DIR] [--jobs N] (--seconds S [--seed N] | --cpu-minutes M) TARGET...
       tests/fuzz/run.py --report [--work DIR] TARGET...

What is found new lies in WORK/corpus/TARGET, an input that fails a target in WORK/finds/TARGET. Each
run adds to WORK/TARGET.json, so that --cpu-minutes goes on where an earlier run was ended.
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SLICE_S = 120  # of one turn of a long run: what a power cut costs at most
INPUT_MAX = {"elf": 16384, "price": 16384, "config": 8192}  # bytes; 4096 for all others
SAN = {
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


class Target:
    def __init__(self, name, args):
        self.name = name
        self.seed = args.seed
        self.program = os.path.join(args.bin, "fuzz_" + name)
        self.seeds = os.path.join(HERE, "corpus", name)
        self.corpus = os.path.join(args.work, "corpus", name)
        self.finds = os.path.join(args.work, "finds", name)
        self.log = os.path.join(args.work, name + ".log")
        self.state_file = os.path.join(args.work, name + ".json")
        for folder in (self.corpus, self.finds):
            os.makedirs(folder, exist_ok=True)

    def state(self):
        try:
            with open(self.state_file) as f:
                return json.load(f)
        except FileNotFoundError:
            return {"cpu_s": 0.0, "executions": 0, "edges": 0}

    def find_count(self):
        return len(os.listdir(self.finds))

    def corpus_size(self):
        files = [os.path.join(self.corpus, name) for name in os.listdir(self.corpus)]
        return len(files), sum(os.path.getsize(f) for f in files)

    def command(self, seconds):
        dictionary = os.path.join(HERE, self.name + ".dict")
        return [self.program, "-max_total_time=%d" % seconds, "-timeout=10", "-rss_limit_mb=2048",
                "-max_len=%d" % INPUT_MAX.get(self.name, 4096), "-print_final_stats=1",
                *(["-seed=%d" % self.seed] if self.seed else []),
                "-artifact_prefix=%s/" % self.finds,
                *(["-dict=" + dictionary] if os.path.exists(dictionary) else []),
                self.corpus, *([self.seeds] if os.path.isdir(self.seeds) else [])]

    def run(self, seconds):
        """One turn. Returns None, or why it failed."""
        with open(self.log, "wb") as log:
            child = subprocess.Popen(self.command(seconds), stdout=log, stderr=subprocess.STDOUT,
                                     env=dict(os.environ, **SAN))
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        with open(self.log, errors="replace") as log:
            text = log.read()
        state = self.state()
        state["cpu_s"] += usage.ru_utime + usage.ru_stime
        done = re.findall(r"number_of_executed_units: (\d+)", text)
        state["executions"] += int(done[-1]) if done else 0
        edges = re.findall(r"\bcov: (\d+)", text)
        state["edges"] = int(edges[-1]) if edges else state["edges"]
        with open(self.state_file + ".new", "w") as f:
            json.dump(state, f)
        os.rename(self.state_file + ".new", self.state_file)
        if child.returncode == 0:
            return None
        reason = re.findall(r"does not hold: .*|ERROR: .*|SUMMARY: .*|runtime error: .*", text)
        return "%s; see %s" % (reason[0] if reason else "exit %d" % child.returncode, self.log)


def outcome(target, failure):
    """The line that tells how it went."""
    if failure:
        return "FAIL fuzz_%s: %s" % (target.name, failure)
    state = target.state()
    return "ok fuzz_%s (%d executions, %d edges)" % (target.name, state["executions"], state["edges"])


def run_short(targets, args):
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for target, failure in zip(targets, pool.map(lambda t: t.run(args.seconds), targets)):
            yield outcome(target, failure)


def run_long(targets, args):
    """Turns go to the target with the least CPU time, so that a run cut short is fair to all."""
    running, left = {}, list(targets)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        while left or running:
            for t in sorted(left, key=lambda t: t.state()["cpu_s"]):
                if len(running) == args.jobs:
                    break
                left.remove(t)
                running[pool.submit(t.run, SLICE_S)] = t
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for turn in done:
                target, failure = running.pop(turn), turn.result()
                if failure or target.state()["cpu_s"] >= 60 * args.cpu_minutes:
                    yield outcome(target, failure)
                else:
                    left.append(target)


def report(targets):
    print("| target | CPU minutes | executions | corpus | edges | finds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for t in targets:
        state, (files, size) = t.state(), t.corpus_size()
        print("| %s | %.1f | %s | %d (%d KiB) | %d | %d |" % (
            t.name, state["cpu_s"] / 60, format(state["executions"], ","), files, -(-size // 1024),
            state["edges"], t.find_count()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default="build-fuzz/tests/fuzz")
    parser.add_argument("--work", default="build-fuzz/fuzz")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu-minutes", type=float, default=0)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("target", nargs="+")
    args = parser.parse_args()
    targets = [Target(name, args) for name in args.target]
    if args.report:
        report(targets)
        return 0
    absent = [t for t in targets if not os.path.exists(t.program)]
    for t in absent:
        print("skip fuzz_%s: not built; needs clang with libFuzzer" % t.name)
    targets = [t for t in targets if t not in absent]
    if not args.seconds and not args.cpu_minutes:
        parser.error("one of --seconds and --cpu-minutes is needed")
    started, failed = time.monotonic(), False
    for line in (run_short if args.seconds else run_long)(targets, args):
        print(line, flush=True)
        failed |= line.startswith("FAIL")
    if args.cpu_minutes:
        report(targets)
    else:
        print("= %d fuzz targets in %.0f s" % (len(targets), time.monotonic() - started))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
