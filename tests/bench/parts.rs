//! Where the time of a send goes, for a text of 100 bytes: each part alone, as far as it can be had
//! alone, and what is left.
#![expect(deprecated, reason = "all of the crate `nats` is")]

mod messages;
#[path = "../common/nats_server.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod nats_server;

use std::hint::black_box;
use std::time::Instant;

use messages::{Discarding, bridge};
use nats_server::NatsServer;
use natsbridge::adapter::{Body as _, Broker, Platform as _};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{Envelope, Limits, NatsBridge, NoFileServer, Payload, SendOptions};

/// In each round every part has its turn, so that noise hits all alike.
const ROUNDS: usize = 300;
const TIMES_A_ROUND: u32 = 20;

fn main() {
    let server = NatsServer::start();
    let text = "x".repeat(100);
    let payloads = [("note", Payload::text(text.as_str()))];
    let published = SendOptions::default();
    let ids_given = published.clone().correlation_id("c").msg_id("m");
    let ids_given = ids_given.sender_id("s");
    let pipelined = SendOptions::default().confirm(false);

    let mut made = bridge(Discarding::unread());
    let keep_json = published.clone().keep_json(true);
    let made = made.smartsend("bench", &payloads, &keep_json).unwrap();
    let message = made.json().unwrap();
    let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
    let mut buffer = vec![0; message.len()];
    let connection = nats::connect(server.url()).unwrap();
    let send = |options| sending(bridge(Discarding::unread()), &payloads, options);
    let send_to_server = |options| sending(remote(&server), &payloads, options);

    // The bridge draws for so many messages at once.
    const DRAWN_FOR: usize = 16;
    let mut random = [0; 64 * DRAWN_FOR];
    let mut works: [&mut dyn FnMut(); 9] = [
        &mut || StdPlatform.random(black_box(&mut random)).unwrap(),
        &mut || _ = black_box(StdPlatform.unix_millis()),
        &mut send(&published),
        &mut send(&ids_given),
        &mut || _ = envelope.body().read(&mut buffer).unwrap(),
        &mut || connection.publish("bench", message).unwrap(),
        &mut || connection.flush().unwrap(),
        &mut send_to_server(&published),
        &mut send_to_server(&pipelined),
    ];
    let times = least_times(&mut works);
    let [
        random,
        clock,
        local,
        given,
        json,
        publish,
        flush,
        whole,
        unconfirmed,
    ] = times;
    let random = random / DRAWN_FOR as f64;
    // Without the three ids that may be given, the id of the payload is left.
    let ids = local - given - random * 3.0 / 4.0;
    print(&[
        ("64 random bytes, for four ids", random),
        ("the wall clock", clock),
        ("three of the ids as text", ids),
        ("the rest of the envelope", given - random / 4.0 - clock),
        ("the envelope as JSON", json),
        ("publish, by `nats` alone", publish),
        (
            "what is left of a send not confirmed",
            unconfirmed - local - json - publish,
        ),
        ("confirmation, by `nats` alone", flush),
        ("what is left", whole - unconfirmed - flush),
        ("smartsend, confirmed", whole),
    ]);
}

fn remote(server: &NatsServer) -> NatsBridge<NatsClient, NoFileServer, StdPlatform> {
    let mut broker = NatsClient::new(NatsOptions::new(&server.url()));
    broker.connect().unwrap();
    NatsBridge::new(broker, NoFileServer, StdPlatform)
}

fn sending<B: Broker>(
    mut bridge: NatsBridge<B, NoFileServer, StdPlatform>,
    payloads: &[(&str, Payload<'_>)],
    options: &SendOptions,
) -> impl FnMut() {
    move || drop(bridge.smartsend("bench", payloads, options).unwrap())
}

/// The least time of each work, in µs: the one that was disturbed least.
fn least_times<const N: usize>(works: &mut [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut least = [f64::MAX; N];
    for _ in 0..ROUNDS {
        for (work, least) in works.iter_mut().zip(&mut least) {
            let started = Instant::now();
            (0..TIMES_A_ROUND).for_each(|_| work());
            let taken = started.elapsed().as_secs_f64() * 1e6;
            *least = least.min(taken / f64::from(TIMES_A_ROUND));
        }
    }
    least
}

fn print(parts: &[(&str, f64)]) {
    println!("| {:37} | {:>6} |", "a text of 100 bytes", "µs");
    println!("| {:-<37} | {:->6} |", "", ":");
    for (name, time) in parts {
        println!("| {name:37} | {time:6.2} |");
    }
}
