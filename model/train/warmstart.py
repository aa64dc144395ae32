"""Starts a model from a smaller GGUF model of the same kind (F32 or Q8_0), or from a checkpoint with a wider SwiGLU.

The new model computes about what the old one does: new entries of the residual stream are nearly empty at first and
new layers write nothing. Tokens of another tokenizer start as the mean of the old tokens that spell them. A narrower
SwiGLU keeps the channels that write most.
"""
import math

import torch

import tokenizer
from model import EMBED_SCALE


def read(path):
    """Tensors of a GGUF file by name, in float32, and its metadata."""
    import gguf

    reader = gguf.GGUFReader(path)
    tensors = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()) for t in reader.tensors}
    return tensors, reader.fields


def split_halves(w, heads):
    """From llama's order of a rotated head's rows (pairs side by side) to this one's (halves)."""
    dim = w.shape[0] // heads
    return w.view(heads, dim // 2, 2, -1).transpose(1, 2).reshape(heads * dim, -1)


def state_from_gguf(path):
    """(state dict in model.py's layout, heads, sliding window if any) of a GGUF file that export.py could have written."""
    t, fields = read(path)
    heads = int(fields["llama.attention.head_count"].contents())
    layers = int(fields["llama.block_count"].contents())
    if int(fields["llama.attention.head_count_kv"].contents()) != 1:
        raise SystemExit(f"{path}: one key/value head is expected")
    state = {"embed.weight": t["token_embd.weight"], "norm": t["output_norm.weight"]}
    for i in range(layers):
        g, b = f"blk.{i}.", f"blocks.{i}."
        q = split_halves(t[g + "attn_q.weight"], heads)
        k = split_halves(t[g + "attn_k.weight"], 1)
        state[b + "qkv.weight"] = torch.cat([q, k, t[g + "attn_v.weight"]])
        state[b + "out.weight"] = t[g + "attn_output.weight"] * EMBED_SCALE
        state[b + "gate_up.weight"] = torch.cat([t[g + "ffn_gate.weight"], t[g + "ffn_up.weight"]])
        state[b + "down.weight"] = t[g + "ffn_down.weight"] * EMBED_SCALE
        state[b + "attn_norm"] = t[g + "attn_norm.weight"]
        state[b + "ffn_norm"] = t[g + "ffn_norm.weight"]
    window = fields.get("lma.sliding_window")
    return state, heads, int(window.contents()) if window else None


def place(old, rows, columns, row_noise, column_noise):
    """`old` in the corner of a larger matrix; what is new is noise relative to the spread of `old`."""
    noise = torch.randn(rows, columns) * old.std()
    noise[: old.shape[0]] *= column_noise
    noise[old.shape[0] :] *= row_noise
    noise[: old.shape[0], : old.shape[1]] = old
    return noise


def translate(embed, old_path, new_json):
    """Rows of `embed` for the tokens of another tokenizer."""
    old = tokenizer.from_gguf(old_path)
    ids = old.get_vocab()
    tokens, _ = tokenizer.vocab_and_merges(new_json)
    rows, same = [], 0
    for token, raw in zip(tokens, tokenizer.token_bytes(tokens)):
        if token in ids:
            rows.append(embed[ids[token]])
            same += 1
            continue
        text = raw.decode("utf-8", "surrogateescape")
        pieces = old.encode(text).ids if text.isprintable() or text.isspace() else []
        if not pieces:
            pieces = [ids[c] for c in token]
        rows.append(embed[pieces].mean(0))
    print(f"{same} of {len(tokens)} tokens are the old model's")
    return torch.stack(rows)


def grow(model, path, new_json):
    """Fills `model` from the GGUF file `path`."""
    c = model.config
    old, heads, _ = state_from_gguf(path)
    embed = translate(old["embed.weight"], path, new_json)
    width = embed.shape[1]
    ratio = math.sqrt(width / c.width)  # the norm sees the same sum over more entries

    def norm(v):
        return torch.cat([v, v.mean().expand(c.width - width)]) * ratio

    new = model.state_dict()
    new["embed.weight"] = place(embed, c.vocab, c.width, 0, 0.1)
    new["norm"] = norm(old["norm"])
    for i in range(c.layers):
        b = f"blocks.{i}."
        if b + "qkv.weight" not in old:
            new[b + "out.weight"].zero_()
            new[b + "down.weight"].zero_()
            continue
        hd = c.head_dim
        qkv = old[b + "qkv.weight"]
        q = place(qkv[: heads * hd], c.heads * hd, c.width, 1, 0.5)
        kv = place(qkv[heads * hd :], 2 * hd, c.width, 1, 0.5)
        new[b + "qkv.weight"] = torch.cat([q, kv])
        new[b + "out.weight"] = place(old[b + "out.weight"], c.width, c.width, 0.25, 0)
        halves = old[b + "gate_up.weight"].chunk(2)
        new[b + "gate_up.weight"] = torch.cat([place(h, c.ff, c.width, 1, 0.5) for h in halves])
        new[b + "down.weight"] = place(old[b + "down.weight"], c.width, c.ff, 0.25, 0)
        new[b + "attn_norm"] = norm(old[b + "attn_norm"])
        new[b + "ffn_norm"] = norm(old[b + "ffn_norm"])
    model.load_state_dict(new)


def narrow(model, path):
    """Fills `model` from the checkpoint `path`, which differs from it in nothing but a wider SwiGLU."""
    old = torch.load(path, map_location="cpu", weights_only=True)["model"]
    for i in range(model.config.layers):
        gate_up, down = f"blocks.{i}.gate_up.weight", f"blocks.{i}.down.weight"
        gate, up = old[gate_up].chunk(2)
        strength = gate.norm(dim=1) * up.norm(dim=1) * old[down].norm(dim=0)
        kept = strength.topk(model.config.ff).indices.sort().values
        old[gate_up] = torch.cat([gate[kept], up[kept]])
        old[down] = old[down][:, kept]
    model.load_state_dict(old)
