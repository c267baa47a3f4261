#!/usr/bin/env bash
# What the library costs a program that uses it, with the default features and for boards: crates,
# time to build all of them anew, and bytes of the smallest program with and without it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TERM_COLOR=never
library=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A program of its own: src/main.rs from standard input, the dependency's features as an argument.
program() {
  mkdir -p "$work/$1/src"
  cat >"$work/$1/src/main.rs"
  cat >"$work/$1/Cargo.toml" <<EOF
[package]
name = "$1"
edition = "2024"
[dependencies]
$2
[profile.release]
opt-level = "s"
lto = true
codegen-units = 1
panic = "abort"
strip = true
EOF
  cp Cargo.lock "$work/$1/"
}

measure() {
  local start taken crates size
  start=$(date +%s%N)
  (cd "$work/$1" && CARGO_TARGET_DIR="$work/target-$1" cargo build --quiet --release)
  taken=$((($(date +%s%N) - start) / 100000000))
  crates=$(cd "$work/$1" && cargo tree --edges normal --prefix none 2>/dev/null | sed 's/ (\*)//' | sort -u | wc -l)
  size=$(stat -c %s "$work/target-$1/release/$1")
  printf '%-8s %3d crates  %3d.%d s to build  %9d bytes\n' "$1" $((crates - 1)) $((taken / 10)) $((taken % 10)) "$size"
}

program nothing "" <<'EOF'
fn main() {}
EOF
program default "natsbridge = { path = \"$library\" }" <<'EOF'
use natsbridge::{Payload, SendOptions, host};
fn main() {
    let mut bridge = host::connect("nats://localhost:4222", "http://localhost:8080").unwrap();
    bridge.subscribe("/chat", None).unwrap();
    bridge.smartsend("/chat", &[("note", Payload::text("hello"))], &SendOptions::default()).unwrap();
    println!("{:?}", bridge.next(std::time::Duration::from_secs(1)));
}
EOF
# The operating system's stack and a poor platform stand for a board's.
program nal "natsbridge = { path = \"$library\", default-features = false, features = [\"nal\"] }
std-embedded-nal = \"0.4\"" <<'EOF'
use core::time::Duration;
use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
use natsbridge::{HttpPut, NatsBridge, Payload, Platform, PlatformError, SendOptions};
use std_embedded_nal::Stack;
struct Board;
impl Platform for Board {
    fn unix_millis(&self) -> u64 {
        0
    }
    fn uptime_millis(&self) -> u64 {
        0
    }
    fn wait(&self, _: Duration) {}
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        out.fill(7);
        Ok(())
    }
}
fn main() {
    let nats = NatsClient::new(Stack, Board, NatsOptions::new("nats://127.0.0.1:4222"));
    let files = HttpPut::new(HttpClient::new(Stack, Board), Board, "http://127.0.0.1/").unwrap();
    let mut bridge = NatsBridge::new(nats, files, Board);
    bridge.subscribe("/chat", None).unwrap();
    bridge.smartsend("/chat", &[("note", Payload::text("hello"))], &SendOptions::default()).unwrap();
    println!("{:?}", bridge.next(Duration::from_secs(1)));
}
EOF

rustc --version
nproc | sed 's/$/ cores/'
for name in nothing default nal; do measure $name; done
