# SPDX-License-Identifier: Apache-2.0
"""The local provider behind an HTTP/2 server, and a client whose streams share one connection."""
import http.server
import json
import os
import shutil
import subprocess

from harness import Skip
from provider import Handler, Provider

HERE = os.path.dirname(os.path.abspath(__file__))


def node():
    found = shutil.which("node")
    if not found:
        raise Skip("no node on PATH")
    return found


class PlainHandler(Handler):
    def setup(self):
        http.server.BaseHTTPRequestHandler.setup(self)


class PlainProvider(Provider):
    """As Provider, without TLS."""

    def __init__(self, names=()):
        super().__init__(names=names)
        self.RequestHandlerClass = PlainHandler

    def get_request(self):
        return self.socket.accept()


class Http2Provider(PlainProvider):
    """Between its front and its books is plain HTTP, which nobody meters."""

    def __enter__(self):
        super().__enter__()
        self.front = subprocess.Popen(
            [node(), os.path.join(HERE, "http2_front.mjs"), str(self.port), self.cacert,
             os.path.join(os.path.dirname(self.cacert), "key.pem")],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.front.stdout.readline())
        return self

    def __exit__(self, *exc):
        self.front.kill()
        self.front.wait()
        super().__exit__(*exc)


class Http2Client:
    """client([call, ...]) makes all calls at once on one connection; returns their statuses."""

    def __init__(self, provider, host="api.openai.com"):
        self.process = subprocess.Popen(
            [node(), os.path.join(HERE, "http2_client.mjs"), str(provider.port), provider.cacert,
             host], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, calls):
        self.process.stdin.write(json.dumps(calls) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the client died"
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
