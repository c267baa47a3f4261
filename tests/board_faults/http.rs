//! `board::HttpClient` when the server or the network does not do its part.

use std::time::Duration;

use natsbridge::adapter::{
    Body, HttpClient as _, HttpError, HttpErrorKind as Kind, HttpRequest, HttpResponse, Method,
    Sink, SliceBody, StreamError, VecSink,
};
use natsbridge::board::HttpClient;

use crate::common::bytes;
use crate::common::faulty_stack::{
    CUTS, Clock, Connect, Cut, DIALECTS, Dialect, Faults, FaultyStack,
};
use crate::fake_http::FakeHttp;

type Stack = FaultyStack<FakeHttp>;

const URL: &str = "http://10.0.0.1:8080/a?b#c";
/// As errors show it: what stands behind the `?` may be a secret.
const SHOWN_URL: &str = "http://10.0.0.1:8080/a?...";
const WAIT: Duration = Duration::from_millis(200);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
const CREATED: &str = "HTTP/1.1 201 Created\r\n\r\n";
const TOO_LARGE: &str = "HTTP/1.1 413 No\r\nContent-Length: 8\r\n\r\ntoo long";

fn world(dialect: Dialect, answer: &str) -> (Clock, Stack) {
    let clock = Clock::default();
    let stack = FaultyStack::new(dialect, &clock, FakeHttp::answering(answer));
    (clock, stack)
}

/// A PUT that ends in time and gives its socket back: the response, and what came into the sink.
fn execute(
    world: &(Clock, Stack),
    url: &str,
    body: &[u8],
) -> Result<(HttpResponse, Vec<u8>), HttpError> {
    execute_method(world, Method::Put, url, body)
}

fn execute_method(
    (clock, stack): &(Clock, Stack),
    method: Method,
    url: &str,
    body: &[u8],
) -> Result<(HttpResponse, Vec<u8>), HttpError> {
    let mut client = HttpClient::new(stack.clone(), clock.clone()).with_dns();
    let request = HttpRequest {
        headers: &[("X-Test", "1")],
        timeout: WAIT,
        limit: 10,
        ..HttpRequest::new(method, url)
    };
    let mut sink = VecSink::new(100);
    let mut body = SliceBody::new(body);
    let response = clock.within(WAIT, || client.execute(&request, &mut body, &mut sink));
    assert_eq!(stack.free(), 2, "{response:?}");
    Ok((response?, sink.into_bytes()))
}

fn kind(result: Result<(HttpResponse, Vec<u8>), HttpError>) -> Kind {
    result.expect_err("this fails").kind()
}

#[test]
fn short_writes_and_reads_change_nothing() {
    for dialect in DIALECTS {
        for answer in [OK, CHUNKED] {
            for (max_send, max_receive, stalls) in [(1, 1, 0), (7, 3, 1), (513, 511, 2)] {
                let world = world(dialect, answer);
                world.1.set(Faults {
                    connect: Connect::After(3),
                    max_send,
                    max_receive,
                    stalls,
                    ..Faults::default()
                });
                let (response, body) = execute(&world, URL, &bytes(1000)).unwrap();
                assert_eq!((response.status, response.body_len), (200, 5));
                assert_eq!(body, b"hello");
                world.1.peer(|peer| assert!(peer.body() == bytes(1000)));
            }
        }
    }
}

#[test]
fn the_head_is_as_it_should_be() {
    let world = world(Dialect::Std, OK);
    execute(&world, URL, b"").unwrap();
    let head = "PUT /a?b HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nContent-Length: 0\r\n\
                Connection: close\r\nX-Test: 1\r\n\r\n";
    world.1.peer(|peer| {
        assert_eq!(
            peer.request.escape_ascii().to_string(),
            head.escape_default().to_string()
        )
    });
}

#[test]
fn failing_connects_give_their_sockets_back() {
    for dialect in DIALECTS {
        let world = world(dialect, OK);
        for attempt in 0..10_000 {
            let connect = [Connect::Refused, Connect::Never][attempt % 2];
            world.1.set(Faults {
                connect,
                ..Faults::default()
            });
            let expected = match (dialect, connect) {
                (Dialect::Std, Connect::Refused) => Kind::Unreachable,
                _ => Kind::Timeout,
            };
            assert_eq!(kind(execute(&world, URL, b"")), expected);
        }
        world.1.set(Faults::default());
        execute(&world, URL, b"").unwrap();
    }
}

#[test]
fn one_byte_a_second_holds_nobody_up() {
    for dialect in DIALECTS {
        let world = world(dialect, OK);
        world.1.set(Faults {
            trickle: Duration::from_secs(1),
            ..Faults::default()
        });
        assert_eq!(kind(execute(&world, URL, b"x")), Kind::Timeout);
    }
}

/// Issue 10, point 9: an exchange that may take an hour ends early where nothing moves.
#[test]
fn an_exchange_in_which_nothing_moves_ends_early() {
    let idle_timeout = Duration::from_millis(700);
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    let hole = Faults {
        cut: Some(Cut::Silence),
        cut_after_sent: 5_000,
        ..Faults::default()
    };
    for dialect in DIALECTS {
        for (answer, faults) in [
            ("", Faults::default()),
            (half, Faults::default()),
            (OK, hole.clone()),
        ] {
            let (clock, stack) = world(dialect, answer);
            stack.set(faults);
            let mut client = HttpClient::new(stack.clone(), clock.clone());
            let request = HttpRequest {
                timeout: Duration::from_secs(3600),
                idle_timeout,
                limit: 10,
                ..HttpRequest::new(Method::Put, URL)
            };
            let (body, mut sink) = (bytes(10_000), VecSink::new(10));
            let mut body = SliceBody::new(&body);
            let done = clock.within(idle_timeout, || {
                client.execute(&request, &mut body, &mut sink)
            });
            assert_eq!(done.unwrap_err().kind(), Kind::Timeout, "{answer:?}");
        }
    }
}

/// Issue 10, point 9: what moves slowly has the whole time.
#[test]
fn a_slow_exchange_is_not_an_idle_one() {
    for dialect in DIALECTS {
        let (clock, stack) = world(dialect, OK);
        stack.set(Faults {
            trickle: Duration::from_millis(600),
            ..Faults::default()
        });
        let mut client = HttpClient::new(stack.clone(), clock.clone());
        let request = HttpRequest {
            timeout: Duration::from_secs(3600),
            idle_timeout: Duration::from_millis(700),
            limit: 10,
            ..HttpRequest::new(Method::Get, URL)
        };
        let mut sink = VecSink::new(10);
        let response = client.execute(&request, &mut SliceBody::new(b""), &mut sink);
        assert_eq!(response.unwrap().body_len, 5);
    }
}

/// Whether an exchange on a connection with `faults` comes to nothing.
fn fails(dialect: Dialect, answer: &str, faults: Faults) -> bool {
    let world = world(dialect, answer);
    world.1.set(faults);
    match execute(&world, URL, &bytes(700)) {
        Ok((response, body)) => {
            assert_eq!((response.status, body.as_slice()), (200, &b"hello"[..]));
            world.1.peer(|peer| assert!(peer.body() == bytes(700)));
            false
        }
        Err(error) => {
            let kinds = [Kind::Timeout, Kind::Disconnected];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            assert!(error.to_string().contains(SHOWN_URL), "{error}");
            true
        }
    }
}

#[test]
fn a_cut_behind_any_byte_is_an_error() {
    for (dialect, how) in DIALECTS.iter().flat_map(|d| CUTS.map(|cut| (*d, cut))) {
        let cut = Some(how);
        for answer in [OK, CHUNKED] {
            let fails_after = |cut_after_received: &usize| {
                let faults = Faults {
                    cut,
                    cut_after_received: *cut_after_received,
                    max_receive: 5,
                    ..Faults::default()
                };
                fails(dialect, answer, faults)
            };
            assert_eq!((0..).find(|after| !fails_after(after)), Some(answer.len()));
        }
        let fails_after = |cut_after_sent: &usize| {
            let faults = Faults {
                cut,
                cut_after_sent: *cut_after_sent,
                ..Faults::default()
            };
            fails(dialect, OK, faults)
        };
        let whole = (0..).find(|after| !fails_after(after)).unwrap_or_default();
        assert!(whole > 700, "the request has {whole} bytes");
    }
}

#[test]
fn a_download_that_ends_early_is_noticed_at_once() {
    let truncated = |framing| format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n3\r\nhel");
    for dialect in DIALECTS {
        for answer in ["Content-Length: 7", "Transfer-Encoding: chunked"].map(truncated) {
            let world = world(dialect, &answer);
            world.1.set(Faults {
                cut: Some(Cut::Close),
                cut_after_received: answer.len(),
                // The stack has been silent once.
                stalls: 1,
                ..Faults::default()
            });
            let ended = world
                .0
                .within(Duration::from_millis(20), || execute(&world, URL, b"x"));
            assert_eq!(kind(ended), Kind::Disconnected, "{dialect:?}");
        }
    }
}

/// A body and a sink on a slow card, and a client whose platform has a watchdog.
struct Slow(Clock, u64);

impl Body for Slow {
    fn len(&self) -> u64 {
        self.1
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        self.0.pass(Duration::from_millis(20));
        Ok(out.len())
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

impl Sink for Slow {
    fn write(&mut self, _: &[u8]) -> Result<(), StreamError> {
        self.0.pass(Duration::from_millis(20));
        Ok(())
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

#[test]
fn the_platform_waits_while_data_flows() {
    for dialect in DIALECTS {
        let len = 1_000_000;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{}",
            "x".repeat(len)
        );
        let request = HttpRequest {
            timeout: Duration::from_secs(600),
            limit: u64::MAX,
            ..HttpRequest::new(Method::Put, URL)
        };
        let (clock, stack) = world(dialect, &answer);
        let mut client = HttpClient::new(stack.clone(), clock.clone());
        let mut up = SliceBody::new(answer.as_bytes());
        let response = client.execute(&request, &mut up, &mut VecSink::new(len));
        assert_eq!(response.unwrap().body_len, len as u64);
        assert!(clock.most_moved() <= 4096 + 512, "{}", clock.most_moved());

        let (clock, stack) = world(dialect, &answer);
        let mut client = HttpClient::new(stack.clone(), clock.clone());
        let (mut up, mut down) = (Slow(clock.clone(), 100_000), Slow(clock.clone(), 0));
        client.execute(&request, &mut up, &mut down).unwrap();
        assert!(
            clock.longest_gap() <= Duration::from_millis(45),
            "{:?}",
            clock.longest_gap()
        );
    }
}

#[test]
fn an_early_answer_counts() {
    for dialect in DIALECTS {
        for (cut, late) in [
            (None, false),
            (Some(Cut::Close), false),
            (Some(Cut::Close), true),
        ] {
            let world = world(dialect, TOO_LARGE);
            world.1.peer(|peer| peer.answer_after = Some(500));
            // The answer is in the air, and the peer takes no more.
            world.1.set(Faults {
                max_send: 250,
                cut,
                cut_after_sent: 500,
                late,
                ..Faults::default()
            });
            let (response, body) = execute(&world, URL, &bytes(100_000)).unwrap();
            assert_eq!((response.status, &*response.reason), (413, "too long"));
            assert!(body.is_empty());
            assert!(world.1.peer(|peer| peer.request.len()) < 2000);
        }
    }
}

#[test]
fn answers_that_cannot_be_used_are_told() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\nhello", Kind::Protocol),
        ("nonsense\r\n\r\n", Kind::Protocol),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
            Kind::TooLarge { limit: 10 },
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n",
            Kind::TooLarge { limit: 10 },
        ),
    ] {
        let world = world(Dialect::Smoltcp, answer);
        let executed = execute_method(&world, Method::Post, URL, b"x");
        assert_eq!(kind(executed), expected, "{answer:?}");
    }
}

/// Issue 10, point 3: 20,992 of 8,000,000 bytes once counted as stored.
#[test]
fn a_success_before_the_whole_body_was_sent_is_an_error() {
    for dialect in DIALECTS {
        for answer in [OK, CHUNKED, CREATED] {
            let world = world(dialect, answer);
            world.1.peer(|peer| peer.answer_after = Some(20_000));
            let error = execute(&world, URL, &bytes(1_000_000)).unwrap_err();
            assert_eq!(error.kind(), Kind::Protocol, "{error}");
            assert!(error.to_string().contains("before all was sent"), "{error}");
            assert!(world.1.peer(|peer| peer.request.len()) < 30_000);
        }
    }
}

/// Issue 10, point 3: the file is stored, whatever the answer's body is.
#[test]
fn a_success_of_a_put_needs_no_length() {
    for dialect in DIALECTS {
        for method in [Method::Put, Method::Delete] {
            let world = world(dialect, CREATED);
            let (response, body) = execute_method(&world, method, URL, b"x").unwrap();
            assert_eq!((response.status, response.body_len), (201, 0));
            assert!(body.is_empty());
        }
        for method in [Method::Get, Method::Post] {
            let world = world(dialect, CREATED);
            let executed = execute_method(&world, method, URL, b"x");
            assert_eq!(kind(executed), Kind::Protocol);
        }
    }
}

#[test]
fn a_status_stands_whatever_becomes_of_its_reason() {
    for (answer, reason) in [
        (
            "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\nsoon",
            "soon",
        ),
        ("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\nsoon", ""),
        (
            "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nx",
            "ab",
        ),
    ] {
        let world = world(Dialect::Std, answer);
        let (response, _) = execute(&world, URL, b"x").unwrap();
        assert_eq!(response.retry_after, Some(Duration::from_secs(7)));
        assert_eq!((response.status, &*response.reason), (503, reason));
    }
    let long = format!(
        "HTTP/1.1 400 No\r\nContent-Length: 600\r\n\r\n{}",
        "x".repeat(600)
    );
    let (response, _) = execute(&world(Dialect::Std, &long), URL, b"x").unwrap();
    assert_eq!(response.reason, "x".repeat(512));
}

#[test]
fn what_cannot_be_asked_is_told() {
    let world = world(Dialect::Smoltcp, OK);
    let https = execute(&world, "https://10.0.0.1/", b"").unwrap_err();
    assert_eq!(https.kind(), Kind::InvalidRequest);
    assert!(format!("{https:?}").contains("TLS"), "{https:?}");
    assert_eq!(
        kind(execute(&world, "http://name/", b"")),
        Kind::Unreachable
    );
    world.1.set(Faults {
        dns: Some(5),
        ..Faults::default()
    });
    execute(&world, "http://name/", b"").unwrap();
    let mut client = HttpClient::new(world.1.clone(), world.0.clone());
    let request = HttpRequest {
        timeout: WAIT,
        limit: 10,
        ..HttpRequest::new(Method::Get, "http://name/")
    };
    let error = client.execute(&request, &mut SliceBody::new(b""), &mut VecSink::new(1));
    assert_eq!(error.unwrap_err().kind(), Kind::InvalidRequest);
}
