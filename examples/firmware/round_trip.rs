//! What the programs under RTIC and Embassy do with natsbridge: they send messages to themselves and compare what
//! comes back. All calls block, and none depends on the framework.
//!
//! Words on the command line: `nats=`, port of the NATS server at the host's 127.0.0.1, and `rounds=`, how many
//! messages, 20 by default.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;

use embedded_alloc::LlffHeap;
use natsbridge::board::{NatsClient, NatsOptions};
use natsbridge::{NatsBridge, NoFileServer, PayloadType, ReceiveOptions, SendOptions};

use crate::board::{self, CommandLine, Exit, hprintln};
use crate::network::{HOST, Network};
use crate::pattern;
use crate::platform::Board;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

const HEAP_BYTES: usize = 64 * 1024;
/// Bytes of each payload.
const PAYLOAD_BYTES: usize = 10_000;
/// How long a message may take to come back.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends and receives, prints how far the counter `beats` went meanwhile, and ends the run.
///
/// # Safety
///
/// To be called once, and nothing may be allocated before.
pub unsafe fn run(network: Network, mut beats: impl FnMut() -> u32) -> ! {
    // SAFETY: the macro's memory is used by nothing else, and this runs once.
    unsafe {
        embedded_alloc::init!(HEAP, HEAP_BYTES);
    }
    let words = CommandLine::read();
    let (started_ms, beats_before) = (board::uptime_ms(), beats());
    let outcome = exchange(network, &words);
    let (took_ms, beats) = (board::uptime_ms() - started_ms, beats() - beats_before);
    hprintln!("stack peak {} B", board::stack_peak());
    hprintln!("took {} ms", took_ms);
    hprintln!("beats {}", beats);
    if let Err(failure) = outcome {
        hprintln!("FAILED: {:?}", failure);
        board::exit(Exit::Failed)
    }
    hprintln!("passed");
    board::exit(Exit::Passed)
}

fn exchange(network: Network, words: &CommandLine) -> Result<(), Box<dyn Error>> {
    let server = SocketAddr::new(HOST.into(), words.number("nats", 4222));
    let nats = NatsClient::new(network, Board, NatsOptions::from(server));
    let mut bridge = NatsBridge::new(nats, NoFileServer, Board);
    let subject = format!("round_trip.{:016x}", board::random_u64());
    bridge.subscribe(&subject, None)?;
    let mut bytes = vec![0; PAYLOAD_BYTES];
    let payload = pattern::payload(PayloadType::Image, PAYLOAD_BYTES, &mut bytes)?;
    for _ in 0..words.number("rounds", 20) {
        let data = [("image", payload.by_ref())];
        bridge.smartsend(&subject, &data, &SendOptions::default())?;
        let message = bridge.next_message(TIMEOUT)?;
        let mut message = message.ok_or("a message did not come")?;
        let received = bridge.receive_in_place(&mut message, &ReceiveOptions::default())?;
        if Some(received.bytes("image")?) != payload.as_bytes() {
            return Err("other bytes came".into());
        }
    }
    Ok(())
}
