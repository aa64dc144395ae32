"""Token arrays of the beginning of a vocabulary, from those of the whole of it, with their costs.

The first tokens of a byte-level BPE vocabulary are themselves one: merges are tried in the order in which they were
learnt, and none makes a token that an earlier one asks for. So each later token is always spelt by the same earlier
ones, and nothing is tokenised again. The cost of a token is shared out evenly.
"""
import argparse
import json
import os
from pathlib import Path

import numpy as np

import tokenizer
from data import Part

PIECE = 1 << 20  # tokens at once
CHECKED = 60  # documents of each part


def spellings(tokens, merges, vocab):
    """How each token is spelt with those below `vocab`: (table padded with zeros, lengths)."""
    ids = {t: i for i, t in enumerate(tokens)}
    halves = {}
    for merge in merges:
        a, b = merge.split(" ")
        halves.setdefault(a + b, (ids[a], ids[b]))

    def spell(i):
        return [i] if i < vocab else [p for half in halves[tokens[i]] for p in spell(half)]

    spelt = [spell(i) for i in range(len(tokens))]
    lengths = np.array([len(s) for s in spelt])
    table = np.zeros((len(tokens), lengths.max()), dtype=np.uint16)
    for row, s in zip(table, spelt):
        row[: len(s)] = s
    return table, lengths


def shorten(stem, out, table, lengths):
    """Writes the arrays of one part; returns the number of its tokens."""
    tokens = np.memmap(stem.with_suffix(".bin"), dtype=np.uint16, mode="r")
    costs = stem.with_suffix(".cost")
    costs = np.memmap(costs, dtype=np.uint8, mode="r") if costs.exists() else tokens[:0]
    documents, found, total = np.load(stem.with_suffix(".npy")), [], 0
    with open(out.with_suffix(".bin"), "wb") as words, open(out.with_suffix(".cost"), "wb") as prices:
        for i in range(0, len(tokens), PIECE):
            piece = tokens[i : i + PIECE]
            n = lengths[piece]
            ends = np.cumsum(n)
            words.write(table[piece][np.arange(table.shape[1]) < n[:, None]].tobytes())
            c = costs[i : i + PIECE]
            prices.write(np.repeat(c // n[: len(c)], n[: len(c)]).astype(np.uint8).tobytes())
            here = documents[(documents >= i) & (documents < i + len(piece))] - i
            found.append(total + ends[here] - n[here])
            total += int(ends[-1])
    np.save(out.with_suffix(".npy"), np.concatenate(found).astype(np.int64))
    if out.with_suffix(".cost").stat().st_size == 0:
        os.remove(out.with_suffix(".cost"))
    return total


def check(out, stem, words):
    """Whether the tokenizer, too, spells the first documents of a part as it was done here."""
    tk = tokenizer.load(out / "tokenizer.json")
    long, short = Part(stem.parent, stem.name), Part(out, stem.name)
    for i in range(min(CHECKED, len(long.documents) - 1)):
        text = b"".join(words[t] for t in long.tokens[long.documents[i] + 1 : long.documents[i + 1]]).decode()
        if tk.encode(text).ids != short.tokens[short.documents[i] + 1 : short.documents[i + 1]].tolist():
            raise SystemExit(f"{stem.name}: document {i} is spelt in another way")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--vocab", type=int, required=True)
    args = ap.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.data / "tokenizer.json"
    tokens, merges = tokenizer.vocab_and_merges(path)
    table, lengths = spellings(tokens, merges, args.vocab)
    words = tokenizer.token_bytes(tokens)
    short = json.loads(path.read_text(encoding="utf-8"))
    kept = set(tokens[: args.vocab])
    short["model"]["vocab"] = {t: i for i, t in enumerate(tokens[: args.vocab])}
    short["model"]["merges"] = [m.split(" ") for m in merges if m.replace(" ", "") in kept]
    (args.out / "tokenizer.json").write_text(json.dumps(short, ensure_ascii=False), encoding="utf-8")
    tokenizer.load(args.out / "tokenizer.json")
    meta = json.loads((args.data / "meta.json").read_text())
    meta["vocab"] = args.vocab
    for name, part in meta["parts"].items():
        part["tokens"] = shorten(args.data / name, args.out / name, table, lengths)
        check(args.out, args.data / name, words)
        print(f"{name}: {part['tokens']} tokens, {part['bytes'] / part['tokens']:.3f} bytes a token", flush=True)
    (args.out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


if __name__ == "__main__":
    main()
