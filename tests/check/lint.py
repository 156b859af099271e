#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""House rules that a machine can hold. Each rule is a function over (path, text) that yields
(line, message). Run from the top of the tree; `lint.py --self-test` shows each rule a file it must
refuse and one it must accept."""
import re
import subprocess
import sys

BANNED = ["strcpy", "strcat", "sprintf", "vsprintf", "strtok", "atoi", "atol", "alloca", "gets"]
# Every file that money passes through, from the answer's bytes to what is printed.
FLOAT_FREE = ("pricing/", "agent/usage/", "agent/base/money", "agent/exchange/", "agent/cli/cmd_spend",
              "agent/cli/events", "agent/cli/output", "exporter/")
FLOATS = re.compile(r"\b(float|double|strto(f|d|ld)|atof|valuedouble|cJSON_GetNumberValue|"
                    r"sqlite3_\w+_double)\b")

# The rooms from left to right: a room may include those to its left (base is open to all).
ORDER = ["base", "courier", "capture", "http1", "http2", "decode", "websocket", "sse", "json",
         "eventstream", "grpc", "usage", "providers", "exchange", "stream"]
# The wiring knows everyone.
WIRING = ("agent/agent.c", "agent/worker", "agent/pipeline.c", "agent/main.c", "agent/cli/")
ONLY_IN = {
    "bpf/libbpf.h": ("agent/capture/", "agent/privsep/"),
    "libelf.h": ("agent/discovery/",),
    "gelf.h": ("agent/discovery/",),
    "sqlite3.h": ("exporter/",),
    "curl/curl.h": ("agent/courier/", "exporter/"),
    "microhttpd.h": ("exporter/",),
    "nghttp2/nghttp2.h": ("agent/http2/",),
}
# The vocabulary of transports stands left of exchange, though it lives in its room.
SHARED = ("agent/exchange/message.h",)


def code_lines(text):
    """Lines with their numbers, comments and strings blanked."""
    text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return enumerate(text.split("\n"), 1)


def includes(text):
    for number, line in enumerate(text.split("\n"), 1):
        m = re.match(r'#include\s+["<]([^">]+)[">]', line)
        if m:
            yield number, m.group(1)


def is_c(path):
    return path.endswith((".c", ".h"))


def rule_spdx(path, text):
    if not path.endswith(".md") and "SPDX-License-Identifier:" not in "".join(
            text.split("\n")[:3]):
        yield 1, "no SPDX line at the top"


def rule_banned(path, text):
    if not is_c(path):
        return
    for number, line in code_lines(text):
        for name in BANNED:
            if re.search(r"(?<![\w.>])%s\s*\(" % name, line):
                yield number, "%s is banned: it knows no bounds or no errors" % name
        if re.search(r"\b(\w+)\s*=\s*realloc\(\s*\1\s*,", line):
            yield number, "realloc over its own pointer leaks when it fails"


def rule_floats(path, text):
    if not is_c(path) or not path.startswith(FLOAT_FREE):
        return
    for number, line in code_lines(text):
        if FLOATS.search(line):
            yield number, "floating point between usage and ledger"


def rule_libraries(path, text):
    if not is_c(path) or path.startswith("tests/"):
        return
    for number, include in includes(text):
        if include in ONLY_IN and not path.startswith(ONLY_IN[include]):
            yield number, "%s belongs to %s" % (include, ", ".join(ONLY_IN[include]))


def rule_rooms(path, text):
    if not is_c(path) or not path.startswith("agent/") or path.startswith(WIRING):
        return
    own = path.split("/")[1]
    for number, include in includes(text):
        room = include.split("/")[1] if include.count("/") == 2 else None
        if not include.startswith("agent/") or include in SHARED or room is None:
            continue
        if own == "base" and room != "base":
            yield number, "base knows nobody, it includes %s" % include
        elif own in ORDER and room in ORDER and ORDER.index(room) > ORDER.index(own):
            yield number, "%s stands left of %s and may not know it" % (own, room)


def rule_map_bounds(path, text):
    if not path.startswith("bpf/"):
        return
    for m in re.finditer(r"struct\s*\{[^{}]*BPF_MAP_TYPE_\w+[^{}]*\}\s*(\w+)\s*SEC\(\"\.maps\"\)",
                         text, flags=re.S):
        if "max_entries" not in m.group():
            yield text[:m.start()].count("\n") + 1, "map %s has no max_entries" % m.group(1)


def rule_workplace(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if path != "tests/check/lint.py" and re.search(r"(?<![\w.])/work/|\bwt-\w+/", line):
            yield number, "a path of one machine"


RULES = [rule_spdx, rule_banned, rule_floats, rule_libraries, rule_rooms, rule_map_bounds,
         rule_workplace]

# (rule, path, text it must refuse, text it must accept)
SELF = [
    (rule_spdx, "agent/x.c", "int x;\n", "/* SPDX-License-Identifier: Apache-2.0 */\n"),
    (rule_banned, "agent/x.c", "strcpy(a, b);\n", '/* strcpy(a) */ f("atoi(x)");\n'),
    (rule_banned, "agent/x.c", "p = realloc(p, n);\n", "q = realloc(p, n);\n"),
    (rule_floats, "pricing/cost.c", "double x;\n", "/* no double */ int64_t x;\n"),
    (rule_floats, "exporter/schema.c", "sqlite3_bind_double(s, 1, x);\n",
     "sqlite3_bind_int64(s, 1, x);\n"),
    (rule_rooms, "agent/base/x.c", '#include "agent/json/scan.h"\n',
     '#include "agent/base/base.h"\n'),
    (rule_rooms, "agent/json/x.c", '#include "agent/stream/conn.h"\n',
     '#include "agent/base/base.h"\n'),
    (rule_libraries, "agent/stream/x.c", "#include <sqlite3.h>\n", "#include <stdio.h>\n"),
    (rule_map_bounds, "bpf/x.h", 'struct { __uint(type, BPF_MAP_TYPE_HASH); } m SEC(".maps");',
     'struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); } m SEC(".maps");'),
    (rule_workplace, "docs/x.md", "see /work/main\n", "see docs/work/x\n"),
]


def self_test():
    failed = 0
    for rule, path, refused, accepted in SELF:
        if not list(rule(path, refused)):
            print("FAIL %s accepts %r" % (rule.__name__, refused))
            failed += 1
        if list(rule(path, accepted)):
            print("FAIL %s refuses %r" % (rule.__name__, accepted))
            failed += 1
    print("lint rules: %d passed, %d failed" % (2 * len(SELF) - failed, failed))
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    found = checked = 0
    for path in files.stdout.split():
        if not path.endswith((".c", ".h", ".py", ".mjs", ".sh", "Makefile", ".md", ".service")):
            continue
        with open(path, encoding="utf-8") as f:
            text = f.read()
        checked += 1
        for rule in RULES:
            for number, message in rule(path, text):
                print("%s:%d: %s" % (path, number, message))
                found += 1
    print("lint: %d files, %d findings" % (checked, found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
