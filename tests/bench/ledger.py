#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a large ledger costs: to fill, to keep, to ask. `make bench` prints a Markdown report of the
demo's calls (tolltap demo --data): time of `tolltap spend` by every fact over a month, rows a second of
the writer, bytes per million rows, what retention and a backup take.

usage: ledger.py BUILD [--rows N] [--writes N] [--rounds N] [--dir DIR]
"""
import argparse
import datetime
import os
import platform
import resource
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
RETENTION_BATCHES = 200


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def facts(tolltap):
    """Every built-in fact, as the help names them."""
    text = run([tolltap, "spend", "--help"])[1]
    return text.split("--by=FACTS", 1)[1].split("of:", 1)[1].split("tag:NAME", 1)[0].split()


def seconds(command, rounds):
    """Medians of the whole command: wall time, CPU time; or what it said when it failed."""
    wall, cpu = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.monotonic()
        code, _, said = run(command)
        wall.append(time.monotonic() - begun)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if code:
            return None, None, said.strip().split("; ")[0].replace("tolltap spend: ", "")
    first = 1 if rounds > 1 else 0  # the first warms the page cache
    return statistics.median(wall[first:]), statistics.median(cpu[first:]), ""


def spend(tolltap, storage, rounds):
    """Yields (what, wall, CPU, error, whether the roll-up answers)."""
    month = ["--storage.path=" + storage, "--until=" + UNTIL, "--output=csv"]
    for fact in facts(tolltap) + ["tag:team", "provider,model,comm,day"]:
        rolled_up = fact not in OF_CALLS and not fact.startswith("tag:")
        command = [tolltap, "spend", *month, "--by=" + fact, "--since=" + SINCE]
        yield (fact, *seconds(command, rounds if rolled_up else 1), rolled_up)
    yield ("model, of hours that are cut", *seconds(
        [tolltap, "spend", *month, "--by=model", "--since=" + CUT_SINCE], rounds), True)
    yield ("day, in a zone of half hours", *seconds(
        [tolltap, "spend", *month, "--by=day", "--since=" + SINCE, "--timezone=Asia/Kolkata"], 1),
        False)


def counts(storage):
    db = sqlite3.connect("file:%s/ledger.db?mode=ro" % storage, uri=True)
    names = {"calls": "SELECT count(*) FROM calls", "facets": "SELECT count(*) FROM facets",
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
    """(rows a second, commits) of the ledger's own writer."""
    code, out, err = run([os.path.join(build, "tests", "bench", "ledger_writer"), storage, str(rows)])
    assert code == 0, err
    done, took, commits = out.split()
    return int(done) / float(took), int(commits)


def report_spend(tolltap, storage, rounds):
    """The slowest of those the roll-up answers."""
    slowest = 0
    print("| `tolltap spend` over 30 days, by | s | CPU s |\n| --- | ---: | ---: |")
    for what, wall, cpu, error, rolled_up in spend(tolltap, storage, rounds):
        print("| %s | %s |" % (what, error + " |" if error else "%.2f | %.2f" % (wall, cpu)),
              flush=True)
        if rolled_up and wall:
            slowest = max(slowest, wall)
    print("\nSlowest that the roll-up answers: %.2f s (goal: under %.0f s).\n" % (slowest, LIMIT_S))
    return slowest


def report_writer(args, storage, other, calls, size):
    empty_dir = os.path.join(os.path.dirname(storage), "empty")
    empty, few = write(args.build, empty_dir, args.writes)
    shutil.rmtree(empty_dir)
    full, many = write(args.build, other, args.writes)
    print("| | |\n| --- | ---: |")
    print("| MB per million rows, indexes and roll-up included | %.0f |" % (size / calls))
    print("| rows a second, the writer, empty ledger (%d in %d commits) | %.0f |" % (
        args.writes, few, empty))
    print("| rows a second, the writer, beside those %d calls (%d commits) | %.0f |" % (
        calls, many, full), flush=True)


def report_retention(args, tolltap, storage):
    """September goes, in part; the file after it, and a copy without its free pages."""
    run([tolltap, "period", "close", "2026-09", "--storage.path=" + storage])
    now = int(datetime.datetime(2026, 12, 15, tzinfo=datetime.timezone.utc).timestamp())
    code, out, err = run([os.path.join(args.build, "tests", "bench", "ledger_retention"), storage, "1",
                          str(now), str(RETENTION_BATCHES)])
    assert code == 0, err
    deleted, took, slowest_ms, before, after = map(float, out.split())
    print("| retention: calls a second | %.0f |" % (deleted / took))
    print("| longest that one of its batches holds up the writer, ms | %d |" % slowest_ms)
    print("| bytes it gives back to the file per call | %.0f |" % ((before - after) / deleted))
    print("| MB in use: before, after | %.0f, %.0f |" % (before / 1e6, after / 1e6))
    print("| MB of the file after it: free pages stay, and are used again | %.0f |" % (
        size_of(storage) / 1e6))
    copy = os.path.join(os.path.dirname(storage), "copy.db")
    took, _, error = seconds([tolltap, "ledger", "backup", copy, "--storage.path=" + storage], 1)
    assert not error, error
    print("| `ledger backup`, s | %.0f |\n| MB of the copy, which has no free pages | %.0f |" % (
        took, os.path.getsize(copy) / 1e6), flush=True)
    os.unlink(copy)
    for word in ("rebuild", "verify"):
        took, _, error = seconds([tolltap, "ledger", word, "--storage.path=" + storage], 1)
        print("| `ledger %s`, s | %s |" % (word, error or "%.0f" % took), flush=True)


def report(args, work):
    tolltap = os.path.join(args.build, "tolltap")
    storage, other = os.path.join(work, "large"), os.path.join(work, "written")
    begun = time.monotonic()
    if not os.path.exists(os.path.join(storage, "ledger.db")):
        code, _, err = run([tolltap, "demo", "--data", "--storage.path=" + storage,
                            "--rows=%d" % args.rows])
        assert code == 0, err
        print("Made in bulk in %.0f s.\n" % (time.monotonic() - begun))
    size, n = size_of(storage), counts(storage)
    print("Linux %s, %s, %d cores, SQLite %s, load %.1f at the start.\n" % (
        platform.release(), platform.machine(), os.cpu_count(), sqlite3.sqlite_version,
        os.getloadavg()[0]))
    print("%d calls of 45 days, %d facets, %d rows of the roll-up (%d in the month).\n" % (
        n["calls"], n["facets"], n["rollup"], n["month"]))
    slowest = report_spend(tolltap, storage, args.rounds)
    shutil.copytree(storage, other)  # a ledger that is kept is not written into
    report_writer(args, storage, other, n["calls"], size)
    report_retention(args, tolltap, other)
    shutil.rmtree(other)
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
