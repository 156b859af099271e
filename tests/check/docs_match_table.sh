#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs/configuration.md is what the options table prints, docs/capabilities.md holds the table of
# capabilities, and docs/exit-codes.md has every code.
# usage: docs_match_table.sh BUILD_DIR
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
failed=0

if ! "$build/tolltap" check config --markdown | diff -u docs/configuration.md - >&2; then
	echo "FAIL configuration.md: make it again: tolltap check config --markdown > docs/configuration.md"
	failed=1
else
	echo "ok configuration.md"
fi

if ! "$build/tolltap" check capabilities --markdown | diff -u - docs/capabilities.md |
	grep -c '^-[^-]' | grep -qx 0; then
	echo "FAIL capabilities.md: its table is not: tolltap check capabilities --markdown"
	failed=1
else
	echo "ok capabilities.md"
fi

sed -n 's/^\tEXIT_\([A-Z_]*\) = \([0-9]*\),.*/\2 \1/p' agent/cli/cli.h | while read -r number name; do
	grep -q "^| $number | \`EXIT_$name\`" docs/exit-codes.md || {
		echo "FAIL exit-codes.md: no row '| $number | \`EXIT_$name\`'"
		exit 1
	}
done && echo "ok exit-codes.md" || failed=1
exit $failed
