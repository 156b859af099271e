#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes o200k_base.ranks and cl100k_base.ranks of the published tables, as the npm package js-tiktoken
1.0.21 (MIT) ships them. To make them again:

    npm pack js-tiktoken@1.0.21 && tar xzf js-tiktoken-1.0.21.tgz
    agent/tokens/make_ranks.py package/dist/ranks

The form: "TTRANKS1", two 32-bit little-endian numbers (tokens, bytes of the pattern), the pattern that
splits text, then the tokens in the order of their ranks, each a byte of length and its bytes."""
import base64
import json
import os
import re
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def ranks_of(packed):
    """Lines of "NAME OFFSET TOKEN TOKEN ...", tokens in base64, ranks counted from the offset."""
    ranks = {}
    for line in filter(None, packed.split("\n")):
        _, offset, *tokens = line.split(" ")
        for i, token in enumerate(tokens):
            ranks[int(offset) + i] = base64.b64decode(token)
    assert sorted(ranks) == list(range(len(ranks))), "ranks have holes"
    return [ranks[i] for i in range(len(ranks))]


def main(folder):
    for name in ("o200k_base", "cl100k_base"):
        with open(os.path.join(folder, name + ".js"), encoding="utf-8") as f:
            table = json.loads(re.sub(r"^export default |;\s*$", "", f.read()))
        tokens, pattern = ranks_of(table["bpe_ranks"]), table["pat_str"].encode()
        with open(os.path.join(HERE, name + ".ranks"), "wb") as out:
            out.write(b"TTRANKS1" + struct.pack("<II", len(tokens), len(pattern)) + pattern)
            for token in tokens:
                out.write(bytes([len(token)]) + token)
        print(name, len(tokens), "tokens")


if __name__ == "__main__":
    main(sys.argv[1])
