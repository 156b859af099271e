#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The variety of real hosts: other languages' clients, other builds of OpenSSL, static programs,
containers and namespaces, restricted processes, storms of short ones; and whose call each one is."""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import clients
from harness import TOP, Agent, Skip, main, wait_until
from provider import Provider

PATH = "/v1/chat/completions"
BODY = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'

RUBY = """
require "net/http"; require "openssl"
http = Net::HTTP.new("api.openai.com", 443, nil)
http.ipaddr = "127.0.0.1"; http.instance_variable_set(:@port, ARGV[0].to_i)
http.use_ssl = true; http.ca_file = ARGV[1]
http.start do |h|
  2.times { h.post("%s", '%s', "Content-Type" => "application/json", "Host" => "api.openai.com") }
end
""" % (PATH, BODY)

PERL_TINY = """
use HTTP::Tiny;
my $http = HTTP::Tiny->new(verify_SSL => 1, SSL_options => {SSL_ca_file => $ARGV[1]});
for (1, 2) {
    my $r = $http->request("POST", "https://api.openai.com:$ARGV[0]%s", {peer => "127.0.0.1",
        headers => {"content-type" => "application/json"}, content => '%s'});
    die "$r->{status} $r->{content}" unless $r->{success};
}
""" % (PATH, BODY)

PERL_SOCKET = """
use IO::Socket::SSL;
my $s = IO::Socket::SSL->new(PeerHost => "127.0.0.1", PeerPort => $ARGV[0],
    SSL_hostname => "api.openai.com", SSL_verifycn_name => "api.openai.com",
    SSL_ca_file => $ARGV[1]) or die $SSL_ERROR;
my $body = '%s';
print $s "POST %s HTTP/1.1\\r\\nHost: api.openai.com\\r\\nConnection: close\\r\\n" .
    "Content-Length: " . length($body) . "\\r\\n\\r\\n" . $body;
1 while <$s>;
""" % (BODY, PATH)

PHP_CURL = """
$c = curl_init("https://api.openai.com%s");
curl_setopt_array($c, [CURLOPT_CONNECT_TO => ["api.openai.com:443:127.0.0.1:" . $argv[1]],
    CURLOPT_CAINFO => $argv[2], CURLOPT_POSTFIELDS => '%s', CURLOPT_RETURNTRANSFER => true]);
for ($i = 0; $i < 2; $i++) if (curl_exec($c) === false) exit(1);
""" % (PATH, BODY)

PHP_STREAM = """
$o = ["http" => ["method" => "POST", "content" => '%s', "protocol_version" => 1.1,
        "header" => "Host: api.openai.com\\r\\nContent-Type: application/json\\r\\nConnection: close"],
      "ssl" => ["cafile" => $argv[2], "peer_name" => "api.openai.com"]];
$r = file_get_contents("https://127.0.0.1:" . $argv[1] . "%s", false, stream_context_create($o));
if ($r === false) exit(1);
""" % (BODY, PATH)

# name, program, its arguments before PORT CACERT, calls it makes, how its comm starts
LANGUAGES = (
    ("ruby net/http", "ruby", ["-e", RUBY], 2, "ruby"),
    ("perl HTTP::Tiny", "perl", ["-MIO::Socket::SSL", "-e", PERL_TINY], 2, "perl"),
    ("perl IO::Socket::SSL", "perl", ["-MIO::Socket::SSL", "-e", PERL_SOCKET], 1, "perl"),
    ("php curl", "php", ["-r", PHP_CURL, "--"], 2, "php"),
    ("php streams", "php", ["-r", PHP_STREAM, "--"], 1, "php"),
)


def filled(command, provider):
    """PORT and CACERT in the arguments stand for those of the provider."""
    return [word.replace("PORT", str(provider.port)).replace("CACERT", provider.cacert)
            for word in command]


def books(agent, provider, calls):
    """The provider's own rows, one for each call. Others may use this host meanwhile."""
    truth = {t["request_id"]: t for t in provider.truth_rows()}
    assert len(truth) == calls, "%d calls in the books" % len(truth)
    try:
        rows = agent.wait_rows(calls, 6, lambda row: provider.run_name in (row["request_id"] or ""))
    except AssertionError as e:
        lost = {k: v for k, v in agent.metrics().items() if "_lost_" in k and v != "0"}
        raise AssertionError("lost %s; %s" % (lost, e)) from e
    assert len({row["request_id"] for row in rows}) == calls, "a call came twice"
    for row in rows:
        clients.check_row(row, truth[row["request_id"]])
    return rows


def call(agent, provider, command, calls=1, env=None, timeout_s=30):
    """Runs a client and returns its rows, compared with the books."""
    before = len(provider.truth_rows())
    command = filled(command, provider)
    done = subprocess.run(command, text=True, capture_output=True, timeout=timeout_s,
                          env=dict(os.environ, **(env or {})))
    assert done.returncode == 0, "%s: %s" % (command[:4], done.stderr)
    return books(agent, provider, before + calls)[before:]


def has_module(program, args):
    """False when the interpreter or what it must load is not installed."""
    check = {"perl": ["-MIO::Socket::SSL", "-e1"], "ruby": ["-ropenssl", "-e1"],
             "php": ["-r", "exit(extension_loaded('%s') ? 0 : 1);" % (
                 "curl" if "curl_init" in args[1] else "openssl")]}[program]
    return shutil.which(program) and subprocess.run([program, *check],
                                                    capture_output=True).returncode == 0


def other_languages(build):
    missing = []
    with Agent(build) as agent, Provider() as provider:
        for name, program, args, calls, comm in LANGUAGES:
            if not has_module(program, args):
                missing.append(name)
                continue
            for row in call(agent, provider, [program, *args, "PORT", "CACERT"], calls):
                assert row["workload"]["comm"].startswith(comm), row["workload"]
                assert "/" + comm in row["workload"]["exe"] and row["gaps"] == 0, row
    if missing:
        raise Skip("not installed: " + ", ".join(missing))


CURL = ["curl", "-sS", "--cacert", "CACERT", "--connect-to", "api.openai.com:443:127.0.0.1:PORT",
        "-d", BODY, "https://api.openai.com" + PATH]
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def status(agent):
    return json.loads(agent.get("/api/v1/status")[1])["data"]


def listed(agent, pid):
    return [(p["tls"], p["reason"]) for p in status(agent)["processes"] if p["pid"] == pid]


def build_client(folder, name, *flags):
    """The C client of this test, linked as the flags say."""
    return clients.compiled("tls_client.c", folder, *flags, name=name)


ARCHIVES = ["-Wl,--whole-archive", "-l:libssl.a", "-Wl,--no-whole-archive", "-l:libcrypto.a"]


def static_programs(build):
    """Exported, only in .symtab, and stripped: the last cannot be read and must be listed."""
    with tempfile.TemporaryDirectory() as folder, Agent(build) as agent, Provider() as provider:
        exported = build_client(folder, "exported", "-rdynamic", *ARCHIVES)
        symtab = build_client(folder, "symtab", "-l:libssl.a", "-l:libcrypto.a")
        stripped = build_client(folder, "stripped", "-s", "-l:libssl.a", "-l:libcrypto.a")
        for path in (exported, symtab):
            row = call(agent, provider, [path, "PORT", "0.5"])[0]
            assert row["workload"]["exe"] == path, row["workload"]
        subprocess.run(["strip", exported], check=True)
        call(agent, provider, [exported, "PORT", "0.5"])
        with subprocess.Popen([stripped, str(provider.port), "1"]) as blind:
            wait_until(lambda: listed(agent, blind.pid) == [("blind", "openssl_without_symbols")],
                       3, "a stripped static client is listed")


def gnutls_is_listed_as_blind(build):
    if not shutil.which("wget"):
        raise Skip("no wget here")
    with Agent(build) as agent, Provider() as provider:
        command = ["wget", "-q", "-O/dev/null", "--no-check-certificate", "--post-data", BODY,
                   "--header", 'x-demo-scenario: {"delay_ms": 800}',
                   "https://localhost:%d%s" % (provider.port, PATH)]
        with subprocess.Popen(command) as blind:
            wait_until(lambda: ("blind", "gnutls") in listed(agent, blind.pid), 3, "wget is listed")


def files_replaced_in_use(build):
    """A library and an executable get new inodes while a client runs on the old ones."""
    with tempfile.TemporaryDirectory() as folder, Agent(build) as agent, Provider() as provider:
        program = build_client(folder, "program", "-l:libssl.a", "-l:libcrypto.a")
        dynamic = build_client(folder, "dynamic", "-lssl", "-lcrypto")
        library = os.path.join(folder, "libssl.so.3")
        for path, command in ((program, program), (library, dynamic)):
            if path == library:
                real = glob.glob("/usr/lib/*/libssl.so.3")
                if not real:
                    raise Skip("no libssl.so.3 here")
                shutil.copy(real[0], library)
            env = dict(os.environ, LD_LIBRARY_PATH=folder)
            old = subprocess.Popen([command, str(provider.port), "1"], env=env)
            time.sleep(0.3)
            shutil.copy(path, path + ".new")
            os.rename(path + ".new", path)
            new = subprocess.Popen([command, str(provider.port), "0.7"], env=env)
            assert old.wait(10) == 0 and new.wait(10) == 0
            rows = books(agent, provider, len(provider.truth_rows()))
            assert {row["workload"]["pid"] for row in rows} >= {old.pid, new.pid}


def inode_numbers_used_again(build):
    """A file without TLS is deleted, and a client's program gets its inode number."""
    with tempfile.TemporaryDirectory() as folder, Agent(build) as agent, Provider() as provider:
        client = build_client(folder, "client", "-l:libssl.a", "-l:libcrypto.a")
        paths = [os.path.join(folder, str(i)) for i in range(20)]
        for path in paths:
            shutil.copy("/bin/true", path)
            subprocess.run([path], check=True)
        old = {os.stat(path).st_ino for path in paths}
        for path in paths:
            os.unlink(path)
        again = []
        for path in paths:
            shutil.copy(client, path)
            if os.stat(path).st_ino in old:
                again.append(path)
        if not again:
            raise Skip("this file system gives every file a new number")
        for path in again[:3]:
            call(agent, provider, [path, "PORT", "0.5"])


def namespaces_and_chroot(build):
    """The host's pid, whatever namespace; a library that no path of the host leads to."""
    private = ["unshare", "-m", "sh", "-c", "mount -t tmpfs t /mnt && cp /usr/lib/*/libssl.so.3 /mnt"
               " && LD_LIBRARY_PATH=/mnt exec \"$@\"", "sh"]
    kinds = (["unshare", "-p", "-f", "--mount-proc"], ["unshare", "-U", "-r"], private)
    with tempfile.TemporaryDirectory() as folder, Agent(build) as agent, Provider() as provider:
        client = build_client(folder, "client", "-lssl", "-lcrypto")
        for kind in kinds:
            if subprocess.run([*kind, "true"], capture_output=True).returncode:
                raise Skip("%s is not allowed here" % " ".join(kind[:2]))
            row = call(agent, provider, [*kind, client, "PORT", "0.5"])[0]
            assert row["workload"]["pid"] > 100 and row["workload"]["exe"] == client, row["workload"]
        root = make_root(folder, client)
        row = call(agent, provider, ["chroot", root, "/client", "PORT", "0.5"])[0]
        assert row["workload"]["exe"].endswith("/root/client"), row["workload"]


def make_root(folder, client):
    """A root directory that holds the client and its libraries, its own copies."""
    root = os.path.join(folder, "root")
    os.makedirs(root)
    shutil.copy(client, root)
    for word in subprocess.run(["ldd", client], capture_output=True, text=True).stdout.split():
        if word.startswith("/"):
            os.makedirs(root + os.path.dirname(word), exist_ok=True)
            shutil.copy(os.path.realpath(word), root + word)
    return root


def users_and_restrictions(build):
    """Another user, one without a name, a non-dumpable process, a strict seccomp filter."""
    hide = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"
    raw = ("import sys; sys.argv = ['raw', 'PORT', 'CACERT']; sys.path.insert(0, '%s')\n"
           "from raw_client import *\n"
           "tls = connect(); chat(tls); answer(tls)\n" % os.path.join(TOP, "tests", "lib"))
    with Agent(build) as agent, Provider() as provider:
        os.chmod(os.path.dirname(provider.cacert), 0o755)
        row = call(agent, provider, [*NOBODY, *CURL])[0]
        assert (row["workload"]["user"], row["workload"]["uid"]) == ("nobody", 65534)
        row = call(agent, provider, ["setpriv", "--reuid=54321", "--clear-groups", *CURL])[0]
        assert row["workload"]["uid"] == 54321 and "user" not in row["workload"], row["workload"]
        python = os.path.realpath("/usr/bin/python3")
        hidden = [*NOBODY, "env", "TOLLTAP_TAGS=team=hidden", python, "-c", hide + raw]
        if subprocess.run([*NOBODY, "test", "-r", TOP + "/tests/lib/raw_client.py"]).returncode:
            hidden = hidden[len(NOBODY):]  # the tree is not for everybody: root hides as well
        row = call(agent, provider, hidden)[0]
        assert row["tags"]["team"] == "hidden" and row["workload"]["exe"] == python, row
        if shutil.which("gcc"):
            with tempfile.TemporaryDirectory() as folder:
                strict = build_client(folder, "strict", "-DSTRICT", "-lssl", "-lcrypto")
                call(agent, provider, [strict, "PORT", "0.3"])


def process_gone_before_the_agent_looks(build):
    """All facts of a process that lived and ended while the agent stood still."""
    with Agent(build) as agent, Provider() as provider:
        call(agent, provider, CURL)
        for _ in range(3):
            time.sleep(0.2)
            agent.signal("worker", signal.SIGSTOP)
            try:
                subprocess.run(filled(CURL, provider), capture_output=True, check=True,
                               env=dict(os.environ, TOLLTAP_TAGS="team=gone"))
            finally:
                agent.signal("worker", signal.SIGCONT)
        rows = books(agent, provider, 4)[1:]
        for row in rows:
            assert row["tags"].get("team") == "gone", row["tags"]
            assert row["workload"]["comm"] == "curl" and row["workload"]["user"] == "root"
        # One may be stopped between its look at the process events and at the ring.
        named = [row for row in rows if row["workload"].get("exe", "").endswith("/curl")]
        assert len(named) >= 2, [row["workload"] for row in rows]


def environments(build):
    """Tags behind 10 KiB and 500 KiB of other variables, with odd characters, and many."""
    def tags(*variables, padding=0):
        filler = ["A%05d=%s" % (i, "x" * 1000) for i in range(padding)]
        # What lies behind the first 4 KiB is read while the process lives: this one does so long.
        row = call(agent, provider, ["env", "-i", "PATH=/usr/bin:/bin", *filler, *variables, *CURL,
                                     "-H", 'x-demo-scenario: {"delay_ms": 300}'])[0]
        return row["tags"]

    with Agent(build) as agent, Provider() as provider:
        call(agent, provider, CURL)
        for padding in (10, 500):
            found = tags("TOLLTAP_TAGS=team=late", "OTEL_SERVICE_NAME=svc", padding=padding)
            assert (found.get("team"), found.get("service")) == ("late", "svc"), (padding, found)
        found = tags("TOLLTAP_TAGS=team=a b;c, gr\u00f6\u00dfe=s\u00fc\u00df,empty=,=x,eq=a=b, sp = v ")
        assert found == dict(found, team="a b;c", eq="a=b", sp="v", **{"gr\u00f6\u00dfe": "s\u00fc\u00df"})
        assert "empty" not in found and "" not in found, found
        found = tags("TOLLTAP_TAGS=" + ",".join("k%02d=v" % i for i in range(30)))
        assert sum(key.startswith("k") for key in found) >= 20, found


def systemd_unit(build):
    group = next((p for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                  if os.path.exists(p + "/cgroup.procs")), None)
    if not group:
        raise Skip("no cgroup v2 hierarchy")
    group += "/system.slice/tolltap-test-%d.service" % os.getpid()
    os.makedirs(group)
    try:
        with Agent(build) as agent, Provider() as provider:
            row = call(agent, provider, ["sh", "-c", 'echo $$ >%s/cgroup.procs; exec "$@"' % group,
                                         "sh", *CURL])[0]
            assert row["workload"]["unit"] == os.path.basename(group), row["workload"]
            assert "container_id" not in row["workload"], row["workload"]
    finally:
        os.rmdir(group)


def storm_of_short_clients(build):
    """200 calls, each by a process of its own."""
    storm = 'i=0; while [ $i -lt 50 ]; do "$@" >/dev/null || exit 1; i=$((i + 1)); done'
    with Agent(build) as agent, Provider() as provider:
        call(agent, provider, CURL)
        before = agent.cpu_s()
        rows = call(agent, provider, ["sh", "-c", "for k in 1 2 3 4; do sh -c '%s' sh \"$@\" & done; "
                                      "wait" % storm, "sh", *CURL], 200, timeout_s=60)
        assert len({row["workload"]["pid"] for row in rows}) == 200
        unnamed = [row["workload"] for row in rows if "exe" not in row["workload"]]
        # A program started while the agent was reading the ring may be told after its call.
        assert len(unnamed) <= 10, "%d without a program: %s" % (len(unnamed), unnamed[:3])
        assert all(row["workload"].get("exe", "/curl").endswith("/curl") for row in rows)
        assert agent.cpu_s() - before < 2, "the agent used %.2f s for 200 calls" % (
            agent.cpu_s() - before)


def burst_of_other_processes(build):
    """2,000 programs without TLS, many at once: no growth, losses counted, work goes on."""
    burst = ("for k in 1 2 3 4; do (i=0; while [ $i -lt 500 ]; do /bin/true & i=$((i + 1)); done; "
             "wait) & done; wait")
    with Agent(build) as agent, Provider() as provider:
        call(agent, provider, CURL)
        subprocess.run(["sh", "-c", burst], check=True, timeout=60)
        memory, used = agent.memory_bytes("VmRSS"), agent.cpu_s()
        subprocess.run(["sh", "-c", burst], check=True, timeout=60)
        time.sleep(1)
        assert agent.cpu_s() - used < 1.5, agent.cpu_s() - used
        assert agent.memory_bytes("VmRSS") - memory < 4 << 20
        call(agent, provider, CURL)


def hostile_files(build):
    """Mapped executable: cut short, with counts and offsets that lie, of 8 GiB."""
    import struct
    text = ("import mmap, os, sys, time\n"
            "kept = []\n"
            "for path in sys.argv[1:]:\n"
            "    fd = os.open(path, os.O_RDONLY)\n"
            "    kept.append(mmap.mmap(fd, 64, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC))\n"
            "time.sleep(2)\n")
    with open(glob.glob("/usr/lib/*/libssl.so.3")[0], "rb") as f:
        good = f.read()
    lies = {"short": good[:100], "phnum": (56, "<H", 0xffff), "shnum": (60, "<H", 0xffff),
            "phoff": (32, "<Q", 0xfffffffffffffff0), "shoff": (40, "<Q", (1 << 64) - 64)}
    with tempfile.TemporaryDirectory() as folder, Agent(build) as agent, Provider() as provider:
        paths = []
        for name, lie in lies.items():
            data = bytearray(good)
            if isinstance(lie, bytes):
                data = lie
            else:
                struct.pack_into(lie[1], data, lie[0], lie[2])
            paths.append(os.path.join(folder, "libssl.so." + name))
            with open(paths[-1], "wb") as f:
                f.write(data)
        paths.append(shutil.copy(paths[-1], os.path.join(folder, "libssl.so.huge")))
        os.truncate(paths[-1], 8 << 30)
        memory, used = agent.memory_bytes("VmRSS"), agent.cpu_s()
        with subprocess.Popen(["/usr/bin/python3", "-c", text, *paths]) as mapper:
            wait_until(lambda: len(listed(agent, mapper.pid)) >= len(paths), 2, "all are refused")
            assert all(tls == "blind" for tls, _ in listed(agent, mapper.pid))
            mapper.kill()
        assert agent.memory_bytes("VmRSS") - memory < 16 << 20
        assert agent.cpu_s() - used < 1
        call(agent, provider, CURL)


def files_that_do_not_open(build):
    """As on a file system that hangs: whoever opens them waits. Others are metered meanwhile."""
    text = ("import fcntl, mmap, os, signal, sys, time\n"
            "signal.signal(signal.SIGIO, signal.SIG_IGN)\n"
            "kept = []\n"
            "for path in sys.argv[1:]:\n"
            "    fd = os.open(path, os.O_RDONLY)\n"
            "    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
            "    kept.append(mmap.mmap(fd, 64, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC))\n"
            "print('mapped', flush=True)\n"
            "time.sleep(60)\n")
    with tempfile.TemporaryDirectory() as folder, Agent(build) as agent, Provider() as provider:
        paths = [os.path.join(folder, "libssl.so.%d" % i) for i in range(8)]
        for path in paths:
            shutil.copy("/bin/true", path)
        with subprocess.Popen(["/usr/bin/python3", "-c", text, *paths],
                              stdout=subprocess.PIPE) as mapper:
            assert mapper.stdout.readline() == b"mapped\n"
            for n in range(1, 9):
                clients.curl(provider)
                clients.check_books(agent, provider, n, timeout_s=10)
            mapper.kill()
        assert agent.process.poll() is None
        undecided = agent.metric_sum("tolltap_discovery_undecided_total")
        assert undecided >= len(paths), undecided


def bpf_programs():
    """Ids of Tolltap's loaded programs."""
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True)
    if shown.returncode:
        raise Skip("no bpftool here")
    return {p["id"] for p in json.loads(shown.stdout)
            if p.get("name", "").split("_")[0] in ("enter", "session", "return", "ret")}


def nothing_stays_behind(build):
    """SIGTERM is quick, and after it as after SIGKILL no program is loaded, so no probe armed."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        others = bpf_programs()
        with Agent(build) as agent:
            mine = bpf_programs() - others
            assert mine, "no program of this agent was seen: the test shows nothing"
            started = time.monotonic()
            agent.stop(how)
            took = time.monotonic() - started
        wait_until(lambda: not mine & bpf_programs(), 3, "%s: programs are unloaded" % how)
        assert how == signal.SIGKILL or took < 2, "%.1f s to stop" % took


if __name__ == "__main__":
    sys.exit(main([
        other_languages, static_programs, gnutls_is_listed_as_blind, files_replaced_in_use,
        inode_numbers_used_again,
        namespaces_and_chroot, users_and_restrictions, process_gone_before_the_agent_looks,
        environments, systemd_unit, storm_of_short_clients, burst_of_other_processes, hostile_files,
        files_that_do_not_open,
        nothing_stays_behind]))
