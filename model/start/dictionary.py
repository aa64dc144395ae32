#!/usr/bin/env python3
"""Makes the dictionary of the `cm` codec: excerpts of many documents of the training corpus.

    dictionary.py CORPUS OUT

CORPUS holds `train/<category>-NN.jsonl.zst`, one JSON object with a `repo` and a `text` per line, and
`MANIFEST.tsv` with a `repo` and its `licence` per line. OUT is made of the
categories' shares below, the least specific first, so that what is most often of use was seen last. Every
document gives one excerpt, from its start or from a random line, so that the dictionary knows many subjects
a little. OUT.origins.tsv names the repository, commit and licence of each excerpt's text. Deterministic.
"""

import csv
import glob
import json
import random
import subprocess
import sys

SHARES = (("data", 128 << 10), ("code", 128 << 10), ("docs", 96 << 10), ("prose", 160 << 10))
EXCERPT = 1536
SEED = 20251


def repositories(corpus):
    """Those whose licence does not ask for the same licence of what is made from them."""
    with open(f"{corpus}/MANIFEST.tsv", encoding="utf-8") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t"))
    return {row["repo"]: (row["commit"], row["licence"]) for row in rows if "BY-SA" not in row["licence"]}


def documents(corpus, category):
    allowed = repositories(corpus)
    for path in sorted(glob.glob(f"{corpus}/train/{category}-*.jsonl.zst"))[:1]:
        decoder = subprocess.Popen(["zstd", "-dc", "--long=27", path], stdout=subprocess.PIPE)
        for line in decoder.stdout:
            document = json.loads(line)
            if document["repo"] in allowed:
                yield document["repo"], document["text"]
        decoder.wait()


def excerpt(text, chance):
    start = 0
    if len(text) > 2 * EXCERPT and chance.random() < 0.5:
        start = text.find("\n", chance.randrange(len(text) - EXCERPT)) + 1
    end = text.rfind("\n", start, start + EXCERPT) + 1
    return text[start : end if end > start else start + EXCERPT]


def part(corpus, category, size, origins):
    chance = random.Random(f"{SEED} {category}")
    excerpts = [(repo, excerpt(text, chance)) for repo, text in documents(corpus, category)]
    chance.shuffle(excerpts)
    out = bytearray()
    for repo, text in excerpts:
        if len(out) >= size:
            break
        text = text.encode()[: size - len(out)]
        origins[repo] = origins.get(repo, 0) + len(text)
        out += text
    return bytes(out[:size])


def main():
    corpus, out = sys.argv[1:]
    origins = {}
    with open(out, "wb") as file:
        for category, size in SHARES:
            file.write(part(corpus, category, size, origins))
    licences = repositories(corpus)
    with open(f"{out}.origins.tsv", "w", encoding="utf-8") as file:
        file.write("repo\tcommit\tlicence\tbytes\n")
        for repo, size in sorted(origins.items()):
            file.write("\t".join([repo, *licences[repo], str(size)]) + "\n")


main()
