//! A server that goes away and comes back.
//!
//! The firmware sends numbered messages to `SUBJECT.restart`. Its events, and what the host does:
//!
//! 1. `sending`: the host ends the server.
//! 2. `lost N`: message N was the first whose send did not say `Ok`. The host starts the server again.
//! 3. `reconnected`: the host, which had to subscribe again itself, sends anything to `SUBJECT.go`.
//!    That it arrives, behind the report of the loss, shows that the firmware's subscription was renewed.
//! 4. The firmware sends `rounds` (20) more and ends. All numbers but N must have arrived.

use alloc::format;

use natsbridge::{BrokerErrorKind, Error, ErrorKind, Payload, SendOptions};

use super::PATIENCE;
use crate::bench::{Bench, Failure, Unmet, check, event};
use crate::board;

/// After so many the server may go.
const FIRST: u32 = 10;

pub fn restart(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let go = format!("{}.go", bench.subject);
    let id = bench.bridge.subscribe(&go, None)?;
    let lost = send_until_lost(bench)?;
    event(&format!("lost {lost}"));
    reconnect(bench)?;
    event("reconnected");
    let reported = bench.bridge.next_message(PATIENCE);
    check(
        reported.is_err_and(|error| is_disconnected(&error)),
        "the loss was not reported",
    )?;
    let came = bench.bridge.next_message(PATIENCE)?;
    check(came.is_some(), "the subscription was not renewed")?;
    bench.bridge.unsubscribe(id)?;
    let rounds: u32 = bench.words.number("rounds", 20);
    for number in lost + 1..=lost + rounds {
        send(bench, number)?;
    }
    Ok(lost + rounds)
}

/// Sends until the server is gone, and gives the number of the message that may be lost.
fn send_until_lost(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let deadline_ms = deadline_ms();
    for number in 0.. {
        match send(bench, number) {
            Ok(()) if number == FIRST => event("sending"),
            Ok(()) if board::uptime_ms() > deadline_ms => break,
            Ok(()) => {}
            // The connection was lost with it, or before it and there is no other.
            Err(error) if error.is_transient() => return Ok(number),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Unmet("the server stayed").into())
}

fn send(bench: &mut Bench<'_>, number: u32) -> Result<(), Error> {
    let subject = format!("{}.restart", bench.subject);
    let name = format!("message-{number}");
    let payload = Payload::text("");
    let payloads = [(&*name, payload)];
    bench
        .bridge
        .smartsend(&subject, &payloads, &SendOptions::default())?;
    Ok(())
}

fn is_disconnected(error: &Error) -> bool {
    error.kind() == ErrorKind::Broker(BrokerErrorKind::Disconnected)
}

fn reconnect(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let deadline_ms = deadline_ms();
    loop {
        match bench.bridge.broker().reconnect() {
            Ok(()) => return Ok(()),
            Err(error) if error.is_transient() && board::uptime_ms() < deadline_ms => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn deadline_ms() -> u64 {
    board::uptime_ms() + PATIENCE.as_millis() as u64
}
