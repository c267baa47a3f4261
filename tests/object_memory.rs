//! What a large object takes of the heap on its way through the Object Store: at most 32 MiB on each side,
//! whatever its size. `OBJECT_BYTES=4294967296` is the whole of it.

mod common;

use std::time::Instant;

use common::nats_server::NatsServer;
use natsbridge::adapter::{Body, Broker, Outgoing, Sink, SliceBody, StreamError};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{BucketOptions, ObjectStore};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MOST: usize = 32 << 20;
const CHUNK: usize = 131_072;

/// Bytes that are the same again after a number of them that fits to no chunk.
struct Pattern {
    block: Vec<u8>,
    len: u64,
    at: u64,
}

impl Pattern {
    fn new(len: u64) -> Self {
        let block = common::bytes(1_000_003);
        Self { block, len, at: 0 }
    }

    /// As many of the next bytes as are in one piece.
    fn next(&self) -> &[u8] {
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let start = (self.at % self.block.len() as u64) as usize;
        let rest = &self.block[start..];
        &rest[..rest.len().min(left)]
    }
}

impl Body for Pattern {
    fn len(&self) -> u64 {
        self.len
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let next = self.next();
        let count = out.len().min(next.len());
        out[..count].copy_from_slice(&next[..count]);
        self.at += count as u64;
        Ok(count)
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        self.at = 0;
        Ok(())
    }
}

/// Takes the same bytes, and no others.
struct Same(Pattern);

impl Sink for Same {
    fn write(&mut self, mut chunk: &[u8]) -> Result<(), StreamError> {
        while !chunk.is_empty() {
            let next = self.0.next();
            let count = chunk.len().min(next.len());
            assert!(
                count > 0 && chunk[..count] == next[..count],
                "at {}",
                self.0.at
            );
            chunk = &chunk[count..];
            self.0.at += count as u64;
        }
        Ok(())
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        self.0.rewind()
    }
}

/// The most heap in use during a call, beside what was in use before, and how long it took.
fn measure(what: &str, bytes: u64, call: impl FnOnce()) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let started = Instant::now();
    call();
    let rate = bytes as f64 / 1e6 / started.elapsed().as_secs_f64();
    let taken = HEAP.peak_usage().saturating_sub(before);
    println!("{what}: {rate:.0} MB/s, {taken} bytes of the heap");
    taken
}

/// Publishes chunks with 16 on their way: what an upload cannot be faster than.
fn publish_chunks(client: &mut NatsClient, count: u64) {
    let chunk = vec![7; CHUNK];
    let inbox = client.subscribe("acks", None).unwrap();
    let outgoing = Outgoing::new("$O.files.C.bare").reply("acks");
    let limit = std::time::Duration::from_secs(20);
    for number in 0..count {
        client
            .publish(&outgoing, &mut SliceBody::new(&chunk))
            .unwrap();
        if number >= 15 {
            client.next_of(inbox, limit).unwrap().expect("an answer");
        }
    }
    client.flush(limit).unwrap();
    for _ in 0..count.min(15) {
        client.next_of(inbox, limit).unwrap().expect("an answer");
    }
    client.unsubscribe(inbox).unwrap();
}

#[test]
fn a_large_object_takes_no_more_memory_than_a_small_one() {
    let given = std::env::var("OBJECT_BYTES").ok();
    let len = given.map_or(200_000_000, |len| len.parse().expect("a number"));
    let server = NatsServer::start_jetstream();
    let mut client = NatsClient::new(NatsOptions::new(&server.url()));
    let mut store = ObjectStore::new(client.clone(), StdPlatform, "files").unwrap();
    store.create_bucket(&BucketOptions::default()).unwrap();
    let floor = len.min(500_000_000);
    measure("bare publishes", floor, || {
        publish_chunks(&mut client, floor / CHUNK as u64)
    });
    let up = measure("upload", len, || {
        store.put("large", &mut Pattern::new(len)).unwrap();
    });
    let down = measure("download", len, || {
        let read = store
            .get("large", len, &mut Same(Pattern::new(len)))
            .unwrap();
        assert_eq!(read, len);
    });
    assert!(up <= MOST, "{up} bytes of the heap for the upload");
    assert!(down <= MOST, "{down} bytes of the heap for the download");
}
