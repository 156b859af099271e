#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what was metered with the provider's books, to the token and the picodollar.

    compare.py --truth FILE --events FILE --catalog FILE [--output table|json] [--tag KEY=VALUE]

The expected cost is worked out here from the provider's own counts and the catalogue's decimal
prices with Python's Decimal: a second, independent path beside Tolltap's. Exits 0 when every call
of the books is one row that agrees and no row is left over. With --tag, rows of other programs on
this host, which carry no such tag, do not count as left over.
"""
import argparse
import json
import re
import sys
from datetime import datetime, timezone
from decimal import Decimal

PRICE_OF = {  # disjoint kind: catalogue prices, the first present one counts
    "input_uncached": ("input",),
    "input_cache_read": ("cache_read", "input"),
    "input_cache_write_5m": ("cache_write_5m",),
    "input_cache_write_1h": ("cache_write_1h",),
    "input_audio": ("input_audio",),
    "output_text": ("output",),
    "output_reasoning": ("reasoning", "output"),
    "output_audio": ("output_audio",),
}
SAME = ("provider", "api", "operation", "model_requested", "model", "stream", "status", "outcome",
        "basis", "host", "response_id", "tokens")


def load_lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def names_model(catalog, row, model):
    """True when the row is the model's: its name, a listed alias, or a listed name and a date."""
    if row["id"] == model or model in row.get("alias", []):
        return True
    provider = next((p for p in catalog.get("providers", [])
                     if p["provider"] == row["provider"]), {})
    for suffix in provider.get("dated_suffixes", []):
        pattern = re.escape(suffix).replace("YYYY", r"\d{4}").replace("MM", r"\d\d").replace(
            "DD", r"\d\d")
        if any(re.fullmatch(re.escape(name) + pattern, model) for name in row.get("dated", [])):
            return True
    return False


def prices_for(catalog, provider, model):
    """The prices in force now; an exact name comes before a dated one."""
    today = datetime.now(timezone.utc).isoformat()
    rows = [r for r in catalog["models"] if r["provider"] == provider]
    rows.sort(key=lambda row: row["id"] != model and model not in row.get("alias", []))
    for row in rows:
        if names_model(catalog, row, model):
            for period in row["periods"]:
                if (period["from"] or "") <= today and (not period["to"] or today < period["to"]):
                    return period
    return None


def expected_pusd(catalog, truth):
    """Picodollars as an exact integer, or None when the call has no price."""
    if truth["basis"] == "not_billed":
        return 0
    if truth["tokens"] is None:
        return None
    period = prices_for(catalog, truth["provider"], truth["model"])
    if not period:
        return None
    table = period["prices"]
    prompt = sum(n for kind, n in truth["tokens"].items() if kind.startswith("input_"))
    for tier in period.get("above", []):
        if prompt > tier["tokens"]:
            table = {**table, **tier["prices"]}
    total = Decimal(0)
    for kind, count in truth["tokens"].items():
        price = next((table[name] for name in PRICE_OF[kind] if name in table), None)
        if price is None:
            return None
        total += Decimal(price) * count * 10 ** 6  # USD per 10^6 tokens -> 10^-12 USD per token
    if total != total.to_integral_value():
        raise ValueError(f"{truth['model']}: cost is not a whole number of picodollars")
    return int(total)


def dollars(pusd):
    if pusd is None:
        return "none"
    text = f"{Decimal(pusd) / 10 ** 12:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def total_tokens(tokens):
    return "unknown" if tokens is None else str(sum(tokens.values()))


def judge(catalog, truth, found):
    """One comparison: (row to print, list of differences)."""
    want_cost = expected_pusd(catalog, truth)
    event = found[0] if found else {}
    differences = []
    if len(found) != 1:
        differences.append(f"{len(found)} rows instead of 1")
    else:
        differences += [f"{key}: {event.get(key)!r} instead of {truth[key]!r}" for key in SAME
                        if event.get(key) != truth[key]]
        if event.get("cost_pusd") != want_cost:
            differences.append(f"cost_pusd: {event.get('cost_pusd')} instead of {want_cost}")
    return {"request_id": truth["request_id"],
            "comm": event.get("workload", {}).get("comm", "-"), "api": truth["api"],
            "model": truth["model"], "stream": truth["stream"],
            "tokens": event.get("tokens"), "tokens_true": truth["tokens"],
            "cost_pusd": event.get("cost_pusd"), "cost_pusd_true": want_cost,
            "agree": not differences, "differences": differences}


def has_tag(event, tag):
    key, _, value = (tag or "").partition("=")
    return not tag or (event.get("tags") or {}).get(key) == value


def print_table(rows, spare):
    head = ("COMMAND", "API", "MODEL", "TOKENS", "PROVIDER SAYS", "COST USD", "EXPECTED", "")
    lines = [(r["comm"], r["api"] + (" (stream)" if r["stream"] else ""), r["model"],
              total_tokens(r["tokens"]), total_tokens(r["tokens_true"]),
              dollars(r["cost_pusd"]), dollars(r["cost_pusd_true"]),
              "agrees" if r["agree"] else "DIFFERS") for r in rows]
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    for line in (head, *lines):
        print("  ".join(text.rjust(w) if 3 <= i <= 6 else text.ljust(w)
                        for i, (text, w) in enumerate(zip(line, widths))).rstrip())
    for row in rows:
        for difference in row["differences"]:
            print(f"  {row['request_id']}: {difference}")
    for event in spare:
        print(f"  row without a call in the books: {event.get('request_id')}")
    good = sum(row["agree"] for row in rows)
    metered = sum(row["cost_pusd"] or 0 for row in rows)
    wanted = sum(row["cost_pusd_true"] or 0 for row in rows)
    print(f"\n{good} of {len(rows)} calls agree; metered {dollars(metered)} USD, "
          f"the provider's books say {dollars(wanted)} USD")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name in ("truth", "events", "catalog"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--output", choices=("table", "json"), default="table")
    parser.add_argument("--tag", help="only rows with this tag can be left over")
    args = parser.parse_args()
    with open(args.catalog, encoding="utf-8") as f:
        catalog = json.load(f)
    truth = [row for row in load_lines(args.truth) if row["row"]]
    events = load_lines(args.events)
    rows = [judge(catalog, t, [e for e in events if e.get("request_id") == t["request_id"]])
            for t in truth]
    known = {t["request_id"] for t in truth}
    spare = [e for e in events if e.get("request_id") not in known and has_tag(e, args.tag)]
    agree = bool(rows) and not spare and all(row["agree"] for row in rows)
    if args.output == "json":
        print(json.dumps({"agree": agree, "calls": rows, "rows_without_call": len(spare)}))
    else:
        print_table(rows, spare)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
