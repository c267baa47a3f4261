//! A file of any size, from disk to disk: it is never in memory as a whole, on neither side.
//!
//! ```text
//! cargo run --example big_file -- film.mp4 nats://localhost:4222 http://localhost:8080
//! ```
//!
//! The last argument is the store: `http://` is a Plik server, `put+http://` any that stores what is PUT.

use std::time::Duration;

use natsbridge::{
    Envelope, Error, Limits, Payload, PayloadType, ReceiveOptions, SendOptions, host,
};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("the first argument is a file");
    let url = arguments.next();
    let url = url.unwrap_or(natsbridge::DEFAULT_BROKER_URL.to_string());
    let store = arguments.next();
    let store = store.unwrap_or(natsbridge::DEFAULT_FILESERVER_URL.to_string());

    let mut receiver = host::connect(&url, &store)?;
    receiver.subscribe("/files", None)?;

    let mut sender = host::connect(&url, &store)?;
    let file = Payload::file(&path, PayloadType::Binary)?; // read in chunks when it is sent
    let sent = sender.smartsend("/files", &[("file", file)], &SendOptions::default())?;
    println!("sent {}", sent.msg_id());

    if let Some(message) = receiver.next_message(Duration::from_secs(60))? {
        let envelope = Envelope::parse(&message.payload, &Limits::default())?;
        for entry in &envelope.payloads {
            let copy = format!("{path}.received");
            let mut file = host::FileSink::create(&copy)?;
            let len = receiver.download(entry, &ReceiveOptions::default(), &mut file)?;
            println!("{len} bytes by {} in {copy}", entry.transport_name);
        }
    }
    Ok(())
}
