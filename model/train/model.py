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
        self.c = c
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

    def attention(self, x, cos, sin, mask):
        (batch, time, _), heads, dim = x.shape, self.c.heads, self.c.head_dim
        z = self.qkv(x).view(batch, time, heads + 2, dim)
        qk, v = z[:, :, : heads + 1], z[:, :, heads + 1]
        a, b = qk.chunk(2, -1)
        qk = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
        q, k = qk[:, :, :heads].transpose(1, 2), qk[:, :, heads]
        # The only key/value head serves all query heads: one product with heads * time rows.
        score = torch.bmm(q.reshape(batch, heads * time, dim), k.transpose(1, 2)) * dim**-0.5
        p = torch.softmax(score.float() + mask, -1).to(x.dtype)
        y = torch.bmm(p, v.contiguous()).view(batch, heads, time, dim)
        return self.out(y.transpose(1, 2).reshape(batch, time, heads * dim))

    def forward(self, x, cos, sin, mask):
        h = F.rms_norm(x, (self.c.width,), self.attn_norm.to(x.dtype), EPS)
        x = x + self.attention(h, cos, sin, mask)
        h = F.rms_norm(x, (self.c.width,), self.ffn_norm.to(x.dtype), EPS)
        gate, up = self.gate_up(h).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


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
        back = torch.arange(c.context)[:, None] - torch.arange(c.context)
        hidden = (back < 0) | (back >= c.window)
        self.register_buffer("mask", torch.where(hidden, float("-inf"), 0.0), persistent=False)

    def compile(self):
        """Compiles the blocks and the loss; names of parameters stay as they are."""
        for block in self.blocks:
            block.compile(dynamic=False)
        LinearCrossEntropy.softmax = staticmethod(torch.compile(softmax, dynamic=False))

    def hidden(self, ids, dtype=torch.float32):
        time = ids.shape[1]
        x = self.embed(ids).to(dtype) * EMBED_SCALE
        cos, sin = self.cos[:time].to(dtype), self.sin[:time].to(dtype)
        mask = self.mask[:time, :time].repeat(self.config.heads, 1)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return F.rms_norm(x, (self.config.width,), self.norm.to(dtype), EPS)

    def token_losses(self, ids, targets):
        """Losses in nats of each target, in float32 arithmetic or that of autocast; no gradient."""
        h = self.hidden(ids).flatten(0, 1)
        t = targets.flatten()
        parts = []
        for i in range(0, len(t), 1024):
            z = (h[i : i + 1024] @ self.embed.weight.t()).float()
            parts.append(F.cross_entropy(z, t[i : i + 1024], reduction="none"))
        return torch.cat(parts).view(targets.shape)

    def loss(self, ids, targets, weights, chunk=1024):
        """Weighted mean loss of the targets; bfloat16."""
        h = self.hidden(ids, torch.bfloat16).flatten(0, 1)
        return LinearCrossEntropy.apply(h, self.embed.weight.to(h.dtype), targets.flatten(), weights.flatten(), chunk)


def softmax(z):
    z = z.float()
    lse = torch.logsumexp(z, 1)
    return torch.exp(z - lse[:, None]).to(torch.bfloat16), lse


class LinearCrossEntropy(torch.autograd.Function):
    """Output projection and cross-entropy in chunks; gradients are computed in the forward pass."""

    softmax = staticmethod(softmax)

    @staticmethod
    def forward(ctx, h, w, t, weight, chunk):
        grad_h = torch.empty_like(h)
        grad_w = torch.zeros(w.shape, dtype=torch.float32, device=w.device)
        total = torch.zeros((), device=h.device)
        for i in range(0, len(t), chunk):
            hc, tc, wc = h[i : i + chunk], t[i : i + chunk], weight[i : i + chunk]
            z = hc @ w.t()
            g, lse = LinearCrossEntropy.softmax(z)
            total += ((lse - z.gather(1, tc[:, None])[:, 0].float()) * wc).sum()
            g[torch.arange(len(tc), device=t.device), tc] -= 1
            hc = hc * wc[:, None].to(h.dtype)
            grad_h[i : i + chunk] = (g @ w) * wc[:, None].to(h.dtype)
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
