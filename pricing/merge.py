#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes catalog.json from the public price tables.

Identity, names, history and context tiers come from genai-prices; service tiers, one-hour cache
writes, tool fees and regional multipliers from LiteLLM; Langfuse is a third opinion. Two sources
that differ by more than BOUND on one price are a disagreement: it goes into the report, and unless
decisions.json says which source wins, and why, nothing is written and the exit code is 1.

Re-runnable: the same inputs give the same bytes. Prices are never floats, from source to output.
"""
import argparse
import fnmatch
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOUND = Decimal("0.01")  # relative difference that counts as rounding

# catalogue provider, genai-prices id, LiteLLM providers, LiteLLM key prefixes, dated suffix forms.
# One row per provider; adding one is adding a row.
PROVIDERS = [
    ("anthropic", "anthropic", ["anthropic"], ["anthropic/"], ["-YYYYMMDD", "@YYYYMMDD"]),
    ("aws.bedrock", "aws", ["bedrock", "bedrock_converse", "bedrock_mantle"],
     ["bedrock/", "bedrock_mantle/"], ["-v1:0"]),
    ("azure.ai.openai", "azure", ["azure", "azure_ai", "azure_text"], ["azure/", "azure_ai/"],
     ["-YYYY-MM-DD", "-YYYYMMDD"]),
    ("cerebras", "cerebras", ["cerebras"], ["cerebras/"], []),
    ("cohere", "cohere", ["cohere", "cohere_chat"], ["cohere/"], []),
    ("deepinfra", None, ["deepinfra"], ["deepinfra/"], []),
    ("deepseek", "deepseek", ["deepseek"], ["deepseek/"], ["-YYYYMMDD", "-MMDD"]),
    ("fireworks_ai", "fireworks", ["fireworks_ai", "fireworks_ai-embedding-models"],
     ["fireworks_ai/"], []),
    ("gcp.gemini", "google", ["gemini"], ["gemini/"], []),
    ("gcp.vertex_ai", "google",
     ["vertex_ai-language-models", "vertex_ai-anthropic_models", "vertex_ai-embedding-models",
      "vertex_ai", "vertex_ai-ai21_models", "vertex_ai-deepseek_models", "vertex_ai-image-models",
      "vertex_ai-llama_models", "vertex_ai-minimax_models", "vertex_ai-mistral_models",
      "vertex_ai-moonshot_models", "vertex_ai-openai_models", "vertex_ai-qwen_models",
      "vertex_ai-text-models", "vertex_ai-video-models", "vertex_ai-zai_models"],
     ["vertex_ai/"], ["-YYYYMMDD", "@YYYYMMDD"]),
    ("groq", "groq", ["groq"], ["groq/"], []),
    ("minimax", "minimax", ["minimax"], ["minimax/"], []),
    ("mistral_ai", "mistral", ["mistral", "codestral", "text-completion-codestral"],
     ["mistral/", "codestral/", "text-completion-codestral/"], ["-YYMM"]),
    ("moonshotai", "moonshotai", ["moonshot"], ["moonshot/"], []),
    ("nebius", None, ["nebius"], ["nebius/"], []),
    ("novita", "novita", ["novita"], ["novita/"], []),
    ("openai", "openai", ["openai", "text-completion-openai"], ["openai/"], ["-YYYY-MM-DD"]),
    ("openrouter", "openrouter", ["openrouter"], ["openrouter/"], ["-YYYYMMDD"]),
    ("perplexity", "perplexity", ["perplexity"], ["perplexity/"], []),
    ("sambanova", None, ["sambanova"], ["sambanova/"], []),
    ("together_ai", "together", ["together_ai"], ["together_ai/"], []),
    ("vercel", None, ["vercel_ai_gateway"], ["vercel_ai_gateway/"], []),
    ("voyage_ai", "voyageai", ["voyage"], ["voyage/"], []),
    ("x_ai", "x-ai", ["xai"], ["xai/"], ["-YYYYMMDD", "-MMDD"]),
    ("zai", "zai", ["zai"], ["zai/"], []),
]

TOKENS = "1000000 tokens"
# Our price kinds with the unit each price is for (kinds.c holds the same table), the key of
# genai-prices, the key of LiteLLM, and what one LiteLLM unit times this gives ours.
KINDS = {
    "input": (TOKENS, "input_mtok", "input_cost_per_token"),
    "cache_read": (TOKENS, "cache_read_mtok", "cache_read_input_token_cost"),
    "cache_write_5m": (TOKENS, "cache_write_mtok", "cache_creation_input_token_cost"),
    "cache_write_1h": (TOKENS, "cache_write_1h_mtok",
                       "cache_creation_input_token_cost_above_1hr"),
    "input_audio": (TOKENS, "input_audio_mtok", "input_cost_per_audio_token"),
    "cache_read_audio": (TOKENS, "cache_audio_read_mtok", "cache_read_input_audio_token_cost"),
    "input_image": (TOKENS, "input_image_mtok", "input_cost_per_image_token"),
    "cache_read_image": (TOKENS, "cache_image_read_mtok", None),
    "input_video": (TOKENS, "input_video_mtok", None),
    "output": (TOKENS, "output_mtok", "output_cost_per_token"),
    "reasoning": (TOKENS, "output_reasoning_mtok", "output_cost_per_reasoning_token"),
    "citation": (TOKENS, "output_citation_mtok", "citation_cost_per_token"),
    "output_audio": (TOKENS, "output_audio_mtok", "output_cost_per_audio_token"),
    "output_image": (TOKENS, "output_image_mtok", "output_cost_per_image_token"),
    "output_video": (TOKENS, "output_video_mtok", None),
    "web_search": ("1000 calls", "web_searches_kcount", None),
    "file_search": ("1000 calls", "storage_searches_kcount", None),
    "code_interpreter": ("1000 sessions", None, "code_interpreter_cost_per_session"),
    "image": ("1000 images", None, "output_cost_per_image"),
    "image_input": ("1000 images", None, "input_cost_per_image"),
    "audio_input": ("3600 seconds", "input_audio_hours", "input_cost_per_second"),
    "audio_output": ("3600 seconds", None, "output_cost_per_second"),
    "video_input": ("3600 seconds", None, "input_cost_per_video_per_second"),
    "video_output": ("3600 seconds", None, "output_cost_per_video_per_second"),
    "character": ("1000000 characters", "input_mchars", "input_cost_per_character"),
    "page": ("1000 pages", "input_document_kpages", "ocr_cost_per_page"),
    "search_unit": ("1000 units", "rerank_searches_kcount", "input_cost_per_query"),
    "request": ("1000 calls", "requests_kcount", "input_cost_per_request"),
    "duration": ("3600 seconds", None, None),
}
TOKEN_KINDS = [k for k, v in KINDS.items() if v[0] == TOKENS]
OUTPUT_KINDS = ("output", "reasoning", "citation", "output_audio", "output_image", "output_video")
GENAI_KEYS = {v[1]: k for k, v in KINDS.items() if v[1]} | {"audio_hours": "audio_input"}
LITELLM_KEYS = {v[2]: k for k, v in KINDS.items() if v[2]}
LITELLM_KEYS["input_cost_per_token_cache_hit"] = "cache_read"
TIER_RATIOS = (Decimal("0.25"), Decimal(4))  # a service tier outside is a slip of the source
LEAST = Decimal("0.0001")  # as in lint.c and kinds.c
MOST = {None: 2000, "web_search": 200, "file_search": 200, "image": 5000, "audio_input": 100,
        "page": 500, "search_unit": 200, "duration": 5000, "image_input": 5000,
        "audio_output": 100, "video_input": 10000, "video_output": 10000}
TIER_SUFFIX = {"batches": "batch", "flex": "flex", "priority": "priority",
               "ultrafast": "ultrafast"}
LITELLM_PRICE = re.compile(
    r"^(?P<key>.+?)(?:_above_(?P<above>\d+)k_tokens)?(?:_(?P<tier>batches|flex|priority|ultrafast))?$")
DATED = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")


def text(value):
    """Plain decimal text without exponent or trailing zeros; digits below 1e-8 are float noise."""
    out = format(round(Decimal(value), 8), "f")
    return out.rstrip("0").rstrip(".") if "." in out else out


def differ(a, b):
    return a != b and abs(a - b) / max(abs(a), abs(b)) > BOUND


def load(path):
    return json.loads(path.read_text(), parse_float=Decimal, parse_int=Decimal)


def per(kind):
    return Decimal(KINDS[kind][0].split()[0])


class Sheet:
    """Prices of one service tier: base kinds, and the context tiers {threshold: {kind: price}}."""

    def __init__(self):
        self.base = {}
        self.above = {}

    def at(self, above):
        return self.base if above is None else self.above.setdefault(above, {})

    def json(self, inclusive):
        out = {"prices": price_map(self.base)}
        if self.above:
            out["above"] = [
                {"tokens": int(n)} | ({"inclusive": True} if inclusive else {})
                | {"prices": price_map(self.above[n])} for n in sorted(self.above)]
        return out


def price_map(prices):
    return {k: text(prices[k]) for k in KINDS if k in prices}


class Period:
    def __init__(self, start=None):
        self.start, self.end, self.daily = start, None, None
        self.sheet = Sheet()
        self.factors = {}      # service tier -> factor over the standard sheet
        self.tiers = {}        # service tier -> Sheet
        self.multipliers = []
        self.source, self.checked = [], None

    def price(self, kind, tier, above, speed):
        """What a kind costs in a service tier, above a threshold and at a speed, or None."""
        sheet, factor = self.tiers.get(tier, self.sheet), self.factors.get(tier, Decimal(1))
        if tier and tier not in self.tiers and tier not in self.factors:
            return None
        price = sheet.base.get(kind)
        for threshold in [n for n in sorted(sheet.above) if above and n <= above]:
            price = sheet.above[threshold].get(kind, price)
        for rule in self.multipliers:
            if rule["by"] == "speed" and rule["value"] == speed:
                factor *= Decimal(rule["factor"])
        return None if price is None else price * factor

    def settle(self, kind, tier, above, price):
        """Puts a price where it stands: into a sheet, or into the factor of a tier without one."""
        if tier and tier not in self.tiers:
            self.factors[tier] = price / self.sheet.base[kind]
        else:
            self.tiers.get(tier, self.sheet).at(above)[kind] = price

    def json(self, inclusive):
        out = {"from": self.start, "to": self.end} | self.sheet.json(inclusive)
        if self.factors or self.tiers:
            out["tiers"] = {
                name: {"factor": text(self.factors[name])} if name in self.factors
                else self.tiers[name].json(inclusive)
                for name in sorted(self.factors.keys() | self.tiers.keys())}
        if self.multipliers:
            out["multipliers"] = self.multipliers
        return out | {"source": "+".join(self.source), "checked": self.checked}


class Model:
    def __init__(self, provider, name):
        self.provider, self.id = provider, name
        self.exact, self.alias, self.dated, self.fine_tuned = {name}, set(), set(), set()
        self.periods = []

    def at(self, date):
        """The period in force on a day: sources are compared on their own day."""
        return next((p for p in self.periods if (p.start or "") <= date < (p.end or "9")),
                    self.periods[-1])

    def json(self, inclusive):
        out = {"provider": self.provider, "id": self.id}
        for key, names in (("alias", (self.exact | self.alias) - {self.id}),
                           ("dated", self.dated), ("fine_tuned", self.fine_tuned)):
            if names:
                out[key] = sorted(names)
        return out | {"periods": [p.json(inclusive) for p in self.periods]}


# --- genai-prices ---------------------------------------------------------------------------

def genai_names(model, rule):
    """Turns the source's match rule into exact names and anchored dated bases, never substrings."""
    for op, value in rule.items():
        if op in ("or", "and"):
            for sub in value:
                genai_names(model, sub)
        elif op == "equals":
            model.exact.add(value)
        elif op == "regex":
            base = re.match(r"^\^(.*?)-\\d\{[48]\}(?:-\\d\{2\}-\\d\{2\})?\$$", value)
            if base:
                model.dated.add(base.group(1).replace("\\", ""))
        elif value.startswith("ft:"):
            model.fine_tuned.add(value)
        else:
            base = re.sub(r"([-@](20\d\d)?-?)$", "", value)
            model.alias.add(base)
            model.dated.add(base)


def genai_sheet(prices):
    sheet = Sheet()
    for key, value in prices.items():
        kind = GENAI_KEYS[key]
        if isinstance(value, dict):
            sheet.base[kind] = value["base"]
            for tier in value["tiers"]:
                sheet.at(int(tier["start"]))[kind] = tier["price"]
        else:
            sheet.base[kind] = value
    return sheet


def genai_periods(model, prices, checked, source, decisions, report):
    for entry in prices if isinstance(prices, list) else [{"prices": prices}]:
        constraint = entry.get("constraint", {})
        if "start_time" in constraint:
            report.note(model, "time-of-day price left out", decisions.reason(model, "time_of_day"))
            continue
        start = constraint.get("start_date")
        if start and decisions.refuses(model, start):
            report.note(model, f"price from {start} refused", decisions.refuses(model, start))
            continue
        if start and start > decisions.sources["genai-prices"]["date"]:
            report.future(model, start, decisions.confirms(model, start))
        period = Period(start)
        period.sheet = genai_sheet(entry["prices"])
        period.source, period.checked = [source], checked
        if model.periods:
            model.periods[-1].end = start
        model.periods.append(period)


def read_checked(folder):
    """(provider file, model id) -> prices_checked; a line scan, the files are regular."""
    out = {}
    for path in sorted(folder.glob("*.yml")):
        model = None
        for line in path.read_text().splitlines():
            found = re.match(r"^  - id: ['\"]?(.+?)['\"]?$", line)
            if found:
                model = found.group(1)
            found = re.match(r"^\s+prices_checked: ['\"]?(\d{4}-\d{2}-\d{2})", line)
            if found and model:
                out[path.stem.replace("_", "-"), model] = found.group(1)
    return out


def read_genai(source, decisions, report):
    data = {p["id"]: p for p in load(source / "genai-prices-v2.json")}
    checked = read_checked(source / "genai-prices-providers")
    stamp = decisions.sources["genai-prices"]
    models = {}
    for provider, genai_id, _, _, _ in PROVIDERS:
        for row in data[genai_id]["models"] if genai_id else []:
            if not row["prices"]:
                report.leave(provider, row["id"], "genai-prices", "no price in the source")
                continue
            model = Model(provider, row["id"].rstrip("-"))
            genai_names(model, row["match"])
            genai_periods(model, row["prices"], checked.get((genai_id, row["id"]), stamp["date"]),
                          stamp["id"], decisions, report)
            models[provider, model.id] = model
    return models


# --- LiteLLM --------------------------------------------------------------------------------

def litellm_sheets(row):
    """Service tier ("" = standard) -> Sheet."""
    sheets = {"": Sheet()}
    for key, value in row.items():
        if not isinstance(value, Decimal):
            continue
        found = LITELLM_PRICE.match(key)
        kind = litellm_kind(row, LITELLM_KEYS.get(key) or LITELLM_KEYS.get(found["key"]))
        if not kind:
            continue
        if key in LITELLM_KEYS:
            above, tier = None, ""
        else:
            above = int(found["above"]) * 1000 if found["above"] else None
            tier = TIER_SUFFIX.get(found["tier"], "")
        if not is_slip(kind, value):
            sheets.setdefault(tier, Sheet()).at(above)[kind] = value * per(kind)
    fee = row.get("search_context_cost_per_query", {}).get("search_context_size_medium")
    if fee and row["litellm_provider"] != "perplexity":  # there it is the fee of each request
        sheets[""].base["web_search"] = fee * per("web_search")
    for sheet in sheets.values():  # an absent price is told by absence, not by 0
        for prices in [sheet.base, *sheet.above.values()]:
            for kind in [k for k, v in prices.items() if v == 0]:
                del prices[kind]
    return sheets


def is_slip(kind, value):
    """The source's price per image of some models is their price per token of an image."""
    return kind == "image_input" and value < Decimal("0.00001")


def litellm_kind(row, kind):
    """What a key is the price of: some mean another thing by the model's mode."""
    mode = row.get("mode")
    if kind == "image_input" and mode in ("image_generation", "image_edit"):
        return "image"
    if kind == "audio_output" and mode == "video_generation":
        return "video_output"
    if kind == "audio_output" and mode != "audio_speech":
        return None
    if kind == "audio_input" and row.get("input_cost_per_token"):
        return None
    return kind


def litellm_multipliers(row):
    out = []
    extra = row.get("provider_specific_entry", {})
    for by, value, factor, apart in (
            ("inference_geo", "us", extra.get("us"), None),
            ("speed", "fast", extra.get("fast"), "batch"),
            ("host", "us.api.openai.com", row.get("regional_processing_uplift_multiplier_us"), None),
            ("host", "eu.api.openai.com", row.get("regional_processing_uplift_multiplier_eu"), None)):
        if factor and factor != 1:
            rule = {"by": by, "value": value, "factor": text(factor)}
            out.append(rule | ({"not_with": apart} if apart else {}))
    return out


def tier_fault(tier, standard):
    if tier.base.items() <= standard.base.items():
        return "a copy of the standard price"
    for lead in ("input", "output"):
        if lead in standard.base and lead not in tier.base:
            return f"no {lead} price"
    for kind in [k for k in KINDS if k in tier.base and k in standard.base]:
        ratio = tier.base[kind] / standard.base[kind]
        if not TIER_RATIOS[0] <= ratio <= TIER_RATIOS[1]:
            return f"{kind} is {text(ratio)} times the standard price"
    return None


def uniform_factor(tier, standard):
    """The one ratio of all prices of a tier to the standard sheet, or None."""
    if tier.above or not tier.base.keys() <= standard.base.keys():
        return None
    ratios = {price / standard.base[kind] for kind, price in tier.base.items()}
    return ratios.pop() if len(ratios) == 1 else None


def fill_by_ratio(prices, standard):
    """Adds the token kinds a tier leaves out, by its own ratio to standard on input or output."""
    added = []
    for kind in [k for k in TOKEN_KINDS if k in standard and k not in prices]:
        lead = "output" if kind in OUTPUT_KINDS else "input"
        if lead in prices and standard.get(lead):
            prices[kind] = standard[kind] * prices[lead] / standard[lead]
            added.append(kind)
    return added


def complete_tier(tier, standard):
    """Fills what the source leaves out of a service tier, its context tiers included."""
    fill_by_ratio(tier.base, standard.base)
    for above, prices in standard.above.items():
        for kind, price in prices.items():
            if kind in tier.base and standard.base.get(kind):
                tier.at(above).setdefault(kind, tier.base[kind] * price / standard.base[kind])


def supplement(model, name, row, decisions, report):
    """Adds what only LiteLLM knows to the periods of a model; fees only under its own id."""
    stamp = decisions.sources["litellm"]
    sheets = litellm_sheets(row)
    standard = sheets.pop("")
    for period in model.periods:
        same = all(not differ(period.sheet.base[k], standard.base[k])
                   for k in ("input", "output") if k in period.sheet.base and k in standard.base)
        if stamp["id"] not in period.source:
            period.source.append(stamp["id"])
        period.multipliers = period.multipliers or litellm_multipliers(row)
        if same:
            for kind, price in standard.base.items():
                if kind in TOKEN_KINDS or name == model.id:
                    period.sheet.base.setdefault(kind, price)
            if standard.above and not period.sheet.above and len(model.periods) == 1:
                refused = decisions.refuses_tiers(model)
                if not refused and period.source[0] != stamp["id"]:
                    report.note(model, f"context tiers {sorted(standard.above)} added",
                                "LiteLLM only")
                if refused:
                    report.note(model, f"context tiers {sorted(standard.above)} refused", refused)
                else:
                    period.sheet.above = {n: dict(p) for n, p in standard.above.items()}
        for name, tier in sheets.items():
            wrong = tier_fault(tier, standard)
            if wrong:
                report.note(model, f"tier {name} refused", wrong)
                continue
            factor = uniform_factor(tier, standard)
            if factor is not None and factor == round(factor, 6):
                period.factors.setdefault(name, factor)
            elif same and name not in period.factors:
                own = Sheet()
                own.base = dict(tier.base)
                own.above = {n: dict(p) for n, p in tier.above.items()}
                complete_tier(own, period.sheet)
                period.tiers.setdefault(name, own)
            else:
                report.note(model, f"tier {name} left out of the period from {period.start}",
                            "its ratios differ by kind and belong to another standard price")


def litellm_model(provider, name, row, stamp):
    model = Model(provider, name)
    period = Period()
    period.sheet = litellm_sheets(row)[""]
    period.checked = stamp["date"]
    model.periods = [period]
    return model


def litellm_name(provider, key, row, prefixes, report):
    """The model's name at the provider, or None with the reason in the report."""
    name = key
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    why = None
    if "-month-commitment/" in name:
        why = "provisioned throughput is paid by the hour, whatever is called"
    elif provider == "aws.bedrock" and name.startswith("invoke/"):
        why = "another way to a model that has its row"
    elif any(v for k, v in row.items() if "_per_pixel" in k) and not any(
            v for k, v in row.items() if k.endswith("_per_image")):
        why = "priced by the pixel, of a size that no call tells"
    if why:
        report.leave(provider, key, "LiteLLM", why)
    return None if why else name


def litellm_rows(data, provider, names, prefixes, report):
    for key in sorted(data):
        row = data[key]
        if not isinstance(row, dict) or row.get("litellm_provider") not in names:
            continue
        report.fields(row)
        name = litellm_name(provider, key, row, prefixes, report)
        if name:
            yield key, name, row


def region_fault(data, owner, row, name):
    """Why a price of one region is not told apart from the price without a region, or None."""
    region, _, plain = name.partition("/")
    if not re.match(r"^[a-z]{2}(-[a-z]+)+-\d$", region):
        return None
    mine, model = litellm_sheets(row)[""].base, owner.get(plain.lower())
    base = litellm_sheets(data[plain])[""].base if plain in data else {}
    if base == mine:
        return "the price without a region is the same"
    ours = model.periods[-1].sheet.base if model else {}
    if any(differ(ours[k], base[k]) for k in base.keys() & ours.keys()):
        return "of a model whose price without a region was decided against this source"
    return None


def join_litellm(models, source, decisions, report):
    data = load(source / "litellm-model_prices_and_context_window.json")
    stamp = decisions.sources["litellm"]
    for provider, _, names, prefixes, _ in PROVIDERS:
        owner = {n.lower(): m for m in own(models, provider) for n in m.alias | m.exact}
        owner |= {m.id.lower(): m for m in own(models, provider)}
        for key, name, row in sorted(litellm_rows(data, provider, names, prefixes, report),
                                     key=lambda item: ((provider, item[1]) not in models,
                                                       item[1])):
            base = litellm_sheets(row)[""].base
            if not base:
                report.leave(provider, key, "LiteLLM", "no price in the source, or 0 only")
                continue
            fault = provider == "aws.bedrock" and region_fault(data, owner, row, name)
            if fault:
                report.leave(provider, key, "LiteLLM", fault)
                continue
            model = owner.get(name.lower()) or snapshot_owner(owner, name, base)
            if not model and provider == "aws.bedrock":  # its first version, named in full
                model = owner.get(name.lower().removesuffix("-v1:0"))
            if model is None:
                model = litellm_model(provider, name, row, stamp)
                models[provider, model.id] = owner[name.lower()] = model
            elif model.periods[0].source and (
                    has_own_fee(model, name, base)
                    or not agreed(model, name, base, decisions, report)):
                model = split_off(models, model, litellm_model(provider, name, row, stamp))
                owner |= {n.lower(): model for n in model.exact | model.alias}
            elif model.periods[0].source:
                compare_contexts(model, name, litellm_sheets(row)[""], decisions, report)
            supplement(model, name, row, decisions, report)


def split_off(models, model, split):
    """Makes split the owner of its own name and that name's snapshots; returns it."""
    name = split.id
    if model.id.lower() == name.lower():
        del models[model.provider, model.id]
        split.exact, split.alias = model.exact | {name}, set(model.alias)
        split.dated, split.fine_tuned = set(model.dated), set(model.fine_tuned)
    else:
        split.exact |= {n for n in model.exact | model.alias
                        if n.startswith(name) and DATED.fullmatch(n[len(name):])}
        model.exact -= split.exact
        model.alias -= split.exact
    models[split.provider, name] = split
    return split


def has_own_fee(model, name, base):
    """A search model of a family has its own fee per search: it is not an alias."""
    return (name != model.id and "search" in name and "web_search" in base
            and "web_search" not in model.periods[-1].sheet.base)


def snapshot_owner(owner, name, base):
    """The model whose dated rule covers the name; a snapshot that costs otherwise is its own."""
    found = DATED.search(name)
    model = owner.get(name[:found.start()].lower()) if found else None
    if not model or name[:found.start()] not in model.dated:
        return None
    ours = model.periods[-1].sheet.base
    same = all(not differ(ours[k], base[k])
               for k in base.keys() & ours.keys() & {"input", "output"})
    return model if same else None


def agreed(model, name, base, decisions, report):
    """False when a decision says that LiteLLM's prices stand instead for this name."""
    mine = model.at(decisions.sources["litellm"]["date"]).sheet.base
    keep = True
    for kind in sorted(base.keys() & mine.keys()):
        ours, theirs = mine[kind], base[kind]
        if not differ(ours, theirs):
            continue
        decision = decisions.find(model.provider, name, kind)
        report.disagreement(model.provider, name, kind, ours, "litellm", theirs, decision)
        if decision and decision["winner"] == "litellm":
            keep = False
    return keep


def compare_contexts(model, name, standard, decisions, report):
    """Thresholds that two sources have, and the prices above them."""
    sheet = model.at(decisions.sources["litellm"]["date"]).sheet
    if standard.above and sheet.above and standard.above.keys() != sheet.above.keys():
        decision = decisions.find(model.provider, name, "threshold")
        report.disagreement(model.provider, name, "threshold", min(sheet.above), "litellm",
                            min(standard.above), decision)
    for above in sorted(standard.above.keys() & sheet.above.keys()):
        for kind in sorted(standard.above[above].keys() & sheet.above[above].keys()):
            ours, theirs = sheet.above[above][kind], standard.above[above][kind]
            if differ(ours, theirs):
                report.disagreement(model.provider, name, f"{kind} above {above}", ours, "litellm",
                                    theirs,
                                    decisions.find(model.provider, name, f"{kind} above {above}"))


def own(models, provider):
    return [m for (p, _), m in sorted(models.items()) if p == provider]


# --- Langfuse -------------------------------------------------------------------------------

LANGFUSE_KEYS = {"input": "input", "output": "output", "input_cache_read": "cache_read",
                 "input_cache_creation_1h": "cache_write_1h",
                 "input_cache_creation": "cache_write_5m"}


def adopt_langfuse(models, source, decisions, report):
    """The models that a decision takes from this source, since it alone has them."""
    rows = {row["modelName"]: row for row in load(source / "langfuse-default-model-prices.json")}
    stamp = decisions.sources["langfuse"]
    for decision in decisions.adopted:
        for name in decision["models"]:
            tier = next(t for t in rows[name]["pricingTiers"] if t["isDefault"])
            model, period = Model(decision["provider"], name), Period()
            period.sheet.base = {kind: tier["prices"][key] * per(kind)
                                 for key, kind in LANGFUSE_KEYS.items() if key in tier["prices"]}
            period.source, period.checked = [stamp["id"]], stamp["date"]
            model.periods = [period]
            models[model.provider, model.id] = model
            report.note(model, "added", decision["reason"])


def check_langfuse(models, source, decisions, report):
    owner = {}
    for provider in ("openai", "anthropic", "gcp.gemini"):
        for model in own(models, provider):
            for name in model.alias | model.exact:
                owner.setdefault(name, model)
    for row in load(source / "langfuse-default-model-prices.json"):
        model = owner.get(row["modelName"]) or owner.get(DATED.sub("", row["modelName"]))
        if not model:
            report.leave("-", row["modelName"], "Langfuse", "a cross-check only; its name is not in the other "
                         "sources")
            continue
        report.count("models cross-checked with Langfuse")
        period = model.at(decisions.sources["langfuse"]["date"])
        for tier in row["pricingTiers"]:
            compare_langfuse(model, period, row["modelName"], tier, decisions, report)


def langfuse_tier(tier):
    """(service tier, threshold, speed) of a row's conditions."""
    name, above, speed = "", None, None
    for condition in tier["conditions"]:
        if condition.get("key") == "service_tier":
            name = "flex" if "flex" in condition["values"] else "priority"
        elif condition.get("key") == "speed":
            speed = condition["values"][0]
        else:
            above = int(condition["value"])
    return name, above, speed


def compare_langfuse(model, period, row_name, tier, decisions, report):
    name, above, speed = langfuse_tier(tier)
    label = "".join(f" {part}" for part in (name, speed, above and f"above {above}") if part)
    for key, kind in LANGFUSE_KEYS.items():
        ours = period.price(kind, name, above, speed)
        if key not in tier["prices"] or kind not in period.sheet.base:
            continue
        theirs = tier["prices"][key] * 1000000
        if ours is None:
            report.note(model, f"no price of{label}", "Langfuse alone has one, and is a cross-check")
            return
        if not differ(ours, theirs):
            report.count("prices that Langfuse confirms")
            continue
        decision = decisions.find(model.provider, row_name, kind + label)
        report.disagreement(model.provider, row_name, kind + label, ours, "langfuse", theirs,
                            decision)
        if decision and decision["winner"] == "langfuse":
            period.settle(kind, name, above, theirs)


# --- decisions and report -------------------------------------------------------------------

class Decisions:
    def __init__(self, path):
        data = load(path)
        self.sources = data["sources"]
        self.providers = data["providers"]
        self.rows = data["disagreements"]
        self.refused = data["refused_periods"]
        self.confirmed = data["confirmed_periods"]
        self.refused_tiers = data["refused_context_tiers"]
        self.aliases = data["aliases"]
        self.tiers = data["service_tiers"]
        self.dropped = data["dropped"]
        self.reasons = data["reasons"]
        self.adopted = data["only_in_langfuse"]
        self.without = data["providers_without_prices"]
        self.units = data["fields_without_unit"]

    def find(self, provider, model, kind):
        for row in self.rows:
            if (row["provider"] == provider and kind in row.get("kinds", [kind])
                    and any(fnmatch.fnmatchcase(model, m) for m in row["models"])):
                return row
        return None

    def refuses(self, model, start):
        for row in self.refused:
            if (row["from"] == start and row["model"] == model.id
                    and row["provider"] == model.provider):
                return row["reason"]
        return None

    def confirms(self, model, start):
        return next((row["reason"] for row in self.confirmed
                     if row["from"] == start and model.id in row["models"]
                     and model.provider in row["providers"]), None)

    def refuses_tiers(self, model):
        for row in self.refused_tiers:
            if row["provider"] == model.provider and model.id in row["models"]:
                return row["reason"]
        return None

    def drops(self, model):
        for row in self.dropped:
            if row["provider"] == model.provider and model.id in row["models"]:
                return row["reason"]
        return None

    def unit_reason(self, field):
        return next((why for key, why in self.units.items() if field.startswith(key)),
                    None)

    def reason(self, model, subject):
        return self.reasons[subject]


class Report:
    def __init__(self):
        self.rows, self.notes, self.left, self.counts = [], [], [], {}
        self.unused, self.unresolved = {}, 0

    def leave(self, provider, name, source, why):
        """A row of a source that has no row in the catalogue."""
        self.left.append((provider, name, source, why))

    def fields(self, row):
        """Counts the price fields of LiteLLM that have no unit here."""
        for key, value in row.items():
            found = LITELLM_PRICE.match(key)
            if ("_cost_" in key and isinstance(value, Decimal) and value
                    and key not in LITELLM_KEYS and found["key"] not in LITELLM_KEYS):
                self.unused[key] = self.unused.get(key, 0) + 1
            elif key == "input_cost_per_image" and value and is_slip("image_input", value):
                self.unused[key] = self.unused.get(key, 0) + 1

    def note(self, model, what, why):
        self.notes.append((model.provider, model.id, what, why))

    def future(self, model, start, reason):
        """A price of the future is believed only when a person has confirmed it."""
        self.unresolved += reason is None
        self.note(model, f"price from {start} " + ("confirmed" if reason else "**UNRESOLVED**"),
                  reason or "add it to confirmed_periods or refused_periods of decisions.json")

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def disagreement(self, provider, name, kind, ours, source, theirs, decision):
        self.unresolved += decision is None
        self.rows.append((provider, name, kind, text(ours), source, text(theirs),
                          decision["winner"] if decision else "**UNRESOLVED**",
                          decision["reason"] if decision else "add a row to decisions.json"))

    def markdown(self, models, decisions):
        lines = ["# Merge report", "",
                 "Written by `merge.py`; a person answers it in `decisions.json`. Prices are US "
                 "dollars per unit of the kind.", "",
                 f"- models: {len(models)}",
                 f"- disagreements above {BOUND * 100:f} %: {len(self.rows)}, unresolved: "
                 f"{self.unresolved}"]
        lines += [f"- {what}: {n}" for what, n in sorted(self.counts.items())]
        lines += ["", "## Disagreements", "",
                  "| provider | model | kind | catalogue so far | other source | its price | winner | reason |",
                  "| --- | --- | --- | --- | --- | --- | --- | --- |"]
        lines += ["| " + " | ".join(row) + " |" for row in sorted(self.rows)]
        lines += ["", "## Left out", "",
                  "Rows of the sources, of the catalogue's providers, that made no row in it.", "",
                  "| provider | row | source | why |", "| --- | --- | --- | --- |"]
        lines += ["| " + " | ".join(row) + " |" for row in sorted(set(self.left))]
        lines += ["", "## Providers without prices", "",
                  "| provider | why |", "| --- | --- |"]
        lines += [f"| {name} | {why} |" for name, why in sorted(decisions.without.items())]
        lines += ["", "## Fields of LiteLLM without a unit here", "",
                  "| field | rows | why |", "| --- | --- | --- |"]
        lines += [f"| {key} | {n} | {decisions.unit_reason(key) or '**UNRESOLVED**'} |"
                  for key, n in sorted(self.unused.items())]
        lines += ["", "## Notes", "", "| provider | model | what | why |",
                  "| --- | --- | --- | --- |"]
        lines += ["| " + " | ".join(row) + " |" for row in sorted(set(self.notes))]
        return "\n".join(lines) + "\n"


# --- finishing ------------------------------------------------------------------------------

def settle_names(models, decisions, report):
    """One owner per name: id before exact before alias; case is ignored, as in the look-up."""
    for provider, _, _, _, suffixes in PROVIDERS:
        mine = own(models, provider)
        for row in decisions.aliases:
            if row["provider"] == provider:
                models[provider, row["id"]].alias.update(row["names"])
        if suffixes:
            for model in mine:
                if provider in ("openai", "anthropic", "azure.ai.openai") \
                        and not DATED.search(model.id) and not model.id.startswith("ft:"):
                    model.dated.add(model.id)
        taken = {m.id.lower(): m for m in mine}
        for field in ("exact", "alias"):
            for model in mine:
                kept = set()
                for name in sorted(getattr(model, field)):
                    if taken.setdefault(name.lower(), model) is model:
                        kept.add(name)
                    elif name.lower() not in (k.lower() for k in kept):
                        report.note(model, f"name {name} left to {taken[name.lower()].id}",
                                    "one owner per name")
                setattr(model, field, unique_case(kept, model.id))
        settle_rules(mine, taken, suffixes)


def unique_case(names, first):
    out = {}
    for name in [first, *sorted(names)]:
        out.setdefault(name.lower(), name)
    return set(out.values())


def settle_rules(mine, taken, suffixes):
    bases, tunes = {}, {}
    for model in mine:
        model.dated = {b for b in model.dated if suffixes
                       and taken.get(b.lower(), model) is model
                       and bases.setdefault(b.lower(), model) is model}
        if model.id.startswith("ft:"):
            model.fine_tuned.add(model.id)
            model.dated = set()
        model.fine_tuned = {b for b in model.fine_tuned if taken.get(b.lower(), model) is model
                            and tunes.setdefault(b.lower(), model) is model}


def add_service_tiers(models, decisions):
    for row in decisions.tiers:
        for model in own(models, row["provider"]):
            for period in model.periods if model.id in row.get("models", [model.id]) else []:
                if row["tier"] not in period.tiers:
                    period.factors.setdefault(row["tier"], Decimal(row["factor"]))


def complete_contexts(models, report):
    for model in models.values():
        for period in model.periods:
            for above, prices in period.sheet.above.items():
                for kind in [k for k in prices if prices[k] < period.sheet.base.get(k, 0)]:
                    report.note(model, f"above {above}: {kind} of {text(prices[kind])} refused",
                                "less than below the threshold: a slip of the source")
                    del prices[kind]
                added = fill_by_ratio(prices, period.sheet.base)
                if added:
                    report.note(model, f"above {above}: {', '.join(added)} derived",
                                "a context tier reprices the whole request")


def implausible(model):
    """The first kind whose price is out of the bounds that the loader holds, or None."""
    for period in model.periods:
        sheets = [period.sheet, *period.tiers.values()]
        for prices in [p for s in sheets for p in [s.base, *s.above.values()]]:
            for kind, price in prices.items():
                if price and not LEAST <= price <= MOST.get(kind, MOST[None]):
                    return kind
    return None


def drop_bad(models, decisions, report):
    for key, model in sorted(models.items()):
        sheet = model.periods[-1].sheet.base
        if decisions.drops(model):
            why = decisions.drops(model)
        elif implausible(model):
            why = f"implausible price of {implausible(model)}: a slip of the unit in the source"
        elif "output" in sheet and "input" not in sheet:
            why = "output without an input price"
        else:
            continue
        report.note(model, "not in the catalogue", why)
        del models[key]


def catalogue_json(models, decisions):
    """One line per model, so that a price change is a one-line diff."""
    def line(value):
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"))

    suffixes = {row[0]: row[4] for row in PROVIDERS}
    providers = [{"provider": name, "dated_suffixes": suffixes[name]}
                 | decisions.providers.get(name, {}) for name in sorted(suffixes)]
    rows = [m.json(m.provider == "x_ai") for _, m in sorted(models.items())]
    return "\n".join(
        ['{', '"schema":"tolltap-prices/1",', '"currency":"USD",',
         f'"units":{line({k: v[0] for k, v in KINDS.items()})},',
         f'"sources":{line([{"name": n} | s for n, s in sorted(decisions.sources.items())])},',
         '"providers":[', ",\n".join(line(p) for p in providers), '],',
         '"models":[', ",\n".join(line(r) for r in rows), ']', '}']) + "\n"


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--source", type=Path, default=HERE.parent.parent / "shared/data/pricing",
                      help="folder of the source tables")
    args.add_argument("--out", type=Path, default=HERE, help="where the results go")
    args.add_argument("--decisions", type=Path, default=HERE / "decisions.json")
    options = args.parse_args()
    decisions, report = Decisions(options.decisions), Report()
    models = read_genai(options.source, decisions, report)
    join_litellm(models, options.source, decisions, report)
    adopt_langfuse(models, options.source, decisions, report)
    complete_contexts(models, report)
    drop_bad(models, decisions, report)
    add_service_tiers(models, decisions)
    settle_names(models, decisions, report)
    check_langfuse(models, options.source, decisions, report)
    (options.out / "merge-report.md").write_text(report.markdown(models, decisions))
    report.unresolved += sum(not decisions.unit_reason(key) for key in report.unused)
    if report.unresolved:
        sys.exit(f"merge.py: {report.unresolved} disagreements or fields without a decision, see "
                 f"{options.out / 'merge-report.md'}; catalog.json was not written")
    (options.out / "catalog.json").write_text(catalogue_json(models, decisions))


if __name__ == "__main__":
    main()
