"""Weights as a quantised file will hold them, for training that knows of it (straight-through gradients)."""
import torch

# What the largest weight of a block of 32 becomes, and how many steps there are above the smallest.
SIGNED = {"Q4_0": (-8, 15), "Q5_0": (-16, 31)}


@torch.no_grad()
def quantised(w, kind):
    """`w` rounded to Q4_0, Q5_0 or Q8_0, as gguf.quants rounds it."""
    x = w.float().reshape(-1, 32)
    if kind == "Q8_0":
        scale = x.abs().amax(1, keepdim=True) / 127
        steps = torch.round(x / torch.where(scale == 0, 1.0, scale))
    else:
        low, count = SIGNED[kind]
        # The weight of largest magnitude, with its sign.
        high, deep = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
        scale = torch.where(high > -deep, high, deep) / low
        steps = torch.floor(x / torch.where(scale == 0, 1.0, scale) - low + 0.5).clamp(0, count) + low
    return (steps * scale.half().float()).view_as(w).to(w.dtype)


def rounded(w, kind):
    """The same, with the gradient of `w` itself."""
    return w + (quantised(w, kind) - w).detach()
