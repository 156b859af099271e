#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tolltap export and --ledger: FOCUS has its columns and sums to what spend says, also when a closed
# month was repriced; lines read back are the ledger; ledgers that overlap give each call once.
# usage: export_command.sh BUILD_DIR
set -u
cd "$(dirname "$0")/../.." || exit 1
tolltap=$(realpath "${1:-build}")/tolltap
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
a=$work/a

is() {
	if [ "$2" = "$3" ]; then
		echo "ok export_$1"
	else
		echo "FAIL export_$1: '$2' is not '$3'"
		failed=1
	fi
}

export_as() { "$tolltap" export --format="$@" 2> "$work/err"; }
# total KEY ARGS: a figure of spend's last line.
total() {
	key=$1
	shift
	"$tolltap" spend --by=provider --output=json "$@" | tail -1 | sed "s/.*\"$key\":\"*\\([0-9.]*\\).*/\\1/"
}
# focus NAME FILE EFFECTIVE [LIST]
focus() {
	name=$1
	shift
	wrong=$(python3 tests/check/focus.py "$@" 2>&1)
	is "$name" "$?$wrong" 0
}
# month FACT: of September, as period list has it.
month() { "$tolltap" period list --storage.path="$a" --output=json | sed -n "s/.*\"2026-09\".*\"$1\":\"*\\([0-9.-]*\\).*/\\1/p"; }
# sum FILE CONDITION: of EffectiveCost.
sum() { python3 -c '
import csv, sys
from decimal import Decimal
rows = csv.DictReader(open(sys.argv[1], newline=""))
total = sum((Decimal(r["EffectiveCost"]) for r in rows if eval(sys.argv[2])), Decimal(0))
print(format(total.normalize(), "f"))' "$@"; }

"$tolltap" demo --data --rows=4000 --storage.path="$a" > /dev/null || exit 1
cp -r "$a" "$work/before"

# ---- FOCUS -----------------------------------------------------------------------------------

export_as focus-csv --storage.path="$a" > "$work/focus.csv"
is focus_code $? 0
focus focus_columns_and_sum "$work/focus.csv" "$(total cost_usd --storage.path="$a")"
is focus_tells_what_is_not_known "$(sed -n 's/.*the cost of \([0-9]*\) calls is not known.*/\1/p' "$work/err")" "$(total calls_unpriced --storage.path="$a")"
is focus_again_is_the_same "$(export_as focus-csv --storage.path="$a" | sha256sum)" "$(sha256sum < "$work/focus.csv")"
export_as focus-csv --storage.path="$a" --since=2026-10-03T04:30:00Z --until=2026-10-05T01:00:00Z --where=provider=openai > "$work/part.csv"
focus focus_of_a_part "$work/part.csv" "$(total cost_usd --storage.path="$a" --since=2026-10-03T04:30:00Z --until=2026-10-05T01:00:00Z --where=provider=openai)"
sed 's/,USD,/,EUR,/' "$work/focus.csv" > "$work/bad.csv"
is focus_check_sees_a_wrong_value "$(python3 tests/check/focus.py "$work/bad.csv" 0 > /dev/null; echo $?)" 1

# A month is closed, then repriced: its charges stay, what changed is a correction of today.
"$tolltap" period close 2026-09 --storage.path="$a" > /dev/null
closed=$(month cost_usd)
mkdir "$work/prices"
echo '{"schema":"tolltap-overrides/1","overrides":[{"provider":"openai","factor":"0.9"},{"provider":"anthropic","factor":"1.1"}]}' > "$work/prices/local.json"
"$tolltap" reprice --since=2026-09-01 --closed --yes --storage.path="$a" --prices.dir="$work/prices" > /dev/null 2>&1
export_as focus-csv --storage.path="$a" --prices.dir="$work/prices" > "$work/corrected.csv"
focus focus_with_corrections "$work/corrected.csv" "$(total cost_usd --storage.path="$a")"
september='r["ChargePeriodStart"] < "2026-10"'
is focus_closed_month_stays "$(sum "$work/corrected.csv" "$september and not r['ChargeClass']")" "$closed"
is focus_corrections "$(sum "$work/corrected.csv" "r['ChargeClass'] == 'Correction'")" "$(month corrections_usd)"
is focus_corrections_are_of_today "$(sum "$work/corrected.csv" "$september and r['ChargeClass'] and r['BillingPeriodStart'] < '$(date -u +%Y-%m)'")" 0

# ---- lines and several ledgers ------------------------------------------------------------------

export_as jsonl --storage.path="$a" > "$work/a.jsonl"
is lines_read_back "$(export_as jsonl --ledger="$work/a.jsonl" | sha256sum)" "$(sha256sum < "$work/a.jsonl")"
is lines_focus "$(export_as focus-csv --ledger="$work/a.jsonl" --prices.dir="$work/prices" | sha256sum)" "$(sha256sum < "$work/corrected.csv")"
spent=$("$tolltap" spend --by=model,day --output=json --storage.path="$a" | sha256sum)
is spend_of_lines "$("$tolltap" spend --by=model,day --output=json --ledger="$work/a.jsonl" | sha256sum)" "$spent"
is spend_of_copies "$("$tolltap" spend --by=model,day --output=json --ledger="$work/before" --ledger="$a" --ledger "$work/a.jsonl" | sha256sum)" "$spent"
is spend_by_file "$("$tolltap" spend --by=model,day --output=json --ledger="$a/ledger.db" | sha256sum)" "$spent"
export_as jsonl --storage.path="$a" --until=2026-10-10 > "$work/early.jsonl"
export_as jsonl --storage.path="$a" --since=2026-10-05 > "$work/late.jsonl"
is overlapping_parts "$("$tolltap" spend --by=model,day --output=json --ledger="$work/late.jsonl" --ledger="$work/early.jsonl" | sha256sum)" "$spent"
is events_of_parts "$("$tolltap" events --output=json --ledger="$work/late.jsonl" --ledger="$work/early.jsonl" | sort | sha256sum)" "$("$tolltap" events --output=json --storage.path="$a" | sort | sha256sum)"
is csv_rows "$(export_as csv --storage.path="$a" | wc -l)" 4001
head -3 "$work/a.jsonl" > "$work/cut.jsonl"
echo '{"record":"call","schema":' >> "$work/cut.jsonl"
"$tolltap" spend --ledger="$work/cut.jsonl" > "$work/out" 2>&1
is bad_line_code $? 6
is bad_line_is_named "$(grep -c 'cut.jsonl:4: ' "$work/out")" 1

# ---- a file, and what is refused ------------------------------------------------------------------

export_as jsonl --storage.path="$a" --out="$work/out.jsonl" > "$work/out"
is out_is_whole "$(sha256sum < "$work/out.jsonl")$(wc -c < "$work/out")" "$(sha256sum < "$work/a.jsonl")0"
is out_leaves_nothing "$(ls "$work" | grep -c 'out.jsonl')" 1
is out_is_private "$(stat -c %a "$work/out.jsonl")" 600
export_as csv --storage.path="$a" --out="$work/none/out.csv"
is out_without_directory $? 1
export_as csv --storage.path="$work/none"
is no_ledger $? 6
for flags in --format=xml --where=nothing=1 --since=never operand; do
	"$tolltap" export --format=csv --storage.path="$a" "$flags" > /dev/null 2>&1
	is "refuses_$flags" $? 2
done
"$tolltap" events --follow --ledger="$a" > /dev/null 2>&1
is follow_is_of_one $? 2
exit $failed
