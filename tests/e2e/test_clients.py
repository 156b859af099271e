#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unmodified clients over TLS against the local provider: every row equals the provider's books."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clients
from harness import Agent, main
from provider import Provider

APIS = ("chat", "completions", "responses", "embeddings", "messages")


def curl_every_api(build):
    with Agent(build) as agent, Provider() as provider:
        for api in APIS:
            clients.curl(provider, api)
            if api != "embeddings":
                clients.curl(provider, api, stream=True)
                clients.curl(provider, api, stream=True, flags=["--compressed"])
        rows = clients.check_costs(agent, provider, 13)
        for row in rows:
            assert row["workload"]["comm"] == "curl", row["workload"]
            assert row["workload"]["exe"].endswith("/curl"), row["workload"]
            assert row["workload"]["user"] == "root" and row["workload"]["uid"] == 0
            assert len(row["key_fingerprint"]) == 8
            assert row["gaps"] == 0 and row["duration_ms"] >= 0


def python_every_library(build):
    with Agent(build) as agent, Provider() as provider:
        calls = 0
        for client in ("http.client", "httpx", "requests", "aiohttp"):
            for api in ("chat", "messages"):
                clients.python(provider, "--api", api, client=client)
                clients.python(provider, "--api", api, "--stream", "--repeat", "2", client=client)
                calls += 3
        for row in clients.check_costs(agent, provider, calls):
            assert row["workload"]["comm"].startswith("python3"), row["workload"]


def node_https_and_fetch(build):
    with Agent(build) as agent, Provider() as provider:
        for client in ("https", "fetch"):
            for api in ("chat", "responses", "messages"):
                clients.node(provider, "--with", client, "--api", api)
                clients.node(provider, "--with", client, "--api", api, "--stream")
            clients.node(provider, "--with", client, "--api", "embeddings")
        for row in clients.check_costs(agent, provider, 14):
            assert row["workload"]["comm"] == "node", row["workload"]


# What a dialect has no words for.
UNSPEAKABLE = {("cache-5m-1h", "chat"), ("audio", "messages")}
MODEL_FOR = {"audio": "gpt-4o-audio-preview"}


def every_scenario_by_curl(build):
    from provider import SCENARIOS
    with Agent(build) as agent, Provider() as provider:
        for scenario in SCENARIOS:
            if scenario == "embeddings-50m":
                clients.curl(provider, "embeddings", scenario, flags=["-o", "/dev/null"])
                continue
            for api in ("chat", "messages"):
                if (scenario, api) in UNSPEAKABLE:
                    continue
                clients.curl(provider, api, scenario, stream=True, ok=False,
                             model=MODEL_FOR.get(scenario))
                if scenario not in ("cut", "reset", "sse-400k", "ping", "crlf"):
                    clients.curl(provider, api, scenario, ok=False,
                                 model=MODEL_FOR.get(scenario))
        rows = clients.check_costs(agent, provider, None)
        assert {row["basis"] for row in rows} == {"reported_usage", "estimated", "partial",
                                                  "not_billed"}
        assert {row["outcome"] for row in rows} == {"ok", "error", "aborted"}


def times_are_kernel_stamps(build):
    """started_at is the wall time at entry of the first write, within 2 ms and the clients' own."""
    from datetime import datetime, timezone
    script = (
        "import http.client, ssl, sys, time, socket\n"
        "real = socket.getaddrinfo\n"
        "socket.getaddrinfo = lambda h, p, *a, **k: real('127.0.0.1', int(sys.argv[1]), *a, **k)\n"
        "c = http.client.HTTPSConnection('api.openai.com', context=ssl.create_default_context("
        "cafile=sys.argv[2]))\n"
        "c.connect()\n"
        "body = '{\"model\":\"gpt-4o-mini\",\"messages\":[]}'\n"
        "before = time.time()\n"
        "c.request('POST', '/v1/chat/completions', body, {'x-demo-scenario': 'slow'})\n"
        "after = time.time()\n"
        "c.getresponse().read()\n"
        "print(before, after, time.time())\n")
    with Agent(build) as agent, Provider() as provider:
        done = subprocess.run(["/usr/bin/python3", "-c", script, str(provider.port),
                               provider.cacert], text=True, capture_output=True, check=True)
        before, after, end = map(float, done.stdout.split())
        row = agent.wait_rows(1)[0]
        stamp = datetime.strptime(row["started_at"], "%Y-%m-%dT%H:%M:%S.%fZ")
        started = stamp.replace(tzinfo=timezone.utc).timestamp()
        assert before - 0.002 <= started <= after + 0.002, (before, started, after)
        assert abs(row["duration_ms"] - (end - before) * 1000) < 60, (row["duration_ms"], end - before)
        assert 100 <= row["time_to_first_token_ms"] <= row["duration_ms"] + 1, row


if __name__ == "__main__":
    sys.exit(main([curl_every_api, python_every_library, node_https_and_fetch,
                   every_scenario_by_curl, times_are_kernel_stamps]))
