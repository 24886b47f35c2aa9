#!/usr/bin/env bash
# Compiles corten for aarch64 and runs the engine's tests and pytest's suites (arguments, or those of the operators and
# networks) under qemu, so that what runs at the level `neon` is tested on any x86-64 Debian machine.
#
#     scripts/test_neon.sh [--engine | suites and options of pytest]
#
# Debian's packages are installed where they are missing and root is there to do it. The arm64 Python comes from Debian's
# packages as well, unpacked into target/neon beside its wheels and touching nothing of the system's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=aarch64-unknown-linux-gnu
place=$PWD/target/neon
suites=("$@")
[ $# -gt 0 ] || suites=(tests/test_ops.py tests/test_nn.py)

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"

packages() {
    command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
}

standard_library() {
    [ -d "$(rustc --print target-libdir --target $target)" ] || rustup target add $target
}

# An arm64 C library and Python in $place/root. A state of apt's own keeps the machine's architectures as they are.
python_root() {
    [ -e "$place/root/complete" ] && return
    local apt=$place/apt deb
    rm -rf "$place/root" "$apt"
    mkdir -p "$place/root" "$apt/lists/partial" "$apt/cache/archives/partial"
    # From where the system gets its own packages.
    local options=(
        -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root
        -o Dir::State::lists="$apt/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$apt/cache"
    )
    apt-get "${options[@]}" update -qq
    apt-get "${options[@]}" install -y -qq --download-only --no-install-recommends python3-minimal libpython3-stdlib libstdc++6
    for deb in "$apt"/cache/archives/*.deb; do
        dpkg -x "$deb" "$place/root"
    done
    rm -rf "$apt"
    touch "$place/root/complete"
}

wheels() {
    [ -e "$place/site/complete" ] && return
    local version platforms=() tag
    version=$(basename "$place"/root/usr/bin/python3.[0-9]*)
    for tag in manylinux2014 manylinux_2_17 manylinux_2_27 manylinux_2_28; do
        platforms+=(--platform "${tag}_aarch64")
    done
    rm -rf "$place/site"
    .venv/bin/python -m pip install -q --target "$place/site" "${platforms[@]}" --python-version "${version#python}" \
        --implementation cp --only-binary=:all: "numpy>=1.26,<3" "scipy>=1.12,<2" "pytest>=8,<10" "hypothesis>=6.100,<7"
    touch "$place/site/complete"
}

# A copy of the package, because the checkout's holds the machine's own compiled module.
package() {
    cargo build --profile emulated --target $target --package corten-python
    rm -rf "$place/package"
    mkdir -p "$place/package"
    cp -r python/corten "$place/package/corten"
    rm -f "$place/package"/corten/_core*.so
    cp "target/$target/emulated/lib_core.so" "$place/package/corten/_core.abi3.so"
}

packages
standard_library
# What is about GPUs alone runs no faster here and tests nothing of NEON.
cargo test --profile emulated --target $target --package corten-core --lib -- --skip gpu::
[ "${1:-}" != --engine ] || exit 0
python_root
wheels
package
PYTHONPATH=$place/package:$place/site qemu-aarch64 -L "$place/root" "$place"/root/usr/bin/python3.[0-9]* \
    -m pytest -q -p no:cacheprovider "${suites[@]}"
