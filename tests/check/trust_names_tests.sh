#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every test that docs/trust.md names exists: `FILE` or `FILE: FUNCTION` in backquotes.
# usage: trust_names_tests.sh [BUILD_DIR]
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
count=0

for name in $(grep -o '`tests/[^`]*`' docs/trust.md | tr -d '`' | sed 's/: /:/'); do
	file=${name%%:*}
	function=${name#"$file"}
	function=${function#:}
	count=$((count + 1))
	if [ ! -f "$file" ]; then
		echo "FAIL trust.md names $file, which is not there"
		failed=1
	# Defined, and run: its name stands in the list at the end too.
	elif [ -n "$function" ] && [ "$(grep -cw "$function" "$file")" -lt 2 ] &&
		! grep -q "^def \(own\|test\)_" "$file"; then
		echo "FAIL trust.md names $function, which $file does not run"
		failed=1
	elif [ -n "$function" ] && ! grep -qw "$function" "$file"; then
		echo "FAIL trust.md names $function, which is not in $file"
		failed=1
	fi
done
[ "$count" -gt 20 ] || { echo "FAIL trust.md names $count tests only"; failed=1; }
[ "$failed" -eq 0 ] && echo "ok trust.md names $count tests"
exit $failed
