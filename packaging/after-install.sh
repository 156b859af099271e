#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the users and the group and lets systemd see the unit; each step only where its tool exists.
# Without users the agent runs as numbers that nobody has.
# usage: after-install.sh SYSUSERS_FILE

# NAME: its group and itself, unless they are there.
make_user() {
	getent group "$1" >/dev/null || groupadd --system "$1"
	getent passwd "$1" >/dev/null ||
		useradd --system --gid "$1" --no-create-home --home-dir /nonexistent \
			--shell /usr/sbin/nologin "$1"
}

if command -v systemd-sysusers >/dev/null 2>&1; then
	systemd-sysusers "$1"
elif command -v useradd >/dev/null 2>&1; then
	make_user tolltap
	make_user tolltap-broker
	make_user tolltap-courier
	usermod --append --groups tolltap tolltap-courier
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
exit 0
