#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No program runs on a stack that belongs to the CPU (bpf/stack.bpf.h): two tasks would share it.
The machine code that the kernel made says so: such a stack's address is made in r9 from the CPU's."""
import ctypes
import json
import os
import platform
import re
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Agent, Skip, main

SYS_BPF, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 321, 13, 15
INFO_BYTES = 232
PER_CPU_STACK = re.compile(rb"\x49\xb9.{8}\x65\x4c\x03\x0c\x25", re.S)  # movabs r9; add r9, gs:
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, *parts):
    attr = b"".join(parts).ljust(128, b"\0")
    result = libc.syscall(SYS_BPF, command, attr, len(attr))
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return result


def machine_code(program):
    code = ctypes.create_string_buffer(program["bytes_jited"])
    info = ctypes.create_string_buffer(INFO_BYTES)
    struct.pack_into("<I", info, 16, len(code))
    struct.pack_into("<Q", info, 24, ctypes.addressof(code))
    fd = bpf(PROG_GET_FD_BY_ID, struct.pack("<I", program["id"]))
    try:
        bpf(OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", fd, INFO_BYTES, ctypes.addressof(info)))
    finally:
        os.close(fd)
    return code.raw


def programs():
    done = subprocess.run(["/usr/sbin/bpftool", "-j", "prog", "show"], capture_output=True, text=True,
                          check=True)
    return {p["id"]: p for p in json.loads(done.stdout) if p["type"] == "kprobe"}


def programs_run_on_the_stack_of_their_task(build):
    if platform.machine() != "x86_64":
        raise Skip("the machine code is told apart on x86-64 only")
    before = programs()
    with Agent(build):
        ours = [p for p in programs().values() if p["id"] not in before]
        assert len(ours) >= 8, ours
        shared = [p["name"] for p in ours if PER_CPU_STACK.search(machine_code(p))]
    assert not shared, "on a stack of the CPU: %s" % ", ".join(shared)


if __name__ == "__main__":
    sys.exit(main([programs_run_on_the_stack_of_their_task]))
