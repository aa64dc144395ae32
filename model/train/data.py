"""Token arrays as an endless, deterministic stream of training windows."""
import json
from pathlib import Path

import numpy as np

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

    def weights(self, tokens, at):
        """Weights of the losses of `tokens`, the first of which is the one at `at`.

        The start token ends no text: 0. One that a context mixer predicts with probability p: 1 - p, as the
        gradient of a mixture would have it, but no less than FLOOR.
        """
        weights = np.ones(len(tokens), dtype=np.float32)
        if self.costs is not None:
            bits = self.costs[at : at + len(tokens)].astype(np.float32) / 8
            weights = np.maximum(1 - np.exp2(-bits), FLOOR)
        weights[tokens == START_ID] = 0
        return weights


class Order:
    """Numbers below n, each once an epoch, in an order that only depends on the key and the epoch."""

    def __init__(self, n, key):
        self.n, self.key, self.epoch, self.order = n, key, None, None

    def __getitem__(self, i):
        epoch, at = divmod(i, self.n)
        if epoch != self.epoch:
            self.epoch = epoch
            self.order = np.random.default_rng([*self.key, epoch]).permutation(self.n)
        return int(self.order[at])


class Stream:
    """Batches of windows of `time` tokens. Its state is `counts`, and the number of the batch is the caller's."""

    def __init__(self, folder, weights, time, seed, costs=False):
        self.names = sorted(weights)
        total = sum(weights.values())
        self.shares = [weights[n] / total for n in self.names]
        self.time, self.seed = time, seed
        self.parts = [Part(folder, f"train-{n}", costs) for n in self.names]
        self.windows = [Order((len(p.tokens) - 1) // time - 1, (seed, i, 0)) for i, p in enumerate(self.parts)]
        self.starts = [Order(len(p.documents), (seed, i, 1)) for i, p in enumerate(self.parts)]
        self.counts = [[0, 0] for _ in self.names]

    def _window(self, i, mode, rng):
        part, counts, time = self.parts[i], self.counts[i], self.time
        if mode < DOCUMENT:
            at = int(part.documents[self.starts[i][counts[1]]])
            counts[1] += 1
            at = min(at, len(part.tokens) - time - 1)
            row = part.tokens[at : at + time + 1].astype(np.int64)
            return row, part.weights(row[1:], at + 1)
        at = self.windows[i][counts[0]] * time + int(rng.integers(time))
        counts[0] += 1
        row = part.tokens[at : at + time + 1].astype(np.int64)
        row[1:] = row[:-1].copy()
        row[0] = START_ID
        return row, part.weights(row[1:], at)

    def batch(self, number, size):
        """Tokens, the tokens after them, and the weights of the latter's losses."""
        rng = np.random.default_rng([self.seed, 7, number])
        which = rng.choice(len(self.names), size, p=self.shares)
        mode = rng.random(size)
        rows, weights = zip(*(self._window(i, m, rng) for i, m in zip(which, mode)))
        rows = np.stack(rows)
        return rows[:, :-1], rows[:, 1:], np.stack(weights)


class Validation:
    """A fixed set of windows of each category, each beginning with the start token at a random place."""

    def __init__(self, folder, names, time, windows):
        rng = np.random.default_rng(5)
        self.rows = {}
        for name in names:
            tokens = Part(folder, f"valid-{name}").tokens
            at = rng.integers(0, len(tokens) - time, windows)
            body = np.stack([tokens[i : i + time] for i in at]).astype(np.int64)
            self.rows[name] = np.concatenate([np.full((windows, 1), START_ID), body], 1)


def byte_lengths(folder):
    """Bytes of each token."""
    tokens, _ = vocab_and_merges(Path(folder) / "tokenizer.json")
    return np.array([len(t) for t in token_bytes(tokens)])


def vocab_size(folder):
    return json.loads((Path(folder) / "meta.json").read_text())["vocab"]
