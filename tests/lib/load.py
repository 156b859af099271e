# SPDX-License-Identifier: Apache-2.0
"""Runs tests/load/load and holds its books against the ledger, call by call, while both grow.

A row is right when it says what the books say; it is marked when it says itself that something was
not seen (gaps, basis partial) and claims nothing that the books deny; else it is wrong. A call may be
missing only where a counter says that something was lost."""
import contextlib
import os
import sqlite3
import subprocess
import time

WHOLE = ("ok", "reported_usage")
LEFT = ("aborted", "partial")
# A row without an id is ours unless a program made it that is none of the load's.
QUERY = ("SELECT seq,request_id,outcome,basis,gaps,input_uncached,output_text,pid,started_at_us"
         " FROM events WHERE seq>? AND (request_id IS NOT NULL OR ifnull(comm,'')"
         " NOT IN ('node','curl','python3')) ORDER BY seq")
LOST = ("tolltap_capture_lost_events_total", "tolltap_capture_evicted_entries_total",
        "tolltap_connections_evicted_total", "tolltap_ledger_dropped_total",
        "tolltap_discovery_table_full_total")
COSTS_NO_CALL = ("process_event", "processes", "judgements", "files_of_process")


class Load:
    """with Load(build, folder, seconds, rate) as load: the traffic runs beside."""

    def __init__(self, build, folder, seconds, rate, keeping=2, spawning=2, name="load", env=None):
        self.books = os.path.join(folder, "books")
        self.command = [os.path.join(build, "tests", "load", "load"), self.books, str(seconds),
                        str(rate), str(keeping), str(spawning), name]
        self.process, self.name, self.env = None, name, env

    def __enter__(self):
        open(self.books, "w").close()
        self.process = subprocess.Popen(self.command, env=self.env)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def end(self):
        """After the calls that are under way."""
        self.process.terminate()
        self.wait(20)

    def wait(self, timeout_s):
        assert self.process.wait(timeout_s) == 0, "the load program failed"


class Audit:
    """update() reads what is new on both sides; what matches leaves memory."""

    def __init__(self, books, storage, name="load"):
        self.books, self.prefix = open(books), name + "-"
        self.ledger = "file:%s/ledger.db?mode=ro" % storage
        self.seq = 0
        self.open = {}  # id -> (shape, input, output, whole) without a row yet
        self.early = {}  # id -> row that came before its line was read
        self.calls = self.right = self.marked = self.headless = 0
        self.wrong = []

    def update(self):
        self._read_books()
        with contextlib.closing(sqlite3.connect(self.ledger, uri=True, timeout=20)) as ledger:
            for row in ledger.execute(QUERY, (self.seq,)):
                self.seq = row[0]
                self._take(*row[1:])
        for name in [name for name in self.early if name in self.open]:
            self._judge(name, self.early.pop(name))

    def _read_books(self):
        while True:
            at = self.books.tell()
            line = self.books.readline()
            if not line.endswith("\n"):
                self.books.seek(at)
                return
            self._read_line(*line.split())

    def _read_line(self, name, *line):
        if len(line) == 1:
            return  # when it was over
        shape, tokens_in, tokens_out, whole, _ = line
        self.open[name] = (shape, int(tokens_in), int(tokens_out), whole == "1")
        self.calls += 1

    def _take(self, name, *row):
        if name is None:
            self.headless += 1
            if row[0:2] == WHOLE or row[3] is not None:
                self.wrong.append(("no id", row))
        elif name in self.open:
            self._judge(name, row)
        elif name.startswith(self.prefix):
            self.early[name] = row

    def _judge(self, name, row):
        shape, tokens_in, tokens_out, whole = self.open.pop(name)
        outcome, basis, gaps, row_in, row_out = row[:5]
        exact = (row_in, row_out) == (tokens_in, tokens_out)
        untold = row_in is None and row_out is None
        if (outcome, basis) == (WHOLE if whole else LEFT) and (exact if whole else untold):
            self.right += 1
        elif basis == "partial" and (exact or untold) and (
                outcome == "unknown" or (outcome == "ok" and gaps and whole)):
            self.marked += whole
            self.right += not whole  # that it was cut is true, and nothing else was said
        else:
            self.wrong.append((name, shape, (tokens_in, tokens_out, whole), row))

    @property
    def missing(self):
        """Calls of the books without a row of their id."""
        return len(self.open)

    def settle(self, timeout_s=15):
        """Until every call has its row, or no row has come for 4 s."""
        deadline = time.monotonic() + timeout_s
        last, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            self.update()
            if not self.open and not self.early:
                return
            if self.seq != last:
                last, since = self.seq, time.monotonic()
            elif time.monotonic() - since > 4:
                return
            time.sleep(0.2)

    def check(self, lost):
        """Nothing is wrong, and nothing is missing or marked that no counter tells of."""
        told = sum(costing_calls(lost).values())
        assert not self.wrong, "%d rows are wrong: %s" % (len(self.wrong), self.wrong[:5])
        assert not self.early, "rows of no call in the books: %s" % list(self.early)[:5]
        assert self.missing + self.marked <= told, \
            "%d calls without a row (%s) and %d marked, %d losses counted (%s)" % (
                self.missing, list(self.open.items())[:3], self.marked, told, lost)


def losses(agent):
    """Every counter of something lost, as {name: count}, without the zeros."""
    return {name: float(value) for name, value in agent.metrics().items()
            if name.split("{")[0] in LOST and float(value)}


def costing_calls(lost):
    """Those of losses() that may each cost a call its row or a part of it."""
    return {name: count for name, count in lost.items()
            if not any(label in name for label in COSTS_NO_CALL)}


def busy_loops(count):
    """Programs that want a core each."""
    return [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
