//! What the tasks do with natsbridge.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use core::error::Error;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;

use natsbridge::adapter::Platform as _;
use natsbridge::board::{NatsClient, NatsOptions};
use natsbridge::{NatsBridge, NoFileServer, Payload, PayloadType, ReceiveOptions, SendOptions};

use crate::board::{self, CommandLine};
use crate::network::HOST;
use crate::pattern;
use crate::platform::TaskPlatform;
use crate::shared::SharedNetwork;

pub type Failure = Box<dyn Error>;
type Bridge = NatsBridge<NatsClient<SharedNetwork, TaskPlatform>, NoFileServer, TaskPlatform>;

/// What one sender sends, and the other does not.
const IMAGES: PayloadType = PayloadType::Image;
const SOUNDS: PayloadType = PayloadType::Audio;
/// How long one task waits for another.
const PATIENCE: Duration = Duration::from_secs(30);

/// The receiver listens, so that nothing that is sent gets lost.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// What is to be done.
pub struct Work {
    server: SocketAddr,
    /// Runs beside each other must not hear each other.
    subject: String,
    bytes: usize,
    rounds: u32,
}

impl Work {
    pub fn new(words: &CommandLine) -> Self {
        Self {
            server: SocketAddr::new(HOST.into(), words.number("nats", 0)),
            subject: format!("rtos.{:016x}", board::random_u64()),
            bytes: words.number("bytes", 10_000),
            rounds: words.number("rounds", 50),
        }
    }

    fn bridge(&self, network: SharedNetwork) -> Bridge {
        let nats = NatsClient::new(network, TaskPlatform, NatsOptions::from(self.server));
        NatsBridge::new(nats, NoFileServer, TaskPlatform)
    }
}

pub fn send_images(work: &Work, network: SharedNetwork) -> Result<(), Failure> {
    send(work, network, IMAGES)
}

pub fn send_sounds(work: &Work, network: SharedNetwork) -> Result<(), Failure> {
    send(work, network, SOUNDS)
}

fn send(work: &Work, network: SharedNetwork, kind: PayloadType) -> Result<(), Failure> {
    let mut bridge = work.bridge(network);
    bridge.broker().connect()?;
    while !LISTENING.load(Relaxed) {
        TaskPlatform.wait(Duration::from_millis(1));
    }
    let mut bytes = vec![0; work.bytes];
    let payload = pattern::payload(kind, work.bytes, &mut bytes)?;
    for number in 0..work.rounds {
        let data = [(&*format!("{number}"), payload.by_ref())];
        bridge.smartsend(&work.subject, &data, &SendOptions::default())?;
    }
    Ok(())
}

/// Takes the messages of both senders. Those of each come in their order.
pub fn receive(work: &Work, network: SharedNetwork) -> Result<(), Failure> {
    let mut bridge = work.bridge(network);
    bridge.subscribe(&work.subject, None)?;
    LISTENING.store(true, Relaxed);
    let (mut images, mut sounds) = (0, 0);
    while images + sounds < 2 * work.rounds {
        let message = bridge.next_message(PATIENCE)?;
        let mut message = message.ok_or("a message did not come")?;
        let received = bridge.receive_in_place(&mut message, &ReceiveOptions::default())?;
        let [(name, payload)] = received.payloads.as_slice() else {
            return Err("it is not one payload that came".into());
        };
        let count = match payload.payload_type() {
            IMAGES => &mut images,
            SOUNDS => &mut sounds,
            _ => return Err("another type came".into()),
        };
        check(payload, work.bytes)?;
        if name.parse() != Ok(*count) {
            return Err(format!("message {name} came instead of {count}").into());
        }
        *count += 1;
    }
    Ok(())
}

/// Compares without a second copy in memory.
fn check(payload: &Payload<'_>, len: usize) -> Result<(), Failure> {
    let start = pattern::start(payload.payload_type());
    let expected = (start..).map(pattern::at).take(len);
    if payload
        .as_bytes()
        .unwrap_or_default()
        .iter()
        .copied()
        .eq(expected)
    {
        return Ok(());
    }
    Err("other bytes came".into())
}
