# SPDX-License-Identifier: Apache-2.0
"""A client process that does one step at a time (raw_client.py), for tests of what comes between."""
import os
import subprocess

RAW = os.path.join(os.path.dirname(os.path.abspath(__file__)), "raw_client.py")


class Raw:
    """A steered client process: raw("statement") returns what the statement printed."""

    def __init__(self, provider, command=("/usr/bin/python3",), env=None):
        self.process = subprocess.Popen(
            [*command, RAW, str(provider.port), provider.cacert], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, **(env or {})))

    def __call__(self, statement):
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().rstrip("\n")
        assert line, "the client died at: " + statement
        return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
