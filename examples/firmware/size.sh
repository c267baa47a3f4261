#!/usr/bin/env bash
# Prints what a firmware takes of flash, and whose it is.
#
#   size.sh ELF
#   MOST=163840                 fail if `text` is more bytes than that
#
# Shares are counted by symbol: natsbridge's are those whose demangled name has `natsbridge::` in it, so what
# other crates compile for its types is its own too. What has no name of a crate (texts, tables, places for
# panic messages) is "no crate's". Needs a compiler that mangles by Rust's v0 scheme, as rustc 1.96 does.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 64; }
elf=$1

arm-none-eabi-size "$elf"
echo
arm-none-eabi-nm --print-size --radix=d --demangle "$elf" | awk '
  # address, size, kind, name; code and constants only
  $3 !~ /^[tTrRwW]$/ { next }
  {
    size = $2 + 0
    name = $0
    sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", name)
    if (name ~ /(^|[^a-z0-9_])natsbridge::/) share["natsbridge"] += size
    else {
      sub(/^(<|&|\*|\(|\[| |mut |const |dyn )*/, "", name)
      crate = match(name, /^[a-z0-9_]+::/) ? substr(name, 1, RLENGTH - 2) : "no crate'\''s"
      if (crate ~ /^natsbridge_/) crate = "the firmware"
      if (crate ~ /^(core|alloc|compiler_builtins|__rustc)$/) crate = "core, alloc, compiler_builtins"
      if (crate ~ /^serde/) crate = "serde, serde_json"
      share[crate] += size
    }
  }
  END { for (crate in share) if (share[crate] >= 100) printf "%8d  %s\n", share[crate], crate }
' | sort -rn

text=$(arm-none-eabi-size "$elf" | awk 'NR == 2 { print $1 }')
if [ -n "${MOST:-}" ] && [ "$text" -gt "$MOST" ]; then
  echo "text: $text bytes are more than $MOST" >&2
  exit 1
fi
