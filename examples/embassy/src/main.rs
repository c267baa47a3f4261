//! natsbridge under Embassy: the blocking client runs in thread mode, where there is no executor, and a task of an
//! interrupt executor keeps a beat of 1 ms meanwhile. The words on the command line stand in
//! `../../firmware/round_trip.rs`.

#![no_std]
#![no_main]

extern crate alloc;

#[path = "../../firmware/board.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the bare firmware needs more of it"
)]
mod board;
#[path = "../../mps2-an385/src/lan9118.rs"]
mod lan9118;
#[path = "../../mps2-an385/src/machine.rs"]
#[allow(dead_code, reason = "the bare firmware needs more of it")]
mod machine;
#[path = "../../firmware/network.rs"]
mod network;
#[path = "../../firmware/pattern.rs"]
#[allow(dead_code, reason = "the bare firmware needs more of it")]
mod pattern;
#[path = "../../firmware/platform.rs"]
mod platform;
#[path = "../../firmware/round_trip.rs"]
mod round_trip;
#[path = "../../firmware/stack.rs"]
#[allow(dead_code, reason = "the bare firmware needs more of it")]
mod stack;

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use cortex_m::interrupt::InterruptNumber;
use cortex_m_rt::{entry, exception};
use embassy_executor::InterruptExecutor;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;

use machine::FrameBuffers;
use stack::{SocketBuffers, SocketTable};

/// Runs its tasks in an interrupt, and so above thread mode.
static EXECUTOR: InterruptExecutor = InterruptExecutor::new();
static TICK: Signal<CriticalSectionRawMutex, ()> = Signal::new();
static BEATS: AtomicU32 = AtomicU32::new(0);

/// An interrupt that no device raises, for the executor. A peripheral access crate has a name for it.
#[derive(Clone, Copy)]
struct Unused;

// SAFETY: the board's processor has 32 interrupts, and the number is always the same.
unsafe impl InterruptNumber for Unused {
    fn number(self) -> u16 {
        31
    }
}

/// May block, because the executor's interrupt preempts it. While it waits, it sleeps until the next interrupt.
#[entry]
fn main() -> ! {
    // The entry macro makes these `&'static mut`: it is called once.
    static mut FRAMES: FrameBuffers = FrameBuffers::EMPTY;
    static mut TABLE: SocketTable = SocketTable::EMPTY;
    static mut BUFFERS: SocketBuffers = SocketBuffers::EMPTY;

    let spawner = EXECUTOR.start(Unused);
    spawner.spawn(beat().expect("room for one task"));
    let mut core = cortex_m::Peripherals::take().expect("taken here only");
    machine::start_tick(&mut core.SYST);
    let network = network::start(FRAMES, TABLE, BUFFERS);
    // SAFETY: `main` runs once, and the task allocates nothing.
    unsafe { round_trip::run(network, || BEATS.load(Relaxed)) }
}

/// An async task like any other. With a HAL it would await its timer.
#[embassy_executor::task]
async fn beat() {
    loop {
        TICK.wait().await;
        BEATS.fetch_add(1, Relaxed);
    }
}

/// Reads the clock too, whose counter would wrap unnoticed if nothing else read it for three minutes.
#[exception]
fn SysTick() {
    machine::uptime_ns();
    TICK.signal(());
}

/// Every interrupt, of which only the executor's is enabled.
///
/// # Safety
///
/// Called by the processor only.
#[exception]
unsafe fn DefaultHandler(_number: i16) {
    // SAFETY: this is the executor's interrupt, which `start` enables.
    unsafe { EXECUTOR.on_interrupt() }
}
