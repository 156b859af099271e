#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tolltap prices: what each subcommand prints and returns.
# usage: prices_command.sh BUILD_DIR
set -u
cd "$(dirname "$0")/../.." || exit 1
tolltap=${1:-build}/tolltap
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
mkdir "$work/d"

# expect NAME CODE TEXT COMMAND...: the exit code, and TEXT somewhere in what is printed.
expect() {
	name=$1 code=$2 text=$3
	shift 3
	"$tolltap" prices "$@" > "$work/out" 2>&1
	got=$?
	if [ "$got" -ne "$code" ]; then
		echo "FAIL prices_$name: exit code $got, not $code"
		failed=1
	elif ! grep -qF -- "$text" "$work/out"; then
		echo "FAIL prices_$name: \"$text\" is not in what it printed"
		failed=1
	else
		echo "ok prices_$name"
	fi
}

expect help 0 'usage: tolltap prices' --help
expect no_subcommand 2 'write: tolltap prices list'
expect unknown_flag 2 'colour' list --colour
expect list_csv 0 'openai,gpt-4o,,,2.5,1.25,,,10,batch priority' list --provider=openai --output=csv
expect list_unknown_provider 1 'no provider "acme"' list --provider=acme
expect show_json 0 '"price":"cache_write_1h","usd":"6"' show claude-sonnet-4-5-20250929 --output=json
expect show_dated_history 0 '2026-07-30' show gpt-5.6-terra --provider=openai
expect show_unknown 1 'no model "gpt-4o-mini-2"' show gpt-4o-mini-2
expect show_other_provider 1 'no model "claude-sonnet-5"' show claude-sonnet-5 --provider=openai
expect check_missing 3 'cannot be read' check "$work/none.json"
expect no_table 3 'cannot be read' list --prices.file="$work/none.json"

sed 's/"id":"gpt-4o","alias"/"id":"gpt-4o-x","alias"/' pricing/catalog.json > "$work/b.json"
sed -i 's/\("id":"gpt-5","alias".*"input":"\)1.25/\11.5/' "$work/b.json"
expect diff_changed 0 'openai,gpt-5,,,,input,1.25,1.5,1000000 tokens' \
	diff pricing/catalog.json "$work/b.json" --output=csv
expect diff_came 0 'openai,gpt-4o-x,,,,input,,2.5,1000000 tokens' \
	diff pricing/catalog.json "$work/b.json" --output=csv
expect diff_went 0 'openai,gpt-4o,,,,input,2.5,,1000000 tokens' \
	diff pricing/catalog.json "$work/b.json" --output=csv

expect add_nowhere 2 'give --prices.dir' add openai factor=0.9
expect add_discount 0 'row added' add openai factor=0.9 reason=contract --prices.dir="$work/d"
expect add_own_model 0 'row added' add vllm llama input=0.1 output=0.2 --prices.dir="$work/d"
expect add_twice 3 'nothing was changed' add openai factor=0.8 --prices.dir="$work/d"
expect add_slip 3 'is implausible' add openai gpt-4o input=0.0000025 --prices.dir="$work/d"
expect add_bad_key 2 '"intput=1" is neither' add openai gpt-4o intput=1 --prices.dir="$work/d"
expect check_overrides 0 'in order' check "$work/d/local.json"
[ "$(grep -c '"provider"' "$work/d/local.json")" -eq 2 ] && [ ! -e "$work/d/local.json.new" ] ||
	{ echo "FAIL prices_add_keeps: a refused row changed the file"; failed=1; }
echo '{"schema":"tolltap-overrides/1","overrides":[{"factor":"1"}]}' > "$work/d/z.json"
expect overrides_refused 3 'z.json: line 1: overrides[0]: a row without a selector' \
	list --prices.dir="$work/d"

# Each fault of a table that lint knows: the line says file, line, place and reason.
fault() { # NAME ERROR ROWS-OF-MODELS
	printf '{"schema":"tolltap-prices/1","currency":"USD","units":{},\n"providers":[{"provider":"p"}],\n"models":[\n%s]}' \
		"$3" > "$work/bad.json"
	expect "lint_$1" 3 "bad.json: line $2" check "$work/bad.json"
}
m='{"provider":"p","id":"m","periods":['
fault per_token '4: models[0] (p/m).periods[0]: price "input" of 0.0000025 USD is implausible' \
	"$m"'{"prices":{"input":"0.0000025"}}]}'
fault per_million '4: models[0] (p/m).periods[0]: price "input" of 2500000 USD is implausible' \
	"$m"'{"prices":{"input":"2500000"}}]}'
fault unknown_unit '4: models[0] (p/m).periods[0]: unknown unit "inptu"' "$m"'{"prices":{"inptu":"1"}}]}'
fault overlap '4: models[0] (p/m): periods 0 and 1 overlap' "$m"'{"prices":{}},{"prices":{}}]}'
fault gap '4: models[0] (p/m): no price is valid after 2026-02-01' \
	"$m"'{"to":"2026-02-01","prices":{}},{"from":"2026-03-01","prices":{}}]}'
fault two_owners '5: models[1] (p/n): name "m" already belongs to m' \
	"$m"'{"prices":{}}]},
{"provider":"p","id":"n","alias":["m"],"periods":[{"prices":{}}]}'
fault cheaper_above '4: models[0] (p/m).periods[0]: price "input" above 9 tokens is less than below' \
	"$m"'{"prices":{"input":"2"},"above":[{"tokens":9,"prices":{"input":"1"}}]}]}'
cat > "$work/cycle.json" <<'JSON'
{"schema": "tolltap-overrides/1", "aliases": [
  {"provider": "openai", "names": ["ours"], "as": "gpt-4o"},
  {"provider": "openai", "names": ["a"], "as": "b"},
  {"provider": "openai", "names": ["b"], "as": "a"}]}
JSON
expect lint_cycle 3 'cycle.json: line 3: aliases[1]: "as" names no model of openai: "b"' \
	check "$work/cycle.json"
expect import_unknown 3 'form "csv" is unknown' import csv pricing/catalog.json
exit $failed
