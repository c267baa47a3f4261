//! Downloads and uploads with file servers that do not do their part.
//!
//! Each row of the tables below says what a server does, the result, and how many requests reached it.
//! The guide has them in words.

use std::cell::RefCell;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use natsbridge::adapter::{
    Body, FileServer, HttpClient as _, HttpErrorKind, HttpRequest, Method, Platform, PlatformError,
    SliceBody, StreamError, VecSink,
};
use natsbridge::host::{StdPlatform, UreqClient, UreqOptions, ureq};
use natsbridge::memory::MemoryBroker;
use natsbridge::{
    Credentials, Error, FileServerErrorKind as Kind, HttpPut, Limits, LinkPolicy, NatsBridge,
    Payload, Plik, ReceiveOptions, SendOptions,
};

use crate::common::bytes;
use crate::common::plik_stand_in::PlikStandIn;
use crate::common::proxy::{Direction, Event, Fault, Faults, Proxy};
use crate::common::scripted_http::{Exchange, ScriptedHttp, answer};
use crate::common::web_server::WebServer;
use crate::within;

/// How long an exchange may take in these tests.
pub const TIMEOUT: Duration = Duration::from_millis(1000);
/// What a send or receive may take: three attempts, and a clean-up after each of them. The pauses
/// between are not made.
pub const BOUND: Duration = Duration::from_millis(6 * 1000);
/// So fast that its bytes give an exchange no more time.
pub const MIN_RATE: u64 = u64::MAX;
const FILE: &str = "ten bytes.";

/// Notes pauses instead of making them.
#[derive(Default)]
pub struct Impatient {
    pub pauses: RefCell<Vec<Duration>>,
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
pub fn link(url: &str, size: &str) -> String {
    format!(
        r#"{{"correlation_id":"c","payloads":[{{"dataname":"d","payload_type":"text",
            "transport":"link","data":"{url}/f"{size}}}]}}"#
    )
}

pub fn receive(
    files: impl FileServer,
    platform: &Impatient,
    message: &str,
) -> Result<String, Error> {
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
pub fn send(files: impl FileServer, platform: &Impatient, len: usize) -> Result<String, Error> {
    let mut bridge = NatsBridge::new(MemoryBroker::new(), files, platform);
    let payloads = [("d", Payload::binary(bytes(len)))];
    let options = SendOptions::default().size_threshold(0).keep_json(true);
    let sent = bridge.smartsend("s", &payloads, &options)?;
    Ok(sent.json().unwrap().to_string())
}

pub fn outcome<T>(result: &Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".to_string(),
        Err(error) => error.kind().to_string(),
    }
}

/// What a server does, the outcome, and the attempts made.
pub type Row = (&'static str, fn(&mut Exchange), &'static str, usize);

pub const STATUSES: &[Row] = &[
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
pub const CONNECTIONS: &[Row] = &[
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

pub const DOWNLOADS: &[Row] = &[
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

pub const UPLOADS: &[Row] = &[
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
    // It has no length, and so is not read (issue 10, point 3).
    ("an answer without end", endless_body, "ok", 1),
    (
        "an answer that is too long",
        |to| to.answer(answer("201 Created", "", &"x".repeat(65_537))),
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
    // ureq writes all of the body before it reads an answer. So the first attempt shows only that the
    // connection broke; the second one asks before it sends (issue 10, point 12).
    (
        "401 before the body, and closed",
        |to| {
            to.write(status("401 No"));
        },
        "file_server_unauthorized",
        2,
    ),
    (
        "403 before the body, and closed",
        |to| {
            to.write(status("403 No"));
        },
        "file_server_unauthorized",
        2,
    ),
    (
        "404 before the body, and closed",
        |to| {
            to.write(status("404 No"));
        },
        "file_server_not_found",
        2,
    ),
    (
        "413 before the body, and closed",
        |to| {
            to.write(status("413 No"));
        },
        "file_server_refused",
        2,
    ),
    // Issue 10, point 3.
    (
        "success before the body, and closed",
        |to| {
            to.write(answer("201 Created", "ETag: \"x\"\r\n", ""));
        },
        "file_server_invalid_answer",
        2,
    ),
    (
        "success without a length",
        |to| {
            to.answer("HTTP/1.1 201 Created\r\nETag: \"x\"\r\n\r\n");
            to.wait_for_end();
        },
        "ok",
        1,
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

pub fn status(status: &str) -> String {
    answer(status, "", "")
}

/// A file as a response; to a PUT to S3, that it is stored.
fn file() -> String {
    answer("200 OK", "ETag: \"x\"\r\n", FILE)
}

/// This status for so many requests, and then success.
fn failing(to: &Exchange, times: usize, failure: &str) -> String {
    match to.before {
        before if before < times => status(failure),
        _ => file(),
    }
}

fn drip(to: &mut Exchange) {
    to.read_body();
    for byte in file().bytes() {
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
    to.answer("HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\n");
    while to.write([b'x'; 1000]) {}
}

fn reset_within_the_body(to: &mut Exchange) {
    to.read_bytes(10_000);
    to.reset();
}

/// All rows at once: they wait more than they work.
pub fn for_each(rows: &[Row], check: impl Fn(&Row) + Sync) {
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
            _ => to.answer(file()),
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
    let elsewhere = ScriptedHttp::start(|to| to.answer(file()));
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

/// Issue 10, point 12: a server that can be asked gets the body only when it wants it.
#[test]
fn a_server_that_is_asked_first_gets_the_whole_body() {
    let server = ScriptedHttp::start(|to| match to.before {
        0 if to.head.starts_with("PUT") => to.reset(),
        _ => {
            to.write("HTTP/1.1 100 Continue\r\n\r\n");
            to.answer(status("201 Created"));
        }
    });
    let platform = Impatient::default();
    let sent = send(put(&server.url(), &platform), &platform, 1_000_000);
    assert_eq!(outcome(&sent), "ok", "{sent:?}");
    assert_eq!(server.count("PUT"), 2);
}

/// It gets the body in the same attempt (RFC 9110 section 15.5.18).
#[test]
fn a_server_that_cannot_be_asked_first_gets_the_body() {
    let server = ScriptedHttp::start(|to| match to.before {
        0 if to.head.starts_with("PUT") => to.reset(),
        _ => match to.head.to_ascii_lowercase().contains("expect: ") {
            true => drop(to.write(status("417 No"))),
            false => to.answer(status("201 Created")),
        },
    });
    let platform = Impatient::default();
    let sent = send(put(&server.url(), &platform), &platform, 1_000_000);
    assert_eq!(outcome(&sent), "ok", "{sent:?}");
    assert_eq!(server.count("PUT"), 3);
    assert_eq!(platform.pauses.borrow().len(), 1);
}

/// Issue 10, point 12: as dufs, or Plik over its limit.
#[test]
fn a_refused_upload_to_plik_is_reported_as_what_it_is() {
    for (code, expected) in [
        ("401 No", "file_server_unauthorized"),
        ("403 No", "file_server_unauthorized"),
        ("404 No", "file_server_not_found"),
        ("413 No", "file_server_refused"),
    ] {
        let server = ScriptedHttp::start(move |to| {
            let created = r#"{"id":"u","uploadToken":"t"}"#;
            match to.head.starts_with("POST /file/") {
                true => drop(to.write(status(code))),
                false => to.answer(answer("200 OK", "", created)),
            }
        });
        let platform = Impatient::default();
        let sent = send(plik(&server.url(), &platform), &platform, 20_000_000);
        assert_eq!(outcome(&sent), expected, "{sent:?}");
        assert_eq!(server.count("POST"), 4, "created and refused, twice");
    }
}

/// Issue 10, point 9: an exchange that may take an hour ends early where nothing moves.
#[test]
fn transfers_in_which_nothing_moves_end_early() {
    type Behaving = (&'static str, fn(&mut Exchange));
    let rows: [Behaving; 4] = [
        ("silence", |to| to.wait_for_end()),
        ("half a head", |to| {
            to.answer("HTTP/1.1 200 OK\r\nContent-");
            to.wait_for_end();
        }),
        ("half a body", |to| {
            to.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nten");
            to.wait_for_end();
        }),
        ("a body that is not read", |_| thread::sleep(5 * TIMEOUT)),
    ];
    thread::scope(|threads| {
        for (what, behave) in rows {
            threads.spawn(move || {
                let server = ScriptedHttp::start(behave);
                let (url, platform) = (server.url(), Impatient::default());
                let files = HttpPut::new(UreqClient::new(), &platform, &url).unwrap();
                let files = files.timeout(Duration::from_secs(3600));
                let mut files = files.idle_timeout(TIMEOUT);
                if what != "a body that is not read" {
                    let url = format!("{url}/f");
                    let mut sink = VecSink::new(10);
                    let done = within(TIMEOUT, || files.download(&url, 10, &mut sink));
                    assert_eq!(done.unwrap_err().kind(), Kind::Timeout, "{what}");
                }
                let large = bytes(20_000_000);
                // The upload, and the delete of what may have been stored.
                let done = within(3 * TIMEOUT, || {
                    files.upload("f", &mut SliceBody::new(&large))
                });
                assert_eq!(done.unwrap_err().kind(), Kind::Timeout, "{what}");
            });
        }
    });
}

/// Says that it is as long as it was, until it is read.
struct Shrinking {
    left: usize,
    read: bool,
}

impl Body for Shrinking {
    fn len(&self) -> u64 {
        if self.read { 1000 } else { 100_000 }
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        self.read = true;
        let count = self.left.min(out.len());
        self.left -= count;
        Ok(count)
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Err(StreamError::CannotRewind)
    }
}

/// Issue 10, point 2: ureq asked for more and more until its time was over.
#[test]
fn a_body_that_ends_early_is_an_error_at_once() {
    let server = ScriptedHttp::start(|to| to.answer(status("201 Created")));
    let url = format!("{}/f", server.url());
    let request = HttpRequest {
        timeout: Duration::from_secs(60),
        ..HttpRequest::new(Method::Put, &url)
    };
    let mut body = Shrinking {
        left: 1000,
        read: false,
    };
    let mut client = UreqClient::new();
    let done = within(Duration::ZERO, || {
        client.execute(&request, &mut body, &mut VecSink::new(10))
    });
    let error = done.unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Local);
    let words = format!("{error:?}");
    assert!(
        words.ends_with("1000 bytes where 100000 were declared"),
        "{words}"
    );
}

fn head_of(method: Method) -> String {
    let heads = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&heads);
    let server = ScriptedHttp::start(move |to| {
        *seen.lock().unwrap() = to.head.to_ascii_lowercase();
        to.answer(answer("200 OK", "", ""));
    });
    let url = format!("{}/f", server.url());
    let request = HttpRequest::new(method, &url);
    let mut nothing = SliceBody::new(b"");
    let done = UreqClient::new().execute(&request, &mut nothing, &mut VecSink::new(10));
    assert_eq!(done.unwrap().status, 200);
    heads.lock().unwrap().clone()
}

/// Issue 10, point 15.
#[test]
fn an_empty_body_has_a_length() {
    for (method, has_length) in [
        (Method::Put, true),
        (Method::Post, true),
        (Method::Get, false),
        (Method::Delete, false),
    ] {
        let head = head_of(method);
        assert_eq!(head.contains("content-length: 0\r\n"), has_length, "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
}

/// Issue 10, point 15: `with_config` lost its proxy.
#[test]
fn a_proxy_is_used_and_its_password_is_not_shown() {
    let proxy = ScriptedHttp::start(|to| {
        to.answer("HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\n");
        to.read_bytes(1);
        to.answer(answer("200 OK", "", ""));
    });
    let proxy_url = proxy.url().replace("http://", "http://me:SECRET@");
    let config = ureq::config::Config::builder()
        .proxy(Some(ureq::Proxy::new(&proxy_url).unwrap()))
        .build();
    let options = UreqOptions::default().proxy(&proxy_url).unwrap();
    for mut client in [
        UreqClient::with_config(config),
        UreqClient::with_options(&options),
    ] {
        let request = HttpRequest::new(Method::Get, "http://files.invalid/f");
        let mut nothing = SliceBody::new(b"");
        let done = client.execute(&request, &mut nothing, &mut VecSink::new(10));
        assert_eq!(done.unwrap().status, 200);
        assert!(!format!("{client:?} {options:?}").contains("SECRET"));
    }
    assert_eq!(proxy.count("CONNECT"), 2);
    let error = UreqOptions::default()
        .proxy("socks5://me:SECRET@h")
        .unwrap_err();
    assert!(!format!("{error:?}").contains("SECRET"), "{error}");
}

/// Issue 10, point 15: each allowed origin gets its own credentials, and none of another.
#[test]
fn credentials_of_allowed_origins() {
    let wants = |line: &'static str| {
        ScriptedHttp::start(move |to| {
            let head = to.head.to_ascii_lowercase();
            let has_others = head.matches("authorization:").count() != 1;
            match head.contains(line) && !has_others {
                true => to.answer(file()),
                false => to.answer(status("401 No")),
            }
        })
    };
    let (own, other) = (
        wants("authorization: basic bwu6c2vjcmv0\r\n"),
        wants("authorization: bearer t\r\n"),
    );
    let platform = Impatient::default();
    for url in [own.url(), other.url()] {
        let files = put(&own.url(), &platform).basic_auth("me", "secret");
        let bearer = Credentials::bearer("t").unwrap();
        let files = files.credentials_for(&other.url(), bearer).unwrap();
        let policy = LinkPolicy::default().allow(&other.url()).unwrap();
        let options = ReceiveOptions::default().link_policy(policy);
        let mut bridge = NatsBridge::new(MemoryBroker::new(), files, &platform);
        let message = link(&url, "");
        let received = bridge.smartreceive(message.as_str(), &options).unwrap();
        assert_eq!(received.payloads[0].1.as_text(), Some(FILE));
    }
}

/// Issue 10, point 7: URLs with a user name are refused, and are not echoed.
#[test]
fn errors_do_not_show_secrets_of_a_url() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    for (url, kind) in [
        (
            format!("http://me:SECRET@{nobody}/f"),
            HttpErrorKind::InvalidRequest,
        ),
        (
            format!("http://{nobody}/f?sig=SECRET"),
            HttpErrorKind::Unreachable,
        ),
        ("me:SECRET@h".to_string(), HttpErrorKind::InvalidRequest),
        (
            "http://h\\SECRET@h/".to_string(),
            HttpErrorKind::InvalidRequest,
        ),
    ] {
        let request = HttpRequest::new(Method::Get, &url);
        let mut nothing = SliceBody::new(b"");
        let done = UreqClient::new().execute(&request, &mut nothing, &mut VecSink::new(10));
        let error = done.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let words = format!("{error:?}");
        assert!(!words.contains("SECRET"), "{words}");
        assert!(
            !url.starts_with("http://me") || words.contains("user name"),
            "{words}"
        );
    }
}
