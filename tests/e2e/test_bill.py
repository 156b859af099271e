#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tolltap bill against a local server of the documented shapes: pages, faults, resuming, files."""
import calendar
import csv
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import urllib.parse
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import billing
from billing import DAY, Billing, Raw
from harness import main

KEY = "sk-admin-test-0123456789"
SINCE, UNTIL = "2026-11-01", "2026-11-06"
FIRST = calendar.timegm((2026, 11, 1, 0, 0, 0))
COSTS, COMPLETIONS = "/v1/organization/costs", "/v1/organization/usage/completions"
A_COSTS, A_USAGE = "/v1/organizations/cost_report", "/v1/organizations/usage_report/messages"


class Place:
    """A state directory, a key file, and the command."""

    def __init__(self, build, key=KEY):
        self.tolltap = os.path.join(build, "tolltap")
        self.tmp = tempfile.TemporaryDirectory(prefix="tolltap-bill-")
        self.dir = self.tmp.name
        self.state = os.path.join(self.dir, "state")
        self.key_file = self.write("key", key + "\n", 0o600)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.tmp.cleanup()

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
        return path

    def bill(self, *args, code=0, env=None, timeout=60):
        done = subprocess.run(
            [self.tolltap, "bill", *args, "--storage.path=" + self.state],
            capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})})
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        for said in (done.stdout, done.stderr):
            assert KEY not in said, "the key was printed"
        return done

    def pull(self, provider, server, *args, **more):
        return self.bill("pull", provider, "--base-url=" + server.url, "--key-file=" +
                         self.key_file, "--since=" + SINCE, "--until=" + UNTIL, *args, **more)

    def rows(self, columns="*", where="1"):
        with sqlite3.connect(os.path.join(self.state, "bills.db")) as db:
            return db.execute("SELECT %s FROM rows JOIN bills ON bills.id=rows.bill WHERE %s "
                              "ORDER BY rows.rowid" % (columns, where)).fetchall()

    def total(self, currency="USD"):
        return sum(row[0] for row in self.rows("amount", "done=1 AND currency='%s' AND amount "
                                                         "NOT NULL" % currency))


def openai_results(days=5):
    """Two line items and one count for each day; amounts as numbers with digits to keep."""
    costs, usage = {}, {}
    for i in range(days):
        day = FIRST + i * DAY
        costs[day] = [
            {"object": "organization.costs.result",
             "amount": {"value": Raw("0.%012d" % (i + 60000000001)), "currency": "usd"},
             "line_item": "gpt-4o-2024-08-06, input", "project_id": "proj_a",
             "api_key_id": "key_1", "quantity": 1000 + i},
            {"object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"},
             "line_item": "gpt-4o-2024-08-06, output", "project_id": "proj_b",
             "api_key_id": "key_2"}]
        usage[day] = [
            {"object": "organization.usage.completions.result", "input_tokens": 1500,
             "input_cached_tokens": 400, "input_uncached_tokens": 1100, "input_text_tokens": 1100,
             "output_tokens": 70, "num_model_requests": 3, "project_id": "proj_a",
             "api_key_id": "key_1", "model": "gpt-4o-2024-08-06", "batch": False,
             "service_tier": "default"}]
    others = ("embeddings", "images", "audio_speeches", "audio_transcriptions",
              "web_search_calls", "file_search_calls", "code_interpreter_sessions")
    return {COSTS: costs, COMPLETIONS: usage,
            **{"/v1/organization/usage/" + name: {} for name in others}}


OPENAI_TOTAL = sum(60000000001 + i for i in range(5)) + 5 * 60000000000


def anthropic_results():
    return {
        A_COSTS: {FIRST: [
            {"amount": "123.78912", "currency": "USD", "cost_type": "tokens",
             "description": "Claude Sonnet 4.5 Usage - Input Tokens",
             "model": "claude-sonnet-4-5-20250929", "token_type": "uncached_input_tokens",
             "service_tier": "standard", "context_window": "0-200k", "workspace_id": "ws_a",
             "inference_geo": "global"},
            {"amount": "1", "currency": "USD", "cost_type": "web_search",
             "description": "Web Search", "model": None, "token_type": None,
             "service_tier": None, "context_window": None, "workspace_id": None}]},
        A_USAGE: {FIRST: [
            {"uncached_input_tokens": 412630, "cache_read_input_tokens": 10,
             "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
             "output_tokens": 40, "server_tool_use": {"web_search_requests": 1},
             "api_key_id": "apikey_1", "workspace_id": "ws_a",
             "model": "claude-sonnet-4-5-20250929", "service_tier": "standard",
             "context_window": "0-200k"}]}}


def pages_become_rows(build):
    with Place(build) as place, Billing(openai_results()) as server:
        done = place.pull("openai", server, "--output=json")
        reports = {r["report"]: r for r in map(json.loads, done.stdout.splitlines())}
        assert reports["costs"]["pages"] == 3 and reports["costs"]["rows"] == 10, reports
        assert reports["usage.completions"]["rows"] == 15, reports
        assert place.total() == OPENAI_TOTAL, (place.total(), OPENAI_TOTAL)
        counts = dict(place.rows("class,sum(quantity)", "report='usage.completions' GROUP BY 1"))
        assert counts == {"input": 5500, "cache_read": 2000, "output": 350}, counts
        path, query = server.requests[0]
        assert path == COSTS and query["group_by[]"] == ["project_id", "api_key_id", "line_item"]
        assert query["start_time"] == [str(FIRST)] and query["bucket_width"] == ["1d"]
        mode = os.stat(os.path.join(place.state, "bills.db")).st_mode
        assert stat.S_IMODE(mode) == 0o640, oct(mode)


def amounts_in_cents_are_strings(build):
    with Place(build) as place, Billing(anthropic_results()) as server:
        place.pull("anthropic", server)
        rows = place.rows("class,amount,quantity,model,tier,rows.project")
        money = {(r[0], r[1]) for r in rows if r[1] is not None}
        assert money == {("input", 1237891200000), ("web_search", 10000000000)}, money
        counts = {r[0]: r[2] for r in rows if r[2] is not None}
        assert counts == {"input": 412630, "cache_read": 10, "cache_write_5m": 20,
                          "cache_write_1h": 30, "output": 40, "web_search": 1}, counts
        path, query = server.requests[0]
        assert path == A_COSTS and query["starting_at"] == ["2026-11-01T00:00:00Z"], query


def pulled_twice_is_there_once(build):
    with Place(build) as place, Billing(openai_results()) as server:
        place.pull("openai", server)
        before = place.rows("rows.provider,rows.from_s,model,class,amount,quantity")
        place.pull("openai", server)
        assert place.rows("rows.provider,rows.from_s,model,class,amount,quantity") == before
        # A part of the days, and one project of them, replace just that.
        for day in server.results[COSTS].values():
            day[0]["amount"]["value"] = Raw("1.5")
        place.bill("pull", "openai", "--base-url=" + server.url, "--key-file=" + place.key_file,
                   "--since=2026-11-02", "--until=2026-11-03", "--project=proj_b")
        assert place.total() == OPENAI_TOTAL, "a filter touched what it does not cover"
        place.bill("pull", "openai", "--base-url=" + server.url, "--key-file=" + place.key_file,
                   "--since=2026-11-02", "--until=2026-11-03", "--project=proj_a")
        assert place.total() == OPENAI_TOTAL - 60000000002 + 1500000000000
        # Another account of the same provider stands beside it.
        place.pull("openai", server, "--account=second")
        assert len(place.rows("1", "account='second'")) == 25


def faults_are_waited_out(build):
    faults = [billing.status(429, [("Retry-After", "1")]), billing.status(500), billing.cut,
              billing.short_json, None, billing.text("<html>busy</html>"), billing.status(529)]
    with Place(build) as place, Billing(openai_results()) as server:
        server.faults = list(faults)
        begun = time.monotonic()
        place.pull("openai", server)
        assert time.monotonic() - begun > 1 + 1 + 2 + 4, "did not wait as asked"
        assert not server.faults and place.total() == OPENAI_TOTAL


def a_broken_run_goes_on(build):
    with Place(build) as place, Billing(openai_results()) as server:
        server.faults = [None, None, billing.status(429, [("Retry-After", "3600")])]
        done = place.pull("openai", server, code=1)
        assert "asks to wait 3600 s" in done.stderr and "goes on" in done.stderr, done.stderr
        assert place.total() == 0, "a part of a bill is taken for the whole"
        listed = json.loads(place.bill("list", "--output=json").stdout.splitlines()[0])
        assert listed["state"] == "under way" and listed["rows"] == 8, listed
        asked = len(server.requests)
        done = place.pull("openai", server, "--output=json")
        costs = json.loads(done.stdout.splitlines()[0])
        assert costs["resumed_at"] == 2 and costs["pages"] == 3 and costs["rows"] == 10, costs
        assert server.requests[asked][1]["page"] == ["page_4"], server.requests[asked]
        assert place.total() == OPENAI_TOTAL
        # What nobody went on with for a week is forgotten when the report is pulled again.
        server.faults = [None, billing.status(403)]
        place.bill("pull", "openai", "--base-url=" + server.url, "--key-file=" + place.key_file,
                   "--since=2026-10-01", "--until=2026-11-06", code=1)
        for age, left in ((6, 1), (8, 0)):
            with sqlite3.connect(os.path.join(place.state, "bills.db")) as db:
                db.execute("UPDATE bills SET fetched_us=? WHERE done=0",
                           (int(time.time() - age * DAY) * 10**6,))
            place.pull("openai", server)
            with sqlite3.connect(os.path.join(place.state, "bills.db")) as db:
                assert db.execute("SELECT count(*) FROM bills WHERE NOT done").fetchone()[0] == left
        assert place.total() == OPENAI_TOTAL and not place.rows("1", "NOT done")
        # A cursor that the provider has forgotten: from the beginning, and once each.
        server.faults = [None, billing.status(403)]
        place.bill("pull", "openai", "--base-url=" + server.url, "--key-file=" + place.key_file,
                   "--since=2026-10-30", "--until=2026-11-06", code=1)
        server.faults = [billing.status(400)]
        place.bill("pull", "openai", "--base-url=" + server.url, "--key-file=" + place.key_file,
                   "--since=2026-10-30", "--until=2026-11-06")
        assert place.total() == OPENAI_TOTAL


def two_pulls_at_once_are_one_bill(build):
    """The second begins while the first waits for a page, takes the report over and ends it."""
    for pages in (1, 3):
        with Place(build) as place, Billing(openai_results(8)) as server:
            def overtake(billing, handler):
                place.bill(*second)
                url = urllib.parse.urlsplit(handler.path)
                billing.send(handler, 200, billing.page(url.path,
                                                        urllib.parse.parse_qs(url.query)))

            second = ["pull", "openai", "--base-url=" + server.url, "--key-file=" +
                      place.key_file, "--since=" + SINCE, "--until=2026-11-09"]
            server.faults = [None] * pages + [overtake]
            done = place.bill(*second, code=6)
            assert "costs: another tolltap bill pull went on" in done.stderr, done.stderr
            once = place.total()
            assert once == sum(60000000001 + i for i in range(8)) + 8 * 60000000000, once
            place.bill(*second)
            assert place.total() == once and not place.rows("1", "NOT done")


def pages_that_do_not_end_are_refused(build):
    loop = '{"object":"page","data":[],"has_more":true,"next_page":"again"}'
    none = '{"object":"page","data":[],"has_more":true,"next_page":null}'
    for body, count in ((loop, 2), (none, 1)):
        with Place(build) as place, Billing(openai_results()) as server:
            server.faults = [billing.text(body)] * count
            done = place.pull("openai", server, code=1)
            assert "do not end" in done.stderr, done.stderr


def hostile_pages_give_no_rows(build):
    """One of them here, since it is asked for six times; all of them in test_page.c."""
    with Place(build) as place, Billing(openai_results()) as server:
        server.faults = [billing.text('{"data":[{"results":[]}],"has_more":false}')] * 6
        done = place.pull("openai", server, code=1)
        assert "the answer is a bucket without its times (6 tries)" in done.stderr, done.stderr
        assert not place.rows()


def keys_come_from_closed_files_only(build):
    with Place(build) as place, Billing(openai_results()) as server:
        os.chmod(place.key_file, 0o644)
        done = place.pull("openai", server, code=4)
        assert "can be read or changed by others (mode 0644)" in done.stderr, done.stderr
        os.chmod(place.key_file, 0o600)
        done = place.bill("pull", "openai", "--base-url=" + server.url, code=2)
        assert "bill.openai-key-file" in done.stderr
        place.write("openai-admin-key", KEY, 0o400)
        place.bill("pull", "openai", "--base-url=" + server.url, "--since=" + SINCE, "--until=" +
                   UNTIL, env={"CREDENTIALS_DIRECTORY": place.dir})
        place.bill("pull", "openai", "--base-url=" + server.url, "--since=" + SINCE, "--until=" +
                   UNTIL, env={"TOLLTAP_BILL_OPENAI_KEY_FILE": place.key_file})
        for text in (KEY + "\nX-Other: 1\n", "", "two words of a key", KEY + "\0x"):
            place.write("key", text, 0o600)
            done = place.pull("openai", server, code=3)
            assert "holds no key" in done.stderr, done.stderr
        place.write("key", "sk-admin-wrong-9876543210", 0o600)
        done = place.pull("openai", server, code=1)
        assert "refuses the key (status 401" in done.stderr
        assert "sk-admin-wrong" not in done.stderr, "the key was printed"
        for url in ("http://10.0.0.1", "http://localhost.example", "ftp://127.0.0.1",
                    "https://user@host", "http://127.0.0.1.example:80"):
            done = place.bill("pull", "openai", "--base-url=" + url, "--key-file=" +
                              place.key_file, code=2)
            assert "--base-url" in done.stderr, done.stderr


def no_trace_of_the_key_is_stored(build):
    with Place(build) as place, Billing(openai_results()) as server:
        place.pull("openai", server)
        for name in os.listdir(place.state):
            with open(os.path.join(place.state, name), "rb") as f:
                assert KEY.encode() not in f.read(), name


def tls_is_checked(build):
    with Place(build) as place:
        pair = billing.certificate(place.dir)
        with Billing(openai_results(), tls=pair) as server:
            done = place.pull("openai", server, code=1)
            assert "certificate" in done.stderr.lower(), done.stderr
            assert not server.requests, "the key was sent to a stranger"
            place.pull("openai", server, "--ca-file=" + pair[0])
            assert place.total() == OPENAI_TOTAL


FOCUS = ('"ChargePeriodStart","ChargePeriodEnd",BilledCost,BillingCurrency,ProviderName,SkuMeter,'
         'SkuId,ConsumedQuantity,ConsumedUnit,SubAccountId,ChargeCategory,ServiceCategory,'
         'ChargeDescription\r\n')


def files_are_read(build):
    focus = "\ufeff" + FOCUS + (
        '2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,1.25,EUR,OpenAI,Input Tokens,gpt-4o,500,'
        '1K Tokens,proj_a,Usage,AI and Machine Learning,"a ""quoted"", text\r\nin two lines"\r\n'
        '2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,-0.50,EUR,OpenAI,,,,,proj_a,Credit,'
        'AI and Machine Learning,goodwill\r\n'
        '2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,9.99,EUR,AWS,BoxUsage,m5,1,Hours,,Usage,'
        'Compute,a machine\r\n')
    with Place(build) as place:
        path = place.write("focus.csv", focus)
        done = json.loads(place.bill("import", path, "--output=json").stdout)
        assert done["rows"] == 2 and done["left_out"] == 1 and done["form"] == "focus", done
        rows = place.rows("rows.provider,class,model,quantity,amount,currency,slack")
        assert rows == [("openai", "input", "gpt-4o", 500000, 1250000000000, "EUR", 5000000000),
                        ("openai", "other", "", None, -500000000000, "EUR", 5000000000)], rows
        four = "date,provider,model,amount\n2026-11-02,Anthropic,claude-sonnet-4-5,3.5\n"
        place.bill("import", place.write("four.csv", four))
        assert place.total() == 3500000000000 and place.total("EUR") == 750000000000
        listed = [json.loads(line) for line in
                  place.bill("list", "--output=json").stdout.splitlines()]
        assert [(b["amount"], b["currency"]) for b in listed] == [("0.75", "EUR"), ("3.5", "USD")]
        # Again, under another name, and corrected under the same: once each.
        place.bill("import", path)
        place.bill("import", place.write("copy.csv", focus))
        assert place.total("EUR") == 750000000000
        place.bill("import", place.write("four.csv", four.replace("3.5", "4")))
        assert place.total() == 4000000000000
        # Other files of the same days: said, kept beside, or in their place.
        other = place.write("other.csv", four.replace("3.5", "10"))
        done = place.bill("import", other, code=1)
        assert "2026-11-02, which the import four.csv has too" in done.stderr, done.stderr
        assert place.total() == 4000000000000
        place.bill("import", other, "--add")
        assert place.total() == 14000000000000
        more = place.write("more.csv", four.replace("3.5", "7"))
        place.bill("import", more, "--replace")
        assert place.total() == 7000000000000
        # The next month's file has the same name; the same bytes can be another account's bill.
        month = four.replace("2026-11-02", "2026-12-02")
        os.mkdir(os.path.join(place.dir, "12"))
        monthly = place.write(os.path.join("12", "more.csv"), month)
        place.bill("import", monthly)
        assert place.total() == 10500000000000
        place.bill("import", place.write(os.path.join("12", "more.csv"),
                                         month.replace("3.5", "2.5")))
        assert place.total() == 9500000000000
        place.bill("import", monthly, "--account=second")
        assert place.total() == 12000000000000
        place.bill("import", monthly, "--account=second")
        assert place.total() == 12000000000000
        headed = "date,provider,model,amount_gbp\n2026-11-02,openai,gpt-4o,2\n"
        place.bill("import", place.write("headed.csv", headed))
        fifth = "date,provider,model,amount,currency\n2026-11-03,openai,gpt-4o,2,jpy\n"
        place.bill("import", place.write("fifth.csv", fifth))
        assert place.total("GBP") == place.total("JPY") == 2000000000000


def bad_files_store_nothing(build):
    head = "date,provider,model,amount\n2026-11-02,openai,gpt-4o,1\n"
    bad = [(head + "2026-11-32,openai,gpt-4o,1\n", "line 3: no date '2026-11-32'"),
           (head + "2026-11-02,openai,gpt-4o,one\n", "line 3: no amount 'one'"),
           (head + "2026-11-02,openai,gpt-4o\n", "line 3: fewer fields"),
           (head + "2026-11-02,openai,gpt-4o,1,2\n", "line 3: more fields"),
           (head + '2026-11-02,"openai,gpt-4o,1\n', "a quote is not closed"),
           (head + '2026-11-02,"openai"x,gpt-4o,1\n', "behind a closing quote"),
           (head + "2026-11-02,,gpt-4o,1\n", "line 3: no provider"),
           (head + "2026\0\0\0\0\0\0,openai,gpt-4o,1\n", "line 3: a NUL byte"),
           (head + '2026-11-02,openai,"gpt\0-4o",1\n', "line 3: a NUL byte"),
           (head.encode("utf-16-le").decode("latin-1"), "line 1: a NUL byte"),
           (head + "2026-11-02,openai,gpt-4o,99999999\n", "line 3: no amount"),
           ("day,provider,amount\n2026-11-02,openai,1\n", "the header lacks 'model'"),
           ("a,b\n1,2\n", "the header lacks 'date'"), ("", "the file is empty"),
           ("date,provider,model,amount\n", "the file has no rows"),
           (FOCUS + "2026-11-01,2026-11-02,1,EURO,OpenAI,x,y,,,,,,\n", "line 2: no currency"),
           (FOCUS.replace("BillingCurrency", "B"), "lacks the FOCUS column 'BillingCurrency'")]
    with Place(build) as place:
        place.bill("import", place.write("good.csv", head))
        before = place.rows()
        for text, reason in bad:
            done = place.bill("import", place.write("bad.csv", text), code=1)
            assert reason in done.stderr, (text, done.stderr)
            assert place.rows() == before, text
        place.bill("import", os.path.join(place.dir, "absent.csv"), code=1)
        place.write("foreign.db", b"x" * 4096)
        place.bill("list", "--bills=" + os.path.join(place.dir, "foreign.db"), code=6)
        place.bill("list", "--bills=" + os.path.join(place.dir, "none.db"), code=6)


# ---- reconcile: against the made-up ledger of `tolltap demo --data` ------------------------------

LEDGER_SINCE, LEDGER_UNTIL = "2026-09-17", "2026-11-01"
CAUSES = ("by_price", "by_class", "by_coverage", "by_estimated", "unexplained")


class Books(Place):
    """A place with a ledger of 45 days, in which one host was metered without a gap."""

    def __init__(self, build):
        super().__init__(build)
        subprocess.run([self.tolltap, "demo", "--data", "--storage.path=" + self.state],
                       check=True, capture_output=True, timeout=120)

    def reconcile(self, *args, since=LEDGER_SINCE, until=LEDGER_UNTIL):
        """(scope, rows, totals) with exact numbers; each row's causes were seen to add up."""
        done = self.bill("reconcile", "--since=" + since, "--until=" + until, "--output=json",
                         *args)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for row in lines[1:]:
            for name in CAUSES + ("drift", "billed", "ledger_usd"):
                row[name] = None if row[name] is None else Decimal(row[name])
            if row["drift"] is not None:
                assert sum(row[c] for c in CAUSES) == row["drift"], row
                assert row["billed"] - row["ledger_usd"] == row["drift"], row
        return (lines[0]["scope"], [r for r in lines[1:] if not r["total"]],
                [r for r in lines[1:] if r["total"]])

    def by_class(self, provider):
        """What the ledger has of a provider by day, model and class: all of it is seen and not
        billed by a bill of two empty days."""
        path = self.write("empty.csv", "date,provider,model,amount\n" + "".join(
            "%s,%s,nothing,0\n" % (day, provider) for day in (LEDGER_SINCE, "2026-10-31")))
        other = "--bills=" + os.path.join(self.dir, "empty.db")
        self.bill("import", path, other)
        rows = [r for r in self.reconcile(other)[1] if r["state"] == "not_billed"]
        assert all(r["ledger_units"] or r["ledger_usd"] for r in rows), "an empty row"
        return rows


def seconds(day):
    return calendar.timegm(time.strptime(day, "%Y-%m-%d"))


TOKEN_TYPES = {"input": ("uncached_input_tokens",) * 2, "output": ("output_tokens",) * 2,
               "cache_read": ("cache_read_input_tokens",) * 2,
               "cache_write_5m": ("cache_creation.ephemeral_5m_input_tokens",
                                  "ephemeral_5m_input_tokens"),
               "cache_write_1h": ("cache_creation.ephemeral_1h_input_tokens",
                                  "ephemeral_1h_input_tokens")}
# The provider names models by their dates, the price table without.
DATED = {"claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
         "claude-haiku-4-5": "claude-haiku-4-5-20251001"}


def anthropic_bill(rows):
    """The reports that bill exactly these rows of (day, model, class, tier, units, usd)."""
    costs, usage = {}, {}
    for day, model, kind, tier, units, usd in rows:
        shared = {"model": DATED.get(model, model), "workspace_id": "ws_a", "service_tier": tier,
                  "context_window": "0-200k"}
        if usd is not None:
            costs.setdefault(seconds(day), []).append(
                {"amount": format(usd * 100, "f"), "currency": "USD", "cost_type": "tokens",
                 "description": kind, "token_type": TOKEN_TYPES[kind][0],
                 "inference_geo": "global", **shared})
        counts = {TOKEN_TYPES[kind][1]: units}
        if kind.startswith("cache_write"):
            counts = {"cache_creation": counts}
        usage.setdefault(seconds(day), []).append({**counts, "api_key_id": "apikey_1", **shared})
    return {A_COSTS: costs, A_USAGE: usage}


def seen_rows(books):
    return [(r["day"], r["model"], r["class"], r["tier"], r["ledger_units"], r["ledger_usd"])
            for r in books.by_class("anthropic")]


def pulled_and_reconciled(books, rows, *args):
    with Billing(anthropic_bill(rows), per_page=31) as server:
        books.bill("pull", "anthropic", "--base-url=" + server.url, "--key-file=" +
                   books.key_file, "--since=" + LEDGER_SINCE, "--until=" + LEDGER_UNTIL)
    return books.reconcile("--all-hosts", *args)


def imported_bills_show_what_was_planted(build):
    with Books(build) as books:
        for provider in ("openai", "anthropic"):
            books.bill("import", os.path.join(books.state, "bill-%s.csv" % provider))
        with open(os.path.join(books.state, "planted.csv"), encoding="utf-8") as f:
            planted = {(p["provider"], p["model"]): Decimal(p["amount_usd"])
                       for p in csv.DictReader(f)}
        scope, rows, totals = books.reconcile("--all-hosts")
        assert scope["hosts"] == 1 and scope["days_covered"] == scope["days"] == 45, scope
        assert [t["drift"] for t in totals] == [sum(planted.values())], (totals, planted)

        def of(column, **facts):
            return sum(r[column] for r in rows if all(r[k] == v for k, v in facts.items()))
        assert of("by_price", model="claude-sonnet-4-5") == planted[
            "anthropic", "claude-sonnet-4-5-20250929"]
        assert of("by_coverage", state="not_billed", provider="anthropic") == planted[
            "anthropic", ""]
        assert of("by_coverage", state="untracked") == planted["openai", "gpt-4.1-2025-04-14"]
        assert of("by_price", model="gpt-demo-preview") == planted["openai", "gpt-demo-preview"]
        # The day that is not in the file is within its days, whatever days are asked for.
        one = books.reconcile("--all-hosts", since="2026-10-27", until="2026-10-28")
        assert sum(r["drift"] for r in one[1] if r["provider"] == "anthropic") == planted[
            "anthropic", ""]
        # A lump on a model that was seen: money without counts tells no more than that.
        lump = planted["openai", "gpt-5-mini-2025-08-07"]
        assert of("drift", model="gpt-5-mini") == lump
        assert of("unexplained", model="gpt-5-mini") + of(
            "by_estimated", model="gpt-5-mini") == lump
        assert of("unexplained", model="gpt-5-mini") > lump * Decimal("0.99")


def what_the_ledger_cannot_have_seen_is_not_covered(build):
    with Books(build) as books:
        books.bill("import", os.path.join(books.state, "bill-openai.csv"))

        def states(*args):
            return {r["state"] for r in books.reconcile(*args)[1] if r["model"] == "gpt-4.1"}
        assert states() == {"not_covered"} and states("--all-hosts") == {"untracked"}
        assert states("--all-hosts", "--where=comm=python3") == {"not_covered"}
        table = books.bill("reconcile", "--since=2026-10-12", "--until=2026-10-15").stdout
        assert "not covered by these ledgers" in table and "24.0 hours" not in table, table
        assert "1 host (" in table and "), 72.0 hours of agent uptime of 72.0" in table, table
        # The agent was away for an hour of one day.
        with sqlite3.connect(os.path.join(books.state, "ledger.db")) as db:
            host, began, ended = db.execute("SELECT host,started_us,ended_us FROM runs").fetchone()
            at = (seconds("2026-10-13") + 7200) * 10**6
            db.execute("UPDATE runs SET ended_us=?", (at,))
            db.execute("INSERT INTO runs(host,started_us,ended_us) VALUES(?,?,?)",
                       (host, at + 3600 * 10**6, ended))
        found = {r["day"]: r["state"] for r in books.reconcile("--all-hosts")[1]
                 if r["model"] == "gpt-4.1"}
        assert found == {"2026-10-12": "untracked", "2026-10-13": "not_covered",
                         "2026-10-14": "untracked"}, found


def pulled_bills_agree_to_the_picodollar(build):
    with Books(build) as books:
        rows = seen_rows(books)
        assert len(rows) > 400 and {r[2] for r in rows} == set(TOKEN_TYPES), len(rows)
        _, found, totals = pulled_and_reconciled(books, rows)
        assert [r for r in found if r["drift"] != 0] == []
        assert all(r["billed_units"] == r["ledger_units"] for r in found)
        assert totals[0]["billed"] == sum(r[5] for r in rows) > 80
        assert "class" not in books.reconcile("--by=provider")[1][0]
        assert books.reconcile("--all-hosts", "--drift")[1] == []


def openai_bill(rows):
    """The same of OpenAI: line items without tiers, counts with them, embeddings on their own."""
    dated = {"gpt-5-mini": "gpt-5-mini-2025-08-07", "gpt-5": "gpt-5-2025-08-07",
             "gpt-4o-mini": "gpt-4o-mini-2024-07-18"}
    words = {"input": "input", "cache_read": "cached input", "output": "output"}
    reports = {**openai_results(0)}
    costs, counts = {}, {}
    for day, model, kind, tier, units, usd in rows:
        item = (seconds(day), "%s, %s" % (dated.get(model, model), words[kind]))
        have = costs.get(item, (0, 0))
        costs[item] = (have[0] + usd, have[1] + units)
        counts.setdefault((seconds(day), model, tier), {})[kind] = units
    for (day, item), (usd, units) in costs.items():
        reports[COSTS].setdefault(day, []).append(
            {"amount": {"value": Raw(format(usd, "f")), "currency": "usd"}, "line_item": item,
             "project_id": "proj_a", "api_key_id": None, "quantity": units})
    for (day, model, tier), n in counts.items():
        path = "/v1/organization/usage/embeddings" if "embedding" in model else COMPLETIONS
        cached = n.get("cache_read", 0)
        reports[path].setdefault(day, []).append(
            {"input_tokens": n.get("input", 0) + cached, "input_cached_tokens": cached,
             "output_tokens": n.get("output", 0), "model": dated.get(model, model),
             "project_id": "proj_a", "api_key_id": "key_1", "batch": tier == "batch",
             "service_tier": "default"})
    return reports


def pulled_openai_bills_agree_too(build):
    with Books(build) as books:
        rows = [(r["day"], r["model"], r["class"], r["tier"], r["ledger_units"], r["ledger_usd"])
                for r in books.by_class("openai")]
        assert {r[3] for r in rows} == {"standard", "batch"}, {r[3] for r in rows}
        with Billing(openai_bill(rows), per_page=31) as server:
            books.bill("pull", "openai", "--base-url=" + server.url, "--key-file=" +
                       books.key_file, "--since=" + LEDGER_SINCE, "--until=" + LEDGER_UNTIL)
        _, found, totals = books.reconcile("--all-hosts")
        off = [r for r in found if r["drift"] or r["billed_units"] != r["ledger_units"]]
        assert off == [], off[:3]
        assert totals[0]["billed"] == sum(r[5] for r in rows) > 15
        # Two copies of a ledger are one: equal calls are there once.
        copy = os.path.join(books.dir, "copy")
        os.mkdir(copy)
        with sqlite3.connect(os.path.join(books.state, "ledger.db")) as db:
            db.execute("VACUUM INTO ?", (os.path.join(copy, "ledger.db"),))
        both = ["--ledger=" + books.state, "--ledger=" + copy]
        scope, _, twice = books.reconcile("--all-hosts", *both)
        assert twice == totals and scope["hosts"] == 1, scope
        assert scope["uptime_seconds"] == 45 * DAY and scope["days_covered"] == 45, scope
        # The file of the same bill is left out where the costs were pulled, and that is said.
        books.bill("import", os.path.join(books.state, "bill-openai.csv"))
        scope, _, again = books.reconcile("--all-hosts")
        assert again == totals and scope["imported_rows_left_out"] == 214, scope


def a_part_that_was_pulled_is_no_whole_bill(build):
    with Books(build) as books:
        rows = seen_rows(books)

        def pull(*args, since=LEDGER_SINCE, until=LEDGER_UNTIL):
            with Billing(anthropic_bill(rows), per_page=31) as server:
                books.bill("pull", "anthropic", "--base-url=" + server.url, "--key-file=" +
                           books.key_file, "--since=" + since, "--until=" + until, *args)
        pull("--project=ws_a")
        days = ["reconcile", "--since=" + LEDGER_SINCE, "--until=" + LEDGER_UNTIL]
        for other in ([], ["--project=ws_b"], ["--project=ws_a,ws_b"]):
            done = books.bill(*days, *other, code=1)
            assert "only a part was pulled (anthropic project=ws_a)" in done.stderr, done.stderr
        scope, found, totals = books.reconcile("--project=ws_a")
        assert totals[0]["billed"] == sum(r[5] for r in rows) > 80 and not totals[0]["drift"]
        assert scope["pulled_filters"] == "anthropic project=ws_a", scope
        # An imported bill of the same days is whole, and is not given up for a part.
        books.bill("import", os.path.join(books.state, "bill-anthropic.csv"))
        scope, found, totals = books.reconcile()
        assert scope["imported_rows_left_out"] == 0 and scope["pulled_rows_left_out"] > 400, scope
        with open(os.path.join(books.state, "bill-anthropic.csv"), encoding="utf-8") as f:
            billed = sum(Decimal(r["amount"]) for r in csv.DictReader(f))
        assert totals[0]["billed"] == billed, (totals, billed)
        text = books.bill(*days).stdout
        assert "pulled rows are left out: they are of a part" in text, text
        assert "narrowed: anthropic project=ws_a\n" in text, text
        # All of it, and one part of three days again: together they are whole once more.
        pull()
        pull("--project=ws_a", since="2026-10-01", until="2026-10-04")
        scope, found, totals = books.reconcile("--all-hosts")
        assert scope["pulled_rows_left_out"] == 0 and scope["imported_rows_left_out"] > 0, scope
        assert [r for r in found if r["drift"]] == []
        assert totals[0]["billed"] == sum(r[5] for r in rows)


def a_key_of_the_bill_meets_its_calls(build):
    with Books(build) as books:
        spent = [json.loads(line) for line in subprocess.run(
            [books.tolltap, "spend", "--by=key_fingerprint,billing_mode,host_role,basis",
             "--output=json", "--since=" + LEDGER_SINCE, "--until=" + LEDGER_UNTIL,
             "--storage.path=" + books.state],
            capture_output=True, text=True, check=True).stdout.splitlines()]
        calls = {}
        for r in spent:
            if (r["billing_mode"] == "metered" and r["basis"] != "not_billed" and
                    r["host_role"] not in ("self_hosted", "unknown")):
                calls[r["key_fingerprint"]] = calls.get(r["key_fingerprint"], 0) + r["calls"]
        known = sorted((n, p) for p, n in calls.items() if p)
        assert len(known) > 2, calls
        (_, mine), (_, renewed), (_, other) = known[-3:]
        keys = "".join("  - fingerprint: \"%s\"\n    name: %s\n    key_id: %s\n" % (p, name, key)
                       for p, name, key in ((mine, "app", "key_x"), (renewed, "app", "key_x"),
                                            (other, "job", "key_y")))
        config = "--config.file=" + books.write("keys.yaml", "keys:\n" + keys)
        # A model that nobody called, on the bill of two keys.
        focus = FOCUS.replace("ChargeDescription", "x_KeyId")
        row = ("2026-10-%02dT00:00:00Z,,1,USD,openai,Output Tokens,gpt-4.1,10,tokens,,Usage,"
               "AI and Machine Learning,%s\r\n")
        books.bill("import", books.write("two.csv", focus + "".join(
            row % (day, key) for day in (1, 30) for key in ("key_x", "key_y", "key_z"))))

        def found(*args):
            scope, rows, _ = books.reconcile(config, *args)
            states = {r["state"] for r in rows if r["model"] == "gpt-4.1"}
            return scope["calls"], scope["calls_by_keys"], states
        all_calls = books.reconcile()[0]["calls"]
        assert all_calls == sum(calls.values()), (all_calls, calls)
        assert found("--key-id=key_y")[0] == calls[other]
        assert found("--key-id=key_x")[0] == calls[mine] + calls[renewed]
        assert found("--key-id=key_y,key_x")[0] == sum(n for n, _ in known[-3:]) < all_calls
        assert found("--key-id=key_x")[1:] == (True, {"untracked"})
        # No fingerprint is known of key_z: all calls are compared, and nothing is covered.
        for unknown in ("--key-id=key_z", "--key-id=key_x,key_z"):
            assert found(unknown) == (all_calls, False, {"not_covered"}), found(unknown)
        days = ["--since=" + LEDGER_SINCE, "--until=" + LEDGER_UNTIL, config]
        said = books.bill("reconcile", "--key-id=key_z", *days).stdout
        assert "these are the calls of all keys" in said, said
        said = books.bill("reconcile", "--key-id=key_x", *days).stdout
        assert "calls of the fingerprints of key_x;" in said, said


def pulled_bills_show_what_was_planted(build):
    def change(rows, match, **to):
        return [tuple(to.get(name, row[i]) if match(row) else row[i] for i, name in enumerate(
            ("day", "model", "kind", "tier", "units", "usd"))) for row in rows]

    with Books(build) as books:
        rows = seen_rows(books)
        # A day of a model that has no cut streams, whose price per token is the table's.
        sure = {(r["day"], r["model"]) for r in map(json.loads, subprocess.run(
            [books.tolltap, "spend", "--by=day,model,basis", "--output=json", "--since=" +
             LEDGER_SINCE, "--storage.path=" + books.state], capture_output=True, text=True,
            check=True).stdout.splitlines()) if r.get("basis") in ("partial", "estimated")}
        day, model = next((r[0], r[1]) for r in rows if r[1] == "claude-haiku-4-5" and
                          (r[0], DATED[r[1]]) not in sure)
        units = {r[2]: r[4] for r in rows if r[:2] == (day, model)}
        usd = {r[2]: r[5] for r in rows if r[:2] == (day, model)}
        here = {kind: (lambda r, kind=kind: r[:3] == (day, model, kind)) for kind in units}

        def causes(changed):
            _, found, totals = pulled_and_reconciled(books, changed)
            assert all(r["drift"] == 0 for r in found if (r["day"], r["model"]) != (day, model))
            return {c: totals[0][c] for c in CAUSES if totals[0][c]}

        dearer = change(rows, here["output"], usd=usd["output"] * Decimal("1.2"))
        assert causes(dearer) == {"by_price": usd["output"] / 5}
        million = Decimal(10**6)
        price = {kind: usd[kind] / units[kind] for kind in units}
        moved = change(change(rows, here["input"], units=units["input"] - 1000,
                              usd=usd["input"] - 1000 * price["input"]), here["cache_read"],
                       units=units["cache_read"] + 1000,
                       usd=usd["cache_read"] + 1000 * price["cache_read"])
        assert causes(moved) == {"by_class": 1000 * (price["cache_read"] - price["input"])}
        more = change(rows, here["output"], units=units["output"] + 5000,
                      usd=usd["output"] + 5000 * price["output"])
        assert causes(more) == {"by_coverage": 5000 * price["output"]}
        lump = change(rows, here["output"], usd=usd["output"] + Decimal("0.123456789"))
        assert causes(lump) == {"unexplained": Decimal("0.123456789")}
        assert price["output"] * million == 5, price  # what the plants above are worth is known
        # Counts without money: as the priority tier comes.
        silent = change(rows, here["output"], usd=None)
        assert causes(silent) == {"by_price": -usd["output"]}


def other_currencies_are_never_summed(build):
    with Books(build) as books:
        path = books.write("mixed.csv", "date,provider,model,amount,currency\n"
                           "2026-10-01,openai,gpt-5-2025-08-07,1,EUR\n"
                           "2026-10-01,openai,gpt-5-2025-08-07,2,USD\n"
                           "2026-10-01,openai,gpt-4o-mini,3,EUR\n")
        books.bill("import", path)
        _, rows, totals = books.reconcile(since="2026-10-01", until="2026-10-02")
        assert {(t["currency"], t["billed"]) for t in totals} == {("EUR", 4), ("USD", 2)}, totals
        for row in rows:
            assert (row["drift"] is None) == (row["currency"] == "EUR"), row
        done = books.bill("reconcile", "--since=2026-10-01", "--until=2026-10-02",
                          "--output=csv")
        table = list(csv.DictReader(done.stdout.splitlines()))
        assert len(table) == len(rows) + 2 and "scope: " in done.stderr


def reconcile_says_what_is_missing(build):
    with Place(build) as place:
        done = place.bill("reconcile", code=6)
        assert "tolltap bill pull" in done.stderr, done.stderr
        place.bill("import", place.write("four.csv", "date,provider,model,amount\n"
                                         "2026-11-02,openai,gpt-4o,1\n"))
        done = place.bill("reconcile", "--since=2026-11-01", "--until=2026-11-03", code=6)
        assert "no ledger in" in done.stderr, done.stderr
        for args in (["--by=colour"], ["--since=2026-11-02", "--until=2026-11-02"],
                     ["--where=x=y"], ["more"], ["--output=xml"]):
            place.bill("reconcile", *args, code=2)
        place.bill(code=2)
        place.bill("pull", "nobody", code=2)
        assert "usage: tolltap bill pull" in place.bill("--help").stdout


TESTS = [imported_bills_show_what_was_planted, what_the_ledger_cannot_have_seen_is_not_covered,
         pulled_bills_agree_to_the_picodollar, pulled_openai_bills_agree_too,
         a_part_that_was_pulled_is_no_whole_bill, a_key_of_the_bill_meets_its_calls,
         pulled_bills_show_what_was_planted,
         other_currencies_are_never_summed, reconcile_says_what_is_missing,
         pages_become_rows, amounts_in_cents_are_strings, pulled_twice_is_there_once,
         faults_are_waited_out, a_broken_run_goes_on, two_pulls_at_once_are_one_bill,
         pages_that_do_not_end_are_refused,
         hostile_pages_give_no_rows, keys_come_from_closed_files_only,
         no_trace_of_the_key_is_stored, tls_is_checked, files_are_read, bad_files_store_nothing]

if __name__ == "__main__":
    sys.exit(main(TESTS))
