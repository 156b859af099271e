#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""History beside an agent that records: a price is filled in, months are closed, a backup is taken."""
import json
import os
import shutil
import sys
import tempfile
import threading
from decimal import Decimal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clients
from harness import TOP, Agent, main, wait_until
from provider import Provider

CATALOG = "--prices.file=" + os.path.join(TOP, "pricing", "catalog.json")
UNKNOWN = "gpt-of-tomorrow"
TICK_S = 15  # the agent reads its ledger's sums anew so often


def body(model):
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]})


def spend(agent, *flags):
    """The total's cost, exact."""
    done = agent.command("spend", "--storage.path=" + agent.storage, "--output=json", *flags)
    total = json.loads(done.stdout.splitlines()[-1])
    return Decimal(total["cost_usd"])


def gauge(agent, period):
    return sum(Decimal(value) for name, value in agent.metrics().items()
               if name.startswith('tolltap_ledger_cost_usd{period="%s"' % period))


def counters(agent):
    return {name: value for name, value in agent.metrics().items()
            if name.startswith("tolltap_cost_usd_total")}


def verified(agent):
    done = agent.command("ledger", "verify", "--storage.path=" + agent.storage, "--output=json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def a_price_is_filled_in(build):
    with tempfile.TemporaryDirectory() as prices, Provider() as provider:
        flags = ("--prices.dir=" + prices, CATALOG)
        with Agent(build, *flags) as agent:
            storage = "--storage.path=" + agent.storage
            for model in ("gpt-4o-mini", UNKNOWN, UNKNOWN):
                clients.curl(provider, body=body(model))
            rows = agent.wait_rows(3)
            assert sorted(row["basis"] for row in rows) == ["reported_usage", "unpriced", "unpriced"]
            before = counters(agent)
            agent.command("prices", "add", "openai", UNKNOWN, "input=1", "output=10", *flags)
            shown = agent.command("reprice", "--since=1h", "--dry-run", "--output=json", storage, *flags)
            line = json.loads(shown.stdout.splitlines()[0])
            assert (line["model"], line["calls"], line["newly_priced"]) == (UNKNOWN, 2, 2), line
            assert agent.rows() == rows, "a dry run changed rows"
            refused = agent.command("reprice", "--since=1h", storage, *flags, check=False)
            assert refused.returncode == 2 and "--yes" in refused.stderr, refused.stderr
            agent.command("reprice", "--since=1h", "--yes", storage, *flags)
            priced = {row["event_id"]: row for row in agent.rows()}
            for row in rows:
                now = priced[row["event_id"]]
                if row["model"] != UNKNOWN:
                    assert now == row, "a row whose price did not change was changed"
                    continue
                tokens = now["tokens"]
                cost = sum(n * (10**7 if kind.startswith("output") else 10**6)
                           for kind, n in tokens.items())  # cached input has no price of its own
                assert (now["basis"], now["cost_pusd"]) == ("reported_usage", cost), now
                assert now["tokens"] == row["tokens"]
            assert sum(Decimal(row["cost_usd"]) for row in priced.values()) == spend(agent)
            # Reports follow, counters do not.
            wait_until(lambda: gauge(agent, "month") == spend(agent), TICK_S + 5, "the gauge follows")
            assert gauge(agent, "day") == spend(agent)
            assert counters(agent) == before, "a reprice changed a counter"
            assert all(found["ok"] for found in verified(agent))
            agent.stop()
            agent.start()
            wait_until(lambda: gauge(agent, "month") == spend(agent), 5, "a restart knows the sum")
            assert not counters(agent), "counters begin anew"


def months_beside_an_agent(build):
    storage = tempfile.mkdtemp(prefix="tolltap-test.")
    shutil.rmtree(storage)
    try:
        with Provider() as provider:
            agent = Agent(build, CATALOG, storage=storage)
            agent.command("demo", "--data", "--rows=3000", "--storage.path=" + storage, CATALOG)
            with agent:
                at = "--storage.path=" + storage
                calls = threading.Thread(target=lambda: [clients.curl(provider) for _ in range(10)])
                calls.start()
                for month in ("2026-09", "2026-10"):
                    agent.command("period", "close", month, at)
                again = agent.command("period", "close", "2026-10", at, check=False)
                assert again.returncode == 2 and "closed already" in again.stderr, again.stderr
                frozen = spend(agent, "--since=2026-09-01", "--until=2026-11-01")
                agent.command("reprice", "--since=2026-09-01", "--until=2026-11-01", "--yes", at,
                              CATALOG, "--prices.dir=" + discount(storage))
                assert spend(agent, "--since=2026-09-01", "--until=2026-11-01") == frozen, \
                    "a closed month changed"
                agent.command("reprice", "--since=2026-10-01", "--until=2026-11-01", "--yes", at, "--closed",
                              CATALOG, "--prices.dir=" + discount(storage))
                months = [json.loads(line) for line in
                          agent.command("period", "list", at, "--output=json").stdout.splitlines()]
                october = next(m for m in months if m["month"] == "2026-10")
                assert Decimal(october["corrections_usd"]) < 0, october
                assert Decimal(october["cost_usd"]) + Decimal(october["corrections_usd"]) == \
                    Decimal(october["cost_now_usd"]) == \
                    spend(agent, "--since=2026-10-01", "--until=2026-11-01")
                copy = os.path.join(storage, "copy")
                os.mkdir(copy)
                agent.command("ledger", "backup", os.path.join(copy, "ledger.db"), at)
                calls.join()
                agent.wait_rows(10, where=lambda row: row["request_id"] and
                                provider.run_name in row["request_id"])
                findings = verified(agent)
                assert all(found["ok"] for found in findings), findings
                assert sum(found["check"] == "closed months" for found in findings) == 2
            done = agent.command("ledger", "verify", "--storage.path=" + copy, "--output=json")
            assert all(json.loads(line)["ok"] for line in done.stdout.splitlines())
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def discount(storage):
    """A contract that is found later: OpenAI at nine tenths."""
    folder = os.path.join(storage, "prices.d")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "contract.json"), "w") as f:
        json.dump({"schema": "tolltap-overrides/1",
                   "overrides": [{"provider": "openai", "factor": "0.9"}]}, f)
    return folder


if __name__ == "__main__":
    main([a_price_is_filled_in, months_beside_an_agent])
