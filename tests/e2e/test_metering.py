#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The metering test that is the same on every kernel: here, and in each guest of `make check-kernels`.
Real clients call a local provider; rows must say what its books say, to the token and the picodollar.
The agent starts without CAP_SYS_ADMIN; where the kernel does not allow that, it must say so.

The lines `# {...}` say what this kernel can do and what the agent made of it."""
import contextlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clients
import privilege
from harness import TOP, Agent, main
from http2 import PlainProvider
from provider import Provider
import compare

CURL_CALLS = (  # api, scenario, stream, further flags
    ("chat", "plain", False, ()),
    ("chat", "plain", True, ()),
    ("chat", "reasoning", True, ("--compressed",)),
    ("chat", '{"framing":"chunked","piece_bytes":7}', False, ()),
    ("messages", "cache-5m-1h", True, ()),
    ("messages", "error-429", False, ()),
)
KEPT_ALIVE = 2


def fact(**facts):
    print("# " + json.dumps(facts), flush=True)


@contextlib.contextmanager
def least_privileged(build):
    """An agent with no more than this kernel needs."""
    agent = Agent(build, prefix=privilege.only(*privilege.LEAST))
    try:
        agent.start()
    except AssertionError:
        *missing, line = agent.stderr.strip().splitlines()
        assert privilege.needs_sys_admin(), "needs more than it should: %s" % agent.stderr
        assert all(" is missing: " in warning for warning in missing), agent.stderr
        assert "CAP_SYS_ADMIN" in line, agent.stderr
        assert agent.process.returncode == privilege.EXIT_PRIVILEGE, agent.process.returncode
        fact(without_sys_admin="refuses")
        agent = Agent(build).start()
    else:
        fact(without_sys_admin="meters")
    try:
        yield agent
    finally:
        agent.__exit__()


def calls_are_metered_exactly(build):
    with open(os.path.join(TOP, "pricing", "catalog.json"), encoding="utf-8") as f:
        catalog = json.load(f)
    with least_privileged(build) as agent, Provider() as provider:
        doctor = agent.command("doctor", "--storage.path=" + agent.storage, "--output=json")
        fact(**json.loads(doctor.stdout)["kernel"])
        for api, scenario, stream, flags in CURL_CALLS:
            clients.curl(provider, api, scenario, stream, flags=("--http1.1", *flags))
        clients.python(provider, "--api", "chat", "--repeat", str(KEPT_ALIVE))
        rows = clients.check_books(agent, provider, len(CURL_CALLS) + KEPT_ALIVE)
        for truth in provider.truth_rows():
            found = [row for row in rows if row["request_id"] == truth["request_id"]]
            judged = compare.judge(catalog, truth, found)
            assert judged["agree"], judged["differences"]
            assert judged["cost_pusd"] is not None, "no price for %s" % truth["model"]
        if privilege.agent_processes(agent):
            privilege.check_processes(agent)
        lost = agent.metric_sum("tolltap_capture_lost_events_total")
        assert lost == 0, "%d events lost" % lost


def plain_http_to_a_listed_port(build):
    with PlainProvider() as provider, \
            Agent(build, "--plaintext.ports=%d" % provider.port,
                  "--provider.host=127.0.0.1=openai,role=direct") as agent:
        for stream in (False, True):
            clients.curl_plain(provider, stream=stream)
        clients.check_costs(agent, provider, 2)


if __name__ == "__main__":
    sys.exit(main([calls_are_metered_exactly, plain_http_to_a_listed_port]))
