#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The trust contract end to end: content and keys stay in memory, kills lose at most a group, apps do
not notice attach, detach or death of the agent, bad input is one clear line and an exit code."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import Agent, Skip, free_port, main, wait_until
from provider import Provider

def kill_9_loses_at_most_the_group_in_flight(build):
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as storage, Provider() as provider:
        kept = set()
        for _ in range(3):
            agent = Agent(build, storage=storage).start()
            for _ in range(4):
                clients.curl(provider)
            wait_until(lambda: len(agent.rows()) >= len(kept) + 4, 4, "rows of this run")
            kept = {row["event_id"] for row in agent.rows()}
            clients.curl(provider)
            agent.kill()
            after = {row["event_id"] for row in agent.rows()}
            assert kept <= after and len(after) - len(kept) <= 1
            kept = after
        check = subprocess.run(["sqlite3", os.path.join(storage, "ledger.db"),
                                "PRAGMA integrity_check"], capture_output=True, text=True)
        assert check.stdout.strip() == "ok", check


def clients_do_not_notice(build):
    """Attach, traffic, detach and SIGKILL of the agent leave a client's bytes identical."""
    with Provider() as provider:
        text = ("import hashlib\n"
                "tls = connect(); digest = hashlib.sha256(); end = time.time() + 5; calls = 0\n"
                "while time.time() < end:\n"
                "    chat(tls, json.dumps({'body_bytes': 9000})); status, n = answer(tls)\n"
                "    assert (status, n) == (200, 9000); calls += 1\n"
                "print(calls)\n")
        prologue = ("import sys; sys.argv = ['raw', '%d', '%s']; sys.path.insert(0, '%s')\n"
                    "from raw_client import *\n" % (provider.port, provider.cacert,
                                                   os.path.join(HERE, "..", "lib")))
        client = subprocess.Popen(["/usr/bin/python3", "-c", prologue + text],
                                  stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)
        for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            with Agent(build) as agent:
                time.sleep(0.5)
                agent.stop(how)
        out, _ = client.communicate(timeout=30)
        assert client.returncode == 0 and int(out) > 100, out


def failed(build, *args, env=None):
    done = subprocess.run([os.path.join(build, "tolltap"), *args], capture_output=True, text=True,
                          timeout=20, env=dict(os.environ, **(env or {})))
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, "%s: not one line: %r" % (args, done.stderr)
    return done.returncode, lines[0]


def bad_input_is_one_line_and_a_code(build):
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder:
        storage = "--storage.path=" + os.path.join(folder, "state")
        web = "--web.listen-address=127.0.0.1:%d" % free_port()

        def write(name, text):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
            return path

        assert failed(build, "frobnicate")[0] == 2
        code, line = failed(build, "run", storage, web, "--storage.pth=x")
        assert code == 2 and "storage.pth" in line and "storage.path" in line, line
        code, line = failed(build, "run", storage, web, "--provider.host=nonsense")
        assert code in (2, 3) and "nonsense" in line, line
        code, line = failed(build, "run", storage, web, "--privacy.keep=body:input")
        assert code == 3 and "body:input" in line and "metadata" in line, line
        code, line = failed(build, "run", storage, web, "--log.level=loud")
        assert code == 2 and "loud" in line and "debug" in line, line
        config = write("bad.yaml", "storage:\n  path: /x\n  colour: red\n")
        code, line = failed(build, "run", web, "--config.file=" + config)
        assert code in (2, 3) and "bad.yaml:3" in line and "colour" in line, line
        write("prices.d/x.json", '{"broken')
        code, line = failed(build, "run", storage, web, "--prices.dir=" + folder + "/prices.d")
        assert code == 3 and "x.json" in line, line
        code, line = failed(build, "run", "--storage.path=/proc/none", web)
        assert code == 6 and "/proc/none" in line, line
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            code, line = failed(build, "run", storage,
                                "--web.listen-address=127.0.0.1:%d" % taken.getsockname()[1])
            assert code == 7 and "in use" in line, line
        with Agent(build, storage=folder + "/two"):
            code, line = failed(build, "run", "--storage.path=" + folder + "/two", web)
            assert code == 6 and "two" in line, line


def no_privilege_says_what_is_missing(build):
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder:
        os.chmod(folder, 0o777)
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             os.path.join(build, "tolltap"), "run", "--storage.path=" + folder + "/s",
             "--web.listen-address=127.0.0.1:%d" % free_port()],
            capture_output=True, text=True, timeout=20)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 4 and len(lines) == 1, (done.returncode, done.stderr)
        assert "root" in lines[0] or "CAP_" in lines[0], lines


def doctor_with(build, caps, *flags):
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder:
        return subprocess.run(
            ["setpriv", "--bounding-set=-all" + "".join(",+" + cap for cap in caps),
             os.path.join(build, "tolltap"), "doctor", "--storage.path=" + folder + "/none", *flags],
            capture_output=True, text=True, timeout=60)


def doctor_names_each_missing_capability(build):
    """What is left out of what the agent starts with is named with its cost, and nothing else."""
    table = subprocess.run([os.path.join(build, "tolltap"), "check", "capabilities"],
                           capture_output=True, text=True, check=True).stdout
    needed = {line.split()[0] for line in table.splitlines() if "not needed" not in line}
    if "CAP_SYS_ADMIN" in needed:
        raise Skip("this kernel asks for CAP_SYS_ADMIN, which includes the others")
    vital = needed & {"CAP_BPF", "CAP_PERFMON"}
    for left_out in [set(), needed - vital] + [{name} for name in sorted(vital)]:
        done = doctor_with(build, [name[4:].lower() for name in needed - left_out], "--output=json")
        report = json.loads(done.stdout)
        missing = {row["name"]: row["cost"] for row in report["missing_capabilities"]}
        assert set(missing) == left_out and all(missing.values()), (left_out, missing)
        assert report["ok"] == (not left_out & vital), (left_out, report["findings"])
        assert done.returncode == (4 if left_out & vital else 0), (left_out, done.returncode)
        for name, cost in missing.items():
            assert any(name in f["text"] and cost in f["text"] for f in report["findings"]), name
    text = doctor_with(build, []).stdout
    assert "bad   privilege  this command lacks CAP_BPF: " in text, text


def reload_swaps_only_if_valid(build):
    host = "llm.corp.example"
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder, \
            Provider(names=[host]) as provider:
        config = os.path.join(folder, "tolltap.yaml")

        def write(text):
            with open(config, "w") as f:
                f.write(text)

        write("log:\n  level: info\n")
        with Agent(build, "--config.file=" + config) as agent:
            clients.curl(provider, host=host)
            assert agent.wait_rows(1)[0]["basis"] == "unpriced"
            write("provider:\n  host: [%s=openai]\n" % host)
            agent.process.send_signal(signal.SIGHUP)
            wait_until(lambda: agent.metric_sum("tolltap_config_reloads_total", "ok") == 1, 3, "reload")
            clients.curl(provider, host=host)
            assert agent.wait_rows(2)[1]["basis"] == "reported_usage"
            write("provider:\n  hots: [x=openai]\n")
            agent.process.send_signal(signal.SIGHUP)
            wait_until(lambda: agent.metric_sum("tolltap_config_reloads_total", "error") == 1, 3,
                       "refused reload")
            clients.curl(provider, host=host)
            assert agent.wait_rows(3)[2]["basis"] == "reported_usage"


def a_bad_price_file_changes_nothing(build):
    """The old table stays, the log says file, line, place and reason, and a metric rises."""
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder, Provider() as provider:
        path = os.path.join(folder, "contract.json")

        def write(*rows):
            with open(path, "w") as f:
                f.write('{"schema": "tolltap-overrides/1", "overrides": [\n%s]}' % ",\n".join(rows))

        def cost_of_next(n):
            clients.curl(provider)
            row = agent.wait_rows(n)[n - 1]
            return row["cost_pusd"], row["list_cost_pusd"], row["prices_sha256"]

        def reload(result):
            before = agent.metric_sum("tolltap_config_reloads_total", result)
            agent.process.send_signal(signal.SIGHUP)
            wait_until(lambda: agent.metric_sum("tolltap_config_reloads_total", result) > before, 3,
                       "reload: " + result)

        write('{"provider": "openai", "factor": "0.5"}')
        with Agent(build, "--prices.dir=" + folder) as agent:
            cost, listed, sha256 = cost_of_next(1)
            assert 2 * cost == listed > 0, (cost, listed)
            assert agent.metric_sum("tolltap_prices_reload_errors_total") == 0

            write('{"provider": "openai", "factor": "0.25"}',
                  '{"provider": "anthropic", "factor": "a lot"}')
            reload("error")
            assert agent.metric_sum("tolltap_prices_reload_errors_total") == 1
            assert agent.metric_sum("tolltap_prices_info", sha256) == 1
            said = [line for line in agent.stderr.splitlines() if "the old prices stay" in line]
            assert len(said) == 1 and \
                path + ': line 3: overrides[1]: "factor" is "a lot"' in \
                said[0].replace('\\"', '"'), agent.stderr
            assert cost_of_next(2) == (cost, listed, sha256)

            write('{"provider": "openai", "factor": "0.25"}')
            reload("ok")
            assert agent.metric_sum("tolltap_prices_reload_errors_total") == 1
            cheaper, listed, other = cost_of_next(3)
            assert 4 * cheaper == listed and other != sha256, (cheaper, listed)
            assert [(r["cost_pusd"], r["prices_sha256"]) for r in agent.rows()[:2]] == \
                [(cost, sha256)] * 2, "history followed the new table"
            assert agent.metric_sum("tolltap_prices_info", other) == 1


def health_and_ready(build):
    with Agent(build) as agent:
        assert agent.get("/healthz")[0] == 200
        assert agent.get("/readyz")[0] == 200
        status, page = agent.get("/")
        assert status == 200 and "tolltap" in page.lower()
        assert agent.get("/nowhere")[0] == 404


if __name__ == "__main__":
    sys.exit(main([
        kill_9_loses_at_most_the_group_in_flight,
        clients_do_not_notice, bad_input_is_one_line_and_a_code, no_privilege_says_what_is_missing,
        doctor_names_each_missing_capability, reload_swaps_only_if_valid,
        a_bad_price_file_changes_nothing, health_and_ready]))
