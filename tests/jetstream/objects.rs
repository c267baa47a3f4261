//! The Object Store as a file server.

use std::time::Duration;

use natsbridge::adapter::{FileServer as _, Outgoing, SliceBody, VecSink};
use natsbridge::host::{NatsClient, StdPlatform};
use natsbridge::{
    BucketOptions, ConsumeOptions, Discard, Error, FileServerErrorKind as Kind, JetStreamErrorKind,
    LinkPolicy, ObjectStore, Payload, ReceiveOptions, SendOptions, Storage, StreamOptions,
    contract,
};

use crate::common::bytes;
use crate::common::nats_server::NatsServer;
use crate::{LONG, at_once, bridge_with, client, jetstream, store};

type Store = ObjectStore<NatsClient, StdPlatform>;

const CHUNK: usize = 131_072;

fn bucket(server: &NatsServer) -> Store {
    let mut store = store(&server.url(), "files");
    store.create_bucket(&BucketOptions::default()).unwrap();
    store
}

fn put(store: &mut Store, name: &str, content: &[u8]) {
    let info = store.put(name, &mut SliceBody::new(content)).unwrap();
    assert_eq!((&*info.name, info.size), (name, content.len() as u64));
}

fn get(store: &mut Store, name: &str) -> Result<Vec<u8>, natsbridge::FileServerError> {
    let mut sink = VecSink::new(100 << 20);
    let len = store.get(name, 100 << 20, &mut sink)?;
    let bytes = sink.into_bytes();
    assert_eq!(len, bytes.len() as u64);
    Ok(bytes)
}

#[test]
fn it_keeps_the_contract_of_a_file_server() {
    let server = NatsServer::start_jetstream();
    contract::file_server(&mut bucket(&server), true);
    let mut small = bucket(&server).chunk_size(1000).window(1);
    contract::file_server(&mut small, true);
}

#[test]
fn objects_of_all_sizes_come_back() {
    let server = NatsServer::start_jetstream();
    let mut store = bucket(&server);
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5_000_000] {
        let content = bytes(len);
        put(&mut store, "dir/\u{e4} b.bin", &content);
        assert!(
            get(&mut store, "dir/\u{e4} b.bin").unwrap() == content,
            "{len}"
        );
        let info = store.info("dir/\u{e4} b.bin").unwrap().unwrap();
        assert_eq!(info.chunks, len.div_ceil(CHUNK) as u64);
    }
    // One object with its metadata; what was replaced is gone.
    let chunks = 5_000_000usize.div_ceil(CHUNK) as u64;
    let messages = jetstream(&server)
        .stream_info("OBJ_files")
        .unwrap()
        .messages;
    assert_eq!(messages, chunks + 1);
}

#[test]
fn chunks_are_as_small_as_a_board_or_a_server_wants_them() {
    let server = NatsServer::start_jetstream_with("max_payload: 10000", "");
    let mut store = bucket(&server);
    let content = bytes(100_000);
    put(&mut store, "limited", &content);
    assert!(get(&mut store, "limited").unwrap() == content);
    let mut board = store.chunk_size(4096).window(2);
    put(&mut board, "small", &content);
    assert_eq!(board.info("small").unwrap().unwrap().chunks, 25);
    assert!(get(&mut board, "small").unwrap() == content);
    // A client that has not connected yet does not know the server's limit.
    let mut fresh = crate::store(&server.url(), "files");
    let upload = fresh.upload("x", &mut SliceBody::new(&content)).unwrap();
    let mut sink = VecSink::new(content.len());
    let len = content.len() as u64;
    fresh.download(&upload.url, len, &mut sink).unwrap();
    assert!(sink.into_bytes() == content);
}

#[test]
fn objects_are_listed_and_deleted() {
    let server = NatsServer::start_jetstream();
    let mut store = bucket(&server);
    assert!(store.list().unwrap().is_empty());
    for name in ["a", "b", "c"] {
        put(&mut store, name, &bytes(10));
    }
    put(&mut store, "b", &bytes(20));
    assert!(store.remove("c").unwrap());
    assert!(!store.remove("c").unwrap());
    assert!(!store.remove("never").unwrap());
    let listed = store.list().unwrap();
    let listed: Vec<_> = listed.iter().map(|info| (&*info.name, info.size)).collect();
    assert_eq!(listed, [("a", 10), ("b", 20)]);
    assert_eq!(get(&mut store, "c").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(store.info("c").unwrap(), None);
    let mut jetstream = jetstream(&server);
    // The metadata of three objects, one of them deleted, and two chunks; no consumer is left behind.
    let info = jetstream.stream_info("OBJ_files").unwrap();
    assert_eq!((info.messages, info.consumers), (5, 0));
}

#[test]
fn buckets_are_streams_and_their_differences_are_named() {
    let server = NatsServer::start_jetstream();
    let mut store = store(&server.url(), "files");
    store.broker().connect().unwrap();
    let missing = |what: &str, kind: Result<(), Kind>| {
        assert_eq!(kind, Err(Kind::NotFound), "{what}");
    };
    let uploaded = at_once(|| store.upload("x", &mut SliceBody::new(b"x")).map(drop));
    missing("upload", uploaded.map_err(|error| error.kind()));
    let got = at_once(|| get(&mut store, "x").map(drop));
    missing("download", got.map_err(|error| error.kind()));

    let options = BucketOptions::default()
        .ttl(Duration::from_secs(3600))
        .storage(Storage::Memory)
        .max_bytes(100_000)
        .replicas(1);
    store.create_bucket(&options).unwrap();
    store.create_bucket(&options).unwrap();
    store.create_bucket(&BucketOptions::default()).unwrap();
    let other = options.clone().max_bytes(200_000);
    let error = store.create_bucket(&other).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused { status: 409 });
    assert!(
        format!("{error:?}").contains("its `max_bytes` is 100000, not 200000"),
        "{error:?}"
    );

    // A full bucket refuses at once, and nothing of the file stays.
    let full = at_once(|| store.upload("x", &mut SliceBody::new(&bytes(150_000))));
    assert_eq!(full.unwrap_err().kind(), Kind::Refused { status: 507 });
    let messages = jetstream(&server)
        .stream_info("OBJ_files")
        .unwrap()
        .messages;
    assert_eq!(messages, 0);
    assert!(natsbridge::ObjectStore::new(client(&server.url()), StdPlatform, "a.b").is_err());
}

#[test]
fn a_server_without_jetstream_refuses_files_at_once() {
    let server = NatsServer::start();
    let mut store = store(&server.url(), "files");
    store.broker().connect().unwrap();
    let error = at_once(|| store.upload("x", &mut SliceBody::new(b"x"))).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused { status: 503 });
}

/// What is published on `subject` becomes a part of the object.
fn publish(server: &NatsServer, subject: &str, headers: &[(&str, &str)], body: &[u8]) {
    let message = Outgoing::new(subject).headers(headers);
    jetstream(server)
        .publish(&message, &mut SliceBody::new(body))
        .unwrap();
}

#[test]
fn what_is_not_as_it_was_stored_is_refused() {
    let server = NatsServer::start_jetstream();
    let mut store = bucket(&server);
    // SHA-256 of "hello", in URL-safe base64.
    let digest = "SHA-256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let other = "SHA-256=AAAAul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    type Case<'c> = (&'c str, &'c [&'c [u8]], u64, u64, &'c str, Option<Kind>);
    let cases: [Case<'_>; 8] = [
        ("whole", &[b"hel", b"lo"], 5, 2, digest, None),
        (
            "digest",
            &[b"hel", b"lo"],
            5,
            2,
            other,
            Some(Kind::Mismatch),
        ),
        (
            "altered",
            &[b"hel", b"la"],
            5,
            2,
            digest,
            Some(Kind::Mismatch),
        ),
        ("missing", &[b"hel"], 5, 2, digest, Some(Kind::Mismatch)),
        (
            "more",
            &[b"hel", b"lo", b"!"],
            5,
            2,
            digest,
            Some(Kind::Mismatch),
        ),
        (
            "longer",
            &[b"hel", b"lo!"],
            5,
            2,
            digest,
            Some(Kind::Mismatch),
        ),
        (
            "shorter",
            &[b"hel", b"l"],
            5,
            2,
            digest,
            Some(Kind::Mismatch),
        ),
        (
            "size",
            &[b"hello"],
            1 << 40,
            1,
            digest,
            Some(Kind::TooLarge { limit: 100 << 20 }),
        ),
    ];
    for (name, chunks, size, count, digest, kind) in cases {
        for chunk in chunks {
            publish(&server, &format!("$O.files.C.{name}"), &[], chunk);
        }
        let meta = format!(
            r#"{{"name":"{name}","bucket":"files","nuid":"{name}","size":{size},"chunks":{count},"digest":"{digest}"}}"#
        );
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::URL_SAFE.encode(name);
        publish(
            &server,
            &format!("$O.files.M.{encoded}"),
            &[("Nats-Rollup", "sub")],
            meta.as_bytes(),
        );
        let got = get(&mut store, name);
        assert_eq!(got.as_ref().err().map(|error| error.kind()), kind, "{name}");
        if let Ok(content) = got {
            assert_eq!(content, b"hello");
        }
    }
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::URL_SAFE.encode("broken");
    publish(
        &server,
        &format!("$O.files.M.{encoded}"),
        &[],
        b"{\"name\":",
    );
    assert_eq!(
        get(&mut store, "broken").unwrap_err().kind(),
        Kind::InvalidAnswer
    );
}

#[test]
fn metadata_that_name_the_chunks_of_others_remove_none() {
    let server = NatsServer::start_jetstream();
    let mut store = bucket(&server);
    put(&mut store, "precious", b"content");
    for nuid in [">", "*", ""] {
        // The base64 of "evil".
        let subject = "$O.files.M.ZXZpbA==";
        let meta = format!(r#"{{"name":"evil","nuid":"{nuid}","size":1,"chunks":1,"digest":""}}"#);
        let rollup = [("Nats-Rollup", "sub")];
        publish(&server, subject, &rollup, meta.as_bytes());
        assert!(store.remove("evil").unwrap(), "{nuid}");
        publish(&server, subject, &rollup, meta.as_bytes());
        put(&mut store, "evil", b"replaced");
        assert_eq!(get(&mut store, "evil").unwrap(), b"replaced");
        assert_eq!(get(&mut store, "precious").unwrap(), b"content", "{nuid}");
    }
}

#[test]
fn one_server_is_enough_for_messages_and_files() {
    let server = NatsServer::start_jetstream();
    bucket(&server);
    let mut jetstream = jetstream(&server);
    jetstream
        .ensure_stream(&StreamOptions::new("S").subject("s.>"))
        .unwrap();
    // The store is on a clone of the bridge's client.
    let client = client(&server.url());
    let store = ObjectStore::new(client.clone(), StdPlatform, "files").unwrap();
    let mut bridge = natsbridge::NatsBridge::new(client, store, StdPlatform);
    let film = bytes(3_000_000);
    let data = [
        ("film \u{e4}", Payload::binary(film.clone())),
        ("note", Payload::text("hi")),
    ];
    let options = SendOptions::default().stored(true);
    let sent = bridge.smartsend("s.a", &data, &options).unwrap();
    let links: Vec<_> = sent.uploads().iter().map(|upload| &upload.url).collect();
    assert!(
        links.len() == 1 && links[0].starts_with("nats-object://files/"),
        "{links:?}"
    );
    let mut jobs = bridge.consume("S", "w", ConsumeOptions::default()).unwrap();
    let job = jobs.next(LONG).unwrap().unwrap();
    assert!(job.bytes("film \u{e4}").unwrap() == film);
    assert_eq!(job.payloads[1].1.as_text(), Some("hi"));
    jobs.ack_confirmed(&job).unwrap();
}

/// `host::connect` with a bucket: it is created before the first upload.
#[cfg(feature = "ureq")]
#[test]
fn connect_takes_a_bucket_and_needs_one_server() {
    use natsbridge::host;

    let server = NatsServer::start_jetstream();
    let mut jetstream = jetstream(&server);
    let url = "nats-object://films";
    let mut bridge = host::connect(&server.url(), url).unwrap();
    bridge.subscribe("/chat", None).unwrap();
    let missing = jetstream.stream_info("OBJ_films").unwrap_err();
    assert_eq!(missing.kind(), JetStreamErrorKind::NoStream);
    let film = bytes(300_000);
    let data = [("film", Payload::binary(film.clone()))];
    bridge
        .smartsend("/chat", &data, &SendOptions::default())
        .unwrap();
    // The free function finds the bucket that is there.
    let options = SendOptions::default()
        .broker_url(server.url())
        .fileserver_url(url);
    host::smartsend("/chat", &data, &options).unwrap();
    for _ in 0..2 {
        let received = bridge.next(LONG).unwrap().unwrap();
        assert_eq!(received.envelope.payloads[0].transport_name, "link");
        assert!(received.bytes("film").unwrap() == film);
    }
    // Of each: three chunks of at most 131,072 bytes, and the metadata.
    assert_eq!(jetstream.stream_info("OBJ_films").unwrap().messages, 8);
}

#[cfg(feature = "ureq")]
#[test]
fn a_bucket_without_jetstream_fails_at_the_first_upload() {
    let server = NatsServer::start();
    let mut bridge = natsbridge::host::connect(&server.url(), "nats-object://films").unwrap();
    let small = [("note", Payload::text("hi"))];
    let large = [("film", Payload::binary(bytes(300_000)))];
    let options = SendOptions::default();
    bridge.smartsend("/chat", &small, &options).unwrap();
    let error = at_once(|| bridge.smartsend("/chat", &large, &options)).unwrap_err();
    let words = format!("{error:?}");
    assert!(words.contains("JetStream is not enabled"), "{words}");
}

#[test]
fn only_the_own_bucket_is_read_unless_others_are_allowed() {
    let server = NatsServer::start_jetstream();
    bucket(&server);
    let mut other = store(&server.url(), "other");
    other.create_bucket(&BucketOptions::default()).unwrap();
    let mut sender = bridge_with(&server.url(), other);
    let mut receiver = bridge_with(&server.url(), store(&server.url(), "files"));
    receiver.subscribe("a", None).unwrap();
    let data = [("film", Payload::binary(bytes(200_000)))];
    sender
        .smartsend("a", &data, &SendOptions::default())
        .unwrap();
    let message = receiver.next_message(LONG).unwrap().unwrap();
    let error = receiver
        .smartreceive(&message, &ReceiveOptions::default())
        .unwrap_err();
    assert!(matches!(error, Error::LinkRefused { .. }), "{error:?}");
    let policy = LinkPolicy::default().allow("nats-object://other").unwrap();
    let options = ReceiveOptions::default().link_policy(policy);
    let received = receiver.smartreceive(&message, &options).unwrap();
    assert_eq!(received.payloads[0].1.len(), 200_000);
}

#[test]
fn the_file_of_a_message_that_nobody_got_is_deleted_and_any_other_stays() {
    let server = NatsServer::start_jetstream();
    let store = bucket(&server);
    let mut bridge = bridge_with(&server.url(), store);
    let mut jetstream = jetstream(&server);
    let data = [("film", Payload::binary(bytes(200_000)))];
    let options = SendOptions::default().stored(true);
    let error = bridge.smartsend("nobody", &data, &options).unwrap_err();
    assert_eq!(
        error.kind(),
        natsbridge::ErrorKind::JetStream(JetStreamErrorKind::NoStream)
    );
    assert!(bridge.file_server().list().unwrap().is_empty());

    // A subscriber beside the full stream has the message.
    let full = StreamOptions::new("FULL").subject("full");
    jetstream
        .ensure_stream(&full.max_messages(1).discard(Discard::New))
        .unwrap();
    let note = [("note", Payload::text("x"))];
    bridge.smartsend("full", &note, &options).unwrap();
    let error = bridge.smartsend("full", &data, &options).unwrap_err();
    let Error::LeftBehind { left_behind, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(bridge.file_server().list().unwrap().len(), 1);
    assert!(bridge.file_server().owns(&left_behind[0]));
}

#[test]
fn a_crash_of_the_server_costs_a_transfer_no_more_than_a_retry() {
    let mut server = NatsServer::start_jetstream();
    let store = bucket(&server).window(2);
    let mut bridge = bridge_with(&server.url(), store);
    let mut receiver = bridge_with(&server.url(), bucket(&server));
    receiver.subscribe("a", None).unwrap();
    let content = bytes(20_000_000);
    let data = [("film", Payload::binary(content.clone()))];
    // It is killed while something is on its way.
    let crash = std::thread::spawn(move || {
        server.restart();
        server
    });
    let options = SendOptions::default();
    let sent = bridge.smartsend("a", &data, &options);
    if let Err(error) = sent {
        // The message may have been delivered, so that its file stays.
        assert!(matches!(error, Error::LeftBehind { .. }), "{error:?}");
    }
    let server = crash.join().unwrap();
    let mut store = self::bucket(&server);
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let name = listed[0].name.clone();
    let crash = std::thread::spawn(move || {
        let mut server = server;
        server.restart();
        server
    });
    assert!(get(&mut store, &name).unwrap() == content);
    crash.join().unwrap();
}
