//! What the making and the reading of a message cost beside base64 alone.
//!
//! Told in nanoseconds of the board's clock, which the emulator makes instructions: run it with
//! `ICOUNT=0` (see `run.sh`). Nothing of it goes over the network.

use alloc::vec;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use natsbridge::adapter::{
    Body, Broker, BrokerError, BrokerErrorKind, Message, Outgoing, SubscriptionId,
};
use natsbridge::{NatsBridge, NoFileServer, Payload, ReceiveOptions, SendOptions};

use crate::bench::{Bench, Failure, Unmet, check};
use crate::board::hprintln;
use crate::machine;
use crate::platform::Board;

/// Bytes at a time that the board's client of NATS takes from a message by default.
const CHUNK: usize = 512;
/// What becomes, and is made of, that much base64.
const BEFORE: usize = CHUNK / 4 * 3;

pub fn speed(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let rounds = bench.words.number("rounds", 20);
    let Bench { bridge, sample, .. } = bench;
    let len = bench.words.number("bytes", 10_000);
    let bytes = &sample[..len];
    let payload = Payload::binary(bytes);
    let payloads = [("sample", payload)];
    let mut chunk = [0; CHUNK];

    let mut send = Beside::default();
    let mut sender = NatsBridge::new(Discard, NoFileServer, Board);
    for _ in 0..rounds {
        send.ours.measure(|| {
            sender.smartsend("speed", &payloads, &SendOptions::default())?;
            Ok(())
        })?;
        send.base64.measure(|| {
            for part in bytes.chunks(BEFORE) {
                check(STANDARD.encode_slice(part, &mut chunk).is_ok(), "base64")?;
            }
            Ok(())
        })?;
    }
    send.print("send", len, rounds);

    let options = SendOptions::default().is_publish(false);
    let sent = bridge.smartsend("speed", &payloads, &options)?;
    let message = sent.json().ok_or(Unmet("no memory for the message"))?;
    let text = STANDARD.encode(bytes);
    let mut room = vec![0; message.len()];
    let mut receive = Beside::default();
    for _ in 0..rounds {
        room.copy_from_slice(message.as_bytes());
        receive.ours.measure(|| {
            let received = bridge.receive_in_place(&mut room[..], &ReceiveOptions::default())?;
            check(received.payloads.len() == 1, "it is not one payload")
        })?;
        receive.base64.measure(|| {
            for part in text.as_bytes().chunks(CHUNK) {
                let decoded = STANDARD.decode_slice(part, &mut chunk[..BEFORE]);
                check(decoded.is_ok(), "base64")?;
            }
            Ok(())
        })?;
    }
    receive.print("receive", len, rounds);
    Ok(rounds)
}

/// Reads what is published in pieces, as the client of NATS does, and has no network.
struct Discard;

impl Broker for Discard {
    fn max_payload(&self) -> usize {
        usize::MAX
    }

    fn publish(&mut self, _: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        let mut chunk = [0; CHUNK];
        while body.read(&mut chunk).map_err(|_| unsupported())? > 0 {}
        Ok(())
    }

    fn flush(&mut self, _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    fn subscribe(&mut self, _: &str, _: Option<&str>) -> Result<SubscriptionId, BrokerError> {
        Err(unsupported())
    }

    fn unsubscribe(&mut self, _: SubscriptionId) -> Result<(), BrokerError> {
        Err(unsupported())
    }

    fn next(&mut self, _: Duration) -> Result<Option<Message>, BrokerError> {
        Err(unsupported())
    }

    fn next_of(&mut self, _: SubscriptionId, _: Duration) -> Result<Option<Message>, BrokerError> {
        Err(unsupported())
    }
}

fn unsupported() -> BrokerError {
    BrokerError::new(BrokerErrorKind::Local, "this broker only reads")
}

/// The library, and what it cannot do without.
#[derive(Default)]
struct Beside {
    ours: Taken,
    base64: Taken,
}

impl Beside {
    fn print(&self, what: &str, len: usize, rounds: u32) {
        let [ours, base64] = [&self.ours, &self.base64].map(|taken| taken.0 / u64::from(rounds));
        let percent = ours * 100 / base64;
        hprintln!(
            "speed {what} of {len} bytes: {ours} instructions, base64 alone {base64}, {percent} %"
        );
    }
}

/// Nanoseconds, summed up.
#[derive(Default)]
struct Taken(u64);

impl Taken {
    fn measure(&mut self, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let started = machine::uptime_ns();
        work()?;
        self.0 += machine::uptime_ns() - started;
        Ok(())
    }
}
