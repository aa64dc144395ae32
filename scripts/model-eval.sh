#!/bin/bash
# What the built-in models are worth, through lma's own codecs: bits per byte of held-out text by category, and of the
# evaluation corpus by file, in chunks of 16, 64 and 256 KiB, beside other compressors on the same blocks; then speeds.
# CORPUS is the corpus of model/train/README.md; extra arguments go to the ratio bench.
set -euo pipefail
cd "$(dirname "$0")/.."

CORPUS=${CORPUS:-../shared/corpus/train}
OUT=$(realpath -m "${CARGO_TARGET_DIR:-target}/model-eval")
# Behind what the starting values were learnt from (model/start/README.md), which would flatter them.
SKIP=256

measure() { cargo bench --bench ratio -- --sizes 16K,64K,256K --codecs auto,lm,cm --levels 5 --peers zstd,xz,brotli,7z,zpaq "$@"; }

mkdir -p "$OUT/valid"
if [ -d "$CORPUS/valid" ]; then
    python3 model/start/texts.py "$CORPUS" "$OUT/valid" $SKIP
    # The names tell the bench what they are.
    for pair in prose:txt docs:md lang:txt code:c data:json; do
        mv "$OUT/valid/${pair%:*}" "$OUT/valid/${pair%:*}.${pair#*:}"
    done
    measure --corpus "$OUT/valid" --files prose.txt,docs.md,lang.txt,code.c,data.json \
        --md "$OUT/valid.md" --json "$OUT/valid.json" "$@"
else
    echo "no validation text at $CORPUS/valid: set CORPUS" >&2
fi
measure --files quick --goals --md "$OUT/eval.md" --json "$OUT/eval.json" "$@"
