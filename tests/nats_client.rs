//! What `host::NatsClient` does when the server or the network does not do its part.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::LONG;
use common::nats_server::NatsServer;
use natsbridge::BrokerErrorKind as Kind;
use natsbridge::adapter::{Body, Broker, BrokerError, Outgoing, SliceBody, StreamError};
use natsbridge::host::{NatsClient, NatsOptions};

const SOON: Duration = Duration::from_millis(500);

fn options(url: &str) -> NatsOptions {
    NatsOptions::new(url)
        .connect_timeout(Duration::from_secs(3))
        .timeout(Duration::from_secs(3))
}

fn client(server: &NatsServer) -> NatsClient {
    let mut client = NatsClient::new(options(&server.url()));
    client.connect().unwrap();
    client
}

fn publish(client: &mut NatsClient, subject: &str, body: &[u8]) -> Result<(), BrokerError> {
    client.publish(&Outgoing::new(subject), &mut SliceBody::new(body))
}

/// Runs `call`, and makes sure that it ends within `limit` and a second.
fn within<T>(limit: Duration, call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = call();
    let taken = started.elapsed();
    assert!(
        taken < limit + Duration::from_secs(5),
        "{taken:?} of {limit:?}"
    );
    done
}

/// The address of a server that takes connections and does `serve` with each.
fn serve(serve: impl Fn(TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    url
}

const INFO: &[u8] = concat!(
    r#"INFO {"server_id":"x","version":"2","go":"","host":"","port":1,"#,
    r#""max_payload":1000,"proto":1,"client_id":1}"#,
    "\r\n"
)
.as_bytes();

/// Greets, and answers each PING until `until` has come or the client has gone.
fn answer_pings(stream: &mut TcpStream, until: &[u8]) {
    stream.write_all(INFO).unwrap();
    go_on_answering(stream, until);
}

fn go_on_answering(stream: &mut TcpStream, until: &[u8]) {
    let mut seen = Vec::new();
    while !seen.ends_with(until) {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_err() {
            return;
        }
        seen.push(byte[0]);
        if seen.ends_with(b"PING\r\n") {
            stream.write_all(b"PONG\r\n").unwrap();
        }
    }
}

/// Reads until the client goes.
fn drain(stream: &mut TcpStream) {
    while matches!(stream.read(&mut [0; 1000]), Ok(count) if count > 0) {}
}

/// Takes connections and says nothing.
fn silent() -> String {
    serve(|mut stream| drop(stream.read(&mut [0; 1])))
}

#[test]
fn nobody_there_is_told_with_the_url_and_without_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut client = NatsClient::new(options(&format!("nats://user:secret@127.0.0.1:{port}")));
    let error = within(SOON, || client.connect()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(
        error
            .to_string()
            .contains(&format!("nats://127.0.0.1:{port}")),
        "{error}"
    );
    assert!(!format!("{error:?} {client:?}").contains("secret"));
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let options = options(&silent()).connect_timeout(SOON);
    let mut client = NatsClient::new(options);
    let error = within(SOON, || client.connect()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let error = within(SOON, || publish(&mut client, "a", b"x")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let error = within(SOON, || client.next(SOON)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
}

#[test]
fn a_connect_that_broke_off_is_worth_another_one() {
    for (answer, kind) in [
        ("", Kind::Unreachable),
        ("P", Kind::Unreachable),
        ("PON", Kind::Unreachable),
        ("SMTP\r\n", Kind::Protocol),
    ] {
        let url = serve(move |mut stream| {
            stream.write_all(INFO).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            drain(&mut stream);
        });
        let error = NatsClient::new(options(&url)).connect().unwrap_err();
        assert_eq!(error.kind(), kind, "{answer:?}: {error:?}");
    }
}

#[test]
fn a_connect_that_hangs_is_given_up_for_a_new_one() {
    let is_first = Arc::new(AtomicBool::new(true));
    let url = serve(move |mut stream| {
        if is_first.swap(false, Ordering::Relaxed) {
            drain(&mut stream);
        } else {
            answer_pings(&mut stream, b"UNSUB");
        }
    });
    let mut client = NatsClient::new(options(&url).connect_timeout(SOON));
    let failed = (0..10).take_while(|_| client.connect().is_err()).count();
    assert!((1..10).contains(&failed), "{failed}");
}

#[test]
fn a_connection_that_was_given_up_is_not_made_again_and_again() {
    let (accepted, connections) = channel();
    let is_first = Arc::new(AtomicBool::new(true));
    let url = serve(move |mut stream| {
        accepted.send(()).ok();
        if is_first.swap(false, Ordering::Relaxed) {
            answer_pings(&mut stream, b"SUB a 1\r\n");
        }
    });
    let mut client = NatsClient::new(options(&url));
    client.subscribe("a", None).unwrap();
    assert_eq!(client.next(LONG).unwrap_err().kind(), Kind::Disconnected);
    drop(client);
    // The crate tries for some seconds before it ends, once in each.
    let until = Instant::now() + Duration::from_secs(2);
    let left = || until.saturating_duration_since(Instant::now());
    let made = core::iter::from_fn(|| connections.recv_timeout(left()).ok()).count();
    assert!((1..=4).contains(&made), "{made} connections");
}

#[test]
fn the_next_server_is_tried() {
    let server = NatsServer::start();
    let urls = format!("{},{}", silent(), server.url());
    let mut client = NatsClient::new(options(&urls));
    within(Duration::from_secs(3), || client.connect()).unwrap();
    publish(&mut client, "a", b"x").unwrap();
    client.flush(LONG).unwrap();
    assert_eq!(client.public_url(), urls);
}

#[test]
fn unusable_options_are_told() {
    let mut client = NatsClient::new(options("http://127.0.0.1:1"));
    assert_eq!(client.connect().unwrap_err().kind(), Kind::InvalidOption);
    let mut client =
        NatsClient::new(options("nats://127.0.0.1:1").credentials_file("/no/such.creds"));
    let error = client.connect().unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidOption);
    assert!(error.to_string().contains("/no/such.creds"), "{error}");
}

#[test]
fn credentials_are_used_and_their_lack_is_told() {
    let user = NatsServer::start_with(r#"authorization { user: "me", password: "secret" }"#);
    let at = user.url();
    let mut client = NatsClient::new(options(&at));
    assert_eq!(client.connect().unwrap_err().kind(), Kind::Unauthorized);
    NatsClient::new(options(&at).user_password("me", "secret"))
        .connect()
        .unwrap();
    let in_url = at.replace("nats://", "nats://me:secret@");
    let mut client = NatsClient::new(options(&in_url));
    client.connect().unwrap();
    assert_eq!(client.public_url(), at);
    let token = NatsServer::start_with(r#"authorization { token: "secret" }"#);
    let mut client = NatsClient::new(options(&token.url()).token("wrong"));
    assert_eq!(client.connect().unwrap_err().kind(), Kind::Unauthorized);
    NatsClient::new(options(&token.url()).token("secret"))
        .connect()
        .unwrap();
}

#[test]
fn a_missing_permission_is_an_error_of_the_flush() {
    let server = NatsServer::start_with(
        r#"authorization { users: [{ user: "me", password: "secret",
            permissions: { publish: "open", subscribe: "open" } }] }"#,
    );
    let mut client = NatsClient::new(options(&server.url()).user_password("me", "secret"));
    publish(&mut client, "open", b"x").unwrap();
    client.flush(LONG).unwrap();
    publish(&mut client, "closed", b"x").unwrap();
    let error = client.flush(LONG).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("closed"), "{error}");
    client.flush(LONG).unwrap();
    client.subscribe("closed", None).unwrap();
    assert_eq!(client.flush(LONG).unwrap_err().kind(), Kind::Refused);
}

#[test]
fn a_server_killed_between_publish_and_flush_is_an_error() {
    for restarted in [false, true] {
        let mut server = NatsServer::start();
        let mut client = client(&server);
        publish(&mut client, "a", b"x").unwrap();
        client.flush(LONG).unwrap();
        publish(&mut client, "a", b"x").unwrap();
        server.kill();
        if restarted {
            server.restart();
        }
        let error = within(Duration::from_secs(3), || {
            client.flush(Duration::from_secs(3))
        })
        .unwrap_err();
        assert_eq!(error.kind(), Kind::Disconnected, "{error}");
        if restarted {
            publish(&mut client, "a", b"x").unwrap();
            client.flush(LONG).unwrap();
        }
    }
}

/// Large messages go by way of a thread of the client's own, small ones do not.
#[test]
fn small_messages_do_not_overtake_large_ones() {
    let server = NatsServer::start();
    let mut receiver = client(&server);
    receiver.subscribe("a", None).unwrap();
    receiver.flush(LONG).unwrap();
    let mut sender = client(&server);
    let bodies = (0..200u8).map(|number| match number % 4 {
        0 => vec![number; 1_000_000],
        1 => vec![number; 30_000],
        _ => vec![number; 10],
    });
    for body in bodies.clone() {
        publish(&mut sender, "a", &body).unwrap();
    }
    sender.flush(LONG).unwrap();
    for body in bodies {
        let message = receiver.next(LONG).unwrap().unwrap();
        assert!(message.payload == body, "{} bytes", message.payload.len());
    }
}

#[test]
fn a_server_killed_while_large_messages_go_is_an_error() {
    let mut server = NatsServer::start();
    let mut client = client(&server);
    publish(&mut client, "a", b"x").unwrap();
    client.flush(LONG).unwrap();
    server.pause();
    let body = vec![0; 100_000];
    (0..5).for_each(|_| publish(&mut client, "a", &body).unwrap());
    server.kill();
    let error = within(Duration::from_secs(3), || client.flush(LONG)).unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected, "{error}");
}

#[test]
fn a_publish_that_failed_does_not_fail_the_flush_of_the_next() {
    let server = NatsServer::start_with("max_payload: 67108864");
    let mut client = NatsClient::new(options(&server.url()).timeout(SOON));
    client.connect().unwrap();
    server.pause();
    let more_than_any_buffer = vec![0; 60_000_000];
    let error = publish(&mut client, "a", &more_than_any_buffer).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    server.resume();
    publish(&mut client, "a", b"x").unwrap();
    client.flush(LONG).unwrap();
}

#[test]
fn a_loss_that_next_has_reported_still_fails_the_flush() {
    let mut server = NatsServer::start();
    let mut client = client(&server);
    client.subscribe("b", None).unwrap();
    client.flush(LONG).unwrap();
    publish(&mut client, "a", b"x").unwrap();
    server.restart();
    let error = client.next(LONG).unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected);
    assert_eq!(client.next(SOON).unwrap(), None);
    assert_eq!(client.flush(LONG).unwrap_err().kind(), Kind::Disconnected);
    client.flush(LONG).unwrap();
}

#[test]
fn subscriptions_are_renewed_after_a_restart() {
    let mut server = NatsServer::start();
    let mut receiver = client(&server);
    let id = receiver.subscribe("a.*", Some("workers")).unwrap();
    receiver.flush(LONG).unwrap();
    server.restart();
    assert_eq!(receiver.next(LONG).unwrap_err().kind(), Kind::Disconnected);
    receiver.flush(LONG).unwrap();
    let mut sender = client(&server);
    publish(&mut sender, "a.b", b"after").unwrap();
    let message = receiver.next(LONG).unwrap().unwrap();
    assert_eq!(
        (message.subscription, message.payload.as_slice()),
        (id, &b"after"[..])
    );
}

#[test]
fn next_waits_for_the_server_to_come_back() {
    let mut server = NatsServer::start();
    let mut receiver = client(&server);
    receiver.subscribe("a", None).unwrap();
    receiver.flush(LONG).unwrap();
    server.kill();
    assert_eq!(receiver.next(LONG).unwrap_err().kind(), Kind::Disconnected);
    let error = within(SOON, || receiver.next(SOON)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let waiting = thread::spawn(move || receiver.next(LONG));
    server.restart();
    let mut sender = client(&server);
    // Until the receiver is there.
    while !waiting.is_finished() {
        publish(&mut sender, "a", b"x").unwrap();
        sender.flush(LONG).unwrap();
    }
    assert_eq!(waiting.join().unwrap().unwrap().unwrap().payload, b"x");
}

#[test]
fn a_server_that_stops_answering_costs_no_more_than_the_time_limits() {
    let server = NatsServer::start();
    let mut client = NatsClient::new(options(&server.url()).connect_timeout(SOON).timeout(SOON));
    client.connect().unwrap();
    server.pause();
    publish(&mut client, "a", b"small").unwrap();
    let error = within(SOON, || client.flush(SOON * 2)).unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected);
    assert!(error.to_string().contains("no answer to a PING"), "{error}");
    let error = within(SOON, || client.flush(SOON)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    server.resume();
    within(Duration::from_secs(3), || client.connect()).unwrap();
    publish(&mut client, "a", b"x").unwrap();
    client.flush(LONG).unwrap();
}

#[test]
fn a_publish_that_fills_every_buffer_ends_in_time() {
    let server = NatsServer::start();
    let mut client = NatsClient::new(options(&server.url()).connect_timeout(SOON).timeout(SOON));
    client.connect().unwrap();
    server.pause();
    let body = vec![0; 1_000_000];
    let failed = (0..100).find_map(|_| within(SOON, || publish(&mut client, "a", &body)).err());
    assert_eq!(failed.expect("buffers are finite").kind(), Kind::Timeout);
    server.resume();
}

/// Whoever waits for one subscription is not told of messages that were dropped, and must not look for
/// them all the time either.
#[test]
fn a_wait_for_one_subscription_takes_no_processor_time() {
    let server = NatsServer::start();
    let mut receiver = NatsClient::new(options(&server.url()).max_pending(3000));
    receiver.subscribe("a", None).unwrap();
    let inbox = receiver.subscribe("inbox", None).unwrap();
    receiver.flush(LONG).unwrap();
    let mut sender = client(&server);
    let mut send = || {
        (0..9).for_each(|_| publish(&mut sender, "a", &[0; 1000]).unwrap());
        sender.flush(LONG).unwrap();
        publish(&mut sender, "inbox", b"x").unwrap();
        sender.flush(LONG).unwrap();
    };
    send();
    assert!(receiver.next_of(inbox, LONG).unwrap().is_some());
    let error = receiver.next(SOON).unwrap_err();
    assert!(matches!(error.kind(), Kind::SlowConsumer { .. }));
    send();
    assert!(receiver.next_of(inbox, LONG).unwrap().is_some());
    // The report becomes due while nobody asks for it.
    let before = processor_time();
    let wait = Duration::from_secs(2);
    assert_eq!(receiver.next_of(inbox, wait).unwrap(), None);
    let taken = processor_time() - before;
    assert!(taken < wait / 40, "{taken:?}");
}

/// What the calling thread has taken so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux's /proc");
    let nanoseconds = stat.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

/// A body that ends the thread when it is read.
struct Panics;

impl Body for Panics {
    fn len(&self) -> u64 {
        10
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        assert!(out.is_empty(), "a body that panics");
        Ok(0)
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

#[test]
fn a_body_that_panics_does_not_harm_the_other_clones() {
    let server = NatsServer::start();
    let mut client = client(&server);
    client.subscribe("b", None).unwrap();
    let mut panics = client.clone();
    let ended = thread::spawn(move || {
        panics.publish(&Outgoing::new("a"), &mut Panics).ok();
    });
    ended.join().unwrap_err();
    publish(&mut client, "b", b"x").unwrap();
    client.flush(LONG).unwrap();
    let message = client.next(LONG).expect("the connection is as it was");
    assert_eq!(message.unwrap().payload, b"x");
}

/// A body that is read until another client has done its work.
struct WaitsFor {
    is_read: Sender<()>,
    is_done: Receiver<()>,
}

impl Body for WaitsFor {
    fn len(&self) -> u64 {
        1
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        self.is_read.send(()).unwrap();
        self.is_done.recv_timeout(LONG).expect("the other clone");
        out.fill(b'y');
        Ok(out.len())
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

#[test]
fn a_body_that_takes_its_time_holds_up_no_other_clone() {
    let server = NatsServer::start();
    let mut client = client(&server);
    client.subscribe("b", None).unwrap();
    let mut slow = client.clone();
    let (is_read, reading) = channel();
    let (done, is_done) = channel();
    let ended = thread::spawn(move || {
        let mut body = WaitsFor { is_read, is_done };
        slow.publish(&Outgoing::new("b"), &mut body).unwrap();
        slow.flush(LONG).unwrap();
    });
    reading.recv_timeout(LONG).unwrap();
    publish(&mut client, "b", b"x").unwrap();
    client.flush(LONG).unwrap();
    done.send(()).unwrap();
    ended.join().unwrap();
    for payload in [b"x", b"y"] {
        assert_eq!(client.next(LONG).unwrap().unwrap().payload, payload);
    }
}

/// A long message that stands in memory is written from there.
#[test]
fn long_and_short_messages_come_in_their_order() {
    let server = NatsServer::start();
    let mut client = client(&server);
    client.subscribe("b", None).unwrap();
    let messages: Vec<Vec<u8>> = (0..40u32)
        .map(|number| {
            let len = [10, 61_439, 61_440, 1_000_000][number as usize % 4];
            (0..len).map(|at| (at * 7 + number) as u8).collect()
        })
        .collect();
    for message in &messages {
        publish(&mut client, "b", message).unwrap();
    }
    for message in &messages {
        let received = client.next(LONG).unwrap().unwrap();
        assert!(received.payload == *message, "{} bytes", message.len());
    }
}

/// A server that ends each connection as soon as it has accepted it.
#[test]
fn connections_that_do_not_last_are_made_ever_more_seldom() {
    let (accepted, connections) = channel();
    let url = serve(move |mut stream| {
        accepted.send(()).ok();
        answer_pings(&mut stream, b"PING\r\n");
    });
    let mut client = NatsClient::new(options(&url));
    client.subscribe("a", None).unwrap();
    let until = Instant::now() + Duration::from_secs(1);
    let left = || until.saturating_duration_since(Instant::now());
    let made = core::iter::from_fn(|| connections.recv_timeout(left()).ok()).count();
    assert!((4..=12).contains(&made), "{made} connections");
}

/// One after the other is what the caller asks for.
#[test]
fn reconnects_that_are_asked_for_are_made_at_once() {
    let server = NatsServer::start();
    let mut client = client(&server);
    let started = Instant::now();
    (0..50).for_each(|_| client.reconnect().unwrap());
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// A server that does `act` with what it has read so far, whenever the client sends a PING.
fn on_pings(act: impl Fn(&mut TcpStream, &[u8]) + Send + Clone + 'static) -> String {
    serve(move |mut stream| {
        stream.write_all(INFO).unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            seen.push(byte[0]);
            if seen.ends_with(b"PING\r\n") {
                act(&mut stream, &seen);
            }
        }
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// While a client moves, its subscriptions are on two servers. What comes on the new one first must not
/// overtake what is still to come on the old one, nor come again.
#[test]
fn a_move_delivers_each_message_once_and_in_order() {
    const SUB: &[u8] = b"SUB a 1\r\n";
    let (subscribed, has_subscribed) = channel();
    let (sent, has_sent) = channel();
    let has_subscribed = Arc::new(Mutex::new(has_subscribed));
    let has_sent = Arc::new(Mutex::new(has_sent));
    let second = on_pings(move |stream, seen| {
        if seen.ends_with(&[SUB, b"PING\r\n"].concat()) {
            stream.write_all(b"MSG a 1 1\r\n2\r\n").unwrap();
            subscribed.send(()).unwrap();
            has_sent.lock().unwrap().recv_timeout(LONG).unwrap();
            stream.write_all(b"PONG\r\nMSG a 1 1\r\n3\r\n").unwrap();
        } else {
            stream.write_all(b"PONG\r\n").unwrap();
        }
    });
    let address = second.replacen("nats://", "", 1);
    let lame_duck = format!("INFO {{\"ldm\":true,\"connect_urls\":[\"{address}\"]}}\r\n");
    let first = on_pings(move |stream, seen| {
        stream.write_all(b"PONG\r\n").unwrap();
        if contains(seen, SUB) && !contains(seen, b"UNSUB") {
            stream.write_all(lame_duck.as_bytes()).unwrap();
            let waits = has_subscribed.lock().unwrap();
            waits.recv_timeout(LONG).unwrap();
            let both = b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n";
            stream.write_all(both).unwrap();
            sent.send(()).unwrap();
        }
    });
    let mut client = NatsClient::new(options(&first));
    client.subscribe("a", None).unwrap();
    client.flush(LONG).unwrap();
    let mut received = Vec::new();
    while received.len() < 3 {
        let message = client.next(LONG).unwrap().expect("a message in time");
        received.extend(message.payload);
    }
    assert_eq!(received, b"123");
    client.flush(LONG).unwrap();
    assert_eq!(client.connected_url(), Some(second));
    assert_eq!(client.next(SOON).unwrap(), None);
}

/// The server to move to takes the connection and says nothing: meanwhile what is published goes to the old one.
#[test]
fn a_move_that_takes_long_holds_nothing_back() {
    let (connected, is_connected) = channel();
    let second = serve(move |mut stream| {
        connected.send(()).unwrap();
        drain(&mut stream);
    });
    let address = second.replacen("nats://", "", 1);
    let lame_duck = format!("INFO {{\"ldm\":true,\"connect_urls\":[\"{address}\"]}}\r\n");
    let (seen, has_seen) = channel();
    let first = serve(move |mut stream| {
        answer_pings(&mut stream, b"PUB first 1\r\nx\r\n");
        stream.write_all(lame_duck.as_bytes()).unwrap();
        for line in [
            &b"PUB second 1\r\nx\r\n"[..],
            b"SUB a 1\r\n",
            b"UNSUB 1\r\n",
        ] {
            go_on_answering(&mut stream, line);
            seen.send(()).unwrap();
        }
        drain(&mut stream);
    });
    let mut client = NatsClient::new(options(&first).connect_timeout(LONG));
    publish(&mut client, "first", b"x").unwrap();
    is_connected.recv_timeout(LONG).unwrap();
    let has_come = || has_seen.recv_timeout(SOON).unwrap();
    publish(&mut client, "second", b"x").unwrap();
    has_come();
    let id = client.subscribe("a", None).unwrap();
    has_come();
    client.unsubscribe(id).unwrap();
    has_come();
}

/// A server that says hello, waits for `until`, and then sends a line that the `nats` crate cannot
/// take: its reader thread panics, and it does not tell.
fn breaks_the_reader(until: &'static [u8]) -> String {
    serve(move |mut stream| {
        answer_pings(&mut stream, until);
        stream.write_all(&[b'x'; 10_000]).unwrap();
        drain(&mut stream);
    })
}

#[test]
fn a_reader_that_died_is_no_silent_loss() {
    let mut client = NatsClient::new(options(&breaks_the_reader(b"PUB a 1\r\nx\r\n")));
    publish(&mut client, "a", b"x").unwrap();
    let error = within(SOON, || client.flush(SOON)).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
}

#[test]
fn a_reader_that_died_is_noticed_by_who_only_listens() {
    let url = breaks_the_reader(b"SUB a");
    let mut client = NatsClient::new(options(&url).timeout(SOON).ping_interval(SOON));
    client.subscribe("a", None).unwrap();
    let error = within(SOON * 2, || client.next(LONG)).unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected);
}

#[test]
fn what_nobody_takes_is_dropped_loudly() {
    let server = NatsServer::start();
    let mut receiver = NatsClient::new(options(&server.url()).max_pending(10_000));
    receiver.subscribe("a", None).unwrap();
    receiver.flush(LONG).unwrap();
    let mut sender = client(&server);
    for _ in 0..30 {
        publish(&mut sender, "a", &[0; 1000]).unwrap();
    }
    sender.flush(LONG).unwrap();
    let (mut received, mut lost) = (0, 0);
    while received + lost < 30 {
        match receiver.next(LONG) {
            Ok(message) => received += u64::from(message.is_some()),
            Err(error) => match error.kind() {
                Kind::SlowConsumer { dropped } => lost += dropped,
                other => panic!("{other:?}"),
            },
        }
    }
    assert!(
        received + lost == 30 && received >= 5,
        "{received} and {lost}"
    );
}

/// The server would go on sending what nobody reads: it says that there is nobody once it knows.
#[test]
fn a_subscription_ends_at_the_server_too() {
    let server = NatsServer::start();
    let [mut subscriber, mut asker] = [client(&server), client(&server)];
    let id = subscriber.subscribe("questions", None).unwrap();
    subscriber.flush(LONG).unwrap();
    subscriber.unsubscribe(id).unwrap();
    subscriber.flush(LONG).unwrap();
    let inbox = asker.subscribe("answers", None).unwrap();
    let question = Outgoing::new("questions").reply("answers");
    asker.publish(&question, &mut SliceBody::new(b"")).unwrap();
    let answer = asker.next_of(inbox, LONG).unwrap().unwrap();
    assert_eq!(answer.status, Some(503));
}
