//! JetStream and its Object Store, against a real `nats-server` with `-js`.

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod consumers;
mod object_faults;
mod objects;
mod official_client;
mod options;
mod permissions;
mod sends;

use std::time::{Duration, Instant};

use common::nats_server::NatsServer;
use natsbridge::adapter::FileServer;
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{JetStream, NatsBridge, NoFileServer, ObjectStore, StreamOptions};

/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(20);

fn client(url: &str) -> NatsClient {
    let options = NatsOptions::new(url)
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(3));
    NatsClient::new(options)
}

fn jetstream(server: &NatsServer) -> JetStream<NatsClient, StdPlatform> {
    JetStream::new(client(&server.url()), StdPlatform)
}

type Bridge<F = NoFileServer> = NatsBridge<NatsClient, F, StdPlatform>;

fn bridge(server: &NatsServer) -> Bridge {
    bridge_with(&server.url(), NoFileServer)
}

fn bridge_with<F: FileServer>(url: &str, file_server: F) -> Bridge<F> {
    NatsBridge::new(client(url), file_server, StdPlatform)
}

pub(crate) fn store(url: &str, bucket: &str) -> ObjectStore<NatsClient, StdPlatform> {
    ObjectStore::new(client(url), StdPlatform, bucket).unwrap()
}

/// A stream called `S` of what is published on `s.>`.
fn create_stream(server: &NatsServer) -> JetStream<NatsClient, StdPlatform> {
    let mut jetstream = jetstream(server);
    let stream = StreamOptions::new("S").subject("s.>");
    jetstream.ensure_stream(&stream).unwrap();
    jetstream
}

/// Runs `call`, which must end well within its time limit of 5 s.
fn at_once<T>(call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = call();
    let taken = started.elapsed();
    assert!(taken < Duration::from_secs(3), "{taken:?}");
    done
}

/// A number from the environment, for runs that take longer.
fn count(variable: &str, default: usize) -> usize {
    let given = std::env::var(variable).ok();
    given.map_or(default, |count| count.parse().expect("a number"))
}
