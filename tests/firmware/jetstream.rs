//! JetStream and its Object Store on a board, in the place of a file server.

use std::time::Duration;

use natsbridge::adapter::VecSink;
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{ConsumeOptions, JetStream, NatsBridge, NoFileServer, ObjectStore};

use crate::common::nats_server::NatsServer;
use crate::emulator::Board;
use crate::{KIB, V7M, number_at_end, pattern, word};

const WITH_JETSTREAM: Board = V7M.with_features("jetstream");
const LEN: usize = 1_000_000;
/// Bytes of the heap that both steps leave free of 64 KiB, at the least.
const MAX_PEAK: u32 = 33_000;
/// Bytes of flash with all steps, NATS, JetStream and the Object Store, and no HTTP.
const MAX_FLASH: usize = 198_656;

#[test]
fn a_board_stores_consumes_and_keeps_a_megabyte_in_a_bucket_in_a_heap_of_64_kib() {
    let server = NatsServer::start_jetstream();
    let mut run = WITH_JETSTREAM.run(&[
        word("nats", server.port()),
        word("heap", 64 * KIB),
        word("steps", "stored,link"),
        word("bytes", LEN),
    ]);
    for step in ["stored", "link"] {
        let line = run.wait_for(&format!("step {step} "));
        let peak = number_at_end(line.trim_end_matches(" B"));
        assert!(peak <= MAX_PEAK, "{line}: more than {MAX_PEAK} B");
    }
    run.passes();

    let client = NatsClient::new(NatsOptions::new(&server.url()));
    let mut jetstream = JetStream::new(client.clone(), StdPlatform);
    let stream = jetstream.stream_info("BOARD").unwrap();
    assert_eq!(stream.messages, 1);
    let mut bridge = NatsBridge::new(client.clone(), NoFileServer, StdPlatform);
    let mut worker = bridge
        .consume("BOARD", "worker", ConsumeOptions::default().batch(1))
        .unwrap();
    let again = worker.next(Duration::from_millis(300)).unwrap();
    assert!(again.is_none(), "it was acknowledged");
    drop(worker);
    let mut bucket = ObjectStore::new(client, StdPlatform, "board").unwrap();
    let objects = bucket.list().unwrap();
    let [object] = objects.as_slice() else {
        panic!("one file was uploaded, not {objects:?}");
    };
    let mut sink = VecSink::new(LEN);
    bucket.get(&object.name, LEN as u64, &mut sink).unwrap();
    let sent: Vec<_> = (0..LEN as u64).map(pattern::at).collect();
    assert!(sink.into_bytes() == sent, "other bytes");

    let flash = WITH_JETSTREAM.flash();
    println!("flash with JetStream and the Object Store in the place of HTTP: {flash} bytes");
    assert!(flash <= MAX_FLASH, "{flash}");
}
