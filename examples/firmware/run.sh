#!/usr/bin/env bash
# Runs a firmware image in QEMU and ends with its exit code (124: it did not end in time).
#
#   run.sh ELF [WORD...]        words as name=value, e.g. nats=4222 heap=65536
#   MACHINE=mps2-an386          default: mps2-an385, which has no floating point unit and so cannot run an eabihf image;
#                               `virt` is the RISC-V one
#   TIME_LIMIT=30               seconds, default 60
#   PCAP=FILE                   writes the network traffic there
#   ICOUNT=0                    makes the board's clock count instructions: each takes 2^0 ns
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 64; }
elf=$1
shift
semihosting=enable=on,target=native,arg=firmware
for word in "$@"; do
  semihosting+=",arg=${word//,/,,}" # QEMU reads a doubled comma as one
done
network=(-netdev user,id=net)
case ${MACHINE:=mps2-an385} in
  virt)
    machine=(qemu-system-riscv32 -M virt -bios none)
    network+=(-global virtio-mmio.force-legacy=false -device virtio-net-device,netdev=net)
    ;;
  *)
    machine=(qemu-system-arm -M "$MACHINE")
    network+=(-net nic,model=lan9118,netdev=net)
    ;;
esac
[ -z "${PCAP:-}" ] || network+=(-object "filter-dump,id=dump,netdev=net,file=$PCAP")
counting=()
[ -z "${ICOUNT:-}" ] || counting=(-icount "shift=$ICOUNT")

# Standard input must not be the caller's: QEMU would read its keys from it.
exec timeout -k 5 "${TIME_LIMIT:-60}" "${machine[@]}" \
  -display none -serial none -monitor none -semihosting-config "$semihosting" \
  "${network[@]}" "${counting[@]}" -kernel "$elf" </dev/null
