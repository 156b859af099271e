#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls with the default ring: at a rate each has its right row, beyond it nothing is told wrong."""
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import Agent, main
from load import Audit, Load, busy_loops, losses

SECONDS = 10
CALLS_PER_SECOND = 1000


def run(build, loops, *flags, rate=0):
    """(audit, losses) after SECONDS of traffic beside that many busy loops."""
    with tempfile.TemporaryDirectory(prefix="tolltap-load.") as folder, Agent(
            build, *flags) as agent, Load(build, folder, SECONDS, rate) as load:
        busy = busy_loops(loops)
        try:
            load.wait(SECONDS + 60)
        finally:
            for program in busy:
                program.kill()
                program.wait()
        audit = Audit(load.books, agent.storage)
        audit.settle()
        lost = losses(agent)
    print("%d calls, %d right, %d marked, %d missing, %d wrong; lost: %s" % (
        audit.calls, audit.right, audit.marked, audit.missing, len(audit.wrong), lost or "nothing"))
    assert audit.calls > 100 * SECONDS, "%d calls are no load" % audit.calls
    return audit, lost


def full_speed(build):
    """However fast that is: what the reader could not follow is told."""
    audit, lost = run(build, loops=0)
    audit.check(lost)


def a_busy_host(build):
    """Two busy loops on every core want all of it; the reader still gets its turn in time."""
    audit, lost = run(build, loops=2 * os.cpu_count(), rate=CALLS_PER_SECOND)
    audit.check(lost)
    assert audit.right == audit.calls, "calls were lost: %s" % lost


def losses_are_counted_and_marked(build):
    """A ring that holds a few calls only: much is lost, and nothing is told wrong."""
    audit, lost = run(build, 0, "--capture.ring-bytes=%d" % (256 << 10))
    assert any("ring_full" in name for name in lost), "the ring was never full: %s" % lost
    assert audit.missing + audit.marked, "records were lost and no call of them: %s" % lost
    audit.check(lost)


if __name__ == "__main__":
    sys.exit(main([full_speed, a_busy_host, losses_are_counted_and_marked]))
