#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 over TLS, by unmodified clients: every row equals the provider's books, and what is nobody's
business is not copied."""
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clients
from harness import Agent, Skip, main, wait_until
from http2 import Http2Client, Http2Provider, node

WEB = "www.example.test"


def call(api="chat", scenario="plain", stream=False, padding=0, **headers):
    body = {"model": clients.MODELS[api], "padding": "x" * padding, "stream": stream}
    body["messages" if api == "chat" else "input"] = []
    if stream and api == "chat":
        body["stream_options"] = {"include_usage": True}
    return {"path": clients.PATHS[api], "body": json.dumps(body),
            "headers": {"content-type": "application/json", "authorization": "Bearer sk-demo-node",
                        "x-demo-scenario": scenario, **headers}}


def begin(row):
    return datetime.strptime(row["started_at"], "%Y-%m-%dT%H:%M:%S.%fZ")


def end(row):
    return begin(row) + timedelta(milliseconds=row["duration_ms"])


def decoded(agent):
    return agent.metric_sum("tolltap_connections_total", 'state="decoded"')


def curl_every_api(build):
    if "HTTP2" not in subprocess.run(["curl", "-V"], capture_output=True, text=True).stdout:
        raise Skip("this curl has no HTTP/2")
    with Agent(build) as agent, Http2Provider() as provider:
        for api in clients.PATHS:
            for stream in (False, True)[:1 if api == "embeddings" else 2]:
                for more in ((), ("--compressed",)):
                    done = clients.curl(provider, api, stream=stream,
                                        flags=["--http2", "-w", "%{http_version}", *more])
                    assert done.stdout.endswith(b"2"), done.stdout[-40:]
        for row in clients.check_costs(agent, provider, 18):
            assert row["workload"]["comm"] == "curl" and row["gaps"] == 0, row
            assert row["host"] == clients.HOSTS.get(row["api"], "api.openai.com"), row["host"]
            assert len(row["key_fingerprint"]) == 8, row
        server = agent.metric_sum("tolltap_connections_total", 'reason="server_side"')
        assert decoded(agent) == 18 and server >= 18, (decoded(agent), server)


def httpx_by_its_own_frames(build):
    """Another implementation, whose HPACK encoder remembers paths too."""
    with Agent(build) as agent, Http2Provider() as provider:
        for api in ("chat", "messages"):
            clients.python(provider, "--api", api, "--repeat", "3", client="httpx2")
            clients.python(provider, "--api", api, "--stream", "--repeat", "3", client="httpx2")
        clients.check_costs(agent, provider, 12)
        assert decoded(agent) == 4, decoded(agent)


def streams_of_one_connection(build):
    """All begin before the first ends; their events come mixed, some packed, between whole answers."""
    calls = [call(api, "slow", stream, **coding)
             for api in ("chat", "responses") for stream in (True, False)
             for coding in ({}, {"accept-encoding": "gzip"}, {"accept-encoding": "br"})]
    calls += [call("embeddings", "slow"), call("chat", "reasoning"), call("responses", "error-429")]
    with Agent(build) as agent, Http2Provider() as provider, Http2Client(provider) as client:
        statuses = client(calls)
        assert statuses == [200] * 14 + [429], statuses
        rows = clients.check_costs(agent, provider, len(calls))
        slow = [row for row in rows if row["duration_ms"] > 140]
        assert len(slow) == 13, [row["duration_ms"] for row in rows]
        last_begin, first_end = max(map(begin, slow)), min(map(end, slow))
        assert last_begin < first_end, "the streams came one after the other"
        assert all(row["gaps"] == 0 for row in rows)
        assert client([call()]) == [200]  # the same connection is still the same
        clients.check_costs(agent, provider, len(calls) + 1)
        assert decoded(agent) == 1, decoded(agent)


def large_bodies_and_cut_answers(build):
    calls = [call(padding=600 << 10), call("chat", "sse-400k", True), call("responses", "cut", True),
             call("chat", "no-usage"), call("chat", "one-byte", True, padding=20 << 10)]
    with Agent(build) as agent, Http2Provider() as provider, Http2Client(provider) as client:
        statuses = client(calls)
        assert statuses == [200, 200, 0, 200, 200], statuses
        rows = clients.check_costs(agent, provider, len(calls))
        assert all(row["gaps"] == 0 for row in rows)
        assert agent.metric_sum("tolltap_decode_errors_total") == 0


# Ends neither stream nor connection: that is the client's to do.
OPEN_ENDED = """
import fs from 'node:fs'; import http2 from 'node:http2';
const [cert, key] = process.argv.slice(1).map((f) => fs.readFileSync(f));
const usage = {prompt_tokens: 31, completion_tokens: 17, total_tokens: 48};
const server = http2.createSecureServer({cert, key});
server.on('stream', (stream) => {
  stream.on('error', () => {});
  stream.respond({':status': 200, 'content-type': 'text/event-stream'});
  for (const event of [{id: 'chatcmpl-open', object: 'chat.completion.chunk',
      model: 'gpt-4o-mini-2024-07-18', choices: [{index: 0, delta: {content: 'hello'}}]},
      {object: 'chat.completion.chunk', choices: [], usage}])
    stream.write('data: ' + JSON.stringify(event) + '\\n\\n');
  stream.write('data: [DONE]\\n\\n');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""

# Leaves at the last event, as SDKs do that close what they have read: by exit, or by a reset.
LEAVES = """
import fs from 'node:fs'; import http2 from 'node:http2';
const [port, ca, how] = process.argv.slice(1);
const session = http2.connect('https://api.openai.com:' + port, {ca: fs.readFileSync(ca),
  lookup: (_, options, done) => done(null, [{address: '127.0.0.1', family: 4}])});
const stream = session.request({':method': 'POST', ':path': '/v1/chat/completions',
  'content-type': 'application/json'});
stream.end(JSON.stringify({model: 'gpt-4o-mini', stream: true, messages: [],
  stream_options: {include_usage: true}}));
stream.on('data', (piece) => {
  if (!piece.includes('[DONE]')) return;
  if (how === 'exit') process.exit(0);
  stream.close(http2.constants.NGHTTP2_CANCEL, () => session.close());
});
"""


def leaving_at_the_last_event(build):
    """The answer says that it is over; no END_STREAM ever comes. The call is whole."""
    with Http2Provider() as provider, Agent(build) as agent:
        key = os.path.join(os.path.dirname(provider.cacert), "key.pem")
        server = subprocess.Popen([node(), "--input-type=module", "-e", OPEN_ENDED, provider.cacert,
                                   key], text=True, stdout=subprocess.PIPE)
        try:
            port = server.stdout.readline().strip()
            for how in ("exit", "reset"):
                subprocess.run([node(), "--input-type=module", "-e", LEAVES, port, provider.cacert,
                                how], check=True, timeout=30)
            for row in agent.wait_rows(2):
                assert row["outcome"] == "ok" and row["basis"] == "reported_usage", row
                assert row["tokens"] == {"input_uncached": 31, "output_text": 17}, row
        finally:
            server.kill()
            server.wait()


def other_traffic_is_not_copied(build):
    """Not even a POST to the path of an API: its path and host are packed."""
    page = {"path": "/", "headers": {}}
    upload = {"path": "/upload", "headers": {}, "body": "z" * 100000}
    with Agent(build) as agent, Http2Provider(names=[WEB]) as provider:
        before = agent.metric_sum("tolltap_capture_bytes_total")
        with Http2Client(provider, WEB) as client:
            for _ in range(20):
                client([page, upload, call(), call(stream=True)])
        time.sleep(0.5)
        taken = agent.metric_sum("tolltap_capture_bytes_total") - before
        assert taken == 0, "%d bytes of somebody else's traffic were copied" % taken
        muted = agent.metric_sum("tolltap_connections_total", 'reason="http2_unlisted"')
        assert muted == 1 and decoded(agent) == 0, (muted, decoded(agent))
        wait_until(lambda: agent.status()["connections"]["http2_unlisted"] == 1, 5, "status tells")
        said = agent.command("doctor", "--storage.path=" + agent.storage, check=False).stdout
        assert "1 HTTP/2 connections to hosts that are not listed" in said, said
        assert agent.rows() == []
        with Http2Client(provider) as client:
            client([call()])
        agent.wait_rows(1)


def a_host_becomes_listed(build):
    with Http2Provider(names=[WEB]) as provider, \
            Agent(build, "--provider.host=%s=openai,role=gateway" % WEB) as agent, \
            Http2Client(provider, WEB) as client:
        client([call(), call(stream=True)])
        rows = clients.check_costs(agent, provider, 2)
        assert {row["host"] for row in rows} == {WEB}, rows


def next_worker_joins_the_connection(build):
    """Its beginning went to another worker, and with it names of fields; counts and path are there."""
    with Agent(build) as agent, Http2Provider() as provider, Http2Client(provider) as client:
        client([call(), call(stream=True)])
        clients.check_costs(agent, provider, 2)
        first = agent.pid_of("worker")
        agent.signal("worker", signal.SIGKILL)
        wait_until(lambda: agent.pid_of("worker") != first and agent.get("/readyz")[0] == 200, 10,
                   "the next worker is ready")
        client([call(), call("responses", stream=True)])
        rows = agent.wait_rows(4)[2:]
        for row, truth in zip(sorted(rows, key=lambda row: row["api"]),
                              sorted(provider.truth_rows()[2:], key=lambda row: row["api"])):
            for key in ("provider", "api", "model", "tokens", "basis", "outcome"):
                assert row[key] == truth[key], (key, row, truth)
            clients.check_cost(row)


def open_before_the_agent(build):
    """Nothing on the connection says any more whose it is: the next one is metered."""
    with Http2Provider() as provider:
        with Http2Client(provider) as client:
            client([call()])
            with Agent(build) as agent:
                client([call(), call(stream=True)])
                with Http2Client(provider) as another:
                    another([call()])
                rows = agent.wait_rows(1)
                clients.check_row(rows[0], provider.truth_rows()[-1])


if __name__ == "__main__":
    sys.exit(main([
        curl_every_api, httpx_by_its_own_frames, streams_of_one_connection,
        large_bodies_and_cut_answers, leaving_at_the_last_event, other_traffic_is_not_copied,
        a_host_becomes_listed, next_worker_joins_the_connection, open_before_the_agent]))
