//! How much heap the board's adapters take: the bounds, measured on a real exchange. One
//! test, because the heap is counted for the whole process.
#![cfg(all(feature = "nal", feature = "std"))]

mod common;

use std::time::Duration;

use cap::Cap;
use common::nats_server::NatsServer;
use common::web_server::WebServer;
use common::{LONG, bytes};
use natsbridge::adapter::{FileServer, Sink, SliceBody, StreamError};
use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
use natsbridge::host::StdPlatform;
use natsbridge::{
    BrokerErrorKind, Error, ErrorKind, HttpPut, Limits, NatsBridge, NoFileServer, Payload,
    ReceiveOptions, SendOptions,
};
use peak_alloc::PeakAlloc;
use std_embedded_nal::Stack;

#[global_allocator]
static HEAP: Cap<PeakAlloc> = Cap::new(PeakAlloc, usize::MAX);

/// What a send may take, and a receive beside the message.
const MOST: usize = 2048;
const LENGTHS: [usize; 4] = [0, 1_000, 50_000, 1_000_000];

type Bridge = NatsBridge<NatsClient<Stack, StdPlatform>, NoFileServer, StdPlatform>;

fn bridge(server: &NatsServer) -> Bridge {
    let options = NatsOptions::new(&server.url()).max_message_size(2_000_000);
    let broker = NatsClient::new(Stack, StdPlatform, options);
    let mut limits = Limits::default();
    limits.size_threshold = usize::MAX;
    NatsBridge::new(broker, NoFileServer, StdPlatform).with_limits(limits)
}

/// Runs `step`, and says how much more heap than before it took at most.
fn peak<T>(step: impl FnOnce() -> T) -> (T, usize) {
    let before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let done = step();
    (done, PeakAlloc.peak_usage() - before)
}

#[test]
fn the_heap_is_bounded() {
    let server = NatsServer::start_with("max_payload: 8MB");
    let ((), connected) = peak(|| bridge(&server).broker().connect().unwrap());
    println!("connect: {connected} bytes");
    a_send_takes_the_same_whatever_its_length(&server);
    a_receive_takes_the_message_and_little_more(&server);
    a_message_without_room_is_an_error(&server);
    a_file_takes_the_same_whatever_its_length();
}

fn a_send_takes_the_same_whatever_its_length(server: &NatsServer) {
    let mut bridge = bridge(server);
    let options = SendOptions::default();
    bridge.broker().connect().unwrap();
    let mut send = |len| {
        let data = bytes(len);
        let payloads = [("data.bin", Payload::binary(data.as_slice()))];
        let (sent, taken) = peak(|| bridge.smartsend("/memory", &payloads, &options).is_ok());
        assert!(sent);
        println!("send of {len} bytes: {taken} bytes");
        assert!(taken <= MOST, "{taken} bytes for {len}");
        taken
    };
    let taken = LENGTHS.map(&mut send);
    let (least, most) = (taken.iter().min().unwrap(), taken.iter().max().unwrap());
    assert!(most - least <= 256, "{taken:?}");
}

fn a_receive_takes_the_message_and_little_more(server: &NatsServer) {
    let (mut sender, mut receiver) = (bridge(server), bridge(server));
    receiver.subscribe("/memory", None).unwrap();
    for len in LENGTHS {
        let data = bytes(len);
        let payloads = [("data.bin", Payload::binary(data.as_slice()))];
        let options = SendOptions::default().keep_json(true);
        let sent = sender.smartsend("/memory", &payloads, &options).unwrap();
        let message_len = sent.json().unwrap().len();
        let ((), taken) = peak(|| {
            let mut message = receiver.next_message(LONG).unwrap().unwrap();
            let options = ReceiveOptions::default();
            let received = receiver.receive_in_place(&mut message, &options).unwrap();
            assert!(received.bytes("data.bin").unwrap() == data);
        });
        let beside = taken - message_len;
        println!("receive of {len} bytes: a message of {message_len} bytes and {beside} more");
        assert!(beside <= MOST, "{beside} bytes beside the message");
    }
}

fn a_message_without_room_is_an_error(server: &NatsServer) {
    let (mut sender, mut receiver) = (bridge(server), bridge(server));
    receiver.subscribe("/memory", None).unwrap();
    for len in [50_000, 10] {
        let data = bytes(len);
        let payloads = [("data.bin", Payload::binary(data.as_slice()))];
        let options = SendOptions::default();
        let sent = sender.smartsend("/memory", &payloads, &options);
        sent.unwrap();
    }
    HEAP.set_limit(HEAP.allocated() + 16_384).unwrap();
    let error = receiver.next_message(LONG).unwrap_err();
    let next = receiver.next_message(LONG);
    HEAP.set_limit(usize::MAX).unwrap();
    assert_eq!(error.kind(), ErrorKind::Broker(BrokerErrorKind::Local));
    let Error::Broker(error) = error else {
        panic!("{error:?}");
    };
    assert!(error.to_string().contains("out of memory"), "{error}");
    assert!(next.unwrap().is_some());
    assert_eq!(receiver.next_message(Duration::ZERO).unwrap(), None);
    assert!(receiver.broker().is_connected());
}

/// Counts what it is given.
struct Counter(u64);

impl Sink for Counter {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        self.0 += chunk.len() as u64;
        Ok(())
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        self.0 = 0;
        Ok(())
    }
}

fn a_file_takes_the_same_whatever_its_length() {
    let server = WebServer::start();
    let http = HttpClient::new(Stack, StdPlatform);
    let mut files = HttpPut::new(http, StdPlatform, &server.url()).unwrap();
    for len in LENGTHS {
        let data = bytes(len);
        let (upload, up) = peak(|| {
            files
                .upload("data.bin", &mut SliceBody::new(&data))
                .unwrap()
        });
        let (counted, down) = peak(|| {
            let mut counter = Counter(0);
            files.download(&upload.url, u64::MAX, &mut counter).unwrap();
            counter.0
        });
        assert_eq!(counted, len as u64);
        println!("file of {len} bytes: {up} bytes up, {down} bytes down");
        assert!(up <= MOST && down <= MOST, "{up} and {down} bytes");
    }
}
