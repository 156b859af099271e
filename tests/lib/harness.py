# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: a running agent, its rows, a test runner that reports one line a
test (`ok NAME`, `FAIL NAME: why`, `skip NAME: why`)."""
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "packaging", "demo"))

# How much slower than a real machine this one is; an emulator's guest says so.
SLOWNESS = float(os.environ.get("TOLLTAP_TEST_SLOWNESS", "1"))
ROW_DELAY_S = 2.0  # a row is visible at most this long after its call ended


class Skip(Exception):
    pass


class Agent:
    """`tolltap run` on a storage directory of its own. Flags are appended as given; prefix is a command
    that starts it, as `setpriv ...`."""

    def __init__(self, build, *flags, storage=None, env=None, prefix=()):
        self.binary = os.path.join(build, "tolltap")
        self.own_storage = storage is None
        self.storage = storage or tempfile.mkdtemp(prefix="tolltap-test.")
        self.flags = list(flags)
        self.prefix = list(prefix)
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.stderr = ""
        self.port = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        if self.own_storage:
            shutil.rmtree(self.storage, ignore_errors=True)

    def start(self, timeout_s=60):
        lines, errors = self.launch()
        line = lines.get(timeout=timeout_s * SLOWNESS)
        if line != "ready":
            self.process.wait(5 * SLOWNESS)
            errors.join(1)
            raise AssertionError("agent said %r instead of ready; stderr: %s" % (line, self.stderr))
        return self

    def launch(self):
        """Starts it and does not wait. Returns the queue of its lines and the reader of its errors."""
        self.port = free_port()
        self.process = subprocess.Popen(
            [*self.prefix, self.binary, "run", "--storage.path=" + self.storage,
             "--web.listen-address=127.0.0.1:%d" % self.port, *self.flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env)
        lines = queue.Queue()
        threading.Thread(target=self._read_stdout, args=(self.process, lines), daemon=True).start()
        errors = threading.Thread(target=self._read_stderr, args=(self.process,), daemon=True)
        errors.start()
        return lines, errors

    def _read_stdout(self, process, lines):
        for line in process.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def _read_stderr(self, process):
        for line in process.stderr:
            self.stderr += line

    def stop(self, how=signal.SIGTERM, timeout_s=10):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout_s * SLOWNESS)
        return self.process.returncode if self.process else None

    def kill(self):
        return self.stop(signal.SIGKILL)

    def status(self):
        with open(os.path.join(self.storage, "status.json")) as f:
            return json.load(f)

    def pid_of(self, process):
        """The pid of one of the agent's processes: supervisor, broker, courier or worker."""
        status = self.status()
        if process == "supervisor":
            return status["pid"]
        return next(p["pid"] for p in status["agent"] if p["process"] == process)

    def pids(self):
        """All processes of the agent, its own children that live for a moment left out."""
        return [self.pid_of(name) for name in ("supervisor", "broker", "courier", "worker")]

    def cpu_s(self):
        """CPU seconds of all of them so far; what ended children used is counted too."""
        total = 0
        for pid in self.pids():
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += sum(int(field) for field in fields[11:15])
        return total / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self, what):
        """VmRSS, VmHWM, RssAnon ... of all of them together."""
        total = 0
        for pid in self.pids():
            with open("/proc/%d/status" % pid) as f:
                total += next(int(line.split()[1]) * 1024 for line in f if line.startswith(what))
        return total

    def signal(self, process, number):
        os.kill(self.pid_of(process), number)

    def command(self, *args, check=True, **kwargs):
        done = subprocess.run([self.binary, *args], text=True, capture_output=True, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError("%s: exit %d: %s" % (args, done.returncode, done.stderr))
        return done

    def rows(self):
        done = self.command("events", "--storage.path=" + self.storage, "--output=json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_rows(self, count, timeout_s=ROW_DELAY_S + 2, where=lambda row: True):
        """Rows that match, once there are `count` of them; fails when they do not come."""
        deadline = time.monotonic() + timeout_s * SLOWNESS
        while True:
            rows = [row for row in self.rows() if where(row)]
            if len(rows) >= count or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert len(rows) == count, "%d rows instead of %d: %s" % (
            len(rows), count, json.dumps(rows)[:2000])
        return rows

    def metrics(self):
        """Metric values by their full name with labels."""
        url = "http://127.0.0.1:%d/metrics" % self.port
        values = {}
        with urllib.request.urlopen(url, timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line and not line.startswith("#"):
                    name, _, value = line.rpartition(" ")
                    values[name] = value
        return values

    def metric_sum(self, family, *labels):
        return sum(float(v) for name, v in self.metrics().items()
                   if name.split("{")[0] == family and all(label in name for label in labels))

    def get(self, path, timeout_s=5):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path),
                                        timeout=timeout_s) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(true, timeout_s, what):
    deadline = time.monotonic() + timeout_s * SLOWNESS
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError("not within %.1f s: %s" % (timeout_s, what))
        time.sleep(0.05)


def main(tests):
    """Runs the functions; argv: BUILD [NAME-PART...]. Each gets the build directory."""
    build = os.path.abspath(sys.argv[1])
    wanted = sys.argv[2:]
    failed = 0
    for test in tests:
        name = test.__name__
        if wanted and not any(part in name for part in wanted):
            continue
        try:
            test(build)
            print("ok %s" % name, flush=True)
        except Skip as e:
            print("skip %s: %s" % (name, e), flush=True)
        except Exception as e:  # a test may fail in any way; the next must still run
            failed += 1
            print("FAIL %s: %s" % (name, e), flush=True)
            traceback.print_exc()
    return 1 if failed else 0
