"""Short runs of models of other shapes and vocabularies, at equal compute: what `../README.md` calls the search.

Each candidate, `name:key=value,...` of `vocab`, `width`, `layers`, `ff` and `init`, sees as many tokens as its
multiplications allow: BUDGET millions of a model of the shipped shape. A third of them is the decay. It leaves
OUT/<name>.gguf, which is not made again if it is there. Printed are its parameters and tokens, its bits per byte alone
on the validation split, and those of archives of the beginnings of FILEs (codec `mix`, chunks of 64 KiB). A candidate
`name:gguf=PATH` is a model that is there already, of any tokenizer; its files alone are measured.
"""
import argparse
import subprocess
import sys
from pathlib import Path

import warmstart
from prepare import CATEGORIES

HERE = Path(__file__).parent
SHIPPED = {"vocab": 8192, "width": 320, "layers": 6, "ff": 704}
HEAD = 64


def multiplications(shape):
    """Of a token: the layers' matrices and the output projection."""
    width = shape["width"]
    layer = 2 * width * width + 2 * width * HEAD + 3 * width * shape["ff"]
    return shape["layers"] * layer + shape["vocab"] * width


def run(*command, folder=None):
    subprocess.run([str(word) for word in command], check=True, cwd=folder)


def python(script, *arguments):
    run(sys.executable, HERE / script, *arguments)


def newest(folder):
    return max(folder.glob("step-*.pt"))


class Search:
    def __init__(self, args):
        self.args = args

    def data(self, vocab):
        """Token arrays and costs of the vocabulary, made where there are none."""
        out = self.args.out / f"vocab-{vocab}"
        if not (out / "meta.json").exists():
            limit = ("--sample", 4, "--limit", self.args.text)
            python("prepare.py", "--corpus", self.args.corpus, "--out", out, "--vocab", vocab, *limit)
        if not (out / "train-lang.cost").exists():
            everything = ",".join(f"{c}=1000" for c in CATEGORIES)
            python("surprise.py", "--data", out, "--program", self.args.surprise, "--tokens", everything)
        return out

    def train(self, name, shape, model):
        data, runs = self.data(shape["vocab"]), self.args.out / name
        init = shape.get("init")
        budget = self.args.budget * multiplications(SHIPPED) / multiplications(shape)
        flags = [f"--{key}={shape[key]}" for key in ("width", "layers", "ff")]
        flags += [f"--init={init}", "--lr=0.5"] if init else []
        common = ["--surprise", "--valid-every", 10**6, "--save-every", 10**6, "--threads", self.args.threads]
        steady = runs / "steady"
        if not list(steady.glob("step-*.pt")):
            python("train.py", "stable", "--data", data, "--run", steady, "--tokens", budget * 2 / 3, *flags, *common)
        python("train.py", "decay", "--from", newest(steady), "--run", runs / "decay", "--decay-tokens", budget / 3, *common)
        python("export.py", newest(runs / "decay"), model, "--average", "--name", name)

    def alone(self, model, shape):
        command = [sys.executable, HERE / "evaluate.py", model, "--data", self.data(shape["vocab"])]
        command += ["--bf16", "--limit", "20000", "--threads", str(self.args.threads)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]

    def mixed(self, model):
        """Bits per byte of the files' archives."""
        packed = plain = 0
        archive = self.args.out / "search.lma"
        for file in self.args.file:
            archive.unlink(missing_ok=True)
            beginning = self.args.out / file.name
            beginning.write_bytes(file.read_bytes()[: self.args.bytes])
            # A path would be stored.
            create = (self.args.lma.resolve(), "create", "-q", "--codec", "mix", "--model", model.resolve())
            run(*create, archive.name, beginning.name, folder=self.args.out)
            packed, plain = packed + archive.stat().st_size, plain + beginning.stat().st_size
            beginning.unlink()
        archive.unlink()
        return f"{8 * packed / plain:.4f}"

    def candidate(self, text):
        name, _, changes = text.partition(":")
        changes = dict(pair.split("=") for pair in changes.split(",") if pair)
        shape = SHIPPED | {k: v if k in ("init", "gguf") else int(v) for k, v in changes.items()}
        model = Path(shape.get("gguf", self.args.out / f"{name}.gguf"))
        if not model.exists():
            self.train(name, shape, model)
        state = warmstart.state_from_gguf(model)[0]
        words = [name, len(state["embed.weight"]), f"{sum(t.numel() for t in state.values()) / 1e6:.2f}"]
        if "gguf" in shape:
            words += ["-", "-"]
        else:
            tokens = self.args.budget * multiplications(SHIPPED) / multiplications(shape)
            words += [f"{tokens:.2f}", self.alone(model, shape)]
        words.append(self.mixed(model))
        print("\t".join(map(str, words)), flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("candidate", nargs="+")
    ap.add_argument("--corpus", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--surprise", type=Path, required=True, help="the example `surprise`, built")
    ap.add_argument("--lma", type=Path, required=True, help="the program, built")
    ap.add_argument("--file", type=Path, action="append", required=True, help="a file to archive with each model")
    ap.add_argument("--bytes", type=int, default=65536, help="of each of them")
    ap.add_argument("--budget", type=float, default=2.5, help="millions of tokens of the shipped shape")
    ap.add_argument("--text", type=float, default=8, help="millions of bytes of each category")
    ap.add_argument("--threads", type=int, default=2)
    args = ap.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    search = Search(args)
    print("\t".join(["name", "vocabulary", "M parameters", "M tokens", "LM", "mix"]), flush=True)
    for text in args.candidate:
        search.candidate(text)


if __name__ == "__main__":
    main()
