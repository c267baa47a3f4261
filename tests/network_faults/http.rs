//! Downloads and uploads with file servers that do not do their part.
//!
//! Each row of the tables below says what a server does, what comes of it, and how often it was
//! asked. The README has them in words.

use std::cell::RefCell;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use natsbridge::host::{StdPlatform, UreqClient};
use natsbridge::memory::MemoryBroker;
use natsbridge::{
    Error, FileServer, HttpPut, Limits, NatsBridge, Payload, Platform, PlatformError, Plik,
    ReceiveOptions, SendOptions,
};

use crate::common::contract::bytes;
use crate::common::plik_stand_in::PlikStandIn;
use crate::common::proxy::{Direction, Event, Fault, Faults, Proxy};
use crate::common::web_server::WebServer;
use crate::scripted_http::{Exchange, ScriptedHttp, answer};
use crate::within;

/// How long an exchange may take in these tests.
const TIMEOUT: Duration = Duration::from_millis(1000);
/// What a send or receive may take: three attempts, and a clean-up after each of them. The pauses
/// between are not made.
const BOUND: Duration = Duration::from_millis(6 * 1000);
/// So fast that its bytes give an exchange no more time.
const MIN_RATE: u64 = u64::MAX;
const FILE: &str = "ten bytes.";

/// Notes pauses instead of making them.
#[derive(Default)]
struct Impatient {
    pauses: RefCell<Vec<Duration>>,
}

impl Platform for Impatient {
    fn unix_millis(&self) -> u64 {
        StdPlatform.unix_millis()
    }
    fn uptime_millis(&self) -> u64 {
        StdPlatform.uptime_millis()
    }
    fn wait(&self, duration: Duration) {
        self.pauses.borrow_mut().push(duration);
    }
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        StdPlatform.random(out)
    }
}

fn put<'p>(url: &str, platform: &'p Impatient) -> HttpPut<UreqClient, &'p Impatient> {
    let put = HttpPut::new(UreqClient::new(), platform, url).unwrap();
    put.timeout(TIMEOUT).min_rate(MIN_RATE)
}

fn plik<'p>(url: &str, platform: &'p Impatient) -> Plik<UreqClient, &'p Impatient> {
    let plik = Plik::new(UreqClient::new(), platform, url).unwrap();
    plik.timeout(TIMEOUT).min_rate(MIN_RATE)
}

/// A message with a link; `size` is a field of it, or nothing.
fn link(url: &str, size: &str) -> String {
    format!(
        r#"{{"correlation_id":"c","payloads":[{{"dataname":"d","payload_type":"text",
            "transport":"link","data":"{url}/f"{size}}}]}}"#
    )
}

fn receive(files: impl FileServer, platform: &Impatient, message: &str) -> Result<String, Error> {
    let limits = Limits::default().max_download_size(1_000_000);
    let mut bridge = NatsBridge::new(MemoryBroker::new(), files, platform).with_limits(limits);
    let received = bridge.smartreceive(message, &ReceiveOptions::default())?;
    Ok(received.payloads[0]
        .1
        .as_text()
        .unwrap_or_default()
        .to_string())
}

/// Sends one payload by link; the message itself goes nowhere.
fn send(files: impl FileServer, platform: &Impatient, len: usize) -> Result<String, Error> {
    let mut bridge = NatsBridge::new(MemoryBroker::new(), files, platform);
    let payloads = [("d", Payload::binary(bytes(len)))];
    let options = SendOptions::default().size_threshold(0);
    Ok(bridge.smartsend("s", &payloads, &options)?.json())
}

fn outcome<T>(result: &Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".to_string(),
        Err(error) => error.kind().to_string(),
    }
}

/// What a server does, the outcome, and the attempts made.
type Row = (&'static str, fn(&mut Exchange), &'static str, usize);

const STATUSES: &[Row] = &[
    (
        "500 twice",
        |to| to.answer(failing(to, 2, "500 No")),
        "ok",
        3,
    ),
    (
        "500",
        |to| to.answer(status("500 No")),
        "file_server_server_fault",
        3,
    ),
    (
        "408 once",
        |to| to.answer(failing(to, 1, "408 No")),
        "ok",
        2,
    ),
    (
        "425 once",
        |to| to.answer(failing(to, 1, "425 No")),
        "ok",
        2,
    ),
    (
        "429 once",
        |to| to.answer(failing(to, 1, "429 No")),
        "ok",
        2,
    ),
    (
        "503 once",
        |to| to.answer(failing(to, 1, "503 No")),
        "ok",
        2,
    ),
    (
        "400",
        |to| to.answer(status("400 No")),
        "file_server_refused",
        1,
    ),
    (
        "401",
        |to| to.answer(status("401 No")),
        "file_server_unauthorized",
        1,
    ),
    (
        "403",
        |to| to.answer(status("403 No")),
        "file_server_unauthorized",
        1,
    ),
    (
        "404",
        |to| to.answer(status("404 No")),
        "file_server_not_found",
        1,
    ),
    (
        "410",
        |to| to.answer(status("410 No")),
        "file_server_not_found",
        1,
    ),
    (
        "a partial answer",
        |to| to.answer(answer("206 Part", "", FILE)),
        "file_server_refused",
        1,
    ),
];

/// What can happen to uploads and downloads alike.
const CONNECTIONS: &[Row] = &[
    ("closed at once", |_| (), "file_server_disconnected", 3),
    (
        "reset at once",
        |to| to.reset(),
        "file_server_disconnected",
        3,
    ),
    (
        "half-closed",
        |to| to.half_close(),
        "file_server_disconnected",
        3,
    ),
    (
        "half a head",
        |to| to.answer("HTTP/1.1 200 OK\r\nContent-"),
        "file_server_disconnected",
        3,
    ),
    ("silence", |to| to.wait_for_end(), "file_server_timeout", 3),
    ("one byte after the other", drip, "file_server_timeout", 3),
    (
        "garbage",
        |to| to.answer([0xfe; 100]),
        "file_server_invalid_answer",
        1,
    ),
    (
        "another protocol",
        |to| to.answer("220 ESMTP\r\n\r\n"),
        "file_server_invalid_answer",
        1,
    ),
    (
        "a head without end",
        endless_head,
        "file_server_invalid_answer",
        1,
    ),
];

const DOWNLOADS: &[Row] = &[
    (
        "a body cut short",
        |to| to.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nten"),
        "file_server_disconnected",
        3,
    ),
    (
        "a cut chunk",
        |to| to.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten"),
        "file_server_disconnected",
        3,
    ),
    (
        "chunks without an end",
        |to| to.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n"),
        "file_server_disconnected",
        3,
    ),
    (
        "a wrong chunk",
        |to| to.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nten"),
        "file_server_invalid_answer",
        1,
    ),
    (
        "a file that is longer than said",
        |to| to.answer(answer("200 OK", "", "eleven byte")),
        "invalid_message",
        1,
    ),
    (
        "a file that is shorter than said",
        |to| to.answer(answer("200 OK", "", "nine byte")),
        "invalid_message",
        1,
    ),
    ("a body without end", endless_body, "invalid_message", 1),
    (
        "a length that is none",
        |to| to.answer("HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\nten bytes."),
        "file_server_invalid_answer",
        1,
    ),
];

const UPLOADS: &[Row] = &[
    (
        "reset within the body",
        reset_within_the_body,
        "file_server_disconnected",
        3,
    ),
    // The first write ends with a part of its bytes when the time is over, the second one with none.
    (
        "a body that is not read",
        |_| thread::sleep(5 * TIMEOUT),
        "file_server_timeout",
        3,
    ),
    (
        "an answer without end",
        endless_body,
        "file_server_too_large",
        1,
    ),
    (
        "refused before the body, which is read",
        |to| {
            to.write(status("403 No"));
            to.read_body();
        },
        "file_server_unauthorized",
        1,
    ),
    // ureq writes all of the body before it reads an answer.
    (
        "refused before the body, and closed",
        |to| {
            to.write(status("403 No"));
        },
        "file_server_disconnected",
        3,
    ),
];

const PLIK_UPLOADS: &[Row] = &[
    (
        "an answer of another kind",
        |to| to.answer(answer("200 OK", "", "{}")),
        "file_server_invalid_answer",
        1,
    ),
    (
        "an answer without end",
        endless_body,
        "file_server_too_large",
        1,
    ),
];

fn status(status: &str) -> String {
    answer(status, "", "")
}

/// This status for so many requests, and then success.
fn failing(to: &Exchange, times: usize, failure: &str) -> String {
    match to.before {
        before if before < times => status(failure),
        _ => answer("200 OK", "", FILE),
    }
}

fn drip(to: &mut Exchange) {
    to.read_body();
    for byte in answer("200 OK", "", FILE).bytes() {
        if !to.write([byte]) {
            break;
        }
        thread::sleep(TIMEOUT / 20);
    }
}

fn endless_head(to: &mut Exchange) {
    to.answer("HTTP/1.1 200 OK\r\n");
    while to.write("X-Again: and again\r\n") {}
}

fn endless_body(to: &mut Exchange) {
    to.answer("HTTP/1.1 200 OK\r\n\r\n");
    while to.write([b'x'; 1000]) {}
}

fn reset_within_the_body(to: &mut Exchange) {
    to.read_bytes(10_000);
    to.reset();
}

/// All rows at once: they wait more than they work.
fn for_each(rows: &[Row], check: impl Fn(&Row) + Sync) {
    thread::scope(|threads| {
        for row in rows {
            threads.spawn(|| check(row));
        }
    });
}

#[test]
fn downloads() {
    for_each(&[STATUSES, CONNECTIONS, DOWNLOADS].concat(), |row| {
        let (what, behave, expected, attempts) = *row;
        for with_plik in [false, true] {
            let server = ScriptedHttp::start(behave);
            let (url, platform) = (server.url(), Impatient::default());
            let files: Box<dyn FileServer> = match with_plik {
                true => Box::new(plik(&url, &platform)),
                false => Box::new(put(&url, &platform)),
            };
            let message = link(&url, r#","size":10"#);
            let received = within(BOUND, || receive(files, &platform, &message));
            assert_eq!(outcome(&received), expected, "{what}: {received:?}");
            assert_eq!(server.count("GET"), attempts, "{what}");
            assert_eq!(platform.pauses.borrow().len(), attempts - 1, "{what}");
        }
    });
}

#[test]
fn uploads() {
    for_each(&[STATUSES, CONNECTIONS, UPLOADS].concat(), |row| {
        let (what, behave, expected, attempts) = *row;
        let server = ScriptedHttp::start(move |to| match to.head.starts_with("DELETE") {
            true => to.answer(status("204 Gone")),
            false => behave(to),
        });
        let platform = Impatient::default();
        // More than all buffers between take.
        let len = if UPLOADS.iter().any(|row| row.0 == what) {
            20_000_000
        } else {
            100_000
        };
        let sent = within(BOUND, || {
            send(put(&server.url(), &platform), &platform, len)
        });
        assert_eq!(outcome(&sent), expected, "{what}: {sent:?}");
        assert_eq!(server.count("PUT"), attempts, "{what}");
        assert_eq!(platform.pauses.borrow().len(), attempts - 1, "{what}");
    });
}

/// An upload to Plik begins with a request of its own.
#[test]
fn uploads_to_plik() {
    let failing = STATUSES.iter().filter(|row| row.2 != "ok");
    let rows: Vec<Row> = failing
        .chain(CONNECTIONS)
        .chain(PLIK_UPLOADS)
        .copied()
        .collect();
    for_each(&rows, |(what, behave, expected, attempts)| {
        let server = ScriptedHttp::start(*behave);
        let platform = Impatient::default();
        let sent = within(BOUND, || {
            send(plik(&server.url(), &platform), &platform, 100_000)
        });
        assert_eq!(outcome(&sent), *expected, "{what}: {sent:?}");
        assert_eq!(server.count("POST"), *attempts, "{what}");
    });
}

#[test]
fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let platform = Impatient::default();
    let received = receive(put(&url, &platform), &platform, &link(&url, ""));
    let sent = send(put(&url, &platform), &platform, 100_000);
    for (result, pauses) in [(received, 2), (sent, 4)] {
        assert_eq!(outcome(&result), "file_server_unreachable", "{result:?}");
        assert!(matches!(result, Err(Error::FileServer { attempts: 3, .. })));
        assert!(platform.pauses.borrow().len() >= pauses);
    }
}

/// Without a `size` it is the receiver's own limit that ends it.
#[test]
fn a_body_without_end_and_without_size() {
    let server = ScriptedHttp::start(endless_body);
    let (url, platform) = (server.url(), Impatient::default());
    let received = within(BOUND, || {
        receive(put(&url, &platform), &platform, &link(&url, ""))
    });
    assert_eq!(outcome(&received), "file_server_too_large", "{received:?}");
    assert_eq!(server.count("GET"), 1);
}

/// What the server asks for counts, if it is not too long; or else the pauses double, of which a
/// random half is left out.
#[test]
fn retry_after() {
    let seconds = Duration::from_secs;
    let base = Duration::from_millis(100);
    for (header, pause, attempts) in [
        ("", base / 2..=base, 2),
        ("Retry-After: 0\r\n", base / 2..=base, 2),
        ("Retry-After: 7\r\n", seconds(7)..=seconds(7), 2),
        ("Retry-After: 30\r\n", seconds(30)..=seconds(30), 2),
        ("Retry-After: 31\r\n", seconds(0)..=seconds(0), 1),
        (
            "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n",
            base / 2..=base,
            2,
        ),
        ("Retry-After: -1\r\n", base / 2..=base, 2),
    ] {
        let server = ScriptedHttp::start(move |to| match to.before {
            0 => to.answer(answer("429 Later", header, "")),
            _ => to.answer(answer("200 OK", "", FILE)),
        });
        let (url, platform) = (server.url(), Impatient::default());
        let received = receive(put(&url, &platform), &platform, &link(&url, ""));
        assert_eq!(received.is_ok(), attempts == 2, "{header:?}: {received:?}");
        assert_eq!(server.count("GET"), attempts, "{header:?}");
        let pauses = platform.pauses.borrow();
        assert!(
            pauses.iter().all(|made| pause.contains(made)),
            "{header:?}: {pauses:?}"
        );
    }
}

/// Redirects are not followed, wherever they point.
#[test]
fn redirects() {
    let elsewhere = ScriptedHttp::start(|to| to.answer(answer("200 OK", "", FILE)));
    let other_origin = format!("Location: {}/f\r\n", elsewhere.url());
    for redirect in [
        other_origin.as_str(),
        "Location: /f\r\n",
        "Location: //127.1/f\r\n",
        "",
    ] {
        for code in [
            "301 Moved",
            "302 Found",
            "303 Other",
            "307 Moved",
            "308 Moved",
        ] {
            let location = redirect.to_string();
            let server = ScriptedHttp::start(move |to| to.answer(answer(code, &location, "moved")));
            let (url, platform) = (server.url(), Impatient::default());
            for result in [
                receive(put(&url, &platform), &platform, &link(&url, "")),
                receive(plik(&url, &platform), &platform, &link(&url, "")),
                send(put(&url, &platform), &platform, 100_000),
                send(plik(&url, &platform), &platform, 100_000),
            ] {
                assert_eq!(outcome(&result), "file_server_refused", "{result:?}");
            }
            let requests = ["GET", "PUT", "POST"].map(|method| server.count(method));
            assert_eq!(requests, [2, 1, 1], "each asked once");
        }
    }
    assert_eq!(elsewhere.count("GET"), 0);
}

/// A connection that breaks anywhere is one more attempt, and no more: real servers, 50,000 bytes up
/// and down again.
#[test]
fn cut_on_the_way_to_real_servers() {
    let (web, stand_in) = (WebServer::start(), PlikStandIn::start());
    let port = |url: String| url.rsplit_once(':').unwrap().1.parse().unwrap();
    let (web_port, plik_port) = (port(web.url()), port(stand_in.url()));
    let exchange = |files: &mut dyn FileServer, platform: &Impatient| {
        let message = send(&mut *files, platform, 50_000).unwrap();
        let mut bridge = NatsBridge::new(MemoryBroker::new(), files, platform);
        let options = ReceiveOptions::default();
        let received = bridge.smartreceive(message.as_str(), &options).unwrap();
        assert!(received.payloads[0].1 == Payload::binary(bytes(50_000)));
    };
    for after in (0..52_000).step_by(4001) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            for event in [Event::Reset, Event::Close, Event::HalfClose] {
                let faults = Faults::only(direction, Fault::After(after, event));
                let platform = Impatient::default();
                let proxy = Proxy::start(web_port, faults);
                let url = format!("http://{}", proxy.address());
                exchange(&mut put(&url, &platform), &platform);
                let proxy = Proxy::start(plik_port, faults);
                let url = format!("http://{}", proxy.address());
                exchange(&mut plik(&url, &platform), &platform);
                assert!(platform.pauses.borrow().len() <= 2, "one for each server");
            }
        }
    }
}
