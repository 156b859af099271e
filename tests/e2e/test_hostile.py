#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peers that break every rule: the agent lives, stays small, and says nothing that is not certain.

Each answer is a row: what the provider sends, and what the ledger must hold. Names of cases are the
answers' request ids; an answer whose head cannot be read leaves no id, and is told by its order.
"""
import gzip
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import Agent, main, wait_until
from peer import Peer

MODEL = b"gpt-4o-mini-2024-07-18"
PLAIN = {"input_uncached": 10, "output_text": 5}
SURE = ("reported_usage", PLAIN, 4500000)  # 10 at 0.15 and 5 at 0.60 USD per million
UNTOLD = ("estimated", None, None)
CUT = ("partial", None, None)
HEADLESS = "no head"
RSS_MAX = 48 << 20
RSS_MAX_SANITIZED = 512 << 20


def request(host="api.openai.com", path="/v1/chat/completions", model="gpt-4o-mini"):
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
    return ("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n" % (
        path, host, len(body))).encode() + body


def usage(prompt=b"10", completion=b"5", more=b""):
    return b'{"prompt_tokens":%s,"completion_tokens":%s%s}' % (prompt, completion, more)


def body(counts=usage(), model=MODEL, answer_id=b"chatcmpl-1", more=b""):
    return (b'{"id":"%s","object":"chat.completion","model":"%s","choices":[{"index":0,"message":'
            b'{"role":"assistant","content":"x"}}],%s"usage":%s}' % (answer_id, model, more, counts))


def head(name, *fields, status=b"200 OK"):
    return b"\r\n".join((b"HTTP/1.1 " + status, b"x-request-id: " + name.encode(), *fields, b"", b""))


def length(data):
    return b"Content-Length: %d" % len(data)


def sent(data, *fields):
    """A well-formed answer around any body, in one record."""
    return lambda name: [head(name, length(data), *fields) + data]


def packed(data, *fields):
    return sent(data, b"Content-Encoding: gzip", *fields)


def framed(*pieces, field=b"Transfer-Encoding: chunked"):
    return lambda name: [head(name, field), *pieces]


def events(*data):
    return framed(*(b"data: " + d + b"\n\n" for d in data), field=b"Content-Type: text/event-stream")


def long_string():
    """More than the ring holds at once, no faster than a fast network brings it."""
    before = b'{"choices":[{"message":{"content":"'
    after = b'"}}],"model":"%s","usage":%s}' % (MODEL, usage())
    piece = b"y" * (1 << 20)

    def pieces(name):
        yield head(name, b"Content-Length: %d" % (len(before) + len(after) + (20 << 20)))
        yield before
        for _ in range(20):
            time.sleep(0.01)
            yield piece
        yield after
    return pieces


def delta(counts=b"null"):
    return (b'{"object":"chat.completion.chunk","model":"%s","choices":[{"delta":{"content":"t"}}],'
            b'"usage":%s}' % (MODEL, counts))


BODY = body()
CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

COUNTS = {  # what stands where a count belongs
    "minus": b"-1", "fraction": b"10.5", "huge": b"9" * 20, "too-long": b"9" * 300, "1e18": b"1e18",
    "1e999": b"1e999", "word": b'"ten"', "true": b"true",
}

LONGER_THAN_RING = "string-20mb"

ANSWERS = {
    **{"input-" + name: (sent(body(usage(count))), UNTOLD) for name, count in COUNTS.items()},
    **{"output-" + name: (sent(body(usage(completion=count))), UNTOLD)
       for name, count in COUNTS.items()},
    **{"detail-" + name: (sent(body(usage(more=b',"prompt_tokens_details":{"cached_tokens":%s}'
                                          % count))), UNTOLD) for name, count in COUNTS.items()},
    "count-as-text": (sent(body(usage(b'"10"'))), SURE),
    "count-1e1": (sent(body(usage(b"1e1"))), SURE),
    "count-object": (sent(body(usage(b"{}"))), ("partial", {"output_text": 5}, 3000000)),
    "key-twice": (sent(body(usage(more=b',"prompt_tokens":10'))), SURE),
    "usage-twice": (sent(body(more=b'"usage":%s,' % usage(b"777"))), SURE),
    "keys-10000": (sent(body(usage(more=b"".join(b',"k%d":%d' % (i, i) for i in range(10000))))),
                   SURE),
    "model-10k": (sent(body(model=MODEL + b"A" * 10000)), ("unpriced", PLAIN, None)),
    "model-nul": (sent(body(model=MODEL + b"\\u0000")), ("unpriced", PLAIN, None)),
    "model-sql": (sent(body(model=b"x'; DROP TABLE calls;--")), ("unpriced", PLAIN, None)),
    "model-ansi": (sent(body(model=b"a\\u001b[31mb\x9b2Jc\xc2\x9b2Jd\\u009b2Je")),
                   ("unpriced", PLAIN, None)),
    "id-1mb": (sent(body(answer_id=b"i" * (1 << 20))), SURE),
    "depth-10000": (sent(body(more=b'"x":%s%s,' % (b"[" * 10000, b"]" * 10000))), SURE),
    "depth-unclosed": (sent(b'{"x":' + b'{"a":[' * 10000), UNTOLD),
    "no-utf8": (sent(body(more=b'"x":"\xff\xfe\xc3(",')), SURE),
    "no-json": (sent(b"\x00\x01\x02" * 1000), UNTOLD),
    "empty": (sent(b""), UNTOLD),
    "cut-in-usage": (sent(BODY[:BODY.index(b',"completion_tokens"')] + b","),
                     ("partial", {"input_uncached": 10}, 1500000)),
    LONGER_THAN_RING: (long_string(), SURE),
    "events-10000": (events(*[delta()] * 10000, delta(usage()), b"[DONE]"), SURE),
    "event-1mb": (events(b"z" * (1 << 20), delta(usage()), b"[DONE]"), SURE),
    "one-byte-records": (lambda name: [bytes([b]) for b in head(name, length(BODY)) + BODY], SURE),
    "gzip-bomb": (packed(gzip.compress(b" " * (64 << 20)) + gzip.compress(BODY)), UNTOLD),
    "gzip-corrupt": (packed(gzip.compress(BODY)[:40] + b"\xff" * 40), UNTOLD),
    "gzip-5-times": (sent(BODY, b"Content-Encoding: " + b", ".join([b"gzip"] * 5)), UNTOLD),
    "coding-unknown": (sent(BODY, b"Content-Encoding: lzma"), UNTOLD),
    "br-garbage": (sent(b"\xff" * 5000, b"Content-Encoding: br"), UNTOLD),
    "zstd-garbage": (sent(b"\x28\xb5\x2f\xfd\x00\xff" + bytes(100), b"Content-Encoding: zstd"),
                     UNTOLD),
    "fields-10000": (lambda name: [head(name, length(BODY), *[b"A: b"] * 10000) + BODY], SURE),
    "informational-5000": (lambda name: [b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
                                         head(name, length(BODY)) + BODY], SURE),
    "length-and-chunked": (framed(CHUNK, field=b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
                           SURE),
    "second-answer": (lambda name: [head(name, length(BODY)) + BODY,
                                    head("unasked", length(BODY)) + BODY], SURE),
    "chunk-2^64": (framed(b"10000000000000000\r\n" + BODY), CUT),
    "chunk-2^64-1": (framed(b"ffffffffffffffff\r\n" + BODY), CUT),
    "chunk-minus": (framed(b"-5\r\n" + BODY), CUT),
    "chunk-extension": (framed(b"5;" + b"e" * 100000 + b"\r\n" + BODY), CUT),
}

HEADLESS_ANSWERS = {
    "garbage": lambda name: [b"\x16\x03\x01garbage\r\n\r\n" * 50],
    "endless": lambda name: [b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 8000 + b"\r\n"] * 400],
    "nothing": lambda name: [],
    "two-lengths": lambda name: [head(name, length(BODY), b"Content-Length: 3") + BODY],
    "length-minus": lambda name: [head(name, b"Content-Length: -5") + BODY],
    "length-2^64": lambda name: [head(name, b"Content-Length: 18446744073709551616") + BODY],
    "status-99999": lambda name: [head(name, length(BODY), status=b"99999 X") + BODY],
}


def resident(agent):
    """Its own memory: the ring is mapped beside it, twice."""
    return agent.memory_bytes("RssAnon")


def check_alive(agent):
    """Still there, still small, and without a word from a sanitizer."""
    assert agent.process.poll() is None, "the agent died: " + agent.stderr[-2000:]
    assert "Sanitizer" not in agent.stderr and "runtime error" not in agent.stderr, agent.stderr
    limit = RSS_MAX_SANITIZED if "asan" in agent.binary else RSS_MAX
    assert resident(agent) < limit, "%d bytes resident" % resident(agent)


def is_ours(row):
    return row["workload"].get("pid") == os.getpid()


def fact(row):
    return row["basis"], row["tokens"], row["cost_pusd"]


def answers_that_break_rules(build):
    with Agent(build) as agent, Peer() as peer:
        for name, (pieces, _) in ANSWERS.items():
            peer.exchange(request(), pieces(name))
        rows = {row["request_id"]: row for row in agent.wait_rows(len(ANSWERS), 15, is_ours)}
        assert rows.keys() == ANSWERS.keys(), rows.keys() ^ ANSWERS.keys()
        if agent.metric_sum("tolltap_capture_lost_events_total", "ring_full"):
            told = fact(rows[LONGER_THAN_RING])  # the reader was late, and it must say so
            assert told in (SURE, CUT), told
            rows.pop(LONGER_THAN_RING)
        wrong = ["%s: %s, not %s" % (name, fact(row), ANSWERS[name][1])
                 for name, row in rows.items() if fact(row) != ANSWERS[name][1]]
        assert not wrong, "; ".join(wrong)
        assert agent.metric_sum("tolltap_decode_errors_total", "content_coding_limit") == 2
        assert agent.metric_sum("tolltap_decode_errors_total", '"content_coding"') == 4
        assert agent.metric_sum("tolltap_decode_errors_total", '"json"') >= 1
        assert agent.metric_sum("tolltap_usage_mismatch_total") >= 3 * len(COUNTS)
        check_alive(agent)
        nothing_steers_the_terminal(agent)


def nothing_steers_the_terminal(agent):
    storage = "--storage.path=" + agent.storage
    for command in (["events"], ["events", "--wide"], ["spend", "--by=model,comm"],
                    ["top", "--once"], ["doctor"], ["events", "--output=csv"],
                    ["events", "--output=json"]):
        out = agent.command(*command, storage, check=False).stdout
        steering = {c for c in out if (c < " " and c not in "\r\n") or "\x7f" <= c <= "\x9f"}
        assert not steering, "%s prints %r" % (command, steering)


def answers_without_a_head(build):
    """Nothing is known of them but that they were asked for: no tokens, no cost. That they were cut is
    known only where nothing came, and where the head had not ended."""
    with Agent(build) as agent, Peer() as peer:
        for name, pieces in HEADLESS_ANSWERS.items():
            peer.exchange(request(), pieces(name))
        rows = agent.wait_rows(len(HEADLESS_ANSWERS), 15, is_ours)
        assert [row["outcome"] for row in rows].count("aborted") == 2, rows
        for row in rows:
            assert fact(row) == CUT and row["outcome"] in ("aborted", None), row
            assert row["status"] is None and row["request_id"] is None, row
        assert agent.metric_sum("tolltap_decode_errors_total", "http1") >= 3
        check_alive(agent)


def sums_beyond_any_count(build):
    """Counts that are fine alone and overflow together; costs that do."""
    item = b'{"type":"%s","input_tokens":1000000000000000,"output_tokens":1}'
    answer = (b'{"type":"message","model":"claude-sonnet-4-5","usage":{"input_tokens":1,'
              b'"output_tokens":1,"iterations":[%s]}}' %
              b",".join([item % b"compaction", *[item % b"message"] * 9999]))
    most = usage(b"1000000000000000", b"1000000000000000")
    with Agent(build) as agent, Peer() as peer:
        peer.exchange(request("api.anthropic.com", "/v1/messages", "claude-sonnet-4-5"),
                      sent(answer)("iterations"), "api.anthropic.com")
        for _ in range(2):
            peer.exchange(request(), sent(body(most))("most"))
        rows = agent.wait_rows(3, 6, is_ours)
        assert fact(rows[0]) == UNTOLD, rows[0]
        for row in rows[1:]:  # 10^15 at 150,000 and 600,000 picodollars leaves int64
            assert row["basis"] == "unpriced" and row["cost_pusd"] is None, row
            assert row["tokens"] == {"input_uncached": 10 ** 15, "output_text": 10 ** 15}, row
        check_alive(agent)


def hosts_without_number(build):
    """1,000 unlisted hosts that answer like a provider: metered unpriced, hinted at up to a bound."""
    with Agent(build) as agent, Peer() as peer:
        for i in range(1000):
            host = "h%d.example" % i
            peer.exchange(request(host), sent(BODY)(host), host)
        rows = agent.wait_rows(1000, 15, is_ours)
        assert {row["host"] for row in rows} == {"h%d.example" % i for i in range(1000)}
        assert {fact(row) for row in map(frozen, rows)} == {("unpriced", frozenset(PLAIN), None)}
        with open(os.path.join(agent.storage, "status.json")) as f:
            assert len(json.load(f)["hints"]) <= 64
        series = [name for name in agent.metrics() if "example" in name]
        assert not series, "a host became a label: %s" % series[:3]
        check_alive(agent)


def frozen(row):
    return dict(row, tokens=frozenset(row["tokens"]))


def a_crowd_of_connections(build):
    """1,300 connections open at once, each used twice or never answered."""
    with Agent(build) as agent, Peer() as peer:
        unanswered = [peer.connect() for _ in range(300)]
        for connection in unanswered:
            connection.write(request())
        crowd = [peer.connect() for _ in range(1000)]
        for turn in range(2):
            for i, connection in enumerate(crowd):
                connection.write(request())
                connection.answer(sent(BODY)("crowd-%d-%d" % (turn, i))[0])
        answered = lambda row: is_ours(row) and (row["request_id"] or "").startswith("crowd-")
        rows = agent.wait_rows(2000, 20, answered)
        assert all(fact(row) == SURE for row in rows)
        assert len({row["request_id"] for row in rows}) == 2000
        unanswered.clear()
        crowd.clear()
        rows = agent.wait_rows(300, 15, lambda row: is_ours(row) and not row["request_id"])
        assert all(fact(row) == CUT and row["outcome"] == "aborted" for row in rows)
        check_alive(agent)


if __name__ == "__main__":
    sys.exit(main([
        answers_that_break_rules, answers_without_a_head, sums_beyond_any_count,
        hosts_without_number, a_crowd_of_connections]))
