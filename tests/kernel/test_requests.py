#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The broker's closed table of requests against a worker that asks for too much (requests.c)."""
import os
import sys

os.execv(os.path.join(sys.argv[1], "tests/kernel/requests"), ["requests"])
