#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands people and programs rely on, beside a running agent and after it."""
import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import TOP, Agent, main, wait_until
from provider import Provider

KEYS = ("event_id started_at duration_ms time_to_first_token_ms provider host operation api "
        "model_requested model stream status outcome basis tokens usage_raw tool_units cost_usd "
        "cost_pusd price_id prices_sha256 service_tier billing_mode response_id request_id attempt "
        "operation_id trace_id session_id run_id joined_by key_fingerprint workload tags gaps "
        "list_cost_pusd list_cost_usd billable billed_by").split()
KINDS = {"input_uncached", "input_cache_read", "input_cache_write_5m", "input_cache_write_1h",
         "input_audio", "input_image", "output_text", "output_reasoning", "output_audio",
         "output_image"}


def traffic(provider):
    clients.curl(provider)
    clients.curl(provider, "messages", "cache-5m-1h", stream=True)
    clients.curl(provider, "messages", "cut", stream=True, ok=False)
    clients.curl(provider, scenario="error-429")
    clients.curl(provider, scenario="no-usage")
    clients.curl(provider, model="gpt-nobody-knows")
    clients.python(provider, "--api", "responses")
    return 7


def event_keys_are_the_contract(build):
    with Agent(build) as agent, Provider() as provider:
        calls = traffic(provider)
        rows = agent.wait_rows(calls, 6)
        for row in rows:
            missing = [key for key in KEYS if key not in row]
            assert not missing, missing
            assert row["tokens"] is None or (set(row["tokens"]) <= KINDS and all(
                type(n) is int and n > 0 for n in row["tokens"].values())), row["tokens"]
            assert len(row["event_id"]) == 32 and row["started_at"].endswith("Z")
            assert len(row["started_at"]) == len("2026-01-01T00:00:00.000000Z")
            assert type(row["stream"]) is bool and type(row["billable"]) is bool
            assert row["cost_usd"] is None or Decimal(row["cost_usd"]) * 10**12 == row["cost_pusd"]
            assert len(row["prices_sha256"]) == 64
            assert all(value not in (None, "") for value in row["workload"].values())
            assert all(type(value) is str for value in row["tags"].values())
        by_basis = {row["basis"]: row for row in rows}
        assert by_basis["not_billed"]["cost_pusd"] == 0 and by_basis["not_billed"]["tokens"] is None
        assert by_basis["estimated"]["tokens"] is None
        assert by_basis["partial"]["outcome"] == "aborted"
        alive = agent.rows()
        agent.stop()
        assert agent.rows() == alive, "the ledger reads differently after the agent"


def spend_is_the_sum_of_events(build):
    with Agent(build) as agent, Provider() as provider:
        calls = traffic(provider)
        rows = agent.wait_rows(calls, 6)
        total = sum(row["cost_pusd"] or 0 for row in rows)
        for by in ("model", "model,comm", "provider", "basis", "user", "unit", "container_id"):
            done = agent.command("spend", "--by=" + by, "--output=json",
                                 "--storage.path=" + agent.storage)
            spend = [json.loads(line) for line in done.stdout.splitlines()]
            groups = [g for g in spend if not g.get("total")]
            assert sum(Decimal(g["cost_usd"]) for g in groups) * 10**12 == total, by
            assert sum(g["calls"] for g in groups) == calls
            assert sum(g["calls_unpriced"] for g in groups) == 1
            for g in groups:
                split = sum(Decimal(v) for v in g["cost_by_basis"].values())
                assert split == Decimal(g["cost_usd"]), g
        assert any(g["container_id"] == "(none)" for g in groups), groups
        table = agent.command("spend", "--by=model", "--storage.path=" + agent.storage).stdout
        assert "at least" in table, table
        metric = sum(Decimal(value) for name, value in agent.metrics().items()
                     if name.startswith("tolltap_cost_usd_total{"))
        assert metric * 10**12 == total, (metric, total)
        tokens = agent.metric_sum("tolltap_tokens_total")
        assert tokens == sum(sum((row["tokens"] or {}).values()) for row in rows)


def what_is_unknown_is_counted_not_guessed(build):
    def ours(row):
        return row["tags"].get("unknown") == str(os.getpid())

    with Agent(build) as agent, Provider() as provider:
        env = dict(os.environ, TOLLTAP_TAGS="unknown=%d" % os.getpid())
        clients.curl(provider, scenario="no-usage", env=env)
        clients.curl(provider, model="gpt-nobody-knows", env=env)
        silent, unlisted = agent.wait_rows(2, where=ours)
        assert silent["basis"] == "estimated" and silent["outcome"] == "ok"
        assert silent["tokens"] is silent["cost_usd"] is silent["cost_pusd"] is None, silent
        assert agent.metric_sum("tolltap_usage_missing_total", 'reason="not_told"') >= 1
        assert silent["usage_missing"] == "not_told", silent
        assert unlisted["basis"] == "unpriced" and unlisted["cost_pusd"] is None, unlisted
        assert sum(unlisted["tokens"].values()) == unlisted["usage_raw"]["total_tokens"]
        assert agent.metric_sum("tolltap_unpriced_calls_total", 'reason="unknown_model"') >= 1


def doctor_says_what_to_do_about_missing_usage(build):
    with Agent(build) as agent, Provider() as provider:
        env = dict(os.environ, TOLLTAP_TAGS="silent=%d" % os.getpid())
        clients.curl(provider, scenario="no-usage", env=env)
        clients.curl(provider, scenario="plain", env=env)
        agent.wait_rows(2, where=lambda row: row["tags"].get("silent") == str(os.getpid()))
        done = agent.command("doctor", "--storage.path=" + agent.storage)
        lines = [line for line in done.stdout.splitlines() if line.startswith("note  usage")]
        assert len(lines) == 1, done.stdout
        assert "curl" in lines[0] and "1 calls" in lines[0], lines
        assert "(not_told)" in lines[0] and "gateway may strip it" in lines[0], lines
        spend = agent.command("spend", "--by=usage_missing", "--output=json",
                              "--storage.path=" + agent.storage)
        calls = {g["usage_missing"]: g["calls"] for g in map(json.loads, spend.stdout.splitlines())
                 if not g.get("total")}
        assert calls == {"not_told": 1, "(none)": 1}, calls


def a_stream_that_nobody_asked_is_estimated(build):
    body = {"model": "gpt-4o-mini", "stream": True,
            "messages": [{"role": "user", "content": "hello world"}]}
    with Agent(build) as agent, Provider() as provider:
        env = dict(os.environ, TOLLTAP_TAGS="unasked=%d" % os.getpid())
        clients.curl(provider, body=body, env=env)
        (row,) = agent.wait_rows(
            1, where=lambda row: row["tags"].get("unasked") == str(os.getpid()))
        assert row["basis"] == "estimated" and row["usage_missing"] == "not_asked", row
        assert row["estimated_by"] == "o200k_base" and row["usage_raw"] is None, row
        assert row["tokens"]["input_uncached"] == 2 + 4 + 3 and row["tokens"]["output_text"], row
        clients.check_cost(row)
        where = "--storage.path=" + agent.storage
        assert "about 0.00" in agent.command("spend", "--by=model", where).stdout
        assert "about" in agent.command("top", "--once", where).stdout
        doctor = agent.command("doctor", where).stdout
        assert '"include_usage":true' in doctor, doctor


def a_retry_joins_its_operation(build):
    def ours(row):
        return row["tags"].get("retry") == str(os.getpid())

    with Agent(build) as agent, Provider() as provider:
        env = dict(os.environ, TOLLTAP_TAGS="retry=%d" % os.getpid())
        done = subprocess.run(
            ["/usr/bin/python3", os.path.join(TOP, "tests", "lib", "raw_client.py"),
             str(provider.port), provider.cacert], text=True, capture_output=True, timeout=60,
            env=env, input="".join("t = connect(); chat(t, %r); answer(t); t.close()\n" % scenario
                          for scenario in ("error-500", "error-429", "plain", "plain")))
        assert done.returncode == 0, done.stderr
        rows = agent.wait_rows(4, where=ours)
        assert [row["status"] for row in rows] == [500, 429, 200, 200]
        assert [row["attempt"] for row in rows] == [1, 2, 3, 1], rows
        ids = [row["operation_id"] for row in rows]
        assert ids[0] == ids[1] == ids[2] != ids[3] and ids[0] == rows[0]["event_id"], ids
        spend = agent.command("spend", "--by=operation_id", "--output=json",
                              "--storage.path=" + agent.storage)
        calls = {g["operation_id"]: g["calls"] for g in map(json.loads, spend.stdout.splitlines())
                 if not g.get("total")}
        assert calls[ids[0]] == 3 and calls[ids[3]] == 1, calls
        total = sum(Decimal(row["cost_usd"]) for row in rows)
        assert total == 2 * Decimal(rows[2]["cost_usd"]) > 0
        clients.curl(provider, scenario="error-500", env=env)  # another process each
        clients.curl(provider, env=env)
        others = agent.wait_rows(6, where=ours)[4:]
        assert [row["attempt"] for row in others] == [1, 1]


def calls_are_joined_to_runs(build):
    """A chain of responses over processes, a trace; what tells nothing stays
    alone. The sums are those of the events."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    def responses(n, flags=(), **more):
        body = {"model": "gpt-4o-mini", "input": "hi", **more}
        clients.curl(provider, "responses", body=body, flags=flags)
        return agent.wait_rows(n)[-1]

    with Agent(build) as agent, Provider() as provider:
        first = responses(1)
        assert first["joined_by"] is None and first["run_id"] == "run-" + first["event_id"], first
        second = responses(2, previous_response_id=first["response_id"])
        assert (second["run_id"], second["joined_by"]) == (first["run_id"], "response_id"), second
        third = responses(3, flags=["-H", "traceparent: 00-%s-00f067aa0ba902b7-01" % trace],
                          conversation="conv_0123456789")
        assert (third["run_id"], third["joined_by"]) == (trace, "trace_id"), third
        fourth = responses(4, conversation={"id": "conv_0123456789"})
        assert (fourth["run_id"], fourth["joined_by"]) == (trace, "conversation_id"), fourth
        alone = responses(5)
        assert alone["joined_by"] is None, alone

        def lines(*words):
            done = agent.command(*words, "--output=json", "--storage.path=" + agent.storage)
            return [json.loads(line) for line in done.stdout.splitlines()]

        runs = {line["id"]: line for line in lines("traces")}
        assert {name: line["calls"] for name, line in runs.items()} == {
            first["run_id"]: 2, trace: 2, "(none)": 1, None: 5}, runs
        for run, rows in ((first["run_id"], (first, second)), (trace, (third, fourth))):
            cost = sum(Decimal(row["cost_usd"]) for row in rows)
            root = lines("trace", run)[0]
            assert Decimal(runs[run]["cost_usd"]) == Decimal(root["cost_usd"]) == cost > 0, root
            assert root["total"] and root["calls"] == 2, root
            call_us = sum(round(1000 * row["duration_ms"]) for row in rows)
            assert round(1000 * root["call_ms"]) == call_us, root


def csv_and_table_hold_every_row(build):
    with Agent(build) as agent, Provider() as provider:
        calls = traffic(provider)
        agent.wait_rows(calls, 6)
        where = "--storage.path=" + agent.storage
        text = agent.command("events", "--output=csv", where).stdout
        parsed = list(csv.DictReader(io.StringIO(text)))
        assert len(parsed) == calls and "cost_usd" in parsed[0], text
        table = agent.command("events", where).stdout
        assert len(table.splitlines()) >= calls + 1
        assert "\x1b[" not in table, "colour on a pipe"


def prices_answers_what_a_call_costs(build):
    with Agent(build) as agent:
        done = agent.command("prices", "show", "gpt-4o-mini", "--output=json")
        assert "gpt-4o-mini" in done.stdout
        assert agent.command("prices", "list", "--output=csv").stdout.count("\n") > 100
        checked = agent.command("prices", "check", os.path.join(TOP, "pricing", "catalog.json"))
        assert checked.returncode == 0


def hosts_of_a_fleet_share_a_secret(build):
    """Only root can read it, so the worker has it by the broker; also after the worker was killed."""
    key, seen = "sk-demo-curl", set()
    with tempfile.TemporaryDirectory() as folder:
        credential = os.path.join(folder, "fleet")
        with open(os.open(credential, os.O_WRONLY | os.O_CREAT, 0o400), "w") as f:
            f.write("ab" * 32 + "\n")
        env = {"CREDENTIALS_DIRECTORY": folder}
        for flag in ("--fingerprint.key-file=" + credential, "--fingerprint.key-file=credential:fleet"):
            with Agent(build, flag, env=env) as agent, Provider() as provider:
                clients.curl(provider)
                agent.wait_rows(1)
                agent.signal("worker", signal.SIGKILL)
                wait_until(lambda: "worker is started again" in agent.stderr, 10, "a new worker")
                clients.curl(provider)
                rows = agent.wait_rows(2, 10)
                told = agent.command("keys", "fingerprint", flag, input=key, env=agent.env).stdout
                seen |= {row["key_fingerprint"] for row in rows} | {told.strip()}
                assert not os.path.exists(os.path.join(agent.storage, "fingerprint.key"))
        assert len(seen) == 1 and len(seen.pop()) == 8, seen
        os.chmod(credential, 0o444)
        agent = Agent(build, "--fingerprint.key-file=" + credential)
        lines, errors = agent.launch()
        assert agent.process.wait(20) == 3
        errors.join(2)
        assert "others can read it" in agent.stderr, agent.stderr
        assert not os.listdir(agent.storage), "a refused start made files"
        os.rmdir(agent.storage)


def exec_sums_one_command(build):
    with Agent(build) as agent, Provider() as provider, tempfile.NamedTemporaryFile() as summary:
        inner = ["curl", "-sS", "-o", "/dev/null", "--cacert", provider.cacert, "--connect-to",
                 "api.openai.com:443:127.0.0.1:%d" % provider.port, "-H",
                 "Content-Type: application/json", "-d", '{"model":"gpt-4o-mini","messages":[]}',
                 "https://api.openai.com/v1/chat/completions"]
        clients.curl(provider)  # somebody else's call must not be in the sum
        command = " ".join("'%s'" % part for part in inner)
        strange = command.replace("gpt-4o-mini", "a|<b>[c](d)")
        done = agent.command("exec", "--output=json", "--storage.path=" + agent.storage, "--",
                             "sh", "-c", "%s && %s; exit 7" % (command, strange), check=False,
                             env=dict(os.environ, GITHUB_STEP_SUMMARY=summary.name))
        assert done.returncode == 7, (done.returncode, done.stderr)
        line = json.loads((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
        assert line["calls"] == 2, line
        rows = agent.wait_rows(3)
        assert Decimal(line["cost_usd"]) * 10**12 == sum(r["cost_pusd"] or 0 for r in rows[1:]), line
        text = summary.read().decode()
        assert line["cost_usd"] in text and r"| a\|\<b\>\[c\]\(d\) |" in text, text


def exec_starts_an_agent_when_there_is_none(build):
    with Provider() as provider, tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder:
        done = subprocess.run(
            [os.path.join(build, "tolltap"), "exec", "--output=json",
             "--storage.path=" + folder + "/none", "--", "curl", "-sS", "-o", "/dev/null",
             "--cacert", provider.cacert, "--connect-to",
             "api.openai.com:443:127.0.0.1:%d" % provider.port, "-d",
             '{"model":"gpt-4o-mini","messages":[]}',
             "https://api.openai.com/v1/chat/completions"],
            capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        line = json.loads((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
        assert line["calls"] == 1 and Decimal(line["cost_usd"]) > 0, line


def top_and_doctor_show_what_is_seen(build):
    with Agent(build) as agent, Provider() as provider:
        where = "--storage.path=" + agent.storage
        empty = agent.command("top", "--once", where).stdout
        assert "curl" in empty and "libssl" in empty, empty
        clients.curl(provider)
        agent.wait_rows(1)
        busy = agent.command("top", "--once", where).stdout
        assert "gpt-4o-mini" in busy, busy
        doctor = agent.command("doctor", where, "--output=json")
        report = json.loads(doctor.stdout)
        assert any(f["state"] == "attached" for f in report["files"]), report


def demo_agrees_with_its_own_provider(build):
    done = subprocess.run([os.path.join(build, "tolltap"), "demo"], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main([
        event_keys_are_the_contract, spend_is_the_sum_of_events,
        what_is_unknown_is_counted_not_guessed, doctor_says_what_to_do_about_missing_usage,
        a_stream_that_nobody_asked_is_estimated,
        a_retry_joins_its_operation, calls_are_joined_to_runs,
        csv_and_table_hold_every_row, prices_answers_what_a_call_costs,
        hosts_of_a_fleet_share_a_secret, exec_sums_one_command,
        exec_starts_an_agent_when_there_is_none, top_and_doctor_show_what_is_seen,
        demo_agrees_with_its_own_provider]))
