//! A durable worker: takes the jobs of a stream one after the other and acknowledges each when it is done.
//! A job whose worker dies goes to another one.
//! ```text
//! nats-server -js
//! cargo run --example worker -- nats://localhost:4222
//! cargo run --example worker -- nats://localhost:4222 film.mp4 notes.txt     # sends the files as jobs
//! ```

use std::time::Duration;

use natsbridge::host::{self, HostBridge, NatsClient, NatsOptions, StdPlatform};
use natsbridge::*;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("nats://localhost:4222".into());
    let client = NatsClient::new(NatsOptions::new(&url));
    let jobs = StreamOptions::new("JOBS").subject("jobs.>");
    JetStream::new(client, StdPlatform).ensure_stream(&jobs)?;
    let mut bridge = host::connect(&url, "nats-object://jobs")?;
    match arguments.len() {
        0 => work(&mut bridge),
        _ => arguments.try_for_each(|path| send(&mut bridge, &path)),
    }
}

/// `Ok` means that the stream has the job, and the bucket its file.
fn send(bridge: &mut HostBridge, path: &str) -> Result<(), Error> {
    let job = [(path, Payload::file(path, PayloadType::Binary)?)];
    let sent = bridge.smartsend("jobs.files", &job, &SendOptions::default().stored(true))?;
    println!("{path} is job {}", sent.msg_id());
    Ok(())
}

fn work(bridge: &mut HostBridge) -> Result<(), Error> {
    let options = ConsumeOptions::default().max_deliver(5);
    let mut jobs = bridge.consume("JOBS", "worker", options)?;
    loop {
        let done = match jobs.next(Duration::from_secs(60)) {
            Ok(None) => Ok(()),
            Ok(Some(job)) => match process(&job) {
                Ok(()) => jobs.ack_confirmed(&job),
                Err(_) => jobs.nak(&job, Duration::from_secs(10)),
            },
            Err(error) => Err(error), // a job that cannot be read, or no connection for a minute
        };
        match done {
            Ok(()) => {}
            Err(Error::JetStream(gone)) if !gone.is_transient() => return Err(gone.into()),
            Err(error) => eprintln!("{error:?}"),
        }
    }
}

fn process(job: &Delivery) -> Result<(), Error> {
    for (name, payload) in &job.received {
        println!("{name}: {} bytes", payload.len());
    }
    Ok(())
}
