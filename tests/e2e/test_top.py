#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tolltap top on a terminal: frames, keys, a resize, and the terminal as it was after each end."""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Agent, main

ENTER, LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"


class Screen:
    """top on a pseudo-terminal of our own."""

    def __init__(self, agent, rows=30, columns=100):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(agent.binary, ["tolltap", "top", "--storage.path=" + agent.storage])
        self.output = b""
        self.resize(rows, columns)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, text, timeout_s=5):
        """The bytes since the last call, up to where text is in them."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output:
            assert time.monotonic() < deadline, "%r not in %r" % (text, self.output[-800:])
            if select.select([self.fd], [], [], 0.1)[0]:
                self.output += os.read(self.fd, 65536)
        seen, self.output = self.output, b""
        return seen

    def press(self, key):
        self.output = b""
        os.write(self.fd, key)

    def end(self):
        """Its exit status, after it has put the terminal back."""
        self.wait_for(LEAVE)
        after = termios.tcgetattr(self.fd)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return status, after


def keys_and_resize(build):
    with Agent(build) as agent:
        screen = Screen(agent)
        screen.wait_for(ENTER)
        screen.wait_for(b"sort: cost")
        screen.press(b"s")
        screen.wait_for(b"sort: last minute")
        screen.press(b"s")
        screen.wait_for(b"sort: calls")
        screen.wait_for(b"\x1b[J")
        screen.resize(4, 40)
        screen.wait_for(b"\x1b[H")
        frame = screen.wait_for(b"\x1b[J")
        assert frame.count(b"\n") <= 3, frame
        screen.press(b"q")
        status, _ = screen.end()
        assert status == 0, status


def every_end_restores_the_terminal(build):
    with Agent(build) as agent:
        for end in (lambda s: s.press(b"q"), lambda s: s.press(b"\x03"),
                    lambda s: os.kill(s.pid, signal.SIGTERM),
                    lambda s: os.kill(s.pid, signal.SIGHUP)):
            screen = Screen(agent)
            screen.wait_for(b"sort: cost")
            end(screen)
            status, after = screen.end()
            assert status == 0, status
            wanted = termios.ICANON | termios.ECHO | termios.ISIG
            assert after[3] & wanted == wanted, "the terminal stayed raw: %r" % after
            assert after[6][termios.VSUSP] == b"\x1a", after[6][termios.VSUSP]


def an_ended_agent_is_said_to_have_ended(build):
    with Agent(build) as agent:
        agent.stop()
        done = agent.command("top", "--storage.path=" + agent.storage)
        assert "no agent is running" in done.stdout and "sudo tolltap run" in done.stdout


if __name__ == "__main__":
    sys.exit(main([keys_and_resize, every_end_restores_the_terminal,
                   an_ended_agent_is_said_to_have_ended]))
