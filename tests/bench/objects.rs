//! The Object Store beside publishing and fetching chunks of the same size alone: what an upload and a
//! download cannot be faster than.

#[path = "../common/nats_server.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod nats_server;
mod side_by_side;

use std::time::{Duration, Instant};

use nats_server::NatsServer;
use natsbridge::adapter::{Broker, Outgoing, Sink, SliceBody, StreamError};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{BucketOptions, JetStream, ObjectStore, StreamOptions, SubscriptionId};
use side_by_side::{SideBySide, Way, way};

const CHUNK: usize = 131_072;
const CHUNKS: usize = 1024;
const BYTES: usize = CHUNK * CHUNKS;
/// Chunks on their way, as the Object Store has them.
const WINDOW: usize = 16;
const LIMIT: Duration = Duration::from_secs(20);

fn main() {
    let server = NatsServer::start_jetstream();
    let client = || NatsClient::new(NatsOptions::new(&server.url()));
    let mut store = ObjectStore::new(client(), StdPlatform, "files").unwrap();
    store.create_bucket(&BucketOptions::default()).unwrap();
    let bare = StreamOptions::new("BARE").subject("bare");
    let mut jetstream = JetStream::new(client(), StdPlatform);
    jetstream.ensure_stream(&bare).unwrap();
    let content = vec![7; BYTES];

    let mut side_by_side = SideBySide::new();
    side_by_side.group("a file", 1, BYTES);
    let uploads = uploading(store, &content);
    side_by_side.compare("upload", "bare chunks", uploads, publishing(client()));

    publishing(client())(1);
    let mut store = ObjectStore::new(client(), StdPlatform, "files").unwrap();
    store.put("film", &mut SliceBody::new(&content)).unwrap();
    let download = way(|| store.get("film", BYTES as u64, &mut Discard).unwrap());
    side_by_side.compare("download", "bare chunks", download, fetching(client()));
    side_by_side.finish();
}

struct Discard;

impl Sink for Discard {
    fn write(&mut self, _: &[u8]) -> Result<(), StreamError> {
        Ok(())
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

/// Stores a file so many times. What was stored before is removed beside the time.
fn uploading(mut store: ObjectStore<NatsClient, StdPlatform>, content: &[u8]) -> impl Way {
    move |times| {
        (0..times)
            .map(|_| {
                store.remove("film").unwrap();
                let mut body = SliceBody::new(content);
                let started = Instant::now();
                store.put("film", &mut body).unwrap();
                started.elapsed()
            })
            .sum()
    }
}

/// Publishes the chunks of a file so many times, each acknowledged.
fn publishing(mut client: NatsClient) -> impl Way {
    let chunk = vec![7; CHUNK];
    let inbox = client.subscribe("acks", None).unwrap();
    let chunks = Outgoing::new("bare").reply("acks");
    move |times| {
        (0..times)
            .map(|_| {
                ask(
                    &mut client,
                    (inbox, "acks"),
                    "$JS.API.STREAM.PURGE.BARE",
                    "",
                );
                let started = Instant::now();
                for sent in 0..CHUNKS {
                    client
                        .publish(&chunks, &mut SliceBody::new(&chunk))
                        .unwrap();
                    if sent >= WINDOW - 1 {
                        client.next_of(inbox, LIMIT).unwrap().expect("an answer");
                    }
                }
                client.flush(LIMIT).unwrap();
                for _ in 1..WINDOW {
                    client.next_of(inbox, LIMIT).unwrap().expect("an answer");
                }
                started.elapsed()
            })
            .sum()
    }
}

/// Fetches the chunks of a file so many times, by a new consumer each time.
fn fetching(mut client: NatsClient) -> impl Way {
    let inbox = client.subscribe("chunks", None).unwrap();
    let mut consumers = 0;
    move |times| {
        (0..times)
            .map(|_| {
                consumers += 1;
                let name = format!("bare-{consumers}");
                create_consumer(&mut client, inbox, &name);
                let next = format!("$JS.API.CONSUMER.MSG.NEXT.BARE.{name}");
                let fetch = |client: &mut NatsClient, batch: usize| {
                    let body = format!("{{\"batch\":{batch}}}");
                    let request = Outgoing::new(&next).reply("chunks");
                    let mut body = SliceBody::new(body.as_bytes());
                    client.publish(&request, &mut body).unwrap();
                    client.flush(LIMIT).unwrap();
                };
                let started = Instant::now();
                fetch(&mut client, WINDOW);
                for number in 1..=CHUNKS {
                    let chunk = client.next_of(inbox, LIMIT).unwrap().expect("a chunk");
                    assert_eq!(chunk.payload.len(), CHUNK);
                    if number % (WINDOW / 2) == 0 && number + WINDOW / 2 < CHUNKS {
                        fetch(&mut client, WINDOW / 2);
                    }
                }
                started.elapsed()
            })
            .sum()
    }
}

fn create_consumer(client: &mut NatsClient, inbox: SubscriptionId, name: &str) {
    let subject = format!("$JS.API.CONSUMER.CREATE.BARE.{name}");
    let config = format!(
        r#"{{"name":"{name}","ack_policy":"none","inactive_threshold":10000000000,"mem_storage":true}}"#
    );
    let body = format!(r#"{{"stream_name":"BARE","config":{config}}}"#);
    ask(client, (inbox, "chunks"), &subject, &body);
}

/// A request whose answer is an object without `error`.
fn ask(client: &mut NatsClient, (inbox, reply): (SubscriptionId, &str), subject: &str, body: &str) {
    let request = Outgoing::new(subject).reply(reply);
    client
        .publish(&request, &mut SliceBody::new(body.as_bytes()))
        .unwrap();
    let answer = client.next_of(inbox, LIMIT).unwrap().expect("an answer");
    let answer = String::from_utf8(answer.payload).unwrap();
    assert!(
        answer.starts_with('{') && !answer.contains("\"error\""),
        "{answer}"
    );
}
