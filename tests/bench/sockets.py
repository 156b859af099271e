#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What --plaintext.ports costs every program of the host, side by side in one run: rounds are
interleaved, medians are compared, ratios are the result. Prints a Markdown table.

usage: sockets.py BUILD [--rounds N]
"""
import argparse
import contextlib
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import Agent, free_port

COUNT = 200000
CALLS = ("getppid", "read of a file", "send and receive, 1,000 bytes each")


def sample(build, port):
    loop = os.path.join(build, "tests", "bench", "socket_loop")
    done = subprocess.run([loop, str(port), str(COUNT)], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    listed, other = free_port(), free_port()
    flag = "--plaintext.ports=%d" % listed
    cases = {
        "no agent": (contextlib.nullcontext, other),
        "agent, no port listed": (lambda: Agent(build), other),
        "agent, another port listed": (lambda: Agent(build, flag), other),
        "agent, its port listed, not LLM traffic": (lambda: Agent(build, flag), listed),
    }
    samples = {case: [] for case in cases}
    for _ in range(args.rounds):
        for case, (agent, port) in cases.items():
            with agent():
                samples[case].append(sample(build, port))
    medians = {case: [statistics.median(one) for one in zip(*of)] for case, of in samples.items()}
    base = medians["no agent"]
    print("| | %s |\n| --- |%s" % (" | ".join(CALLS), " ---: |" * len(CALLS)))
    for case, of in medians.items():
        print("| %s | %s |" % (case, " | ".join(
            "%.0f ns (x%.2f)" % (ns, ns / ref) for ns, ref in zip(of, base))))


if __name__ == "__main__":
    main()
