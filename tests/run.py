#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the test stages and closes with one line: N passed, N failed, N skipped.

usage: tests/run.py [--build DIR] [--asan-build DIR] [STAGE...]      (all stages by default)

A stage is a row below: its name, what it runs, what it needs. Programs report either as cmocka does
or with lines `ok NAME`, `FAIL NAME: why`, `skip NAME: why`; a line `= text` is shown as it is. A
program that exits non-zero without a failed test counts as one failure; every skip is named again at
the end.
"""
import argparse
import contextlib
import glob
import os
import re
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


PROGRAM_MOST_S = 1500  # the longest one, every kernel in an emulator, takes a third of it

SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
              "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}


def built(build, pattern):
    """Test programs the Makefile made from sources that match pattern."""
    sources = sorted(glob.glob(os.path.join(TOP, pattern), recursive=True))
    return [[os.path.join(TOP, build, os.path.relpath(s, TOP)[:-2])] for s in sources]


def stage_lint(args):
    yield ["python3", "tests/check/lint.py", "--self-test"], {}
    yield ["python3", "tests/check/lint.py"], {}
    for script in sorted(glob.glob(os.path.join(TOP, "tests/check/*.sh"))):
        yield [script, args.build], {}


def stage_unit(args):
    for command in built(args.build, "tests/unit/**/test_*.c"):
        yield command, {}


def stage_replay(args):
    for command in built(args.build, "tests/replay/**/test_*.c"):
        yield command, {}


def stage_faults(args):
    for command in built(args.build, "tests/faults/test_*.c"):
        yield command, {}


def stage_asan(args):
    for pattern in ("tests/unit/**/test_*.c", "tests/replay/**/test_*.c", "tests/faults/test_*.c"):
        for command in built(args.asan_build, pattern):
            yield command, SANITIZERS


def stage_fuzz(args):
    """Every corpus under ASan and UBSan, then FUZZ_S seconds of each target where clang built it.

    One seed, so that a check repeats itself as far as time allows: new ground is the long run's.
    """
    targets = [os.path.basename(source)[5:-2]
               for source in sorted(glob.glob(os.path.join(TOP, "tests/fuzz/fuzz_*.c")))]
    for name in targets:
        yield [os.path.join(TOP, args.asan_build, "tests/fuzz/replay_" + name),
               "tests/fuzz/corpus/" + name], SANITIZERS
    yield [os.path.join(TOP, "tests/fuzz/run.py"), "--bin", args.build + "-fuzz/tests/fuzz",
           "--work", args.build + "-fuzz/fuzz", "--seconds", os.environ.get("FUZZ_S", "8"),
           "--seed", "1", *targets], {}


def stage_scripts(directory):
    def stage(args):
        for script in sorted(glob.glob(os.path.join(TOP, directory, "test_*.py"))):
            yield ["/usr/bin/python3", script, os.path.join(TOP, args.build)], {}
    return stage


def stage_kernels(args):
    """The oldest kernel, the newest and arm64 by default; KERNELS names others."""
    yield ["/usr/bin/python3", os.path.join(TOP, "tests/kernel/vm.py"), "--build", args.build,
           "--arm64-build", args.build + "-arm64",
           *os.environ.get("KERNELS", "5.10 sid arm64").split()], {}


STAGES = {
    "lint": stage_lint,
    "unit": stage_unit,
    "replay": stage_replay,
    "faults": stage_faults,
    "fuzz": stage_fuzz,
    "asan": stage_asan,
    "kernel": stage_scripts("tests/kernel"),
    "e2e": stage_scripts("tests/e2e"),
    "kernels": stage_kernels,
}
NEEDS_BPF = {"kernel", "e2e"}

LINES = [
    (re.compile(r"^\[\s+OK \] (\S+)"), "passed"),
    (re.compile(r"^\[  FAILED  \] (\S+)$"), "failed"),
    (re.compile(r"^\[  SKIPPED \] (\S+)$"), "skipped"),
    (re.compile(r"^ok (.+)"), "passed"),
    (re.compile(r"^FAIL (.+)"), "failed"),
    (re.compile(r"^skip (.+)"), "skipped"),
]


class Tally:
    def __init__(self):
        self.count = {"passed": 0, "failed": 0, "skipped": 0}
        self.named = {"failed": [], "skipped": []}

    def add(self, what, name):
        self.count[what] += 1
        if what in self.named:
            self.named[what].append(name)


def end_with(child):
    """What a program left behind would hold its output open for ever."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(PROGRAM_MOST_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def run_program(stage, command, env, tally, verbose):
    name = "%s %s" % (stage, os.path.relpath(command[0], TOP) if os.path.isabs(command[0])
                      else " ".join(command[:2]))
    if command[0].startswith("/usr/bin/python3"):
        name = "%s %s" % (stage, os.path.relpath(command[1], TOP))
    seen = {"passed": 0, "failed": 0, "skipped": 0}
    output = []
    started = time.monotonic()
    try:
        child = subprocess.Popen(command, cwd=TOP, env=dict(os.environ, **env), text=True,
                                 errors="replace", stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, process_group=0)
    except OSError as e:
        print("  FAIL %s: %s" % (name, e))
        tally.add("failed", name)
        return
    threading.Thread(target=end_with, args=(child,), daemon=True).start()
    summary = set()
    for line in child.stdout:
        output.append(line)
        if verbose or line.startswith("= "):
            sys.stdout.write(line)
        for pattern, what in LINES:
            m = pattern.match(line)
            if m and (what, m.group(1)) not in summary:
                summary.add((what, m.group(1)))
                seen[what] += 1
                tally.add(what, "%s: %s" % (name, m.group(1)))
    code = child.wait()
    if code != 0 and seen["failed"] == 0:
        tally.add("failed", "%s: exit status %d" % (name, code))
        seen["failed"] += 1
    if code == 0 and not any(seen.values()):
        tally.add("passed", name)
        seen["passed"] += 1
    state = "FAIL" if seen["failed"] else "ok"
    print("  %-4s %s (%d passed, %d failed, %d skipped, %.1f s)" % (
        state, name, seen["passed"], seen["failed"], seen["skipped"],
        time.monotonic() - started), flush=True)
    if seen["failed"] and not verbose:
        print("".join("      | " + line for line in output[-60:]))


def bpf_refusal(build):
    """Why this machine cannot run the probes, or None. Asks the program itself."""
    if os.geteuid() != 0:
        return "not root"
    probe = subprocess.run([os.path.join(TOP, build, "tolltap"), "doctor",
                            "--storage.path=/nonexistent/tolltap"], text=True, capture_output=True)
    bad = [line for line in probe.stdout.splitlines() if line.startswith("bad")]
    return None if probe.returncode == 0 else (bad or ["tolltap doctor failed"])[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--asan-build", default="build-asan")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("stage", nargs="*", choices=[*STAGES, []])
    args = parser.parse_args()
    tally = Tally()
    for stage in args.stage or STAGES:
        print("== %s" % stage, flush=True)
        refusal = bpf_refusal(args.build) if stage in NEEDS_BPF else None
        for command, env in STAGES[stage](args):
            if refusal:
                tally.add("skipped", "%s %s: %s" % (stage, os.path.basename(command[1]), refusal))
                continue
            run_program(stage, command, env, tally, args.verbose)
    for what in ("skipped", "failed"):
        for name in tally.named[what]:
            print("%s: %s" % (what, name))
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % tally.count)
    return 1 if tally.count["failed"] or not tally.count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
