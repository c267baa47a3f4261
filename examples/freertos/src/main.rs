//! natsbridge under an RTOS: two tasks send and one receives, each over a NATS connection of its own, and all
//! over one TCP stack that they share; a task of higher priority keeps a 10 ms beat meanwhile, because
//! blocking calls hold up their own task only.
//!
//! Words on the command line, all but `nats` optional:
//!
//! | word | meaning | default |
//! |---|---|---|
//! | `nats=` | port of the NATS server, at the host's 127.0.0.1 | |
//! | `bytes=` | size of each payload in bytes | 10000 |
//! | `rounds=` | how many messages each sender sends | 50 |

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
#[path = "../../firmware/heap.rs"]
#[allow(dead_code, reason = "the bare firmware needs more of it")]
mod heap;
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
mod platform;
mod shared;
#[path = "../../firmware/stack.rs"]
mod stack;
mod work;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_void};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use cortex_m_rt::entry;
use freertos_next::{
    CurrentTask, Duration, FreeRtosAllocator, FreeRtosUtils, Queue, Task, TaskDelay, TaskPriority,
};

use board::{CommandLine, Exit, hprintln};
use heap::CountingHeap;
use machine::FrameBuffers;
use shared::SharedNetwork;
use stack::{SocketBuffers, SocketTable};
use work::{Failure, Work};

/// Counts what the program allocates; the kernel's own objects and the tasks' stacks are not in it.
#[global_allocator]
static HEAP: CountingHeap<FreeRtosAllocator> = CountingHeap::new(FreeRtosAllocator);

const WORKERS: [(&str, Job); 3] = [
    ("receiver", work::receive),
    ("sender-a", work::send_images),
    ("sender-b", work::send_sounds),
];
const WORKER_STACK: usize = 12 * 1024;
const WORKER_PRIORITY: TaskPriority = TaskPriority(1);
const SUPERVISOR_STACK: usize = 4 * 1024;
const SUPERVISOR_PRIORITY: TaskPriority = TaskPriority(2);
const BEAT_STACK: usize = 1024;
/// The highest there is.
const BEAT_PRIORITY: TaskPriority = TaskPriority(4);
const BEAT_MS: u32 = 10;
/// Longest time the workers may take.
const TEST_MS: u32 = 60_000;

static BEATS: AtomicU32 = AtomicU32::new(0);
/// Beats that came later than in the tick after the one they were due in, and by how many ticks at worst.
static LATE_BEATS: AtomicU32 = AtomicU32::new(0);
static WORST_DELAY: AtomicU32 = AtomicU32::new(0);

type Job = fn(&Work, SharedNetwork) -> Result<(), Failure>;

/// What a worker says when it has done.
struct Outcome {
    name: &'static str,
    result: Result<(), String>,
    /// Bytes of its stack that were never used.
    stack_left: usize,
}

#[entry]
fn main() -> ! {
    // The entry macro makes these `&'static mut`: it is called once.
    static mut FRAMES: FrameBuffers = FrameBuffers::EMPTY;
    static mut TABLE: SocketTable = SocketTable::EMPTY;
    static mut BUFFERS: SocketBuffers = SocketBuffers::EMPTY;

    let work = Arc::new(Work::new(&CommandLine::read()));
    let network = SharedNetwork::new(network::start(FRAMES, TABLE, BUFFERS));
    let outcomes = Arc::new(Queue::new(WORKERS.len()).expect("room for a queue"));
    for worker in WORKERS {
        start_worker(worker, work.clone(), network.clone(), outcomes.clone());
    }
    start_task("beat", BEAT_STACK, BEAT_PRIORITY, beat);
    start_task(
        "supervisor",
        SUPERVISOR_STACK,
        SUPERVISOR_PRIORITY,
        move || supervise(network, &outcomes),
    );
    FreeRtosUtils::start_scheduler()
}

fn start_task(
    name: &str,
    stack_bytes: usize,
    priority: TaskPriority,
    run: impl FnOnce() + Send + 'static,
) {
    Task::new()
        .name(name)
        .stack_size_bytes(stack_bytes)
        .priority(priority)
        .start(move |_| run())
        .expect("room for a task");
}

fn start_worker(
    (name, job): (&'static str, Job),
    work: Arc<Work>,
    network: SharedNetwork,
    outcomes: Arc<Queue<Outcome>>,
) {
    start_task(name, WORKER_STACK, WORKER_PRIORITY, move || {
        let result = job(&work, network).map_err(|failure| failure.to_string());
        let outcome = Outcome {
            name,
            result,
            stack_left: CurrentTask::get_stack_high_water_mark_bytes(),
        };
        // The queue has room for every worker.
        let _ = outcomes.send(outcome, Duration::zero());
    });
}

/// Counts, and notes how much later than due it got to run. Judged by the kernel's ticks, not by the clock: an
/// emulator that the host holds up loses ticks, and the beat is not to blame for those.
fn beat() {
    // Before the schedule takes its own start, which may be a tick later.
    let mut due = FreeRtosUtils::get_tick_count();
    let mut schedule = TaskDelay::new();
    loop {
        schedule.delay_until(Duration::ms(BEAT_MS));
        due += BEAT_MS;
        let delay = FreeRtosUtils::get_tick_count() - due;
        LATE_BEATS.fetch_add(u32::from(delay > 1), Relaxed);
        WORST_DELAY.fetch_max(delay, Relaxed);
        BEATS.fetch_add(1, Relaxed);
    }
}

/// Waits for the workers, prints what they say, and ends the run.
fn supervise(mut network: SharedNetwork, outcomes: &Queue<Outcome>) {
    let started_us = board::uptime_us();
    // Nothing is printed before the last one is done: printing stops the processor, and the beat with it.
    let outcomes: Vec<Outcome> = WORKERS
        .iter()
        .map_while(|_| outcomes.receive(Duration::ms(TEST_MS)).ok())
        .collect();
    let beat_kept = is_beat_kept();
    hprintln!("{} ms in all", (board::uptime_us() - started_us) / 1000);
    let all_passed = report_workers(&outcomes);
    report_memory();
    let free = stack::free_sockets(&mut network);
    hprintln!("sockets free {} of {}", free, stack::SOCKETS);
    if all_passed && beat_kept && free == stack::SOCKETS {
        hprintln!("passed");
        board::exit(Exit::Passed)
    }
    hprintln!("FAILED");
    board::exit(Exit::Failed)
}

/// Whether the beat came as often as it should have, and in its time. One in twenty may be late: on a busy host
/// an emulator stands still at any place, and then delivers the ticks that it missed.
fn is_beat_kept() -> bool {
    let ticks = FreeRtosUtils::get_tick_count();
    let beats = BEATS.load(Relaxed);
    let late = LATE_BEATS.load(Relaxed);
    hprintln!(
        "{} ticks of 1 ms, {} beats, {} of them late, worst {} ticks",
        ticks,
        beats,
        late,
        WORST_DELAY.load(Relaxed)
    );
    beats.abs_diff(ticks / BEAT_MS) <= 1 && late <= beats / 20
}

fn report_workers(outcomes: &[Outcome]) -> bool {
    for outcome in outcomes {
        let answer = match &outcome.result {
            Ok(()) => "ok",
            Err(failure) => failure,
        };
        hprintln!(
            "{}: {}, stack peak {} of {} B",
            outcome.name,
            answer,
            WORKER_STACK - outcome.stack_left,
            WORKER_STACK
        );
    }
    outcomes.len() == WORKERS.len() && outcomes.iter().all(|outcome| outcome.result.is_ok())
}

fn report_memory() {
    hprintln!(
        "heap: program's peak {} B, kernel's least free {} B",
        HEAP.usage().peak,
        HEAP.inner().get_min_free_size()
    );
}

/// The kernel found the end of a task's stack overwritten.
///
/// # Safety
///
/// Called by the kernel only, with the task's name.
#[unsafe(no_mangle)]
unsafe extern "C" fn vApplicationStackOverflowHook(_task: *mut c_void, name: *const c_char) {
    // SAFETY: the kernel ends names with a zero, and the task is still there.
    let name = unsafe { CStr::from_ptr(name) };
    panic!("stack overflow in task {name:?}");
}
