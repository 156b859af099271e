#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make install and uninstall, and the installed unit started once by a real systemd."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, Skip, main

INSTALLED = ("bin/tolltap", "share/tolltap/catalog.json", "share/tolltap/demo/provider.py",
             "share/tolltap/demo/recording.ttr", "lib/systemd/system/tolltap.service",
             "lib/sysusers.d/tolltap.conf")
LIBRARIES = ("libbpf1", "libelf1", "libcjson1", "libcurl4", "libsqlite3-0", "libmicrohttpd12",
             "libyaml-0-2", "libbrotli1", "libzstd1", "libcapstone4", "libnettle8", "libssl3",
             "libcap2", "libseccomp2", "libnghttp2-14")

# Runs inside, as a unit of the booted system; each line of RESULT is one assertion's input.
INSIDE = r"""#!/bin/sh
exec >/result 2>&1
systemd-sysusers
if systemctl start tolltap; then echo started; else journalctl -u tolltap -o cat | tail -20; fi
systemctl is-active tolltap
systemctl reload tolltap && sleep 1 && systemctl is-active tolltap
useradd -G tolltap member; useradd stranger
setpriv --reuid=member --regid=member --init-groups tolltap top --once | head -1
setpriv --reuid=stranger --regid=stranger --init-groups tolltap top --once
echo "stranger: $?"
tolltap doctor >/dev/null; echo "doctor: $?"
journalctl -u tolltap -o cat -p warning; stat -c '%a %G' /var/lib/tolltap; stat -c 'owner %U' /var/lib/tolltap
grep -ls '^Name:.tolltap' /proc/[0-9]*/status | while read -r s; do
	sed -n 's/^Uid:.\([0-9]*\).*/\1/p' "$s"
done | sort -u | while read -r uid; do echo "runs as $(getent passwd "$uid" | cut -d: -f1)"; done
systemctl stop tolltap; systemctl show tolltap -p Result -p ExecMainStatus
systemctl poweroff
"""
UNIT = "[Service]\nEnvironment=PATH=/usr/sbin:/usr/bin:/sbin:/bin\nExecStart=/inside\n"


def make(build, *words):
    subprocess.run(["make", "-s", "-C", TOP, "BUILD=" + build, *words], check=True,
                   capture_output=True, text=True)


def install_and_uninstall_are_each_others_inverse(build):
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as root:
        make(build, "install", "DESTDIR=" + root, "PREFIX=/opt/t")
        for name in INSTALLED:
            assert os.path.exists(os.path.join(root, "opt/t", name)), name
        with open(os.path.join(root, "opt/t/lib/systemd/system/tolltap.service")) as f:
            unit = f.read()
        assert "ExecStart=/opt/t/bin/tolltap run" in unit and not re.search("@[A-Z]", unit)
        done = subprocess.run([os.path.join(root, "opt/t/bin/tolltap"), "check", "config"],
                              capture_output=True, text=True, check=True)
        assert os.path.join(root, "opt/t/share/tolltap/catalog.json") in done.stdout
        make(build, "uninstall", "DESTDIR=" + root, "PREFIX=/opt/t")
        left = [name for _, _, names in os.walk(root) for name in names]
        assert not left, left


def boot(root):
    """Boots the tree by systemd until it powers itself off."""
    # A mount namespace of its own with a pure cgroup2 tree, wherever the host mounts what.
    script = ('mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs tmpfs /run && '
              'mkdir /sys/fs/cgroup/tolltap-test.$$ && '
              'echo $$ > /sys/fs/cgroup/tolltap-test.$$/cgroup.procs && "$@"; '
              'echo $$ > /sys/fs/cgroup/cgroup.procs; '
              'find /sys/fs/cgroup/tolltap-test.$$ -depth -type d -exec rmdir {} +')
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", "systemd-nspawn",
         "-q", "-D", root, "--register=no", "--keep-unit", "--capability=all",
         "--system-call-filter=bpf perf_event_open", "--boot"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def the_unit_starts_reloads_and_stops(build):
    for tool in ("systemd-nspawn", "mmdebstrap", "unshare"):
        if not shutil.which(tool):
            raise Skip(tool + " is not installed")
    work = tempfile.mkdtemp(prefix="tolltap-test.")
    try:
        root = os.path.join(work, "root")
        subprocess.run(["mmdebstrap", "--variant=minbase", "--quiet",
                        "--include=systemd,systemd-sysv,dbus," + ",".join(LIBRARIES),
                        "bookworm", root], check=True, capture_output=True, text=True, timeout=300)
        make(build, "install", "DESTDIR=" + root, "PREFIX=/usr")
        with open(os.path.join(root, "inside"), "w") as f:
            f.write(INSIDE)
        os.chmod(os.path.join(root, "inside"), 0o755)
        units = os.path.join(root, "etc/systemd/system")
        with open(os.path.join(units, "inside.service"), "w") as f:
            f.write(UNIT)
        os.makedirs(os.path.join(units, "multi-user.target.wants"), exist_ok=True)
        os.symlink("../inside.service",
                   os.path.join(units, "multi-user.target.wants/inside.service"))
        done = boot(root)
        result = os.path.join(root, "result")
        assert os.path.exists(result), "it did not boot: " + (done.stdout + done.stderr)[-500:]
        with open(result) as f:
            lines = f.read().splitlines()
        text = "\n".join(lines)
        assert "started" in lines and lines.count("active") == 2, text
        assert any(line.startswith("tolltap ") and "sort:" in line for line in lines), text
        assert "stranger: 4" in lines and "usermod -aG tolltap" in text, text
        assert "doctor: 0" in lines and "750 tolltap" in lines, text
        for user in ("root", "tolltap", "tolltap-broker", "tolltap-courier"):
            assert "runs as " + user in lines, text
        assert "owner tolltap" in lines, text
        assert "Result=success" in lines and "ExecMainStatus=0" in lines, text
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", work], check=False)


if __name__ == "__main__":
    sys.exit(main([install_and_uninstall_are_each_others_inverse,
                   the_unit_starts_reloads_and_stops]))
