#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every test that docs/trust.md and docs/money.md name exists: `FILE` or `FILE: FUNCTION` in
# backquotes.
# usage: trust_names_tests.sh [BUILD_DIR]
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0

check() { # DOCUMENT LEAST
	count=0
	for name in $(grep -o '`tests/[^`]*\.[a-z]*\(: [a-z0-9_]*\)\?`' "docs/$1" | tr -d '`' | sed 's/: /:/'); do
		file=${name%%:*}
		function=${name#"$file"}
		function=${function#:}
		count=$((count + 1))
		if [ ! -f "$file" ]; then
			echo "FAIL $1 names $file, which is not there"
			failed=1
		# Defined, and run: its name stands in the list at the end too.
		elif [ -n "$function" ] && [ "$(grep -cw "$function" "$file")" -lt 2 ] &&
			! grep -q "^def \(own\|test\)_" "$file"; then
			echo "FAIL $1 names $function, which $file does not run"
			failed=1
		elif [ -n "$function" ] && ! grep -qw "$function" "$file"; then
			echo "FAIL $1 names $function, which is not in $file"
			failed=1
		fi
	done
	[ "$count" -gt "$2" ] || { echo "FAIL $1 names $count tests only"; failed=1; }
	[ "$failed" -eq 0 ] && echo "ok $1 names $count tests"
}

check trust.md 20
check money.md 20
exit $failed
