#!/usr/bin/env bash
# Builds for boards: firmware, or the library.
#
#   build.sh [TARGET...]        default: the three targets of the Cortex-M firmware
#   PACKAGE=DIR                 default: ../mps2-an385; another folder of examples, or ../.. for the library
#   CARGO_ARGS="..."            more arguments for cargo, e.g. "--no-default-features --features nal"
#   PROFILE=dev                 default: release
#   COMMAND=clippy              default: build
#   OUT=DIR                     where the program goes, below TARGET/PROFILE there; default: target in this folder
#
# All else goes to target/TARGET/PROFILE in this folder, so that what packages share is compiled once. Two toolchains
# will do:
#   (a) rustup's, where `rustup target add TARGET` has been done: it brings core, alloc and a linker;
#   (b) a distribution's rustc and cargo with the standard library's source, which then is built too:
#       on Debian `apt-get install --no-install-recommends rustc-web cargo-web rust-web-src
#       binutils-arm-none-eabi lld`, and rust-web-clippy for COMMAND=clippy. `lld` is for RISC-V.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
all_targets=(thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf)

fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

# Whether the rustup toolchain in charge of this folder has the target's libraries.
rustup_has() {
  command -v rustup >/dev/null && rustup target list --installed 2>/dev/null | grep -qx "$1"
}

# rustup's targets are linked by rust-lld, which can fold functions that have become the same.
build_with_rustup() {
  cargo "$1" --config "$(short_paths)" --config 'build.rustflags=["-Clink-arg=--icf=all"]' "${@:2}"
}

# The distribution's programs by their full path: rustup's, first on many PATHs, would pick a rustc whose
# version does not match the standard library's source.
build_with_distribution() {
  # The default, rust-lld, comes with rustup only.
  local linker=ld.lld package=lld
  if [[ $target == thumb* ]]; then linker=arm-none-eabi-ld package=binutils-arm-none-eabi; fi
  command -v "$linker" >/dev/null || fail "no $linker: install $package"
  local bin=${DISTRIBUTION_BIN:-/usr/bin} sysroot
  [ -x "$bin/cargo" ] && [ -x "$bin/rustc" ] || fail "no $bin/cargo and rustc: install rustc-web and cargo-web"
  sysroot=$("$bin/rustc" --print sysroot)
  [ -e "$sysroot/lib/rustlib/src/rust/library/Cargo.lock" ] || fail "no source of core: install rust-web-src"
  # -Z options are for nightly compilers, and building core is one.
  env -u RUSTUP_TOOLCHAIN PATH="$bin:$PATH" RUSTC="$bin/rustc" RUSTC_BOOTSTRAP=1 \
    "$bin/cargo" "$1" -Zbuild-std=core,alloc --config "target.$target.linker='$linker'" \
    --config "$(short_paths "$bin/rustc")" "${@:2}"
}

# Panics name source files: by short names, wherever those are on this machine. Prints a line for cargo's --config.
short_paths() {
  local root sysroot flags path
  root=$(cd "$here/../.." && pwd)
  sysroot=$("${1:-rustc}" --print sysroot)
  flags="\"--remap-path-prefix=$root=natsbridge\", \"--remap-path-prefix=$sysroot/lib/rustlib/src/rust=rust\""
  for path in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    flags+=", \"--remap-path-prefix=$path=\""
  done
  echo "build.rustflags=[$flags]"
}

build() {
  local target=$1
  local arguments=("${COMMAND:-build}" --locked --profile "${PROFILE:-release}" --target "$target"
    --target-dir "${OUT:-$here/target}" --config "build.build-dir='$here/target'")
  # shellcheck disable=SC2206 # words are meant to be split
  arguments+=(${CARGO_ARGS:-})
  if rustup_has "$target"; then
    build_with_rustup "${arguments[@]}"
  else
    build_with_distribution "${arguments[@]}"
  fi
}

cd "${PACKAGE:-$here/../mps2-an385}"
[ $# -gt 0 ] || set -- "${all_targets[@]}"
for target in "$@"; do
  build "$target"
done
