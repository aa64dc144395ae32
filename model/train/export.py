"""Checkpoint -> GGUF, llama architecture, Q8_0 (matrices and embedding) or what is asked for, with F32 norms."""
import argparse
from pathlib import Path

import gguf
import numpy as np
import torch

import tokenizer
from model import EMBED_SCALE, EPS, ROPE_BASE

TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F32")


def pair_up(w, heads):
    """From this model's order of a rotated head's rows (halves) to llama's (pairs side by side)."""
    dim = w.shape[0] // heads
    return w.view(heads, 2, dim // 2, -1).transpose(1, 2).reshape(heads * dim, -1)


def tensors(state, c):
    """GGUF tensors by name, float32."""
    out = {"token_embd.weight": state["embed.weight"], "output_norm.weight": state["norm"]}
    rows = c["heads"] * c["head_dim"]
    for i in range(c["layers"]):
        b, g = f"blocks.{i}.", f"blk.{i}."
        q, k, v = state[b + "qkv.weight"].split([rows, c["head_dim"], c["head_dim"]])
        out[g + "attn_norm.weight"] = state[b + "attn_norm"]
        out[g + "attn_q.weight"] = pair_up(q, c["heads"])
        out[g + "attn_k.weight"] = pair_up(k, 1)
        out[g + "attn_v.weight"] = v
        out[g + "attn_output.weight"] = state[b + "out.weight"] / EMBED_SCALE
        out[g + "ffn_norm.weight"] = state[b + "ffn_norm"]
        out[g + "ffn_gate.weight"], out[g + "ffn_up.weight"] = state[b + "gate_up.weight"].chunk(2)
        out[g + "ffn_down.weight"] = state[b + "down.weight"] / EMBED_SCALE
    return {n: np.ascontiguousarray(t.float().numpy()) for n, t in out.items()}


def metadata(w, c, args, tokens, merges):
    w.add_name(args.name)
    w.add_license(args.license)
    # What any other program, and lma where windows restart, may feed at a time.
    w.add_context_length(args.window or c["window"])
    w.add_embedding_length(c["width"])
    w.add_block_count(c["layers"])
    w.add_feed_forward_length(c["ff"])
    w.add_head_count(c["heads"])
    w.add_head_count_kv(1)
    w.add_rope_dimension_count(c["head_dim"])
    w.add_rope_freq_base(ROPE_BASE)
    w.add_layer_norm_rms_eps(EPS / EMBED_SCALE**2)
    w.add_vocab_size(len(tokens))
    w.add_file_type(gguf.LlamaFileType[("ALL_" if args.type == "F32" else "MOSTLY_") + args.type])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(tokens) - 1))
    w.add_token_merges(merges)
    w.add_bos_token_id(tokenizer.START_ID)
    w.add_eos_token_id(tokenizer.START_ID)
    w.add_add_bos_token(False)
    # lma's own: how many tokens one attends to, the context sliding along a text of any length.
    w.add_uint32("lma.sliding_window", args.window or c["window"])


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("checkpoint", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--average", action="store_true", help="take the running average of the weights")
    ap.add_argument("--name", default="lma default 8M")
    ap.add_argument("--license", default="CC0-1.0")
    ap.add_argument("--window", type=int, help="tokens that one attends to; those trained with")
    ap.add_argument("--type", choices=TYPES, default="Q8_0", help="of the blocks' matrices")
    ap.add_argument("--embedding-type", choices=TYPES, help="of the embedding, which is also the output; as the others")
    args = ap.parse_args()
    saved = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    state = saved["optimizer"]["average"] if args.average else saved["model"]
    tokens, merges = tokenizer.vocab_and_merges(Path(saved["settings"]["data"]) / "tokenizer.json")
    tmp = args.out.with_suffix(".tmp")
    w = gguf.GGUFWriter(tmp, "llama")
    metadata(w, saved["settings"]["model"], args, tokens, merges)
    for name, values in tensors(state, saved["settings"]["model"]).items():
        if values.ndim == 2:
            embedding = args.embedding_type if name == "token_embd.weight" else None
            kind = gguf.GGMLQuantizationType[embedding or args.type]
            w.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            w.add_tensor(name, values)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    tmp.replace(args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes, step {saved['step']}")


if __name__ == "__main__":
    main()
