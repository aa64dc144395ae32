"""Muon for the matrices of the blocks, AdamW for the embedding and the norms, and a running average of both."""
import math

import torch

ADAM_LR = 0.003
MUON_LR = 0.0012  # times sqrt(longest side)
WEIGHT_DECAY = 0.01
AVERAGE = 0.998


def orthogonalise(g):
    """Five Newton-Schulz steps in bfloat16 on each of a stack of matrices (Muon, Jordan et al. 2024)."""
    x = g.bfloat16()
    tall = x.size(1) > x.size(2)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    def __init__(self, model):
        named = list(model.named_parameters())
        self.matrices = [p for n, p in named if p.ndim == 2 and n != "embed.weight"]
        others = [p for n, p in named if p.ndim != 2 or n == "embed.weight"]
        self.adam = torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0, foreach=True)
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        shapes = {}
        for i, p in enumerate(self.matrices):
            shapes.setdefault(p.shape, []).append(i)
        self.alike = list(shapes.values())
        self.orthogonalise = torch.compile(orthogonalise, dynamic=False) if others[0].is_cuda else orthogonalise
        self.model = model
        self.average = {n: p.detach().clone() for n, p in named}

    @torch.no_grad()
    def step(self, number, lr):
        for group in self.adam.param_groups:
            group["lr"] = ADAM_LR * lr
        self.adam.step()
        mu = min(0.95, 0.85 + 0.1 * number / 300)
        grads = [p.grad for p in self.matrices]
        torch._foreach_lerp_(self.momentum, grads, 1 - mu)
        updates = torch._foreach_lerp(grads, self.momentum, mu)
        for same in self.alike:
            rate = MUON_LR * lr * math.sqrt(max(self.matrices[same[0]].shape))
            update = self.orthogonalise(torch.stack([updates[i] for i in same]))
            some = [self.matrices[i] for i in same]
            torch._foreach_mul_(some, 1 - 0.02 * WEIGHT_DECAY * lr)
            torch._foreach_add_(some, list(update.unbind()), alpha=-rate)
        for p in self.model.parameters():
            p.grad = None
        keep = min(AVERAGE, (1 + number) / (10 + number))
        torch._foreach_lerp_(list(self.average.values()), list(self.model.parameters()), 1 - keep)

    def state(self):
        return {"adam": self.adam.state_dict(), "momentum": self.momentum, "average": self.average}

    def restore(self, state):
        self.adam.load_state_dict(state["adam"])
        for mine, saved in zip(self.momentum, state["momentum"], strict=True):
            mine.copy_(saved)
        for n, saved in state["average"].items():
            self.average[n].copy_(saved)
