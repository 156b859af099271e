#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command as root when that is possible without asking: as it is for root, by sudo where sudo
# needs no password, else as the caller.
if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	exec sudo -n --preserve-env=PATH,TOLLTAP_CASSETTES,GITHUB_STEP_SUMMARY "$@"
fi
exec "$@"
