#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong under the state directory: each fault has one behaviour, one message and a way back,
and no row that was recorded is lost or changed (docs/ledger.md, "What happens when")."""
import contextlib
import glob
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, Skip, main, wait_until
from provider import Provider

EXIT_STORAGE = 6
PAGE_BYTES = 4096


# ---- places and files ----------------------------------------------------------------------------

def mount(*args):
    done = subprocess.run(["mount", *args], capture_output=True, text=True)
    if done.returncode != 0:
        raise Skip("cannot mount here: " + done.stderr.strip())


@contextlib.contextmanager
def mounted(*args):
    """A mount point of its own; a storage directory below it is nobody else's."""
    with tempfile.TemporaryDirectory(prefix="tolltap-fault.") as point:
        os.chmod(point, 0o755)
        mount(*args, point)
        try:
            os.chmod(point, 0o755)
            yield point
        finally:
            subprocess.run(["umount", "-l", point], check=True)


def small_disk():
    return mounted("-t", "tmpfs", "-o", "size=2m,mode=0755", "none")


@contextlib.contextmanager
def disk_that_fails():
    """An ext4 of its own: with `remount,abort` it does what it does on an error of its disk. Gives its
    mount point and what mends it."""
    with tempfile.NamedTemporaryFile(prefix="tolltap-fault.") as image:
        image.truncate(16 << 20)
        try:
            subprocess.run(["mkfs.ext4", "-q", image.name], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as e:
            raise Skip("no ext4 can be made here: %s" % e) from e
        with mounted("-o", "loop", image.name) as point:
            def mend():
                subprocess.run(["umount", point], check=True)
                subprocess.run(["fsck.ext4", "-p", image.name], capture_output=True)
                mount("-o", "loop", image.name, point)
            yield point, mend


def fill_disk(point):
    with contextlib.suppress(OSError), open(os.path.join(point, "filler"), "wb", 0) as f:
        while True:
            f.write(bytes(PAGE_BYTES))


def ledger(agent, suffix=""):
    return os.path.join(agent.storage, "ledger.db" + suffix)


def damage(agent, table, which):
    """Overwrites one page of a table or index: the content, as a bad disk would."""
    with contextlib.closing(sqlite3.connect(ledger(agent))) as db:
        pages = [page for page, in db.execute(
            "SELECT pageno FROM dbstat WHERE name=? AND pagetype='leaf' ORDER BY path", (table,))]
    with open(ledger(agent), "r+b") as f:
        f.seek((pages[which] - 1) * PAGE_BYTES)
        f.write(bytes(i * 37 % 251 for i in range(PAGE_BYTES - 200)))


def sql(agent, statement):
    with contextlib.closing(sqlite3.connect(ledger(agent), timeout=5)) as db, db:
        return db.execute(statement).fetchall()


# ---- what is checked everywhere ------------------------------------------------------------------

def told(agent, text):
    return [line for line in agent.stderr.splitlines() if text in line]


def check_told_once(agent, *texts):
    lines = [line for line in agent.stderr.splitlines() if all(text in line for text in texts)]
    assert len(lines) == 1, "%d lines with %r: %s" % (len(lines), texts, agent.stderr)


def check_refused(build, storage, *texts):
    """A start that is refused: its exit status, and one line that says what to do."""
    agent = Agent(build, storage=storage)
    done = agent.command("run", "--storage.path=" + storage, "--web.listen-address=127.0.0.1:0",
                         check=False, timeout=60)
    assert done.returncode == EXIT_STORAGE, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(text in done.stderr for text in texts), done.stderr


def check_kept(before, after):
    """Every row of before is among those of after, and says the same."""
    now = {row["event_id"]: row for row in after}
    assert len(now) == len(after), "an event id came twice"
    for row in before:
        assert now.get(row["event_id"]) == row, "lost or changed: %s, now %s" % (
            row, now.get(row["event_id"]))


def calls(provider, count):
    clients.python(provider, "--repeat", str(count))


def is_ready(agent):
    return agent.get("/readyz")[0] == 200


def losses(agent):
    return dict(sql(agent, "SELECT reason,sum(calls) FROM losses GROUP BY reason"))


# ---- the tests -----------------------------------------------------------------------------------

def a_full_disk_delays_rows(build):
    """What comes meanwhile waits in memory; when there is room it is written, and nothing is lost."""
    with small_disk() as disk, Provider() as provider, \
            Agent(build, storage=disk + "/state") as agent:
        calls(provider, 3)
        before = agent.wait_rows(3)
        fill_disk(disk)
        for _ in range(40):
            calls(provider, 5)
            if not is_ready(agent):
                break
        wait_until(lambda: not is_ready(agent), 3, "not ready")
        made = len(provider.truth_rows())
        assert agent.metric_sum("tolltap_requests_total") == made
        check_kept(before, agent.rows())
        assert len(agent.rows()) < made
        os.remove(os.path.join(disk, "filler"))
        wait_until(lambda: is_ready(agent), 5, "ready again")
        check_kept(before, clients.check_books(agent, provider, made))
        check_told_once(agent, "cannot write", "No space left", "free space on its disk")
        check_told_once(agent, "accepts rows again")
        assert len(told(agent, "status.json not written")) <= 1, agent.stderr
        assert agent.stop() == 0
        assert not losses(agent), losses(agent)


def a_disk_that_cannot_be_written_at_the_start(build):
    """Full, then mounted read-only: refused, readable, and usable as it is afterwards."""
    with small_disk() as disk, Provider() as provider:
        with Agent(build, storage=disk + "/state") as agent:
            calls(provider, 2)
            before = agent.wait_rows(2)
        fill_disk(disk)
        check_refused(build, agent.storage, "No space left", "free space on its disk")
        os.remove(os.path.join(disk, "filler"))
        mount("-o", "remount,ro", disk)
        check_refused(build, agent.storage, "Read-only file system", "mount it writable")
        check_kept(before, agent.rows())
        mount("-o", "remount,rw", disk)
        with Agent(build, storage=agent.storage) as agent:
            calls(provider, 1)
            check_kept(before, clients.check_books(agent, provider, 3))


def a_disk_that_turns_read_only(build):
    """As ext4 does on an error of its disk. What waits is lost when the agent ends, and the next
    start says since when."""
    with disk_that_fails() as (disk, mend), Provider() as provider:
        with Agent(build, storage=disk + "/state") as agent:
            calls(provider, 3)
            before = agent.wait_rows(3)
            subprocess.run(["mount", "-o", "remount,abort", disk], capture_output=True)
            calls(provider, 2)
            wait_until(lambda: not is_ready(agent), 5, "not ready")
            assert agent.metric_sum("tolltap_requests_total") == 5
            check_kept(before, agent.rows())
            agent.stop()
            lines = told(agent, "Read-only file system")
            assert len([line for line in lines if "mount it writable" in line and
                        "calls wait in memory" in line]) == 1, agent.stderr
            assert len([line for line in lines if "the last calls are lost" in line]) == 1, \
                agent.stderr
            mend()
            agent.start()
            check_kept(before, agent.rows())
            assert sum(sql(agent, "SELECT sum(unmetered_seconds) FROM losses")[0]) > 0
            calls(provider, 1)
            agent.wait_rows(4)


def a_damaged_page_at_the_start(build):
    """What can be read is kept as it was, what cannot is counted, the damaged file stays."""
    with Provider() as provider, Agent(build) as agent:
        calls(provider, 60)
        before = agent.wait_rows(60, 10)
        assert agent.stop() == 0
        owner = os.stat(ledger(agent)).st_uid
        damage(agent, "calls", 1)
        agent.start()
        check_told_once(agent, "was damaged", "could not be read", "the damaged file stays as")
        after = agent.rows()
        check_kept(after, before)
        lost = losses(agent)
        assert 0 < len(after) < 60 and lost == {"ledger_damaged": 60 - len(after)}, lost
        calls(provider, 1)
        assert len(agent.wait_rows(len(after) + 1)) == len(after) + 1
        aside = glob.glob(ledger(agent, ".damaged-*"))
        assert len(aside) >= 1 and not os.path.exists(ledger(agent, ".salvaged"))
        assert {os.stat(path).st_uid for path in glob.glob(ledger(agent, "*"))} == {owner}
        doctor = agent.command("doctor", "--storage.path=" + agent.storage, check=False).stdout
        assert "%d calls lost" % (60 - len(after)) in doctor, doctor
        assert "ledger.db.damaged-" in doctor, doctor


def a_damaged_page_while_running(build):
    """The sealed worker sets the damaged file aside and goes on; no call that comes is lost."""
    with Provider() as provider, Agent(build) as agent:
        calls(provider, 60)
        before = agent.wait_rows(60, 10)
        worker = agent.pid_of("worker")
        # Another's commit makes the writer read its pages anew.
        sql(agent, "REPLACE INTO meta VALUES('touched',1)")
        sql(agent, "PRAGMA wal_checkpoint(TRUNCATE)")
        damage(agent, "calls", -1)
        calls(provider, 20)
        wait_until(lambda: told(agent, "was damaged"), 5, "a salvage")
        lost = losses(agent)["ledger_damaged"]
        after = agent.wait_rows(80 - lost)
        check_kept([row for row in before if row in after], after)
        assert 60 - lost == len([row for row in before if row in after]), lost
        check_told_once(agent, "was damaged", "%d could not be read" % lost)
        assert not told(agent, "cannot write"), agent.stderr
        assert is_ready(agent) and agent.pid_of("worker") == worker
        assert agent.stop() == 0


def a_log_left_behind_is_read(build):
    """kill -9 of all: the rows are in the log only. Readers and the next start find them, also when
    the index of the log is gone."""
    with Provider() as provider, Agent(build) as agent:
        total = 0
        for without_index in (False, True):
            calls(provider, 5)
            total += 5
            before = agent.wait_rows(total)
            agent.kill()
            assert os.path.getsize(ledger(agent, "-wal")) > 0
            if without_index:
                os.remove(ledger(agent, "-shm"))
            check_kept(before, agent.rows())
            agent.start()
            check_kept(before, agent.rows())
        calls(provider, 1)
        clients.check_books(agent, provider, total + 1)
        assert not any(losses(agent).values()), losses(agent)


def a_second_agent_is_refused(build):
    with Provider() as provider, Agent(build) as agent:
        check_refused(build, agent.storage, "another agent (pid %d)" % agent.process.pid,
                      "stop it, or choose another --storage.path")
        calls(provider, 2)
        clients.check_books(agent, provider, 2)


def a_removed_ledger_is_told(build):
    """Moved away and back: nothing is lost. Removed for good: a restart begins a new one, and says
    that the old is not there."""
    with Provider() as provider, Agent(build) as agent:
        calls(provider, 2)
        before = agent.wait_rows(2)
        os.rename(ledger(agent), ledger(agent, ".elsewhere"))
        calls(provider, 2)
        wait_until(lambda: not is_ready(agent), 3, "not ready")
        check_told_once(agent, "it was removed, moved or replaced; put it back, or restart")
        assert not os.path.exists(ledger(agent))
        os.rename(ledger(agent, ".elsewhere"), ledger(agent))
        wait_until(lambda: is_ready(agent), 3, "ready again")
        check_kept(before, clients.check_books(agent, provider, 4))
        os.remove(ledger(agent))
        calls(provider, 1)
        wait_until(lambda: not is_ready(agent), 3, "not ready")
        agent.stop()
        agent.start()
        assert "ledger_replaced" in losses(agent), losses(agent)
        check_told_once(agent, "the last run ended as ledger_replaced")
        calls(provider, 1)
        agent.wait_rows(1)


def a_removed_log_is_told(build):
    """What was committed is written into the ledger at the end; what waits is lost, and counted."""
    with Provider() as provider, Agent(build) as agent:
        calls(provider, 3)
        before = agent.wait_rows(3)
        os.remove(ledger(agent, "-wal"))
        calls(provider, 2)
        wait_until(lambda: not is_ready(agent), 3, "not ready")
        check_told_once(agent, "it was removed, moved or replaced; put it back, or restart")
        agent.stop()
        agent.start()
        check_kept(before, agent.rows())
        assert losses(agent) == {"not_written": 2}, losses(agent)
        calls(provider, 1)
        check_kept(before, agent.wait_rows(4))


if __name__ == "__main__":
    sys.exit(main([
        a_full_disk_delays_rows, a_disk_that_cannot_be_written_at_the_start,
        a_disk_that_turns_read_only, a_damaged_page_at_the_start, a_damaged_page_while_running,
        a_log_left_behind_is_read, a_second_agent_is_refused, a_removed_ledger_is_told, a_removed_log_is_told]))
