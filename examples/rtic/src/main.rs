//! natsbridge under RTIC: the blocking client runs in `idle`, which has the lowest priority, and a hardware task
//! keeps a beat of 1 ms meanwhile. The words on the command line stand in `../../firmware/round_trip.rs`.

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

/// What RTIC needs to know of the chip. A program for another one names its peripheral access crate instead.
mod device {
    /// The board's processor has three bits of priority.
    pub const NVIC_PRIO_BITS: u8 = 3;

    /// The chip's interrupts. None is needed: the only task is bound to an exception.
    pub mod interrupt {}
}

#[rtic::app(device = crate::device, peripherals = false)]
mod app {
    use crate::machine::{self, FrameBuffers};
    use crate::stack::{SocketBuffers, SocketTable};
    use crate::{network, round_trip};

    #[shared]
    struct Shared {
        beats: u32,
    }

    #[local]
    struct Local {}

    #[init]
    fn init(mut context: init::Context) -> (Shared, Local) {
        machine::start_tick(&mut context.core.SYST);
        (Shared { beats: 0 }, Local {})
    }

    /// May block, because every task preempts it. While it waits, it sleeps until the next interrupt.
    #[idle(
        shared = [beats],
        local = [
            frames: FrameBuffers = FrameBuffers::EMPTY,
            table: SocketTable = SocketTable::EMPTY,
            buffers: SocketBuffers = SocketBuffers::EMPTY,
        ]
    )]
    fn idle(context: idle::Context) -> ! {
        let local = context.local;
        let network = network::start(local.frames, local.table, local.buffers);
        let mut beats = context.shared.beats;
        // SAFETY: `idle` runs once, and no task allocates.
        unsafe { round_trip::run(network, || beats.lock(|beats| *beats)) }
    }

    /// Reads the clock too, whose counter would wrap unnoticed if nothing else read it for three minutes.
    #[task(binds = SysTick, priority = 1, shared = [beats])]
    fn beat(mut context: beat::Context) {
        context.shared.beats.lock(|beats| *beats += 1);
        machine::uptime_ns();
    }
}
