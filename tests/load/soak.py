#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mixed traffic as fast as it goes, for long: a table over time of what was called, recorded and lost,
and of each process' memory and descriptors. Fails when a row is wrong, when a call is missing that no
counter tells of, or when memory or descriptors grow.

usage: tests/load/soak.py BUILD SECONDS [CALLS_PER_SECOND]     (0, the default: as fast as it goes)
"""
import os
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import Agent
from load import Audit, Load, losses

LINES = 30
KEPT_S = 75  # for a minute processes are remembered (agent/attribution/attribution.h)
SETTLED = 0.25  # of the time, and not before KEPT_S; what is there then may not grow by more than
GROWTH_BYTES = 4 << 20
GROWTH_FDS = 4
PROCESSES = ("supervisor", "broker", "courier", "worker")
HEAD = "%7s %9s %9s %6s %6s %7s %7s" % ("seconds", "calls", "right", "marked", "wrong", "no row",
                                        "lost") + "".join("%16s" % p for p in PROCESSES)


def held_by(pid):
    """(bytes of its own memory, descriptors): the ring is mapped beside."""
    with open("/proc/%d/status" % pid) as f:
        own = next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon"))
    return own, len(os.listdir("/proc/%d/fd" % pid))


def line(seconds, audit, lost, held):
    return "%7d %9d %9d %6d %6d %7d %7d" % (
        seconds, audit.calls, audit.right, audit.marked, len(audit.wrong), audit.missing,
        sum(lost.values())) + "".join("%8.1f MB %4d" % (own / 1e6, fds) for own, fds in held)


def watch(agent, load, audit, seconds):
    """Prints the table; returns what was held at each line."""
    begin, history = time.monotonic(), []
    print(HEAD)
    for n in range(1, LINES + 1):
        while time.monotonic() - begin < n * seconds / LINES:
            audit.update()
            time.sleep(0.2)
        history.append([held_by(agent.pid_of(p)) for p in PROCESSES])
        print(line(time.monotonic() - begin, audit, losses(agent), history[-1]), flush=True)
    load.wait(60)
    audit.settle()
    print(line(time.monotonic() - begin, audit, losses(agent), history[-1]), flush=True)
    return history


def check_flat(history, seconds):
    settled = min(max(SETTLED, KEPT_S / seconds), 1)
    first = history[int((len(history) - 1) * settled)]
    for name, then, now in zip(PROCESSES, first, history[-1]):
        assert now[0] - then[0] < GROWTH_BYTES, "%s grew from %d to %d bytes" % (
            name, then[0], now[0])
        assert now[1] - then[1] <= GROWTH_FDS, "%s had %d descriptors and has %d" % (
            name, then[1], now[1])


def main():
    build, seconds = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else 0
    with tempfile.TemporaryDirectory(prefix="tolltap-soak.") as folder, Agent(build) as agent, Load(
            build, folder, seconds, rate) as load:
        audit = Audit(load.books, agent.storage)
        cpu = agent.cpu_s()
        history = watch(agent, load, audit, seconds)
        lost = losses(agent)
        print("%.0f calls a second; the agent took %.2f of a core; ledger %.0f MB; lost: %s" % (
            audit.calls / seconds, (agent.cpu_s() - cpu) / seconds,
            os.path.getsize(os.path.join(agent.storage, "ledger.db")) / 1e6, lost or "nothing"))
        audit.check(lost)
        check_flat(history, seconds)
        assert all(p["restarts"] == 0 for p in agent.status()["agent"]), "a process was restarted"
    print("ok soak")


if __name__ == "__main__":
    main()
