//! What the making and the reading of a message cost beside base64 alone.
//!
//! Told in nanoseconds of the board's clock, which the emulator makes instructions: run it with
//! `ICOUNT=0` (see `run.sh`). Nothing of it goes over the network.

use alloc::vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cortex_m_semihosting::hprintln;
use natsbridge::{Payload, ReceiveOptions, SendOptions};

use crate::bench::{Bench, Failure, Unmet, check};
use crate::board;

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
    let options = SendOptions::default().is_publish(false);
    let mut chunk = [0; CHUNK];

    let mut send = Beside::default();
    for _ in 0..rounds {
        send.ours.measure(|| {
            let sent = bridge.smartsend("speed", &payloads, &options)?;
            check(sent.json().is_some(), "no memory for the message")
        })?;
        send.base64.measure(|| {
            for part in bytes.chunks(BEFORE) {
                check(STANDARD.encode_slice(part, &mut chunk).is_ok(), "base64")?;
            }
            Ok(())
        })?;
    }
    send.print("send", len, rounds);

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
        let started = board::uptime_ns();
        work()?;
        self.0 += board::uptime_ns() - started;
        Ok(())
    }
}
