#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pricing/: the shipped catalogue is in order, its units are those of the schema, and merge.py makes
# the same bytes from the same sources, whatever the hash seed, and refuses what nobody decided.
# usage: prices_merge.sh BUILD_DIR    (TOLLTAP_PRICE_SOURCES: the source tables)
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
sources=${TOLLTAP_PRICE_SOURCES:-../shared/data/pricing}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

report() { # name, exit code of the check, why
	if [ "$2" -eq 0 ]; then
		echo "ok $1"
	else
		echo "FAIL $1: $3"
		failed=1
	fi
}

"$build/tolltap" prices check pricing/catalog.json > /dev/null
report prices_catalog $? "the shipped catalogue is refused"

python3 - <<'PY'
import json
catalog = json.load(open("pricing/catalog.json"))
schema = json.load(open("pricing/catalog.schema.json"))["$defs"]
units = {k: v["const"] for k, v in schema["catalogue"]["properties"]["units"]["properties"].items()}
assert units == catalog["units"]
assert schema["prices"]["properties"].keys() == units.keys()
PY
report prices_schema $? "catalog.schema.json and catalog.json name other units"

/usr/bin/python3 tests/check/catalog_schema.py "$build" || failed=1

if [ ! -f "$sources/genai-prices-v2.json" ]; then
	echo "skip prices_merge: no source tables in $sources"
	exit $failed
fi

python3 tests/check/catalog_coverage.py "$sources" "$build" || failed=1

for seed in 1 2; do
	mkdir "$work/$seed"
	PYTHONHASHSEED=$seed python3 pricing/merge.py --source "$sources" --out "$work/$seed"
	cmp pricing/catalog.json "$work/$seed/catalog.json" &&
		cmp pricing/merge-report.md "$work/$seed/merge-report.md"
	report "prices_merge_seed_$seed" $? "merge.py makes other bytes than those shipped"
done

python3 - "$work" <<'PY'
import json
import sys
decisions = json.load(open("pricing/decisions.json"))
decisions["disagreements"] = decisions["disagreements"][1:]
json.dump(decisions, open(sys.argv[1] + "/decisions.json", "w"))
PY
mkdir "$work/undecided"
python3 pricing/merge.py --source "$sources" --out "$work/undecided" \
	--decisions "$work/decisions.json" 2> "$work/stderr"
[ $? -eq 1 ] && [ ! -e "$work/undecided/catalog.json" ] &&
	grep -q 'UNRESOLVED' "$work/undecided/merge-report.md"
report prices_merge_undecided $? "an undecided disagreement was not refused"

for form in litellm:litellm-model_prices_and_context_window.json genai-prices:genai-prices-v2.json; do
	"$build/tolltap" prices import "${form%%:*}" "$sources/${form#*:}" 2> /dev/null > "$work/in.json"
	"$build/tolltap" prices check "$work/in.json" > /dev/null
	report "prices_import_check_${form%%:*}" $? "the imported table is refused"
	python3 - "$work/in.json" "${form%%:*}" <<'PY'
import json
import sys
rows = {(m["provider"], m["id"]): m for m in json.load(open(sys.argv[1]))["models"]}
prices = rows["openai", "gpt-5.6-luna"]["periods"][0]
assert prices["prices"]["input"] == "1" and prices["prices"]["cache_write_5m"] == "1.25", prices
assert prices["above"][0] == {"tokens": 272000, "prices": prices["above"][0]["prices"]}
assert prices["above"][0]["prices"]["output"] == "9"
if sys.argv[2] == "litellm":
    assert prices["tiers"]["flex"]["prices"]["cache_read"] == "0.05"
else:
    assert rows["openai", "gpt-5.6-luna"]["periods"][1]["from"] == "2026-07-30"
PY
	report "prices_import_${form%%:*}" $? "the imported table says something else"
done
exit $failed
