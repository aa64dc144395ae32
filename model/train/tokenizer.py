"""The tokenizer: byte-level BPE, pre-tokenizer `qwen2`, token 0 = <|start|>."""
import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

START = "<|start|>"
START_ID = 0
MAX_TOKEN_LENGTH = 24
# The regular expression that GGUF calls `qwen2`; digits are split singly.
QWEN2 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _around(model):
    tk = Tokenizer(model)
    tk.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tk.decoder = decoders.ByteLevel()
    return tk


def train(texts, vocab_size):
    """A tokenizer trained on the strings of `texts`."""
    tk = _around(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[START],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_TOKEN_LENGTH,
        show_progress=False,
    )
    tk.train_from_iterator(texts, trainer)
    check(tk)
    return tk


def from_gguf(path):
    """The tokenizer of a GGUF model of this kind."""
    import gguf

    fields = gguf.GGUFReader(path).fields
    if fields["tokenizer.ggml.model"].contents() != "gpt2" or fields["tokenizer.ggml.pre"].contents() != "qwen2":
        raise SystemExit(f"{path}: not a byte-level BPE tokenizer with pre-tokenizer qwen2")
    vocab = {t: i for i, t in enumerate(fields["tokenizer.ggml.tokens"].contents())}
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    tk = _around(models.BPE(vocab=vocab, merges=merges))
    check(tk)
    return tk


def load(path):
    tk = Tokenizer.from_file(str(path))
    check(tk)
    return tk


def vocab_and_merges(path):
    """Token strings by id and merges, as GGUF wants them."""
    model = json.loads(Path(path).read_text(encoding="utf-8"))["model"]
    by_id = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return by_id, merges


def byte_alphabet():
    """The characters with which byte-level BPE writes the 256 bytes: character to byte."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in keep}
    rest = (b for b in range(256) if b not in keep)
    table.update({chr(256 + i): b for i, b in enumerate(rest)})
    return table


def token_bytes(tokens):
    """Bytes of each token string; the start token has none."""
    table = byte_alphabet()
    return [b"" if t == START else bytes(table[c] for c in t) for t in tokens]


def check(tk):
    vocab = tk.get_vocab()
    missing = [b for c, b in byte_alphabet().items() if c not in vocab]
    if vocab.get(START) != START_ID or missing:
        raise SystemExit(f"unusable tokenizer: start token {vocab.get(START)}, bytes without a token: {missing}")
