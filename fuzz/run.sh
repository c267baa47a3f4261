#!/bin/sh
# Runs every fuzz target, or those that are named, for some seconds each:
#
#   fuzz/run.sh [SECONDS [TARGET...]]      (default: 60 seconds, all targets)
#   fuzz/run.sh build                      only builds them
#
# Each starts from its seeds in corpus/ and from what earlier runs found, which is kept in the target
# folder, out of git. AddressSanitizer is on. A finding stops the script; the input is in artifacts/.
# Run it again on that input with: cargo +nightly fuzz run TARGET artifacts/TARGET/FILE
set -eu
export RUSTUP_AUTO_INSTALL=0

seconds=${1:-60}
[ $# -gt 0 ] && shift
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- envelope_parse smartreceive envelope_round_trip codec_differential \
    nats_protocol nats_session http_response plik_answers jetstream_answers tls_handshake

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzzing needs a nightly compiler: rustup toolchain install nightly --profile minimal" >&2
    exit 1
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz" >&2
    cargo install --locked cargo-fuzz
fi

if [ "$seconds" = build ]; then
    exec cargo +nightly fuzz build
fi
if [ $# -gt 1 ]; then
    # As many at a time as there are cores.
    printf '%s\n' "$@" | xargs -n 1 -P "$(nproc)" ./run.sh "$seconds"
    exit
fi
target=$1
longest=4096
case $target in
    envelope_parse | codec_differential) seeds=message ;;
    # Long enough that three times the message matters beside the 64 KiB that any may take.
    smartreceive) seeds=message longest=32768 ;;
    *) seeds=$target ;;
esac
found=${CARGO_TARGET_DIR:-target}/fuzz-corpus/$target
mkdir -p "$found" "corpus/$seeds"
set -- "$found" "corpus/$seeds" -- -max_total_time="$seconds" -max_len="$longest" \
    -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 -verbosity=0
[ -f "dictionaries/$seeds.dict" ] && set -- "$@" -dict="dictionaries/$seeds.dict"
log=$found.log
if ! cargo +nightly fuzz run "$target" "$@" >"$log" 2>&1; then
    cat "$log"
    # xargs starts no other target after this.
    exit 255
fi
executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
echo "$target: $executions executions in $seconds s, no finding"
