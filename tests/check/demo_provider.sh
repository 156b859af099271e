#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The demo provider against its own wire; needs no build.
exec /usr/bin/python3 "$(dirname "$0")/demo_provider.py"
