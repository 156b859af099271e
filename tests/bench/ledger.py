#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a large ledger costs: to fill, to keep, to ask. `make bench` prints a Markdown report of the
demo's calls (tolltap demo --data): time of `tolltap spend` by every fact over a month, rows a second of
the writer, bytes per million rows.

usage: ledger.py BUILD [--rows N] [--dir DIR] [--keep] [--rounds N]
"""
import argparse
import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

SINCE, UNTIL = "2026-10-02", "2026-11-01"  # the last 30 of the demo's 45 days
CUT_SINCE = "2026-10-02T00:20:00Z"  # an hour that is not whole: its calls are summed
OF_CALLS = ("pid", "session_id", "trace_id", "operation_id", "response_id", "request_id")
LIMIT_S = 1.0


def run(command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    return done.returncode, done.stdout, done.stderr


def facts(tolltap):
    """Every built-in fact, as the help names them."""
    text = run([tolltap, "spend", "--help"])[1]
    block = text.split("--by=FACTS", 1)[1].split("--since", 1)[0].split("of:", 1)[1]
    return [word for word in re.split(r"[\s]+", block) if word and word != "tag:NAME"]


def seconds(command, rounds):
    """Median wall time of the whole command, and what it said when it failed."""
    times = []
    for _ in range(rounds):
        begun = time.monotonic()
        code, _, said = run(command)
        times.append(time.monotonic() - begun)
        if code:
            return None, said.strip().split("; ")[0]
    # The first warms the page cache.
    return statistics.median(times[1:] if rounds > 1 else times), ""


def spend(tolltap, storage, rounds):
    """[(fact, seconds or None, error)]"""
    rows = []
    for fact in facts(tolltap) + ["tag:team"]:
        command = [tolltap, "spend", "--storage.path=" + storage, "--by=" + fact,
                   "--since=" + SINCE, "--until=" + UNTIL, "--output=csv"]
        slow = fact in OF_CALLS or fact.startswith("tag:")
        rows.append((fact, *seconds(command, 1 if slow else rounds)))
        print("  --by=%s: %s" % (fact, rows[-1][1] or rows[-1][2]), file=sys.stderr, flush=True)
    return rows


def counts(storage):
    db = sqlite3.connect("file:%s/ledger.db?mode=ro" % storage, uri=True)
    names = {"calls": "SELECT max(seq) FROM calls", "facets": "SELECT count(*) FROM facets",
             "rollup": "SELECT count(*) FROM rollup",
             "month": "SELECT count(*) FROM rollup WHERE hour>=strftime('%s','{}')/3600 AND "
                      "hour<strftime('%s','{}')/3600".format(SINCE, UNTIL)}
    out = {name: db.execute(sql).fetchone()[0] for name, sql in names.items()}
    db.close()
    return out


def size_of(storage):
    return sum(os.path.getsize(os.path.join(storage, name)) for name in os.listdir(storage)
               if name.startswith("ledger.db"))


def write(build, storage, rows):
    code, out, err = run([os.path.join(build, "tests", "bench", "ledger_writer"), storage, str(rows)])
    assert code == 0, err
    done, took, commits = out.split()
    return int(done) / float(took), int(commits)


def report(args, work):
    tolltap = os.path.join(args.build, "tolltap")
    storage = os.path.join(work, "large")
    begun = time.monotonic()
    if not os.path.exists(os.path.join(storage, "ledger.db")):
        code, _, err = run([tolltap, "demo", "--data", "--storage.path=" + storage,
                            "--rows=%d" % args.rows])
        assert code == 0, err
    filled = time.monotonic() - begun
    size, n = size_of(storage), counts(storage)
    print("Linux %s, %s, %d cores, SQLite %s.\n" % (
        platform.release(), platform.machine(), os.cpu_count(), sqlite3.sqlite_version))
    print("%d calls of 45 days, %d facets, %d rows of the roll-up (%d in the month); made in bulk in "
          "%.0f s.\n" % (n["calls"], n["facets"], n["rollup"], n["month"], filled))
    print("| `tolltap spend` over 30 days, by | s |\n| --- | ---: |")
    slowest = 0
    for fact, took, error in spend(tolltap, storage, args.rounds):
        print("| %s | %s |" % (fact, "%.2f" % took if took is not None else error))
        if took is not None and fact not in OF_CALLS and not fact.startswith("tag:"):
            slowest = max(slowest, took)
    cut, _ = seconds([tolltap, "spend", "--storage.path=" + storage, "--since=" + CUT_SINCE,
                      "--until=" + UNTIL], args.rounds)
    print("| model, of an hour that is not whole | %.2f |" % cut)
    all_facts, _ = seconds([tolltap, "spend", "--storage.path=" + storage,
                            "--by=provider,model,comm,day", "--output=csv",
                            "--since=" + SINCE, "--until=" + UNTIL], args.rounds)
    print("| provider,model,comm,day | %.2f |" % all_facts)
    print("\nSlowest fact of the roll-up: %.2f s (goal: under %.0f s).\n" % (slowest, LIMIT_S))
    empty, few = write(args.build, os.path.join(work, "empty"), args.writes)
    full, many = write(args.build, storage, args.writes)
    print("| | |\n| --- | ---: |")
    print("| rows a second, the writer, empty ledger (%d in %d commits) | %.0f |" % (
        args.writes, few, empty))
    print("| rows a second, the writer, beside those %d calls (%d commits) | %.0f |" % (
        n["calls"], many, full))
    print("| MB per million rows, indexes and roll-up included | %.0f |" % (size / n["calls"]))
    return 0 if slowest < LIMIT_S else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=os.path.abspath)
    parser.add_argument("--rows", type=int, default=10000000)
    parser.add_argument("--writes", type=int, default=200000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", help="kept; a ledger that is in it is used again")
    args = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    work = args.dir or tempfile.mkdtemp(prefix="tolltap-bench.")
    try:
        return report(args, work)
    finally:
        if not args.dir:
            shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
