#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs end-to-end tests under other Linux kernels, in an emulator, and prints a table.

usage: vm.py [--build DIR] [--arm64-build DIR] KERNEL...     (names of KERNELS below)

Each kernel is Debian's own package (debian.sh fetches it). The guest is an initramfs: busybox, the
real program with the libraries it links, Python, curl and openssl, and the very test programs that
also run on this machine (TESTS). It prints their lines to its console; here they become
`ok KERNEL_NAME`, `FAIL KERNEL_NAME: why`, `skip KERNEL_NAME: why`.
"""
import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "tolltap")

Machine = collections.namedtuple("Machine", "triplet loader console qemu")
Kernel = collections.namedtuple("Kernel", "suite arch changes")

# cx16=off: qemu 7.2 emulates cmpxchg16b wrongly and newer kernels panic on it.
MACHINES = {
    "amd64": Machine("x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2", "ttyS0",
                     ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max,la57=off,cx16=off"]),
    "arm64": Machine("aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1", "ttyAMA0",
                     ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57"]),
}
KERNELS = {  # name: whose it is, for which machine, whether it changes from week to week
    "5.10": Kernel("bullseye", "amd64", False),
    "6.1": Kernel("bookworm", "amd64", False),
    "6.12": Kernel("trixie", "amd64", False),
    "sid": Kernel("sid", "amd64", True),
    "arm64": Kernel("trixie", "arm64", False),
}
TESTS = ["tests/e2e/test_metering.py"]

PROGRAMS = ["/usr/bin/python3", "/usr/bin/curl", "/usr/bin/openssl", "/usr/bin/setpriv"]
PYTHON_PACKAGES = ["collections", "concurrent", "email", "encodings", "html", "http", "importlib",
                   "json", "lib-dynload", "re", "urllib"]
TREE = ["tests/lib", "tests/e2e", "packaging/demo", "pricing/catalog.json",
        "agent/tokens/o200k_base.ranks", "agent/tokens/cl100k_base.ranks"]
LIMIT_S = 240
SLOWNESS = 8
MEMORY_MB = 768
END = "guest-end"


class Unavailable(Exception):
    """What is needed cannot be had here; not a fault of the program."""


class Guest:
    """A folder that becomes the guest's root. Files come from the sysroot of its machine."""

    def __init__(self, root, machine, sysroot):
        self.root, self.machine, self.sysroot = root, machine, sysroot
        for name in ("dev", "proc", "sys", "tmp", "etc", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
            os.makedirs(os.path.join(root, name))
        for name in ("bin", "sbin", "lib", "lib64"):
            os.symlink("usr/" + name, os.path.join(root, name))

    def inside(self, path):
        """Where a path of the guest is in its folder."""
        return os.path.join(self.root, re.sub(r"^/(s?bin|lib|lib64)/", r"usr/\1/", path).lstrip("/"))

    def find(self, path):
        """The file that a path of the sysroot leads to: its links are absolute in there."""
        for _ in range(8):
            here = self.sysroot + path
            if not os.path.islink(here):
                return here if os.path.exists(here) else None
            path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(here)))
        return None

    def put(self, source, dest):
        target = self.inside(dest)
        if not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)
            self.put_libraries(source)

    def put_libraries(self, source):
        """What an ELF file names as needed, from the places its loader looks at."""
        done = subprocess.run(["readelf", "-d", source], capture_output=True, text=True)
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout):
            for folder in ("/usr/lib/", "/lib/"):
                path = folder + self.machine.triplet + "/" + name
                found = self.find(path)
                if found:
                    self.put(found, path)
                    break

    def put_program(self, path):
        found = self.find(path)
        if not found:
            raise Unavailable("no %s below %s" % (path, self.sysroot or "/"))
        self.put(found, path)

    def put_python(self):
        version = os.path.basename(self.find("/usr/bin/python3"))
        library = "/usr/lib/" + version
        for folder, _, names in os.walk(self.sysroot + library):
            below = os.path.relpath(folder, self.sysroot + library).split("/")
            if below[0] not in (".", "__pycache__", *PYTHON_PACKAGES):
                continue
            for name in names:
                source = os.path.join(folder, name)
                if os.path.isfile(source):
                    self.put_module(source, source[len(self.sysroot):])
        if self.sysroot:  # packages unpacked, not installed: their code was never compiled
            subprocess.run(["/usr/bin/" + version, "-m", "compileall", "-q", "-s", self.root,
                            self.inside(library)], check=True)

    def put_module(self, source, dest):
        if source.endswith(".so"):
            self.put(source, dest)
        else:
            os.makedirs(os.path.dirname(self.inside(dest)), exist_ok=True)
            shutil.copy2(source, self.inside(dest))

    def put_tree(self, build):
        """The parts of this tree that the tests use, and the program, as they lie here."""
        for name in TREE:
            source, dest = os.path.join(TOP, name), os.path.join(self.root, "t", name)
            os.makedirs(os.path.dirname(dest), exist_ok=True)
            if os.path.isdir(source):
                shutil.copytree(source, dest, ignore=shutil.ignore_patterns("__pycache__", "*.ttr"))
            else:
                shutil.copy2(source, dest)
        self.put(os.path.join(build, "tolltap"), "/t/build/tolltap")

    def put_init(self, tests):
        script = INIT.format(console=self.machine.console, slowness=SLOWNESS, end=END,
                             tests=" ".join(tests))
        with open(os.path.join(self.root, "init"), "w", encoding="utf-8") as f:
            f.write(script)
        os.chmod(os.path.join(self.root, "init"), 0o755)
        for name, text in (("passwd", "root:x:0:0:root:/tmp:/bin/sh\n"), ("group", "root:x:0:\n"),
                           ("hosts", "127.0.0.1 localhost\n")):
            with open(os.path.join(self.root, "etc", name), "w", encoding="utf-8") as f:
                f.write(text)

    def pack(self, path):
        with open(path, "wb") as out:
            subprocess.run("find . -print0 | cpio --null --create --format=newc --owner=0:0 --quiet", shell=True,
                           check=True, cwd=self.root, stdout=out)


INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/usr/bin:/usr/sbin HOME=/tmp LANG=C.UTF-8 TOLLTAP_TEST_SLOWNESS={slowness}
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
exec </dev/null >/dev/{console} 2>&1
ip link set lo up
cd /t
for test in {tests}; do
	/usr/bin/python3 $test /t/build || echo "exit $? of $test"
done
echo {end}
poweroff -f
"""


def make_guest(folder, kernel, build):
    machine = MACHINES[kernel.arch]
    sysroot = "" if kernel.arch == native() else os.path.join(build, "sysroot")
    guest = Guest(os.path.join(folder, "root"), machine, sysroot)
    guest.put(guest.find("/bin/busybox") or guest.find("/usr/bin/busybox"), "/bin/busybox")
    guest.put(guest.find(machine.loader), machine.loader)
    for path in PROGRAMS:
        guest.put_program(path)
    guest.put(guest.find("/etc/ssl/openssl.cnf"), "/etc/ssl/openssl.cnf")
    os.makedirs(guest.inside("/usr/lib/ssl"))
    os.symlink("/etc/ssl/openssl.cnf", guest.inside("/usr/lib/ssl/openssl.cnf"))
    guest.put_python()
    guest.put_tree(build)
    guest.put_init(TESTS)
    guest.pack(os.path.join(folder, "initrd"))
    shutil.rmtree(guest.root)


def native():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")


def fetch(kernel):
    """The kernel's image. One that changes may be missing for a while; the others may not."""
    folder = os.path.join(CACHE, "linux-%s-%s" % (kernel.suite, kernel.arch))
    done = subprocess.run([os.path.join(HERE, "debian.sh"), "kernel", kernel.suite, kernel.arch,
                           folder], capture_output=True, text=True)
    if done.returncode == 0:
        return os.path.join(folder, "vmlinuz")
    why = "the kernel of %s cannot be had: %s" % (kernel.suite, done.stderr.strip().split("\n")[0])
    raise Unavailable(why) if kernel.changes else RuntimeError(why)


def boot(kernel, image, initrd):
    """Boots and returns what the console said, line by line."""
    machine = MACHINES[kernel.arch]
    command = [*machine.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
               "-accel", "tcg", "-m", str(MEMORY_MB), "-kernel", image, "-initrd", initrd,
               "-serial", "stdio", "-append", "console=%s quiet loglevel=1 panic=-1 mitigations=off "
               "nokaslr rdinit=/init" % machine.console]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)
        text = done.stdout
    except subprocess.TimeoutExpired as e:
        text = (e.stdout or b"") + b"\nno end after %d s\n" % LIMIT_S
    return text.decode(errors="replace").replace("\r", "").split("\n")


class Result:
    """What the lines of one guest say."""

    def __init__(self, name, lines):
        self.facts = {}
        self.passed = self.failed = 0
        for line in lines:
            m = re.match(r"(ok|FAIL|skip) (.*)", line)
            if m:
                print("%s %s_%s" % (m.group(1), name, m.group(2)))
                self.passed += m.group(1) == "ok"
                self.failed += m.group(1) == "FAIL"
            elif line.startswith("# {"):
                self.facts.update(json.loads(line[2:]))
        if self.failed or END not in lines or not self.passed:
            print("".join("      | %s\n" % line for line in lines[-60:]), end="")
        if END not in lines or not self.passed:
            print("FAIL %s: the guest did not run to its end" % name)
            self.failed += 1


def run(name, builds):
    """One kernel: its row of the table, and how many tests failed."""
    kernel = KERNELS[name]
    row = [name] + [""] * (len(HEAD) - 1)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="tolltap-vm.") as folder:
            image = fetch(kernel)
            if kernel.arch not in builds:
                raise Unavailable("no %s build of the program" % kernel.arch)
            make_guest(folder, kernel, builds[kernel.arch])
            booted = time.monotonic()
            result = Result(name, boot(kernel, image, os.path.join(folder, "initrd")))
    except Unavailable as e:
        print("warning: %s: %s" % (name, e), file=sys.stderr)
        print("skip %s: %s" % (name, e))
        return row[:-2] + ["skipped", ""], 0
    except (RuntimeError, OSError, subprocess.SubprocessError) as e:
        print("FAIL %s: %s" % (name, e))
        return row[:-2] + ["failed", ""], 1
    facts = result.facts
    return [name, *(facts.get(key, "?") for key in FACTS),
            "%d failed" % result.failed if result.failed else "%d ok" % result.passed,
            "%.0f + %.0f" % (booted - started, time.monotonic() - booted)], result.failed


FACTS = ["release", "attach", "returns", "without_sys_admin"]
HEAD = ["kernel", "release", "attach", "returns", "without SYS_ADMIN", "result", "s to make + run"]


def print_table(rows):
    rows = [HEAD, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        print("= " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default="build", type=os.path.abspath)
    parser.add_argument("--arm64-build", default="build-arm64", type=os.path.abspath)
    parser.add_argument("kernel", nargs="+", choices=KERNELS)
    args = parser.parse_args()
    builds = {"arm64": args.arm64_build, native(): args.build}
    rows, failed = [], 0
    for name in args.kernel:
        row, n = run(name, builds)
        sys.stdout.flush()
        rows.append(row)
        failed += n
    print_table(rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
