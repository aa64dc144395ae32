"""The language model: llama architecture with one key/value head, fused projections and tied embeddings. A token
attends to itself and the `window - 1` tokens before it, however long the text is (spec/lm-codec.md §4).

The residual stream is kept 8 times larger than llama.cpp would have it (the embedding is multiplied by 8), so that
one learning rate suits the embedding as input and as output; export.py divides the writes to the stream by 8.
"""
import math
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention import flex_attention

import quantise

EMBED_SCALE = 8.0
EPS = 2e-9 * EMBED_SCALE**2
ROPE_BASE = 10000.0


@dataclass
class Config:
    vocab: int = 8192
    width: int = 320
    layers: int = 6
    heads: int = 5
    head_dim: int = 64
    ff: int = 704
    context: int = 512
    window: int = 128

    def __post_init__(self):
        if any(n % 32 for n in (self.width, self.ff, self.head_dim, self.vocab)):
            raise SystemExit("vocab, width, ff and head_dim must be multiples of 32")
        if self.heads * self.head_dim != self.width:
            raise SystemExit("heads * head_dim must be the width")

    as_dict = asdict


def rope_table(context, head_dim):
    freq = 1.0 / (ROPE_BASE ** (torch.arange(0, head_dim, 2).float() / head_dim))
    angle = torch.outer(torch.arange(context).float(), freq)
    return torch.cos(angle), torch.sin(angle)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.rounding = c, None
        self.attn_norm = nn.Parameter(torch.ones(c.width))
        self.ffn_norm = nn.Parameter(torch.ones(c.width))
        self.qkv = nn.Linear(c.width, (c.heads + 2) * c.head_dim, bias=False)
        self.out = nn.Linear(c.width, c.width, bias=False)
        self.gate_up = nn.Linear(c.width, 2 * c.ff, bias=False)
        self.down = nn.Linear(c.ff, c.width, bias=False)
        for w in (self.qkv, self.gate_up):
            nn.init.normal_(w.weight, std=0.04)
        for w in (self.out, self.down):
            nn.init.normal_(w.weight, std=0.02 / math.sqrt(2 * c.layers))

    def weight(self, linear):
        """What the shipped file will hold of it, where training has been told so."""
        return quantise.rounded(linear.weight, self.rounding) if self.rounding else linear.weight

    def attention(self, x, cos, sin, mask):
        (batch, time, _), heads, dim = x.shape, self.c.heads, self.c.head_dim
        z = F.linear(x, self.weight(self.qkv)).view(batch, time, heads + 2, dim)
        qk, v = z[:, :, : heads + 1], z[:, :, heads + 1]
        a, b = qk.chunk(2, -1)
        qk = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
        q, k = qk[:, :, :heads].transpose(1, 2), qk[:, :, heads]
        attend = banded if isinstance(mask, torch.Tensor) else flexible
        y = attend(q, k, v, mask)
        return F.linear(y.transpose(1, 2).reshape(batch, time, heads * dim), self.weight(self.out))

    def forward(self, x, cos, sin, mask):
        h = F.rms_norm(x, (self.c.width,), self.attn_norm.to(x.dtype), EPS)
        x = x + self.attention(h, cos, sin, mask)
        h = F.rms_norm(x, (self.c.width,), self.ffn_norm.to(x.dtype), EPS)
        gate, up = F.linear(h, self.weight(self.gate_up)).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, self.weight(self.down))


def banded(q, k, v, mask):
    """Attention of `q` (batch, heads, time, dim) to the only key/value head (batch, time, dim), in blocks of a window's
    length, each of which sees itself and the block before it; `mask` is band_mask's."""
    batch, heads, time, dim = q.shape
    window = mask.shape[1]
    blocks = -(-time // window)
    if blocks * window > time:
        q, k, v = (F.pad(t, (0, 0, 0, blocks * window - time)) for t in (q, k, v))

    def pairs(t):
        t = t.reshape(batch, blocks, window, dim)
        before = torch.cat([torch.zeros_like(t[:, :1]), t[:, :-1]], 1)
        return torch.cat([before, t], 2).view(batch * blocks, 2 * window, dim)

    # The only key/value head serves all query heads: one product with heads * window rows.
    q = q.reshape(batch, heads, blocks, window, dim).transpose(1, 2).reshape(batch * blocks, heads * window, dim)
    score = torch.bmm(q, pairs(k).transpose(1, 2)) * dim**-0.5
    score = score.view(batch, blocks, heads, window, 2 * window).float()
    score = torch.cat([score[:, :1] + mask[0], score[:, 1:] + mask[1]], 1)
    p = torch.softmax(score, -1).to(v.dtype).view(batch * blocks, heads * window, 2 * window)
    y = torch.bmm(p, pairs(v)).view(batch, blocks, heads, window, dim)
    return y.transpose(1, 2).reshape(batch, heads, blocks * window, dim)[:, :, :time]


def band_mask(window):
    """What is added to scores (2, window, 2 * window): of the first block, before which nothing is, and of the others."""
    back = torch.arange(window)[:, None] + window - torch.arange(2 * window)
    hidden = (back < 0) | (back >= window)
    first = hidden | (torch.arange(2 * window) < window)
    return torch.where(torch.stack([first, hidden]), float("-inf"), 0.0)


def flexible(q, k, v, mask):
    """The same by a kernel made for the mask, on CUDA."""
    return flex_attention.flex_attention(q, k[:, None], v[:, None], block_mask=mask, enable_gqa=True)


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        c = self.config = config
        self.embed = nn.Embedding(c.vocab, c.width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList([Block(c) for _ in range(c.layers)])
        self.norm = nn.Parameter(torch.ones(c.width))
        cos, sin = rope_table(c.context, c.head_dim)
        self.register_buffer("cos", cos[:, None], persistent=False)
        self.register_buffer("sin", sin[:, None], persistent=False)
        self.register_buffer("mask", band_mask(c.window), persistent=False)
        self.rounding = self.block_mask = None

    def compile(self, attention=banded):
        """Compiles the blocks and the loss; names of parameters stay as they are."""
        for block in self.blocks:
            block.compile(dynamic=False)
        LinearCrossEntropy.softmax = staticmethod(torch.compile(softmax, dynamic=False))
        if attention is flexible:
            c = self.config
            self.block_mask = flex_attention.create_block_mask(
                lambda b, h, q, k: (q >= k) & (q - k < c.window), None, None, c.context, c.context, device="cuda"
            )

    def round_to(self, kind):
        """From now on computes with matrices and embedding rounded to a quantisation; gradients pass through."""
        self.rounding = kind
        for block in self.blocks:
            block.rounding = kind

    def table(self):
        return quantise.rounded(self.embed.weight, self.rounding) if self.rounding else self.embed.weight

    def hidden(self, ids, table, dtype=torch.float32):
        time = ids.shape[1]
        x = F.embedding(ids, table).to(dtype) * EMBED_SCALE
        cos, sin = self.cos[:time].to(dtype), self.sin[:time].to(dtype)
        mask = self.block_mask if self.block_mask is not None and torch.is_grad_enabled() else self.mask
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return F.rms_norm(x, (self.config.width,), self.norm.to(dtype), EPS)

    def token_losses(self, ids, targets):
        """Losses in nats of each target, in float32 arithmetic or that of autocast; no gradient."""
        table = self.table()
        h = self.hidden(ids, table).flatten(0, 1)
        t = targets.flatten()
        parts = []
        for i in range(0, len(t), 1024):
            z = (h[i : i + 1024] @ table.t()).float()
            parts.append(F.cross_entropy(z, t[i : i + 1024], reduction="none"))
        return torch.cat(parts).view(targets.shape)

    def loss(self, ids, targets, weights):
        """Weighted mean loss of the targets; bfloat16."""
        table = self.table()
        h = self.hidden(ids, table, torch.bfloat16).flatten(0, 1)
        chunk = 16384 if h.is_cuda else 1024
        return LinearCrossEntropy.apply(h, table.to(h.dtype), targets.flatten(), weights.flatten(), chunk)


def softmax(z, targets, weights):
    """Weighted losses of the rows of logits, and the gradients of their sum."""
    z = z.float()
    lse = torch.logsumexp(z, 1)
    hit = torch.arange(z.shape[1], device=z.device) == targets[:, None]
    loss = (lse - torch.where(hit, z, 0.0).sum(1)) * weights
    grad = (torch.exp(z - lse[:, None]) - hit.float()) * weights[:, None]
    return loss.sum(), grad.to(torch.bfloat16)


class LinearCrossEntropy(torch.autograd.Function):
    """Output projection and cross-entropy in chunks; gradients are computed in the forward pass."""

    softmax = staticmethod(softmax)

    @staticmethod
    def forward(ctx, h, w, t, weight, chunk):
        grad_h = torch.empty_like(h)
        grad_w = torch.zeros(w.shape, dtype=torch.float32, device=w.device)
        total = torch.zeros((), device=h.device)
        for i in range(0, len(t), chunk):
            hc = h[i : i + chunk]
            loss, g = LinearCrossEntropy.softmax(hc @ w.t(), t[i : i + chunk], weight[i : i + chunk])
            total += loss
            grad_h[i : i + chunk] = g @ w
            grad_w += (g.t() @ hc).float()
        count = weight.sum().clamp(min=1e-3)
        ctx.save_for_backward(grad_h, grad_w, count)
        ctx.dtype = w.dtype
        return total / count

    @staticmethod
    def backward(ctx, grad):
        grad_h, grad_w, count = ctx.saved_tensors
        scale = grad / count
        return grad_h * scale.to(grad_h.dtype), (grad_w * scale).to(ctx.dtype), None, None, None
