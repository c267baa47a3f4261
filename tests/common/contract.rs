//! The contracts of the traits, as functions that every adapter passes.

use std::time::{Duration, Instant};

use natsbridge::adapter::Upload;
use natsbridge::adapter::{
    Body, Broker, FileServer, HttpClient, HttpErrorKind, HttpRequest, Method, Outgoing, Platform,
    Sink, SliceBody, StreamError, VecSink,
};
use natsbridge::{BrokerErrorKind, FileServerErrorKind, Message, SubscriptionId};

/// Longer than anything takes that works.
pub const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);

/// Bytes that differ from place to place.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 167 + (i >> 8)) as u8).collect()
}

/// All that a [`Platform`] promises.
pub fn platform(platform: &dyn Platform) {
    let (unix, uptime) = (platform.unix_millis(), platform.uptime_millis());
    let pause = Duration::from_millis(30);
    platform.wait(pause);
    let waited = platform.uptime_millis() - uptime;
    assert!((29..2000).contains(&waited), "{waited} ms");
    assert!(platform.unix_millis() >= unix);
    assert!(unix > 1_700_000_000_000, "a wall clock after 2023: {unix}");
    let mut drawn = [[0; 64]; 2];
    for bytes in &mut drawn {
        platform.random(bytes).unwrap();
        assert!(bytes.iter().any(|byte| *byte != bytes[0]), "{bytes:?}");
    }
    assert_ne!(drawn[0], drawn[1]);
}

fn publish(broker: &mut dyn Broker, subject: &str, body: &[u8]) {
    broker
        .publish(&Outgoing::new(subject), &mut SliceBody::new(body))
        .unwrap();
}

fn subscribe(broker: &mut dyn Broker, subject: &str, queue: Option<&str>) -> SubscriptionId {
    let id = broker.subscribe(subject, queue).unwrap();
    broker.flush(LONG).unwrap();
    id
}

fn next(broker: &mut dyn Broker) -> Message {
    broker
        .next(LONG)
        .unwrap()
        .expect("a message within the time")
}

fn assert_silent(broker: &mut dyn Broker) {
    broker.flush(LONG).unwrap();
    assert_eq!(broker.next(SHORT).unwrap(), None);
}

/// All that a [`Broker`] promises. `connect` gives a new client of the same broker; `scope` is a
/// token that no other test uses.
pub fn broker<B: Broker>(mut connect: impl FnMut() -> B, scope: &str) {
    delivers_in_order(&mut connect(), &mut connect(), scope);
    delivers_any_length(&mut connect(), scope);
    matches_wildcards(&mut connect(), scope);
    tells_subscriptions_apart(&mut connect(), scope);
    shares_among_a_queue_group(&mut connect(), &mut connect(), scope);
    stops_when_unsubscribed(&mut connect(), scope);
    refuses_bad_subjects(&mut connect(), scope);
    refuses_what_is_too_large(&mut connect(), scope);
    fails_when_the_body_does(&mut connect(), scope);
    knows_when_nobody_listens(&mut connect(), scope);
    waits_for_one_subscription(&mut connect(), scope);
    delivers_headers(&mut connect(), scope);
    refuses_bad_headers(&mut connect(), scope);
    counts_headers_towards_the_limit(&mut connect(), scope);
    waits_no_longer_than_told(&mut connect(), scope);
}

fn delivers_in_order(sender: &mut dyn Broker, receiver: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.order");
    let id = subscribe(receiver, &subject, None);
    for number in 0u32..500 {
        publish(sender, &subject, &number.to_le_bytes());
    }
    sender.flush(LONG).unwrap();
    for number in 0u32..500 {
        let message = next(receiver);
        assert_eq!(message.payload, number.to_le_bytes());
        assert_eq!(
            (message.subscription, message.subject.as_str()),
            (id, subject.as_str())
        );
        assert_eq!((message.reply, message.status), (None, None));
    }
}

fn delivers_any_length(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.length");
    subscribe(broker, &subject, None);
    let most = broker.max_payload();
    let lengths = [0, 1, 4095, 4096, 4097, 32_768, 100_000, most];
    for len in lengths.into_iter().filter(|len| *len <= most) {
        let sent = bytes(len);
        publish(broker, &subject, &sent);
        assert!(next(broker).payload == sent, "{len} bytes");
    }
}

fn matches_wildcards(broker: &mut dyn Broker, scope: &str) {
    subscribe(broker, &format!("{scope}.wild.*.x"), None);
    publish(broker, &format!("{scope}.wild.a.x"), b"star");
    publish(broker, &format!("{scope}.wild.a.b.x"), b"none");
    assert_eq!(next(broker).payload, b"star");
    assert_silent(broker);
    subscribe(broker, &format!("{scope}.rest.>"), None);
    publish(broker, &format!("{scope}.rest.a.b"), b"rest");
    assert_eq!(next(broker).payload, b"rest");
}

fn tells_subscriptions_apart(broker: &mut dyn Broker, scope: &str) {
    let (a, b) = (format!("{scope}.apart.a"), format!("{scope}.apart.b"));
    let first = subscribe(broker, &a, None);
    let second = subscribe(broker, &b, None);
    assert_ne!(first, second);
    for (subject, id) in [(&b, second), (&a, first)] {
        publish(broker, subject, b"x");
        assert_eq!(next(broker).subscription, id);
    }
}

fn shares_among_a_queue_group(one: &mut dyn Broker, two: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.queue");
    subscribe(one, &subject, Some("workers"));
    subscribe(two, &subject, Some("workers"));
    for _ in 0..40 {
        publish(one, &subject, b"job");
    }
    one.flush(LONG).unwrap();
    let count = |broker: &mut dyn Broker| {
        broker.flush(LONG).unwrap();
        (0..)
            .take_while(|_| broker.next(Duration::from_millis(200)).unwrap().is_some())
            .count()
    };
    let (first, second) = (count(one), count(two));
    assert_eq!(first + second, 40, "each message once");
    assert!(first > 0 && second > 0, "{first} and {second}");
}

fn stops_when_unsubscribed(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.stop");
    let id = subscribe(broker, &subject, None);
    publish(broker, &subject, b"dropped");
    broker.flush(LONG).unwrap();
    broker.unsubscribe(id).unwrap();
    publish(broker, &subject, b"unseen");
    assert_silent(broker);
    broker.unsubscribe(id).unwrap();
}

fn refuses_bad_subjects(broker: &mut dyn Broker, scope: &str) {
    let everything = subscribe(broker, &format!("{scope}.bad.>"), None);
    for bad in [
        "",
        "a b",
        "a..b",
        "a\r\nPUB x 0\r\n\r\n",
        "a.>",
        "a.*",
        ".a",
        "a.",
    ] {
        let subject = format!("{scope}.bad.{bad}");
        let error = broker
            .publish(&Outgoing::new(&subject), &mut SliceBody::new(b"x"))
            .unwrap_err();
        assert_eq!(error.kind(), BrokerErrorKind::InvalidSubject, "{bad:?}");
        let good = format!("{scope}.bad.good");
        let error = broker
            .publish(
                &Outgoing::new(&good).reply(&subject),
                &mut SliceBody::new(b"x"),
            )
            .unwrap_err();
        assert_eq!(
            error.kind(),
            BrokerErrorKind::InvalidSubject,
            "{bad:?} as reply"
        );
    }
    for (bad, queue) in [
        ("a b", None),
        ("a.>.b", None),
        ("good", Some("")),
        ("good", Some("a b")),
    ] {
        let error = broker
            .subscribe(&format!("{scope}.bad.{bad}"), queue)
            .unwrap_err();
        assert_eq!(
            error.kind(),
            BrokerErrorKind::InvalidSubject,
            "{bad:?} {queue:?}"
        );
    }
    assert_silent(broker);
    broker.unsubscribe(everything).unwrap();
}

fn refuses_what_is_too_large(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.large");
    subscribe(broker, &subject, None);
    let limit = broker.max_payload();
    let error = broker
        .publish(
            &Outgoing::new(&subject),
            &mut SliceBody::new(&bytes(limit + 1)),
        )
        .unwrap_err();
    let (len, limit) = (limit as u64 + 1, limit as u64);
    assert_eq!(error.kind(), BrokerErrorKind::TooLarge { len, limit });
    assert_silent(broker);
    publish(broker, &subject, b"still connected");
    assert_eq!(next(broker).payload, b"still connected");
}

/// Says that it has ten bytes, and fails or ends after five.
struct Failing {
    read: bool,
    fails: bool,
}

impl Failing {
    fn after_five(fails: bool) -> Self {
        Self { read: false, fails }
    }
}

impl Body for Failing {
    fn len(&self) -> u64 {
        10
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        match std::mem::replace(&mut self.read, true) {
            true if self.fails => Err(StreamError::CannotRewind),
            true => Ok(0),
            false => Ok(out.len().min(5)),
        }
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

fn fails_when_the_body_does(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.failing");
    let watcher = broker.subscribe(&subject, None).unwrap();
    for fails in [true, false] {
        let mut body = Failing::after_five(fails);
        let error = broker
            .publish(&Outgoing::new(&subject), &mut body)
            .unwrap_err();
        assert_eq!(error.kind(), BrokerErrorKind::Local);
    }
    // A connection on which half a message was written is lost; what comes after it is whole.
    let _may_tell_the_loss = broker.flush(LONG);
    publish(broker, &subject, b"whole");
    assert_eq!(next(broker).payload, b"whole");
    broker.unsubscribe(watcher).unwrap();
}

fn knows_when_nobody_listens(broker: &mut dyn Broker, scope: &str) {
    let inbox = format!("{scope}.inbox");
    subscribe(broker, &inbox, None);
    let nobody = format!("{scope}.nobody");
    broker
        .publish(
            &Outgoing::new(&nobody).reply(&inbox),
            &mut SliceBody::new(b"?"),
        )
        .unwrap();
    assert!(next(broker).is_no_responders());
    let somebody = format!("{scope}.somebody");
    subscribe(broker, &somebody, None);
    broker
        .publish(
            &Outgoing::new(&somebody).reply(&inbox),
            &mut SliceBody::new(b"?"),
        )
        .unwrap();
    let message = next(broker);
    assert_eq!(
        (message.payload.as_slice(), message.reply),
        (&b"?"[..], Some(inbox))
    );
}

fn waits_for_one_subscription(broker: &mut dyn Broker, scope: &str) {
    let (a, b) = (format!("{scope}.one.a"), format!("{scope}.one.b"));
    subscribe(broker, &a, None);
    let id = subscribe(broker, &b, None);
    for (subject, body) in [(&a, b"1"), (&b, b"2"), (&a, b"3"), (&b, b"4"), (&a, b"5")] {
        publish(broker, subject, body);
    }
    broker.flush(LONG).unwrap();
    for expected in [b"2", b"4"] {
        let message = broker.next_of(id, LONG).unwrap().expect("in time");
        assert_eq!(
            (message.subscription, message.payload),
            (id, expected.to_vec())
        );
    }
    let started = Instant::now();
    let wait = Duration::from_millis(200);
    assert_eq!(broker.next_of(id, wait).unwrap(), None);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(190), "{waited:?}");
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    for expected in [b"1", b"3", b"5"] {
        assert_eq!(next(broker).payload, expected, "left queued, in order");
    }
    assert_silent(broker);
}

fn delivers_headers(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.headers");
    subscribe(broker, &subject, None);
    let headers = [("Nats-Msg-Id", "17"), ("Color", "r ü: d"), ("color", "")];
    let message = Outgoing::new(&subject).reply("answer").headers(&headers);
    let body = bytes(50_000.min(broker.max_payload() / 2));
    broker
        .publish(&message, &mut SliceBody::new(&body))
        .unwrap();
    let received = next(broker);
    let mut found: Vec<_> = received.headers.iter().collect();
    found.sort_unstable();
    assert_eq!(found, [headers[1], headers[0], headers[2]]);
    assert_eq!(received.headers.get("Color"), Some("r ü: d"));
    assert_eq!(received.headers.get("nats-msg-id"), None);
    assert_eq!(
        (received.status, received.reply.as_deref()),
        (None, Some("answer"))
    );
    assert!(received.payload == body);

    let twice = [("A", "1"), ("A", "2")];
    let message = Outgoing::new(&subject).headers(&twice);
    broker.publish(&message, &mut SliceBody::new(b"")).unwrap();
    let received = next(broker);
    let mut found: Vec<_> = received.headers.iter().collect();
    found.sort_unstable();
    assert_eq!(found, twice);
    assert!(received.payload.is_empty());

    publish(broker, &subject, b"none");
    assert!(next(broker).headers.is_empty());
}

fn refuses_bad_headers(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.bad-headers");
    subscribe(broker, &subject, None);
    for bad in [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("a", "x\r\nb: y"),
        ("a", "\n"),
    ] {
        let headers = [("good", "x"), bad];
        let message = Outgoing::new(&subject).headers(&headers);
        let error = broker
            .publish(&message, &mut SliceBody::new(b"x"))
            .unwrap_err();
        assert_eq!(error.kind(), BrokerErrorKind::InvalidHeader, "{bad:?}");
        assert!(error.is_not_sent(), "{bad:?}");
    }
    assert_silent(broker);
}

fn counts_headers_towards_the_limit(broker: &mut dyn Broker, scope: &str) {
    let subject = format!("{scope}.header-limit");
    subscribe(broker, &subject, None);
    let headers = [("A", "1")];
    let message = Outgoing::new(&subject).headers(&headers);
    let (block, limit) = ("NATS/1.0\r\nA: 1\r\n\r\n".len(), broker.max_payload());
    let too_long = bytes(limit - block + 1);
    let error = broker
        .publish(&message, &mut SliceBody::new(&too_long))
        .unwrap_err();
    let (len, limit) = (limit as u64 + 1, limit as u64);
    assert_eq!(error.kind(), BrokerErrorKind::TooLarge { len, limit });
    assert_silent(broker);
    let fits = &too_long[1..];
    broker.publish(&message, &mut SliceBody::new(fits)).unwrap();
    assert!(next(broker).payload == fits);
}

fn waits_no_longer_than_told(broker: &mut dyn Broker, scope: &str) {
    subscribe(broker, &format!("{scope}.wait"), None);
    let started = Instant::now();
    assert_eq!(broker.next(Duration::from_millis(200)).unwrap(), None);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(190), "{waited:?}");
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(broker.next(Duration::ZERO).unwrap(), None);
}

fn download(server: &mut dyn FileServer, url: &str, limit: u64) -> Vec<u8> {
    let mut sink = VecSink::new(usize::MAX);
    let len = server.download(url, limit, &mut sink).unwrap();
    let bytes = sink.into_bytes();
    assert_eq!(len, bytes.len() as u64);
    bytes
}

/// All that a [`FileServer`] promises; `deletes` says whether it can delete.
pub fn file_server(server: &mut dyn FileServer, deletes: bool) {
    gives_back_what_it_got(server);
    keeps_equal_names_apart(server);
    takes_any_name(server);
    reads_no_more_than_the_limit(server);
    tells_what_is_not_there(server);
    uploads_nothing_when_the_body_fails(server);
    if deletes {
        deletes_uploads(server);
    }
}

fn gives_back_what_it_got(server: &mut dyn FileServer) {
    for len in [1, 1000, 65_536, 65_537, 3_000_000] {
        let sent = bytes(len);
        let upload = server
            .upload("file.bin", &mut SliceBody::new(&sent))
            .unwrap();
        assert!(server.owns(&upload.url), "{}", upload.url);
        assert!(
            download(server, &upload.url, len as u64) == sent,
            "{len} bytes"
        );
        assert!(
            download(server, &upload.url, u64::MAX) == sent,
            "a second time"
        );
    }
}

fn keeps_equal_names_apart(server: &mut dyn FileServer) {
    let mut upload = |body: &[u8]| {
        server
            .upload("same", &mut SliceBody::new(body))
            .unwrap()
            .url
    };
    let (one, two) = (upload(b"one"), upload(b"two"));
    assert_ne!(one, two);
    assert_eq!(download(server, &one, 3), b"one");
    assert_eq!(download(server, &two, 3), b"two");
}

fn takes_any_name(server: &mut dyn FileServer) {
    let long = "x".repeat(1000);
    for name in [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "a b",
        "é你😀.png",
        "\"\r\n\0",
        "a?b#c%",
        &long,
    ] {
        let upload = server
            .upload(name, &mut SliceBody::new(name.as_bytes()))
            .unwrap();
        if !name.is_empty() {
            assert_eq!(
                download(server, &upload.url, 2000),
                name.as_bytes(),
                "{name:?}"
            );
        }
        assert!(
            upload.url.bytes().all(|byte| byte.is_ascii_graphic()),
            "{}",
            upload.url
        );
    }
}

fn reads_no_more_than_the_limit(server: &mut dyn FileServer) {
    let upload = server
        .upload("ten", &mut SliceBody::new(&bytes(10)))
        .unwrap();
    assert_eq!(download(server, &upload.url, 11).len(), 10);
    assert_eq!(download(server, &upload.url, 10).len(), 10);
    let mut sink = VecSink::new(100);
    let error = server.download(&upload.url, 9, &mut sink).unwrap_err();
    assert_eq!(error.kind(), FileServerErrorKind::TooLarge { limit: 9 });
}

fn tells_what_is_not_there(server: &mut dyn FileServer) {
    let upload = server.upload("there", &mut SliceBody::new(b"x")).unwrap();
    // The longest segment has the unique part.
    let unique = upload
        .url
        .split('/')
        .max_by_key(|segment| segment.len())
        .unwrap();
    let absent = upload
        .url
        .replace(unique, &unique.chars().rev().collect::<String>());
    let error = server
        .download(&absent, 10, &mut VecSink::new(10))
        .unwrap_err();
    assert_eq!(
        error.kind(),
        FileServerErrorKind::NotFound,
        "{absent}: {error}"
    );
    assert!(!error.is_transient());
}

fn uploads_nothing_when_the_body_fails(server: &mut dyn FileServer) {
    for fails in [true, false] {
        let mut body = Failing::after_five(fails);
        let error = server.upload("failing", &mut body).unwrap_err();
        assert_eq!(error.kind(), FileServerErrorKind::Local, "{error:?}");
        assert!(!error.is_transient());
    }
}

fn deletes_uploads(server: &mut dyn FileServer) {
    let upload = server.upload("gone", &mut SliceBody::new(b"x")).unwrap();
    server.delete(&upload).unwrap();
    let error = server
        .download(&upload.url, 10, &mut VecSink::new(10))
        .unwrap_err();
    assert_eq!(error.kind(), FileServerErrorKind::NotFound);
    let strange = Upload::new(upload.url);
    let _may_fail = server.delete(&strange);
}

/// What an [`HttpClient`] promises and a file server does not show. `base_url` is a server that
/// stores what is PUT below it.
pub fn http_client(client: &mut dyn HttpClient, base_url: &str) {
    tells_what_the_answer_was(client, base_url);
    tells_that_nobody_is_there(client);
    tells_that_a_url_is_none(client);
}

fn request(method: Method, url: &str) -> HttpRequest<'_> {
    HttpRequest {
        timeout: LONG,
        limit: 1000,
        ..HttpRequest::new(method, url)
    }
}

fn tells_what_the_answer_was(client: &mut dyn HttpClient, base_url: &str) {
    let url = format!("{base_url}/http-client");
    let mut sink = VecSink::new(1000);
    let put = request(Method::Put, &url);
    let response = client
        .execute(&put, &mut SliceBody::new(b"abc"), &mut sink)
        .unwrap();
    assert!((200..300).contains(&response.status), "{response:?}");
    let mut sink = VecSink::new(1000);
    let nothing = &mut SliceBody::new(b"");
    let response = client
        .execute(&request(Method::Get, &url), nothing, &mut sink)
        .unwrap();
    assert_eq!((response.status, response.body_len), (200, 3));
    assert_eq!(sink.into_bytes(), b"abc");
    let absent = format!("{url}-absent");
    let mut sink = VecSink::new(0);
    let response = client
        .execute(&request(Method::Get, &absent), nothing, &mut sink)
        .unwrap();
    assert_eq!((response.status, response.body_len), (404, 0));
    assert!(!response.reason.is_empty());
    let mut full = FullSink;
    let error = client
        .execute(&request(Method::Get, &url), nothing, &mut full)
        .unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Local);
    let response = client
        .execute(&request(Method::Delete, &url), nothing, &mut sink)
        .unwrap();
    assert!((200..300).contains(&response.status), "{response:?}");
}

/// Takes nothing.
struct FullSink;

impl Sink for FullSink {
    fn write(&mut self, _: &[u8]) -> Result<(), StreamError> {
        Err(StreamError::TooLarge { limit: 0 })
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

fn tells_that_nobody_is_there(client: &mut dyn HttpClient) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    drop(listener);
    let nothing = &mut SliceBody::new(b"");
    let error = client
        .execute(&request(Method::Get, &url), nothing, &mut VecSink::new(10))
        .unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Unreachable, "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
}

fn tells_that_a_url_is_none(client: &mut dyn HttpClient) {
    for url in ["", "http://", "http://a b/", "ftp://127.0.0.1/x"] {
        let nothing = &mut SliceBody::new(b"");
        let error = client
            .execute(&request(Method::Get, url), nothing, &mut VecSink::new(10))
            .unwrap_err();
        assert_eq!(
            error.kind(),
            HttpErrorKind::InvalidRequest,
            "{url:?}: {error:?}"
        );
    }
}
