"""Bits per byte of the model alone, of a checkpoint or an exported GGUF file (its weights dequantised).

With `--rows`, of rows of 1024 tokens from anywhere in both splits: how much better the model knows what it was trained
on. Else text is cut into blocks; each is coded from nothing, as in spec/lm-codec.md §4: the context slides as the model says,
or as --window does. It is computed in overlapping rows, long enough to give the figures of one row.
"""
import argparse
import math
from pathlib import Path

import numpy as np
import torch

import data
import tokenizer
import warmstart
from model import Config, Model
from prepare import CATEGORIES


ROW = 2048  # tokens


def from_checkpoint(path, average, window=None):
    saved = torch.load(path, map_location="cpu", weights_only=True)
    config = saved["settings"]["model"] | {"context": ROW}
    model = Model(Config(**config | ({"window": window} if window else {})))
    model.load_state_dict(saved["optimizer"]["average"] if average else saved["model"])
    return model, tokenizer.load(Path(saved["settings"]["data"]) / "tokenizer.json")


def from_gguf(path, window=None):
    state, heads, says = warmstart.state_from_gguf(path)
    vocab, width = state["embed.weight"].shape
    layers = sum(n.endswith("qkv.weight") for n in state)
    ff = state["blocks.0.down.weight"].shape[1]
    model = Model(Config(vocab, width, layers, heads, width // heads, ff, ROW, window or says or 256))
    model.load_state_dict(state)
    return model, tokenizer.from_gguf(path)


def rows_of(count, reach):
    """(first token fed, tokens fed, tokens whose predictions are not used) for `count` tokens behind the start, where a
    prediction depends on `reach` tokens."""
    at, skip = 0, 0
    while True:
        length = min(ROW, count - at)
        yield at, length, skip
        if at + length >= count:
            return
        at, skip = at + ROW - reach + 1, reach - 1


@torch.no_grad()
def bits(model, blocks, batch, fast):
    """Total bits of blocks of tokens, each without its start token."""
    reach = model.config.layers * (model.config.window - 1) + 1
    if reach > ROW - 256:
        raise SystemExit(f"a window of {model.config.window} tokens is too large for rows of {ROW}")
    rows, real = [], []
    for block in blocks:
        ids = np.concatenate([[tokenizer.START_ID], block])
        for at, length, skip in rows_of(len(block), reach):
            row = np.zeros(ROW + 1, dtype=np.int64)
            row[: length + 1] = ids[at : at + length + 1]
            keep = np.zeros(ROW, dtype=bool)
            keep[skip:length] = True
            rows.append(row)
            real.append(keep)
    total = 0.0
    for i in range(0, len(rows), batch):
        x = torch.from_numpy(np.stack(rows[i : i + batch]))
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            nats = model.token_losses(x[:, :-1].contiguous(), x[:, 1:].contiguous())
        total += nats[torch.from_numpy(np.stack(real[i : i + batch]))].sum().item()
    return total / math.log(2)


def validation_blocks(folder, category, limit, size, lengths):
    """Blocks of about `size` bytes from the beginnings of documents, until `limit` tokens; (blocks, bytes)."""
    part = data.Part(folder, f"valid-{category}")
    ends = np.append(part.documents[1:], len(part.tokens))
    blocks, tokens, total = [], 0, 0
    for a, b in zip(part.documents, ends):
        ids = part.tokens[a + 1 : b].astype(np.int64)
        ids = ids[: np.searchsorted(np.cumsum(lengths[ids]), size)]
        if len(ids) and tokens < limit:
            blocks.append(ids)
            tokens += len(ids)
            total += int(lengths[ids].sum())
    return blocks, total


@torch.no_grad()
def rows(model, folder, count, batch, lengths, fast):
    """Prints the bits per byte of `count` rows of each category of both splits."""
    lengths = torch.from_numpy(lengths)
    for split in ("train", "valid"):
        for name, ids in data.Sample(folder, CATEGORIES, 1024, count, split).rows.items():
            total = size = 0.0
            for x in torch.from_numpy(ids).split(batch):
                with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                    nats = model.token_losses(x[:, :-1].contiguous(), x[:, 1:].contiguous())
                total += nats[x[:, 1:] != tokenizer.START_ID].sum().item() / math.log(2)
                size += lengths[x[:, 1:]].sum().item()
            print(f"{split:6} {name:17} {int(size):9} bytes {total / size:.4f} bits per byte", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model", type=Path, help="checkpoint (.pt) or GGUF file")
    ap.add_argument("--data", type=Path, help="folder of prepare.py: evaluate on its validation split")
    ap.add_argument("--file", type=Path, action="append", default=[], help="evaluate on the beginning of this file")
    ap.add_argument("--average", action="store_true", help="take the checkpoint's running average of the weights")
    ap.add_argument("--window", type=int, help="tokens that one attends to; those that the model says")
    ap.add_argument("--block", type=int, default=65536, help="bytes coded from nothing")
    ap.add_argument("--limit", type=int, default=150_000, help="tokens of each category; bytes of a file: 16 times")
    ap.add_argument("--rows", type=int, help="evaluate on so many rows of each category of both splits of --data")
    ap.add_argument("--batch", type=int, default=2)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--bf16", action="store_true", help="faster, less exact")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    if args.model.suffix == ".gguf":
        model, tk = from_gguf(args.model, args.window)
    else:
        model, tk = from_checkpoint(args.model, args.average, args.window)

    def report(name, blocks, size):
        b = bits(model, blocks, args.batch, args.bf16)
        print(f"{name:24} {size:9} bytes {sum(map(len, blocks)):8} tokens {b / size:.4f} bits per byte", flush=True)
        return b / size

    if args.rows:
        rows(model, args.data, args.rows, args.batch, data.byte_lengths(args.data), args.bf16)
    elif args.data:
        lengths = data.byte_lengths(args.data)
        found = [
            report(c, *validation_blocks(args.data, c, args.limit, args.block, lengths)) for c in CATEGORIES
        ]
        print(f"{'mean':24} {sum(found) / len(found):.4f}")
    for file in args.file:
        raw = file.read_bytes()[: 16 * args.limit]
        texts = [raw[i : i + args.block] for i in range(0, len(raw), args.block)]
        blocks = [np.array(tk.encode(t.decode("utf-8", "replace")).ids) for t in texts]
        report(file.name, blocks, len(raw))


if __name__ == "__main__":
    main()
