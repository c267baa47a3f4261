//! The program, the same on every board: it sends and receives through a real NATS server and a real HTTP file
//! server, prints a line for each step, and ends with an exit code.
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
//! | `steps=` | what to do, names of [`steps`](crate::steps) with commas between | `direct` |
//! | `rounds=` | how often, where a step does something again and again | the step's own |
//! | `bytes=` | how much, where a step sends one size | the step's own |
//! | `subject=` | the start of all subjects, so that runs do not hear each other | random |
//! | `provoke=` | `panic`, `memory` or `fault`: end like that, to prove that it ends | |
//!
//! Exit codes: 0 all steps passed, 1 panic or out of memory, 2 a step failed, 3 hard fault.

use alloc::vec::Vec;

use embedded_alloc::LlffHeap;
use embedded_nal::SharableStack;

use crate::bench::{Bench, Failure, Unmet, print_failure};
use crate::board::{self, CommandLine, Exit, hprintln};
use crate::heap::CountingHeap;
use crate::machine::{self, FrameBuffers};
use crate::network::{self, Network};
use crate::stack::{self, SocketBuffers, SocketTable};
use crate::steps;

#[global_allocator]
pub static HEAP: CountingHeap<LlffHeap> = CountingHeap::new(LlffHeap::empty());

const DEFAULT_HEAP: usize = 96 * 1024;
/// The largest payload that is sent in a message: the hard limit of the MicroPython member.
const SAMPLE_LEN: usize = natsbridge::MAX_PAYLOAD_SIZE;

/// Runs the steps that the command line names, and ends the emulation.
///
/// # Safety
///
/// To be called once.
pub unsafe fn run() -> ! {
    static mut FRAMES: FrameBuffers = FrameBuffers::EMPTY;
    static mut TABLE: SocketTable = SocketTable::EMPTY;
    static mut BUFFERS: SocketBuffers = SocketBuffers::EMPTY;
    // What is sent lies where a camera or a sensor would put it: not in the heap.
    static mut SAMPLE: [u8; SAMPLE_LEN] = [0; SAMPLE_LEN];
    let (frames, table) = (&raw mut FRAMES, &raw mut TABLE);
    let (buffers, sample) = (&raw mut BUFFERS, &raw mut SAMPLE);
    // SAFETY: nothing else names these, and this runs once, so each is borrowed once.
    let (frames, table) = unsafe { (&mut *frames, &mut *table) };
    // SAFETY: as above.
    let (buffers, sample) = unsafe { (&mut *buffers, &mut *sample) };

    let words = CommandLine::read();
    start_heap(words.number("heap", DEFAULT_HEAP));
    provoke(words.get("provoke"));
    let network = SharableStack::new(network::start(frames, table, buffers));
    let outcome = run_steps(&network, &words, sample);
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

fn run_steps(
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

/// Ends in one of the ways that a run must not end, to show that each has its own exit code.
fn provoke(how: Option<&str>) {
    match how {
        None => {}
        Some("panic") => panic!("provoked"),
        Some("memory") => drop(Vec::<u8>::with_capacity(HEAP.inner().free() + 1)),
        Some("fault") => machine::fault(),
        Some(other) => panic!("provoke={other}: unknown"),
    }
}
