//! The board itself: clock, memory, faults, semihosting, and where its Ethernet chip is.

use core::arch::asm;
use core::cell::Cell;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::{ExceptionFrame, STACK_PAINT_VALUE, exception};
use critical_section::Mutex;
use smoltcp::wire::EthernetAddress;

use crate::board::{Exit, exit, hprintln};
pub use crate::lan9118::{FrameBuffers, Lan9118 as Ethernet};

/// What the start-up code writes into the whole stack.
pub const STACK_PAINT: u32 = STACK_PAINT_VALUE;
const CORE_HZ: u32 = 25_000_000;
/// Where the mps2-an385 and mps2-an386 boards have the chip.
const LAN9118_BASE: usize = 0x4020_0000;

/// Time since reset in nanoseconds, in steps of 40. Must be called at least every 171 s, or a wrap of the
/// counter is missed.
pub fn uptime_ns() -> u64 {
    const FPGAIO_COUNTER: *const u32 = 0x4002_8018 as *const u32;
    const NS_PER_TICK: u64 = 40;
    /// The last value, with the wraps counted in its upper half.
    static TICKS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

    critical_section::with(|cs| {
        let ticks = TICKS.borrow(cs);
        let last = ticks.get();
        // SAFETY: the board's free-running counter; reading it has no effect.
        let counter = unsafe { core::ptr::read_volatile(FPGAIO_COUNTER) };
        let elapsed = counter.wrapping_sub(last as u32);
        ticks.set(last + u64::from(elapsed));
        ticks.get() * NS_PER_TICK
    })
}

/// One interrupt each millisecond, which ends `wfi`.
pub fn start_tick(timer: &mut SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(CORE_HZ / 1000 - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

/// Sleeps until an interrupt, of which there is one each millisecond.
pub fn wait_for_tick() {
    cortex_m::asm::wfi();
}

/// Asks the host that emulates the board.
///
/// # Safety
///
/// The argument must be what the operation expects: often the address of a block of words.
pub unsafe fn semihost(operation: usize, argument: usize) -> usize {
    let answer;
    // SAFETY: the host reads and writes what the caller promised, and the register of the answer.
    unsafe {
        asm!(
            "bkpt #0xab",
            inout("r0") operation => answer,
            in("r1") argument,
            options(nostack, preserves_flags),
        );
    }
    answer
}

/// Starts the chip.
///
/// # Panics
///
/// When there is no such chip, or it does not answer.
pub fn ethernet(frames: &'static mut FrameBuffers) -> (Ethernet, EthernetAddress) {
    // SAFETY: the board has the chip there; the static frames can be had once, so this is its only driver.
    let chip = unsafe { Ethernet::new(LAN9118_BASE, frames) };
    let mut chip = chip.expect("the Ethernet chip answers");
    let address = chip.mac_address().expect("the Ethernet chip answers");
    (chip, address)
}

/// The first address after the static data.
pub fn heap_start() -> usize {
    cortex_m_rt::heap_start() as usize
}

/// Ends of the main stack.
pub fn stack_bounds() -> core::ops::Range<usize> {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    // Only the addresses mean something: these are symbols of the linker, not variables.
    &raw const _stack_end as usize..&raw const _stack_start as usize
}

/// Executes an instruction that there is not.
pub fn fault() -> ! {
    cortex_m::asm::udf()
}

/// A fault would otherwise loop for ever, and the run with it.
///
/// # Safety
///
/// Called by the processor only.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    hprintln!("hard fault at {:#010x}", frame.pc());
    exit(Exit::Faulted)
}
