//! What the firmware needs from the board, whichever it is (`machine`), and from the host that emulates it, by
//! semihosting: clock, wall clock, random bytes, command line, output, exit code, stack use.
//!
//! Semihosting stops the processor while the host serves it, so nothing timed should print.

use core::cell::Cell;
use core::fmt;
use core::panic::PanicInfo;

use critical_section::Mutex;

use crate::machine::{self, semihost};

/// Operations of semihosting: <https://github.com/ARM-software/abi-aa/blob/main/semihosting/semihosting.rst>.
mod operation {
    pub const OPEN: usize = 0x01;
    pub const CLOSE: usize = 0x02;
    pub const WRITE: usize = 0x05;
    pub const READ: usize = 0x06;
    pub const TIME: usize = 0x11;
    pub const GET_CMDLINE: usize = 0x15;
    pub const EXIT_EXTENDED: usize = 0x20;
}

/// Modes of [`operation::OPEN`], of which each is one of C's: `rb` and `w`.
const READ_BINARY: usize = 1;
const WRITE_TEXT: usize = 4;
/// What operations answer that failed.
const FAILED: usize = usize::MAX;

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
    const APPLICATION_EXIT: usize = 0x20026;
    loop {
        // SAFETY: the operation takes a block of two words, reason and code, and reads only that. It returns only
        // if a debugger lets the program go on.
        unsafe { call(operation::EXIT_EXTENDED, &[APPLICATION_EXIT, code as usize]) };
    }
}

/// An operation whose argument is a block of words.
///
/// # Safety
///
/// The words must be what the operation expects, and the memory that they name must be there.
unsafe fn call(operation: usize, words: &[usize]) -> usize {
    // SAFETY: the caller's promise is passed on.
    unsafe { semihost(operation, words.as_ptr() as usize) }
}

/// Opens one of the host's files, whose name ends with a zero.
fn open(name: &core::ffi::CStr, mode: usize) -> usize {
    let len = name.count_bytes();
    // SAFETY: the block names text that outlives the call, with its length without the zero.
    unsafe { call(operation::OPEN, &[name.as_ptr() as usize, mode, len]) }
}

/// The host's standard output.
pub struct Output;

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        /// The open file, if there is one yet.
        static FILE: Mutex<Cell<Option<usize>>> = Mutex::new(Cell::new(None));

        critical_section::with(|cs| {
            let cell = FILE.borrow(cs);
            let file = cell.get().unwrap_or_else(|| open(c":tt", WRITE_TEXT));
            cell.set(Some(file));
            // SAFETY: the block names text that outlives the call, with its true length.
            let unwritten = unsafe {
                call(
                    operation::WRITE,
                    &[file, text.as_ptr() as usize, text.len()],
                )
            };
            if unwritten == 0 {
                Ok(())
            } else {
                Err(fmt::Error)
            }
        })
    }
}

/// Prints on the host's standard output. What it cannot print is lost.
macro_rules! hprint {
    ($($text:tt)*) => {{
        use core::fmt::Write;
        let _ = write!($crate::board::Output, $($text)*);
    }};
}

/// Prints a line on the host's standard output.
macro_rules! hprintln {
    ($($text:tt)*) => {{
        use core::fmt::Write;
        let _ = writeln!($crate::board::Output, $($text)*);
    }};
}

pub(crate) use {hprint, hprintln};

/// Time since reset in microseconds; see [`machine::uptime_ns`].
// Called from many places, each of which would take a copy of it into flash.
#[inline(never)]
pub fn uptime_us() -> u64 {
    machine::uptime_ns() / 1000
}

/// Time since reset in milliseconds; see [`machine::uptime_ns`].
pub fn uptime_ms() -> u64 {
    uptime_us() / 1000
}

/// Seconds since 1970-01-01 00:00:00 UTC, from the host.
pub fn unix_time_s() -> u64 {
    // SAFETY: the operation takes no argument. Its answer is unsigned and lasts until 2106.
    unsafe { semihost(operation::TIME, 0) as u64 }
}

/// Fills `bytes` from the host's random source: the chip has none.
///
/// # Panics
///
/// When the host has no such source: nothing may go on with guessable numbers.
pub fn random_bytes(bytes: &mut [u8]) {
    let file = open(c"/dev/urandom", READ_BINARY);
    assert!(file != FAILED, "the host has no random source");
    // SAFETY: the blocks name memory that outlives the calls, with its true length.
    let unread = unsafe {
        let unread = call(
            operation::READ,
            &[file, bytes.as_mut_ptr() as usize, bytes.len()],
        );
        call(operation::CLOSE, &[file]);
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
        let status = unsafe { semihost(operation::GET_CMDLINE, block.as_mut_ptr() as usize) };
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
    machine::heap_start()..machine::stack_bounds().start
}

/// The most that the main stack has held so far, in bytes: what was painted at the start and nobody wrote to is unused.
pub fn stack_peak() -> usize {
    let bounds = machine::stack_bounds();
    let is_painted = |&word: &usize| {
        // SAFETY: the linker's stack region is RAM, word aligned; volatile since calls write to it unseen.
        unsafe { core::ptr::read_volatile(word as *const u32) == machine::STACK_PAINT }
    };
    let untouched = bounds.clone().step_by(4).take_while(is_painted).count();
    bounds.len() - untouched * 4
}

/// Says what is wrong and ends the run; a failed allocation comes here as well.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    critical_section::with(|_| {
        hprintln!("{}", info);
        exit(Exit::Panicked)
    })
}
