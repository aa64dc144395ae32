#!/bin/sh
# Builds the tests of the exact kernels for other processors and runs them under emulation: AArch64 with and without
# the dot product instructions, s390x for its byte order, 32-bit x86 and x86-64 without fused multiplication. Among
# them is the one that compares digests of every operator and product with those of this repository.
#
# Takes a Debian system of its own (3 GiB, made once), because cross compilers' standard libraries come from there.
# Needs root, mmdebstrap and unshare. CROSS_ROOT, CROSS_SUITE and CROSS_MIRROR say where that system is and comes
# from.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
root=${CROSS_ROOT:-/var/tmp/lma-cross}
suite=${CROSS_SUITE:-sid}

if [ ! -e "$root/usr/bin/qemu-aarch64" ]; then
    include=ca-certificates,cargo,rustc,qemu-user
    for arch in arm64 s390x i386; do
        include=$include,libstd-rust-dev:$arch,libc6-dev:$arch
    done
    include=$include,gcc-aarch64-linux-gnu,gcc-s390x-linux-gnu,gcc-i686-linux-gnu
    # An archived mirror is as acceptable there as here. CROSS_MIRROR is one word or none.
    # shellcheck disable=SC2086
    mmdebstrap --mode=root --variant=apt --architectures=amd64,arm64,s390x,i386 \
        --aptopt="$(apt-config dump Acquire::Check-Valid-Until)" --include="$include" "$suite" "$root" ${CROSS_MIRROR:-}
fi

# The kernels alone, as a crate: nothing in C, and little to build.
mkdir -p "$root/lma/source" "$root/lma/crate/src" "$root/lma/cargo/registry"
cp "$here/Cargo.lock" "$root/lma/crate/"
cat > "$root/lma/crate/Cargo.toml" <<'EOF'
[package]
name = "exact"
version = "0.0.0"
edition = "2024"

[dependencies]
blake3 = { version = "1.8", features = ["pure"] }
thiserror = "2"

[dev-dependencies]
proptest = "1.12"
EOF
cat > "$root/lma/crate/src/lib.rs" <<'EOF'
#![allow(dead_code, unused_imports, unused_macros)]
#[path = "/lma/source/exact/mod.rs"]
pub mod exact;
EOF

cat > "$root/lma/check" <<'EOF'
set -eu
export HOME=/lma CARGO_HOME=/lma/cargo CARGO_TARGET_DIR=/lma/target PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
cd /lma/crate
check() {
    name=$(echo "$1" | tr a-z- A-Z_)
    export "CARGO_TARGET_${name}_LINKER=$2" "CARGO_TARGET_${name}_RUNNER=$3"
    echo "== $1 on $3"
    cargo test --quiet --release --lib --target "$1"
}
check aarch64-unknown-linux-gnu aarch64-linux-gnu-gcc 'qemu-aarch64 -cpu max'
check aarch64-unknown-linux-gnu aarch64-linux-gnu-gcc 'qemu-aarch64 -cpu cortex-a72'
check s390x-unknown-linux-gnu s390x-linux-gnu-gcc 'qemu-s390x -cpu max'
check i686-unknown-linux-gnu i686-linux-gnu-gcc 'qemu-i386 -cpu n270'
check x86_64-unknown-linux-gnu x86_64-linux-gnu-gcc 'qemu-x86_64 -cpu Nehalem'
EOF

# Mounts of a namespace of its own: they go with it.
cp /etc/resolv.conf "$root/etc/resolv.conf"
unshare --mount --fork sh -eu -c '
    mount --bind "$2/src" "$1/lma/source"
    mount -o remount,bind,ro "$1/lma/source"
    mount -t proc proc "$1/proc"
    if [ -d "${CARGO_HOME:-$HOME/.cargo}/registry" ]; then
        mount --bind "${CARGO_HOME:-$HOME/.cargo}/registry" "$1/lma/cargo/registry"
    fi
    exec chroot "$1" env -i PATH=/usr/bin:/bin sh /lma/check
' sh "$root" "$here"
