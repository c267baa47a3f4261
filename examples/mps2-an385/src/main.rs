//! natsbridge on bare metal: an emulated Cortex-M board. What it does, and the words on its command line, stand in
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
mod lan9118;
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

use cortex_m_rt::{entry, exception};

#[entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("taken here only");
    machine::start_tick(&mut core.SYST);
    // SAFETY: the start-up code calls this function once.
    unsafe { run::run() }
}

#[exception]
fn SysTick() {
    // The clock must be read before its counter wraps, and a program may be busy for longer.
    machine::uptime_ns();
}
