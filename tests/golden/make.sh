#!/bin/sh
# Makes the golden archives and their list of digests, once for each version of the format or of a
# numerics profile. Archives that are here stay: what was written once is read for ever.
# Usage: tests/golden/make.sh LMA NAME CODEC...    (LMA: the program, NAME: for example format-1)
set -eu
lma=$(realpath "$1")
name=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/golden/sub/empty-dir"
cd "$tree"
head -c 3000 "$here/../../spec/lm-codec.md" > golden/text.md
head -c 700 "$here/../../spec/lm-codec.md" > golden/short.md
cp golden/short.md golden/sub/same.md
head -c 1500 "$here/../data/tiny.gguf" > golden/binary.bin
printf 'one\r\ntwo\r\n\000\377\376 not UTF-8 \364\220\200\200 <|start|>\n' > golden/odd.txt
: > golden/empty
truncate -s 100000 golden/sparse && printf 'end' >> golden/sparse
ln -s ../text.md golden/sub/link
ln golden/text.md golden/sub/hard.md
find golden -exec touch -h -d '2026-01-02 03:04:05.678901234 UTC' {} +
chmod 640 golden/text.md
find golden -type f | LC_ALL=C sort | xargs sha256sum > "$here/$name.sha256"
for codec; do
    case $codec in
    lm | mix | auto) model="--model $here/../data/tiny.gguf" ;;
    *) model= ;;
    esac
    # shellcheck disable=SC2086
    "$lma" create -q $model --codec "$codec" --chunk-size 2K "$here/$name-$codec.lma" golden
done
