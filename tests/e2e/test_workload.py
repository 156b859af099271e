#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose call it is: control groups as engines, the kubelet and systemd make them, and who started
the process. tests/unit/attribution/test_cgroup.c has a line for each form of a path."""
import contextlib
import json
import os
import secrets
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, Skip, main, wait_until
from provider import Provider

ID = secrets.token_hex(32)
POD = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
PODS = "kubepods-burstable-pod%s.slice" % POD.replace("-", "_")
USER = "user.slice/user-4294967290.slice"  # nobody has this uid

# The path, and what a row says of it; what is left out is not in the row.
PLACES = (
    ("docker/" + ID, {"container_id": ID}),
    ("team.slice/docker-%s.scope" % ID, {"container_id": ID, "slice": "team.slice"}),
    ("kubepods/burstable/pod%s/%s" % (POD, ID), {"container_id": ID, "pod_uid": POD}),
    ("kubepods.slice/kubepods-burstable.slice/%s/cri-containerd-%s.scope" % (PODS, ID),
     {"container_id": ID, "pod_uid": POD, "slice": "kubepods-burstable.slice"}),
    ("lxc.payload.web1/system.slice/nginx.service",
     {"container": "web1", "unit": "nginx.service"}),
    ("machine.slice/systemd-nspawn@web\\x2d1.service/payload",
     {"container": "web-1", "slice": "machine.slice"}),
    ("system.slice/tolltap-test.service", {"unit": "tolltap-test.service", "slice": "system.slice"}),
    (USER + "/session-c7.scope",
     {"unit": "session-c7.scope", "slice": "user-4294967290.slice", "login": "4294967290",
      "login_session": "c7"}),
    (USER + "/user@4294967290.service/user.slice/libpod-%s.scope/container" % ID,
     {"container_id": ID, "slice": "user-4294967290.slice", "login": "4294967290"}),
)
FACTS = ("container_id", "container", "pod_uid", "unit", "slice", "login", "login_session")


def cgroup2_mount():
    with open("/proc/mounts") as mounts:
        for line in mounts:
            _, where, kind, *_ = line.split()
            if kind == "cgroup2":
                return where
    raise Skip("no cgroup2 mount")


def script(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


@contextlib.contextmanager
def group(path):
    """A control group; those of its parents that were not there go with it."""
    made, where = [], cgroup2_mount()
    for name in path.split("/"):
        where = os.path.join(where, name)
        if not os.path.isdir(where):
            try:
                os.mkdir(where)
            except OSError as e:
                raise Skip("no control group can be made: %s" % e)
            made.append(where)

    def removed():
        with contextlib.suppress(OSError):
            while made:
                os.rmdir(made[-1])
                made.pop()
        return not made
    try:
        yield where
    finally:
        wait_until(removed, 5, "the end of " + path)


def logged_in():
    """The tests' own login, which the kernel has and children keep."""
    try:
        with open("/proc/self/loginuid") as f:
            return f.read() not in ("", "4294967295")
    except FileNotFoundError:
        return False


def control_groups_say_whose_call_it_is(build):
    with Agent(build) as agent, Provider() as provider, tempfile.TemporaryDirectory() as folder:
        for n, (path, want) in enumerate(PLACES):
            with group(path) as where:
                curl = script(folder, "curl%d" % n,
                              'echo $$ >\'%s/cgroup.procs\' || exit 99\nexec curl "$@"\n' % where)
                clients.curl(provider, binary=curl)
            row = clients.check_books(agent, provider, n + 1)[-1]["workload"]
            assert row["cgroup"] == "/" + path, row
            facts = FACTS if not logged_in() else [f for f in FACTS if f != "login"]
            found = {fact: row[fact] for fact in facts if fact in row}
            assert found == {k: v for k, v in want.items() if k in facts}, (path, row)
        spend = [json.loads(line) for line in agent.command(
            "spend", "--storage.path=" + agent.storage, "--by=pod_uid",
            "--output=json").stdout.splitlines()]
        assert {r.get("pod_uid"): r["calls"] for r in spend if not r["total"]} == {
            POD: 2, "(none)": len(PLACES) - 2}, spend


def who_started_the_process(build):
    """The nearest agent, CI runner or cron above it, whatever shells stand between."""
    with Agent(build) as agent, Provider() as provider, tempfile.TemporaryDirectory() as folder:
        inner = script(folder, "step", 'sh -c \'"$@"; exit $?\' sh curl "$@"\nexit $?\n')
        # Nobody's child, since the tests themselves may run below a coding agent.
        runner = script(folder, "Runner.Worker", """outer=$1; shift
while read -r _ _ _ parent _ </proc/$$/stat && [ "$parent" = "$outer" ]; do sleep 0.01; done
%s "$@"
exit $?
""" % inner)
        orphan = script(folder, "orphan", 'exec 3<&0\n%s $$ "$@" <&3 &\n' % runner)
        # A coding agent in a job of CI: what it runs is its own.
        coder = script(folder, "claude", '%s "$@"\nexit $?\n' % inner)
        job = script(folder, "gitlab-runner", '%s "$@"\nexit $?\n' % coder)
        for binary in (orphan, coder, job):
            clients.curl(provider, binary=binary)
        rows = clients.check_books(agent, provider, 3)
        assert [r["workload"].get("started_by") for r in rows] == [
            "ci/Runner.Worker", "agent/claude", "agent/claude"], [r["workload"] for r in rows]


def command_lines_stay_in_memory(build):
    """What a pattern matches is kept; of the rest nothing is in any file, log or metric."""
    secret = "argument-%s" % secrets.token_hex(8)
    with Provider() as provider:
        for options, want in ((["--workload.argv=x-job: ([a-z]+)"], "nightly"), ([], None)):
            with Agent(build, *options) as agent:
                clients.curl(provider, flags=("-H", "x-job: nightly", "-H", "x-note: " + secret))
                row = agent.wait_rows(1, 6, lambda r: provider.run_name in (r["request_id"] or ""))[-1]
                assert row["workload"].get("argv") == want, row["workload"]
                assert secret not in json.dumps(agent.metrics()), "in a metric"
                agent.stop()
                assert secret not in agent.stderr, "in the log"
                for name in os.listdir(agent.storage):
                    path = os.path.join(agent.storage, name)
                    if os.path.isfile(path):
                        with open(path, "rb") as f:
                            assert secret.encode() not in f.read(), name
        with tempfile.TemporaryDirectory() as storage:
            bad = agent.command("run", "--storage.path=" + storage, "--workload.argv=(a",
                                "--web.listen-address=127.0.0.1:0", check=False, timeout=60)
            assert bad.returncode == 3 and "workload.argv: '(a'" in bad.stderr, bad


if __name__ == "__main__":
    sys.exit(main([control_groups_say_whose_call_it_is, who_started_the_process,
                   command_lines_stay_in_memory]))
