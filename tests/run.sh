#!/usr/bin/env bash
# All checks of the project: formatting, lints, docs, tests, boards, fuzz targets. Installs the Debian
# packages that are missing, if it may. `tests/run.sh quick` does what needs neither other programs nor
# other toolchains: formatting, lints of all features, and tests that start no server.
#
#   FUZZ_SECONDS=20    how long each fuzz target runs
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never

step() { printf '\n== %s, after %d s\n' "$*" "$SECONDS"; }

case "${1:-all}" in
  all) ;;
  quick)
    step "formatting"
    cargo fmt --check
    step "lints"
    cargo clippy --quiet --locked --all-targets --all-features -- -D warnings
    step "tests without servers"
    cargo test --quiet --locked --all-features --lib --test structure --test vectors --test bridge \
      --test adapters --test limits --test properties
    step "quick checks passed"
    exit
    ;;
  *)
    echo "usage: tests/run.sh [quick]" >&2
    exit 2
    ;;
esac

# Programs that the tests start, and the packages that have them.
packages=()
need() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || packages+=("$2"); }
need nats-server nats-server
need nginx nginx-light
need openssl openssl
need python3 python3
need qemu-system-arm qemu-system-arm
need qemu-system-riscv32 qemu-system-misc
need arm-none-eabi-ld binutils-arm-none-eabi
need arm-none-eabi-gcc gcc-arm-none-eabi
# What programs of 32 bits are linked with, where the tests can be run as such.
if [ "$(uname -m)" = x86_64 ]; then
  echo 'int main(void) { return 0; }' | gcc -m32 -x c - -o /dev/null 2>/dev/null || packages+=(gcc-multilib)
fi
# The C headers that FreeRTOS is compiled with.
echo '#include <stdlib.h>' | arm-none-eabi-gcc -E - >/dev/null 2>&1 || packages+=(libnewlib-arm-none-eabi)
# A compiler for boards: rustup's targets, or else the distribution's compiler and its sources.
boards="thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf riscv32imac-unknown-none-elf"
for target in $boards; do
  if ! rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    for package in rustc-web cargo-web rust-web-src lld; do
      dpkg -s "$package" >/dev/null 2>&1 || packages+=("$package")
    done
    break
  fi
done
if [ ${#packages[@]} -gt 0 ]; then
  step "install ${packages[*]}"
  install="apt-get install -y --no-install-recommends ${packages[*]}"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "these are missing; on Debian, as root: $install" >&2
    exit 1
  fi
  apt-get update
  # RUNLEVEL=1: the tests start their own servers, the packages need not.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $install
fi

# Built while other things are waited for; without optimization, because it takes longer to build than to run.
{ cargo deny --version >/dev/null 2>&1 || cargo install --quiet --debug --locked cargo-deny; } &
cargo_deny=$!
# A server of S3 that verifies signatures. Newer than the crate's oldest compiler.
{ command -v s3s-fs >/dev/null || [ -x "${S3S_FS:-}" ] ||
  cargo install --quiet --debug --locked s3s-fs --version 0.14.1 --features binary; } &
s3s_fs=$!

step "formatting"
packages_of_ours=". fuzz examples/mps2-an385 examples/riscv32-virt examples/freertos \
  examples/rp2040-w5500 examples/stm32h7 examples/rtic examples/embassy"
for folder in $packages_of_ours; do
  (cd "$folder" && cargo fmt --check)
done

step "lints, for every set of features"
for features in "--all-targets" "--all-targets --all-features" \
  "--no-default-features" "--no-default-features --features serde" \
  "--no-default-features --features nal" \
  "--no-default-features --features nkeys" "--no-default-features --features board-tls" \
  "--no-default-features --features std" "--no-default-features --features nats" \
  "--no-default-features --features ureq" "--no-default-features --features s3"; do
  # shellcheck disable=SC2086 # words are meant to be split
  cargo clippy --quiet --locked $features -- -D warnings
done

step "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --all-features

step "the package: what is in it builds, with the command line"
cargo package --quiet --locked --allow-dirty --features cli

oldest=$(sed -n 's/^rust-version = "\(.*\)".*/\1/p' Cargo.toml)
step "the oldest compiler, $oldest"
if rustup toolchain install "$oldest" --profile minimal >/dev/null 2>&1; then
  cargo "+$oldest" check --quiet --locked --all-features
else
  echo "it is not tried: rustup toolchain install $oldest does not succeed here"
fi

step "dependencies of the default features: at most 55 crates, and not \`nats\`"
crates=$(cargo tree --locked -e normal --prefix none | awk '{ print $1 }' | sort -u)
if [ "$(echo "$crates" | wc -l)" -gt 55 ] || echo "$crates" | grep -qx nats; then
  echo "$crates" >&2
  exit 1
fi

step "dependencies of boards: no serde"
crates=$(cargo tree --locked -e normal --prefix none --no-default-features --features nal,nkeys,board-tls)
if grep '^serde' <<<"$crates" >&2; then exit 1; fi

step "tests"
wait "$s3s_fs"
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
cargo test --quiet --locked --all-features

# These have build folders of their own, and are built while what follows is checked.
{
  step "the library for boards: $boards"
  # shellcheck disable=SC2086 # words are meant to be split
  PROFILE=dev PACKAGE=. CARGO_ARGS="--no-default-features --features nal" examples/firmware/build.sh $boards

  step "ports that are not emulated"
  PACKAGE=examples/rp2040-w5500 examples/firmware/build.sh thumbv6m-none-eabi
  PACKAGE=examples/stm32h7 examples/firmware/build.sh thumbv7em-none-eabihf

  step "fuzz targets, built"
  nice fuzz/run.sh build
} &
builds=$!

step "licences, sources and bans of dependencies"
wait "$cargo_deny"
for folder in $packages_of_ours; do
  (cd "$folder" && cargo deny --log-level error --all-features check licenses bans sources)
done
if timeout 20 git ls-remote https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
  cargo deny --all-features check advisories
else
  echo "advisories are not checked: github.com/RustSec/advisory-db cannot be reached"
fi

# Each target, and the C compiler that `ring` of the default features needs for it.
hosts="armv7-unknown-linux-gnueabihf:arm-linux-gnueabihf-gcc i686-unknown-linux-gnu:
  riscv64gc-unknown-linux-gnu:riscv64-linux-gnu-gcc powerpc-unknown-linux-gnu:powerpc-linux-gnu-gcc
  x86_64-pc-windows-gnu:x86_64-w64-mingw32-gcc x86_64-apple-darwin: wasm32-wasip1:"
step "other machines"
can_run_32_bit=$(echo 'int main(void) { return 0; }' | gcc -m32 -x c - -o /dev/null 2>/dev/null && echo yes || true)
for host in $hosts; do
  target=${host%%:*} compiler=${host#*:} features="--no-default-features --features std"
  if ! rustup target add "$target" >/dev/null 2>&1; then
    echo "$target is not tried: rustup target add $target does not succeed here"
    continue
  fi
  if [ "$target" = i686-unknown-linux-gnu ] && [ -n "$can_run_32_bit" ]; then compiler=gcc; fi
  if [ -n "$compiler" ] && command -v "$compiler" >/dev/null; then features=""; fi
  echo "$target ${features:-with the default features}"
  # shellcheck disable=SC2086 # words are meant to be split
  cargo check --quiet --locked --target "$target" $features
  if [ "$compiler" = gcc ]; then
    cargo test --quiet --locked --lib --target "$target" --no-default-features --features std,nal
  fi
done

# `std` is built too, because rustup has none for it.
step "ESP-IDF"
if rustup component add rust-src >/dev/null 2>&1; then
  RUSTC_BOOTSTRAP=1 cargo check --quiet --locked -Zbuild-std=std,panic_abort --target riscv32imc-esp-espidf \
    --no-default-features --features std,board-tls,nkeys
else
  echo "it is not tried: rustup component add rust-src does not succeed here"
fi

step "the firmware, on emulated boards"
cargo test --locked --all-features --test firmware -- --nocapture

step "the firmware's flash"
MOST=163840 examples/firmware/size.sh \
  examples/firmware/target/thumbv7m-none-eabi/release/natsbridge-mps2-an385

step "fuzz targets, ${FUZZ_SECONDS:-20} s each"
wait "$builds"
fuzz/run.sh "${FUZZ_SECONDS:-20}"

step "all passed"
