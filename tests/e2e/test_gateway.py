#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""App -> gateway -> provider on one host: what the provider bills stands once, under the app."""
import json
import os
import subprocess
import sys
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, main
from http2 import PlainProvider
from provider import Provider

HOST = "llm.corp.test"
AS_GATEWAY = "--provider.host=%s=openai,role=gateway" % HOST


class Gateway:
    """Looks like a provider to clients.curl."""

    def __init__(self, provider, *flags):
        self.cacert = provider.cacert
        key = os.path.join(os.path.dirname(provider.cacert), "key.pem")
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(HERE, "..", "lib", "gateway.py"), "--cert",
             provider.cacert, "--key", key, "--upstream", str(provider.port), *flags],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=dict(os.environ, TOLLTAP_TAGS="team=platform,leg=%d" % os.getpid()))
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def call(self, **kwargs):
        env = dict(os.environ, TOLLTAP_TAGS="team=app,leg=%d" % os.getpid())
        clients.curl(self, host=HOST, env=env, **kwargs)


def ours(row):
    return row["tags"].get("leg") == str(os.getpid())


def parts(rows):
    """The rows that are in the sums, and those that are not."""
    return [r for r in rows if not r["collapsed_by"]], [r for r in rows if r["collapsed_by"]]


def check_sums(agent, provider, bills):
    """The bills are those of the provider's books, and every sum has them once, under curl."""
    costs = sum(clients.compare.expected_pusd(clients.catalog(), row) or 0 for row in bills)
    assert sum(row["cost_pusd"] for row in bills) == costs
    done = agent.command("spend", "--by=comm,tag:team", "--output=json",
                         "--storage.path=" + agent.storage)
    groups = [g for g in map(json.loads, done.stdout.splitlines()) if not g.get("total")]
    assert [(g["comm"], g["tag:team"]) for g in groups] == [("curl", "app")], groups
    assert groups[0]["calls"] == len(bills), groups
    assert Decimal(groups[0]["cost_usd"]) * 10**12 == costs, groups
    metric = sum(Decimal(v) for name, v in agent.metrics().items()
                 if name.startswith("tolltap_cost_usd_total{"))
    assert metric * 10**12 == costs, (metric, costs)
    tokens = sum(sum((row["tokens"] or {}).values()) for row in bills)
    assert agent.metric_sum("tolltap_tokens_total") == tokens
    booked = [t for t in provider.truth_rows() if t["status"] == 200]
    assert sum(sum(t["tokens"].values()) for t in booked) == tokens, (booked, tokens)


def check_pair(rows, by="response_id"):
    (bill,), (front,) = parts(rows)
    assert front["workload"]["comm"] == "curl" and front["host"] == HOST, front
    assert front["billable"] is False and front["billed_by"] == "openai", front
    assert front["collapsed_by"] == by and front["cost_pusd"] == 0, front
    assert front["tokens"] == bill["tokens"] and front["on_behalf_of"] is None, front
    assert bill["workload"]["comm"] == "python3" and bill["host"] == "api.openai.com", bill
    assert bill["on_behalf_of"] == front["workload"], bill
    assert bill["tags"]["team"] == "app" and bill["billable"] is True, bill
    return bill


def the_upstream_is_the_bill(build):
    for flags in ((), ("--rewrite",)):
        for stream in (False, True):
            with Agent(build, AS_GATEWAY) as agent, Provider(names=[HOST]) as provider, \
                    Gateway(provider, *flags) as gateway:
                gateway.call(stream=stream)
                bill = check_pair(agent.wait_rows(2, where=ours))
                check_sums(agent, provider, [bill])


def a_host_that_nobody_has_named(build):
    """Known by its shape only; that its upstream is seen tells what it is."""
    with Agent(build) as agent, Provider(names=[HOST]) as provider, Gateway(provider) as gateway:
        gateway.call()
        bill = check_pair(agent.wait_rows(2, where=ours))
        check_sums(agent, provider, [bill])
        assert not agent.status()["hints"], agent.status()["hints"]


def the_upstream_is_not_seen(build):
    for stream in (False, True):
        with Agent(build, AS_GATEWAY) as agent, PlainProvider(names=[HOST]) as provider, \
                Gateway(provider, "--plain") as gateway:
            gateway.call(stream=stream)
            (bill,) = agent.wait_rows(1, where=ours)
            assert bill["billable"] is True and bill["collapsed_by"] is None, bill
            assert bill["workload"]["comm"] == "curl" and bill["on_behalf_of"] is None, bill
            check_sums(agent, provider, [bill])


def a_retry_in_the_gateway(build):
    with Agent(build, AS_GATEWAY) as agent, Provider(names=[HOST]) as provider, \
            Gateway(provider, "--retry") as gateway:
        gateway.call(scenario="error-500")
        rows = agent.wait_rows(3, where=ours)
        (front,), bills = parts(rows)[1], sorted(parts(rows)[0], key=lambda row: row["started_at"])
        assert [row["status"] for row in bills] == [500, 200], bills
        assert [row["basis"] for row in bills] == ["not_billed", "reported_usage"], bills
        assert [row["attempt"] for row in bills] == [1, 2], bills
        assert all(row["on_behalf_of"] == front["workload"] for row in bills), bills
        check_sums(agent, provider, bills)


def a_cache_in_the_gateway(build):
    for plain in (False, True):
        with Agent(build, AS_GATEWAY) as agent, \
                (PlainProvider if plain else Provider)(names=[HOST]) as provider, \
                Gateway(provider, "--cache", *(["--plain"] if plain else [])) as gateway:
            gateway.call()
            gateway.call()
            bills, fronts = parts(agent.wait_rows(2 if plain else 3, where=ours))
            assert len(bills) == 1 and len(fronts) == (1 if plain else 2), (bills, fronts)
            assert all(front["cost_pusd"] == 0 for front in fronts), fronts
            check_sums(agent, provider, bills)


if __name__ == "__main__":
    sys.exit(main([the_upstream_is_the_bill, a_host_that_nobody_has_named, the_upstream_is_not_seen,
                   a_retry_in_the_gateway, a_cache_in_the_gateway]))
