#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a call's process and its request say of whose it is: tags of real clients in the ledger."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, main, wait_until
from provider import Provider

# What a CI job's environment looks like: long before what counts, with secrets beside it.
GITHUB = {"FILLER": "x" * 6000, "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_TOKEN": "ghs_secret",
          "GITHUB_REPOSITORY": "octo/hello", "GITHUB_REF": "refs/pull/17/merge",
          "GITHUB_REF_NAME": "17/merge", "GITHUB_HEAD_REF": "fix-it", "GITHUB_RUN_ID": "165",
          "GITHUB_ACTOR": "octocat"}


def a_job_of_ci_is_named(build):
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider, env=GITHUB)
        clients.python(provider, "--api", "chat", env=dict(
            GITHUB, TOLLTAP_TAGS="team=search,actor=bot",
            OTEL_RESOURCE_ATTRIBUTES="service.name=api,deployment.environment.name=test"))
        rows = agent.wait_rows(2)
        want = {"ci": "github", "repository": "octo/hello", "ref": "fix-it", "pull_request": "17",
                "run": "165", "actor": "octocat"}
        for row in rows:
            assert want.items() <= row["tags"].items(), row["tags"]
            assert "ghs_secret" not in str(row)
            want.update(actor="bot", team="search", service="api", environment="test")
        done = agent.command("spend", "--by=tag:repository,tag:pull_request", "--output=json",
                             "--storage.path=" + agent.storage)
        assert '"tag:repository":"octo/hello","tag:pull_request":"17","calls":2' in done.stdout, \
            done.stdout


def a_process_that_opts_out_is_counted(build):
    with Agent(build) as agent, Provider() as provider:
        for _ in range(3):
            clients.curl(provider, env={"TOLLTAP_IGNORE": "1"})
            clients.curl(provider, env={"TOLLTAP_IGNORE": "0"})
        clients.python(provider, "--api", "chat", "--stream", env={"TOLLTAP_IGNORE": "1"})
        agent.wait_rows(3)
        assert len(provider.truth_rows()) == 7
        wait_until(lambda: agent.metric_sum("tolltap_opted_out_processes_total") == 4, 6,
                   "4 processes")
        assert agent.metric_sum("tolltap_opted_out_connections_total") >= 4
        assert len(agent.rows()) == 3


if __name__ == "__main__":
    sys.exit(main([a_job_of_ci_is_named, a_process_that_opts_out_is_counted]))
