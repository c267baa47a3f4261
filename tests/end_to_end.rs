//! The bridge from end to end: real nats-server, real HTTP server, the stand-in for Plik.

mod common;

use std::thread;
use std::time::Duration;

use common::nats_server::NatsServer;
use common::plik_stand_in::PlikStandIn;
use common::web_server::WebServer;
use common::{LONG, bytes};
use natsbridge::adapter::{Broker, FileServer};
use natsbridge::host::{self, FileSink, NatsClient, NatsOptions, StdPlatform, UreqClient};
use natsbridge::{
    Envelope, Error, HttpPut, Limits, NatsBridge, NoFileServer, Payload, PayloadType, Plik,
    ReceiveOptions, Received, SendOptions, Transport,
};

type Bridge<F> = NatsBridge<NatsClient, F, StdPlatform>;

fn bridge<F: FileServer>(server: &NatsServer, file_server: F) -> Bridge<F> {
    let client = NatsClient::new(NatsOptions::new(&server.url()));
    NatsBridge::new(client, file_server, StdPlatform)
}

fn put(server: &WebServer) -> HttpPut<UreqClient, StdPlatform> {
    HttpPut::new(UreqClient::new(), StdPlatform, &server.url()).unwrap()
}

fn plik(server: &PlikStandIn) -> Plik<UreqClient, StdPlatform> {
    Plik::new(UreqClient::new(), StdPlatform, &server.url()).unwrap()
}

fn next<F: FileServer>(bridge: &mut Bridge<F>) -> Received {
    bridge
        .next(LONG)
        .unwrap()
        .expect("a message within the time")
}

/// Payloads as a send takes them.
fn list<'p>(payloads: &'p [(String, Payload<'_>)]) -> Vec<(&'p str, Payload<'p>)> {
    let list = payloads.iter();
    list.map(|(name, payload)| (name.as_str(), payload.by_ref()))
        .collect()
}

/// One payload of each type, of about `len` bytes.
fn one_of_each(len: usize) -> Vec<(String, Payload<'static>)> {
    let payload = |kind: PayloadType| {
        let data = match kind {
            PayloadType::Text => "é你😀 ".repeat(len / 10).into_bytes(),
            PayloadType::Dictionary | PayloadType::JsonTable => {
                format!("[{}1e400]", "12345678901234567890, ".repeat(len / 22)).into_bytes()
            }
            _ => bytes(len),
        };
        let payload = Payload::deserialize(kind, data.into()).unwrap();
        (format!("the {kind}"), payload)
    };
    PayloadType::ALL.into_iter().map(payload).collect()
}

#[test]
fn every_type_arrives_directly_and_by_link() {
    let (server, web) = (NatsServer::start(), WebServer::start());
    let mut receiver = bridge(&server, put(&web));
    receiver.subscribe("/all", None).unwrap();
    let mut sender = bridge(&server, put(&web));
    for (len, transport) in [(1000, Transport::Direct), (200_000, Transport::Link)] {
        let payloads = one_of_each(len);
        sender
            .smartsend("/all", &list(&payloads), &SendOptions::default())
            .unwrap();
        let received = next(&mut receiver);
        assert!(received.payloads == payloads, "{len} bytes");
        for entry in &received.envelope.payloads {
            assert_eq!(entry.transport().unwrap(), transport);
        }
    }
}

#[test]
fn a_thousand_messages_arrive_in_order_and_equal() {
    let (server, files) = (NatsServer::start(), PlikStandIn::start());
    let mut receiver = bridge(&server, plik(&files));
    receiver.subscribe("/many", None).unwrap();
    let mut sender = bridge(&server, plik(&files));
    let seed = 20_261_123;
    let sending = thread::spawn(move || {
        let mut random = Random(seed);
        for _ in 0..1000 {
            let payloads = random.payloads();
            sender
                .smartsend("/many", &list(&payloads), &SendOptions::default())
                .unwrap();
        }
    });
    let mut random = Random(seed);
    for number in 0..1000 {
        let received = next(&mut receiver);
        assert!(received.payloads == random.payloads(), "message {number}");
    }
    sending.join().unwrap();
}

/// A generator of numbers that is the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit).unwrap()
    }

    /// 1 to 10 payloads of 0 to 2,000,000 bytes, small ones more often.
    fn payloads(&mut self) -> Vec<(String, Payload<'static>)> {
        let count = 1 + self.below(10);
        let mut payload = |index| {
            let limit = [2_000_001, 100_000, 10_000, 100][self.below(40).min(3)];
            let len = self.below(limit);
            let kind = [PayloadType::Binary, PayloadType::Image, PayloadType::Text][self.below(3)];
            let data = match kind {
                PayloadType::Text => "x".repeat(len).into_bytes(),
                _ => bytes(len),
            };
            (
                format!("p{index}"),
                Payload::deserialize(kind, data.into()).unwrap(),
            )
        };
        (0..count).map(&mut payload).collect()
    }
}

#[test]
fn eleven_payloads_that_do_not_fit_become_links_as_far_as_needed() {
    let (server, web) = (NatsServer::start(), WebServer::start());
    let data = bytes(99_000);
    let payloads: Vec<_> = (0..11)
        .map(|i| (format!("p{i}"), Payload::binary(data.as_slice())))
        .collect();
    let mut receiver = bridge(&server, put(&web));
    receiver.subscribe("/eleven", None).unwrap();
    let mut sender = bridge(&server, put(&web));
    sender
        .smartsend("/eleven", &list(&payloads), &SendOptions::default())
        .unwrap();
    let received = next(&mut receiver);
    assert!(received.payloads == payloads);
    let entries = &received.envelope.payloads;
    let links = entries
        .iter()
        .filter(|entry| entry.transport().unwrap() == Transport::Link)
        .count();
    assert_eq!(links, 4);
    let mut without = bridge(&server, NoFileServer);
    let error = without
        .smartsend("/eleven", &list(&payloads), &SendOptions::default())
        .unwrap_err();
    let Error::TooLarge { len, limit, .. } = error else {
        panic!("{error:?}");
    };
    assert!(len > 11 * 132_000 && limit == 1_048_576, "{len} {limit}");
    assert!(receiver.next(Duration::from_millis(100)).unwrap().is_none());
}

#[test]
fn a_limit_that_is_learned_late_is_kept() {
    let (server, web) = (
        NatsServer::start_with("max_payload: 20000"),
        WebServer::start(),
    );
    let mut receiver = bridge(&server, put(&web));
    receiver.subscribe("/small", None).unwrap();
    let data = bytes(12_000);
    let payloads = [
        ("a", Payload::binary(data.as_slice())),
        ("b", Payload::binary(data.as_slice())),
    ];
    // It has never connected: what the server accepts shows only at the publish.
    let mut sender = bridge(&server, put(&web));
    sender
        .smartsend("/small", &payloads, &SendOptions::default())
        .unwrap();
    let received = next(&mut receiver);
    assert_eq!(
        received
            .payloads
            .iter()
            .map(|(_, data)| data.len())
            .sum::<usize>(),
        24_000
    );
    let mut without = bridge(&server, NoFileServer);
    let error = without
        .smartsend("/small", &payloads, &SendOptions::default())
        .unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { limit: 20_000, .. }),
        "{error:?}"
    );
}

#[test]
fn a_request_is_answered_and_nobody_is_noticed_at_once() {
    let server = NatsServer::start();
    let mut asking = bridge(&server, NoFileServer);
    let nobody = asking.request(
        "service",
        &[("n", Payload::text("?"))],
        &SendOptions::default(),
        LONG,
    );
    assert!(
        matches!(nobody, Err(Error::NoResponders { .. })),
        "{nobody:?}"
    );
    let mut service = bridge(&server, NoFileServer);
    service.subscribe("service", Some("workers")).unwrap();
    let serving = thread::spawn(move || {
        let received = next(&mut service);
        service
            .reply(&received, &received.list(), &SendOptions::default())
            .unwrap();
        received
    });
    let options = SendOptions::default().correlation_id("a conversation");
    let question = [("n", Payload::text("?"))];
    let answer = asking
        .request("service", &question, &options, LONG)
        .unwrap();
    let asked = serving.join().unwrap();
    assert_eq!(answer.payloads, [("n".to_string(), Payload::text("?"))]);
    assert_eq!(answer.envelope.correlation_id, "a conversation");
    assert_eq!(answer.envelope.reply_to_msg_id, asked.envelope.msg_id);
    // Listening, and saying nothing.
    let mut silent = bridge(&server, NoFileServer);
    silent.subscribe("silence", None).unwrap();
    let wait = Duration::from_millis(100);
    let unanswered = asking.request("silence", &question, &SendOptions::default(), wait);
    assert!(
        matches!(unanswered, Err(Error::NoAnswer { .. })),
        "{unanswered:?}"
    );
}

#[test]
fn pipelined_sends_are_confirmed_by_one_flush() {
    let server = NatsServer::start();
    let mut receiver = bridge(&server, NoFileServer);
    receiver.subscribe("/pipe", None).unwrap();
    let mut sender = bridge(&server, NoFileServer);
    let options = SendOptions::default().confirm(false);
    for number in 0..2000 {
        let text = number.to_string();
        sender
            .smartsend("/pipe", &[("n", Payload::text(text))], &options)
            .unwrap();
    }
    sender.flush(LONG).unwrap();
    for number in 0..2000 {
        assert_eq!(
            next(&mut receiver).payloads[0].1.as_text(),
            Some(number.to_string().as_str())
        );
    }
}

#[test]
fn the_module_level_functions_do_all_of_it() {
    let (server, files) = (NatsServer::start(), PlikStandIn::start());
    let mut receiver = host::connect(&server.url(), &files.url()).unwrap();
    receiver.subscribe("/simple", None).unwrap();
    let large = bytes(300_000);
    let payloads = [
        ("note", Payload::text("hello")),
        ("large", Payload::binary(large)),
    ];
    for confirm in [true, false] {
        let options = SendOptions::default()
            .broker_url(server.url())
            .fileserver_url(files.url())
            .keep_json(true)
            .confirm(confirm);
        let sent = host::smartsend("/simple", &payloads, &options).unwrap();
        let received = next(&mut receiver);
        assert_eq!(received.envelope.msg_id, sent.envelope().msg_id);
        assert_eq!(received.envelope.broker_url, server.url());
        assert!(received.payloads[1].1 == payloads[1].1);
        let options = ReceiveOptions::default().fileserver_url(files.url());
        let text = sent.json().unwrap();
        let again = host::smartreceive(text, &options).unwrap();
        assert!(again.payloads == received.payloads);
    }
}

#[test]
fn a_send_that_fails_takes_its_uploads_back() {
    let (mut server, files) = (NatsServer::start(), PlikStandIn::start());
    let mut sender = bridge(&server, plik(&files));
    sender.broker().connect().unwrap();
    server.kill();
    let payloads = [("large", Payload::binary(bytes(300_000)))];
    let error = sender
        .smartsend("/gone", &payloads, &SendOptions::default())
        .unwrap_err();
    assert!(matches!(error, Error::Broker(_)), "{error:?}");
    let requests = files.requests();
    assert!(
        requests
            .iter()
            .any(|request| request.starts_with("DELETE /upload/")),
        "{requests:?}"
    );
}

#[test]
fn faults_of_plik_are_told_and_cured_where_they_can_be() {
    let files = PlikStandIn::start();
    let message = |files: &PlikStandIn| {
        let options = SendOptions::default().is_publish(false).size_threshold(0);
        let mut bridge = NatsBridge::new(
            natsbridge::memory::MemoryBroker::new(),
            plik(files),
            StdPlatform,
        );
        bridge
            .smartsend("/x", &[("n", Payload::text("hello"))], &options)
            .map(|sent| sent.json().unwrap().to_string())
    };
    let receive = |message: &str| {
        let options = ReceiveOptions::default().fileserver_url(files.url());
        host::smartreceive(message, &options)
    };
    files.fail_next(2, 500);
    let sent = message(&files).unwrap();
    files.fail_next(2, 429);
    assert_eq!(
        receive(&sent).unwrap().payloads[0].1.as_text(),
        Some("hello")
    );
    files.fail_next(3, 500);
    assert!(receive(&sent).unwrap_err().is_transient());
    files.truncate_next_download();
    assert_eq!(
        receive(&sent).unwrap().payloads[0].1.as_text(),
        Some("hello")
    );
    files.lie_about_md5(true);
    assert_eq!(
        message(&files).unwrap_err().kind().to_string(),
        "file_server_mismatch"
    );
    files.lie_about_md5(false);
    files.lie_about_size(true);
    assert_eq!(
        message(&files).unwrap_err().kind().to_string(),
        "file_server_mismatch"
    );
    files.lie_about_size(false);
    // The redirect trap: a missing file must not be a web page.
    files.expire_uploads();
    assert_eq!(
        receive(&sent).unwrap_err().kind().to_string(),
        "file_server_not_found"
    );
}

#[test]
fn a_one_shot_file_is_there_once() {
    let (server, files) = (NatsServer::start(), PlikStandIn::start());
    let mut receiver = bridge(&server, plik(&files));
    receiver.subscribe("/once", None).unwrap();
    let mut sender = bridge(&server, plik(&files).one_shot(true));
    let payloads = [("large", Payload::binary(bytes(300_000)))];
    let options = SendOptions::default().keep_json(true);
    let sent = sender.smartsend("/once", &payloads, &options).unwrap();
    assert!(next(&mut receiver).payloads[0].1 == payloads[0].1);
    let options = ReceiveOptions::default();
    let error = receiver
        .smartreceive(sent.json().unwrap(), &options)
        .unwrap_err();
    assert_eq!(error.kind().to_string(), "file_server_not_found");
}

#[test]
fn a_wait_that_no_clock_can_hold_is_no_panic() {
    let server = NatsServer::start();
    let mut receiver = bridge(&server, NoFileServer);
    receiver.subscribe("/now", None).unwrap();
    let options = SendOptions::default().timeout(Duration::MAX);
    receiver
        .smartsend("/now", &[("n", Payload::text(""))], &options)
        .unwrap();
    assert!(receiver.next(Duration::MAX).unwrap().is_some());
    let mut memory = natsbridge::memory::MemoryBroker::new();
    memory.subscribe("a", None).unwrap();
    memory
        .publish(
            &natsbridge::adapter::Outgoing::new("a"),
            &mut natsbridge::adapter::SliceBody::new(b""),
        )
        .unwrap();
    assert!(memory.next(Duration::MAX).unwrap().is_some());
}

#[test]
fn a_file_is_sent_and_received_in_chunks() {
    let (server, web) = (NatsServer::start(), WebServer::start());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, len: usize| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes(len)).unwrap();
        Payload::file(path, PayloadType::Video).unwrap()
    };
    let films = [
        ("long", write("long", 10_000_000)),
        ("short", write("short", 1000)),
    ];
    let mut receiver = bridge(&server, put(&web));
    receiver.subscribe("/films", None).unwrap();
    let mut sender = bridge(&server, put(&web));
    sender
        .smartsend("/films", &films, &SendOptions::default())
        .unwrap();
    let message = receiver.next_message(LONG).unwrap().unwrap();
    let envelope = Envelope::parse(&message.payload, &Limits::default()).unwrap();
    let small = envelope.payloads[1].open().unwrap();
    assert_eq!(small.as_bytes(), Some(&*bytes(1000)));
    let path = folder.path().join("received");
    let mut sink = FileSink::create(&path).unwrap();
    let len = receiver
        .download(&envelope.payloads[0], &ReceiveOptions::default(), &mut sink)
        .unwrap();
    assert_eq!(len, 10_000_000);
    assert!(std::fs::read(&path).unwrap() == bytes(10_000_000));
    assert!(FileSink::create(&path).is_err(), "nothing is overwritten");
    // A file that is not as long as it was is not sent by halves.
    for (name, film) in films {
        let file = std::fs::File::options()
            .write(true)
            .open(folder.path().join(name))
            .unwrap();
        file.set_len(film.len() as u64 - 1).unwrap();
        let error = sender
            .smartsend("/films", &[(name, film)], &SendOptions::default())
            .unwrap_err();
        assert_eq!(error.payload().unwrap().dataname, name, "{error:?}");
    }
    assert!(receiver.next(Duration::from_millis(100)).unwrap().is_none());
}
