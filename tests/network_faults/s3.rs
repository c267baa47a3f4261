//! What happens to the other file servers, to S3.

use natsbridge::adapter::FileServer;
use natsbridge::host::UreqClient;
use natsbridge::memory::MemoryBroker;
use natsbridge::{NatsBridge, Payload, ReceiveOptions, S3, S3Options};

use crate::common::bytes;
use crate::common::proxy::{Direction, Event, Fault, Faults, Proxy};
use crate::common::s3_server::S3Server;
use crate::common::scripted_http::ScriptedHttp;
use crate::http::{
    BOUND, CONNECTIONS, DOWNLOADS, Impatient, STATUSES, TIMEOUT, UPLOADS, for_each, link, outcome,
    receive, send, status,
};
use crate::within;

fn s3(options: S3Options, platform: &Impatient) -> S3<UreqClient, &Impatient> {
    let files = S3::new(UreqClient::new(), platform, options).unwrap();
    files.timeout(TIMEOUT).idle_timeout(TIMEOUT)
}

fn scripted(server: &ScriptedHttp) -> S3Options {
    let options = S3Options::new("films").endpoint(server.url());
    options.keys("THEKEYID", "THESECRET")
}

#[test]
fn downloads() {
    for_each(&[STATUSES, CONNECTIONS, DOWNLOADS].concat(), |row| {
        let (what, behave, expected, attempts) = *row;
        let server = ScriptedHttp::start(behave);
        let platform = Impatient::default();
        let message = link(&format!("{}/films", server.url()), r#","size":10"#);
        let files = s3(scripted(&server), &platform);
        let received = within(BOUND, || receive(files, &platform, &message));
        assert_eq!(outcome(&received), expected, "{what}: {received:?}");
        assert_eq!(server.count("GET"), attempts, "{what}");
        assert_eq!(platform.pauses.borrow().len(), attempts - 1, "{what}");
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
        let large = UPLOADS.iter().any(|row| row.0 == what);
        let len = if large { 20_000_000 } else { 100_000 };
        let files = s3(scripted(&server), &platform);
        let sent = within(BOUND, || send(files, &platform, len));
        assert_eq!(outcome(&sent), expected, "{what}: {sent:?}");
        assert_eq!(server.count("PUT"), attempts, "{what}");
        assert_eq!(platform.pauses.borrow().len(), attempts - 1, "{what}");
    });
}

/// A connection that breaks anywhere is one more attempt, and no more: by one request, and in parts. Where the server
/// sees half a request end, it answers 500 and closes. The pause before the next attempt is not made here, so that this
/// one may find the connection before its end has come, and fails as well.
#[test]
fn cut_on_the_way_to_a_real_server() {
    let server = S3Server::start();
    for threshold in [u64::MAX, 0] {
        for after in (0..54_000).step_by(4001) {
            for direction in [Direction::ToServer, Direction::ToClient] {
                for event in [Event::Reset, Event::Close, Event::HalfClose] {
                    let faults = Faults::only(direction, Fault::After(after, event));
                    let proxy = Proxy::start(server.port(), faults);
                    let endpoint = format!("http://{}", proxy.address());
                    let options = server.options().endpoint(endpoint);
                    let platform = Impatient::default();
                    let options = options.multipart_threshold(threshold);
                    // Its usual time limits: no exchange here waits for one.
                    let mut files = S3::new(UreqClient::new(), &platform, options).unwrap();
                    exchange(&mut files, &platform);
                    let pauses = platform.pauses.borrow().len();
                    let is_answered = (direction, event) == (Direction::ToServer, Event::HalfClose);
                    let most = if is_answered { 2 } else { 1 };
                    assert!(pauses <= most, "{after} {direction:?} {event:?}: {pauses}");
                }
            }
        }
    }
}

fn exchange(files: &mut dyn FileServer, platform: &Impatient) {
    let message = send(&mut *files, platform, 50_000).unwrap();
    let mut bridge = NatsBridge::new(MemoryBroker::new(), files, platform);
    let received = bridge.smartreceive(message.as_str(), &ReceiveOptions::default());
    assert!(received.unwrap().payloads[0].1 == Payload::binary(bytes(50_000)));
}
