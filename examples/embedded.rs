//! What runs on a board, on a host: the clients over an `embedded_nal` TCP stack, here the operating system's.
//!
//! ```text
//! cargo run --features nal --example embedded -- nats://localhost:4222 http://localhost:8080/files
//! ```
//!
//! The second argument is a server that stores what is PUT. On a board, the stack is that of its network, and the
//! platform has its clock and random bytes: see `examples/firmware`.

use std::time::Duration;

use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
use natsbridge::host::StdPlatform;
use natsbridge::{Error, HttpPut, NatsBridge, Payload, ReceiveOptions, SendOptions};
use std_embedded_nal::Stack;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next();
    let url = url.unwrap_or(natsbridge::DEFAULT_BROKER_URL.to_string());
    let files = arguments.next();
    let files = files.unwrap_or("http://localhost:8080/files".to_string());

    let broker = NatsClient::new(Stack, StdPlatform, NatsOptions::new(&url)).with_dns();
    let http = HttpClient::new(Stack, StdPlatform).with_dns();
    let store = HttpPut::new(http, StdPlatform, &files)?;
    let mut bridge = NatsBridge::new(broker, store, StdPlatform).with_broker_url(&url);
    bridge.subscribe("/board", None)?;

    let data = [
        ("reading", Payload::dictionary(&21.5)?),
        ("log", Payload::binary(vec![7; 100_000])),
    ];
    bridge.smartsend("/board", &data, &SendOptions::default())?;

    // Payloads are decoded where they stand in the message, so that they need no further memory.
    if let Some(mut message) = bridge.next_message(Duration::from_secs(5))? {
        let received = bridge.receive_in_place(&mut message, &ReceiveOptions::default())?;
        let celsius: f64 = received.json("reading")?;
        println!(
            "{celsius} degrees, and a log of {} bytes",
            received.bytes("log")?.len()
        );
    }
    Ok(())
}
