#!/usr/bin/env bash
# All checks of the project. Installs the Debian packages that are missing, if it may.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never

step() { printf '\n== %s\n' "$*"; }

# Programs that the tests start, and the packages that have them.
packages=()
need() { command -v "$1" >/dev/null || PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || packages+=("$2"); }
need nats-server nats-server
need nginx nginx-light
need openssl openssl
if [ ${#packages[@]} -gt 0 ]; then
  step "install ${packages[*]}"
  install="apt-get install -y --no-install-recommends ${packages[*]}"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "these programs are missing; as root: $install" >&2
    exit 1
  fi
  apt-get update
  # RUNLEVEL=1: the tests start their own servers, the packages need not.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $install
fi

step "formatting"
cargo fmt --check

step "lints, for every set of features"
for features in "--all-targets" "--all-targets --all-features" \
  "--no-default-features" "--no-default-features --features nal" \
  "--no-default-features --features std" "--no-default-features --features nats" \
  "--no-default-features --features ureq"; do
  cargo clippy --quiet --locked $features -- -D warnings
done

step "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --all-features

step "tests"
cargo test --quiet --locked --all-features

step "the main job, without a server"
cargo run --quiet --locked --example quickstart
