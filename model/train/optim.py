"""Muon for the matrices of the blocks, AdamW for the embedding and the norms, and a running average of both."""
import math

import torch

ADAM_LR = 0.003
MUON_LR = 0.0012  # times sqrt(longest side)
WEIGHT_DECAY = 0.01
AVERAGE = 0.998


def orthogonalise(g):
    """Five Newton-Schulz steps in bfloat16 (Muon, Jordan et al. 2024)."""
    x = g.bfloat16()
    tall = x.size(0) > x.size(1)
    if tall:
        x = x.t()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.t()
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.t() if tall else x).float()


class Optimizer:
    def __init__(self, model):
        named = list(model.named_parameters())
        self.matrices = [p for n, p in named if p.ndim == 2 and n != "embed.weight"]
        others = [p for n, p in named if p.ndim != 2 or n == "embed.weight"]
        self.adam = torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0, foreach=True)
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.model = model
        self.average = {n: p.detach().clone() for n, p in named}

    @torch.no_grad()
    def step(self, number, lr):
        for group in self.adam.param_groups:
            group["lr"] = ADAM_LR * lr
        self.adam.step()
        mu = min(0.95, 0.85 + 0.1 * number / 300)
        for p, m in zip(self.matrices, self.momentum):
            m.lerp_(p.grad, 1 - mu)
            update = orthogonalise(p.grad.lerp(m, mu))
            rate = MUON_LR * lr * math.sqrt(max(p.shape))
            p.mul_(1 - 0.02 * WEIGHT_DECAY * lr).add_(update, alpha=-rate)
        for p in self.model.parameters():
            p.grad = None
        keep = min(AVERAGE, (1 + number) / (10 + number))
        for n, p in self.model.named_parameters():
            self.average[n].lerp_(p, 1 - keep)

    def state(self):
        return {"adam": self.adam.state_dict(), "momentum": self.momentum, "average": self.average}

    def restore(self, state):
        self.adam.load_state_dict(state["adam"])
        for mine, saved in zip(self.momentum, state["momentum"], strict=True):
            mine.copy_(saved)
        for n, saved in state["average"].items():
            self.average[n].copy_(saved)
