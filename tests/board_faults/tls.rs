//! When TLS is started, by which name, and what is sent before: nothing.

use std::time::Duration;

use natsbridge::BrokerErrorKind as Kind;
use natsbridge::adapter::{
    Broker as _, HttpClient as _, HttpErrorKind, HttpRequest, Method, Outgoing, SliceBody, VecSink,
};
use natsbridge::board::{Nal, NatsOptions, TransportHttpClient, TransportNatsClient};
use natsbridge::net::TransportErrorKind as Fault;

use crate::common::bytes;
use crate::common::faulty_stack::{Clock, Cut, Dialect, Faults, FaultyStack};
use crate::fake_http::FakeHttp;
use crate::fake_tls::{FakeTls, Log};
use crate::nats::{Stack, URL, WAIT, options, world};

const LONG: Duration = Duration::from_secs(600);
const DEMANDS: &str = "{\"tls_required\":true}";
const OFFERS: &str = "{\"tls_available\":true}";

type Tls = FakeTls<Nal<Stack, Clock>>;
type Client = TransportNatsClient<Tls, Clock>;

fn tls((clock, stack): &(Clock, Stack)) -> Tls {
    FakeTls::new(Nal::new(stack.clone(), clock.clone()))
}

fn client(world: &(Clock, Stack), tls: Tls, options: NatsOptions) -> (Log, Client) {
    let log = Log::clone(&tls.log);
    let client = TransportNatsClient::over(tls, world.0.clone(), options);
    (log, client)
}

/// Connects to a server that sends this INFO: what was asked of the transport, and how it ended.
fn connect(
    info: &str,
    options: NatsOptions,
    failure: Option<Fault>,
) -> (Vec<String>, Option<Kind>) {
    let world = world(Dialect::Std);
    world.1.peer(|peer| peer.info = info.to_string());
    let mut tls = tls(&world);
    tls.failure = failure;
    let (log, mut client) = client(&world, tls, options);
    let connected = world.0.within(WAIT, || client.connect());
    if connected.is_err() {
        assert_eq!(world.1.free(), 2, "the connection is closed");
        assert!(
            world.1.peer(|peer| peer.lines.is_empty()),
            "nothing is sent"
        );
    }
    let log = log.borrow().clone();
    (log, connected.err().map(|error| error.kind()))
}

#[test]
fn nats_starts_tls_behind_info_where_the_url_or_the_server_asks_for_it() {
    let url = |url: &str| NatsOptions::new(url).connect_timeout(WAIT);
    let required = options().tls_required(true);
    for (info, options, name) in [
        ("{}", options(), None),
        (OFFERS, options(), None),
        (DEMANDS, options(), Some("10.0.0.1")),
        (OFFERS, required.clone(), Some("10.0.0.1")),
        (OFFERS, url("tls://10.0.0.1"), Some("10.0.0.1")),
        (DEMANDS, url("tls://[fe80::1]:4222"), Some("fe80::1")),
    ] {
        let (log, error) = connect(info, options, None);
        assert_eq!(error, None, "{info}");
        let tls = log.iter().position(|line| line.starts_with("tls "));
        assert_eq!(tls.is_some(), name.is_some(), "{info}: {log:?}");
        if let Some(name) = name {
            assert_eq!(log[1], format!("tls {name}"), "{log:?}");
        }
        let send = log.iter().find(|line| line.starts_with("send"));
        assert_eq!(send.unwrap(), "send CONNECT");
    }
}

#[test]
fn nats_tells_the_server_whether_the_connection_is_encrypted() {
    for (info, is_encrypted) in [("{}", false), (DEMANDS, true)] {
        let world = world(Dialect::Std);
        world.1.peer(|peer| peer.info = info.to_string());
        let (_, mut client) = client(&world, tls(&world), options());
        client.connect().unwrap();
        let connect = world.1.peer(|peer| peer.lines[0].clone());
        let expected = format!("\"tls_required\":{is_encrypted}");
        assert!(connect.contains(&expected), "{connect}");
    }
}

#[test]
fn nats_may_start_tls_before_anything_is_read() {
    let first = || options().tls_first(true);
    let (log, error) = connect(DEMANDS, first(), None);
    assert_eq!(error, None);
    assert_eq!(log[..2], ["open 10.0.0.1:4222", "tls 10.0.0.1"]);
    // Once only, though the INFO demands it.
    assert_eq!(log.iter().filter(|line| line.starts_with("tls")).count(), 1);
}

/// Whoever is between client and server can take TLS out of INFO.
#[test]
fn nats_sends_nothing_to_a_server_without_tls_where_it_is_required() {
    let required = options().user_password("me", "secret").tls_required(true);
    let by_url = NatsOptions::new("tls://me:secret@10.0.0.1").connect_timeout(WAIT);
    for options in [required, by_url] {
        let (log, error) = connect("{}", options, None);
        assert_eq!(error, Some(Kind::InvalidOption));
        assert_eq!(log, ["open 10.0.0.1:4222"]);
    }
}

#[test]
fn nats_accepts_nothing_between_info_and_tls() {
    let world = world(Dialect::Std);
    world.1.peer(|peer| {
        peer.info = DEMANDS.to_string();
        peer.greeting = b"PONG\r\n".to_vec();
    });
    let (log, mut client) = client(&world, tls(&world), options());
    assert_eq!(client.connect().unwrap_err().kind(), Kind::Protocol);
    assert_eq!(*log.borrow(), ["open 10.0.0.1:4222"]);
}

#[test]
fn nats_sends_nothing_after_a_handshake_that_failed() {
    for (fault, kind) in [
        (Fault::Unsupported, Kind::InvalidOption),
        (Fault::Certificate, Kind::Unauthorized),
        (Fault::Timeout, Kind::Unreachable),
        (Fault::Closed, Kind::Unreachable),
        (Fault::Failed, Kind::Unreachable),
    ] {
        for options in [options(), options().tls_first(true)] {
            let (log, error) = connect(DEMANDS, options, Some(fault));
            assert_eq!(error, Some(kind), "{fault:?}");
            assert_eq!(log, ["open 10.0.0.1:4222", "tls 10.0.0.1"]);
        }
    }
}

/// A record of TLS is in the transport's buffer when the stack has room for a part of it.
#[test]
fn what_a_transport_still_holds_is_flushed_before_a_publish_returns() {
    let world = world(Dialect::Std);
    world.1.set(Faults {
        stalls: 2,
        ..Faults::default()
    });
    let mut tls = tls(&world);
    tls.buffer = 300;
    let slow = NatsOptions::new(URL).connect_timeout(LONG).timeout(LONG);
    let (_, mut client) = client(&world, tls, slow);
    for len in [0, 1, 299, 300, 301, 5000] {
        let body = bytes(len);
        let published = client.publish(&Outgoing::new("a"), &mut SliceBody::new(&body));
        published.unwrap();
        assert!(
            world.1.peer(|peer| peer.published.last() == Some(&body)),
            "{len}"
        );
    }
    world.1.cut(Cut::Silence);
    let error = world.0.within(LONG, || {
        client.publish(&Outgoing::new("a"), &mut SliceBody::new(b"x"))
    });
    assert_eq!(error.unwrap_err().kind(), Kind::Timeout);
}

#[test]
fn http_starts_tls_for_https_alone_and_by_the_host_of_the_url() {
    for (url, expected) in [
        (
            "http://10.0.0.1/a",
            ["open 10.0.0.1:80", "send PUT"].as_slice(),
        ),
        (
            "https://10.0.0.1/a",
            &["open 10.0.0.1:443", "tls 10.0.0.1", "send PUT"],
        ),
        (
            "https://[fe80::1]:8443/a",
            &["open [fe80::1]:8443", "tls fe80::1", "send PUT"],
        ),
    ] {
        let (log, error) = put(url, None);
        assert_eq!(error, None, "{url}");
        assert_eq!(log, expected);
    }
}

#[test]
fn http_sends_nothing_after_a_handshake_that_failed() {
    for (fault, kind) in [
        (Fault::Unsupported, HttpErrorKind::InvalidRequest),
        (Fault::Certificate, HttpErrorKind::Certificate),
        (Fault::Timeout, HttpErrorKind::Timeout),
        (Fault::Failed, HttpErrorKind::Unreachable),
    ] {
        let (log, error) = put("https://10.0.0.1/a", Some(fault));
        assert_eq!(error, Some(kind));
        assert_eq!(log, ["open 10.0.0.1:443", "tls 10.0.0.1"], "{fault:?}");
    }
}

fn put(url: &str, failure: Option<Fault>) -> (Vec<String>, Option<HttpErrorKind>) {
    let clock = Clock::default();
    let peer = FakeHttp::answering("HTTP/1.1 201 Created\r\n\r\n");
    let stack = FaultyStack::new(Dialect::Std, &clock, peer);
    let mut tls = FakeTls::new(Nal::new(stack.clone(), clock.clone()));
    tls.failure = failure;
    let log = Log::clone(&tls.log);
    let mut client = TransportHttpClient::over(tls, clock);
    let request = HttpRequest::new(Method::Put, url);
    let response = client.execute(&request, &mut SliceBody::new(b""), &mut VecSink::new(9));
    assert_eq!(stack.free(), 2);
    let log = log.borrow().clone();
    (log, response.err().map(|error| error.kind()))
}
