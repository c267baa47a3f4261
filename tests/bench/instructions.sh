#!/usr/bin/env bash
# Instructions of a send and of a receive, counted by valgrind: the same on every run, so that a
# change of the code shows exactly. Prints what instructions.txt holds:
#
#   tests/bench/instructions.sh > tests/bench/instructions.txt
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TERM_COLOR=never
command -v valgrind >/dev/null || { echo "valgrind is missing; on Debian: apt-get install -y valgrind" >&2; exit 1; }

built=$(cargo bench --quiet --locked --bench instructions --no-run --message-format json |
  sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')

# Instructions of a whole run.
count() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$built" "$@" 2>&1 | sed -n 's/.*Collected : //p'; }

# The functions of base64's engines that a run goes through.
engine() {
  local profile
  profile=$(mktemp)
  valgrind --tool=callgrind --callgrind-out-file="$profile" "$built" send 100000 2 >/dev/null 2>&1
  grep -o 'simd::[a-z0-9_]*::encode[a-z_]*' "$profile" | sort -u | paste -sd ' '
  rm -f "$profile"
}

echo "# Instructions of one call, without start and end of the program. Made by tests/bench/instructions.sh with"
echo "# $(rustc --version), cargo's profile \`bench\`, $(uname -m), $(valgrind --version), whose processor has AVX2 and no AVX-512."
echo "# base64 encodes by $(engine)."
for what in send receive receive-in-place; do
  for len in 1000 100000; do
    # What two runs have in common is not the calls'.
    few=$(count $what $len 10)
    many=$(count $what $len 110)
    printf '%-18s %7d bytes %9d instructions\n' $what $len $(((many - few) / 100))
  done
done
