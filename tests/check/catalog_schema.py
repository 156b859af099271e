#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""catalog.json and an overrides file are what catalog.schema.json says, every row of the catalogue
names its source and the day it was checked, and the schema refuses what the loader refuses.

usage: catalog_schema.py BUILD_DIR
"""
import copy
import json
import os
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    print("skip catalog_schema: python3-jsonschema is not installed")
    sys.exit(0)

SCHEMA = json.load(open("pricing/catalog.schema.json"))
CATALOG = json.load(open("pricing/catalog.json"))
OVERRIDES = {
    "schema": "tolltap-overrides/1",
    "aliases": [{"provider": "azure.ai.openai", "names": ["our-gpt"], "as": "gpt-4o"}],
    "overrides": [
        {"provider": "openai", "factor": "0.9", "from": "2026-01-01", "reason": "contract"},
        {"account": "org-1", "project": "proj_1", "key_fingerprint": "0badcafe", "factor": "1.15"},
        {"provider": "vllm", "models": ["llama"], "prices": {"duration": "2.52"}}],
}
REQUIRED = {"source", "checked"}


def small():
    """The catalogue with one model: mutations are of that."""
    out = {k: v for k, v in CATALOG.items() if k != "models"}
    return out | {"models": [copy.deepcopy(next(m for m in CATALOG["models"]
                                                if m["id"] == "claude-sonnet-4-5"))]}


def period(change):
    def apply(doc):
        change(doc["models"][0]["periods"][0])
    return apply


# What both the schema and the loader must refuse.
MUTATIONS = {
    "no_schema": lambda d: d.pop("schema"),
    "no_models": lambda d: d.pop("models"),
    "other_currency": lambda d: d.update(currency="EUR"),
    "other_unit": lambda d: d["units"].update(input="1 token"),
    "unknown_key": lambda d: d.update(colour=1),
    "no_id": lambda d: d["models"][0].pop("id"),
    "no_period": lambda d: d["models"][0].update(periods=[]),
    "alias_of_no_text": lambda d: d["models"][0].update(alias=[1]),
    "unknown_kind": period(lambda p: p["prices"].update(intput="1")),
    "price_as_number": period(lambda p: p["prices"].update(input=2.5)),
    "price_below_zero": period(lambda p: p["prices"].update(input="-1")),
    "price_with_comma": period(lambda p: p["prices"].update(input="2,5")),
    "price_of_13_digits": period(lambda p: p["prices"].update(input="1.0000000000001")),
    "day_of_another_form": period(lambda p: p.update({"from": "30.02.2026"})),
    "threshold_of_half_a_token": period(lambda p: p["above"][0].update(tokens=1.5)),
    "factor_as_number": period(lambda p: p.update(tiers={"flex": {"factor": 0.5}})),
    "tier_without_a_price": period(lambda p: p.update(tiers={"flex": {}})),
    "multiplier_by_mood": period(lambda p: p.update(
        multipliers=[{"by": "mood", "value": "x", "factor": "2"}])),
}


def accepts(validator, doc):
    return next(validator.iter_errors(doc), None) is None


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    validator = jsonschema.Draft202012Validator(SCHEMA)
    failed = 0

    def report(name, good, why):
        nonlocal failed
        failed += not good
        print(f"ok {name}" if good else f"FAIL {name}: {why}")

    def loads(folder, doc):
        path = os.path.join(folder, "t.json")
        with open(path, "w") as f:
            json.dump(doc, f)
        return subprocess.run([build + "/tolltap", "prices", "check", path],
                              capture_output=True).returncode == 0

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    definition = jsonschema.Draft202012Validator(
        {"$ref": "#/$defs/catalogue", "$defs": SCHEMA["$defs"]})
    error = next(definition.iter_errors(CATALOG), None)
    report("schema_catalogue", error is None,
           error and f"{list(error.absolute_path)}: {error.message[:200]}")
    report("schema_overrides", accepts(validator, OVERRIDES), "an overrides file is refused")
    bare = [f"{m['provider']}/{m['id']}" for m in CATALOG["models"] for p in m["periods"]
            if not all(p.get(k) for k in REQUIRED)]
    report("catalogue_sources", not bare, f"without source or day of check: {bare[:5]}")
    with tempfile.TemporaryDirectory(prefix="tolltap-test.") as folder:
        report("schema_one_model", accepts(validator, small()) and loads(folder, small()),
               "the file that the mutations begin with is refused")
        for name, change in MUTATIONS.items():
            doc = small()
            change(doc)
            report(f"schema_refuses_{name}", not accepts(validator, doc), "it was accepted")
            report(f"loader_refuses_{name}", not loads(folder, doc), "it was accepted")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
