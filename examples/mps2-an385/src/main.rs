//! natsbridge on bare metal: an emulated Cortex-M board sends and receives through a real NATS server
//! and a real HTTP file server, prints a line for each step, and ends with an exit code.
//!
//! Words on the command line, `name=value`, all but `nats` optional:
//!
//! | word | meaning | default |
//! |---|---|---|
//! | `nats=` | port of the NATS server, at the host's 127.0.0.1 | |
//! | `http=` | port of a file server that stores what is PUT | none |
//! | `plik=` | port of a Plik server, to be used instead: feature `plik` | none |
//! | `nkey=` | seed of a user's nkey: feature `nkeys` | none |
//! | `ca=` | the root of both servers, in DER and hexadecimal digits: feature `tls` | |
//! | `heap=` | size of the whole heap in bytes | 98304 |
//! | `steps=` | what to do, names of [`steps`] with commas between | `direct` |
//! | `rounds=` | how often, where a step does something again and again | the step's own |
//! | `bytes=` | how much, where a step sends one size | the step's own |
//! | `subject=` | the start of all subjects, so that runs do not hear each other | random |
//! | `provoke=` | `panic`, `memory` or `fault`: end like that, to prove that it ends | |
//!
//! Exit codes: 0 all steps passed, 1 panic or out of memory, 2 a step failed, 3 hard fault.

#![no_std]
#![no_main]

extern crate alloc;

mod bench;
mod board;
mod heap;
mod lan9118;
mod network;
mod pattern;
mod platform;
mod stack;
mod steps;
mod transport;

use alloc::vec::Vec;

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::hprintln;
use embedded_alloc::LlffHeap;
use embedded_nal::SharableStack;

use bench::{Bench, Failure, Unmet, print_failure};
use board::{CommandLine, Exit};
use heap::CountingHeap;
use lan9118::FrameBuffers;
use network::Network;
use stack::{SocketBuffers, SocketTable};

#[global_allocator]
static HEAP: CountingHeap<LlffHeap> = CountingHeap::new(LlffHeap::empty());

const DEFAULT_HEAP: usize = 96 * 1024;
/// The largest payload that is sent in a message: the hard limit of the MicroPython member.
const SAMPLE_LEN: usize = natsbridge::MAX_PAYLOAD_SIZE;
const CORE_HZ: u32 = 25_000_000;

#[entry]
fn main() -> ! {
    // The entry macro makes these `&'static mut`: it is called once.
    static mut FRAMES: FrameBuffers = FrameBuffers::EMPTY;
    static mut TABLE: SocketTable = SocketTable::EMPTY;
    static mut BUFFERS: SocketBuffers = SocketBuffers::EMPTY;
    // What is sent lies where a camera or a sensor would put it: not in the heap.
    static mut SAMPLE: [u8; SAMPLE_LEN] = [0; SAMPLE_LEN];

    let words = CommandLine::read();
    start_heap(words.number("heap", DEFAULT_HEAP));
    start_tick();
    provoke(words.get("provoke"));
    let network = SharableStack::new(network::start(FRAMES, TABLE, BUFFERS));
    let outcome = run(&network, &words, SAMPLE);
    let free = stack::free_sockets(&mut network.acquire());
    hprintln!("stack peak {} B", board::stack_peak());
    hprintln!("sockets free {} of {}", free, stack::SOCKETS);
    match outcome {
        Ok(()) if free == stack::SOCKETS => hprintln!("passed"),
        Ok(()) => failed(&Unmet("a socket was not given back")),
        Err(failure) => failed(&*failure),
    }
    board::exit(Exit::Passed)
}

fn run(
    network: &SharableStack<Network>,
    words: &CommandLine,
    sample: &mut [u8],
) -> Result<(), Failure> {
    let mut bench = Bench::new(network, words, sample)?;
    for name in words.get("steps").unwrap_or("direct").split(',') {
        bench.run(name, steps::named(name)?)?;
    }
    Ok(())
}

fn failed(failure: &dyn core::error::Error) -> ! {
    print_failure("FAILED", failure);
    board::exit(Exit::Failed)
}

fn start_heap(bytes: usize) {
    let arena = board::heap_arena();
    assert!(
        bytes <= arena.len(),
        "heap={bytes}: only {} B left",
        arena.len()
    );
    // SAFETY: the linker gives the arena to nothing else, it is large enough, and this runs once.
    unsafe { HEAP.inner().init(arena.start, bytes) };
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
    board::uptime_ns();
}

/// Ends in one of the ways that a run must not end, to show that each has its own exit code.
fn provoke(how: Option<&str>) {
    match how {
        None => {}
        Some("panic") => panic!("provoked"),
        Some("memory") => drop(Vec::<u8>::with_capacity(HEAP.inner().free() + 1)),
        Some("fault") => cortex_m::asm::udf(),
        Some(other) => panic!("provoke={other}: unknown"),
    }
}
