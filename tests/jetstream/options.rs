//! Options of streams, buckets and consumers.

use std::time::Duration;

use natsbridge::{BucketOptions, ConsumeOptions, StreamOptions};

use crate::common::nats_server::NatsServer;
use crate::{bridge, create_stream, jetstream, store};

#[test]
fn zero_is_the_default_of_the_server() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let mut bridge = bridge(&server);
    let consumer = ConsumeOptions::default()
        .ack_wait(Duration::ZERO)
        .max_deliver(0)
        .max_ack_pending(0);
    let stream = StreamOptions::new("T")
        .subject("t")
        .replicas(0)
        .max_age(Duration::ZERO)
        .max_bytes(0)
        .max_messages(0)
        .max_message_size(0)
        .duplicate_window(Duration::ZERO);
    let bucket = BucketOptions::default()
        .replicas(0)
        .ttl(Duration::ZERO)
        .max_bytes(0);
    // They are created, and then found.
    for _ in 0..2 {
        bridge.consume("S", "w", consumer.clone()).unwrap();
        jetstream(&server).ensure_stream(&stream).unwrap();
        let mut store = store(&server.url(), "files");
        store.create_bucket(&bucket).unwrap();
    }
}
