//! A chat: each line of standard input is sent, and what the others send is printed.
//!
//! ```text
//! cargo run --example chat -- Ana nats://localhost:4222
//! ```

use std::io::stdin;
use std::time::Duration;

use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{Error, NatsBridge, NoFileServer, Payload, SendOptions};

const ROOM: &str = "/chat/room1";

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or("anonymous".to_string());
    let url = arguments.next();
    let url = url.unwrap_or(natsbridge::DEFAULT_BROKER_URL.to_string());

    // Own messages need not come back.
    let client = NatsClient::new(NatsOptions::new(&url).echo(false));
    // A clone shares the connection, so one thread can wait while the other sends.
    let mut listener = NatsBridge::new(client.clone(), NoFileServer, StdPlatform);
    listener.subscribe(ROOM, None)?;
    std::thread::spawn(move || listen(listener));

    let mut bridge = NatsBridge::new(client, NoFileServer, StdPlatform);
    let options = SendOptions::default().sender_name(&name);
    eprintln!("ready");
    for line in stdin().lines().map_while(Result::ok) {
        bridge.smartsend(ROOM, &[("line", Payload::text(line))], &options)?;
    }
    Ok(())
}

fn listen(mut listener: NatsBridge<NatsClient, NoFileServer, StdPlatform>) {
    loop {
        match listener.next(Duration::from_secs(60)) {
            Ok(None) => {}
            Ok(Some(message)) => match message.text("line") {
                // Debug escapes what could control a terminal.
                Ok(line) => println!("{:?}: {line:?}", message.envelope.sender_name),
                Err(error) => eprintln!("{error}"),
            },
            // A lost connection is renewed, and a bad message is passed over.
            Err(error) => eprintln!("{error:?}"),
        }
    }
}
