#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Meters this host with the live view: uses the agent that runs, else runs one until the view ends.
# usage: run.sh TOLLTAP [STORAGE_DIR]
set -u
tolltap=$1
storage=${2:-/var/lib/tolltap}

if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "metering needs root and there is no sudo; run this as root" >&2
		exit 4
	}
	exec sudo "$0" "$@"
fi
if "$tolltap" top --once --storage.path="$storage" --output=json 2>/dev/null |
	grep -q '"agent_running":true'; then
	exec "$tolltap" top --storage.path="$storage"
fi

work=$(mktemp -d) || exit 1
agent=
stop() {
	[ -n "$agent" ] && kill "$agent" 2>/dev/null && wait "$agent"
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM
"$tolltap" run --storage.path="$storage" >"$work/out" 2>"$work/log" &
agent=$!
while ! grep -qx ready "$work/out"; do
	if ! kill -0 "$agent" 2>/dev/null; then
		wait "$agent"
		code=$?
		agent=
		cat "$work/log" >&2
		exit "$code"
	fi
	sleep 0.1
done
"$tolltap" top --storage.path="$storage"
