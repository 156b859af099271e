#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Worker, broker or all of the agent are killed at random moments under load, round after round on
one ledger. What was recorded stays as it was, no call is recorded twice, and the ledger tells of at
least as many lost calls as really have no row.

TOLLTAP_KILL_ROUNDS: how many rounds. TOLLTAP_KILL_SEED: the moments of an earlier run."""
import contextlib
import os
import queue
import random
import signal
import sqlite3
import struct
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import SLOWNESS, Agent, main, wait_until
from load import Audit, Load, costing_calls, losses

ROUNDS = int(os.environ.get("TOLLTAP_KILL_ROUNDS", "6"))
SEED = int(os.environ.get("TOLLTAP_KILL_SEED", str(time.time_ns() % 1000000)))
ROUND_MOST_S = 60
CALLS_PER_SECOND = 200
RUNS_MOST_S = 0.8  # before the next kill
START_S = 4  # of an agent, about
GROUP_ROWS = 500  # exporter/ledger.h: LEDGER_COMMIT_ROWS
WORKER_KILLS_MOST = 3  # of one agent: the supervisor would wait 4, 8, ... s for the next one

# How long ago a call may have ended that a kill loses: the reader's turn, the wait for the group, two
# commits (exporter/ledger.h), and what a busy host adds.
IN_FLIGHT_NS = int((0.1 + 0.25 + 0.65) * SLOWNESS * 1e9)
TAKE_OVER_NS = int(0.5 * SLOWNESS * 1e9)  # after its kill, connections are told to the next worker
UNFRAMED = ("cut", "until-close")  # the connection's end is theirs, and that is looked for later
CLOCKS_NS = 2000000  # how well a row's wall clock tells the books' monotonic one

INFLIGHT = struct.Struct("8s40sqqQ5QqQQ")  # exporter/inflight.h: struct inflight_record
COUNTS = slice(5, 9)  # begun, ended without a row, accepted, dropped
BEAT_BOOT_NS = -2
BOOT_MINUS_MONO_NS = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


def read_inflight(storage):
    with open(os.path.join(storage, "inflight"), "rb") as f:
        return INFLIGHT.unpack(f.read())


class KillAudit(Audit):
    """Knows when a call was under way, and finds the call of a row that has no id: by process and
    time."""

    def __init__(self, books, storage):
        super().__init__(books, storage)
        self.begun, self.ended = {}, {}
        self.nameless = []  # rows without an id whose call is not found yet

    def _read_line(self, name, *line):
        super()._read_line(name, *line)
        if len(line) == 1:
            self.ended[name] = int(line[0])
        else:
            self.begun[name] = int(line[-1])

    def update(self):
        waiting, self.nameless = self.nameless, []
        super().update()
        for row in waiting:
            self._take(None, *row)

    def _take(self, name, *row):
        name = name or self._call_of(*row[-2:])
        if name is None:
            self.nameless.append(row)
        else:
            super()._take(name, *row)

    def _call_of(self, pid, started_at_us):
        at = started_at_us * 1000 - time.time_ns() + time.monotonic_ns()
        for name in self.open:
            if name.startswith("load-%d-" % pid) and \
                    self.begun[name] - CLOCKS_NS < at < self.ended.get(name, at) + CLOCKS_NS:
                return name
        return None

    def without_row(self, until_ns, down):
        """Calls that were over at until_ns and have no row, but for those that were made wholly or
        partly while no agent ran."""
        return {name for name in self.open if self.ended.get(name, until_ns) < until_ns and not any(
            self.begun[name] < up and self.ended[name] > gone for gone, up in down)}


class Kept:
    """Every row the ledger ever showed, to see that it says the same for ever."""
    TABLES = {"calls": "seq", "facets": "id"}

    def __init__(self, storage):
        self.path = "file:%s/ledger.db?mode=ro" % storage
        self.rows = {table: {} for table in self.TABLES}

    def _open(self):
        db = sqlite3.connect(self.path, uri=True, timeout=20, isolation_level=None)
        db.execute("BEGIN")  # all that is read is of one moment
        return contextlib.closing(db)

    def look(self):
        """Takes what is new."""
        with self._open() as db:
            for table, key in self.TABLES.items():
                self.rows[table].update(self._read(db, table, key, max(self.rows[table], default=0)))

    def check(self):
        with self._open() as db:
            for table, key in self.TABLES.items():
                now, known = self._read(db, table, key, 0), self.rows[table]
                changed = [n for n, row in known.items() if now.get(n) != row]
                assert not changed, "%s: lost or changed: %s" % (table, changed[:5])
                self.rows[table] = now
            self._check_sound(db)

    def _read(self, db, table, key, after):
        return {row[0]: hash(row) for row in db.execute(
            "SELECT * FROM %s WHERE %s>?" % (table, key), (after,))}

    def _check_sound(self, db):
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows, ids, named, names = db.execute(
            "SELECT count(*),count(DISTINCT event_id),count(request_id),count(DISTINCT request_id)"
            " FROM calls").fetchone()
        assert rows == ids and named == names, "twice: %d rows, %d ids; %d named, %d names" % (
            rows, ids, named, names)
        summed = db.execute("SELECT ifnull(sum(calls),0) FROM rollup").fetchone()[0]
        assert summed == rows, "%d rows, %d in the roll-up" % (rows, summed)

    def lost(self):
        """What the ledger says was lost: calls, of them rows, and seconds without an agent."""
        with self._open() as db:
            return db.execute("SELECT ifnull(sum(calls),0),ifnull(sum(rows),0),"
                              "ifnull(sum(unmetered_seconds),0) FROM losses").fetchone()


class Killer:
    """Ends processes of the agent. Each kind tells when the first was killed, when the last, and when
    all ran again."""

    def __init__(self, agent, rng):
        self.agent = agent
        self.rng = rng
        self.down = []  # (from, to): no agent ran
        self.worker_kills = 0  # of this agent
        self.kinds = [self.broker, self.both, self.broker_under_the_next_worker, self.all,
                      self.all_and_the_next_while_it_starts]
        self.counts = {}
        self.last = None  # the kind

    def kill(self):
        kinds = list(self.kinds)
        if self.worker_kills < WORKER_KILLS_MOST:
            kinds += [self.worker] * 8
        if self.worker_kills < WORKER_KILLS_MOST - 1:
            kinds += [self.worker_and_the_next] * 4
        kind = self.rng.choice(kinds)
        self.last = kind.__name__
        self.counts[self.last] = self.counts.get(self.last, 0) + 1
        return kind()

    def worker(self):
        killed = time.monotonic_ns()
        pid = self.agent.pid_of("worker")
        os.kill(pid, signal.SIGKILL)
        self.worker_kills += 1
        wait_until(lambda: self.agent.pid_of("worker") not in (0, pid), 20, "a new worker")
        return killed, killed, time.monotonic_ns()

    def worker_and_the_next(self):
        first, _, _ = self.worker()
        time.sleep(self.rng.uniform(0, 0.3))
        return first, *self.worker()[1:]

    def broker(self):
        """The worker ends in order: what was over before is recorded or told."""
        killed = self._end_agent("broker")
        return self._start_agent(killed, self._last_sign_of_life(killed))

    def both(self):
        killed = self._end_agent(*self.rng.sample(["broker", "worker"], 2))
        return self._start_agent(killed, self._last_sign_of_life(killed))

    def broker_under_the_next_worker(self):
        """Which is about to take over: it may have read nothing yet of what the ring kept."""
        killed = time.monotonic_ns()
        os.kill(self.agent.pid_of("worker"), signal.SIGKILL)
        time.sleep(self.rng.uniform(0, 0.3))
        last = self._end_agent("broker")
        _, _, back = self._start_agent(killed, self._last_sign_of_life(killed))
        return killed, last, back

    def all(self):
        killed = self._end_agent("supervisor")
        return self._start_agent(killed, self._last_sign_of_life(killed))

    def all_and_the_next_while_it_starts(self):
        killed = self._end_agent("supervisor")
        gone = self._last_sign_of_life(killed)
        said, _ = self.agent.launch()
        with contextlib.suppress(queue.Empty):
            said.get(timeout=self.rng.uniform(0, START_S))  # that it is ready: it meters from now on
        self.agent.kill()
        return self._start_agent(killed, gone)

    def spans(self, kill_ns):
        return "no agent ran " + ", ".join("from %+.3f to %+.3f s" % (
            (gone - kill_ns) / 1e9, (back - kill_ns) / 1e9) for gone, back in self.down[-2:])

    def _end_agent(self, *names):
        pids = [self.agent.pid_of(name) for name in names]
        killed = time.monotonic_ns()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert self.agent.process.wait(20) != 0
        return killed

    def _last_sign_of_life(self, killed):
        """The ring ends with the agent: what had not been read when it last said so is not told by
        number, but as time that was not metered."""
        beat = read_inflight(self.agent.storage)[BEAT_BOOT_NS] - BOOT_MINUS_MONO_NS
        assert killed - IN_FLIGHT_NS < beat, "no sign of life for %d ms" % ((killed - beat) // 10**6)
        return beat

    def _start_agent(self, killed, gone):
        self.agent.start()
        back = time.monotonic_ns()
        self.worker_kills = 0
        self.down.append((gone, back))
        return killed, killed, back


class World:
    """One load and what became of it, on a ledger that may hold more (kept)."""

    def __init__(self, agent, load, rng, kept):
        self.agent = agent
        self.rng = rng
        self.killer = Killer(agent, rng)
        self.kept = kept
        self.audit = KillAudit(load.books, agent.storage)
        self.audit.seq = max(kept.rows["calls"], default=0)
        self.rows_before = len(kept.rows["calls"])
        self.told_before, _, _ = self.told, self.told_rows, self.told_s = kept.lost()
        self.lost = set()  # calls without a row
        self.counted = {}  # by this agent: what the kernel lost

    def one_round(self):
        time.sleep(self.rng.uniform(0, RUNS_MOST_S))
        self.kept.look()
        first, last, back = self.killer.kill()
        if any(back == up for _, up in self.killer.down):
            self.counted = {}  # another agent counts
        self.kept.check()
        self.check_told(first, last, back)

    def missing(self, until_ns):
        self.audit.update()
        return self.audit.without_row(until_ns, self.killer.down) - self.lost

    def to_tell(self, until_ns):
        """How many calls without a row have to be told. What only the end of its connection or
        process ends may still be under way, when the agent counts it so: it saw no end yet."""
        begun, *ended = read_inflight(self.agent.storage)[COUNTS]
        missing = self.missing(until_ns)
        unframed = sum(self.audit.open[name][0] in UNFRAMED for name in missing)
        return len(missing) - min(unframed, max(0, begun - sum(ended)))

    def check_told(self, first_kill_ns, last_kill_ns, back_ns):
        """Of the calls that were over when all ran again, each has its row or is told to be lost."""
        told, told_rows, told_s = self.kept.lost()
        counted = costing_calls(losses(self.agent))
        most = told - self.told + self.newly(counted)
        try:
            wait_until(lambda: self.to_tell(back_ns) <= most, 5, "rows")
        except AssertionError as e:
            missing = self.missing(back_ns)
            raise AssertionError("%s: %d calls have no row, %d are told (%s); %s; %s" % (
                self.killer.last, len(missing), most, counted, self.describe(
                    missing, first_kill_ns), self.killer.spans(first_kill_ns))) from e
        missing = self.missing(back_ns)
        self.check_in_flight(missing, first_kill_ns, last_kill_ns)
        kills = 1 + (last_kill_ns > first_kill_ns)
        assert told_rows - self.told_rows <= kills * GROUP_ROWS, told_rows - self.told_rows
        assert self.agent.metric_sum("tolltap_calls_lost_total") == told
        self.check_down(told_s - self.told_s, back_ns)
        self.lost |= missing
        self.told, self.told_rows, self.told_s = told, told_rows, told_s
        self.counted = counted

    def newly(self, counted):
        """Of counters that begin anew with their process."""
        return sum(count - self.counted.get(name, 0) if count >= self.counted.get(name, 0) else count
                   for name, count in counted.items())

    def check_in_flight(self, missing, first_kill_ns, last_kill_ns):
        early = [name for name in missing if self.audit.open[name][0] not in UNFRAMED and not (
            self.audit.ended[name] > first_kill_ns - IN_FLIGHT_NS and
            self.audit.begun[name] < last_kill_ns + TAKE_OVER_NS)]
        assert not early, "lost, but not in flight: " + self.describe(early, first_kill_ns)

    def check_down(self, told_s, back_ns):
        """Seconds without an agent are told, each start and the last sign of life rounded up."""
        down_s = sum((back - gone) / 1e9 for gone, back in self.killer.down if back == back_ns)
        assert down_s - 0.5 < told_s < down_s + 4, "%s: %.1f s without an agent, %d are told" % (
            self.killer.last, down_s, told_s)

    def describe(self, names, kill_ns):
        return ", ".join("%s %s from %+.3f to %+.3f s of the kill" % (
            name, self.audit.open[name][0], (self.audit.begun[name] - kill_ns) / 1e9,
            (self.audit.ended[name] - kill_ns) / 1e9) for name in sorted(
                names, key=self.audit.begun.get, reverse=True)[:20])

    def check_end(self):
        """After an orderly stop: nothing that was told is told too little, and no row is wrong."""
        self.kept.check()
        lost = self.audit.without_row(time.monotonic_ns(), self.killer.down)
        assert lost <= self.lost, "lost by a stop: " + self.describe(lost - self.lost, 0)
        told = self.told - self.told_before
        assert len(lost) <= told, "%d lost, %d told" % (len(lost), told)
        assert not self.audit.wrong, "%d rows are wrong: %s" % (
            len(self.audit.wrong), self.audit.wrong[:5])
        assert not self.audit.nameless and not self.audit.early, "rows of no call: %s %s" % (
            self.audit.nameless[:5], list(self.audit.early)[:5])
        print("= %d calls: %d rows, %d of them marked; %d lost, %d told; %d without an agent" % (
            self.audit.calls, len(self.kept.rows["calls"]) - self.rows_before, self.audit.marked,
            len(lost), told, self.audit.missing - len(lost)))
        print("= killed: " + ", ".join("%s %d" % kind for kind in self.killer.counts.items()))


def killed_at_random_moments(build):
    print("= %d rounds of kill -9, seed %d" % (ROUNDS, SEED), flush=True)
    with tempfile.TemporaryDirectory(prefix="tolltap-kill.") as folder, Agent(build) as agent, Load(
            build, folder, ROUNDS * ROUND_MOST_S, CALLS_PER_SECOND) as load:
        world = World(agent, load, random.Random(SEED), Kept(agent.storage))
        for n in range(ROUNDS):
            world.one_round()
            if n % 50 == 49:
                print("= after %d rounds: %d calls, %d lost" % (
                    n + 1, world.audit.calls, len(world.lost)), flush=True)
        load.end()
        assert agent.stop() == 0
        world.audit.update()
        world.check_end()


if __name__ == "__main__":
    sys.exit(main([killed_at_random_moments]))
