# SPDX-License-Identifier: Apache-2.0
"""A local server of the shapes that OpenAI and Anthropic document for their billing APIs, which can
be told to fail in the ways that such servers do."""
import http.server
import json
import ssl
import subprocess
import threading
import time
import urllib.parse

DAY = 86400


class Raw:
    """JSON text that is written as it stands: a number keeps its digits."""

    def __init__(self, text):
        self.text = text


def dumps(value):
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{%s}" % ",".join("%s:%s" % (json.dumps(k), dumps(v)) for k, v in value.items())
    if isinstance(value, list):
        return "[%s]" % ",".join(map(dumps, value))
    return json.dumps(value)


def rfc3339(at):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


class Billing:
    """results: {path: {day start: [result, ...]}}. faults: a list of functions of the handler, one
    of which is used up by each request; None lets it pass. per_page: buckets on a page."""

    def __init__(self, results, key="sk-admin-test-0123456789", per_page=2, tls=None):
        self.results, self.key, self.per_page = results, key, per_page
        self.faults, self.requests = [], []
        billing = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                billing.answer(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if tls:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = "%s://127.0.0.1:%d" % (scheme, self.server.server_port)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()

    def send(self, handler, status, body, headers=(), length=None):
        data = body.encode() if isinstance(body, str) else body
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)
        handler.wfile.flush()

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        query = urllib.parse.parse_qs(url.query)
        self.requests.append((url.path, query))
        given = handler.headers.get("Authorization", "").removeprefix("Bearer ") or \
            handler.headers.get("x-api-key", "")
        if given != self.key:
            self.send(handler, 401, dumps({"error": {
                "type": "invalid_request_error", "code": "invalid_api_key",
                "message": "Incorrect API key provided: %s" % given}}))
            return
        fault = self.faults.pop(0) if self.faults else None
        if fault:
            fault(self, handler)
            return
        if url.path not in self.results:
            self.send(handler, 404, dumps({"error": {"message": "no such report"}}))
            return
        self.send(handler, 200, self.page(url.path, query))

    def page(self, path, query):
        anthropic = "/organizations/" in path
        if anthropic:
            start, end = (time.mktime(time.strptime(query[name][0], "%Y-%m-%dT%H:%M:%SZ")) -
                          time.timezone for name in ("starting_at", "ending_at"))
        else:
            start, end = int(query["start_time"][0]), int(query["end_time"][0])
        days = list(range(int(start), int(end), DAY))
        at = int(query["page"][0].removeprefix("page_")) if "page" in query else 0
        data = []
        for day in days[at:at + self.per_page]:
            results = self.results[path].get(day, [])
            if anthropic:
                data.append({"starting_at": rfc3339(day), "ending_at": rfc3339(day + DAY),
                             "results": results})
            else:
                data.append({"object": "bucket", "start_time": day, "end_time": day + DAY,
                             "results": results})
        more = at + self.per_page < len(days)
        page = {"data": data, "has_more": more,
                "next_page": "page_%d" % (at + self.per_page) if more else None}
        return dumps(page if anthropic else {"object": "page", **page})


# ---- faults ------------------------------------------------------------------------------------

def status(code, headers=(), body=None):
    def fault(billing, handler):
        billing.send(handler, code, body or dumps({"error": {"message": "status %d" % code}}),
                     headers)
    return fault


def cut(billing, handler):
    """Half of a page, then the connection ends."""
    url = urllib.parse.urlsplit(handler.path)
    body = billing.page(url.path, urllib.parse.parse_qs(url.query))
    billing.send(handler, 200, body[:len(body) // 2], length=len(body))
    handler.close_connection = True


def short_json(billing, handler):
    """A whole answer that is half of a JSON document."""
    url = urllib.parse.urlsplit(handler.path)
    body = billing.page(url.path, urllib.parse.parse_qs(url.query))
    billing.send(handler, 200, body[:len(body) // 2])


def text(body):
    def fault(billing, handler):
        billing.send(handler, 200, body)
    return fault


def certificate(directory):
    """(certificate, key) of 127.0.0.1 that nobody has signed but itself."""
    pair = directory + "/cert.pem", directory + "/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True)
    return pair
