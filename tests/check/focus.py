#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a FOCUS CSV: the columns of FOCUS 1.2 that must be there, their types, where they may be
null, which values they allow, that quantity times price is the cost, that a charge is there once,
and that the costs sum to what is expected. Prints what is wrong and exits 1.
usage: focus.py FILE EFFECTIVE [LIST]"""
import csv
import json
import re
import sys
from decimal import Decimal, getcontext

getcontext().prec = 60  # more digits than any product here

# The specification's own lists. Mandatory columns, and those that may be null.
MANDATORY = """BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd
BillingPeriodStart ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart
ContractedCost EffectiveCost InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName
PublisherName ServiceCategory ServiceName""".split()
RECOMMENDED = "ChargeFrequency InvoiceId ServiceSubcategory".split()
CONDITIONAL = """ConsumedQuantity ConsumedUnit ContractedUnitPrice ListUnitPrice PricingCategory
RegionId RegionName ResourceId ResourceName ResourceType SkuId SkuMeter SkuPriceId SubAccountId
SubAccountName Tags""".split()
NULLABLE = {"BillingAccountName", "ChargeClass", "InvoiceId", "RegionId", "RegionName",
            "SubAccountId", "SubAccountName", "x_UnpricedReason", "x_ServiceTier", "x_Api",
            "x_Operation", "x_PricesSha256", "x_Host"}
# Null where no price is known, and in corrections, which change a price and no quantity.
PRICES = {"ListUnitPrice", "ContractedUnitPrice"}
QUANTITIES = {"PricingQuantity", "PricingUnit", "ConsumedQuantity", "ConsumedUnit"}
COSTS = "BilledCost ContractedCost EffectiveCost ListCost".split()
DECIMAL = set(COSTS) | PRICES | {"PricingQuantity", "ConsumedQuantity"}
TIMES = {"BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"}
VALUES = {
    "BillingCurrency": {"USD"},
    "ChargeCategory": {"Usage"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"Usage-Based"},
    "PricingCategory": {"Standard", "Other"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {"Generative AI"},
    "x_CostState": {"exact", "at_least", "estimated", "unknown"},
}
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:00:00Z$")
UNIT = re.compile(r"([1-9][0-9]* )?[A-Z][a-z]+$")


def may_be_null(row, column):
    if column in NULLABLE:
        return True
    correction = row["ChargeClass"] == "Correction"
    if column in PRICES:
        return correction or row["x_CostState"] == "unknown" or \
            row["x_Basis"] == "provider_reported"
    return column in QUANTITIES and correction


def check_cell(row, column):
    value = row[column]
    if value == "":
        if not may_be_null(row, column):
            yield "%s is null" % column
        return
    if column in VALUES and value not in VALUES[column]:
        yield "%s: %r is no value of it" % (column, value)
    if column in DECIMAL and not NUMBER.match(value):
        yield "%s: %r is no plain decimal" % (column, value)
    if column in TIMES and not TIME.match(value):
        yield "%s: %r is no time" % (column, value)
    if column.endswith("Unit") and not UNIT.match(value):
        yield "%s: %r is no unit" % (column, value)
    if column == "Tags":
        tags = json.loads(value)
        if not all(isinstance(v, (str, bool, int)) for v in tags.values()):
            yield "Tags: %r has a value that is none" % value


def check_row(row):
    for column in row:
        yield from check_cell(row, column)
    for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        if row[price] and Decimal(row[price]) * Decimal(row["PricingQuantity"]) != Decimal(row[cost]):
            yield "%s x PricingQuantity is not %s" % (price, cost)
    if row["SubAccountId"] != row["SubAccountName"] or row["RegionId"] != row["RegionName"]:
        yield "a name without its id"
    if row["x_CostState"] == "unknown" and Decimal(row["EffectiveCost"]):
        yield "a cost that is not known"
    if row["x_BillingMode"] == "subscription" and Decimal(row["EffectiveCost"]):
        yield "a subscription's call has a cost"
    if Decimal(row["BilledCost"]):
        yield "a billed cost before any bill"


def main(path, effective, listed=None):
    with open(path, newline="") as f:
        reader = csv.DictReader(f)
        header = list(reader.fieldnames)
        rows = list(reader)
    wrong = ["no column %s" % c for c in MANDATORY + RECOMMENDED + CONDITIONAL if c not in header]
    own = [c.startswith("x_") for c in header]
    if own != sorted(own):
        wrong.append("own columns stand among those of FOCUS")
    if len(set(header)) != len(header):
        wrong.append("a column twice")
    charges, skus = set(), {}
    measures = set(COSTS) | QUANTITIES
    for number, row in enumerate(rows, 2):
        wrong += ["line %d: %s" % (number, w) for w in check_row(row)]
        key = tuple(v for c, v in row.items() if c not in measures)
        if key in charges:
            wrong.append("line %d: this charge is there twice" % number)
        charges.add(key)
        if skus.setdefault(row["SkuPriceId"], row["SkuId"]) != row["SkuId"]:
            wrong.append("line %d: a price of two SKUs" % number)
    for column, expected in (("EffectiveCost", effective), ("ListCost", listed)):
        total = sum((Decimal(r[column]) for r in rows), Decimal(0))
        if expected is not None and total != Decimal(expected):
            wrong.append("%s sums to %s, not %s" % (column, total, expected))
    for line in wrong[:20]:
        print(line)
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
