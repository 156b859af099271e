#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Types a line on a new terminal to a command that asks for it, prints what the terminal showed and
returns the command's code; 99 when the terminal is not as it was after.

usage: typed.py LINE COMMAND...
"""
import os
import pty
import sys
import termios
import time


def main():
    line, command = sys.argv[1], sys.argv[2:]
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    before = termios.tcgetattr(fd)
    deadline = time.monotonic() + 10
    while termios.tcgetattr(fd)[3] & termios.ECHO and time.monotonic() < deadline:
        time.sleep(0.01)
    os.write(fd, line.encode() + b"\n")
    after, shown = None, b""
    while True:
        try:
            chunk = os.read(fd, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
        after = termios.tcgetattr(fd)
    sys.stdout.buffer.write(shown)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if after == before else 99


if __name__ == "__main__":
    sys.exit(main())
