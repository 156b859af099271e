#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs/configuration.md is what the options table prints, and docs/exit-codes.md has every code.
# usage: docs_match_table.sh BUILD_DIR
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
failed=0

if ! "$build/tolltap" check config --markdown | diff -u docs/configuration.md - >&2; then
	echo "docs/configuration.md differs: tolltap check config --markdown > docs/configuration.md" >&2
	failed=1
fi

sed -n 's/^\tEXIT_\([A-Z_]*\) = \([0-9]*\),.*/\2 \1/p' agent/cli/cli.h | while read -r number name; do
	grep -q "^| $number | \`EXIT_$name\`" docs/exit-codes.md || {
		echo "docs/exit-codes.md: no row '| $number | \`EXIT_$name\`'" >&2
		exit 1
	}
done || failed=1
exit $failed
