"""Corpus -> tokenizer and token arrays.

Reads CORPUS/{train,valid}/<category>*.jsonl.zst (one {"text": ...} a line) and writes into OUT:
  tokenizer.json          byte-level BPE
  <split>-<category>.bin  uint16 tokens; each document is the start token and then its text
  <split>-<category>.npy  int64 offsets of the documents (their start tokens) in that file
  meta.json               tokens and bytes of each part
"""
import argparse
import io
import json
import os
import random
import subprocess
import time
from pathlib import Path

import numpy as np

import tokenizer

CATEGORIES = ("prose", "docs", "code", "data", "lang")
BATCH_BYTES = 4 << 20


def documents(path):
    with subprocess.Popen(["zstd", "-dc", "--long=27", str(path)], stdout=subprocess.PIPE) as p:
        for line in io.TextIOWrapper(p.stdout, encoding="utf-8", newline="\n"):
            yield json.loads(line)["text"]


def parts(corpus, split, category):
    found = sorted((corpus / split).glob(f"{category}*.jsonl.zst"))
    if not found:
        raise SystemExit(f"no {split} text of category {category} in {corpus}")
    return found


def sample(corpus, per_category, rng):
    """Documents of about `per_category` characters of each category, in pieces of at most 32 Ki characters."""
    for category in CATEGORIES:
        files = parts(corpus, "train", category)
        pieces = []
        for file in files:
            for text in documents(file):
                pieces += [text[i : i + 32768] for i in range(0, len(text), 32768)]
        rng.shuffle(pieces)
        taken = 0
        for piece in pieces:
            if taken >= per_category:
                break
            taken += len(piece)
            yield piece


def batches(files):
    batch, size = [], 0
    for file in files:
        for text in documents(file):
            batch.append(text)
            size += len(text)
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def encode(tk, files, stem, limit):
    """Writes stem.bin and stem.npy of the first `limit` bytes or a little more; returns (tokens, bytes, documents)."""
    offsets, tokens, size = [], 0, 0
    tmp = stem.with_suffix(".tmp")
    with open(tmp, "wb") as out:
        for batch in batches(files):
            if size >= limit:
                break
            size += sum(len(t.encode()) for t in batch)
            for enc in tk.encode_batch_fast(batch, add_special_tokens=False):
                ids = np.array([tokenizer.START_ID, *enc.ids], dtype=np.uint16)
                offsets.append(tokens)
                tokens += len(ids)
                out.write(ids.tobytes())
    os.replace(tmp, stem.with_suffix(".bin"))
    np.save(stem.with_suffix(".npy"), np.array(offsets, dtype=np.int64))
    return tokens, size, len(offsets)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--corpus", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--vocab", type=int, default=8192)
    ap.add_argument("--sample", type=float, default=10, help="millions of characters a category for the tokenizer")
    ap.add_argument("--limit", type=float, default=float("inf"), help="millions of bytes of each category to encode")
    ap.add_argument("--tokenizer", type=Path, help="take the tokenizer of this GGUF file instead of training one")
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    begin = time.time()

    def say(*words):
        print(f"{time.time() - begin:6.0f} s", *words, flush=True)

    if args.tokenizer:
        tk = tokenizer.from_gguf(args.tokenizer)
    else:
        texts = sample(args.corpus, args.sample * 1e6, random.Random(args.seed))
        tk = tokenizer.train(texts, args.vocab)
    tk.save(str(args.out / "tokenizer.json"))
    say("tokenizer", tk.get_vocab_size(), "tokens")
    meta = {"vocab": tk.get_vocab_size(), "parts": {}}
    for split in ("valid", "train"):
        for category in CATEGORIES:
            name = f"{split}-{category}"
            tokens, size, docs = encode(tk, parts(args.corpus, split, category), args.out / name, args.limit * 1e6)
            meta["parts"][name] = {"tokens": tokens, "bytes": size, "documents": docs}
            say(f"{name}: {docs} documents, {size} bytes, {tokens} tokens, {size / tokens:.3f} bytes a token")
    (args.out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


if __name__ == "__main__":
    main()
