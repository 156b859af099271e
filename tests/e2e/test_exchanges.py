#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every recorded exchange again, over real TLS, through the live agent.

A TLS server answers with the recording's bytes, a raw client sends the recording's request; both
are framed anew (by length, in chunks, compressed). The rows must say what expected.json says and
cost what the catalogue's decimal prices give here, by other code than the agent's.
The recordings: tests/replay/cases, and TOLLTAP_CASSETTES (default ../shared/data/cassettes).
"""
import glob
import gzip
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from decimal import ROUND_HALF_EVEN, Decimal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import ROW_DELAY_S, TOP, Agent, Skip, main
import compare  # of packaging/demo, which harness puts on the path

RECORDED = os.environ.get("TOLLTAP_CASSETTES", os.path.join(TOP, "..", "shared/data/cassettes"))
OWN = os.path.join(TOP, "tests/replay/cases")

# Folder of the recordings -> provider of the rows.
PROVIDERS = {
    "openai": "openai", "anthropic": "anthropic", "azure-openai": "azure.ai.openai",
    "deepseek": "deepseek", "groq": "groq", "huggingface-router": "huggingface",
    "mistral": "mistral_ai", "openrouter": "openrouter", "perplexity": "perplexity",
    "together": "together_ai", "xai": "x_ai", "google-gemini": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
}
OTHER_HOSTS = {"api.cerebras.ai": "cerebras", "api.voyageai.com": "voyage_ai", "api.z.ai": "zai",
               "api.writer.com": "writer"}
# Hosts that only their shape gives away, and what config can say of them.
SHAPED = {"ollama/openai-compat-": "ollama", "vllm/": "vllm", "other/pydantic-gateway-": "anthropic"}
# Read-backs that tell of no usage.
ROWLESS = re.compile(r"synthetic/(batch|poll)-under-way|synthetic/batch-input-file")
# Rows of no cost: free endpoints, a prompt that was refused before any work.
FREE = re.compile(r".*(count-tokens|moderation|blocked)")
# What a cache stores is no usage of the call that makes it.
STORED = re.compile(r".*cached-content-create-")
# Recorders put this location into the address, not into the Host field.
REPLACED_HOST = "test-location-aiplatform.googleapis.com"
# The provider said 0 for an answer that has text: unknown, not zero.
ZERO_USAGE_WITH_OUTPUT = {"openai/responses-stream-incomplete-01"}

VARIANTS = ("length", "chunked", "gzip")


# ---- recordings ----------------------------------------------------------------------------------

def read(directory, name):
    with open(os.path.join(directory, name), "rb") as f:
        return f.read()


class Exchange:
    def __init__(self, name, directory):
        self.name = name
        self.expected = json.loads(read(directory, "expected.json"))
        self.request = split_head(read(directory, "request.head")), read(directory, "request.body")
        self.answer = split_head(read(directory, "response.head")), read(directory, "response.body")
        if self.answer[1][:2] == b"\x1f\x8b":
            self.answer = self.answer[0], gzip.decompress(self.answer[1])
        self.host = self.expected["host"]
        # What price multipliers go by.
        self.facts = {"host": self.host, **{
            name.decode(): value.decode() for name, value in re.findall(
                rb'"(inference_geo|speed)":\s*"([a-z]+)"', self.answer[1])}}
        self.provider = provider_of(name, self.host, self.expected["provider"])

    def wire(self, variant):
        """(request pieces, answer pieces) as they are written."""
        return (framed(*self.request, variant if variant != "gzip" else "length", self.host),
                framed(*self.answer, variant))


def split_head(head):
    return [line for line in re.split(b"\r?\n", head) if line]


def provider_of(name, host, recorded_as):
    shaped = [p for prefix, p in SHAPED.items() if name.startswith(prefix)]
    if shaped:
        return shaped[0]
    if host in OTHER_HOSTS:
        return OTHER_HOSTS[host]
    return PROVIDERS.get(recorded_as)


FRAMING = (b"transfer-encoding:", b"content-length:", b"content-encoding:", b"connection:")


def framed(head, body, variant, host=None):
    lines = [head[0]] + [line for line in head[1:] if not line.lower().startswith(FRAMING)]
    if host and not any(line.lower().startswith(b"host:") for line in lines):
        lines.insert(1, b"Host: " + host.encode())
    if variant == "gzip":
        lines.append(b"Content-Encoding: gzip")
        body = gzip.compress(body)
    if variant == "length":
        if body or not lines[0].startswith(b"GET"):
            lines.append(b"Content-Length: %d" % len(body))
        return [b"\r\n".join(lines) + b"\r\n\r\n" + body]
    lines.append(b"Transfer-Encoding: chunked")
    pieces = [b"\r\n".join(lines) + b"\r\n\r\n"]
    for at in range(0, len(body), 1021):
        piece = body[at:at + 1021]
        pieces.append(b"%x\r\n%s\r\n" % (len(piece), piece))
    return pieces + [b"0\r\n\r\n"]


def exchanges(top, accept):
    for path in sorted(glob.glob(os.path.join(top, "*/*/expected.json"))):
        directory = os.path.dirname(path)
        name = "/".join(directory.split("/")[-2:])
        if os.path.exists(os.path.join(directory, "request.head")) and accept(name):
            exchange = Exchange(name, directory)
            if exchange.provider and not exchange.expected.get("transport"):
                yield exchange


# ---- server and client ---------------------------------------------------------------------------

class Server:
    """Reads as many bytes as it is told, then writes the pieces it is told."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="tolltap-test.")
        certificate = os.path.join(self.directory, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
                        "/CN=exchanges", "-keyout", certificate + ".key", "-out", certificate],
                       check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, certificate + ".key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.script = []

    def serve(self, script):
        """One connection in the background: script is a list of (bytes to read, pieces)."""
        self.script = script
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        return thread

    def _serve(self):
        plain, _ = self.listener.accept()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.context.wrap_socket(plain, server_side=True) as tls:
            for length, pieces in self.script:
                while length:
                    length -= len(tls.recv(min(length, 16384)))
                for piece in pieces:
                    tls.sendall(piece)
            tls.recv(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        shutil.rmtree(self.directory)


CLIENT = """
import json, socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
for line in sys.stdin:
    job = json.loads(line)
    plain = socket.create_connection(("127.0.0.1", job["port"]))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tls = context.wrap_socket(plain, server_hostname=job["sni"])
    for pieces, length in job["calls"]:
        for piece in pieces:
            tls.sendall(piece.encode("latin-1"))
        while length:
            length -= len(tls.recv(min(length, 30000)))
    tls.close()
    print("done", flush=True)
"""


class Client:
    def __init__(self):
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", CLIENT], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid

    def run(self, server, sni, calls):
        thread = server.serve([(sum(map(len, request)), answer) for request, answer in calls])
        self.process.stdin.write(json.dumps({
            "port": server.port, "sni": sni,
            "calls": [([piece.decode("latin-1") for piece in request], sum(map(len, answer)))
                      for request, answer in calls]}) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n", "the client failed"
        thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(5)


# ---- the price, once more ------------------------------------------------------------------------

INPUT_PRICE = {"input_uncached": ("input",), "input_cache_read": ("cache_read", "input"),
               "input_cache_write_5m": ("cache_write_5m",),
               "input_cache_write_1h": ("cache_write_1h",), "input_audio": ("input_audio",),
               "input_image": ("input_image", "input")}
OUTPUT_PRICE = {"output_text": ("output",), "output_reasoning": ("reasoning", "output"),
                "output_audio": ("output_audio",), "output_image": ("output_image",)}
UNIT_PRICE = {"images": "image", "audio_seconds": "audio_input", "characters": "character",
              "pages": "page", "search_units": "search_unit"}
STANDARD_TIERS = {None, "", "default", "standard", "auto", "on_demand"}


class Prices:
    def __init__(self):
        with open(os.path.join(TOP, "pricing", "catalog.json")) as f:
            self.catalog = json.load(f)
        self.fees = {p["provider"]: p for p in self.catalog["providers"]}

    def period(self, provider, model):
        by_case = {name.lower(): name for row in self.catalog["models"]
                   if row["provider"] == provider for name in [row["id"], *row.get("alias", [])]}
        return compare.prices_for(self.catalog, provider, by_case.get(model.lower(), model))

    def cost(self, row, facts):
        """Picodollars of a row's tokens and fees; None when something has no price. Facts are what
        multipliers go by."""
        period = self.period(row["provider"], row["model"] or row["model_requested"])
        about = self.fees.get(row["provider"], {})
        tier = "batch" if row["batch"] else about.get("tier_names", {}).get(
            row["service_tier"], row["service_tier"])
        if not period:
            return None
        table, factor, above = period["prices"], Decimal(1), period.get("above", [])
        if tier not in STANDARD_TIERS and tier not in about.get("standard_tiers", []):
            own = period.get("tiers", {}).get(tier)
            if own is None:
                return None
            factor = Decimal(own.get("factor", "1"))
            if "prices" in own:
                table, above = own["prices"], own.get("above", [])
        for multiplier in period.get("multipliers", []):
            if facts.get(multiplier["by"]) == multiplier["value"]:
                factor *= Decimal(multiplier["factor"])
        prompt = sum(n for kind, n in row["tokens"].items() if kind.startswith("input_"))
        for step in above:
            if prompt > step["tokens"]:
                table = {**table, **step["prices"]}
        total = Decimal(0)
        for kind, count in row["tokens"].items():
            names = (INPUT_PRICE | OUTPUT_PRICE)[kind]
            price = next((table[name] for name in names if name in table), None)
            if price is None:
                return None
            total += Decimal(price) * count * 10 ** 6 * factor
        for unit, count in (row["tool_units"] or {}).items():
            name = UNIT_PRICE.get(unit, unit)
            price = period["prices"].get(name, about.get("fees", {}).get(name))
            if price is None:
                return None
            per = 3600 if name == "audio_input" else 10 ** 6 if name == "character" else 1000
            total += Decimal(price) * count * 10 ** 12 / per
        if "request" in period["prices"]:
            total += Decimal(period["prices"]["request"]) * 10 ** 9
        return int(total.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


# ---- rows against expectations -------------------------------------------------------------------

PARTS = {"cache_read_tokens": ("input_cache_read",),
         "cache_write_tokens": ("input_cache_write_5m", "input_cache_write_1h"),
         "cache_write_1h_tokens": ("input_cache_write_1h",),
         "input_audio_tokens": ("input_audio",), "input_image_tokens": ("input_image",),
         "output_audio_tokens": ("output_audio",), "output_image_tokens": ("output_image",),
         "reasoning_tokens": ("output_reasoning",)}


def token_differences(tokens, usage):
    totals = {"input_tokens": [k for k in tokens if k.startswith("input_")],
              "output_tokens": [k for k in tokens if k.startswith("output_")], **PARTS}
    usage = dict(usage)
    if usage.get("reasoning_tokens") and usage["reasoning_tokens"] > usage["output_tokens"]:
        usage["reasoning_tokens"] = usage["output_tokens"]  # kinds are disjoint
    for key, kinds in totals.items():
        want, got = usage.get(key, 0), sum(tokens.get(kind, 0) for kind in kinds)
        if want is not None and want != got:
            yield "%s: %d instead of %d" % (key, got, want)


def wanted_basis(exchange):
    expected = exchange.expected
    if expected.get("basis"):
        return {expected["basis"], "unpriced"}
    if expected["http_status"] >= 400 or FREE.match(exchange.name):
        return {"not_billed"}
    if not expected["usage_on_wire"] or STORED.match(exchange.name) \
            or exchange.name in ZERO_USAGE_WITH_OUTPUT:
        return {"estimated"}
    if is_shaped(exchange.name):
        return {"reported_usage"}  # a gateway's own figure is no bill
    if expected.get("provider_reported_cost_usd") is not None:
        return {"provider_reported"}
    if expected["usage"] and expected["usage"]["input_tokens"] is None:
        return {"partial"}  # cannot be told from the traffic: a lower bound
    return {"reported_usage", "unpriced"}


def cost_differences(exchange, row, prices, reported=None):
    """reported: by the provider, of this row."""
    if row["collapsed_by"]:  # the same answer of a host without a role, in another framing: billed once
        if row["cost_pusd"] != 0 or row["billable"]:
            yield "cost_pusd: %s of a leg that is no bill" % row["cost_pusd"]
        return
    reported = reported or exchange.expected.get("provider_reported_cost_usd")
    if row["basis"] == "provider_reported":
        upstream = (exchange.expected.get("extra") or {}).get("upstream_cost_usd", 0)
        want = int((Decimal(repr(reported)) + Decimal(repr(upstream))) * 10 ** 12)
    elif row["basis"] == "not_billed" or is_shaped(exchange.name):
        want = 0
    elif row["tokens"] is None:
        want = None
    else:
        want = prices.cost(row, exchange.facts)
    if row["cost_pusd"] != want:
        yield "cost_pusd: %s, worked out %s" % (row["cost_pusd"], want)
    if (row["basis"] == "unpriced") != (want is None and row["tokens"] is not None):
        yield "basis %s with a price of %s" % (row["basis"], want)


def differences(exchange, row, prices):
    expected = exchange.expected
    failed = expected["http_status"] >= 400 or "stream-error" in exchange.name
    want = {"provider": exchange.provider, "host": exchange.host,
            "model_requested": expected.get("request_model"), "status": expected["http_status"],
            "outcome": "error" if failed else "ok", "gaps": 0}
    if exchange.host == REPLACED_HOST:
        del want["host"]
    if expected["http_status"] < 400:
        want["stream"] = expected["stream"]
        want["model"] = expected.get("response_model") or expected.get("request_model")
        want["response_id"] = expected.get("response_id") or row["response_id"]
    if expected.get("service_tier"):
        want["service_tier"] = expected["service_tier"]
    request_id = expected.get("request_id_header")
    if request_id and not request_id.startswith("<"):
        want["request_id"] = request_id
    for key, value in want.items():
        if row[key] != value:
            yield "%s: %r instead of %r" % (key, row[key], value)
    if row["basis"] not in wanted_basis(exchange):
        yield "basis: %s instead of %s" % (row["basis"], wanted_basis(exchange))
    if not expected["usage"] or exchange.name in ZERO_USAGE_WITH_OUTPUT:
        if row["usage_missing"] == "not_asked" or row["estimated_by"]:
            # What it is worth: tests/replay/test_estimates.c
            counted = row["tokens"] or {}
            if not (row["estimated_by"] and counted.get("input_uncached") and counted.get("output_text")):
                yield "not estimated: %s" % row["tokens"]
        elif row["tokens"] is not None:
            yield "tokens: %s instead of unknown" % row["tokens"]
    elif row["tokens"] is None:
        yield "tokens unknown"
    else:
        yield from token_differences(row["tokens"], expected["usage"])
    yield from cost_differences(exchange, row, prices)


def size(tokens):
    return sum(tokens.values())


def batch_differences(exchange, rows, results, prices):
    """A row for each line, at batch prices."""
    if len(rows) != len(results):
        return ["%d rows of %d lines" % (len(rows), len(results))]
    found = []
    for row, result in zip(sorted(rows, key=lambda row: size(row["tokens"])), sorted(
            results, key=lambda r: r["usage"]["input_tokens"] + r["usage"]["output_tokens"])):
        found += token_differences(row["tokens"], result["usage"])
        found += cost_differences(exchange, row, prices, result.get("cost_usd"))
        if (row["model"], row["provider"]) != (result["model"], exchange.provider):
            found.append("%s of %s" % (row["model"], row["provider"]))
    return found


def check(exchange, rows, prices):
    """Differences of the rows of one exchange's variants, which share everything but times. What is
    read back has told the same each time, and counts once."""
    if ROWLESS.match(exchange.name):
        return ["a row where none is due"] if rows else []
    extra = exchange.expected.get("extra") or {}
    if "batch_results" in extra:
        return batch_differences(exchange, rows, extra["batch_results"], prices)
    subs = extra.get("sub_models", {})
    times = 1 if exchange.expected.get("method") == "GET" else len(VARIANTS)
    if len(rows) != times * (1 + len(subs)):
        return ["%d rows of %d calls with %d sub models" % (len(rows), times, len(subs))]
    found = []
    for row in rows:
        usage = subs.get(row["model"]) if row["model"] != exchange.expected.get("response_model") else None
        if usage:
            found += token_differences(row["tokens"], usage)
            found += cost_differences(exchange, row, prices)
        else:
            found += differences(exchange, row, prices)
    return found


def began(row):
    return datetime.fromisoformat(row["started_at"].replace("Z", "+00:00"))


def is_told_by(exchange, row):
    """Of rows that are dated by what they tell of."""
    expected = exchange.expected
    if row["provider"] != exchange.provider or expected.get("method") != "GET":
        return False
    return "batch" in exchange.name if row["batch"] else \
        row["response_id"] == expected.get("response_id")


def replay_all(build, top, accept=lambda name: True, *flags):
    prices, failures, total = Prices(), [], 0
    with Agent(build, *flags) as agent, Server() as server, Client() as client:
        marks = []
        for exchange in exchanges(top, accept):
            total += 1
            start = datetime.now(timezone.utc)
            client.run(server, exchange.host.split(":")[0],
                       [exchange.wire(variant) for variant in VARIANTS])
            marks.append((exchange, start, datetime.now(timezone.utc)))
        if not total:
            raise Skip("no recordings in %s (TOLLTAP_CASSETTES)" % top)
        time.sleep(ROW_DELAY_S)
        rows = [row for row in agent.rows() if row["workload"].get("pid") == client.pid]
        assert len({row["event_id"] for row in rows}) == len(rows), "an event id came twice"
    for exchange, start, end in marks:
        mine = [row for row in rows if start <= began(row) <= end]
        mine += [row for row in rows if began(row) < marks[0][1] and is_told_by(exchange, row)]
        for line in dict.fromkeys(check(exchange, mine, prices)):
            failures.append("%s: %s" % (exchange.name, line))
    assert not failures, "%d of %d exchanges differ:\n  %s" % (
        len({f.split(":")[0] for f in failures}), total, "\n  ".join(failures))
    print("# %d exchanges over TLS, %d rows" % (total, len(rows)))


def is_shaped(name):
    return name.startswith(tuple(SHAPED))


def recorded_exchanges_over_tls(build):
    replay_all(build, RECORDED, lambda name: not is_shaped(name))


def recorded_self_hosted_servers(build):
    found = list(exchanges(RECORDED, is_shaped))
    flags = {"--provider.host=%s=%s,role=self_hosted" % (e.host, e.provider) for e in found}
    replay_all(build, RECORDED, is_shaped, *sorted(flags))


def own_exchanges_over_tls(build):
    replay_all(build, OWN)


if __name__ == "__main__":
    sys.exit(main([recorded_exchanges_over_tls, recorded_self_hosted_servers,
                   own_exchanges_over_tls]))
