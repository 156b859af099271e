#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unique strings go in prompts, answers, headers, keys and environments through every client and
every shape of the providers; afterwards nothing that the agent leaves or shows holds them."""
import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.parse
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, Skip, main, wait_until
from http2 import PlainProvider
from provider import Provider

CANARY = "canary-8f1e6c0b-prompt"
KEY = "sk-proj-canaryKey9d2f7a31c4"
# The demo clients' own keys and prompts, and a word that every answer of the provider holds.
SECRETS = (CANARY, KEY, "sk-demo-0000", "sk-ant-demo-0000", "hello from ", "lorem")
PYTHON = ("http.client", "httpx", "requests", "aiohttp")
# Every header whose value may be kept by default, in a form that is no id; and what is not listed.
LISTED = ("x-claude-code-session-id", "session-id", "session_id", "x-opencode-session",
          "vscode-sessionid", "x-session-id", "helicone-session-id", "conversation_id",
          "openai-organization", "openai-project", "x-goog-user-project")
NOT_LISTED = ("x-title", "helicone-user-id", "helicone-property-feature", "x-litellm-tags",
              "cf-aig-metadata", "x-portkey-metadata", "tracestate", "x-stainless-lang",
              "originator")
LEVELS = ("error", "warn", "info", "debug")


def encodings(text):
    """The forms a leak might take. Base64 by its middle, which does not depend on neighbours."""
    raw = text.encode()
    forms = {raw, raw.hex().encode(), raw.hex().upper().encode(), raw[::-1],
             urllib.parse.quote(text, safe="").encode(), text.encode("utf-16-le"),
             gzip.compress(raw)[10:-8], zlib.compress(raw)[2:-4]}
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + raw)
        forms.add(encoded[4:-4])
        forms.add(encoded[4:-4].translate(bytes.maketrans(b"+/", b"-_")))
    return {form for form in forms if len(form) >= 5}


def messages(api):
    """With the result of a tool call, whose id joins the call to its run."""
    if api == "chat":
        return [{"role": "user", "content": CANARY},
                {"role": "tool", "tool_call_id": CANARY, "content": CANARY}]
    return [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": CANARY, "content": CANARY}]}]


def heads():
    """A canary in each header of the lists, and in baggage."""
    yield from ("-H", "baggage: session.id=say %s,user.id=%s,%s=x" % (CANARY, CANARY, CANARY))
    yield from ("-H", "traceparent: 00-%s-%s-01" % (CANARY.ljust(32, "0"), "b7ad6b7169203331"))
    for name in LISTED:
        yield from ("-H", "%s: say %s" % (name, CANARY))
    for name in NOT_LISTED:
        yield from ("-H", "%s: %s" % (name, CANARY))


def by_curl(provider, api, scenario="plain", flags=(), **body):
    """One call with the canary wherever a client can put it."""
    text = CANARY if api != "embeddings" else [CANARY, CANARY]
    key = {"chat": "messages", "messages": "messages", "completions": "prompt"}.get(api, "input")
    request = {"model": clients.MODELS[api], "user": CANARY, "prompt_name": CANARY,
               "safety_identifier": CANARY, "prompt_cache_key": CANARY,
               "previous_response_id": "say " + CANARY, "conversation": {"id": "say " + CANARY},
               "metadata": {"user_id": CANARY, "team": CANARY, CANARY: "x"},
               "labels": {"team": CANARY}, "requestMetadata": {"team": CANARY},
               key: messages(api) if key == "messages" else text, **body}
    if api == "messages":
        request["max_tokens"] = 9
    clients.curl(provider, api, scenario, body=request, ok=False, env={"SECRET": CANARY},
                 flags=["-H", "Authorization: Bearer " + KEY, "-H", "x-api-key: " + KEY,
                        "-H", "api-key: " + KEY, "-H", "Cookie: session=" + CANARY,
                        "-H", "X-%s: %s" % (CANARY, CANARY), "-A", CANARY, *heads(), *flags])


def every_shape(provider):
    """Returns how many rows that makes."""
    before = len(provider.truth_rows())
    for api in clients.PATHS:
        by_curl(provider, api)
        by_curl(provider, api, flags=["--compressed"])
        by_curl(provider, api, "error-401")
        by_curl(provider, api, "not-found-html")
        if api != "embeddings":
            by_curl(provider, api, stream=True)
            by_curl(provider, api, "cut", stream=True)
    for library in PYTHON:
        for api in ("chat", "messages"):
            try:
                clients.python(provider, "--api", api, "--stream", client=library,
                               env={"SECRET": CANARY})
            except Skip:
                pass
    for way in ("https", "fetch"):
        clients.node(provider, "--with", way, "--stream", env={"SECRET": CANARY})
    return len(provider.truth_rows()) - before


def by_plain_http(provider):
    """To a port that is metered at the socket. Returns how many rows that makes."""
    for stream in (False, True):
        body = {"model": "gpt-4o-mini", "stream": stream,
                "messages": [{"role": "user", "content": CANARY}]}
        subprocess.run(["curl", "-sS", "-H", "Authorization: Bearer " + KEY, "-H",
                        "Content-Type: application/json", "-d", json.dumps(body),
                        "http://127.0.0.1:%d/v1/chat/completions" % provider.port],
                       capture_output=True, check=True, timeout=60, env={"SECRET": CANARY})
    return len(provider.truth_rows())


def shown(agent):
    """What an agent shows to whoever asks."""
    for path in ("/metrics", "/", "/readyz", "/api/v1/status", "/" + CANARY):
        yield path, agent.get(path)[1].encode()
    for words in (["events", "--output=json"], ["events", "--wide"], ["events", "--output=csv"],
                  ["spend", "--by=tags"], ["traces"], ["top", "--once"], ["doctor"],
                  ["doctor", "--output=json"]):
        done = agent.command(*words, "--storage.path=" + agent.storage, check=False)
        yield " ".join(words), (done.stdout + done.stderr).encode()


def left(folder):
    for parent, _, files in os.walk(folder):
        for name in files:
            with open(os.path.join(parent, name), "rb") as f:
                yield name, f.read()


def check(outputs):
    forms = {form: secret for secret in SECRETS for form in encodings(secret)}
    for name, output in outputs:
        for form, secret in forms.items():
            at = output.find(form)
            assert at < 0, "%r as %r is in %s: ...%r..." % (
                secret, form, name, output[max(0, at - 80):at + 80])


def content_and_keys_stay_in_memory(build):
    """Every client and shape at the loudest log level; the agent is then made to crash."""
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as temporary, \
            PlainProvider() as plain, \
            Agent(build, "--log.level=debug", "--plaintext.ports=%d" % plain.port,
                  "--provider.host=127.0.0.1=openai", env={"TMPDIR": temporary}) as agent, \
            Provider() as provider:
        expected = every_shape(provider) + by_plain_http(plain)
        wait_until(lambda: len(agent.rows()) == expected, 10, "%d rows" % expected)
        outputs = list(shown(agent))
        for pid in agent.pids():
            with open("/proc/%d/limits" % pid) as f:
                assert any(line.split()[:6] == ["Max", "core", "file", "size", "0", "0"]
                           for line in f)
        outputs += left(agent.storage)  # with the WAL of a running agent
        agent.signal("worker", signal.SIGABRT)
        agent.stop(signal.SIGABRT)
        assert not os.listdir(temporary), os.listdir(temporary)
        outputs.append(("stderr", agent.stderr.encode()))
        outputs += left(agent.storage)
        assert not [n for n in os.listdir(".") if n.startswith("core")]
        check(outputs)


def listed_values_are_hashed(build):
    """Keys that are listed by name, with values that are persons': no word of them is kept."""
    specs = ["body:user", "body:safety_identifier", "body:metadata.user_id", "header:x-title=hash",
             "header:helicone-user-id", "baggage:user.id", "header:x-session-id=hash",
             "body:metadata.team=hash", "header:x-litellm-tags=hash", "baggage:team"]
    flags = ["-H", "x-session-id: " + CANARY, "-H", "baggage: team=%s@corp.example" % CANARY]
    with Agent(build, *["--privacy.keep=" + spec for spec in specs]) as agent, \
            Provider() as provider:
        by_curl(provider, "chat", flags=flags)
        rows = agent.wait_rows(1)
        for tag in ("user_id", "safety_identifier", "app", "team", "x-litellm-tags"):
            assert rows[0]["tags"][tag].startswith("hash:"), rows[0]["tags"]
        assert rows[0]["session_id"].startswith("hash:"), rows[0]
        outputs = [*shown(agent), *left(agent.storage)]
        agent.stop()
        check([*outputs, ("stderr", agent.stderr.encode()), *left(agent.storage)])


def minimal_keeps_no_trace_of_who(build):
    """Of a call nothing but provider, model, tokens, cost, times and what TOLLTAP_TAGS says."""
    with Agent(build, "--privacy.profile=minimal", "--privacy.keep=header:x-team") as agent, \
            Provider() as provider:
        clients.curl(provider, flags=["-H", "x-team: blue", "-H", "x-session-id: s-1", "-H",
                                      "x-title: my-app", "-A", "OpenAI/Python 1.0"],
                     env={"TOLLTAP_TAGS": "cost_center=42", "GITHUB_ACTIONS": "true",
                          "GITHUB_REPOSITORY": "octo/hello", "OTEL_SERVICE_NAME": "api"})
        row = agent.wait_rows(1)[0]
        assert row["tags"] == {"cost_center": "42", "x-team": "blue"}, row["tags"]
        assert row["tokens"] and row["cost_usd"] and row["provider"] == "openai", row
        assert row["workload"] == {} and row["on_behalf_of"] is None, row
        for key in ("host", "session_id", "trace_id", "response_id", "request_id",
                    "key_fingerprint"):
            assert row[key] is None, (key, row[key])
        words = (b"octo/hello", b"curl", b"api.openai.com", b"my-app", b"openai-python")
        for name, output in [(n, o) for n, o in left(agent.storage) if n.startswith("ledger")]:
            for word in words:
                assert word not in output, (name, word)
        assert 'comm="curl"' not in agent.get("/metrics")[1]


def every_log_level(build):
    for level in LEVELS:
        with Agent(build, "--log.level=" + level) as agent, Provider() as provider:
            for scenario in ("plain", "cut", "error-500"):
                by_curl(provider, "chat", scenario, stream=True)
            wait_until(lambda: len(agent.rows()) == 3, 8, "3 rows")
            agent.stop()
            check([("stderr at " + level, agent.stderr.encode()), *left(agent.storage)])


def the_check_finds_what_it_looks_for(build):
    """Each form of each secret is noticed in the middle of other bytes."""
    for secret in SECRETS:
        for form in encodings(secret):
            try:
                check([("a test", b"\0before" + form + b"after\0")])
            except AssertionError:
                continue
            raise AssertionError("not noticed: %r" % form)


def own_memory(pid):
    """What a process has of its own, the rings that the kernel writes left out."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            if not fields[1].startswith("rw") or (len(fields) > 5 and fields[5][0] != "["):
                continue
            start, end = (int(n, 16) for n in fields[0].split("-"))
            try:
                memory.seek(start)
                yield fields[5] if len(fields) > 5 else "anonymous", memory.read(end - start)
            except OSError:
                pass


def keys_are_wiped_after_use(build):
    """The worker reads a key to fingerprint it; then no copy is left in its heap, stack or data."""
    with Agent(build) as agent, Provider() as provider:
        for api, scenario in (("chat", "plain"), ("messages", "plain"), ("chat", "error-401")):
            clients.curl(provider, api, scenario, ok=False,
                         flags=["-H", "Authorization: Bearer " + KEY, "-H", "x-api-key: " + KEY,
                                "-H", "X-Long: " + "a" * 6000])
        wait_until(lambda: len(agent.rows()) == 3, 6, "3 rows")
        assert len({row["key_fingerprint"] for row in agent.rows()}) == 1
        seen = 0
        for name, memory in own_memory(agent.pid_of("worker")):
            seen += len(memory)
            assert KEY.encode() not in memory, "a key is left in %s" % name
        assert seen > 1 << 20, seen


if __name__ == "__main__":
    sys.exit(main([
        the_check_finds_what_it_looks_for, content_and_keys_stay_in_memory,
        listed_values_are_hashed, minimal_keeps_no_trace_of_who, every_log_level,
        keys_are_wiped_after_use]))
