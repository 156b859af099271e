#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pods: rows get them from a kubelet, asked by TLS as a service account. The kubelet is a server of
our own that answers with a list of the form of a real one; the containers are cgroups whose path is
one of a pod's."""
import http.server
import json
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
import threading
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)
import clients
from harness import ROW_DELAY_S, Agent, main, wait_until
from provider import Provider
from test_courier import Container, Engine, name, of

NAME = "node-7.test"


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Kubelet(http.server.ThreadingHTTPServer):
    """Answers GET /pods by TLS with self.pods to whoever bears the token in self.token_file."""

    daemon_threads = True

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tolltap-kubelet.")
        os.chmod(self.directory.name, 0o755)
        self.ca_file, key = self.file("ca.crt"), self.file("key.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", "/CN=" + NAME, "-addext",
                "subjectAltName=DNS:%s,IP:127.0.0.1" % NAME, "-keyout", key, "-out", self.ca_file)
        self.token_file = self.file("token")
        self.renew()
        self.pods, self.asked, self.status = [], [], 200
        self.hang = threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.ca_file, key)
        self.url = "https://127.0.0.1:%d" % self.server_address[1]

    def file(self, what):
        return os.path.join(self.directory.name, what)

    def renew(self):
        self.token = secrets.token_urlsafe(600)
        with open(self.token_file, "w") as f:
            f.write(self.token + "\n")

    def get_request(self):
        connection, address = super().get_request()
        return self.tls.wrap_socket(connection, server_side=True,
                                    do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handle_error(request, client_address)

    def add(self, container, pod, labels=None, annotations=None, owner=None):
        """The pod runs this container and nothing else."""
        controller = [dict(zip(("kind", "name"), owner.split("/")), apiVersion="apps/v1",
                           controller=True)] if owner else []
        self.pods.append({
            "metadata": {"name": pod, "namespace": "shop", "uid": container.uid,
                         "creationTimestamp": "2026-08-19T14:43:27Z", "labels": labels or {},
                         "annotations": annotations or {}, "ownerReferences": controller},
            "spec": {"nodeName": NAME, "containers": [
                {"name": "app", "env": [{"name": "OPENAI_API_KEY", "value": "sk-canary"}]}]},
            "status": {"containerStatuses": [
                {"name": "app", "image": "app:1", "containerID": "containerd://" + container.id}]}})

    def flags(self):
        return ["--kubernetes.kubelet-url=" + self.url, "--kubernetes.ca-file=" + self.ca_file,
                "--kubernetes.token-file=" + self.token_file, "--container.socket=none"]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.hang.clear()
        self.shutdown()
        self.server_close()
        self.directory.cleanup()


class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        kubelet = self.server
        kubelet.asked.append((self.path, self.headers["Authorization"]))
        if kubelet.hang.is_set():
            self.connection.recv(1)  # until the other end gives up
            return
        right = self.headers["Authorization"] == "Bearer " + kubelet.token
        status = kubelet.status if right else 401
        body = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {},
                           "items": kubelet.pods}).encode() if status == 200 else b"no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class PodContainer(Container):
    """A cgroup as a kubelet with the cgroupfs driver makes it, and a curl that runs in it."""

    def __init__(self):
        self.uid = str(uuid.uuid4())
        super().__init__("kubepods/besteffort/pod" + self.uid)


def tags(row):
    """Those that labels can have set here."""
    return {k: v for k, v in row["tags"].items() if k in ("team", "project", "workload", "a")}


def one_row(agent, provider, container):
    clients.curl(provider, binary=container.curl)
    return agent.wait_rows(1, where=of(container))[-1]


def rows_have_their_pods(build):
    with Kubelet() as kubelet, PodContainer() as web, PodContainer() as later, \
            Provider() as provider:
        kubelet.add(web, "web-5d9c-x2x7p", {"pod-template-hash": "5d9c", "team": "checkout"},
                    {"tolltap.io/tags": "project=basket"}, "ReplicaSet/web-5d9c")
        with Agent(build, *kubelet.flags(), "--container.label=team=team") as agent:
            row = one_row(agent, provider, web)
            facts = row["workload"]
            assert (facts["namespace"], facts["pod"], facts["container"], facts["node"]) == (
                "shop", "web-5d9c-x2x7p", "app", NAME), row
            assert tags(row) == {"team": "checkout", "project": "basket",
                                 "workload": "Deployment/web"}, row
            assert kubelet.asked == [("/pods", "Bearer " + kubelet.token)], kubelet.asked
            # A pod that is new is known at once, with a token that is new.
            kubelet.renew()
            kubelet.add(later, "later-0", owner="StatefulSet/later")
            row = one_row(agent, provider, later)
            assert row["workload"]["pod"] == "later-0", row
            assert tags(row) == {"workload": "StatefulSet/later"}, row
            assert len(kubelet.asked) == 2, kubelet.asked
            spend = agent.command("spend", "--storage.path=" + agent.storage,
                                  "--by=namespace,pod,tag:workload", "--output=json").stdout
            groups = {(g["namespace"], g["pod"], g["tag:workload"])
                      for g in map(json.loads, spend.splitlines()) if not g.get("total")}
            assert groups == {("shop", "web-5d9c-x2x7p", "Deployment/web"),
                              ("shop", "later-0", "StatefulSet/later")}, spend
            assert kubelet.token not in agent.stderr and "sk-canary" not in agent.stderr
            for folder, _, files in os.walk(agent.storage):
                for file in files:
                    with open(os.path.join(folder, file), "rb") as f:
                        text = f.read()
                    assert kubelet.token.encode() not in text and b"sk-canary" not in text, file


def a_pod_that_opted_out_has_no_rows(build):
    with Kubelet() as kubelet, PodContainer() as out, PodContainer() as web, \
            Provider() as provider:
        kubelet.add(out, "out-0", annotations={"tolltap.io/ignore": "true"})
        kubelet.add(web, "web-0", annotations={"tolltap.io/ignore": "false"})
        with Agent(build, *kubelet.flags()) as agent:
            for _ in range(2):
                clients.curl(provider, binary=out.curl)
            row = one_row(agent, provider, web)
            assert row["workload"]["pod"] == "web-0", row
            wait_until(lambda: agent.metric_sum("tolltap_opted_out_calls_total") == 2,
                       ROW_DELAY_S, "two calls that are left out")
            assert not [r for r in agent.rows() if of(out)(r)], agent.rows()
            storage = agent.storage
            agent.kill()
            # Calls that were left out on purpose are not lost ones.
            with Agent(build, *kubelet.flags(), storage=storage) as after:
                assert after.metric_sum("tolltap_calls_lost_total") == 0, after.metrics()


def a_kubelet_that_is_down_delays_rows_and_loses_none(build):
    with Kubelet() as kubelet, PodContainer() as web, Provider() as provider:
        kubelet.add(web, "web-0")
        kubelet.hang.set()
        with Agent(build, *kubelet.flags()) as agent:
            for n in range(1, 4):
                clients.curl(provider, binary=web.curl)
                rows = agent.wait_rows(n, ROW_DELAY_S, of(web))
                assert all(name(r) is None and "pod" not in r["workload"] for r in rows), rows
            wait_until(lambda: agent.metric_sum("tolltap_container_lookups_total",
                                                'result="failed"') >= 1, 5, "a failed look-up")
            kubelet.hang.clear()

            def named():
                clients.curl(provider, binary=web.curl)
                return any(r["workload"].get("pod") == "web-0" for r in agent.rows() if of(web)(r))
            wait_until(named, 30, "a row with its pod")
            clients.check_books(agent, provider)


def only_its_own_authority_vouches_for_a_kubelet(build):
    """No token goes to a server that the CA file does not vouch for, or by another name."""
    with Kubelet() as kubelet, Kubelet() as other, PodContainer() as web, Provider() as provider:
        kubelet.add(web, "web-0")
        cases = (
            (kubelet.flags() + ["--kubernetes.ca-file=" + other.ca_file], "certificate"),
            (kubelet.flags() + ["--kubernetes.kubelet-url=" +
                                kubelet.url.replace("127.0.0.1", "localhost")], "certificate"),
            (kubelet.flags() + ["--kubernetes.ca-file=/nonexistent/ca.crt"], ""),
        )
        for n, (flags, why) in enumerate(cases, 1):
            with Agent(build, *flags) as agent:
                row = one_row(agent, provider, web)
                assert name(row) is None, row
                wait_until(lambda: kubelet.url.split(":")[2] + "/pods" in agent.stderr and
                           why in agent.stderr, 5, "a line on case %d: %s" % (n, agent.stderr))
        assert not kubelet.asked, kubelet.asked


def what_the_operator_can_mend_is_told(build):
    with Kubelet() as kubelet, PodContainer() as web, Provider() as provider:
        kubelet.add(web, "web-0")
        kubelet.status = 403
        with Agent(build, *kubelet.flags()) as agent:
            assert name(one_row(agent, provider, web)) is None
            assert "nodes/proxy" in agent.stderr, agent.stderr
        os.chmod(kubelet.token_file, 0o600)
        kubelet.asked.clear()
        with Agent(build, *kubelet.flags()) as agent:
            assert name(one_row(agent, provider, web)) is None
            assert kubelet.token_file in agent.stderr, agent.stderr
            wait_until(lambda: "may not open " + kubelet.token_file in agent.command(
                "doctor", "--storage.path=" + agent.storage, check=False).stdout, 3,
                       "doctor's line on the token")
        assert not kubelet.asked, kubelet.asked
    bad = subprocess.run([os.path.join(build, "tolltap"), "run",
                          "--kubernetes.kubelet-url=node-7:10250",
                          "--storage.path=/nonexistent/tolltap"], text=True, capture_output=True)
    assert bad.returncode == 3 and "--kubernetes.kubelet-url" in bad.stderr, bad


def labels_of_an_engine_count_too(build):
    with Engine() as engine, Container() as web, Container() as out, Provider() as provider:
        engine.names.update({web.id: "web", out.id: "out"})
        engine.labels[web.id] = {"com.example.team": "checkout", "tolltap.io/tags": "a=1"}
        engine.labels[out.id] = {"tolltap.io/ignore": "true"}
        with Agent(build, "--container.socket=" + engine.path,
                   "--container.label=com.example.team=team") as agent:
            clients.curl(provider, binary=out.curl)
            row = one_row(agent, provider, web)
            assert name(row) == "web" and tags(row) == {"team": "checkout", "a": "1"}, row
            wait_until(lambda: agent.metric_sum("tolltap_opted_out_calls_total") == 1,
                       ROW_DELAY_S, "a call that is left out")
            assert not [r for r in agent.rows() if of(out)(r)], agent.rows()


TESTS = [
    rows_have_their_pods,
    a_pod_that_opted_out_has_no_rows,
    a_kubelet_that_is_down_delays_rows_and_loses_none,
    only_its_own_authority_vouches_for_a_kubelet,
    what_the_operator_can_mend_is_told,
    labels_of_an_engine_count_too,
]

if __name__ == "__main__":
    sys.exit(main(TESTS))
