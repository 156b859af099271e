#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No process of the agent holds more than it needs (docs/capabilities.md), and it runs without full
root. What is said of each process is what the kernel says of it."""
import contextlib
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clients
import privilege
from harness import Agent, Skip, main
from provider import Provider

# What a worker works with: its files, what came to it from supervisor and broker, and its own loop.
WORKER_FD = (r"pipe:\[\d+\]|socket:\[\d+\]|/dev/null|anon_inode:bpf-map|anon_inode:\[perf_event\]|"
             r"anon_inode:\[(eventpoll|timerfd|signalfd|eventfd)\]")
FORBIDDEN_ALONE = ("bpf", "perfmon")


@contextlib.contextmanager
def split_agent(build, *names):
    with Agent(build, prefix=privilege.only(*names) if names else ()) as agent:
        if not privilege.agent_processes(agent):
            raise Skip("the agent is one process")
        yield agent


def each_process_holds_exactly_its_capabilities(build):
    """Started with all of root's power."""
    with split_agent(build) as agent, Provider() as provider:
        clients.curl(provider)
        clients.check_books(agent, provider, 1)
        privilege.check_processes(agent)


def least_privilege_is_enough(build):
    """Started with the capabilities of the table and no way to any other."""
    if privilege.needs_sys_admin():
        raise Skip("probes need CAP_SYS_ADMIN on this kernel")
    with split_agent(build, *privilege.LEAST) as agent, Provider() as provider:
        clients.curl(provider)
        clients.check_books(agent, provider, 1)
        privilege.check_processes(agent)


def one_capability_less_is_one_clear_line(build):
    for name in FORBIDDEN_ALONE:
        agent = Agent(build, prefix=privilege.only(*(privilege.LEAST - {name})))
        try:
            agent.start()
        except AssertionError:
            lines = agent.stderr.strip().splitlines()
            assert len(lines) == 1 and "CAP_" + name.upper() in lines[0], agent.stderr
            assert agent.process.returncode == privilege.EXIT_PRIVILEGE, agent.process.returncode
            continue
        finally:
            agent.__exit__()
        raise AssertionError("the agent runs without CAP_%s" % name.upper())


def what_is_missing_is_named_at_the_start(build):
    without = privilege.LEAST - {"setpcap"}
    if privilege.needs_sys_admin():
        without |= {"sys_admin", "sys_resource"}
    with Agent(build, prefix=privilege.only(*without)) as agent:
        agent.stop()
        lines = [line for line in agent.stderr.splitlines() if " is missing: " in line]
        assert len(lines) == 1 and "CAP_SETPCAP" in lines[0], agent.stderr


def the_worker_has_no_file_that_is_not_its_own(build):
    with split_agent(build) as agent, Provider() as provider:
        clients.curl(provider)
        clients.check_books(agent, provider, 1)
        folder = "/proc/%d/fd" % privilege.agent_processes(agent)["worker"]
        for name in os.listdir(folder):
            target = os.readlink(os.path.join(folder, name))
            own = target.startswith(agent.storage) or re.fullmatch(WORKER_FD, target)
            assert own, "fd %s is %s" % (name, target)


def the_decoder_shares_no_memory_with_the_kernel(build):
    """It is forked of the broker; what BPF programs read is not forked with it ("dc")."""
    with split_agent(build) as agent:
        with open("/proc/%d/smaps" % privilege.agent_processes(agent)["broker"],
                  encoding="utf-8", errors="replace") as f:
            text = f.read()
        rooms = re.findall(r"^[0-9a-f]+-[0-9a-f]+ (\S+) .* anon_inode:bpf-map\n(?:\w+:.*\n)*?"
                           r"VmFlags:(.*)$", text, re.M)
        writable = [flags.split() for rights, flags in rooms if "w" in rights]
        assert writable and all("dc" in flags for flags in writable), rooms


def the_broker_may_open_as_many_files_as_the_host_allows(build):
    with split_agent(build) as agent:
        with open("/proc/%d/limits" % privilege.agent_processes(agent)["broker"],
                  encoding="utf-8") as f:
            line = next(text for text in f if text.startswith("Max open files"))
        soft, hard = line.split()[3:5]
        assert soft == hard, line


if __name__ == "__main__":
    sys.exit(main([each_process_holds_exactly_its_capabilities, least_privilege_is_enough,
                   one_capability_less_is_one_clear_line, what_is_missing_is_named_at_the_start,
                   the_worker_has_no_file_that_is_not_its_own,
                   the_decoder_shares_no_memory_with_the_kernel,
                   the_broker_may_open_as_many_files_as_the_host_allows]))
