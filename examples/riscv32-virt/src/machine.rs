//! The board itself: clock, memory, faults, semihosting, and where its Ethernet device is.

use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};

use riscv::register::{mcause, mepc, mie};
use riscv_rt::TrapFrame;
use smoltcp::wire::EthernetAddress;

use crate::board::{Exit, exit, hprintln};
pub use crate::virtio_net::{FrameBuffers, VirtioNet as Ethernet};

/// What [`paint_stack`] writes into the stack.
pub const STACK_PAINT: u32 = 0xCCCC_CCCC;

/// Registers of the timer, each of 64 bits, read and written by halves.
const MTIMECMP: *mut u32 = 0x0200_4000 as *mut u32;
const MTIME: *const u32 = 0x0200_BFF8 as *const u32;
const NS_PER_TICK: u64 = 100;
const TICKS_PER_MS: u64 = 10_000;

/// Where devices of virtio may be, and how far one is from the next.
const VIRTIO_BASE: usize = 0x1000_1000;
const VIRTIO_STEP: usize = 0x1000;
const VIRTIO_PLACES: usize = 8;

/// Time since reset in nanoseconds, in steps of 100.
pub fn uptime_ns() -> u64 {
    ticks() * NS_PER_TICK
}

fn ticks() -> u64 {
    // SAFETY: the registers are there, and reading them has no effect.
    let [low, high] = [0, 1].map(|half| move || unsafe { read_volatile(MTIME.add(half)) });
    loop {
        let (before, low, after) = (high(), low(), high());
        // Otherwise the lower half has wrapped meanwhile.
        if before == after {
            return u64::from(after) << 32 | u64::from(low);
        }
    }
}

/// Sleeps until the next whole millisecond.
pub fn wait_for_tick() {
    let until = (ticks() / TICKS_PER_MS + 1) * TICKS_PER_MS;
    // SAFETY: the registers are there and this is their only user. The interrupt that they cause ends `wfi`
    // and is not taken, because interrupts are off as a whole.
    unsafe {
        // Not in the past in between.
        write_volatile(MTIMECMP.add(1), u32::MAX);
        write_volatile(MTIMECMP, until as u32);
        write_volatile(MTIMECMP.add(1), (until >> 32) as u32);
        mie::set_mtimer();
    }
    riscv::asm::wfi();
}

/// Asks the host that emulates the board.
///
/// # Safety
///
/// The argument must be what the operation expects: often the address of a block of words.
pub unsafe fn semihost(operation: usize, argument: usize) -> usize {
    let answer;
    // SAFETY: the host reads and writes what the caller promised, and the register of the answer. It knows the call
    // by these three instructions, uncompressed and in one page.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => answer,
            in("a1") argument,
            options(nostack, preserves_flags),
        );
    }
    answer
}

/// Starts the device.
///
/// # Panics
///
/// When there is no such device, or it is of another kind.
pub fn ethernet(frames: &'static mut FrameBuffers) -> (Ethernet, EthernetAddress) {
    let mut places = (0..VIRTIO_PLACES).map(|place| VIRTIO_BASE + place * VIRTIO_STEP);
    // SAFETY: each place has the registers of a device or of none.
    let base = places.find(|base| unsafe { Ethernet::is_at(*base) });
    let base = base.expect("there is an Ethernet device");
    // SAFETY: it is there; the static frames can be had once, so this is its only driver.
    let device = unsafe { Ethernet::new(base, frames) };
    let device = device.expect("the Ethernet device accepts its driver");
    let address = device.mac_address();
    (device, address)
}

/// The first address after the static data.
pub fn heap_start() -> usize {
    unsafe extern "C" {
        static __euninit: u32;
    }
    // Only the address means something: it is a symbol of the linker, not a variable.
    &raw const __euninit as usize
}

/// Ends of the stack.
pub fn stack_bounds() -> core::ops::Range<usize> {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    // Only the addresses mean something: these are symbols of the linker, not variables.
    &raw const _stack_end as usize..&raw const _stack_start as usize
}

/// Fills the part of the stack that is not in use yet, so that its high-water mark can be read. Called first.
#[inline(never)]
pub fn paint_stack() {
    /// More than the frame of this function, where it lies below the stack pointer.
    const OWN: usize = 256;
    let stack_pointer: usize;
    // SAFETY: it reads a register.
    unsafe { asm!("mv {}, sp", out(reg) stack_pointer, options(nomem, nostack)) };
    for word in (stack_bounds().start..stack_pointer - OWN).step_by(4) {
        // SAFETY: this is stack that nobody uses.
        unsafe { write_volatile(word as *mut u32, STACK_PAINT) };
    }
}

/// Executes an instruction that there is not.
pub fn fault() -> ! {
    // SAFETY: the processor goes on in `ExceptionHandler`, which does not return.
    unsafe { asm!("unimp", options(noreturn)) }
}

/// A fault would otherwise loop for ever, and the run with it.
#[unsafe(export_name = "ExceptionHandler")]
fn exception(_frame: &TrapFrame) -> ! {
    let (cause, place) = (mcause::read().code(), mepc::read());
    hprintln!("exception {cause} at {place:#010x}");
    exit(Exit::Faulted)
}
