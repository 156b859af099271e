# SPDX-License-Identifier: Apache-2.0
"""What the agent is given when it is given no more than it needs (docs/capabilities.md)."""
import json
import os

NAMES = {1: "dac_override", 0: "chown", 2: "dac_read_search", 5: "kill", 6: "setgid", 7: "setuid",
         8: "setpcap", 19: "sys_ptrace", 21: "sys_admin", 24: "sys_resource", 38: "perfmon", 39: "bpf",
         40: "checkpoint_restore"}
EXIT_PRIVILEGE = 4
BROKER = {"bpf", "perfmon", "sys_ptrace", "dac_read_search"}
OPENER = {"sys_ptrace", "dac_read_search", "checkpoint_restore"}
BROKER_BOUNDING = OPENER | {"sys_admin", "sys_resource"}
SUPERVISOR = {"setuid", "setgid", "kill"}
START = {"setpcap", "chown"}
LEAST = BROKER | OPENER | SUPERVISOR | START  # where uprobe_multi links exist


def only(*names):
    """A command that starts another with these capabilities and no way to any other."""
    return ["/usr/bin/setpriv", "--bounding-set=-all," + ",".join("+" + n for n in sorted(names))]


def kernel_version():
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor.split("-")[0])


def needs_sys_admin():
    """Before uprobe_multi links, probes are perf events; those are CAP_SYS_ADMIN's."""
    return kernel_version() < (6, 6)


def expected(process):
    """The capabilities a process of the agent holds on this kernel, no more and no less."""
    more = {"sys_admin"} if needs_sys_admin() else set()
    return {"supervisor": SUPERVISOR, "broker": BROKER | more}.get(process, set())


def status(pid):
    """/proc/PID/status as a dict of texts."""
    with open("/proc/%d/status" % pid, encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def agent_processes(agent):
    """Name and pid of each long-lived process of the agent; empty when it is one process."""
    with open(os.path.join(agent.storage, "status.json"), encoding="utf-8") as f:
        told = json.load(f)
    below = {p["process"]: p["pid"] for p in told.get("agent") or []}
    return {"supervisor": told["pid"], **below} if below else {}


def names_of(text):
    bits = int(text, 16)
    return sorted(NAMES.get(bit, str(bit)) for bit in range(64) if bits >> bit & 1)


def check_process(process, pid):
    """What the kernel says of one process of the agent; raises on anything that is too much."""
    has, want = status(pid), sorted(expected(process))
    for field in ("CapPrm", "CapEff"):
        assert names_of(has[field]) == want, "%s: %s is %s instead of %s" % (
            process, field, names_of(has[field]), want)
    # Out of reach by no_new_privs; the broker's has what its children and old kernels need too.
    bounding = set(names_of(has["CapBnd"])) - set(want)
    assert not bounding - BROKER_BOUNDING if process == "broker" else not bounding, bounding
    for field in ("CapInh", "CapAmb"):
        assert int(has[field], 16) == 0, "%s: %s %s" % (process, field, has[field])
    assert has["NoNewPrivs"] == "1", "%s may gain privileges" % process
    assert has["Seccomp"] == "2", "%s has no filter" % process
    with open("/proc/%d/limits" % pid, encoding="utf-8") as f:
        core = next(line.split()[4:6] for line in f if line.startswith("Max core file size"))
    assert core == ["0", "0"], "%s may dump core: %s" % (process, core)
    # The kernel gives /proc/PID of a process that is not dumpable to root.
    assert os.stat("/proc/%d/status" % pid).st_uid == 0, "%s is dumpable" % process
    return has["Uid"].split(), has["Gid"].split(), has["Groups"].split()


def check_processes(agent):
    """Every process of the agent holds what docs/capabilities.md says and nothing else."""
    found = agent_processes(agent)
    assert sorted(found) == ["broker", "courier", "supervisor", "worker"], found
    users, groups, group_of = {}, {}, {}
    for process, pid in found.items():
        uids, gids, groups[process] = check_process(process, pid)
        assert len(set(uids)) == 1 and len(set(gids)) == 1, "%s: %s %s" % (process, uids, gids)
        users[process], group_of[process] = uids[0], gids[0]
    assert users.pop("supervisor") == "0"
    assert "0" not in users.values() and len(set(users.values())) == 3, users
    # The courier reads the ledger; no one else has more than a group of its own.
    assert groups["courier"] == [group_of["worker"]], groups
    assert not groups["worker"] and not groups["broker"], groups
