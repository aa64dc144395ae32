#!/bin/bash
# Installs what is missing to build, test or measure lma; does nothing, and needs no network, when all is
# there. Usage: scripts/deps.sh [build] [test] [bench]
set -euo pipefail

MIN_RUST=1.90
packages=()
# Only measured beside lma: what cannot be had is left out.
optional=()

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}

# want COMMAND PACKAGE
want() {
    command -v "$1" >/dev/null 2>&1 || optional+=("$2")
}

have_libclang() {
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || compgen -G '/usr/lib/*/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib64/libclang*.so*' >/dev/null || [ -n "${LIBCLANG_PATH:-}" ]
}

# For Debian's Python, whatever other is first in the path.
have_paq9a() {
    /usr/bin/python3 -c 'import paq' 2>/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
    if ! command -v apt-get >/dev/null; then
        echo "lma needs what Debian calls: $*; please install it with this system's package manager" >&2
        exit 1
    fi
    echo "installing: $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

have_rust() {
    command -v cargo >/dev/null && command -v rustc >/dev/null &&
        printf '%s\n%s\n' "$MIN_RUST" "$(rustc --version | cut -d ' ' -f 2)" | sort -VC
}

install_rust() {
    if command -v rustup >/dev/null; then
        rustup toolchain install stable --profile minimal -c clippy -c rustfmt
        rustup default stable
    else
        need curl curl
        [ ${#packages[@]} = 0 ] || install_packages "${packages[@]}" ca-certificates
        echo "installing Rust with rustup into ~/.cargo and ~/.rustup"
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
            sh -s -- -y --no-modify-path --profile minimal -c clippy -c rustfmt
    fi
    export PATH="$HOME/.cargo/bin:$PATH"
    have_rust || {
        echo "lma needs Rust $MIN_RUST or newer, and this is: $(rustc --version 2>&1); see https://rustup.rs" >&2
        exit 1
    }
}

for purpose in "$@"; do
    case $purpose in
    build)
        need cmake cmake
        need clang clang
        need g++ g++
        need make make
        need pkg-config pkg-config
        have_libclang || packages+=(libclang-dev)
        ;;
    test)
        need fusermount3 fuse3
        need python3 python3
        need diff diffutils
        need tar tar
        need git git
        need rsync rsync
        need rg ripgrep
        need sqlite3 sqlite3
        need xz xz-utils
        need zstd zstd
        need setfattr attr
        need setfacl acl
        ;;
    bench)
        want xz xz-utils
        want zstd zstd
        want brotli brotli
        want 7z p7zip-full
        want zpaq zpaq
        want bzip3 bzip3
        want flac flac
        want optipng optipng
        want pnmtopng netpbm
        want squashfuse squashfuse
        want mksquashfs squashfs-tools
        have_paq9a || optional+=(python3-paq)
        ;;
    *)
        echo "usage: $0 [build] [test] [bench]" >&2
        exit 64
        ;;
    esac
done

[ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
if [ ${#optional[@]} != 0 ] && ! (install_packages "${optional[@]}"); then
    for package in "${optional[@]}"; do
        (install_packages "$package") || echo "without $package, which the benchmarks then leave out" >&2
    done
fi
packages=()
have_rust || install_rust
