//! Sends that a stream stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use natsbridge::adapter::{Broker as _, BrokerErrorKind};
use natsbridge::{
    ConsumeOptions, Discard, Error, JetStreamErrorKind as Kind, Payload, SendOptions, StreamOptions,
};

use crate::common::nats_server::NatsServer;
use crate::{Bridge, LONG, at_once, bridge, client, count, create_stream, jetstream};

fn stored() -> SendOptions {
    SendOptions::default().stored(true)
}

fn kind(error: Error) -> Kind {
    match error {
        Error::JetStream(error) => error.kind(),
        other => panic!("no error of JetStream: {other:?}"),
    }
}

/// What a send to `subject` fails with, at once.
fn refused(bridge: &mut Bridge, subject: &str, options: &SendOptions) -> Kind {
    let note = [("note", Payload::text("x"))];
    kind(at_once(|| bridge.smartsend(subject, &note, options)).unwrap_err())
}

/// How often each `msg_id` is in the stream.
pub(crate) fn stored_ids(bridge: &mut Bridge, stream: &str) -> BTreeMap<String, usize> {
    let options = ConsumeOptions::default().batch(100);
    let mut messages = bridge.consume(stream, "counter", options).unwrap();
    let mut ids = BTreeMap::new();
    loop {
        let message = messages.next(LONG).unwrap().expect("another message");
        *ids.entry(message.envelope.msg_id.to_string()).or_default() += 1;
        messages.ack(&message).unwrap();
        if message.info.pending == 0 {
            return ids;
        }
    }
}

#[test]
fn a_stored_send_shows_where_it_is_stored_and_is_stored_once() {
    let server = NatsServer::start_jetstream();
    let mut jetstream = create_stream(&server);
    let mut bridge = bridge(&server);
    let options = stored().msg_id("m-1").expected_stream("S");
    for (is_duplicate, sequence) in [(false, 1), (true, 1)] {
        let note = [("note", Payload::text("x"))];
        let sent = bridge.smartsend("s.a", &note, &options).unwrap();
        let ack = sent.stored().unwrap();
        assert_eq!((&*ack.stream, ack.sequence), ("S", sequence));
        assert_eq!(ack.is_duplicate, is_duplicate);
    }
    let note = [("note", Payload::text("x"))];
    let plain = SendOptions::default();
    let sent = bridge.smartsend("s.a", &note, &plain).unwrap();
    assert_eq!(sent.stored(), None);
    assert_eq!(jetstream.stream_info("S").unwrap().messages, 2);
}

#[test]
fn what_cannot_be_stored_fails_at_once() {
    let server = NatsServer::start_jetstream();
    let mut jetstream = create_stream(&server);
    let mut bridge = bridge(&server);
    bridge.flush(LONG).unwrap();
    assert_eq!(refused(&mut bridge, "nobody", &stored()), Kind::NoStream);
    let options = stored().expected_stream("T");
    assert_eq!(refused(&mut bridge, "s.a", &options), Kind::WrongStream);

    let full = StreamOptions::new("FULL").subject("full");
    let full = full.max_messages(1).discard(Discard::New);
    jetstream.ensure_stream(&full).unwrap();
    let note = [("note", Payload::text("x"))];
    bridge.smartsend("full", &note, &stored()).unwrap();
    assert_eq!(refused(&mut bridge, "full", &stored()), Kind::StreamFull);

    let small = StreamOptions::new("SMALL")
        .subject("small")
        .max_message_size(100);
    jetstream.ensure_stream(&small).unwrap();
    assert_eq!(refused(&mut bridge, "small", &stored()), Kind::TooLarge);
}

/// A loss is reported once: the stored send that notices it survives it, and what was sent before does not.
#[test]
fn the_loss_of_an_unconfirmed_send_is_reported_behind_a_stored_one() {
    let mut server = NatsServer::start_jetstream();
    create_stream(&server);
    let mut bridge = bridge(&server);
    let data = [("note", Payload::text("hi"))];
    let unconfirmed = SendOptions::default().confirm(false);
    bridge.smartsend("s.a", &data, &stored()).unwrap();
    server.pause();
    bridge.smartsend("elsewhere", &data, &unconfirmed).unwrap();
    server.restart();
    bridge.smartsend("s.a", &data, &stored()).unwrap();
    let lost = bridge.flush(LONG).unwrap_err();
    assert!(
        matches!(&lost, Error::Broker(error) if error.kind() == BrokerErrorKind::Disconnected),
        "{lost:?}"
    );
    // Once, and not after what a stream has stored.
    bridge.flush(LONG).unwrap();
    server.restart();
    bridge.smartsend("s.a", &data, &stored()).unwrap();
    bridge.flush(LONG).unwrap();
}

#[test]
fn without_jetstream_a_stored_send_fails_at_once() {
    let server = NatsServer::start();
    let mut bridge = bridge(&server);
    bridge.flush(LONG).unwrap();
    assert_eq!(refused(&mut bridge, "s.a", &stored()), Kind::NotEnabled);
    let mut jetstream = jetstream(&server);
    let error = at_once(|| jetstream.stream_info("S")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotEnabled);
}

#[test]
fn what_is_not_permitted_fails_at_once_and_belongs_to_its_own_send() {
    let server = NatsServer::start_jetstream_with(
        r#"authorization { users: [
            { user: all, password: x },
            { user: some, password: x, permissions: { publish: { deny: ["s.secret", "other"] } } }
        ] }"#,
        "",
    );
    let url = |user: &str| format!("nats://{user}:x@127.0.0.1:{}", server.port());
    let mut jetstream =
        natsbridge::JetStream::new(client(&url("all")), natsbridge::host::StdPlatform);
    let stream = StreamOptions::new("S").subject("s.>");
    jetstream.ensure_stream(&stream).unwrap();
    let mut bridge = crate::bridge_with(&url("some"), natsbridge::NoFileServer);
    bridge.flush(LONG).unwrap();
    assert_eq!(
        refused(&mut bridge, "s.secret", &stored()),
        Kind::NotPermitted
    );

    // The error of an earlier send is not blamed on a stored one, and not lost.
    let note = [("note", Payload::text("x"))];
    let pipelined = SendOptions::default().confirm(false);
    bridge.smartsend("other", &note, &pipelined).unwrap();
    bridge.smartsend("s.a", &note, &stored()).unwrap();
    let error = bridge.flush(LONG).unwrap_err();
    assert!(format!("{error:?}").contains("other"), "{error:?}");
}

#[test]
fn an_account_at_its_limit_of_storage_refuses_at_once() {
    let server = NatsServer::start_jetstream_with(
        r#"accounts { A: {
            users: [ { user: me, password: x } ]
            jetstream: { max_file: 4096, max_mem: 0 }
        } }"#,
        "",
    );
    let url = format!("nats://me:x@127.0.0.1:{}", server.port());
    let mut jetstream = natsbridge::JetStream::new(client(&url), natsbridge::host::StdPlatform);
    let stream = StreamOptions::new("S").subject("s.>");
    jetstream.ensure_stream(&stream).unwrap();
    let mut bridge = crate::bridge_with(&url, natsbridge::NoFileServer);
    bridge.flush(LONG).unwrap();
    let data = [("data", Payload::binary(vec![7; 1000]))];
    let refused = (0..10).find_map(|_| {
        let sent = at_once(|| bridge.smartsend("s.a", &data, &stored()).map(drop));
        sent.err().map(kind)
    });
    assert_eq!(refused, Some(Kind::StorageLimit));
}

#[test]
fn a_subscriber_that_is_no_stream_does_not_make_a_send_stored() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let (mut listener, mut bridge) = (client(&server.url()), bridge(&server));
    listener.subscribe("plain", None).unwrap();
    listener.flush(LONG).unwrap();
    let note = [("note", Payload::text("x"))];
    let options = stored().timeout(Duration::from_millis(300));
    let error = bridge.smartsend("plain", &note, &options).unwrap_err();
    assert_eq!(kind(error), Kind::Timeout);
}

#[test]
fn what_was_sent_over_crashes_is_stored_exactly_once() {
    let (sends, kills) = (
        count("JETSTREAM_SENDS", 10_000),
        count("JETSTREAM_KILLS", 10),
    );
    let mut server = NatsServer::start_jetstream();
    create_stream(&server);
    let mut bridge = bridge(&server);
    let (crash, crashes) = channel();
    let killer = thread::spawn(move || {
        while crashes.recv().is_ok() {
            server.restart();
        }
        server
    });
    let options = stored().timeout(LONG);
    let (mut done, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..sends {
        if number % (sends / (kills + 1)).max(1) == 1 {
            crash.send(()).unwrap();
        }
        let options = options.clone().msg_id(format!("m-{number}"));
        let note = [("note", Payload::text("x"))];
        match bridge.smartsend("s.a", &note, &options) {
            Ok(sent) => done.insert(sent.envelope().msg_id.to_string()),
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                failed.insert(format!("m-{number}"))
            }
        };
    }
    drop(crash);
    let server = killer.join().unwrap();
    let stored = stored_ids(&mut crate::bridge(&server), "S");
    println!("{} stored, {} failed", done.len(), failed.len());
    for id in &done {
        assert_eq!(stored.get(id), Some(&1), "{id}");
    }
    for (id, count) in &stored {
        assert!(
            *count == 1 && (done.contains(id) || failed.contains(id)),
            "{id}: {count}"
        );
    }
    assert!(done.len() * 10 >= sends * 9, "{} of {sends}", done.len());
}
