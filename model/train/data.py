"""Token arrays as an endless, deterministic stream of training windows."""
import json
from pathlib import Path

import numpy as np
import torch

from tokenizer import START_ID, token_bytes, vocab_and_merges

# The share of rows that begin at a document's start; the others begin at a random place, as a chunk of an archive does.
DOCUMENT = 0.25
FLOOR = 0.05


class Part:
    """The tokens of one category of one split; where costs are wanted, those that have one (surprise.py)."""

    def __init__(self, folder, name, costs=False):
        self.tokens = np.memmap(Path(folder) / f"{name}.bin", dtype=np.uint16, mode="r")
        self.documents = np.load(Path(folder) / f"{name}.npy")
        self.costs = None
        if costs:
            self.costs = np.memmap(Path(folder) / f"{name}.cost", dtype=np.uint8, mode="r")
            self.tokens = self.tokens[: len(self.costs)]
            self.documents = self.documents[self.documents < len(self.costs)]


class Order:
    """Numbers below n, each once an epoch, in an order that only depends on the key and the epoch."""

    def __init__(self, n, key):
        self.n, self.key, self.epoch, self.order = n, key, None, None

    def take(self, first, count):
        """Those at `first` and the `count - 1` places after it."""
        places = np.arange(first, first + count)
        found = np.empty(count, dtype=np.int64)
        for epoch in np.unique(places // self.n):
            if epoch != self.epoch:
                self.epoch = epoch
                self.order = np.random.default_rng([*self.key, int(epoch)]).permutation(self.n)
            here = places // self.n == epoch
            found[here] = self.order[places[here] % self.n]
        return found


class Stream:
    """Batches of rows of `time` tokens, on `device`. Its state is `counts`, and the number of the batch is the caller's."""

    def __init__(self, folder, weights, time, seed, costs=False, device="cpu"):
        self.names = sorted(weights)
        total = sum(weights.values())
        self.shares = [weights[n] / total for n in self.names]
        self.time, self.seed = time, seed
        parts = [Part(folder, f"train-{n}", costs) for n in self.names]
        self.sizes = [len(p.tokens) for p in parts]
        self.begins = np.cumsum([0, *self.sizes])
        self.documents = [p.documents for p in parts]
        self.windows = [Order((n - 1) // time - 1, (seed, i, 0)) for i, n in enumerate(self.sizes)]
        self.starts = [Order(len(d), (seed, i, 1)) for i, d in enumerate(self.documents)]
        self.counts = [[0, 0] for _ in self.names]
        self.tokens = torch.from_numpy(np.concatenate([p.tokens for p in parts]).view(np.int16)).to(device)
        self.costs = None
        if costs:
            self.costs = torch.from_numpy(np.concatenate([p.costs for p in parts])).to(device)

    def places(self, number, size):
        """Where the targets of the rows of batch `number` begin."""
        rng = np.random.default_rng([self.seed, 7, number])
        which = rng.choice(len(self.names), size, p=self.shares)
        whole = rng.random(size) < DOCUMENT
        offsets = rng.integers(self.time, size=size)
        found = np.empty(size, dtype=np.int64)
        for i, counts in enumerate(self.counts):
            inside, first = (which == i) & ~whole, (which == i) & whole
            n, m = int(inside.sum()), int(first.sum())
            found[inside] = self.windows[i].take(counts[0], n) * self.time + offsets[inside]
            # Behind the document's start token, which every row gets anyway.
            found[first] = np.minimum(self.documents[i][self.starts[i].take(counts[1], m)] + 1, self.sizes[i] - self.time)
            found[which == i] += self.begins[i]
            counts[0] += n
            counts[1] += m
        return found

    def batch(self, number, size):
        """Tokens, the tokens after them, and the weights of the latter's losses.

        The start token ends no text: weight 0. One that a context mixer predicts with probability p: 1 - p, as the
        gradient of a mixture would have it, but no less than FLOOR.
        """
        places = torch.from_numpy(self.places(number, size)).to(self.tokens.device)
        at = places[:, None] + torch.arange(self.time, device=places.device)
        targets = self.tokens[at].long()
        rows = torch.cat([torch.full_like(targets[:, :1], START_ID), targets[:, :-1]], 1)
        weights = torch.ones_like(targets, dtype=torch.float32)
        if self.costs is not None:
            weights = (1 - torch.exp2(self.costs[at].float() / -8)).clamp(min=FLOOR)
        return rows, targets, torch.where(targets == START_ID, 0.0, weights)


class Sample:
    """A fixed set of windows of each category of a split, each beginning with the start token at a random place."""

    def __init__(self, folder, names, time, windows, split="valid"):
        rng = np.random.default_rng(5)
        self.rows = {}
        for name in names:
            # Of the training split, what `--surprise` trains on.
            costs = (Path(folder) / f"{split}-{name}.cost").exists()
            tokens = Part(folder, f"{split}-{name}", costs).tokens
            at = rng.integers(0, len(tokens) - time, windows)
            body = np.stack([tokens[i : i + time] for i in at]).astype(np.int64)
            self.rows[name] = np.concatenate([np.full((windows, 1), START_ID), body], 1)


def byte_lengths(folder):
    """Bytes of each token."""
    tokens, _ = vocab_and_merges(Path(folder) / "tokenizer.json")
    return np.array([len(t) for t in token_bytes(tokens)])


def vocab_size(folder):
    return json.loads((Path(folder) / "meta.json").read_text())["vocab"]
