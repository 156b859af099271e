#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A local TLS provider that speaks OpenAI and Anthropic and keeps its own books.

Every answer carries a usage that is known before the answer is made: the disjoint token counts come
from the scenario, or else from a hash of the request body; the dialect's usage object is made from
them. One JSON line per request goes to the truth file before the answer's last byte is sent, so a
client that has its answer can rely on the line. Standard library only; HTTP/1.1 only.

A request picks its scenario by the header `x-demo-scenario`, or by a prompt that begins with
`demo:`; either is a name from SCENARIOS or a JSON object of the fields listed in `Scenario`.

    provider.py --truth FILE [--port N] [--dir DIR] [--name EXTRA_HOST]...

prints `port N` and `cacert FILE`, then serves until it is told to stop or its stdin ends.
"""
import argparse
import contextlib
import hashlib
import http.server
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

try:
    import brotli
except ImportError:
    brotli = None

REQUEST_BYTES_MAX = 64 << 20
HOSTS = ("api.openai.com", "api.anthropic.com", "localhost")

SERVED_MODELS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
}

OPENAI_ERRORS = {400: "invalid_request_error", 401: "invalid_request_error",
                 404: "invalid_request_error", 429: "rate_limit_exceeded", 500: "server_error",
                 503: "server_error"}
ANTHROPIC_ERRORS = {400: "invalid_request_error", 401: "authentication_error",
                    404: "not_found_error", 429: "rate_limit_error", 500: "api_error",
                    529: "overloaded_error"}


class Scenario:
    """How one answer deviates from the plain one. Field = default."""

    tokens = None  # disjoint kinds by name; None = derived from the request
    usage = True  # False: a 200 that carries no usage
    status = 200
    html = False  # an HTML page as body, as a proxy's error page
    body_bytes = 0  # pad the JSON body to exactly this length
    stream_bytes = 0  # send text deltas until the stream is at least this long
    events = 3  # text deltas otherwise
    cut_after = None  # close the socket after this many events
    reset = False  # a cut is a TCP reset, not an end without close_notify
    delay_ms = 0  # between events, and before a body
    ping = False  # ping events and comment lines between the others
    crlf = False  # event stream lines end in CRLF
    piece_bytes = 0  # size of an HTTP chunk or write; 0 = one per event or body
    framing = "auto"  # length, chunked, close; auto = chunked streams, else length
    encoding = "auto"  # identity, gzip, deflate, br; auto = what the client prefers
    informational = 0  # 103 answers before the final one
    trailers = False  # trailer fields after the last chunk
    join = False  # head and body in one write

    def __init__(self, **fields):
        for name, value in fields.items():
            if name.startswith("_") or not hasattr(type(self), name):
                raise ValueError(f"unknown scenario field {name!r}")
            setattr(self, name, value)


SCENARIOS = {
    "plain": {},
    "no-usage": {"usage": False},
    "sse-400k": {"stream_bytes": 400 << 10},
    "cache-5m-1h": {"tokens": {"input_uncached": 21, "input_cache_read": 1024,
                               "input_cache_write_5m": 300, "input_cache_write_1h": 700,
                               "output_text": 89}},
    "reasoning": {"tokens": {"input_uncached": 55, "input_cache_read": 128, "output_text": 40,
                             "output_reasoning": 192}},
    "audio": {"tokens": {"input_uncached": 20, "input_audio": 33, "output_text": 7,
                         "output_audio": 64}},
    "zero": {"tokens": {"input_uncached": 12}},
    "error-401": {"status": 401},
    "error-429": {"status": 429},
    "error-500": {"status": 500},
    "not-found-html": {"status": 404, "html": True},
    "no-content": {"status": 204},
    "cut": {"cut_after": 2},
    "reset": {"cut_after": 2, "reset": True},
    "slow": {"delay_ms": 150},
    "ping": {"ping": True},
    "crlf": {"crlf": True},
    "embeddings-50m": {"body_bytes": 50 << 20, "framing": "chunked"},
    "close": {"framing": "close"},
    "one-byte": {"piece_bytes": 1},
    "early-hints": {"informational": 2},
    "trailers": {"trailers": True},
}


def scenario_of(text):
    if not text:
        return Scenario()
    if text.lstrip().startswith("{"):
        return Scenario(**json.loads(text))
    if text not in SCENARIOS:
        raise ValueError(f"unknown scenario {text!r}; known: {', '.join(SCENARIOS)}")
    return Scenario(**SCENARIOS[text])


def derived_tokens(body, kinds):
    """Counts that look real and depend on every byte of the request."""
    digest = hashlib.sha256(body).digest()
    numbers = struct.unpack(">8I", digest)
    return {kind: 1 + numbers[i] % 2000 for i, kind in enumerate(kinds)}


# ---- dialects: disjoint counts -> the provider's own usage object --------------------------------

def inputs(tokens):
    return sum(n for kind, n in tokens.items() if kind.startswith("input_"))


def outputs(tokens):
    return sum(n for kind, n in tokens.items() if kind.startswith("output_"))


def usage_chat(tokens):
    get = tokens.get
    return {
        "prompt_tokens": inputs(tokens),
        "completion_tokens": outputs(tokens),
        "total_tokens": inputs(tokens) + outputs(tokens),
        "prompt_tokens_details": {"cached_tokens": get("input_cache_read", 0),
                                  "audio_tokens": get("input_audio", 0)},
        "completion_tokens_details": {"reasoning_tokens": get("output_reasoning", 0),
                                      "audio_tokens": get("output_audio", 0),
                                      "accepted_prediction_tokens": 0,
                                      "rejected_prediction_tokens": 0},
    }


def usage_responses(tokens):
    return {
        "input_tokens": inputs(tokens),
        "input_tokens_details": {"cached_tokens": tokens.get("input_cache_read", 0)},
        "output_tokens": outputs(tokens),
        "output_tokens_details": {"reasoning_tokens": tokens.get("output_reasoning", 0)},
        "total_tokens": inputs(tokens) + outputs(tokens),
    }


def usage_completions(tokens):
    return {"prompt_tokens": inputs(tokens), "completion_tokens": outputs(tokens),
            "total_tokens": inputs(tokens) + outputs(tokens)}


def usage_embeddings(tokens):
    return {"prompt_tokens": inputs(tokens), "total_tokens": inputs(tokens)}


def usage_messages(tokens):
    five_minutes = tokens.get("input_cache_write_5m", 0)
    one_hour = tokens.get("input_cache_write_1h", 0)
    usage = {
        "input_tokens": tokens.get("input_uncached", 0),
        "cache_creation_input_tokens": five_minutes + one_hour,
        "cache_read_input_tokens": tokens.get("input_cache_read", 0),
        "cache_creation": {"ephemeral_5m_input_tokens": five_minutes,
                           "ephemeral_1h_input_tokens": one_hour},
        "output_tokens": outputs(tokens),
        "service_tier": "standard",
    }
    if "output_reasoning" in tokens:
        usage["output_tokens_details"] = {"thinking_tokens": tokens["output_reasoning"]}
    return usage


# ---- answers ------------------------------------------------------------------------------------

def dumps(value):
    return json.dumps(value, separators=(",", ":"))


class Answer:
    """What one request asked for and what it will be told; dialect methods yield the body."""

    def __init__(self, api, request, body, scenario, serial):
        self.api = api
        self.request = request
        self.scenario = scenario
        self.id = api.id_prefix + serial
        self.model_requested = str(request.get("model", ""))
        self.model = SERVED_MODELS.get(self.model_requested, self.model_requested)
        self.stream = bool(request.get("stream")) and api.can_stream
        tokens = scenario.tokens
        if tokens is None:
            tokens = derived_tokens(body, api.kinds)
        self.tokens = {kind: n for kind, n in tokens.items() if n}
        self.usage = api.usage(self.tokens) if scenario.usage else None

    def texts(self):
        """The answer's text, a piece per event."""
        sent = 0
        count = 0
        while count < self.scenario.events or sent < self.scenario.stream_bytes:
            piece = "lorem " if not self.scenario.stream_bytes else "lorem ipsum dolor " * 20
            yield piece
            sent += len(piece)
            count += 1

    def padded(self, text):
        """The body with `PAD` replaced so that it is as long as the scenario wants."""
        missing = self.scenario.body_bytes - (len(text) - len("PAD"))
        if self.scenario.body_bytes and missing < 0:
            raise ValueError(f"body_bytes below {len(text) - len('PAD')}")
        return text.replace("PAD", "x" * missing if missing > 0 else "ok", 1)


def sse(data, event=None):
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data if isinstance(data, str) else dumps(data)}\n\n"


def chat_body(a):
    body = {"id": a.id, "object": "chat.completion", "created": int(time.time()),
            "model": a.model, "service_tier": "default",
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                         "message": {"role": "assistant", "content": "PAD", "refusal": None}}]}
    if a.usage:
        body["usage"] = a.usage
    yield a.padded(dumps(body))


def chat_events(a):
    include = a.usage and (a.request.get("stream_options") or {}).get("include_usage")
    head = {"id": a.id, "object": "chat.completion.chunk", "created": int(time.time()),
            "model": a.model, "service_tier": "default", "system_fingerprint": "fp_demo"}
    null_usage = {"usage": None} if include else {}

    def chunk(delta, finish=None):
        return sse({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
                    **null_usage})

    yield chunk({"role": "assistant", "content": ""})
    for text in a.texts():
        yield chunk({"content": text})
    yield chunk({}, "stop")
    if include:
        yield sse({**head, "choices": [], "usage": a.usage})
    yield sse("[DONE]")


def completions_body(a):
    body = {"id": a.id, "object": "text_completion", "created": int(time.time()),
            "model": a.model, "choices": [{"text": "PAD", "index": 0, "finish_reason": "stop"}]}
    if a.usage:
        body["usage"] = a.usage
    yield a.padded(dumps(body))


def completions_events(a):
    include = a.usage and (a.request.get("stream_options") or {}).get("include_usage")
    head = {"id": a.id, "object": "text_completion", "created": int(time.time()),
            "model": a.model}
    for text in a.texts():
        yield sse({**head, "choices": [{"text": text, "index": 0, "finish_reason": None}]})
    if include:
        yield sse({**head, "choices": [], "usage": a.usage})
    yield sse("[DONE]")


def responses_object(a, status, usage):
    return {"id": a.id, "object": "response", "created_at": int(time.time()), "status": status,
            "model": a.model, "service_tier": "auto" if status == "in_progress" else "default",
            "output": [] if status == "in_progress" else
            [{"type": "message", "role": "assistant",
              "content": [{"type": "output_text", "text": "PAD"}]}],
            "usage": usage}


def responses_body(a):
    yield a.padded(dumps(responses_object(a, "completed", a.usage)))


def responses_events(a):
    def event(name, **fields):
        return sse({"type": name, **fields}, name)

    yield event("response.created", response=responses_object(a, "in_progress", None))
    yield event("response.in_progress", response=responses_object(a, "in_progress", None))
    for text in a.texts():
        yield event("response.output_text.delta", delta=text)
    yield event("response.completed", response=responses_object(a, "completed", a.usage))


def embeddings_body(a):
    """Written in pieces: a 50 MB answer never stands in memory as one text."""
    head = '{"object":"list","data":[{"object":"embedding","index":0,"embedding":['
    usage = f',"usage":{dumps(a.usage)}' if a.usage else ""
    tail = f'0.5]}}],"model":{dumps(a.model)}{usage}}}'
    missing = a.scenario.body_bytes - len(head) - len(tail)
    number = "0.0123456,"
    block = number * 6400
    yield head
    while missing > len(block):
        yield block
        missing -= len(block)
    if missing > 0:
        yield " " * (missing % len(number)) + number * (missing // len(number))
    yield tail


def messages_object(a, usage, content, stop):
    return {"id": a.id, "type": "message", "role": "assistant", "model": a.model,
            "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def messages_body(a):
    body = messages_object(a, a.usage, [{"type": "text", "text": "PAD"}], "end_turn")
    if not a.usage:
        del body["usage"]
    yield a.padded(dumps(body))


def messages_events(a):
    def event(name, **fields):
        return sse({"type": name, **fields}, name)

    opening = {**a.usage, "output_tokens": 1} if a.usage else {}
    opening.pop("output_tokens_details", None)
    closing = {k: v for k, v in a.usage.items()
               if k.endswith("tokens") or k.startswith("output")} if a.usage else {}
    yield event("message_start", message=messages_object(a, opening, [], None))
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for text in a.texts():
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
    yield event("content_block_stop", index=0)
    yield event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None},
                usage=closing)
    yield event("message_stop")


class Api:
    """One row per path: how it answers and what its usage is made of."""

    def __init__(self, suffix, provider, api, operation, id_prefix, kinds, usage, body, events):
        self.suffix, self.provider, self.api, self.operation = suffix, provider, api, operation
        self.id_prefix, self.kinds, self.usage = id_prefix, kinds, usage
        self.body, self.events, self.can_stream = body, events, events is not None


GPT_KINDS = ("input_uncached", "input_cache_read", "output_text", "output_reasoning")
CLAUDE_KINDS = ("input_uncached", "input_cache_read", "input_cache_write_5m",
                "input_cache_write_1h", "output_text")
APIS = (
    Api("/chat/completions", "openai", "chat.completions", "chat", "chatcmpl-", GPT_KINDS,
        usage_chat, chat_body, chat_events),
    Api("/completions", "openai", "completions", "text_completion", "cmpl-",
        ("input_uncached", "output_text"), usage_completions, completions_body,
        completions_events),
    Api("/responses", "openai", "responses", "chat", "resp_", GPT_KINDS, usage_responses,
        responses_body, responses_events),
    Api("/embeddings", "openai", "embeddings", "embeddings", "", ("input_uncached",),
        usage_embeddings, embeddings_body, None),
    Api("/messages", "anthropic", "messages", "chat", "msg_", CLAUDE_KINDS, usage_messages,
        messages_body, messages_events),
)


def api_of(path):
    path = path.split("?", 1)[0]
    return next((api for api in APIS if path.endswith(api.suffix)), None)


# ---- content codings ----------------------------------------------------------------------------

class Identity:
    def feed(self, data):
        return data

    def finish(self):
        return b""


class Zlib:
    """Flushed after each event, so that a reader sees events as they come."""

    def __init__(self, wbits):
        self.stream = zlib.compressobj(6, zlib.DEFLATED, wbits)

    def feed(self, data):
        return self.stream.compress(data) + self.stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self):
        return self.stream.flush(zlib.Z_FINISH)


class Brotli:
    def __init__(self):
        self.stream = brotli.Compressor()

    def feed(self, data):
        return self.stream.process(data) + self.stream.flush()

    def finish(self):
        return self.stream.finish()


CODINGS = {"gzip": lambda: Zlib(31), "deflate": lambda: Zlib(15), "identity": Identity}
if brotli:
    CODINGS["br"] = Brotli


def coding_for(wanted, accept):
    if wanted != "auto":
        return wanted if wanted in CODINGS else "identity"
    offered = [item.split(";")[0].strip() for item in (accept or "").lower().split(",")]
    return next((name for name in ("br", "gzip", "deflate") if name in offered and name in CODINGS),
                "identity")


# ---- HTTP ---------------------------------------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tolltap-demo"
    wbufsize = 0  # each write below is one TLS write

    def log_message(self, *args):
        pass

    def setup(self):
        self.request.settimeout(60)
        self.request.do_handshake()
        super().setup()

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        if length > REQUEST_BYTES_MAX:
            raise ValueError("request too long")
        return self.rfile.read(length)

    def do_GET(self):
        self.read_body()
        if self.headers.get("Upgrade"):
            return self.answer_upgrade()
        path = self.path.split("?", 1)[0]
        if path.endswith("/models"):
            listing = {"object": "list", "data": [{"id": m, "object": "model"}
                                                  for m in SERVED_MODELS]}
            return self.answer_plain(200, "application/json", dumps(listing))
        if path == "/":
            return self.answer_plain(200, "text/plain", "tolltap demo provider\n")
        return self.answer_plain(404, "text/html", "<html><body>not found</body></html>")

    do_HEAD = do_GET

    def do_POST(self):
        body = self.read_body()
        api = api_of(self.path)
        if self.path.split("?", 1)[0].endswith("/count_tokens"):
            return self.answer_plain(200, "application/json", '{"input_tokens":14}')
        if not api:
            return self.answer_plain(404, "text/html", "<html><body>not found</body></html>")
        try:
            request = json.loads(body)
            scenario = scenario_of(self.scenario_text(request))
            answer = Answer(api, request, body, scenario, self.server.next_serial())
        except (ValueError, TypeError, AttributeError) as e:
            return self.answer_plain(400, "application/json",
                                     dumps({"error": {"type": "invalid_request_error",
                                                      "message": str(e)}}))
        return self.answer_call(answer)

    def scenario_text(self, request):
        header = self.headers.get("x-demo-scenario")
        if header:
            return header
        prompt = request.get("input") or request.get("prompt") or ""
        messages = request.get("messages")
        if messages and isinstance(messages[-1].get("content"), str):
            prompt = messages[-1]["content"]
        return prompt[5:] if isinstance(prompt, str) and prompt.startswith("demo:") else ""

    def answer_plain(self, status, kind, text):
        self.server.note({"row": False, "path": self.path, "status": status})
        data = text.encode()
        self.put_head(status, {"Content-Type": kind, "Content-Length": len(data)})
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer_upgrade(self):
        self.server.note({"row": False, "path": self.path, "status": 101})
        self.put_head(101, {"Upgrade": self.headers["Upgrade"], "Connection": "Upgrade"})
        self.wfile.write(b"\x81\x05hello")
        self.close_connection = True

    def put_head(self, status, fields, more=b""):
        self.send_response_only(status)
        for name, value in fields.items():
            self.send_header(name, str(value))
        self._headers_buffer.append(b"\r\n")
        head = b"".join(self._headers_buffer) + more
        self._headers_buffer = []
        self.wfile.write(head)

    def answer_call(self, answer):
        scenario = answer.scenario
        self.request_id = "req_demo_" + answer.id.rsplit("-", 1)[-1].rsplit("_", 1)[-1]
        if answer.api.suffix == "/embeddings":
            self.request_id = "req_demo_" + answer.id
        for _ in range(scenario.informational):
            self.put_head(103, {"Link": "</style.css>; rel=preload"})
        if scenario.status != 200:
            kind, pieces = self.error_pieces(answer)
        elif answer.stream:
            kind, pieces = "text/event-stream; charset=utf-8", self.event_pieces(answer)
        else:
            kind, pieces = "application/json", answer.api.body(answer)
        self.send_pieces(answer, kind, pieces)

    def error_pieces(self, answer):
        status = answer.scenario.status
        if status == 204:
            return "application/json", iter(())
        if answer.scenario.html:
            return "text/html", iter(["<html><body><h1>nothing here</h1></body></html>"])
        if answer.api.provider == "anthropic":
            error = {"type": "error", "request_id": self.request_id,
                     "error": {"type": ANTHROPIC_ERRORS.get(status, "api_error"),
                               "message": "demo"}}
        else:
            error = {"error": {"type": OPENAI_ERRORS.get(status, "server_error"),
                               "message": "demo", "code": None}}
        return "application/json", iter([dumps(error)])

    def event_pieces(self, answer):
        scenario = answer.scenario
        for i, event in enumerate(answer.api.events(answer)):
            if i and scenario.ping:
                yield ": keep-alive\n\n"
                if answer.api.provider == "anthropic":
                    yield sse({"type": "ping"}, "ping")
            if i and scenario.delay_ms:
                time.sleep(scenario.delay_ms / 1000)
            yield event.replace("\n", "\r\n") if scenario.crlf else event

    def send_pieces(self, answer, kind, pieces):
        scenario = answer.scenario
        coding_name = coding_for(scenario.encoding, self.headers.get("Accept-Encoding"))
        coding = CODINGS[coding_name]()
        head = {"Content-Type": kind,
                "request-id" if answer.api.provider == "anthropic" else "x-request-id":
                self.request_id}
        if coding_name != "identity":
            head["Content-Encoding"] = coding_name
        if scenario.delay_ms:
            time.sleep(scenario.delay_ms / 1000)
        if scenario.status == 204:
            self.server.note(self.truth(answer, False, 0))
            return self.put_head(204, head)
        framing = scenario.framing
        if framing == "auto":
            framing = "chunked" if answer.stream or scenario.trailers else "length"
        if framing == "length":
            return self.send_whole(answer, head, coding, pieces)
        return self.send_framed(answer, head, coding, pieces, framing)

    def send_whole(self, answer, head, coding, pieces):
        data = b"".join(coding.feed(piece.encode()) for piece in pieces) + coding.finish()
        head["Content-Length"] = len(data)
        self.server.note(self.truth(answer, False, 0))
        if answer.scenario.join:
            return self.put_head(answer.scenario.status, head, data)
        self.put_head(answer.scenario.status, head)
        step = answer.scenario.piece_bytes or len(data) or 1
        for at in range(0, len(data), step):
            self.wfile.write(data[at:at + step])
        return None

    def send_framed(self, answer, head, coding, pieces, framing):
        chunked = framing == "chunked"
        head["Transfer-Encoding" if chunked else "Connection"] = "chunked" if chunked else "close"
        if answer.scenario.trailers:
            head["Trailer"] = "x-demo-trailer"
        self.put_head(answer.scenario.status, head)
        if not chunked:
            self.close_connection = True
        for sent, piece in enumerate(pieces):
            if sent == answer.scenario.cut_after:
                return self.cut(answer, sent)
            if not answer.stream or is_final(answer, piece):
                # Noted before the bytes that make it true can be read.
                self.server.note_once(answer, self.truth(answer, False, sent))
            self.send_chunk(coding.feed(piece.encode()), chunked, answer.scenario.piece_bytes)
        self.server.note_once(answer, self.truth(answer, False, 0))
        self.send_chunk(coding.finish(), chunked, answer.scenario.piece_bytes)
        if chunked:
            trailer = b"x-demo-trailer: done\r\n" if answer.scenario.trailers else b""
            self.wfile.write(b"0\r\n" + trailer + b"\r\n")
        return None

    def send_chunk(self, data, chunked, step):
        step = step or len(data) or 1
        for at in range(0, len(data), step):
            part = data[at:at + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)

    def cut(self, answer, sent):
        self.server.note_once(answer, self.truth(answer, True, sent))
        if answer.scenario.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()  # no close_notify

    def truth(self, answer, cut, sent):
        """The line of the books: what a meter that makes no mistake must record."""
        scenario = answer.scenario
        streamed_usage = answer.usage and (answer.api.api in ("messages", "responses") or (
            answer.request.get("stream_options") or {}).get("include_usage"))
        usage = answer.usage if not answer.stream or streamed_usage else None
        tokens = answer.tokens if usage else None
        basis, outcome = ("reported_usage", "ok") if usage else ("estimated", "ok")
        if scenario.status >= 300:
            usage, tokens, basis, outcome = None, None, "not_billed", "error"
        elif scenario.status == 204:
            usage, tokens, basis = None, None, "estimated"
        elif cut:
            opening = answer.api.api == "messages" and sent > 0 and usage
            usage = {**usage, "output_tokens": 1} if opening else None
            tokens = {**{k: n for k, n in tokens.items() if k.startswith("input_")},
                      "output_text": 1} if opening else None
            basis, outcome = "partial", "aborted"
        return {"row": True, "request_id": self.request_id,
                "response_id": answer.id if scenario.status == 200 and answer.api.id_prefix
                else None,
                "host": self.headers.get("Host", ""), "path": self.path,
                "provider": answer.api.provider, "api": answer.api.api,
                "operation": answer.api.operation, "model_requested": answer.model_requested,
                "model": answer.model if scenario.status == 200 else answer.model_requested,
                "stream": answer.stream, "status": scenario.status, "outcome": outcome,
                "basis": basis, "tokens": tokens, "usage_raw": usage,
                "user_agent": self.headers.get("User-Agent", "")}


def is_final(answer, piece):
    """True for the event that carries the usage, or ends a stream that has none."""
    return "[DONE]" in piece or "message_stop" in piece or "response.completed" in piece or (
        answer.usage is not None and '"choices":[]' in piece) or "message_delta" in piece


class Provider(http.server.ThreadingHTTPServer):
    """with Provider(truth=FILE) as p: ... p.port, p.cacert ... p.truth_rows()"""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, truth=None, port=0, directory=None, names=()):
        self._made_dir = None
        if directory is None:
            self._made_dir = tempfile.TemporaryDirectory(prefix="tolltap-demo-")
            directory = self._made_dir.name
        self.truth_path = truth or os.path.join(directory, "truth.jsonl")
        self.cacert = os.path.join(directory, "cert.pem")
        self._lock = threading.Lock()
        self._serial = 0
        self._noted = set()
        self.run_name = os.urandom(4).hex()
        self._truth = open(self.truth_path, "a", buffering=1, encoding="utf-8")
        make_certificate(directory, names)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self.cacert, os.path.join(directory, "key.pem"))
        self._tls.set_alpn_protocols(["http/1.1"])
        super().__init__(("127.0.0.1", port), Handler)
        self.port = self.server_address[1]

    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The handshake runs on the connection's own thread: Handler.setup.
        return self._tls.wrap_socket(connection, server_side=True,
                                     do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (OSError, ssl.SSLError, ValueError)):
            super().handle_error(request, client_address)

    def next_serial(self):
        with self._lock:
            self._serial += 1
            return f"{self.run_name}{self._serial:06d}"

    def note(self, line):
        with self._lock:
            self._truth.write(dumps(line) + "\n")

    def note_once(self, answer, line):
        with self._lock:
            if answer.id in self._noted:
                return
            self._noted.add(answer.id)
            self._truth.write(dumps(line) + "\n")

    def truth_rows(self):
        """The lines of this file that a meter must have as rows, in order."""
        with open(self.truth_path, encoding="utf-8") as f:
            return [row for row in map(json.loads, f) if row["row"]]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.shutdown()
        self.server_close()
        self._truth.close()
        if self._made_dir:
            self._made_dir.cleanup()


def make_certificate(directory, names):
    hosts = ",".join(f"DNS:{name}" for name in (*HOSTS, *names))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=tolltap demo provider",
         "-addext", f"subjectAltName={hosts},IP:127.0.0.1",
         "-keyout", os.path.join(directory, "key.pem"),
         "-out", os.path.join(directory, "cert.pem")],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--truth", help="file for the ground truth, one JSON line per request")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dir", help="where certificate and key go (default: a temporary one)")
    parser.add_argument("--name", action="append", default=[], help="one more certificate name")
    args = parser.parse_args()
    with Provider(args.truth, args.port, args.dir, args.name) as provider:
        print(f"port {provider.port}\ncacert {provider.cacert}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.buffer.read()  # the parent's death ends it too


if __name__ == "__main__":
    main()
