#!/usr/bin/env python3
"""Cuts the texts that the starting values are learnt from, or others, out of the validation split.

    texts.py CORPUS OUT [SKIP]

CORPUS holds `valid/<category>.jsonl.zst`. One file for each category is written to the folder OUT: the first
24 KiB of documents at random, up to 192 KiB, behind the first SKIP KiB. Language models were not trained on them, nor is the dictionary
made of them, so that what is learnt is how far both are to be trusted on what they have not seen. Deterministic.
"""

import json
import random
import subprocess
import sys

CATEGORIES = ("code", "data", "docs", "lang", "prose")
SIZE = 192 << 10
LONGEST = 24 << 10


def texts(path):
    decoder = subprocess.run(["zstd", "-dc", "--long=27", path], stdout=subprocess.PIPE, check=True)
    return [json.loads(line)["text"].encode()[:LONGEST] for line in decoder.stdout.splitlines()]


def main():
    corpus, out = sys.argv[1:3]
    skip = int(sys.argv[3]) << 10 if len(sys.argv) > 3 else 0
    for category in CATEGORIES:
        documents = texts(f"{corpus}/valid/{category}.jsonl.zst")
        random.Random(category).shuffle(documents)
        with open(f"{out}/{category}", "wb") as file:
            file.write(b"".join(documents)[skip : skip + SIZE])


main()
