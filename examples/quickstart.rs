//! All nine payload types, sent and received within this process: no server, no arguments.
//!
//! ```text
//! cargo run --example quickstart
//! ```

use std::time::Duration;

use natsbridge::host::StdPlatform;
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{NatsBridge, Payload, SendOptions};
use serde_json::json;

fn main() -> Result<(), natsbridge::Error> {
    let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
    // With a real NATS server and Plik file server, this line is all that changes:
    // let mut bridge = natsbridge::host::connect("nats://localhost:4222", "http://localhost:8080")?;
    bridge.subscribe("/quickstart", None)?;

    let settings = json!({"room": "kitchen", "celsius": 21.5, "online": true});
    let rows = json!([{"id": 1, "name": "Ana"}, {"id": 2, "name": "Bo"}]);
    let sent = [
        ("note", Payload::text("hello, wereld, 你好")),
        ("settings", Payload::dictionary(&settings)?),
        ("rows", Payload::json_table(&rows)?),
        // Arrow, pictures, sound and film are bytes to the bridge: make them with what you like.
        ("measurements", Payload::ArrowTable(bytes(2_000).into())),
        ("old-measurements", Payload::Table(bytes(1_000).into())),
        ("photo.png", Payload::Image(bytes(40_000).into())),
        ("call.wav", Payload::Audio(bytes(30_000).into())),
        // Too large for a message: the bridge stores it, and sends its URL.
        ("film.mp4", Payload::Video(bytes(5_000_000).into())),
        ("firmware", Payload::binary(bytes(256))),
    ];
    bridge.smartsend("/quickstart", &sent, &SendOptions::default())?;

    let received = bridge.next(Duration::from_secs(5))?;
    let received = received.expect("the message that was sent");
    println!("name              type        transport   bytes equal");
    let entries = received.envelope.payloads.iter();
    for (((name, payload), entry), (_, original)) in (&received).into_iter().zip(entries).zip(&sent)
    {
        let (kind, transport, len) = (payload.payload_type(), &entry.transport_name, payload.len());
        let equal = if payload == original { "yes" } else { "NO" };
        println!("{name:<17} {kind:<11} {transport:<9} {len:>7} {equal}");
        assert!(payload == original, "{name} is not what was sent");
    }
    Ok(())
}

/// Bytes that stand for a file.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * at) as u8).collect()
}
