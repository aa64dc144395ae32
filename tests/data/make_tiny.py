#!/usr/bin/env python3
"""Builds tiny.gguf, the language model of the tests, from tiny_counts.txt.

    make_tiny.py build            write tiny.gguf, if its SHA-256 is the pinned one
    make_tiny.py eval FILE...     bits per byte of the model on the first 4 KiB of each file
    make_tiny.py ablate FILE...   how much each part of the network moves the logits
    make_tiny.py count FILE...    learn the merges, count the bigrams, write tiny_counts.txt

Needs Python 3 and numpy. `count` was run once; `build` never reads a corpus.

The embedding and the output matrix are a rank-64 bigram model: the logits after token `i` are
RMSNorm(emb[i]) . out^T, fitted by cross-entropy to smoothed bigram counts. Attention and the
feed-forward layers are random and weak: they do not help the prediction, but each of them moves
the logits enough that leaving one out, or rotating a head wrongly, is seen.
"""

import collections
import hashlib
import pathlib
import re
import struct
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
COUNTS, MODEL = HERE / "tiny_counts.txt", HERE / "tiny.gguf"
SHA256 = "7f32dfa83de760e2b8106cdd64a5f2a4d0aedbf90a537dc9e295bcdc6e0e17ee"

SEED = 20240607
MERGES = 127
VOCAB = 1 + 256 + MERGES
D, LAYERS, HEADS, HEAD_DIM, FF, CONTEXT = 64, 2, 2, 32, 128, 128
EPS, ROPE_BASE = 1e-5, 10000.0

# --- Tokenizer: byte-level BPE -----------------------------------------------------------------
# Token 0 is the control token, 1 + b is the byte b, the rest are the merges in order.


def byte_chars():
    """GPT-2's printable character for each byte."""
    kept = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(b) if b in kept else chr(next(others)) for b in range(256)]


BYTE_CHARS = byte_chars()
# Qwen 2's pre-tokeniser. `re` has no \p{N}: digits stand for it, and other numerals count as letters.
PIECE = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|(?:[^\r\n\w]|_)?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def pieces(text):
    return ["".join(BYTE_CHARS[b] for b in m.encode()) for m in PIECE.findall(text)]


def merge_pair(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.tokens = ["<|start|>"] + BYTE_CHARS + [a + b for a, b in self.merges]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.cache = {}

    def piece(self, piece):
        if piece not in self.cache:
            symbols = list(piece)
            while True:
                ranked = [self.rank[p] for p in zip(symbols, symbols[1:]) if p in self.rank]
                if not ranked:
                    break
                symbols = merge_pair(symbols, self.merges[min(ranked)])
            self.cache[piece] = [self.ids[s] for s in symbols]
        return self.cache[piece]

    def encode(self, text):
        return [t for p in pieces(text) for t in self.piece(p)]


# --- tiny_counts.txt ---------------------------------------------------------------------------
# One line per merge ("m LEFT RIGHT"), then one line per token ("c CELLS"): the counts of the token
# that follows, as levels round(3 log2(1 + n)), level L as the character 32 + L, empty cells as
# "~" + the decimal length of their run + "~".


def learn_merges(documents):
    words = collections.Counter(p for text in documents for p in pieces(text))
    words = [(list(w), n) for w, n in words.items() if n > 1]
    merges = []
    while len(merges) < MERGES:
        pairs = collections.Counter()
        for symbols, n in words:
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        joined = best[0] + best[1]
        words = [(merge_pair(s, best) if joined in "".join(s) else s, n) for s, n in words]
    return merges


def count(paths):
    """Each file is a set of documents separated by a NUL byte."""
    documents = [d for p in paths for d in pathlib.Path(p).read_text("utf-8").split("\0") if d]
    tokenizer = Tokenizer(learn_merges(documents))
    table = np.zeros((VOCAB, VOCAB))
    for text in documents:
        ids = np.array([0] + tokenizer.encode(text))
        np.add.at(table, (ids[:-1], ids[1:]), 1)
    table[table < 3] = 0
    with COUNTS.open("w", encoding="utf-8", newline="\n") as out:
        for a, b in tokenizer.merges:
            out.write(f"m {a} {b}\n")
        for row in np.rint(3 * np.log2(1 + table)).astype(int):
            cells = "".join(chr(32 + level) if level else "\0" for level in row)
            out.write("c " + re.sub("\0+", lambda m: f"~{len(m[0])}~", cells) + "\n")


def read_counts():
    lines = COUNTS.read_text("utf-8").split("\n")
    merges = [line.split(" ")[1:] for line in lines if line.startswith("m ")]
    rows = []
    for line in (line for line in lines if line.startswith("c ")):
        cells = re.sub(r"~(\d+)~", lambda m: " " * int(m[1]), line[2:])
        rows.append([round(2 ** ((ord(c) - 32) / 3)) - 1 for c in cells])
    table = np.array(rows, dtype=float)
    assert len(merges) == MERGES and table.shape == (VOCAB, VOCAB)
    return Tokenizer(merges), table


# --- Weights -----------------------------------------------------------------------------------


# `build` gives the same bytes on every machine: sums and products of matrices depend on the order
# of their terms (numpy's and BLAS's kernels differ), so each is taken over multiples of a power of
# two, small enough (below 2^53 in all) to be exact. What is left, + - * / and sqrt of one element,
# IEEE 754 rounds in one way; exp, log and normally distributed numbers it does not, and they are
# avoided.


def grid(x, bits):
    """The nearest multiple of 2^-bits."""
    return np.rint(x * 2.0**bits) / 2.0**bits


def exp(x):
    """e^x for x <= 0, by multiplication alone."""
    x = np.maximum(x, -40) / 1024
    y = 1 + x * (1 + x * (1 / 2 + x * (1 / 6)))
    for _ in range(10):
        y = y * y
    return y


def inverse_rms(x):
    """For rows of multiples of 2^-18 below 32."""
    return 1 / np.sqrt((x * x).sum(1, keepdims=True) / D)


def smoothed(table):
    """Bigram probabilities, each row backing off to the unigram and that to a uniform floor."""
    seen, unigram = table.sum(1), table.sum(0)
    unigram[0] = 0
    unigram = 0.99 * unigram / unigram.sum() + 0.01 / (VOCAB - 1)
    unigram[0] = 1e-5
    return (table + 20 * unigram) / (seen[:, None] + 20), seen


def gradients(emb, out, target, weight):
    scale = inverse_rms(emb)
    x, y = grid(emb * scale, 14), grid(out, 14)
    logits = x @ y.T
    p = grid(exp(logits - logits.max(1, keepdims=True)), 30)
    p /= p.sum(1, keepdims=True)
    error = grid(weight * (p - target), 30)
    gx = error @ y
    along = grid(gx * x, 40).sum(1, keepdims=True) / D
    return scale * (gx - x * along), error.T @ x + 1e-6 * out


def fit_bigrams(table, random, steps=1000):
    """Embedding (rows of RMS 1) and output matrix minimising the weighted cross-entropy, by Adam."""
    target, seen = smoothed(table)
    weight = np.rint(np.sqrt(seen + 100))
    weight = (weight / weight.sum())[:, None]
    params = [grid(spread(random, (VOCAB, D), scale), 18) for scale in (1, 0.05)]
    first, second = [np.zeros((VOCAB, D))] * 2, [np.zeros((VOCAB, D))] * 2
    decay1 = decay2 = 1.0
    for step in range(steps):
        grads = gradients(*params, target, weight)
        decay1, decay2 = decay1 * 0.9, decay2 * 0.99
        rate = 0.05 * (1 - step / steps)
        for k in range(2):
            first[k] = 0.9 * first[k] + 0.1 * grads[k]
            second[k] = 0.99 * second[k] + 0.01 * (grads[k] * grads[k])
            m, v = first[k] / (1 - decay1), second[k] / (1 - decay2)
            params[k] = grid(params[k] - rate * m / (np.sqrt(v) + 1e-9), 18)
    assert max(np.abs(p).max() for p in params) < 32
    return params[0] * inverse_rms(params[0]), params[1]


def spread(random, shape, deviation):
    """Uniform numbers of that standard deviation."""
    return (2 * random.random_sample(shape) - 1) * (deviation * 3**0.5)


# The scale of each matrix times the root of its width: each part moves the logits by about 0.2.
SCALES = {"attn_q": 1.5, "attn_k": 1.5, "attn_v": 1.0, "attn_output": 0.1,
          "ffn_gate": 1.5, "ffn_up": 1.0, "ffn_down": 0.06}  # fmt: skip
SHAPES = {"attn_q": (HEADS * HEAD_DIM, D), "attn_k": (HEAD_DIM, D), "attn_v": (HEAD_DIM, D),
          "attn_output": (D, HEADS * HEAD_DIM), "ffn_gate": (FF, D), "ffn_up": (FF, D),
          "ffn_down": (D, FF)}  # fmt: skip


def make_weights(table):
    # RandomState: the one numpy generator whose stream is frozen for good.
    random = np.random.RandomState(SEED)
    emb, out = fit_bigrams(table, random)
    # Norm weights that differ from one, with the output matrix divided by the last of them.
    norm = lambda: (1 + spread(random, D, 0.12)).astype("<f4")
    last = norm()
    weights = {"token_embd.weight": emb, "output_norm.weight": last, "output.weight": out / last}
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        weights[prefix + "attn_norm.weight"] = norm()
        weights[prefix + "ffn_norm.weight"] = norm()
        for name, (rows, cols) in SHAPES.items():
            matrix = spread(random, (rows, cols), SCALES[name] / np.sqrt(cols))
            weights[f"{prefix}{name}.weight"] = matrix
    return weights


def q8_0(matrix):
    """Blocks of 32: an f16 step and 32 i8 values. Returns the bytes and what they decode to."""
    x = matrix.astype("<f4").reshape(-1, 32)
    step = np.abs(x).max(1, keepdims=True) / np.float32(127)
    scaled = np.divide(x, step, out=np.zeros_like(x), where=step > 0)
    values = (np.sign(scaled) * np.floor(np.abs(scaled) + np.float32(0.5))).astype("i1")
    half = step.astype("<f2")
    data = np.concatenate([half.view("u1"), values.view("u1")], 1).tobytes()
    return data, (half.astype("<f4") * values).reshape(matrix.shape)


# --- GGUF v3 -----------------------------------------------------------------------------------

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
GGML_F32, GGML_Q8_0, ALIGNMENT = 0, 8, 32


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def pack(kind, value):
    if kind == STRING:
        return string(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def metadata(tokenizer):
    merges = [f"{a} {b}" for a, b in tokenizer.merges]
    return [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, "lma test model"),
        ("general.license", STRING, "CC0-1.0"),
        ("general.file_type", U32, 7),  # mostly Q8_0
        ("general.quantization_version", U32, 2),
        ("llama.context_length", U32, CONTEXT),
        ("llama.embedding_length", U32, D),
        ("llama.block_count", U32, LAYERS),
        ("llama.feed_forward_length", U32, FF),
        ("llama.attention.head_count", U32, HEADS),
        ("llama.attention.head_count_kv", U32, 1),
        ("llama.attention.layer_norm_rms_epsilon", F32, EPS),
        ("llama.rope.dimension_count", U32, HEAD_DIM),
        ("llama.rope.freq_base", F32, ROPE_BASE),
        ("llama.vocab_size", U32, VOCAB),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "qwen2"),
        ("tokenizer.ggml.tokens", (ARRAY, STRING), tokenizer.tokens),
        ("tokenizer.ggml.token_type", (ARRAY, I32), [3] + [1] * (VOCAB - 1)),  # control, normal
        ("tokenizer.ggml.merges", (ARRAY, STRING), merges),
        ("tokenizer.ggml.bos_token_id", U32, 0),
        ("tokenizer.ggml.eos_token_id", U32, 0),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
    ]


def gguf(tokenizer, weights):
    """The bytes of the file, and the weights as a reader will see them."""
    pairs, infos, data, decoded = [], [], b"", {}
    for key, kind, value in metadata(tokenizer):
        if isinstance(kind, tuple):
            body = struct.pack("<IIQ", ARRAY, kind[1], len(value))
            body += b"".join(pack(kind[1], v) for v in value)
        else:
            body = struct.pack("<I", kind) + pack(kind, value)
        pairs.append(string(key) + body)
    for name, array in weights.items():
        if array.ndim == 2:
            kind, (body, decoded[name]) = GGML_Q8_0, q8_0(array)
        else:
            kind, body, decoded[name] = GGML_F32, array.astype("<f4").tobytes(), array
        dims = array.shape[::-1]  # the innermost first
        info = struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        infos.append(string(name) + info)
        data += body + bytes(-len(body) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs + infos)
    return head + bytes(-len(head) % ALIGNMENT) + data, decoded


# --- The forward pass, in numpy ----------------------------------------------------------------


def rms_norm(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPS) * weight


def rope(x):
    """Rotates the pairs (2i, 2i + 1) of each head; `x` is tokens x heads x HEAD_DIM."""
    angle = np.outer(np.arange(len(x)), ROPE_BASE ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM))
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


def forward(weights, ids, without=()):
    """Logits after each token. `without` leaves parts out: "rope", "attn.0", "ffn.1", ..."""
    h = weights["token_embd.weight"][ids].astype(float)
    n = len(ids)
    turn = (lambda x: x) if "rope" in without else rope
    for layer in range(LAYERS):
        w = {k: weights[f"blk.{layer}.{k}.weight"] for k in [*SHAPES, "attn_norm", "ffn_norm"]}
        if f"attn.{layer}" not in without:
            x = rms_norm(h, w["attn_norm"])
            q = turn((x @ w["attn_q"].T).reshape(n, HEADS, HEAD_DIM))
            k = turn((x @ w["attn_k"].T).reshape(n, 1, HEAD_DIM))[:, 0]
            scores = np.einsum("qhd,kd->hqk", q, k) / np.sqrt(HEAD_DIM)
            scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
            a = np.exp(scores - scores.max(-1, keepdims=True))
            a /= a.sum(-1, keepdims=True)
            mixed = np.einsum("hqk,kd->qhd", a, x @ w["attn_v"].T).reshape(n, -1)
            h = h + mixed @ w["attn_output"].T
        if f"ffn.{layer}" not in without:
            x = rms_norm(h, w["ffn_norm"])
            gate = x @ w["ffn_gate"].T
            h = h + (gate / (1 + np.exp(-gate)) * (x @ w["ffn_up"].T)) @ w["ffn_down"].T
    return rms_norm(h, weights["output_norm.weight"]) @ weights["output.weight"].T


def windows(tokenizer, path, size=4096):
    text = pathlib.Path(path).read_bytes()[:size].decode("utf-8", "ignore")
    ids = tokenizer.encode(text)
    cut = [[0] + ids[i : i + CONTEXT - 1] for i in range(0, len(ids), CONTEXT - 1)]
    return cut, len(text.encode()), len(ids)


def bits(weights, cut, without=()):
    total = 0.0
    for ids in cut:
        logits = forward(weights, ids[:-1], without)
        logits = logits - logits.max(1, keepdims=True)
        logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        total -= logp[np.arange(len(ids) - 1), ids[1:]].sum()
    return total / np.log(2)


def main(command, *paths):
    if command == "count":
        return count(paths)
    tokenizer, table = read_counts()
    data, weights = gguf(tokenizer, make_weights(table))
    digest = hashlib.sha256(data).hexdigest()
    print(f"{MODEL.name}: {len(data)} bytes, sha256 {digest}")
    if digest != SHA256:
        sys.exit(f"the pinned sha256 is {SHA256}: nothing written")
    if command == "build":
        MODEL.write_bytes(data)
    for path in paths:
        cut, size, tokens = windows(tokenizer, path)
        whole = bits(weights, cut)
        print(f"{path}: {size} bytes, {tokens} tokens, {whole / size:.4f} bits per byte")
        parts = [("rope",)] + [(f"{p}.{i}",) for i in range(LAYERS) for p in ("attn", "ffn")]
        parts.append(tuple(p for (p,) in parts))
        for without in parts if command == "ablate" else ():
            moved = forward(weights, cut[0], without) - forward(weights, cut[0])
            rate = bits(weights, cut, without) / size
            print(f"  without {'+'.join(without)}: logits move {moved.std():.3f}, {rate:.4f}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("build", "eval", "ablate", "count"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
