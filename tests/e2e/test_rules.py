#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of the configuration, from a process and its request to the ledger and what explains it."""
import json
import os
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, main, wait_until
from provider import Provider

RULES = """rules:
  - name: bookings
    match:
      header:openai_project: {regex: '^(?<team>[a-z]+)-(?<feature>[a-z]+)$'}
      host: {glob: '*.openai.com'}
    set:
      team: '${team}'
      feature: '${feature} by ${comm}'
  - name: nobody
    match:
      user: nobody-of-this-host
    set: {team: nobody}
  - name: no-unit
    match:
      tag:squad: {glob: '*'}
    set: {squad: seen}
  - name: everything
    default:
      environment: prod
      user_id: someone
"""

BAD = RULES.replace("(?<feature>[a-z]+)$", "(?<feature>[a-z]+$")


def written(folder, text):
    path = os.path.join(folder, "tolltap.yaml")
    with open(path, "w") as f:
        f.write(text)
    return path


def at(agent):
    return ["--storage.path=" + agent.storage]


def ours(provider):
    return lambda row: provider.run_name in (row["request_id"] or "")


def tags_and_sources(agent, event_id):
    out = agent.command("events", "--explain", "--output=json", *at(agent)).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    return {r["tag"]: (r["value"], r["source"]) for r in rows if r["event_id"] == event_id}


def a_call_gets_its_tags(build):
    """Header, body, environment and rules meet on one call; both commands explain it."""
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder, Provider() as provider:
        config = "--config.file=" + written(folder, RULES)
        with Agent(build, config) as agent:
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "canary-in-the-text"}],
                    "previous_response_id": "resp_body"}
            clients.curl(provider, body=body, flags=["-H", "OpenAI-Project: payments-search"], env={
                "TOLLTAP_TAGS": "team=from-env,user_id=u-7,openai_project=env,previous_response_id=env"})
            row = agent.wait_rows(1, where=ours(provider))[0]
            assert row["tags"]["team"] == "payments", row["tags"]
            assert tags_and_sources(agent, row["event_id"]) == {
                "openai_project": ("payments-search", "header"),
                "team": ("payments", "rule"),
                "feature": ("search by curl", "rule"),
                "previous_response_id": ("resp_body", "body"),
                "user_id": ("u-7", "env"),
                "environment": ("prod", "default"),
            }
            out = agent.command("check", "rules", config, "--explain=" + row["event_id"],
                                "--output=json", *at(agent)).stdout
            steps = {r["rule"]: r for r in map(json.loads, out.splitlines())}
            assert [r["result"] for r in steps.values()] == ["matches", "differs", "unknown", "matches"]
            assert steps["bookings"]["line"] == 2
            assert steps["bookings"]["tags"] == "team=payments, feature=search by curl", steps
            assert steps["nobody"]["why"].startswith("user is '"), steps
            assert steps["no-unit"]["why"] == "tag:squad is not known"
            assert steps["everything"]["tags"] == "environment=prod (default), user_id=someone " \
                "(default) (not set: a stronger source says otherwise)", steps
            spend = agent.command("spend", "--by=tag:team", "--output=json", *at(agent)).stdout
            assert '"payments"' in spend, spend
            assert "canary-in-the-text" not in out + spend


def a_bad_reload_keeps_the_old_rules(build):
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder, Provider() as provider:
        path = written(folder, RULES)

        def team_of_next(n):
            clients.curl(provider, flags=["-H", "OpenAI-Project: payments-search"])
            return agent.wait_rows(n, where=ours(provider))[n - 1]["tags"].get("team")

        def reload(text, result):
            written(folder, text)
            before = agent.metric_sum("tolltap_config_reloads_total", result)
            agent.process.send_signal(signal.SIGHUP)
            wait_until(lambda: agent.metric_sum("tolltap_config_reloads_total", result) > before, 3,
                       "reload: " + result)

        with Agent(build, "--config.file=" + path) as agent:
            assert team_of_next(1) == "payments"
            reload(BAD, "error")
            said = [line for line in agent.stderr.splitlines() if "the old configuration stays" in line]
            assert len(said) == 1 and "%s:4: rules: 'bookings': regex" % path in \
                said[0].replace("\\'", "'"), agent.stderr
            assert team_of_next(2) == "payments"
            reload(RULES.replace("'${team}'", "new-${team}"), "ok")
            assert team_of_next(3) == "new-payments"
            reload(BAD, "error")
            assert team_of_next(4) == "new-payments"
            reload("", "ok")
            assert team_of_next(5) is None


def check_validates(build):
    """Needs no agent and no ledger."""
    tolltap = os.path.join(build, "tolltap")

    def check(text, *more):
        return subprocess.run([tolltap, "check", "rules", "--config.file=" + written(folder, text), *more],
                              capture_output=True, text=True, timeout=30)

    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder:
        done = check(RULES, "--output=json")
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(r["line"], r["rule"]) for r in rows] == [
            (2, "bookings"), (9, "nobody"), (13, "no-unit"), (17, "everything")], rows
        assert rows[3]["match"] == "every call"
        assert rows[3]["set"] == "environment=prod (default), user_id=someone (default)"
        done = check(BAD)
        assert done.returncode == 3 and ":4: rules: 'bookings': regex" in done.stderr, done
        assert len(done.stderr.splitlines()) == 1 and not done.stdout
        done = check("")
        assert done.returncode == 0 and "has no rules" in done.stderr, done
        done = check(RULES, "--explain=xyz")
        assert done.returncode == 2 and "32 lower-case hex digits" in done.stderr, done
        done = check(RULES, "--explain=" + 32 * "0", "--storage.path=" + folder)
        assert done.returncode == 6, done
        done = subprocess.run([tolltap, "check", "config", "--explain=" + 32 * "0"],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 2, done


if __name__ == "__main__":
    main([check_validates, a_call_gets_its_tags, a_bad_reload_keeps_the_old_rules])
