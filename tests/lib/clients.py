# SPDX-License-Identifier: Apache-2.0
"""Runs the real clients against the local provider, and compares rows with its books."""
import functools
import json
import os
import shutil
import subprocess

from harness import TOP, Skip
import compare

DEMO = os.path.join(TOP, "packaging", "demo")
HOSTS = {"messages": "api.anthropic.com"}
PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions",
         "responses": "/v1/responses", "embeddings": "/v1/embeddings",
         "messages": "/v1/messages"}
MODELS = {"chat": "gpt-4o-mini", "completions": "gpt-3.5-turbo-instruct", "responses": "gpt-5",
          "embeddings": "text-embedding-3-small", "messages": "claude-sonnet-4-5"}
COMPARED = ("provider", "api", "operation", "model_requested", "model", "stream", "status",
            "outcome", "basis", "tokens", "usage_raw", "response_id", "request_id")


def compiled(source, folder, *flags, name="client"):
    """A C client of the tests, built into a folder and linked as the flags say."""
    path = os.path.join(folder, name)
    done = subprocess.run(["gcc", "-O1", "-o", path, os.path.join(TOP, "tests", "e2e", source),
                           *flags], capture_output=True, text=True)
    if done.returncode:
        raise Skip("%s cannot be linked: %s" % (name, done.stderr.strip().splitlines()[-1]))
    return path


def python(provider, *args, client="http.client", env=None, ok=True, cwd=None):
    command = ["/usr/bin/python3", os.path.join(DEMO, "client.py"), "--port", str(provider.port),
               "--cacert", provider.cacert, "--with", client, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd,
                          env=dict(os.environ, **(env or {})))
    if done.returncode == 77:
        raise Skip(done.stderr.strip())
    assert not ok or done.returncode == 0, "%s: %s" % (command, done.stderr)
    return done


def node(provider, *args, env=None, ok=True, binary=None):
    binary = binary or shutil.which("node")
    if not binary:
        raise Skip("no node on PATH")
    command = [binary, os.path.join(DEMO, "client.mjs"), "--port", str(provider.port),
               "--cacert", provider.cacert, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120,
                          env=dict(os.environ, NODE_EXTRA_CA_CERTS=provider.cacert, **(env or {})))
    assert not ok or done.returncode == 0, "%s: %s" % (command, done.stderr)
    return done


def curl(provider, api="chat", scenario="plain", stream=False, body=None, flags=(), host=None,
         path=None, model=None, env=None, ok=True, binary="curl"):
    """curl with nothing but a redirected connection; returns its output."""
    host = host or HOSTS.get(api, "api.openai.com")
    if body is None:
        body = {"model": model or MODELS[api]}
        key = {"chat": "messages", "messages": "messages", "completions": "prompt"}.get(api, "input")
        body[key] = [{"role": "user", "content": "hi"}] if key == "messages" else "hi"
        if api == "messages":
            body["max_tokens"] = 9
        if stream:
            body["stream"] = True
            if api in ("chat", "completions"):
                body["stream_options"] = {"include_usage": True}
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    command = [binary, "-sS", "--no-buffer", "--cacert", provider.cacert, "--connect-to",
               "%s:443:127.0.0.1:%d" % (host, provider.port), "-H",
               "Content-Type: application/json", "-H", "x-demo-scenario: " + scenario, "-H",
               "Authorization: Bearer sk-demo-curl", "--data-binary", "@-", *flags,
               "https://%s%s" % (host, path or PATHS[api])]
    done = subprocess.run(command, input=data if isinstance(data, bytes) else data.encode(),
                          capture_output=True, timeout=120, env=dict(os.environ, **(env or {})))
    assert not ok or done.returncode == 0, "%s: %s" % (command, done.stderr)
    return done


def plain_body(api, stream):
    body = {"model": MODELS[api], "stream": stream, "max_tokens": 9}
    body["messages" if api in ("chat", "messages") else "input"] = []
    if stream and api == "chat":
        body["stream_options"] = {"include_usage": True}
    return json.dumps(body)


def curl_plain(provider, api="chat", stream=False, scenario="plain", more=(), ok=True):
    """The same without TLS, to the port itself."""
    done = subprocess.run(
        ["curl", "-sS", "--no-buffer", "-H", "Content-Type: application/json", "-H",
         "x-demo-scenario: " + scenario, "-H", "Authorization: Bearer sk-demo-plain", "-d",
         plain_body(api, stream), *more,
         "http://127.0.0.1:%d%s" % (provider.port, PATHS[api])],
        capture_output=True, text=True, timeout=60)
    assert not ok or done.returncode == 0, done.stderr
    return done


def numbers(usage):
    """The numeric leaves: what a row keeps of a usage object."""
    if not isinstance(usage, dict):
        return usage
    return {k: numbers(v) for k, v in usage.items() if isinstance(v, (int, dict))}


def check_row(row, truth):
    """A row must say what the provider's books say, to the token."""
    truth = dict(truth, usage_raw=numbers(truth["usage_raw"]))
    for key in COMPARED:
        assert row[key] == truth[key], "%s: row has %r, the provider's books %r (request %s)" % (
            key, row[key], truth[key], truth["request_id"])


def check_books(agent, provider, expected=None, timeout_s=6):
    """Every call in the provider's books has its row, and there is no other row."""
    truth = {t["request_id"]: t for t in provider.truth_rows()}
    assert expected is None or len(truth) == expected, "%d calls in the books" % len(truth)

    def ours(row):
        """False for a call of another provider that somebody runs on this host meanwhile."""
        name = row["request_id"] or ""
        return not name.startswith("req_demo_") or provider.run_name in name

    rows = agent.wait_rows(len(truth), timeout_s, ours)
    for row in rows:
        assert row["request_id"] in truth, "row of no known request: %s" % json.dumps(row)
        check_row(row, truth[row["request_id"]])
    assert len({row["event_id"] for row in rows}) == len(rows), "an event id came twice"
    return rows


@functools.lru_cache
def catalog():
    with open(os.path.join(TOP, "pricing", "catalog.json"), encoding="utf-8") as f:
        return json.load(f)


def check_cost(row):
    """The catalogue's prices times the row's tokens, worked out by other code than the agent's."""
    cost = compare.expected_pusd(catalog(), row)
    assert row["cost_pusd"] == cost, "%s: cost %s, worked out %s" % (
        row["model"], row["cost_pusd"], cost)


def check_costs(agent, provider, expected=None):
    rows = check_books(agent, provider, expected)
    for row in rows:
        check_cost(row)
    return rows
