#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The courier: rows get the names of containers from an engine, and no row is lost to a courier
that hangs or is killed. The engine is a socket of our own; the containers are cgroups whose path is
one of Docker's."""
import contextlib
import grp
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import ROW_DELAY_S, Agent, Skip, main, wait_until
from provider import Provider


class Engine:
    """A container engine: answers the list of containers by the filter's id, at self.path."""

    def __init__(self, mode=0o666, group=None):
        self.directory = tempfile.TemporaryDirectory(prefix="tolltap-engine.")
        os.chmod(self.directory.name, 0o755)
        self.path = os.path.join(self.directory.name, "engine.sock")
        self.names = {}
        self.labels = {}
        self.peers = []  # pid, uid of whoever asked
        self.hang = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, mode)
        if group is not None:
            os.chown(self.path, 0, group)
        self.listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection, contextlib.suppress(OSError):
            pid, uid, _ = struct.unpack("3i", connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            self.peers.append((pid, uid))
            request = b""
            while b"\r\n\r\n" not in request:
                piece = connection.recv(4096)
                if not piece:
                    return
                request += piece
            query = urllib.parse.urlsplit(request.split()[1].decode()).query
            wanted = json.loads(urllib.parse.parse_qs(query)["filters"][0])["id"]
            if self.hang.is_set():
                connection.recv(1)  # until the other end gives up
                return
            found = [{"Id": i, "Names": ["/" + self.names[i]], "Image": "app:1",
                      "Labels": self.labels.get(i, {})} for i in wanted if i in self.names]
            body = json.dumps(found).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (
                len(body), body))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.directory.cleanup()


def cgroup2_mount():
    with open("/proc/mounts") as mounts:
        for line in mounts:
            _, where, kind, *_ = line.split()
            if kind == "cgroup2":
                return where
    raise Skip("no cgroup2 mount")


class Container:
    """A cgroup as Docker makes it, and a curl that runs in it (self.curl)."""

    def __init__(self, parent="docker"):
        self.id = secrets.token_hex(32)
        self.parent = os.path.join(cgroup2_mount(), parent)
        self.made, folder = [], self.parent  # the innermost first
        while not os.path.isdir(folder):
            self.made.append(folder)
            folder = os.path.dirname(folder)
        self.cgroup = os.path.join(self.parent, self.id)
        self.directory = tempfile.TemporaryDirectory(prefix="tolltap-container.")
        self.curl = os.path.join(self.directory.name, "curl")
        with open(self.curl, "w") as script:
            script.write("#!/bin/sh\necho $$ > %s/cgroup.procs || exit 99\nexec curl \"$@\"\n"
                         % self.cgroup)
        os.chmod(self.curl, 0o755)

    def __enter__(self):
        try:
            os.makedirs(self.cgroup, exist_ok=True)
        except OSError as e:
            raise Skip("no cgroup can be made: %s" % e)
        return self

    def __exit__(self, *_):
        def removed():
            with contextlib.suppress(OSError):
                os.rmdir(self.cgroup)
            return not os.path.exists(self.cgroup)
        wait_until(removed, 5, "the end of cgroup " + self.cgroup)
        for folder in self.made:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        self.directory.cleanup()


def of(container):
    return lambda row: row["workload"].get("container_id") == container.id


def name(row):
    """The name of the row's container, or None."""
    return row["workload"].get("container")


def courier(agent):
    return agent.pid_of("courier")


def rows_have_the_names_of_their_containers(build):
    with Engine() as engine, Container() as web, Container() as nameless, Provider() as provider:
        engine.names[web.id] = "web-é"
        with Agent(build, "--container.socket=" + engine.path) as agent:
            for stream in (False, True):
                clients.curl(provider, binary=web.curl, stream=stream)
                clients.curl(provider, binary=nameless.curl, stream=stream)
            clients.curl(provider)
            rows = clients.check_books(agent, provider, 5)
            assert {name(r) for r in rows if of(web)(r)} == {"web-é"}, rows
            assert [name(r) for r in rows if of(nameless)(r)] == [None, None], rows
            assert {of(web)(r) + 2 * of(nameless)(r) for r in rows} == {0, 1, 2}
            assert agent.metric_sum("tolltap_container_lookups_total", 'result="found"') == 1
            assert agent.metric_sum("tolltap_container_lookups_total", 'result="unknown"') >= 1
            spend = agent.command("spend", "--storage.path=" + agent.storage, "--by=container",
                                  "--output=json").stdout
            assert "web-é" in spend or "web-\\u00e9" in spend, spend
            # Whoever asked was the courier and no other process of the agent.
            assert {pid for pid, _ in engine.peers} == {courier(agent)}, engine.peers


def a_container_that_is_gone_is_known(build):
    """The worker sleeps from before a container is made until nothing of it is left."""
    with Provider() as provider, Agent(build) as agent:
        gone = []
        for _ in range(2):
            agent.signal("worker", signal.SIGSTOP)
            try:
                with Container() as container:
                    clients.curl(provider, binary=container.curl)
                gone.append(container.id)
            finally:
                agent.signal("worker", signal.SIGCONT)
            rows = clients.check_books(agent, provider, len(gone))
            assert {r["workload"].get("container_id") for r in rows} == set(gone), rows
            assert {r["workload"]["cgroup"] for r in rows} == {"/docker/" + i for i in gone}, rows


def an_engine_that_hangs_delays_rows_and_loses_none(build):
    with Engine() as engine, Container() as web, Provider() as provider:
        engine.names[web.id] = "web"
        engine.hang.set()
        with Agent(build, "--container.socket=" + engine.path) as agent:
            in_time(agent, provider, web, 5)
            assert agent.metric_sum("tolltap_container_waited_calls_total", 'end="late"') >= 1


def in_time(agent, provider, container, count):
    """Makes `count` calls in the container; each is a row within ROW_DELAY_S, with its id alone."""
    for n in range(1, count + 1):
        clients.curl(provider, binary=container.curl)
        rows = agent.wait_rows(n, ROW_DELAY_S, of(container))
        assert all(name(r) is None for r in rows), rows


def a_stopped_courier_delays_rows_and_loses_none(build):
    with Engine() as engine, Container() as web, Container() as later, Provider() as provider:
        engine.names.update({web.id: "web", later.id: "later"})
        with Agent(build, "--container.socket=" + engine.path) as agent:
            os.kill(courier(agent), signal.SIGSTOP)
            try:
                in_time(agent, provider, web, 3)
                # At once and from many: more than one waits at a time.
                threads = [threading.Thread(target=clients.curl, args=(provider,),
                                            kwargs={"binary": web.curl}) for _ in range(12)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                agent.wait_rows(15, ROW_DELAY_S, of(web))
            finally:
                os.kill(courier(agent), signal.SIGCONT)
            # It goes on: what it answers too late is dropped, what it is asked now is answered.
            clients.curl(provider, binary=later.curl)
            row = agent.wait_rows(1, where=of(later))[0]
            assert name(row) == "later", row
            clients.check_books(agent, provider, 16)


def a_courier_killed_again_and_again_costs_no_row(build):
    stop = threading.Event()
    calls = []

    def load(provider, container):
        while not stop.is_set():
            clients.curl(provider, binary=container.curl)
            calls.append(container.id)

    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(Engine())
        containers = [stack.enter_context(Container()) for _ in range(4)]
        last = stack.enter_context(Container())
        provider = stack.enter_context(Provider())
        engine.names.update({c.id: "c%d" % n for n, c in enumerate(containers)})
        engine.names[last.id] = "last"
        agent = stack.enter_context(Agent(build, "--container.socket=" + engine.path))
        threads = [threading.Thread(target=load, args=(provider, c)) for c in containers[:3]]
        for thread in threads:
            thread.start()
        killed = 0
        while killed < 4:
            pid = courier(agent)
            if pid and alive(pid):
                os.kill(pid, signal.SIGKILL)
                killed += 1
            time.sleep(1.1)
        clients.curl(provider, binary=containers[3].curl)
        stop.set()
        for thread in threads:
            thread.join()
        rows = clients.check_books(agent, provider, len(calls) + 1, timeout_s=10)
        ids = {r["workload"].get("container_id") for r in rows}
        assert ids == {c.id for c in containers}, ids
        # A new one is there in the end, and names come again.
        wait_until(lambda: alive(courier(agent)), 40, "another courier")
        clients.curl(provider, binary=last.curl)
        row = agent.wait_rows(1, where=of(last))[0]
        assert name(row) == "last", row
        assert "courier was ended by signal 9" in agent.stderr, agent.stderr


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def a_closed_engine_is_told_and_a_group_opens_it(build):
    group = grp.getgrnam("daemon")
    with Engine(mode=0o660, group=group.gr_gid) as engine, Container() as web, \
            Provider() as provider:
        engine.names[web.id] = "web"
        socket_flag = "--container.socket=" + engine.path
        with Agent(build, socket_flag) as agent:
            clients.curl(provider, binary=web.curl)
            row = agent.wait_rows(1, where=of(web))[0]
            assert name(row) is None, row
            assert "may not open " + engine.path in agent.stderr, agent.stderr
            assert "--courier.group" in agent.stderr, agent.stderr
            wait_until(lambda: "may not open " + engine.path in agent.command(
                "doctor", "--storage.path=" + agent.storage, check=False).stdout, 3,
                       "doctor's line on the socket")
        assert not engine.peers, engine.peers
        with Agent(build, socket_flag, "--courier.group=daemon") as agent:
            clients.curl(provider, binary=web.curl)
            row = agent.wait_rows(1, where=of(web))[0]
            assert name(row) == "web", row
            assert all(uid != 0 for _, uid in engine.peers), engine.peers
    refused = subprocess.run([os.path.join(build, "tolltap"), "run", "--courier.group=nosuchgroup",
                              "--storage.path=/nonexistent/tolltap"], text=True,
                             capture_output=True)
    assert refused.returncode == 3 and "nosuchgroup" in refused.stderr, refused


def none_asks_nobody(build):
    with Container() as web, Provider() as provider, Agent(
            build, "--container.socket=none") as agent:
        clients.curl(provider, binary=web.curl)
        row = agent.wait_rows(1, ROW_DELAY_S, of(web))[0]
        assert name(row) is None, row


# ---- what goes out --------------------------------------------------------------------------------

def sockets_of(pid):
    """Inodes of the sockets a process holds."""
    inodes = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(OSError):
            target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    return inodes


def table(kind):
    """Rows of /proc/net/KIND as lists of fields; the table may be missing."""
    with contextlib.suppress(FileNotFoundError), open("/proc/net/" + kind) as f:
        return [line.split() for line in f.readlines()[1:]]
    return []


INODE = {"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "raw": 9, "raw6": 9, "packet": 8}
LISTEN = "0A"


def outbound(agent, pids):
    """Sockets that could send something out, of these processes of the agent: kind, pid, fields."""
    found = []
    held = {pid: sockets_of(pid) for pid in pids}
    for kind, column in INODE.items():
        for fields in table(kind):
            for pid, inodes in held.items():
                if len(fields) <= column or fields[column] not in inodes:
                    continue
                served = kind.startswith("tcp") and int(
                    fields[1].rsplit(":", 1)[1], 16) == agent.port
                if not served:
                    found.append((kind, pid, fields))
    return found


def a_run_without_sinks_sends_nothing_out(build):
    """Sampled all the time while calls are metered, names looked up and metrics scraped."""
    with Engine() as engine, Container() as web, Provider() as provider, Agent(
            build, "--container.socket=" + engine.path) as agent:
        engine.names[web.id] = "web"
        pids, found, samples, calls = agent.pids(), [], [0], 0
        stop = threading.Event()

        def sample():
            while not stop.is_set():
                found.extend(outbound(agent, pids))
                samples[0] += 1

        thread = threading.Thread(target=sample)
        thread.start()
        deadline = time.monotonic() + 30
        while samples[0] < 20 and time.monotonic() < deadline:
            clients.curl(provider, binary=web.curl)
            agent.metrics()
            calls += 1
        agent.wait_rows(calls, where=of(web))
        stop.set()
        thread.join()
        assert samples[0] >= 20 and agent.pids() == pids, samples
        assert not found, found
        assert {pid for pid, _ in engine.peers} == {courier(agent)}, engine.peers
        listening = [fields for kind in ("tcp", "tcp6") for fields in table(kind)
                     if fields[3] == LISTEN and fields[9] in sockets_of(agent.pid_of("worker"))]
        assert len(listening) == 1, listening  # the sampler does see the agent's sockets


def the_worker_may_not_connect(build):
    """Its list of system calls has no socket and no connect (tests/unit/privsep tries them)."""
    with Agent(build) as agent:
        with open("/proc/%d/status" % agent.pid_of("worker")) as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", status
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status[kind], 16) == 0, (kind, status[kind])


TESTS = [
    rows_have_the_names_of_their_containers,
    a_container_that_is_gone_is_known,
    an_engine_that_hangs_delays_rows_and_loses_none,
    a_stopped_courier_delays_rows_and_loses_none,
    a_courier_killed_again_and_again_costs_no_row,
    a_closed_engine_is_told_and_a_group_opens_it,
    none_asks_nobody,
    a_run_without_sinks_sends_nothing_out,
    the_worker_may_not_connect,
]

if __name__ == "__main__":
    sys.exit(main(TESTS))
