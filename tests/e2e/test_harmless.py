#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Probes do no harm. Clients that are hard to probe (steady_client.c) run through attach, traffic and
each end that the agent can have, three times over; afterwards every byte that both ends of their
connections received, and every result of an SSL call, is as in a run without Tolltap, and their code
is as in their files."""
import collections
import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from clients import compiled
from harness import Agent, Skip, main, wait_until

# Modes of steady_client.c, and how many threads and processes report at the end, at least.
MODES = {"strict": 1, "threads": 4, "forks": 10, "reuse": 1, "slow": 1}
ENDS = (("supervisor", signal.SIGTERM), ("supervisor", signal.SIGKILL), ("broker", signal.SIGKILL))
ATTACH_S = 5
# After SIGKILL the kernel closes the probes one by one, and waits each time until every CPU has left
# them: for dozens on a busy host that takes half a minute.
DETACH_S = 90


def changed_code(pid):
    """How many bytes a process executes that its files do not hold: the probes on it."""
    changed = 0
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for fields in map(str.split, maps):
            if "x" not in fields[1] or fields[4] == "0":
                continue
            start, end = (int(n, 16) for n in fields[0].split("-"))
            with open("/proc/%d/map_files/%x-%x" % (pid, start, end), "rb") as file:
                file.seek(int(fields[2], 16))
                want = file.read(end - start)
            memory.seek(start)
            seen = memory.read(len(want))
            changed += sum(a != b for a, b in zip(seen, want)) if seen != want else 0
    return changed


class Client:
    """A steady_client, and what it should have printed at its end."""

    def __init__(self, mode, program, env=None):
        self.mode = mode
        self.program = program
        self.process = subprocess.Popen([program, mode], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=dict(os.environ, **(env or {})))
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def family(self):
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
            return [self.pid, *map(int, f.read().split())]

    def is_armed(self):
        """A child that ended meanwhile holds no probe."""
        for pid in self.family():
            try:
                if changed_code(pid):
                    return True
            except (FileNotFoundError, ProcessLookupError):
                assert pid != self.pid, "%s died" % self.mode
        return False

    def check(self):
        """Ends it, and compares with a run without Tolltap."""
        out, errors = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, "%s: exit %d: %s" % (
            self.mode, self.process.returncode, errors)
        counts = [int(line.split()[0]) for line in out.splitlines()]
        reference = subprocess.run([self.program, "reference", str(max(counts))], text=True,
                                   check=True, capture_output=True, timeout=20).stdout
        assert set(out.splitlines()) <= set(reference.splitlines()), "%s: bytes differ:\n%s" % (
            self.mode, out)
        assert len(counts) >= MODES.get(self.mode, 1) and max(counts) > 10, self.mode + ": " + out


def metered(agent):
    """How many calls of each process were metered, and that each that was read whole is exact."""
    rows = [row for row in agent.rows() if row["basis"] == "reported_usage"]
    wrong = [row for row in rows if row["tokens"] != {"input_uncached": 10, "output_text": 5}]
    assert not wrong, wrong[:3]
    return collections.Counter(row["workload"].get("pid") for row in rows)


def wait_metered(agent, clients):
    before = metered(agent)
    wait_until(lambda: not [c for c in clients if metered(agent)[c.pid] <= before[c.pid]], 5,
               "all clients are metered")


def wait_disarmed(clients, what):
    try:
        wait_until(lambda: not any(c.is_armed() for c in clients), DETACH_S, what)
    except AssertionError as e:
        left = subprocess.run(["pgrep", "-la", "tolltap"], text=True, capture_output=True).stdout
        raise AssertionError("%s on %s; running: %s" % (
            e, ["%s (%d)" % (c.mode, c.pid) for c in clients if c.is_armed()], left)) from e


def pass_through(build, clients, end, upgrade):
    """One life of an agent around the clients."""
    who, how = end
    with Agent(build) as agent:
        for _ in range(2):
            wait_until(lambda: all(c.is_armed() for c in clients), ATTACH_S, "all are probed")
            wait_metered(agent, clients)
            upgrade()
        agent.signal(who, how)
        agent.process.wait(DETACH_S)
    wait_disarmed(clients, "%s by %s: no probe is left" % end)


def clients_that_are_hard_to_probe(build):
    """A strict seccomp filter; threads that call at once; children born in the middle of calls; SSL*
    used again by SSL_clear and SSL_free; steps of the agent in the middle of calls; and a library
    upgraded as a package manager does it, by a new file of that name, which new clients run on."""
    found = glob.glob("/usr/lib/*/libssl.so.3")
    if not found:
        raise Skip("no libssl.so.3 here")
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder, \
            contextlib.ExitStack() as stack:
        program = compiled("steady_client.c", folder, "-lssl", "-lcrypto")
        library = shutil.copy(found[0], folder)
        clients = []

        def start(mode, **env):
            clients.append(stack.enter_context(Client(mode, program, env)))

        def upgrade():
            shutil.copy(library, library + ".new")
            os.rename(library + ".new", library)
            start("plain", LD_LIBRARY_PATH=folder)

        for mode in MODES:
            start(mode)
        start("plain", LD_LIBRARY_PATH=folder)
        assert not any(c.is_armed() for c in clients), "code is not as in its file before the agent"
        for end in ENDS:
            pass_through(build, clients, end, upgrade)
        for client in clients:
            client.check()


def tool(*args):
    done = subprocess.run(["bpftool", "-j", *args], capture_output=True, text=True)
    if done.returncode:
        raise Skip("no bpftool here")
    return json.loads(done.stdout)


def tables_of_calls():
    return {m["id"] for m in tool("map", "show") if m.get("name") == "frames"}


def calls_in_progress(tables):
    """The processes that are inside a probed call, after the kernel's own table."""
    return {int.from_bytes(bytes(int(b, 16) for b in entry["key"][4:8]), sys.byteorder)
            for table in tables for entry in tool("map", "dump", "id", str(table))}


def killed_in_the_middle_of_a_call(build):
    """What the kernel kept for it goes, and others are not disturbed."""
    others = tables_of_calls()
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder:
        program = compiled("steady_client.c", folder, "-lssl", "-lcrypto")
        with Client("plain", program) as other, Agent(build) as agent:
            tables = tables_of_calls() - others
            for _ in range(3):
                with Client("slow", program) as victim:
                    wait_until(lambda: metered(agent)[victim.pid] > 0, 5, "the victim is metered")
                    wait_until(lambda: victim.pid in calls_in_progress(tables), 5, "it is in a call")
                    victim.process.kill()
                wait_until(lambda: victim.pid not in calls_in_progress(tables), 5, "its call is gone")
            wait_metered(agent, [other])
            agent.stop()
            wait_disarmed([other], "no probe is left")
            other.check()


def killed_while_it_takes_probes_away(build):
    """A task that is killed within the close of a probe would leave the breakpoint in the code."""
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder:
        program = compiled("steady_client.c", folder, "-lssl", "-lcrypto")
        with Client("plain", program) as client:
            for after_ms in (0, 1, 2, 4, 8, 12, 16, 24, 32, 48):
                with Agent(build) as agent:
                    wait_until(client.is_armed, ATTACH_S, "it is probed")
                    broker = agent.pid_of("broker")
                    os.kill(broker, signal.SIGTERM)
                    time.sleep(after_ms / 1000)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(broker, signal.SIGKILL)
                    agent.kill()
                wait_disarmed([client], "broker killed %d ms into its end" % after_ms)
            client.check()


if __name__ == "__main__":
    sys.exit(main([clients_that_are_hard_to_probe, killed_in_the_middle_of_a_call,
                   killed_while_it_takes_probes_away]))
