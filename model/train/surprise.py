"""How surprised a context mixer is by each token of the training text, so that training can leave out what it knows.

Writes OUT/train-<category>.cost beside the token arrays of prepare.py: a byte for each of the first tokens, in eighths
of a bit, of what lma's codec `cm` spends on it in chunks of 64 KiB. PROGRAM is the example `surprise`.
"""
import argparse
import os
import subprocess
import threading
from pathlib import Path

import numpy as np

import tokenizer
from prepare import CATEGORIES

PIECE = 1 << 20  # tokens at once


def spell(ids, lengths, table):
    """Bytes of the tokens."""
    width = table.shape[1]
    return table[ids][np.arange(width) < lengths[ids][:, None]]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    ap.add_argument("--program", type=Path, required=True)
    ap.add_argument("--tokens", required=True, help="millions of each category, such as prose=10,code=5")
    args = ap.parse_args()
    words = tokenizer.token_bytes(tokenizer.vocab_and_merges(args.data / "tokenizer.json")[0])
    lengths = np.array([len(w) for w in words])
    table = np.zeros((len(words), lengths.max()), dtype=np.uint8)
    for row, word in zip(table, words):
        row[: len(word)] = np.frombuffer(word, dtype=np.uint8)
    millions = dict(w.split("=") for w in args.tokens.split(","))
    for category in CATEGORIES:
        path = args.data / f"train-{category}.bin"
        ids = np.memmap(path, dtype=np.uint16, mode="r")[: int(float(millions.get(category, 0)) * 1e6)]
        if len(ids) == 0:
            continue
        pieces = [ids[i : i + PIECE] for i in range(0, len(ids), PIECE)]
        with subprocess.Popen([args.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:

            def feed(program=program, pieces=pieces):
                for piece in pieces:
                    program.stdin.write(spell(piece, lengths, table).tobytes())
                program.stdin.close()

            feeder = threading.Thread(target=feed)
            feeder.start()
            tmp = path.with_suffix(".tmp")
            with open(tmp, "wb") as out:
                for piece in pieces:
                    ends = np.cumsum(lengths[piece])
                    raw = program.stdout.read(int(ends[-1]))
                    if len(raw) != ends[-1]:
                        raise SystemExit(f"{args.program} stopped early")
                    sums = np.concatenate([[0], np.cumsum(np.frombuffer(raw, dtype=np.uint8), dtype=np.int64)])
                    costs = (sums[ends] - sums[ends - lengths[piece]]) // 2
                    out.write(np.minimum(costs, 255).astype(np.uint8).tobytes())
            feeder.join()
        os.replace(tmp, path.with_suffix(".cost"))
        print(category, len(ids), "tokens", flush=True)


if __name__ == "__main__":
    main()
