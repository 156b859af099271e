#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP to the ports of --plaintext.ports: the same rows as over TLS, and nothing of other ports."""
import json
import os
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, main
from http2 import PlainProvider, node

BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})


def flags(provider, *more):
    return ("--plaintext.ports=%d" % provider.port,
            "--provider.host=127.0.0.1=openai,role=direct", *more)


# As programs move bytes: by send and recv, write and read, vectors, messages, a peek before.
PYTHON = r"""
import json, os, socket, struct, sys
port, how, body = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode()
head = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
        b"Authorization: Bearer sk-demo-py\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % (port, len(body)))
s = socket.create_connection(("127.0.0.1", port))
fd = s.fileno()
parts = [head[:7], head[7:60], head[60:], body]
if how == "send":
    s.sendall(head + body)
elif how == "write":
    os.write(fd, head); os.write(fd, body)
elif how == "writev":
    os.writev(fd, parts)
elif how == "many":  # more buffers than are looked at one by one
    os.writev(fd, [head] + [body[i:i + 1] for i in range(len(body))])
elif how == "sendmsg":
    s.sendmsg(parts)
while True:
    if how == "send":
        s.recv(5, socket.MSG_PEEK)
        piece = s.recv(3000)
    elif how == "write":
        piece = os.read(fd, 777)
    elif how == "writev":
        buffers = [bytearray(1), bytearray(100), bytearray(5000)]
        piece = os.readv(fd, buffers)
    else:
        piece = s.recvmsg(2000)[0]
    if not piece:
        break
"""


def rows_of_every_api(build):
    """curl, streams and documents, plain and compressed."""
    with PlainProvider() as provider, Agent(build, *flags(provider)) as agent:
        calls = 0
        for api in ("chat", "responses"):
            for stream in (False, True):
                for more in ((), ("--compressed",)):
                    clients.curl_plain(provider, api, stream, more=more)
                    calls += 1
        for row in clients.check_costs(agent, provider, calls):
            assert row["workload"]["comm"] == "curl" and row["gaps"] == 0, row
            assert row["host"] == "127.0.0.1:%d" % provider.port, row
            assert len(row["key_fingerprint"]) == 8, row


def every_way_to_move_bytes(build):
    ways = ("send", "write", "writev", "sendmsg")
    with PlainProvider() as provider, Agent(build, *flags(provider)) as agent:
        for how in ways:
            subprocess.run([sys.executable, "-c", PYTHON, str(provider.port), how, BODY],
                           check=True, timeout=60)
        for row in clients.check_costs(agent, provider, len(ways)):
            assert row["gaps"] == 0, row


def what_is_not_found_is_a_gap(build):
    """More buffers in a vector than are looked at: the row tells, and the answer counts."""
    with PlainProvider() as provider, Agent(build, *flags(provider)) as agent:
        subprocess.run([sys.executable, "-c", PYTHON, str(provider.port), "many", BODY],
                       check=True, timeout=60)
        (row,) = agent.wait_rows(1)
        (truth,) = provider.truth_rows()
        assert row["gaps"] == 1 and row["tokens"] == truth["tokens"], row
        assert row["basis"] == "reported_usage", row


def node_and_python_clients(build):
    script = ("const b = process.argv[2]; for (let i = 0; i < 3; i++) { const r = await fetch("
              "`http://127.0.0.1:${process.argv[1]}/v1/chat/completions`, {method: 'POST', body: b,"
              " headers: {'content-type': 'application/json'}}); await r.text(); }")
    with PlainProvider() as provider, Agent(build, *flags(provider)) as agent:
        subprocess.run([node(), "--input-type=module", "-e", script, str(provider.port), BODY],
                       check=True, timeout=60)
        subprocess.run(
            ["/usr/bin/python3", "-c", "import sys, urllib.request as r\n"
             "for _ in range(3): r.urlopen(r.Request(sys.argv[1], sys.argv[2].encode(), "
             "{'Content-Type': 'application/json'})).read()",
             "http://127.0.0.1:%d/v1/chat/completions" % provider.port, BODY],
            check=True, timeout=60)
        for row in clients.check_costs(agent, provider, 6):
            assert row["gaps"] == 0, row


def a_stream_the_client_leaves(build):
    with PlainProvider() as provider, Agent(build, *flags(provider)) as agent:
        clients.curl_plain(provider, stream=True, scenario="slow", more=("--max-time", "0.3"), ok=False)
        (row,) = agent.wait_rows(1)
        assert row["outcome"] == "aborted" and row["basis"] == "partial", row


def a_host_that_nobody_has_named(build):
    """Known by its shape, like over TLS; other traffic to the port is left alone."""
    with PlainProvider() as provider, \
            Agent(build, "--plaintext.ports=%d" % provider.port) as agent:
        clients.curl_plain(provider)
        subprocess.run(["curl", "-s", "http://127.0.0.1:%d/nothing" % provider.port],
                       capture_output=True, check=True)
        (row,) = agent.wait_rows(1)
        assert row["basis"] == "unpriced" and row["cost_usd"] is None, row


def other_ports_are_not_looked_at(build):
    with PlainProvider() as provider, PlainProvider() as other, \
            Agent(build, *flags(provider)) as agent:
        clients.curl_plain(other)
        clients.curl_plain(provider)
        rows = agent.wait_rows(1)
        assert rows[0]["host"].endswith(":%d" % provider.port), rows
        assert agent.metric_sum("tolltap_connections_total", 'state="decoded"') == 1


def off_by_default(build):
    with PlainProvider() as provider, \
            Agent(build, "--provider.host=127.0.0.1=openai,role=direct") as agent:
        clients.curl_plain(provider)
        assert agent.metric_sum("tolltap_capture_calls_total") == 0
        assert agent.status()["kernel"]["plaintext_ports"] == 0


def a_worker_that_dies(build):
    """The next one finds an open connection anew."""
    client = ("import http.client, sys\n"
              "c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))\n"
              "for line in sys.stdin:\n"
              "    c.request('POST', '/v1/chat/completions', sys.argv[2], "
              "{'Content-Type': 'application/json'})\n"
              "    c.getresponse().read(); print('done', flush=True)\n")
    with PlainProvider() as provider, Agent(build, *flags(provider)) as agent:
        process = subprocess.Popen(["/usr/bin/python3", "-c", client, str(provider.port), BODY],
                                   text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for call in range(2):
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            rows = agent.wait_rows(call + 1)
            if call == 0:
                worker = agent.pid_of("worker")
                agent.signal("worker", 9)
                clients_wait(agent, worker)
        process.stdin.close()
        process.wait(10)
        assert [row["basis"] for row in rows] == ["reported_usage"] * 2, rows


def clients_wait(agent, worker):
    from harness import wait_until

    def ready():
        try:
            return agent.pid_of("worker") != worker and agent.get("/readyz")[0] == 200
        except (OSError, ValueError):
            return False
    wait_until(ready, 20, "another worker")


def bad_ports_are_one_line(build):
    for ports in ("0", "65536", "http", "80,", "80,,81", "-1"):
        done = subprocess.run([os.path.join(build, "tolltap"), "run", "--plaintext.ports=" + ports],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, (ports, done)
        assert "ports from 1 to 65535" in done.stderr, done.stderr


if __name__ == "__main__":
    sys.exit(main([
        rows_of_every_api, every_way_to_move_bytes, what_is_not_found_is_a_gap,
        node_and_python_clients, a_stream_the_client_leaves, a_host_that_nobody_has_named,
        other_ports_are_not_looked_at, off_by_default, a_worker_that_dies, bad_ports_are_one_line]))
