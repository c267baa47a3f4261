//! Messages to and from a program on the host.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use natsbridge::{Payload, PayloadType, ReceiveOptions, SendOptions};

use super::PATIENCE;
use crate::bench::{Bench, Failure, Unmet, check, event};
use crate::pattern;

pub fn up(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let subject = format!("{}.up", bench.subject);
    let payloads = one_of_each(bench.words.number("bytes", 1_000))?;
    bench
        .bridge
        .smartsend(&subject, &payloads, &SendOptions::default())?;
    Ok(1)
}

pub fn down(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let subject = format!("{}.down", bench.subject);
    let bridge = &mut bench.bridge;
    let id = bridge.subscribe(&subject, None)?;
    event("listening");
    let mut message = bridge
        .next_message(PATIENCE)?
        .ok_or(Unmet("no message came"))?;
    let received = bridge.receive_in_place(&mut message, &ReceiveOptions::default())?;
    let expected = one_of_each(bench.words.number("bytes", 1_000))?;
    check(received.payloads.len() == expected.len(), "another number")?;
    for ((name, payload), (kind, sent)) in received.payloads.iter().zip(&expected) {
        check(name == kind, "another name came")?;
        check(payload == sent, "another payload came")?;
    }
    bench.bridge.unsubscribe(id)?;
    Ok(1)
}

/// A payload of each type, under its type's name.
pub fn one_of_each(len: usize) -> Result<Vec<(&'static str, Payload<'static>)>, Failure> {
    let mut payloads = Vec::new();
    for kind in PayloadType::ALL {
        let mut bytes = vec![0; len.max(pattern::shortest(kind))];
        pattern::fill(kind, &mut bytes);
        payloads.push((kind.as_str(), Payload::deserialize(kind, bytes.into())?));
    }
    Ok(payloads)
}
