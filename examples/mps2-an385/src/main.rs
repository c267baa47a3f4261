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

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};

const CORE_HZ: u32 = 25_000_000;

#[entry]
fn main() -> ! {
    start_tick();
    // SAFETY: the start-up code calls this function once.
    unsafe { run::run() }
}

/// One interrupt each millisecond, which ends `wfi`.
fn start_tick() {
    let mut core = cortex_m::Peripherals::take().expect("taken here only");
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(CORE_HZ / 1000 - 1);
    core.SYST.clear_current();
    core.SYST.enable_counter();
    core.SYST.enable_interrupt();
}

#[exception]
fn SysTick() {
    // The clock must be read before its counter wraps, and a program may be busy for longer.
    machine::uptime_ns();
}
