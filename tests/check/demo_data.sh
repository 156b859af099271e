#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tolltap demo --data: the same figures every time, files that other commands read, and a directory
# with a ledger is left as it is.
# usage: demo_data.sh BUILD_DIR
set -u
cd "$(dirname "$0")/../.." || exit 1
tolltap=$(realpath "${1:-build}")/tolltap
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

is() {
	if [ "$2" = "$3" ]; then
		echo "ok demo_data_$1"
	else
		echo "FAIL demo_data_$1: '$2' is not '$3'"
		failed=1
	fi
}

# events DIR: every row, without what only the row's own order tells.
events() { "$tolltap" events --storage.path="$1" --output=json --wide | sha256sum; }
demo() { "$tolltap" demo --data --rows=3000 "$@" > "$work/out" 2> "$work/err"; }

demo --storage.path="$work/a"
is code $? 0
demo --storage.path="$work/b"
is rows "$("$tolltap" events --storage.path="$work/a" --output=json | wc -l)" 3000
is the_same_rows "$(events "$work/a")" "$(events "$work/b")"
is the_same_bills "$(cat "$work"/a/bill-*.csv "$work/a/planted.csv" | sha256sum)" "$(cat "$work"/b/bill-*.csv "$work/b/planted.csv" | sha256sum)"
# Tokens, since prices change with the catalogue.
is the_figures_of_every_machine "$("$tolltap" spend --storage.path="$work/a" --output=json | tail -1 | sed 's/.*"input_uncached":\([0-9]*\),.*"output_text":\([0-9]*\),.*/\1 \2/')" "7303378 771445"
before=$(sha256sum < "$work/a/ledger.db")
demo --storage.path="$work/a"
is refused_code $? 6
is refused_line "$(cut -c1-31 "$work/err")" "tolltap demo: there is a ledger"
is refused_untouched "$(sha256sum < "$work/a/ledger.db")" "$before"
(cd "$work" && demo && [ -f tolltap-demo/ledger.db ])
is default_directory $? 0
demo --storage.path="$work/c" --until=2026-10-02
is until_is_the_last_day "$("$tolltap" spend --storage.path="$work/c" --by=day --output=csv | cut -d, -f1 | grep ^2026 | sort | sed -n '1p;$p' | tr '\n' ' ')" "2026-08-18 2026-10-01 "
"$tolltap" spend --config.file="$work/a/tolltap.yaml" --by=key_owner --output=csv | grep -q '^support,'
is config_names_the_keys $? 0
# What it says to try.
demo --storage.path="$work/e"
sed -n 's/^  tolltap //p' "$work/out" > "$work/hints"
is hints "$([ "$(wc -l < "$work/hints")" -ge 5 ] && echo several)" several
while read -r words; do
	# shellcheck disable=SC2086
	"$tolltap" $words > /dev/null 2> "$work/err" < /dev/null
	is "runs_${words%% *}" "$? $(cat "$work/err")" "0 "
done < "$work/hints"
for flags in --rows=0 --rows=x --rows=99999999999 --until=2026-11-31x; do
	demo --storage.path="$work/d" $flags
	is "refuses_$flags" $? 2
done
"$tolltap" demo --rows=5 > /dev/null 2>&1
is rows_go_with_data $? 2
exit $failed
