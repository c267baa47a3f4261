//! Durable consumers.

use std::thread;
use std::time::{Duration, Instant};

use natsbridge::adapter::{
    Body, FileServer, FileServerError, Outgoing, Sink, SliceBody, Upload, VecSink,
};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::memory::MemoryFileServer;
use natsbridge::{
    ConsumeOptions, Error, FileServerErrorKind, JetStreamErrorKind as Kind, NatsBridge,
    NoFileServer, Payload, SendOptions, StreamOptions,
};

use crate::common::nats_server::NatsServer;
use crate::{Bridge, LONG, at_once, bridge, bridge_with, create_stream};

const SOON: Duration = Duration::from_millis(300);

fn send(bridge: &mut Bridge<impl FileServer>, text: &str) {
    let note = [("note", Payload::text(text))];
    let options = SendOptions::default().stored(true);
    bridge.smartsend("s.a", &note, &options).unwrap();
}

fn text(delivery: &natsbridge::Delivery) -> &str {
    delivery.payloads[0].1.as_text().unwrap()
}

#[test]
fn messages_are_acknowledged_delivered_again_and_terminated() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let mut bridge = bridge(&server);
    // Messages that are delivered again may come before or behind others: never two at a time.
    for note in ["done", "again"] {
        send(&mut bridge, note);
    }
    let options = ConsumeOptions::default().ack_wait(LONG);
    let mut jobs = bridge.consume("S", "w", options.clone()).unwrap();
    let done = jobs.next(LONG).unwrap().unwrap();
    assert_eq!((text(&done), done.info.delivered), ("done", 1));
    assert_eq!(
        (done.subject(), &*done.info.stream, &*done.info.consumer),
        ("s.a", "S", "w")
    );
    assert_eq!((done.info.stream_sequence, done.info.pending), (1, 1));
    assert_eq!(done.reply, None);
    jobs.ack_confirmed(&done).unwrap();
    jobs.ack_confirmed(&done).unwrap();

    let again = jobs.next(LONG).unwrap().unwrap();
    assert_eq!(text(&again), "again");
    jobs.in_progress(&again).unwrap();
    jobs.nak(&again, Duration::ZERO).unwrap();
    let again = jobs.next(LONG).unwrap().unwrap();
    assert_eq!((text(&again), again.info.delivered), ("again", 2));
    jobs.nak(&again, Duration::from_secs(2)).unwrap();
    let asked = Instant::now();

    send(jobs.bridge(), "never");
    let never = jobs.next(LONG).unwrap().unwrap();
    assert_eq!(text(&never), "never");
    jobs.term(&never).unwrap();
    send(jobs.bridge(), "last");
    let last = jobs.next(LONG).unwrap().unwrap();
    assert_eq!(text(&last), "last");
    jobs.ack(&last).unwrap();
    let again = jobs.next(LONG).unwrap().unwrap();
    assert_eq!((text(&again), again.info.delivered), ("again", 3));
    assert!(
        asked.elapsed() >= Duration::from_millis(1900),
        "{:?}",
        asked.elapsed()
    );
    jobs.ack_confirmed(&again).unwrap();
    assert!(jobs.next(SOON).unwrap().is_none());
    drop(jobs);
    // It is durable: nothing comes again.
    let mut jobs = bridge.consume("S", "w", options).unwrap();
    assert!(jobs.next(SOON).unwrap().is_none());
}

#[test]
fn a_worker_that_dies_leaves_its_message_to_another() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let (mut one, mut two) = (bridge(&server), bridge(&server));
    send(&mut one, "job");
    let options = ConsumeOptions::default().ack_wait(Duration::from_secs(1));
    let mut first = one.consume("S", "w", options.clone()).unwrap();
    let mut second = two.consume("S", "w", options).unwrap();
    let taken = first.next(LONG).unwrap().unwrap();
    assert_eq!(taken.info.delivered, 1);
    // As if it were killed: neither is anything acknowledged nor the consumer closed.
    std::mem::forget(first);
    let taken = second.next(LONG).unwrap().unwrap();
    assert_eq!((text(&taken), taken.info.delivered), ("job", 2));
    second.ack_confirmed(&taken).unwrap();
}

#[test]
fn what_was_fetched_and_not_taken_goes_to_another_at_once() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let (mut one, mut two) = (bridge(&server), bridge(&server));
    for note in ["a", "b", "c"] {
        send(&mut one, note);
    }
    let options = ConsumeOptions::default().ack_wait(LONG).batch(10);
    let mut first = one.consume("S", "w", options.clone()).unwrap();
    let taken = first.next(LONG).unwrap().unwrap();
    first.ack_confirmed(&taken).unwrap();
    drop(first);
    let mut second = two.consume("S", "w", options).unwrap();
    let started = Instant::now();
    let mut texts: Vec<_> = (0..2)
        .map(|_| {
            let taken = second.next(LONG).unwrap().unwrap();
            second.ack(&taken).unwrap();
            text(&taken).to_string()
        })
        .collect();
    texts.sort();
    assert_eq!(texts, ["b", "c"]);
    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
}

#[test]
fn poison_is_reported_once_and_terminated() {
    let server = NatsServer::start_jetstream();
    let mut jetstream = create_stream(&server);
    let poison = Outgoing::new("s.a").headers(&[("Nats-Msg-Id", "p")]);
    jetstream
        .publish(&poison, &mut SliceBody::new(b"{\"not\":\"a message\""))
        .unwrap();
    let mut bridge = bridge(&server);
    send(&mut bridge, "good");
    let options = ConsumeOptions::default().ack_wait(Duration::from_millis(500));
    let mut jobs = bridge.consume("S", "w", options).unwrap();
    let error = jobs.next(LONG).unwrap_err();
    assert!(matches!(error, Error::Message(_)), "{error:?}");
    let good = jobs.next(LONG).unwrap().unwrap();
    assert_eq!(text(&good), "good");
    jobs.ack_confirmed(&good).unwrap();
    // Longer than it would take to be delivered again.
    assert!(jobs.next(Duration::from_millis(1500)).unwrap().is_none());
}

/// Fails at downloads as often as it is told to.
struct Failing {
    files: MemoryFileServer,
    kind: FileServerErrorKind,
    times: u32,
}

impl FileServer for Failing {
    fn upload(&mut self, name: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        self.files.upload(name, body)
    }
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        if self.times > 0 {
            self.times -= 1;
            return Err(FileServerError::new(self.kind, "as told"));
        }
        self.files.download(url, limit, sink)
    }
    fn owns(&self, url: &str) -> bool {
        self.files.owns(url)
    }
}

fn with_failing(server: &NatsServer, kind: FileServerErrorKind, times: u32) -> Bridge<Failing> {
    let files = MemoryFileServer::new();
    let mut bridge = bridge_with(&server.url(), Failing { files, kind, times });
    let file = [("file", Payload::binary(vec![7; 200_000]))];
    let options = SendOptions::default().stored(true);
    bridge.smartsend("s.a", &file, &options).unwrap();
    send(&mut bridge, "next");
    bridge
}

#[test]
fn a_message_whose_file_cannot_be_fetched_now_comes_again_later() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    // Three attempts are one receive.
    let mut bridge = with_failing(&server, FileServerErrorKind::Unreachable, 3);
    let options = ConsumeOptions::default().retry_delay(Duration::from_millis(400));
    let mut jobs = bridge.consume("S", "w", options).unwrap();
    let next = jobs.next(LONG).unwrap().unwrap();
    assert_eq!(text(&next), "next");
    jobs.ack(&next).unwrap();
    let file = jobs.next(LONG).unwrap().unwrap();
    assert_eq!(
        (file.payloads[0].1.len(), file.info.delivered),
        (200_000, 2)
    );
    jobs.ack_confirmed(&file).unwrap();
}

/// A file server that takes its time, with a sink that sees it pass.
struct Slow(MemoryFileServer);

const ACK_WAIT: Duration = Duration::from_millis(600);

impl FileServer for Slow {
    fn upload(&mut self, name: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        self.0.upload(name, body)
    }
    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let mut bytes = VecSink::new(usize::MAX);
        let len = self.0.download(url, limit, &mut bytes)?;
        for chunk in bytes.into_bytes().chunks(20_000) {
            thread::sleep(ACK_WAIT / 5);
            sink.write(chunk).unwrap();
        }
        Ok(len)
    }
    fn owns(&self, url: &str) -> bool {
        self.0.owns(url)
    }
}

#[test]
fn a_message_whose_file_takes_longer_than_ack_wait_goes_to_no_other_worker() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let files = MemoryFileServer::new();
    let mut bridge = bridge_with(&server.url(), files.clone());
    let file = [("file", Payload::binary(vec![7; 200_000]))];
    let options = SendOptions::default().stored(true);
    bridge.smartsend("s.a", &file, &options).unwrap();
    let work = || {
        let mut bridge = bridge_with(&server.url(), Slow(files.clone()));
        let options = ConsumeOptions::default().ack_wait(ACK_WAIT);
        let mut jobs = bridge.consume("S", "w", options).unwrap();
        let job = jobs.next(4 * ACK_WAIT).unwrap()?;
        jobs.ack_confirmed(&job).unwrap();
        Some(job.info.delivered)
    };
    let mut deliveries = thread::scope(|threads| {
        let workers = [threads.spawn(work), threads.spawn(work)];
        workers.map(|worker| worker.join().unwrap())
    });
    deliveries.sort_unstable();
    assert_eq!(deliveries, [None, Some(1)]);
}

#[test]
fn the_last_delivery_of_a_message_whose_file_cannot_be_fetched_is_reported() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let mut bridge = with_failing(&server, FileServerErrorKind::Unreachable, 99);
    let options = ConsumeOptions::default()
        .retry_delay(Duration::from_millis(10))
        .max_deliver(2);
    let mut jobs = bridge.consume("S", "w", options).unwrap();
    let mut reported = 0;
    for _ in 0..2 {
        match jobs.next(LONG) {
            Ok(delivery) => jobs.ack(&delivery.unwrap()).unwrap(),
            Err(Error::FileServer { .. }) => reported += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(reported, 1);
    assert!(jobs.next(SOON).unwrap().is_none());
}

#[test]
fn a_message_whose_file_is_gone_is_reported_and_terminated() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let mut bridge = with_failing(&server, FileServerErrorKind::NotFound, 1);
    let options = ConsumeOptions::default().ack_wait(Duration::from_millis(500));
    let mut jobs = bridge.consume("S", "w", options).unwrap();
    let error = jobs.next(LONG).unwrap_err();
    assert!(matches!(error, Error::FileServer { .. }), "{error:?}");
    let next = jobs.next(LONG).unwrap().unwrap();
    assert_eq!(text(&next), "next");
    jobs.ack_confirmed(&next).unwrap();
    assert!(jobs.next(Duration::from_millis(1500)).unwrap().is_none());
}

#[test]
fn a_message_that_is_too_long_for_a_worker_is_reported_and_holds_up_no_other() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let mut bridge = bridge(&server);
    send(&mut bridge, &"long".repeat(1000));
    send(&mut bridge, "short");
    let client = NatsClient::new(NatsOptions::new(&server.url()).max_message_size(2000));
    let mut worker = NatsBridge::new(client, NoFileServer, StdPlatform);
    let mut jobs = worker.consume("S", "w", ConsumeOptions::default()).unwrap();
    let error = at_once(|| jobs.next(LONG)).unwrap_err();
    assert!(
        format!("{error:?}").contains("over the limit of 2000"),
        "{error:?}"
    );
    let job = at_once(|| jobs.next(LONG)).unwrap().unwrap();
    assert_eq!(text(&job), "short");
}

#[test]
fn a_consumer_survives_a_restart_of_the_server_while_it_waits() {
    let mut server = NatsServer::start_jetstream();
    create_stream(&server);
    let url = server.url();
    let mut sender = bridge(&server);
    let waiting = std::thread::spawn(move || {
        let mut bridge = bridge_with(&url, natsbridge::NoFileServer);
        let mut jobs = bridge.consume("S", "w", ConsumeOptions::default()).unwrap();
        let mut texts: Vec<String> = Vec::new();
        while texts.len() < 3 {
            let job = jobs.next(LONG).unwrap().expect("another job");
            jobs.ack_confirmed(&job).unwrap();
            // A killed server may forget its last acknowledgements: it writes them a moment later.
            if !texts.iter().any(|seen| seen == text(&job)) {
                texts.push(text(&job).to_string());
            }
        }
        texts
    });
    for note in ["before", "after a restart", "after another one"] {
        let data = [("note", Payload::text(note))];
        let options = SendOptions::default().stored(true).timeout(LONG);
        sender.smartsend("s.a", &data, &options).unwrap();
        server.restart();
    }
    let texts = waiting.join().unwrap();
    assert_eq!(texts, ["before", "after a restart", "after another one"]);
}

#[test]
fn consumers_and_streams_that_are_not_there_or_are_different_are_named() {
    let server = NatsServer::start_jetstream();
    let mut jetstream = create_stream(&server);
    let mut bridge = bridge(&server);
    bridge.flush(LONG).unwrap();
    let kind = |error: Error| match error {
        Error::JetStream(error) => (error.kind(), error.to_string()),
        other => panic!("{other:?}"),
    };
    let missing = at_once(|| {
        bridge
            .consume("T", "w", ConsumeOptions::default())
            .map(drop)
    });
    assert_eq!(kind(missing.unwrap_err()).0, Kind::NoStream);

    let options = ConsumeOptions::default().max_deliver(3);
    bridge.consume("S", "w", options).unwrap();
    bridge.consume("S", "w", ConsumeOptions::default()).unwrap();
    let other = ConsumeOptions::default().max_deliver(4);
    let error = bridge.consume("S", "w", other).map(drop).unwrap_err();
    let (kind, message) = kind(error);
    assert_eq!(kind, Kind::Conflict);
    assert!(
        message.ends_with("its `max_deliver` is 3, not 4"),
        "{message}"
    );

    let same = StreamOptions::new("S").subject("s.>");
    assert_eq!(jetstream.ensure_stream(&same).unwrap().name, "S");
    let other = StreamOptions::new("S").subject("s.>").max_messages(5);
    let error = jetstream.ensure_stream(&other).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let message = error.to_string();
    assert!(
        message.ends_with("its `max_msgs` is -1, not 5"),
        "{message}"
    );
    let overlapping = StreamOptions::new("T").subject("s.a");
    let error = jetstream.ensure_stream(&overlapping).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

#[test]
fn a_consumer_that_is_deleted_is_an_error_and_not_silence() {
    let server = NatsServer::start_jetstream();
    let mut jetstream = create_stream(&server);
    let mut bridge = bridge(&server);
    let mut jobs = bridge.consume("S", "w", ConsumeOptions::default()).unwrap();
    assert!(jobs.next(SOON).unwrap().is_none());
    jetstream.delete_stream("S").unwrap();
    let started = Instant::now();
    let error = jobs.next(LONG).unwrap_err();
    let Error::JetStream(error) = error else {
        panic!("{error:?}")
    };
    assert!(
        matches!(error.kind(), Kind::NoStream | Kind::NotFound),
        "{error:?}"
    );
    assert!(started.elapsed() < LONG * 3 / 4, "{:?}", started.elapsed());
}

#[test]
fn workers_share_a_consumer() {
    const MESSAGES: usize = 60;
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let mut sender = bridge(&server);
    for number in 0..MESSAGES {
        send(&mut sender, &number.to_string());
    }
    sender.consume("S", "w", ConsumeOptions::default()).unwrap();
    let work = |url: String| {
        move || {
            let mut bridge = bridge_with(&url, natsbridge::NoFileServer);
            let options = ConsumeOptions::default().batch(5);
            let mut jobs = bridge.consume("S", "w", options).unwrap();
            let mut done = Vec::new();
            while let Some(job) = jobs.next(SOON).unwrap() {
                jobs.ack_confirmed(&job).unwrap();
                done.push(text(&job).parse::<usize>().unwrap());
            }
            done
        }
    };
    let workers: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(work(server.url())))
        .collect();
    let mut done: Vec<_> = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect();
    done.sort_unstable();
    assert_eq!(done, (0..MESSAGES).collect::<Vec<_>>());
}

#[test]
fn a_stream_answers_a_request_too_and_is_not_taken_for_the_service() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let (mut service, mut asking) = (bridge(&server), bridge(&server));
    service.subscribe("s.echo", None).unwrap();
    let answering = std::thread::spawn(move || {
        let question = service.next(LONG).unwrap().unwrap();
        let answer = [("answer", Payload::text("yes"))];
        service
            .reply(&question, &answer, &SendOptions::default())
            .unwrap();
    });
    let question = [("question", Payload::text("?"))];
    let answer = asking
        .request("s.echo", &question, &SendOptions::default(), LONG)
        .unwrap();
    assert_eq!(answer.payloads[0].1.as_text(), Some("yes"));
    answering.join().unwrap();
}
