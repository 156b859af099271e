#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every model that the source tables have for a provider of the catalogue is in catalog.json, by its
id, an alias or a dated rule, or is named in merge-report.md with a reason; and every provider that
the agent knows has prices, or a reason for none.

usage: catalog_coverage.py SOURCES BUILD_DIR
"""
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path


def load_merge():
    spec = importlib.util.spec_from_file_location("merge", "pricing/merge.py")
    merge = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(merge)
    return merge


def catalogue_names():
    """provider -> every name that resolves, and the bases of its dated rules."""
    names, dated = {}, {}
    for m in json.load(open("pricing/catalog.json"))["models"]:
        own = [m["id"], *m.get("alias", []), *m.get("fine_tuned", [])]
        names.setdefault(m["provider"], set()).update(n.lower() for n in own)
        dated.setdefault(m["provider"], set()).update(n.lower() for n in m.get("dated", []))
    return names, dated


def rows_of_sources(sources, providers):
    """(provider, the row's own name, the name at the provider) of all that the sources have."""
    genai = {p["id"]: p for p in json.load(open(sources / "genai-prices-v2.json"))}
    litellm = json.load(open(sources / "litellm-model_prices_and_context_window.json"))
    for provider, genai_id, vendors, prefixes, _ in providers:
        for row in genai[genai_id]["models"] if genai_id else []:
            yield provider, row["id"], row["id"].rstrip("-")
        for key, row in litellm.items():
            if not isinstance(row, dict) or row.get("litellm_provider") not in vendors:
                continue
            name = key
            for prefix in prefixes:
                name = name.removeprefix(prefix)
            yield provider, key, name


def left_out(report):
    """The (provider, name) of the report's rows that say: this made no row."""
    section = report.split("\n## Left out\n")[1].split("\n## ")[0]
    notes = [line for line in report.split("\n## Notes\n")[1].splitlines()
             if "| not in the catalogue |" in line]
    return {tuple(cell.strip() for cell in line.split("|")[1:3])
            for line in section.splitlines() + notes if line.startswith("| ")}


def main():
    sources, build = Path(sys.argv[1]), sys.argv[2]
    names, dated = catalogue_names()
    report = Path("pricing/merge-report.md").read_text()
    left, missing, seen = left_out(report), [], 0
    providers = load_merge().PROVIDERS
    for provider, row, name in rows_of_sources(sources, providers):
        base = re.sub(r"([-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4})|-v1:0)$", "", name.lower())
        seen += 1
        if (name.lower() not in names[provider] and base not in dated[provider]
                and not {(provider, row), (provider, name)} & left):
            missing.append(f"{provider}/{row}")
    print(f"= {seen} rows of {len(providers)} providers, {len(missing)} without a place")
    if seen < 2000:
        missing.append(f"only {seen} rows were read")
    print(f"FAIL catalog_coverage: {missing[:10]}" if missing else "ok catalog_coverage")

    listed = subprocess.run([build + "/tolltap", "prices", "list", "--output=csv"], check=True,
                            capture_output=True, text=True, errors="replace").stdout
    priced = {line.split(",")[0] for line in listed.splitlines()[1:]}
    known = {m for path in Path("agent/providers").glob("*.c")
             for m in re.findall(r'(?:\.name = |COMPAT\()"([\w.]+)"', path.read_text())}
    lost = sorted(p for p in known - priced if f"| {p} | " not in report)
    print(f"FAIL catalog_providers: no prices and no reason: {lost}" if lost or len(known) < 20
          else "ok catalog_providers")
    return 1 if missing or lost else 0


if __name__ == "__main__":
    sys.exit(main())
