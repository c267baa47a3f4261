//! What a user must be permitted, as the guide lists it.

use std::time::Duration;

use natsbridge::adapter::FileServer as _;
use natsbridge::host::StdPlatform;
use natsbridge::memory::MemoryFileServer;
use natsbridge::{
    BucketOptions, ConsumeOptions, Error, JetStream, JetStreamError, JetStreamErrorKind,
    ObjectStore, Payload, SendOptions, StreamOptions,
};

use crate::common::bytes;
use crate::common::nats_server::NatsServer;
use crate::{LONG, bridge_with, client};

const GUIDE: &str = include_str!("../../src/guide/durability.md");

/// Subjects of the guide's list for this user.
fn subjects(of: &str) -> Vec<String> {
    let row = GUIDE.lines().find(|line| line.starts_with(of));
    let words = row.expect("a row of the guide").split('`');
    let subjects = words.skip(1).step_by(2);
    let subject = |name: &str| {
        let name = name.replace("<subject>", "s.a").replace("<stream>", "S");
        name.replace("<consumer>", "w").replace("<bucket>", "files")
    };
    subjects.map(subject).collect()
}

fn start() -> NatsServer {
    let user = |name: &str| {
        let publish = subjects(&format!("| {name} |")).join("\", \"");
        format!(
            r#"{{ user: {name}, password: x, permissions: {{
                publish: {{ allow: ["{publish}"] }}, subscribe: {{ allow: ["_INBOX.>"] }} }} }}"#
        )
    };
    let users = ["sender", "worker", "bucket"].map(user).join("\n");
    let all = "{ user: all, password: x }";
    NatsServer::start_jetstream_with(
        &format!("authorization {{ users: [ {all}\n{users} ] }}"),
        "",
    )
}

#[test]
fn the_permissions_of_the_guide_are_enough() {
    let server = start();
    let url = |user: &str| format!("nats://{user}:x@127.0.0.1:{}", server.port());
    let mut all = JetStream::new(client(&url("all")), StdPlatform);
    all.ensure_stream(&StreamOptions::new("S").subject("s.>"))
        .unwrap();

    let mut sender = bridge_with(&url("sender"), natsbridge::NoFileServer);
    let data = [("note", Payload::text("hi"))];
    let stored = SendOptions::default().stored(true);
    sender.smartsend("s.a", &data, &stored).unwrap();

    let mut worker = bridge_with(&url("worker"), natsbridge::NoFileServer);
    let mut jobs = worker.consume("S", "w", ConsumeOptions::default()).unwrap();
    let job = jobs.next(LONG).unwrap().unwrap();
    assert_eq!(job.text("note").unwrap(), "hi");
    jobs.ack_confirmed(&job).unwrap();

    let mut store = ObjectStore::new(client(&url("bucket")), StdPlatform, "files").unwrap();
    store.create_bucket(&BucketOptions::default()).unwrap();
    let content = bytes(300_000);
    let mut body = natsbridge::adapter::SliceBody::new(&content);
    let upload = store.upload("film", &mut body).unwrap();
    let mut sink = natsbridge::adapter::VecSink::new(content.len());
    store.download(&upload.url, 300_000, &mut sink).unwrap();
    assert!(sink.into_bytes() == content);
    store.delete(&upload).unwrap();
    assert!(store.list().unwrap().is_empty());
}

fn start_with(permissions: &str) -> (NatsServer, impl Fn(&str) -> String) {
    let users = format!(
        "authorization {{ users: [ {{ user: all, password: x }}
            {{ user: some, password: x, permissions: {{ {permissions} }} }} ] }}"
    );
    let server = NatsServer::start_jetstream_with(&users, "");
    let port = server.port();
    let url = move |user: &str| format!("nats://{user}:x@127.0.0.1:{port}");
    let mut all = JetStream::new(client(&url("all")), StdPlatform);
    all.ensure_stream(&StreamOptions::new("S").subject("s.>"))
        .unwrap();
    (server, url)
}

/// The message is published all the same: whoever takes it from the stream needs its file.
#[test]
fn who_may_not_subscribe_to_an_inbox_is_not_told_that_nothing_was_stored() {
    let (_server, url) = start_with(r#"publish: ">", subscribe: { deny: "_INBOX.>" }"#);
    let mut bridge = bridge_with(&url("some"), MemoryFileServer::new());
    let data = [("file", Payload::binary(bytes(200_000)))];
    let options = SendOptions::default().stored(true);
    let error = bridge.smartsend("s.a", &data, &options).unwrap_err();
    assert!(matches!(error, Error::LeftBehind { .. }), "{error:?}");
    let mut all = JetStream::new(client(&url("all")), StdPlatform);
    assert_eq!(all.stream_info("S").unwrap().messages, 1);
}

#[test]
fn acknowledgements_that_are_not_permitted_are_reported() {
    let (_server, url) = start_with(r#"publish: { deny: "$JS.ACK.>" }"#);
    let mut bridge = bridge_with(&url("some"), natsbridge::NoFileServer);
    let data = [("note", Payload::text("hi"))];
    let stored = SendOptions::default().stored(true);
    bridge.smartsend("s.a", &data, &stored).unwrap();
    let options = ConsumeOptions::default().ack_wait(Duration::from_millis(100));
    let mut jobs = bridge.consume("S", "w", options).unwrap();
    let job = jobs.next(LONG).unwrap().unwrap();
    jobs.ack(&job).unwrap();
    jobs.next(LONG).unwrap().expect("it comes again");
    let error = jobs.next(LONG).unwrap_err();
    let is_it = |error: &JetStreamError| error.kind() == JetStreamErrorKind::NotPermitted;
    assert!(
        matches!(&error, Error::JetStream(error) if is_it(error)),
        "{error:?}"
    );
}
