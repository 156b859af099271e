#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an operator chooses of metrics' labels, on real calls: levels, tags, and zero before a call."""
import os
import re
import sys
import tempfile
import threading
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, main, wait_until
from provider import Provider

COST = "tolltap_cost_usd_total{"
WORKLOADS = ("namespace=", "workload=", "pod=", "container=", "unit=")


def costs(agent, *labels):
    return {name: Decimal(value) for name, value in agent.metrics().items()
            if name.startswith(COST) and all(label in name for label in labels)}


def ours(team):
    return lambda row: row["tags"].get("team") == team


def call(provider, team, **how):
    clients.curl(provider, env={"TOLLTAP_TAGS": "team=%s,feature=f" % team}, **how)


def a_tag_is_a_label_when_named(build):
    with Agent(build, "--metrics.tag=team=2") as agent, Provider() as provider:
        teams = ["e2e-a", "e2e-b", "e2e-c", "e2e-c"]
        for team in teams:
            call(provider, team)
        rows = agent.wait_rows(4, where=lambda row: row["tags"].get("team", "").startswith("e2e-"))
        spent = {team: sum(Decimal(row["cost_usd"]) for row in rows if ours(team)(row))
                 for team in teams}
        for team, label in (("e2e-a", "e2e-a"), ("e2e-b", "e2e-b"), ("e2e-c", "overflow")):
            found = costs(agent, 'tag_team="%s"' % label)
            assert sum(found.values()) == spent[team] > 0, (team, found, spent)
        assert not any("feature" in name for name in agent.metrics())


def a_level_says_how_fine_workloads_are(build):
    for level, wanted in (("node", False), ("container", True)):
        with Agent(build, "--metrics.level=" + level) as agent, Provider() as provider:
            call(provider, "level")
            row, = agent.wait_rows(1, where=ours("level"))
            has = any(row["workload"].get(key) for key in ("unit", "container", "pod"))
            found = costs(agent)
            assert sum(found.values()) >= Decimal(row["cost_usd"]) > 0
            told = any(label in name for name in found for label in WORKLOADS)
            assert told == (wanted and has), (level, found, row["workload"])


def series_are_zero_while_the_first_call_runs(build):
    with Agent(build, "--metrics.tag=team") as agent, Provider() as provider:
        label = 'tag_team="zero"'
        client = threading.Thread(target=call, args=(provider, "zero"),
                                  kwargs={"scenario": "slow", "stream": True})
        client.start()
        wait_until(lambda: costs(agent, label), 10, "the series of a call that runs")
        before = costs(agent, label)
        running = client.is_alive()
        client.join()
        row, = agent.wait_rows(1, where=ours("zero"))
        assert running, "the call was over before it was looked at"
        assert set(before.values()) == {0}, before
        assert costs(agent, label) == {name: Decimal(row["cost_usd"]) for name in before}


def labels_that_cannot_be_are_refused(build):
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as storage:
        agent = Agent(build, storage=storage)
        for code, flags, says in ((2, ["--metrics.tag=user_id"], "--metrics.tag"),
                                  (2, ["--metrics.level=pod"], "node, workload, container"),
                                  (3, ["--metrics.tag=a-b", "--metrics.tag=a.b"], "tag_a_b")):
            done = agent.command("run", "--storage.path=" + storage,
                                 "--web.listen-address=127.0.0.1:0", *flags, check=False,
                                 timeout=30)
            assert done.returncode == code and says in done.stderr, (flags, done)
            assert len(re.findall(re.escape(says), done.stderr)) == 1, done.stderr


if __name__ == "__main__":
    sys.exit(main([
        a_tag_is_a_label_when_named,
        a_level_says_how_fine_workloads_are,
        series_are_zero_while_the_first_call_runs,
        labels_that_cannot_be_are_refused,
    ]))
