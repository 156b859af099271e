#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Attaches and detaches many times while a process runs through the probed functions: nothing may be
left behind, in the agent, in the kernel or in that process.

usage: test_cycles.py BUILD [--count=N] [--figures]

N cycles by each kind of link, and a fiftieth of them by perf events: the kernel closes those one by
one, 80 ms each.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

FLAGS = [a for a in sys.argv[2:] if a.startswith("--")]
BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
COUNT = next((int(f.split("=")[1]) for f in FLAGS if f.startswith("--count=")), 320)
SIDE_BY_SIDE = 8  # files whose probes are closed at one time

# Kind: flags of the tool, share of the cycles.
KINDS = {
    "session": (["--attach=0"], 1),
    "multi": (["--attach=1"], 1),
    "perf": (["--attach=2"], 1 / 50),
    "perf_sites": (["--attach=2", "--returns=1"], 1 / 50),
}


def run(kind, flags, count, libraries):
    name = "cycles_%d_%s" % (count, kind)
    done = subprocess.run([os.path.join(BUILD, "tests/kernel/cycles"), *flags, str(count),
                           *libraries], text=True, capture_output=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if not lines:
        print("skip %s: %s" % (name, done.stderr.strip()))
        return 0
    before, after, result = lines[0], lines[-2], lines[-1]
    figures = ", ".join("%s %s -> %s" % (key, before[key], after[key]) for key in before
                        if key not in ("type", "cycles", "seconds"))
    if "--figures" in FLAGS:
        print("# %s: %s s, %s hooked calls, %s" % (kind, after["seconds"],
                                                   result.get("hooked_calls"), figures))
    if done.returncode:
        print("FAIL %s: %s%s; wrong calls: %s" % (name, done.stderr.strip(), figures,
                                                 result.get("wrong")), flush=True)
        return 1
    print("ok %s" % name, flush=True)
    return 0


def main():
    if os.geteuid() != 0:
        print("skip cycles: needs root")
        return 0
    folder = tempfile.mkdtemp(prefix="tolltap-cycles-")
    try:
        libraries = [shutil.copy(os.path.join(BUILD, "tests/kernel/libnested.so"),
                                 os.path.join(folder, "lib%d.so" % i)) for i in range(SIDE_BY_SIDE)]
        return 1 if sum(run(kind, flags, max(SIDE_BY_SIDE, int(COUNT * share)), libraries)
                        for kind, (flags, share) in KINDS.items()) else 0
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
