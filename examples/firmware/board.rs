//! What the firmware needs from the board and, by semihosting, from the host that emulates it:
//! clock, wall clock, random bytes, command line, exit code, stack use.
//!
//! Semihosting stops the processor while the host serves it, so nothing timed should print.

use core::cell::Cell;
use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, STACK_PAINT_VALUE, exception};
use cortex_m_semihosting::{heprintln, nr, syscall, syscall1};
use critical_section::Mutex;

/// What the run came to, as the emulator's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Passed = 0,
    /// A panic, which an allocation that fails is too.
    Panicked = 1,
    /// A step of the test failed.
    Failed = 2,
    /// A fault of the processor: bad address, bad instruction.
    Faulted = 3,
}

/// Ends the emulation with `code`.
pub fn exit(code: Exit) -> ! {
    const SYS_EXIT_EXTENDED: usize = 0x20;
    const APPLICATION_EXIT: usize = 0x20026;
    // SAFETY: the operation takes a block of two words, reason and code, and reads only that.
    unsafe { cortex_m_semihosting::syscall(SYS_EXIT_EXTENDED, &[APPLICATION_EXIT, code as usize]) };
    // A debugger may let the program go on.
    loop {
        cortex_m::asm::bkpt();
    }
}

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

/// Time since reset in microseconds; see [`uptime_ns`].
// Called from many places, each of which would take a copy of it into flash.
#[inline(never)]
pub fn uptime_us() -> u64 {
    uptime_ns() / 1000
}

/// Time since reset in milliseconds; see [`uptime_ns`].
pub fn uptime_ms() -> u64 {
    uptime_us() / 1000
}

/// Seconds since 1970-01-01 00:00:00 UTC, from the host.
pub fn unix_time_s() -> u64 {
    // SAFETY: the operation takes no argument. Its answer is unsigned and lasts until 2106.
    unsafe { syscall1!(TIME, 0) as u64 }
}

/// Fills `bytes` from the host's random source: the chip has none.
///
/// # Panics
///
/// When the host has no such source: nothing may go on with guessable numbers.
pub fn random_bytes(bytes: &mut [u8]) {
    const FAILED: usize = usize::MAX;
    // The operation wants the zero at the end, and the length without it.
    let path = b"/dev/urandom\0";
    // SAFETY: the blocks name memory that outlives the calls, with its true length.
    let unread = unsafe {
        let file = syscall!(OPEN, path.as_ptr(), nr::open::R_BINARY, path.len() - 1);
        assert!(file != FAILED, "the host has no random source");
        let unread = syscall!(READ, file, bytes.as_mut_ptr(), bytes.len());
        syscall!(CLOSE, file);
        unread
    };
    assert!(unread == 0, "the host's random source ran dry");
}

/// Eight random bytes as a number.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    random_bytes(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// The words that the emulator was started with: `name=value`, separated by spaces.
pub struct CommandLine {
    text: [u8; Self::MAX],
    len: usize,
}

impl CommandLine {
    /// Longest command line in bytes, with the zero that ends it.
    const MAX: usize = if cfg!(feature = "tls") { 2048 } else { 512 };

    /// Asks the host. An absent or too long command line reads as an empty one.
    pub fn read() -> Self {
        let mut text = [0; Self::MAX];
        let mut block = [text.as_mut_ptr() as usize, Self::MAX];
        // SAFETY: the block names `text` and its true length; the host writes the text's length into it,
        // which is why the block is given as one that may change.
        let status = unsafe { syscall1(nr::GET_CMDLINE, block.as_mut_ptr() as usize) };
        let len = match status {
            0 => text.iter().position(|&byte| byte == 0).unwrap_or(0),
            _ => 0,
        };
        Self { text, len }
    }

    /// The value of the first word `name=value`.
    pub fn get(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(&self.text[..self.len])
            .ok()?
            .split_ascii_whitespace()
            .filter_map(|word| word.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The value of the word `name=NUMBER`, or `default` where there is no such word.
    ///
    /// # Panics
    ///
    /// When the value is not a number that fits: a mistyped test must not pass with the default.
    pub fn number<T: core::str::FromStr>(&self, name: &str, default: T) -> T {
        match self.get(name) {
            None => default,
            Some(value) => value
                .parse()
                .unwrap_or_else(|_| panic!("{name}={value}: not a number that fits")),
        }
    }
}

/// Ends of the memory between static data and stack, which the linker leaves to the heap.
pub fn heap_arena() -> core::ops::Range<usize> {
    cortex_m_rt::heap_start() as usize..stack_bounds().start
}

/// The most that the main stack has held so far, in bytes: what the start-up code painted and nobody wrote to is unused.
pub fn stack_peak() -> usize {
    let bounds = stack_bounds();
    let is_painted = |&word: &usize| {
        // SAFETY: the linker's stack region is RAM, word aligned; volatile since calls write to it unseen.
        unsafe { core::ptr::read_volatile(word as *const u32) == STACK_PAINT_VALUE }
    };
    let untouched = bounds.clone().step_by(4).take_while(is_painted).count();
    bounds.len() - untouched * 4
}

fn stack_bounds() -> core::ops::Range<usize> {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    // Only the addresses mean something: these are symbols of the linker, not variables.
    &raw const _stack_end as usize..&raw const _stack_start as usize
}

/// Says what is wrong and ends the run; a failed allocation comes here as well.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    cortex_m::interrupt::disable();
    heprintln!("{}", info);
    exit(Exit::Panicked)
}

/// A fault would otherwise loop for ever, and the run with it.
///
/// # Safety
///
/// Called by the processor only.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    heprintln!("hard fault at {:#010x}", frame.pc());
    exit(Exit::Faulted)
}
