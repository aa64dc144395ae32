"""Training: a `stable` phase at a constant rate that goes on for ever, and `decay` branches that end in a model.

Everything is counted in steps and tokens, never in time. A run continues from its newest checkpoint; SIGTERM and
SIGINT save one and stop. With the same seed, data and thread count a resumed run does what an unbroken one does.
"""
import argparse
import csv
import math
import os
import signal
import time
from pathlib import Path

import torch

import data
import warmstart
from model import Config, Model, banded, flexible
from optim import Optimizer

WEIGHTS = "prose=.30,docs=.22,code=.22,data=.14,lang=.12"
WARMUP = 60
FLOOR = 0.01  # of the rate, at the end of a decay


def parse_args():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="phase", required=True)
    stable = sub.add_parser("stable", help="start or continue a run at a constant rate")
    stable.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    stable.add_argument("--width", type=int, default=320)
    stable.add_argument("--layers", type=int, default=6)
    stable.add_argument("--ff", type=int, default=704)
    stable.add_argument("--head-dim", type=int, default=64)
    stable.add_argument("--context", type=int, default=512, help="tokens in a row (may change on resuming)")
    stable.add_argument("--window", type=int, default=128, help="tokens that one attends to (may change on resuming)")
    stable.add_argument("--init", help="GGUF model to grow from, or checkpoint to narrow, instead of random weights")
    stable.add_argument("--lr", type=float, help="factor on the rates in optim.py (default 1; may change on resuming)")
    stable.add_argument("--weights", help=f"shares of the categories (default {WEIGHTS}; may change on resuming)")
    stable.add_argument("--batch", type=int, default=8, help="rows in a micro-batch (may change on resuming)")
    stable.add_argument("--accumulate", type=int, default=2, help="micro-batches in a step")
    stable.add_argument("--seed", type=int, default=1)
    decay = sub.add_parser("decay", help="branch from a checkpoint and lower the rate to nothing")
    decay.add_argument("--from", dest="source", type=Path, required=True, help="checkpoint of a stable run")
    decay.add_argument("--decay-tokens", type=float, required=True, help="millions of tokens to train on")
    decay.add_argument("--round", choices=("Q4_0", "Q5_0", "Q8_0"), help="compute with weights rounded as in such a file")
    for p in (stable, decay):
        p.add_argument("--surprise", action="store_true", help="weight losses by what surprise.py wrote")
        p.add_argument("--run", type=Path, required=True, help="folder of checkpoints and log.csv")
        p.add_argument("--tokens", type=float, default=math.inf, help="stop after so many millions in this call")
        p.add_argument("--save-every", type=int, default=150, help="steps")
        p.add_argument("--keep-every", type=int, default=900, help="steps; other checkpoints but two are removed")
        p.add_argument("--valid-every", type=int, default=150, help="steps")
        p.add_argument("--device", default="cpu")
        p.add_argument("--threads", type=int, default=2)
        p.add_argument("--no-compile", action="store_true")
        p.add_argument("--banded", action="store_true", help="on a card too, the attention of a CPU")
    return ap.parse_args()


def steps_of(path):
    return int(path.stem.split("-")[1])


def newest(run):
    found = sorted(run.glob("step-*.pt"), key=steps_of)
    return found[-1] if found else None


class Trainer:
    def __init__(self, args):
        self.args, self.run = args, args.run
        self.run.mkdir(parents=True, exist_ok=True)
        path = newest(self.run) or getattr(args, "source", None)
        saved = torch.load(path, map_location="cpu", weights_only=True) if path else None
        self.settings = s = dict(saved["settings"]) if saved else self.fresh_settings()
        if args.phase == "stable" and saved:
            self.change_settings()
        if args.phase == "decay" and "decay_from" not in s:
            steps = max(1, round(args.decay_tokens * 1e6 / self.tokens_per_step()))
            s.update(decay_from=saved["step"], decay_steps=steps, surprise=args.surprise, round=args.round)
        torch.manual_seed(s["seed"])
        self.model = Model(Config(**s["model"]))
        self.step, self.smooth = 0, None
        weights = {k: float(v) for k, v in (w.split("=") for w in s["weights"].split(","))}
        self.stream = data.Stream(s["data"], weights, s["model"]["context"], s["seed"], s.get("surprise", False), args.device)
        if saved:
            self.model.load_state_dict(saved["model"])
        elif s["init"]:
            if s["init"].endswith(".pt"):
                warmstart.narrow(self.model, s["init"])
            else:
                warmstart.grow(self.model, s["init"], Path(s["data"]) / "tokenizer.json")
        self.model.to(args.device)
        if s.get("round"):
            self.model.round_to(s["round"])
        self.optimizer = Optimizer(self.model)
        if saved:
            self.optimizer.restore(saved["optimizer"])
            self.step, self.smooth = saved["step"], saved["smooth"]
            self.stream.counts = saved["counts"]
            print(f"continuing from {path}, step {self.step}", flush=True)
        self.valid = data.Sample(s["data"], self.stream.names, s["model"]["context"], 16)
        self.lengths = torch.from_numpy(data.byte_lengths(s["data"]))
        if not args.no_compile:
            on_card = args.device.startswith("cuda") and not args.banded
            self.model.compile(flexible if on_card else banded)
        params = sum(p.numel() for p in self.model.parameters())
        print(f"{params / 1e6:.2f} M parameters, settings {s}", flush=True)

    def fresh_settings(self):
        a = self.args
        model = Config(data.vocab_size(a.data), a.width, a.layers, a.width // a.head_dim, a.head_dim, a.ff, a.context, a.window)
        return {
            "model": model.as_dict(), "data": str(a.data.resolve()), "init": a.init, "lr": a.lr or 1.0,
            "weights": a.weights or WEIGHTS, "batch": a.batch, "accumulate": a.accumulate, "seed": a.seed, "surprise": a.surprise,
        }  # fmt: skip

    def change_settings(self):
        """What may differ from the checkpoint's settings when a stable run goes on."""
        a, s = self.args, self.settings
        if "decay_from" in s:
            raise SystemExit(f"{a.run} holds a decay, which cannot go on as a stable run")
        s["data"] = str(a.data.resolve())
        s["lr"] = a.lr or s["lr"]
        s["weights"] = a.weights or s["weights"]
        s["surprise"], s["batch"] = a.surprise, a.batch
        s["model"] = s["model"] | {"context": a.context, "window": a.window}

    def tokens_per_step(self):
        s = self.settings
        return s["batch"] * s["accumulate"] * s["model"]["context"]

    def rate(self):
        s = self.settings
        lr = s["lr"] * min(1.0, (self.step + 1) / WARMUP)
        if "decay_from" in s:
            lr *= max(FLOOR, 1 - (self.step - s["decay_from"]) / s["decay_steps"])
        return lr

    def finished(self):
        s = self.settings
        return "decay_from" in s and self.step >= s["decay_from"] + s["decay_steps"]

    def autocast(self):
        return torch.autocast(self.args.device.split(":")[0], torch.bfloat16)

    def train_step(self):
        """Waits for nothing that a card has not done yet."""
        s, total = self.settings, 0.0
        for i in range(s["accumulate"]):
            batch = self.stream.batch(self.step * s["accumulate"] + i, s["batch"])
            with self.autocast():
                loss = self.model.loss(*batch)
            (loss / s["accumulate"]).backward()
            total = total + loss.detach() / s["accumulate"]
        self.optimizer.step(self.step, self.rate())
        self.step += 1
        self.smooth = total if self.smooth is None else 0.98 * self.smooth + 0.02 * total
        return self.tokens_per_step()

    @torch.no_grad()
    @torch.compiler.set_stance("force_eager")
    def validate(self):
        """Bits per byte of each category, of the weights as they are."""
        result = {}
        for name, rows in self.valid.rows.items():
            rows = torch.from_numpy(rows)
            bits = size = 0.0
            for i in range(0, len(rows), self.settings["batch"]):
                part = rows[i : i + self.settings["batch"]].to(self.args.device)
                with self.autocast():
                    nats = self.model.token_losses(part[:, :-1].contiguous(), part[:, 1:].contiguous()).cpu()
                real = part[:, 1:].cpu() != 0
                bits += nats[real].sum().item() / math.log(2)
                size += self.lengths[part[:, 1:].cpu()].sum().item()
            result[name] = bits / size
        return result

    def save(self):
        path = self.run / f"step-{self.step:06d}.pt"
        tmp = path.with_suffix(".tmp")
        state = {
            "settings": self.settings, "step": self.step, "smooth": float(self.smooth), "counts": self.stream.counts,
            "model": self.model.state_dict(), "optimizer": self.optimizer.state(),
        }  # fmt: skip
        with open(tmp, "wb") as f:
            torch.save(state, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(tmp, path)
        for old in sorted(self.run.glob("step-*.pt"), key=steps_of)[:-2]:
            if steps_of(old) % self.args.keep_every:
                old.unlink()

    def log(self, tokens, seconds, valid):
        path = self.run / "log.csv"
        names = list(valid)
        row = [self.step, self.step * self.tokens_per_step(), f"{self.rate():.5f}", f"{self.smooth:.4f}"]
        row += [f"{valid[n]:.4f}" for n in names] + [f"{sum(valid.values()) / len(valid):.4f}"]
        row += [f"{tokens / seconds:.0f}"]
        header = not path.exists()
        with open(path, "a", newline="") as f:
            out = csv.writer(f)
            if header:
                out.writerow(["step", "tokens", "rate", "train_loss", *names, "mean", "tokens_per_second"])
            out.writerow(row)
        print(*row, flush=True)


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    stop = []
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stop.append(True))
    trainer = Trainer(args)
    trained = since = 0
    begin = time.time()  # for tokens_per_second only
    while not (stop or trainer.finished() or trained >= args.tokens * 1e6):
        n = trainer.train_step()
        trained, since = trained + n, since + n
        if trainer.step % 10 == 0 and trained < 1e6:
            speed = since / (time.time() - begin)
            print(f"step {trainer.step} loss {trainer.smooth:.3f} {speed:.0f} tokens/s", flush=True)
        if trainer.step % args.valid_every == 0:
            seconds = time.time() - begin
            trainer.log(since, seconds, trainer.validate())
            since, begin = 0, time.time()
        if trainer.step % args.save_every == 0:
            trainer.save()
    if trained:
        trainer.save()
        trainer.log(max(since, 1), time.time() - begin, trainer.validate())
    print("stopped" if stop else "finished", f"at step {trainer.step}", flush=True)


if __name__ == "__main__":
    main()
