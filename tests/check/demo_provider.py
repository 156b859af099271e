#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo provider's books against its own wire, and compare.py against known sums.

What a call's answer says is read here by Python's own json and http.client, added up by the
providers' published rules, and must be what the truth line says.
"""
import gzip
import http.client
import json
import os
import ssl
import sys
import unittest
import zlib

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "packaging", "demo"))
import compare  # noqa: E402
import provider as demo  # noqa: E402


def totals_openai(usage):
    return (usage.get("prompt_tokens", usage.get("input_tokens")),
            usage.get("completion_tokens", usage.get("output_tokens", 0)))


def totals_anthropic(usage):
    return (usage["input_tokens"] + usage["cache_read_input_tokens"]
            + usage["cache_creation_input_tokens"], usage["output_tokens"])


def usage_in_stream(text):
    """The last word of an event stream on its usage: later fields replace earlier ones."""
    usage = {}
    for line in text.splitlines():
        if not line.startswith("data:") or line.endswith("[DONE]"):
            continue
        event = json.loads(line[5:])
        for found in (event, event.get("message") or {}, event.get("response") or {}):
            usage.update(found.get("usage") or {})
    return usage


class Books(unittest.TestCase):
    def setUp(self):
        self.provider = demo.Provider()
        self.provider.__enter__()
        self.addCleanup(self.provider.__exit__)

    def post(self, path, body, scenario="plain", **headers):
        context = ssl.create_default_context(cafile=self.provider.cacert)
        connection = http.client.HTTPSConnection("127.0.0.1", self.provider.port, context=context)
        self.addCleanup(connection.close)
        connection.request("POST", path, json.dumps(body),
                           {"x-demo-scenario": scenario, "Host": "api.openai.com", **headers})
        response = connection.getresponse()
        data = response.read()
        coding = response.headers.get("Content-Encoding")
        if coding == "gzip":
            data = gzip.decompress(data)
        elif coding == "deflate":
            data = zlib.decompress(data)
        return response, data.decode()

    def test_usage_of_every_api_and_form(self):
        chat = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "a"}]}
        include = {"stream": True, "stream_options": {"include_usage": True}}
        messages = {"model": "claude-sonnet-4-5", "messages": [], "max_tokens": 9}
        rows = (
            ("/v1/chat/completions", chat, totals_openai),
            ("/v1/chat/completions", {**chat, **include}, totals_openai),
            ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "a"}, totals_openai),
            ("/v1/responses", {"model": "gpt-5", "input": "a"}, totals_openai),
            ("/v1/responses", {"model": "gpt-5", "input": "a", "stream": True}, totals_openai),
            ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a"}, totals_openai),
            ("/v1/messages", messages, totals_anthropic),
            ("/v1/messages", {**messages, "stream": True}, totals_anthropic),
        )
        for path, body, totals in rows:
            for encoding in ("identity", "gzip", "deflate"):
                for scenario in ("plain", "ping", "crlf", "one-byte"):
                    with self.subTest(path=path, encoding=encoding, scenario=scenario):
                        _, text = self.post(path, body, scenario, **{"Accept-Encoding": encoding})
                        usage = usage_in_stream(text) if body.get("stream") else \
                            json.loads(text)["usage"]
                        truth = self.provider.truth_rows()[-1]
                        tokens = truth["tokens"]
                        self.assertEqual(totals(usage), (
                            sum(n for k, n in tokens.items() if k.startswith("input_")),
                            sum(n for k, n in tokens.items() if k.startswith("output_"))))
                        self.assertEqual(truth["basis"], "reported_usage")

    def test_a_stream_without_include_usage_is_estimated(self):
        self.post("/v1/chat/completions", {"model": "gpt-4o", "stream": True, "messages": []})
        truth = self.provider.truth_rows()[-1]
        self.assertEqual((truth["basis"], truth["tokens"]), ("estimated", None))

    def test_an_error_is_not_billed(self):
        response, _ = self.post("/v1/messages", {"model": "claude-sonnet-4-5"}, "error-429")
        truth = self.provider.truth_rows()[-1]
        self.assertEqual((response.status, truth["basis"], truth["tokens"]),
                         (429, "not_billed", None))

    def test_a_cut_stream_keeps_the_opening_event(self):
        with self.assertRaises((http.client.IncompleteRead, ssl.SSLError, OSError)):
            self.post("/v1/messages", {"model": "claude-sonnet-4-5", "stream": True}, "cut")
        truth = self.provider.truth_rows()[-1]
        self.assertEqual((truth["basis"], truth["outcome"], truth["tokens"]["output_text"]),
                         ("partial", "aborted", 1))

    def test_exact_body_lengths(self):
        for length in (600, 16384, 300000):
            _, text = self.post("/v1/chat/completions", {"model": "gpt-4o", "messages": []},
                                json.dumps({"body_bytes": length}))
            self.assertEqual(len(text), length)

    def test_free_paths_are_no_rows(self):
        self.post("/v1/messages/count_tokens", {"model": "claude-sonnet-4-5"})
        self.assertEqual(self.provider.truth_rows(), [])

    def test_an_unknown_scenario_is_refused(self):
        response, text = self.post("/v1/chat/completions", {"model": "gpt-4o"}, "no-such")
        self.assertEqual(response.status, 400)
        self.assertIn("no-such", text)


CATALOG = {"providers": [{"provider": "anthropic", "dated_suffixes": ["-YYYYMMDD"]}], "models": [{
    "provider": "anthropic", "id": "claude-x", "alias": ["claude-x-1"], "dated": ["claude-x"],
    "periods": [{
        "from": None, "to": None,
        "prices": {"input": "3", "cache_read": "0.3", "cache_write_5m": "3.75",
                   "cache_write_1h": "6", "output": "15"},
        "above": [{"tokens": 1000, "prices": {"input": "6"}}]}]}]}


class Compare(unittest.TestCase):
    def truth(self, **fields):
        return {"row": True, "request_id": "r1", "response_id": "m1", "host": "h",
                "provider": "anthropic", "api": "messages", "operation": "chat",
                "model_requested": "claude-x", "model": "claude-x-1", "stream": False,
                "status": 200, "outcome": "ok", "basis": "reported_usage",
                "tokens": {"input_uncached": 21, "output_text": 2}, **fields}

    def test_cost_is_exact(self):
        # 21 x 3 + 10 x 0.3 + 4 x 3.75 + 2 x 6 + 7 x 15 = 198 USD per million.
        tokens = {"input_uncached": 21, "input_cache_read": 10, "input_cache_write_5m": 4,
                  "input_cache_write_1h": 2, "output_text": 3, "output_reasoning": 4}
        self.assertEqual(compare.expected_pusd(CATALOG, self.truth(tokens=tokens)), 198000000)

    def test_names_are_exact_alias_or_dated(self):
        for model, priced in (("claude-x", True), ("claude-x-1", True), ("claude-x-20250929", True),
                              ("claude-x-2025092", False), ("claude-x-20250929-v1", False),
                              ("xclaude-x", False), ("claude", False)):
            cost = compare.expected_pusd(CATALOG, self.truth(model=model))
            self.assertEqual(cost is not None, priced, model)

    def test_the_tier_is_chosen_by_the_whole_prompt(self):
        tokens = {"input_uncached": 1001}
        self.assertEqual(compare.expected_pusd(CATALOG, self.truth(tokens=tokens)), 6006000000)

    def test_one_picodollar_is_a_difference(self):
        truth = self.truth()
        event = {**truth, "cost_pusd": 93000000, "workload": {}}
        self.assertTrue(compare.judge(CATALOG, truth, [event])["agree"])
        event["cost_pusd"] += 1
        self.assertFalse(compare.judge(CATALOG, truth, [event])["agree"])

    def test_rows_of_other_programs_are_told_by_the_tag(self):
        ours, other = {"tags": {"demo_run": "1"}}, {"tags": {"team": "x"}}
        for event, tag, expected in ((ours, "demo_run=1", True), (ours, "demo_run=2", False),
                                     (other, "demo_run=1", False), ({}, "demo_run=1", False),
                                     (other, None, True)):
            self.assertEqual(compare.has_tag(event, tag), expected)

    def test_one_token_a_missing_and_a_double_row_are_differences(self):
        truth = self.truth()
        event = {**truth, "cost_pusd": 93000000, "workload": {}}
        wrong = {**event, "tokens": {"input_uncached": 22, "output_text": 2}}
        for found in ([], [event, event], [wrong]):
            self.assertFalse(compare.judge(CATALOG, truth, found)["agree"])


class Lines(unittest.TextTestResult):
    """One line per test, as tests/run.py reads them."""

    def addSuccess(self, test):
        print(f"ok {test._testMethodName}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"FAIL {test._testMethodName}: {err[1]}".split("\n")[0])

    def addError(self, test, err):
        super().addError(test, err)
        print(f"FAIL {test._testMethodName}: {err[1]!r}".split("\n")[0])


if __name__ == "__main__":
    runner = unittest.TextTestRunner(resultclass=Lines, stream=open(os.devnull, "w"))
    result = unittest.main(testRunner=runner, exit=False, argv=sys.argv[:1]).result
    for _, trace in result.errors + result.failures:
        print(trace, file=sys.stderr)
    sys.exit(not result.wasSuccessful())
