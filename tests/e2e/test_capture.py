#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What happens on real hosts between a client and the probes: sizes, forks, retries, late joins,
restarts, containers, deleted files, full rings, traffic that is nobody's business."""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, Skip, main, wait_until
from provider import Provider
from raw import RAW, Raw


def script(provider, text, *args, env=None, command=("/usr/bin/python3",), **kwargs):
    """Runs a Python program that has raw_client's names."""
    prologue = ("import sys; sys.argv = ['raw', '%d', '%s']; sys.path.insert(0, '%s')\n"
                "from raw_client import *\n" % (provider.port, provider.cacert,
                                               os.path.dirname(RAW)))
    return subprocess.run([*command, "-c", prologue + text, *args], text=True, check=True,
                          capture_output=True, timeout=60, env=dict(os.environ, **(env or {})),
                          **kwargs)


def sizes_around_buffer_limits(build):
    """Hazard 1: answers whose bytes come in reads of exactly n, n - 1, n + 1."""
    with Agent(build) as agent, Provider() as provider, Raw(provider) as raw:
        raw("tls = connect()")
        calls = 0
        for size in (8192, 16384, 32768, 65536):
            for around in (size - 1, size, size + 1):
                scenario = json.dumps({"body_bytes": around, "join": True})
                raw("chat(tls, %r)" % scenario)
                assert raw("answer(tls)") == "(200, %d)" % around
                calls += 1
        rows = clients.check_books(agent, provider, calls)
        assert all(row["gaps"] == 0 for row in rows)


def large_writes(build):
    """Hazard 2, and up to 4 MiB in one SSL_write: whole, or marked as a gap."""
    with Agent(build) as agent, Provider() as provider, Raw(provider) as raw:
        for padding in (23 << 10, 300 << 10, (4 << 20) - 4096, (4 << 20) + 4096):
            raw("tls = connect()")
            raw("chat(tls, padding=%d)" % padding)
            assert raw("answer(tls)").startswith("(200,")
        rows = clients.check_books(agent, provider, 4, timeout_s=10)
        assert [row["gaps"] for row in rows] == [0, 0, 0, 1], [row["gaps"] for row in rows]
        assert agent.metric_sum("tolltap_capture_lost_events_total", "call_too_long") >= 1


def usage_last_in_400_kib_stream(build):
    """Hazards 3 and 4: null finish reasons, then usage after the final choice."""
    with Agent(build) as agent, Provider() as provider:
        for api in ("chat", "responses", "messages"):
            clients.python(provider, "--api", api, "--stream", "--scenario", "sse-400k")
        for row in clients.check_books(agent, provider, 3):
            assert row["gaps"] == 0


def fifty_megabytes_in_constant_memory(build):
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider, "embeddings", flags=["-o", "/dev/null"])
        before = agent.memory_bytes("VmHWM")
        clients.curl(provider, "embeddings", "embeddings-50m", flags=["-o", "/dev/null"])
        clients.check_books(agent, provider, 2, timeout_s=15)
        grown = agent.memory_bytes("VmHWM") - before
        assert grown < 24 << 20, "%d bytes more for a 50 MB answer" % grown


def forks_and_reused_pointers(build):
    """Hazard 8: children with equal SSL*, and one SSL* used again after SSL_free."""
    text = ("children = []\n"
            "for i in range(4):\n"
            "    pid = os.fork()\n"
            "    if pid == 0:\n"
            "        tls = connect(); chat(tls, stream=True); answer(tls); chat(tls); answer(tls)\n"
            "        os._exit(0)\n"
            "    children.append(pid)\n"
            "for pid in children: os.waitpid(pid, 0)\n"
            "for i in range(10):\n"
            "    tls = connect(); chat(tls); answer(tls); tls.close(); del tls\n")
    with Agent(build) as agent, Provider() as provider:
        script(provider, text)
        rows = clients.check_books(agent, provider, 18)
        pids = [row["workload"]["pid"] for row in rows]
        assert len(set(pids)) == 5 and max(map(pids.count, pids)) == 10, pids


def want_write_repeats(build):
    """Hazard 9: the same buffer offered again and again counts once."""
    text = ("import ssl\n"
            "context = ssl.create_default_context(cafile=CACERT)\n"
            "plain = socket.socket(); plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)\n"
            "plain.connect(('127.0.0.1', PORT))\n"
            "tls = context.wrap_socket(plain, server_hostname='api.openai.com')\n"
            "body = json.dumps({'model': 'gpt-4o-mini', 'messages': [], 'x': 'y' * 3000000})\n"
            "data = request('POST', '/v1/chat/completions', 'api.openai.com', body.encode())\n"
            "tls.setblocking(False); repeats = 0\n"
            "while data:\n"
            "    try: data = data[tls.send(data):]\n"
            "    except ssl.SSLWantWriteError:\n"
            "        repeats += 1; select.select([], [tls], [])\n"
            "tls.setblocking(True); answer(tls); print(repeats)\n")
    with Agent(build) as agent, Provider() as provider:
        repeats = int(script(provider, text).stdout)
        assert repeats >= 3, "only %d repeats: the test shows nothing" % repeats
        rows = clients.check_books(agent, provider, 1)
        assert rows[0]["gaps"] == 0


def fifty_millisecond_client(build):
    """Hazard 12: a process gone before anyone could look at /proc is fully attributed."""
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider)  # the library is known from here on
        agent.wait_rows(1)
        env = {"TOLLTAP_TAGS": "team=payments,feature=receipts", "OTEL_SERVICE_NAME": "billing"}
        for _ in range(5):
            clients.curl(provider, env=env)
        rows = clients.check_books(agent, provider, 6)[1:]
        for row in rows:
            assert row["tags"]["team"] == "payments" and row["tags"]["feature"] == "receipts", row
            assert row["tags"]["service"] == "billing", row["tags"]
            assert row["workload"]["comm"] == "curl" and row["workload"]["user"] == "root"
            assert row["workload"]["cgroup"]
            # Told by process events alone: it is gone before /proc can be asked.
            assert row["workload"].get("exe", "").endswith("curl") or agent.metric_sum(
                "tolltap_capture_lost_events_total", "process_event"), row["workload"]


def library_loaded_late(build):
    """Hazard 12: libssl arrives by dlopen in a process that runs since long."""
    with tempfile.TemporaryDirectory() as folder:
        # A copy that nobody has mapped yet: it can only be found when the process maps it.
        library = shutil.copy(real_library("libssl.so.3"), folder)
        with Agent(build) as agent, Provider() as provider:
            text = ("import time; time.sleep(1.5)\n"
                    "from raw_client import *\n"
                    "tls = connect(); time.sleep(1); chat(tls); answer(tls)\n")
            subprocess.run(["/usr/bin/python3", "-c",
                            "import sys; sys.argv = ['raw', '%d', '%s']; sys.path.insert(0, '%s')\n"
                            % (provider.port, provider.cacert, os.path.dirname(RAW)) + text],
                           check=True, timeout=30,
                           env=dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(library)))
            clients.check_books(agent, provider, 1)


def real_library(name):
    found = glob.glob("/usr/lib/*/" + name)
    if not found:
        raise Skip("no %s on this machine" % name)
    return os.path.realpath(found[0])


def deleted_library_and_executable(build):
    """Hazard 13: the files on disk are gone (an update); the process runs on."""
    with tempfile.TemporaryDirectory() as folder, Provider() as provider:
        library = shutil.copy(real_library("libssl.so.3"), folder)
        node = shutil.copy(os.path.realpath(shutil.which("node")), folder)
        with Raw(provider, env={"LD_LIBRARY_PATH": folder}) as raw:
            raw("tls = connect()")
            os.unlink(library)
            with Agent(build) as agent:
                raw("chat(tls)")
                raw("answer(tls)")
                clients.check_books(agent, provider, 1)
        before = len(provider.truth_rows())
        # Node is slow to start: the file is unlinked while it runs, before it calls.
        with Agent(build) as agent:
            running = subprocess.Popen(
                [node, os.path.join(clients.DEMO, "client.mjs"), "--port", str(provider.port),
                 "--cacert", provider.cacert, "--scenario", "slow", "--repeat", "8"])
            time.sleep(0.4)
            os.unlink(node)
            assert running.wait(30) == 0
            wait_until(lambda: len(agent.rows()) == 8, 5, "8 rows of a deleted executable")
        assert len(provider.truth_rows()) == before + 8


def connection_open_before_the_agent(build):
    """A connection already open is picked up at its next request."""
    with Provider() as provider, Raw(provider) as raw:
        raw("tls = connect()")
        raw("chat(tls)")
        raw("answer(tls)")
        with Agent(build) as agent:
            raw("chat(tls, stream=True)")
            raw("answer(tls)")
            row = agent.wait_rows(1)[0]
            clients.check_row(row, provider.truth_rows()[1])


def agent_restarted_on_an_open_connection(build):
    """Twice: every later call has a row, with a new id, in one ledger."""
    storage = tempfile.mkdtemp(prefix="tolltap-test.")
    try:
        with Provider() as provider, Raw(provider) as raw:
            raw("tls = connect()")
            ids = set()
            for restart in range(3):
                with Agent(build, storage=storage) as agent:
                    for _ in range(2):
                        raw("chat(tls)")
                        raw("answer(tls)")
                    rows = agent.wait_rows(2 * (restart + 1))
                    agent.stop(signal.SIGKILL if restart == 1 else signal.SIGTERM)
            for row, truth in zip(rows, provider.truth_rows()):
                clients.check_row(row, truth)
                ids.add(row["event_id"])
            assert len(ids) == 6
    finally:
        shutil.rmtree(storage)


def two_containers_one_layer(build):
    """Hazard 11: one image layer through two mounts: counted once each, attached once."""
    with tempfile.TemporaryDirectory() as folder, Provider() as provider:
        image = os.path.join(folder, "image")
        os.makedirs(image)
        with Agent(build) as agent:
            for i in range(2):
                run_in_overlay(folder, i, provider, image)
            rows = clients.check_books(agent, provider, 2)
            ids = [row["workload"].get("container_id") for row in rows]
            assert ids == ["%064x" % 1, "%064x" % 2], ids
            files = json.loads(agent.get("/api/v1/status")[1])["data"]["files"]
            attached = [f for f in files if f["state"] == "attached" and "image" not in f["path"]
                        and f["path"].endswith("libssl.so.3") and f["probes"]]
            assert len(attached) <= 2, attached


def run_in_overlay(folder, number, provider, image):
    """curl in a mount namespace whose root is an overlay over this machine's, in a docker cgroup."""
    root = os.path.join(folder, "c%d" % number)
    for part in ("up", "work", "merged"):
        os.makedirs(os.path.join(root, part))
    unified = next((p for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                    if os.path.exists(p + "/cgroup.procs")), None)
    if not unified:
        raise Skip("no cgroup v2 hierarchy")
    group = "%s/docker/%064x" % (unified, number + 1)
    os.makedirs(group, exist_ok=True)
    cacert = shutil.copy(provider.cacert, os.path.join(root, "up", "ca.pem"))
    command = (
        "set -e; echo $$ > {group}/cgroup.procs; "
        "mount -t overlay overlay -o lowerdir=/,upperdir={root}/up,workdir={root}/work {root}/merged; "
        "mount -t proc proc {root}/merged/proc; "
        "exec chroot {root}/merged curl -sS --cacert /ca.pem --connect-to "
        "api.openai.com:443:127.0.0.1:{port} -H 'Content-Type: application/json' "
        "-d '{{\"model\":\"gpt-4o-mini\",\"messages\":[]}}' "
        "https://api.openai.com/v1/chat/completions").format(group=group, root=root,
                                                             port=provider.port)
    try:
        done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True,
                              timeout=30)
        if "mount:" in done.stderr:
            raise Skip("overlayfs cannot be mounted here: " + done.stderr.strip())
        assert done.returncode == 0, done.stderr
    finally:
        os.rmdir(group)


def both_ends_on_one_host_are_one_call(build):
    """The server's side is muted and counted; its process makes no row."""
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider)
        rows = clients.check_books(agent, provider, 1)
        assert rows[0]["workload"]["comm"] == "curl"
        assert agent.metric_sum("tolltap_connections_total", 'reason="server_side"') >= 1


def other_traffic_is_muted_and_can_come_back(build):
    with Agent(build) as agent, Provider(names=["www.example.test"]) as provider, \
            Raw(provider) as raw:
        before = agent.metric_sum("tolltap_capture_bytes_total")
        raw("tls = connect('www.example.test')")
        for _ in range(50):
            raw("send(tls, 'GET', '/', 'www.example.test')")
            raw("answer(tls)")
        raw("send(tls, 'POST', '/upload', 'www.example.test', b'z' * 100000)")
        raw("answer(tls)")
        time.sleep(0.3)
        taken = agent.metric_sum("tolltap_capture_bytes_total") - before
        assert taken == 0, "%d bytes of somebody else's traffic were copied" % taken
        assert agent.metric_sum("tolltap_connections_total", 'reason="not_llm"') >= 1
        raw("chat(tls, host='www.example.test')")
        raw("answer(tls)")
        row = agent.wait_rows(1)[0]
        assert row["host"] == "www.example.test" and row["tokens"], row


def shape_rule_and_host_roles(build):
    """An unlisted host that answers like one is metered, unpriced until config gives its role."""
    host = "llm.corp.example"
    with Provider(names=[host]) as provider:
        with Agent(build) as agent:
            clients.curl(provider, host=host)
            clients.curl(provider, "messages", host=host, stream=True)
            rows = agent.wait_rows(2)
            assert [row["provider"] for row in rows] == ["openai", "anthropic"], rows
            for row in rows:
                assert row["basis"] == "unpriced" and row["cost_pusd"] is None and row["tokens"]
            assert agent.metric_sum("tolltap_unpriced_calls_total", "host_role_unknown") == 2

            def hinted():
                doctor = agent.command("doctor", "--storage.path=" + agent.storage, check=False)
                return "--provider.host=%s=openai" % host in doctor.stdout

            wait_until(hinted, 3, "doctor prints the line to add")
        for role, cost in (("", "priced"), (",role=gateway", "priced"),
                           (",role=self_hosted", "free")):
            with Agent(build, "--provider.host=%s=openai%s" % (host, role)) as agent:
                clients.curl(provider, host=host)
                row = agent.wait_rows(1)[0]
                assert row["basis"] == "reported_usage", row
                assert (row["cost_pusd"] > 0) == (cost == "priced"), row


def not_billable_paths_give_no_row(build):
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider, path="/v1/unheard/of")
        clients.curl(provider, path="/v1/models", body="", flags=["-X", "GET"])
        clients.curl(provider)
        clients.check_books(agent, provider, 1)
        assert agent.metric_sum("tolltap_requests_ignored_total") == 2


def free_work_gives_a_row_of_no_cost(build):
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider, path="/v1/messages/count_tokens", host="api.anthropic.com")
        row = agent.wait_rows(1)[0]
        assert row["operation"] == "count_tokens" and row["tokens"] is None, row
        assert row["basis"] == "not_billed" and row["cost_pusd"] == 0, row
        assert row["billable"] is False, row


def pipelined_requests_pair_in_order(build):
    with Agent(build) as agent, Provider() as provider, Raw(provider) as raw:
        raw("tls = connect()")
        raw("body = b'{\"model\":\"gpt-4o-mini\",\"messages\":[]}'")
        raw("one = lambda s: request('POST', '/v1/chat/completions', 'api.openai.com', body,"
            " x_demo_scenario=s)")
        raw("tls.send(one('plain') + one('error-429') + one('reasoning'))")
        raw("answers(tls, 3)")
        rows = agent.wait_rows(3)
        truth = {t["request_id"]: t for t in provider.truth_rows()}
        for row in rows:
            clients.check_row(row, truth[row["request_id"]])
        assert sorted(row["status"] for row in rows) == [200, 200, 429]


def upgrade_is_refused_politely(build):
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider, path="/v1/voices/stream", body="", ok=False,
                     flags=["-X", "GET", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket",
                            "--max-time", "3"])
        clients.curl(provider)
        agent.wait_rows(1)
        assert agent.metric_sum("tolltap_connections_total", 'reason="upgrade"') == 1


def full_ring_gives_no_wrong_number(build):
    """Hazard 19: the agent stands still while clients write more than the ring holds."""
    with Agent(build, "--capture.ring-bytes=%d" % (1 << 20)) as agent, Provider() as provider:
        clients.curl(provider)
        agent.wait_rows(1)
        agent.signal("worker", signal.SIGSTOP)
        try:
            for _ in range(6):
                clients.curl(provider, stream=True, scenario="sse-400k", flags=["-o", "/dev/null"])
        finally:
            agent.signal("worker", signal.SIGCONT)
        clients.curl(provider)
        time.sleep(4)
        truth = {t["request_id"]: t for t in provider.truth_rows()}
        rows = agent.rows()
        assert agent.metric_sum("tolltap_capture_lost_events_total", "ring_full") > 0
        for row in rows:
            known = truth.get(row["request_id"])
            if row["basis"] == "reported_usage":
                assert known, row
                clients.check_row(row, known)
            else:
                assert row["basis"] in ("partial", "estimated") and row["gaps"] > 0, row
        clients.check_row(rows[-1], provider.truth_rows()[-1])


def unknown_model_is_unpriced(build):
    """Hazard 20: never a silent zero."""
    with Agent(build) as agent, Provider() as provider:
        clients.curl(provider, model="gpt-nobody-knows")
        row = agent.wait_rows(1)[0]
        assert row["basis"] == "unpriced" and row["cost_usd"] is None and row["cost_pusd"] is None
        assert row["tokens"] and row["price_id"] is None
        assert agent.metric_sum("tolltap_unpriced_calls_total", "unknown_model") == 1


def cached_tokens_in_two_dialects(build):
    """Hazards 5 and 21: OpenAI counts cached input inside, Anthropic outside."""
    tokens = {"input_uncached": 100, "input_cache_read": 900, "output_text": 50}
    with Agent(build) as agent, Provider() as provider:
        for api in ("chat", "responses", "messages"):
            clients.curl(provider, api, json.dumps({"tokens": tokens}))
        clients.curl(provider, "messages", "cache-5m-1h", stream=True)
        rows = clients.check_books(agent, provider, 4)
        assert [row["tokens"] for row in rows[:3]] == [tokens] * 3
        # claude-sonnet-4-5: 3 / 0.30 / 3.75 / 6 / 15 USD per million
        assert rows[3]["cost_pusd"] == (21 * 3000000 + 1024 * 300000 + 300 * 3750000 +
                                        700 * 6000000 + 89 * 15000000), rows[3]["cost_usd"]


if __name__ == "__main__":
    sys.exit(main([
        sizes_around_buffer_limits, large_writes, usage_last_in_400_kib_stream,
        fifty_megabytes_in_constant_memory, forks_and_reused_pointers, want_write_repeats,
        fifty_millisecond_client, library_loaded_late, deleted_library_and_executable,
        connection_open_before_the_agent, agent_restarted_on_an_open_connection,
        two_containers_one_layer, both_ends_on_one_host_are_one_call,
        other_traffic_is_muted_and_can_come_back, shape_rule_and_host_roles,
        not_billable_paths_give_no_row, free_work_gives_a_row_of_no_cost, pipelined_requests_pair_in_order,
        upgrade_is_refused_politely, full_ring_gives_no_wrong_number,
        unknown_model_is_unpriced, cached_tokens_in_two_dialects]))
