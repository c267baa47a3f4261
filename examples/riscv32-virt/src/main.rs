//! natsbridge on bare metal: an emulated RISC-V board. What it does, and the words on its command line, stand in
//! `../../firmware/run.rs`.

#![no_std]
#![no_main]

extern crate alloc;

#[path = "../../firmware/bench.rs"]
mod bench;
#[path = "../../firmware/board.rs"]
mod board;
#[path = "../../firmware/heap.rs"]
mod heap;
mod machine;
#[path = "../../firmware/network.rs"]
mod network;
#[path = "../../firmware/pattern.rs"]
mod pattern;
#[path = "../../firmware/platform.rs"]
mod platform;
#[path = "../../firmware/run.rs"]
mod run;
#[path = "../../firmware/stack.rs"]
mod stack;
#[path = "../../firmware/steps/mod.rs"]
mod steps;
#[path = "../../firmware/transport.rs"]
mod transport;
mod virtio_net;

#[riscv_rt::entry]
fn main() -> ! {
    machine::paint_stack();
    // SAFETY: the start-up code calls this function once.
    unsafe { run::run() }
}
