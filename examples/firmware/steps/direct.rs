//! Payloads that travel in the message.

use alloc::format;

use natsbridge::{PayloadType, ReceiveOptions, SendOptions};

use super::PATIENCE;
use crate::bench::{Bench, Failure, Unmet, check};

/// Around the lengths where base64 pads, and the limits of the MicroPython member.
const LENGTHS: [usize; 9] = [0, 1, 2, 3, 100, 1_000, 10_000, 49_999, 50_000];
const NAME: &str = "sample";

pub fn direct(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let subject = format!("{}.direct", bench.subject);
    let id = bench.bridge.subscribe(&subject, None)?;
    let mut messages = 0;
    for kind in PayloadType::ALL {
        for len in LENGTHS {
            round_trip(
                bench,
                &subject,
                kind,
                len.max(crate::pattern::shortest(kind)),
            )?;
            messages += 1;
        }
    }
    bench.bridge.unsubscribe(id)?;
    Ok(messages)
}

pub fn soak(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let (rounds, bytes) = wanted(bench);
    let subject = format!("{}.soak", bench.subject);
    let id = bench.bridge.subscribe(&subject, None)?;
    for _ in 0..rounds {
        round_trip(bench, &subject, PayloadType::Binary, bytes)?;
    }
    bench.bridge.unsubscribe(id)?;
    Ok(rounds)
}

pub fn send(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let (rounds, bytes) = wanted(bench);
    let subject = format!("{}.send", bench.subject);
    for _ in 0..rounds {
        publish(bench, &subject, PayloadType::Binary, bytes)?;
    }
    Ok(rounds)
}

fn wanted(bench: &Bench<'_>) -> (u32, usize) {
    let words = bench.words;
    (words.number("rounds", 100), words.number("bytes", 50_000))
}

fn publish(
    bench: &mut Bench<'_>,
    subject: &str,
    kind: PayloadType,
    len: usize,
) -> Result<(), Failure> {
    let Bench { bridge, sample, .. } = bench;
    let payload = crate::pattern::payload(kind, len, sample)?;
    let payloads = [(NAME, payload)];
    bridge.smartsend(subject, &payloads, &SendOptions::default())?;
    Ok(())
}

/// Sends to itself. What comes back is decoded in its own message, so that the heap need not hold
/// it twice, and compared.
fn round_trip(
    bench: &mut Bench<'_>,
    subject: &str,
    kind: PayloadType,
    len: usize,
) -> Result<(), Failure> {
    publish(bench, subject, kind, len)?;
    let bridge = &mut bench.bridge;
    let mut message = bridge
        .next_message(PATIENCE)?
        .ok_or(Unmet("nothing came back"))?;
    let received = bridge.receive_in_place(&mut message, &ReceiveOptions::default())?;
    let [(name, payload)] = received.payloads.as_slice() else {
        return Err(Unmet("it is not one payload that came back").into());
    };
    check(name == NAME, "another name came back")?;
    check(payload.payload_type() == kind, "another type came back")?;
    check(
        payload.as_bytes() == Some(&bench.sample[..len]),
        "other bytes came back",
    )
}
