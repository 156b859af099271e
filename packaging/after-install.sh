#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the group and lets systemd see the unit; each step only where its tool exists.
# usage: after-install.sh SYSUSERS_FILE
if command -v systemd-sysusers >/dev/null 2>&1; then
	systemd-sysusers "$1"
elif ! getent group tolltap >/dev/null && command -v groupadd >/dev/null 2>&1; then
	groupadd --system tolltap
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
exit 0
