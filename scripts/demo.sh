#!/bin/bash
# Shows lma at work on real files: makes an archive, looks into it, mounts it, extracts it, compares.
# Everything happens in demo/; LMA_DEMO_BYTES bounds how much is archived.
set -euo pipefail
cd "$(dirname "$0")/.."

LMA=$(realpath "${CARGO_TARGET_DIR:-target}/release/lma")
BUDGET=${LMA_DEMO_BYTES:-160000}
CORPUS=../shared/corpus/eval
SAMPLE=16384

if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi
say() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; }
run() { say "lma $*"; "$LMA" "$@"; }
now() { date +%s.%N; }
size() { stat -c %s "$1"; }

cleanup() {
    if mountpoint -q demo/mnt 2>/dev/null; then fusermount3 -uz demo/mnt; fi
}
trap cleanup EXIT

cleanup
rm -rf demo
mkdir -p demo/files demo/out demo/mnt
export XDG_CACHE_HOME=$PWD/demo/cache

# take FILE NAME BYTES: copies the start of a file, as long as the budget lasts.
take() {
    [ "$BUDGET" -gt 0 ] && [ -f "$1" ] || return 0
    local most=$(($3 < BUDGET ? $3 : BUDGET))
    mkdir -p "demo/files/$(dirname "$2")"
    head -c "$most" "$1" >"demo/files/$2"
    touch -r "$1" "demo/files/$2"
    BUDGET=$((BUDGET - $(size "demo/files/$2")))
}

for file in README.md CHANGELOG.md Cargo.toml; do take "$file" "$file" 8192; done
for file in spec/*.md; do take "$file" "$file" 12288; done
for sample in canterbury/alice29.txt enwik/enwik6 json/twitter.json loghub/HDFS_2k.log multilang/deu-freytag.txt; do
    take "$CORPUS/$sample" "corpus/$(basename "$sample")" $SAMPLE
done
for file in $(find src -name '*.rs' | sort); do take "$file" "$file" 8192; done
ln -s README.md demo/files/link-to-readme

cd demo
raw=$(find files -type f -printf '%s\n' | awk '{sum += $1} END {print sum}')
echo "Archiving $(find files -type f | wc -l) real files, $raw bytes: this program's own and samples of text."

start=$(now)
run create demo.lma files
created=$(now)
run list -l demo.lma files/README.md files/Cargo.toml files/link-to-readme
run info demo.lma
before=$(now)
run test demo.lma
tested=$(now)

if [ -w /dev/fuse ]; then
    run mount demo.lma mnt
    say "ls -l mnt/files; diff -r files mnt/files"
    ls -l mnt/files
    diff -r files mnt/files && echo "the mount shows the same files"
    say "head -n 3 mnt/files/README.md"
    head -n 3 mnt/files/README.md
    run unmount mnt
else
    echo "(no /dev/fuse here: the mount is not shown)"
fi

extracting=$(now)
# Decoded anew: the mount has kept what it decoded.
run extract --no-cache demo.lma -C out
extracted=$(now)
say "diff -r files out/files"
diff -r --no-dereference files out/files && echo "everything came back"

tar --sort=name -cf files.tar files
xz -9e -k -c files.tar >files.tar.xz
zstd -19 -q -c files.tar >files.tar.zst

row() { awk -v n="$1" -v b="$2" -v r="$raw" 'BEGIN {printf "%-14s %9d  %5.1f %%  %6.3f\n", n, b, 100 * b / r, 8 * b / r}'; }
rate() { awk -v n="$1" -v a="$2" -v b="$3" -v r="$raw" 'BEGIN {printf "%-14s %7.1f KB/s\n", n, r / 1000 / (b - a)}'; }
printf '\n%-14s %9s  %7s  %6s\n' "$raw bytes" bytes ratio 'bits/byte'
row lma "$(size demo.lma)"
row 'xz -9e' "$(size files.tar.xz)"
row 'zstd -19' "$(size files.tar.zst)"
echo "(the model that lma uses, 5.9 MB, is part of the program and not counted)"
echo
rate create "$start" "$created"
rate test "$before" "$tested"
rate extract "$extracting" "$extracted"
echo
echo "The archive and its files are in demo/."
