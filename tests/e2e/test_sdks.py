#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The providers' own SDKs for Node, and its WebSocket client: each call is a row that says what the
provider counted. The SDKs come from npm at the versions of sdks/package-lock.json."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import Agent, Skip, main
from http2 import node
from provider import make_certificate

SOURCES = os.path.join(HERE, "sdks")
# The hosts of sdks/answers.mjs that the certificate does not have anyway.
HOSTS = ("generativelanguage.googleapis.com", "api.cohere.com", "api.mistral.ai", "api.groq.com",
         "bedrock-runtime.us-east-1.amazonaws.com")
INSTALL_S = 180


def installed(build):
    """The folder of the sources with their packages, made once for each lock file."""
    folder = os.path.join(build, "tests", "sdks")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    with open(os.path.join(folder, "package-lock.json"), encoding="utf-8") as f:
        lock = f.read()
    mark = os.path.join(folder, "node_modules", ".installed-lock")
    if os.path.exists(mark):
        with open(mark, encoding="utf-8") as f:
            if f.read() == lock:
                return folder
    if not shutil.which("npm"):
        raise Skip("no npm on PATH")
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder,
                          capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode:
        raise Skip("npm cannot install the SDKs: %s" % done.stderr.strip().splitlines()[-1:])
    with open(mark, "w", encoding="utf-8") as f:
        f.write(lock)
    return folder


class Server:
    """The provider of all SDKs; truths() are what it says of the calls so far."""

    def __init__(self, folder):
        self.folder = folder
        self.certificate = tempfile.TemporaryDirectory()

    def __enter__(self):
        make_certificate(self.certificate.name, HOSTS)
        self.cacert = os.path.join(self.certificate.name, "cert.pem")
        key = os.path.join(self.certificate.name, "key.pem")
        self.process = subprocess.Popen([node(), "server.mjs", self.cacert, key], cwd=self.folder,
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.certificate.cleanup()

    def truths(self, count):
        truths = [json.loads(self.process.stdout.readline()) for _ in range(count)]
        unknown = [t["unknown"] for t in truths if "unknown" in t]
        assert not unknown, "the server has no answer to %s" % unknown
        return truths


def check(build, sdk, count, http=None):
    """The SDK makes `count` calls; their rows are those of the server's truths, in order."""
    folder = installed(build)
    with Agent(build) as agent, Server(folder) as server:
        env = dict(os.environ, NODE_EXTRA_CA_CERTS=server.cacert, NODE_NO_WARNINGS="1",
                   TOLLTAP_TAGS="tst=%s-%d" % (sdk, os.getpid()))
        done = subprocess.run([node(), "client.mjs", sdk, str(server.port)], cwd=folder, env=env,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        rows = agent.wait_rows(count, 6, lambda row: row["tags"].get("tst") == env["TOLLTAP_TAGS"][4:])
        rows.sort(key=lambda row: row["started_at"])
        for row, truth in zip(rows, server.truths(count)):
            spoken = truth.pop("http")
            assert http is None or spoken == http, (spoken, http)
            truth["host"] += ":%d" % server.port
            said = {key: row[key] for key in truth}
            assert said == truth, "%s: row %s, truth %s" % (sdk, said, truth)
            assert row["gaps"] == 0 and row["workload"]["comm"] == "node", row
            assert len(row["key_fingerprint"] or "") == 8, row


def openai(build):
    check(build, "openai", 6)


def anthropic(build):
    check(build, "anthropic", 2)


def google_genai(build):
    check(build, "google", 2)


def aws_bedrock_as_it_comes(build):
    check(build, "bedrock", 4, http="2.0")


def aws_bedrock_over_http1(build):
    check(build, "bedrockHttp1", 4, http="1.1")


def cohere(build):
    check(build, "cohere", 3)


def mistral(build):
    check(build, "mistral", 2)


def groq(build):
    check(build, "groq", 2)


def websocket_sessions(build):
    """Four turns each of realtime and of Responses: uncompressed, compressed afresh, context kept."""
    check(build, "ws", 24)


if __name__ == "__main__":
    sys.exit(main([openai, anthropic, google_genai, aws_bedrock_as_it_comes, aws_bedrock_over_http1,
                   cohere, mistral, groq, websocket_sessions]))
