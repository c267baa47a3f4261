//! All nine payload types, sent and received within this process: no server, no arguments.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! Ends with 0 only if everything arrived as it was sent.

mod support;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use natsbridge::host::StdPlatform;
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{NatsBridge, Payload, PayloadError, PayloadType, Received, SendOptions};
use serde_json::json;

use support::failure::{Failure, print, run};

fn main() -> ExitCode {
    run(quickstart)
}

fn quickstart() -> Result<(), Failure> {
    let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
    bridge.subscribe("/quickstart", None)?;

    let sent = payloads()?;
    bridge.smartsend("/quickstart", &sent, &SendOptions::default())?;

    let received = bridge.next(Duration::from_secs(5))?;
    let received = received.ok_or("the message did not arrive")?;
    compare(&sent, &received)
}

/// One payload of each type. All but the film travel in the message itself.
fn payloads() -> Result<Vec<(&'static str, Payload<'static>)>, PayloadError> {
    let settings = json!({"room": "kitchen", "celsius": 21.5, "online": true});
    let rows = json!([{"id": 1, "name": "Ana"}, {"id": 2, "name": "Bo"}]);
    Ok(vec![
        ("note", Payload::text("hello, wereld, 你好")),
        ("settings", Payload::dictionary(&settings)?),
        ("rows", Payload::json_table(&rows)?),
        // Arrow, pictures, sound and film are bytes to the bridge: make them with what you like.
        ("measurements", Payload::ArrowTable(noise(2_000).into())),
        ("old-measurements", Payload::Table(noise(1_000).into())),
        ("photo.png", Payload::Image(noise(40_000).into())),
        ("call.wav", Payload::Audio(noise(30_000).into())),
        ("film.mp4", Payload::Video(noise(5_000_000).into())),
        ("firmware", Payload::binary(noise(256))),
    ])
}

/// Bytes without a pattern that a mistake in their order could hide in (xorshift).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d ^ len as u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Prints the table, and fails unless every row is equal.
fn compare(sent: &[(&str, Payload<'_>)], received: &Received) -> Result<(), Failure> {
    row("name", "type", "transport", "bytes", "equal")?;
    let mut equal = 0;
    let entries = received.envelope.payloads.iter();
    for ((sent, arrived), entry) in sent.iter().zip(&received.payloads).zip(entries) {
        let is_equal = is_equal(sent, arrived);
        equal += usize::from(is_equal);
        let (name, payload) = arrived;
        let (kind, bytes) = (payload.payload_type().as_str(), payload.len().to_string());
        let verdict = if is_equal { "yes" } else { "NO" };
        row(name, kind, &entry.transport_name, &bytes, verdict)?;
    }
    let expected = PayloadType::ALL.len();
    if equal != expected || received.payloads.len() != expected {
        return Err(format!("{equal} of {expected} payloads arrived as they were sent").into());
    }
    Ok(())
}

fn row(name: &str, kind: &str, transport: &str, bytes: &str, equal: &str) -> io::Result<()> {
    print(&format!(
        "{name:<17} {kind:<11} {transport:<9} {bytes:>7} {equal}"
    ))
}

fn is_equal(sent: &(&str, Payload<'_>), arrived: &(String, Payload<'_>)) -> bool {
    let (name, payload) = sent;
    *name == arrived.0
        && payload.payload_type() == arrived.1.payload_type()
        && payload.as_bytes() == arrived.1.as_bytes()
}
