#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent as processes: what happens when one of them ends, hangs or is asked to end."""
import os
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, main, wait_until
from provider import Provider
from raw import Raw


def gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def restarted(agent, process, old):
    """Waits until the process is another one than `old`."""
    def other():
        return agent.pid_of(process) not in (0, old)
    wait_until(other, 20, "a new " + process)


def a_killed_worker_is_replaced(build):
    """Probes stay, the ledger reopens, later calls have rows with new ids, none comes twice."""
    with Agent(build) as agent, Provider() as provider, Raw(provider) as raw:
        raw("tls = connect()")
        raw("chat(tls)")
        raw("answer(tls)")
        agent.wait_rows(1)
        broker, worker = agent.pid_of("broker"), agent.pid_of("worker")
        for n in range(2):
            worker = agent.pid_of("worker")
            os.kill(worker, signal.SIGKILL)
            restarted(agent, "worker", worker)
            raw("chat(tls, stream=True)")
            raw("answer(tls)")
            clients.curl(provider)
            clients.check_books(agent, provider, 3 + 2 * n, timeout_s=10)
        assert agent.pid_of("broker") == broker
        rows = agent.rows()
        assert len({row["event_id"] for row in rows}) == len(rows) == 5
        status = agent.command("doctor", "--storage.path=" + agent.storage, check=False).stdout
        assert "broker" in status and "worker" in status, status
        agent.stop()
        assert agent.process.returncode == 0, agent.process.returncode
        assert "worker was ended by signal 9" in agent.stderr, agent.stderr


def calls_made_without_a_worker_wait_in_the_ring(build):
    """The ring keeps what fits: a connection opened while no worker reads is metered whole."""
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider)
        agent.wait_rows(1)
        worker = agent.pid_of("worker")
        os.kill(worker, signal.SIGSTOP)
        time.sleep(0.2)
        for _ in range(3):
            clients.curl(provider)
        os.kill(worker, signal.SIGKILL)
        restarted(agent, "worker", worker)
        clients.check_books(agent, provider, 4, timeout_s=10)


def the_end_of_the_broker_ends_all(build):
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider)
        agent.wait_rows(1)
        pids = agent.pids()
        os.kill(agent.pid_of("broker"), signal.SIGKILL)
        assert agent.process.wait(15) != 0
        wait_until(lambda: all(gone(pid) for pid in pids), 5, "the end of all")
        assert "broker was ended by signal 9" in agent.stderr, agent.stderr
        agent.start()
        clients.curl(provider)
        clients.check_books(agent, provider, 2)


def a_silent_broker_ends_all(build):
    """It hangs: no worker could do without it, so the service manager gets to start all anew."""
    with Agent(build) as agent:
        pids, begin = agent.pids(), time.monotonic()
        os.kill(agent.pid_of("broker"), signal.SIGSTOP)
        assert agent.process.wait(60) == 1
        assert time.monotonic() - begin < 40
        wait_until(lambda: all(gone(pid) for pid in pids), 5, "the end of all")
        assert agent.stderr.count("broker: no answer to") == 1, agent.stderr
        assert "is started again" not in agent.stderr, agent.stderr


def the_end_of_the_supervisor_ends_all(build):
    with Agent(build) as agent:
        pids = agent.pids()
        agent.kill()
        wait_until(lambda: all(gone(pid) for pid in pids), 5, "the end of all")


def a_killed_courier_is_replaced(build):
    with Agent(build) as agent, Provider() as provider:
        courier, worker = agent.pid_of("courier"), agent.pid_of("worker")
        os.kill(courier, signal.SIGKILL)
        restarted(agent, "courier", courier)
        clients.curl(provider)
        clients.check_books(agent, provider, 1)
        assert agent.pid_of("worker") == worker


def a_stop_in_order_loses_nothing(build):
    """SIGTERM to the supervisor and SIGINT to the whole group, as a terminal sends it."""
    for how in (signal.SIGTERM, signal.SIGINT):
        with Agent(build) as agent, Provider() as provider:
            for _ in range(5):
                clients.curl(provider)
            pids = agent.pids()
            if how == signal.SIGINT:
                for pid in pids[1:]:
                    os.kill(pid, how)
            assert agent.stop(how) == 0
            clients.check_books(agent, provider, 5)
            assert all(gone(pid) for pid in pids)


def a_directory_behind_a_closed_door(build):
    """The worker's user cannot walk to the directory; it is entered before the right is gone."""
    with tempfile.TemporaryDirectory() as folder, Provider() as provider:
        os.chmod(folder, 0o700)
        storage = os.path.join(folder, "state")
        for calls in (1, 2):
            with Agent(build, storage=storage) as agent:
                clients.curl(provider)
                clients.check_books(agent, provider, calls)
                worker = agent.pid_of("worker")
                os.kill(worker, signal.SIGKILL)
                restarted(agent, "worker", worker)
        assert os.stat(storage).st_uid != 0
        assert os.stat(folder).st_uid == 0


def directories_of_others_are_left_alone(build):
    for path in ("/", "/etc", "/var/lib", "/tmp"):
        before = os.stat(path)
        agent = Agent(build, storage=path)
        done = agent.command("run", "--storage.path=" + path, "--web.listen-address=127.0.0.1:0",
                             check=False)
        assert done.returncode == 6 and "directory of its own" in done.stderr, done
        assert len(done.stderr.splitlines()) == 1, done.stderr
        after = os.stat(path)
        assert (before.st_uid, before.st_gid, before.st_mode) == (
            after.st_uid, after.st_gid, after.st_mode)


if __name__ == "__main__":
    sys.exit(main([
        a_killed_worker_is_replaced, calls_made_without_a_worker_wait_in_the_ring,
        the_end_of_the_broker_ends_all, a_silent_broker_ends_all, the_end_of_the_supervisor_ends_all,
        a_killed_courier_is_replaced, a_stop_in_order_loses_nothing,
        a_directory_behind_a_closed_door, directories_of_others_are_left_alone]))
