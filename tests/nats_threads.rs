//! What connections take and leave behind: threads, descriptors, memory. One test, alone in its process,
//! which it counts.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::nats_server::NatsServer;
use common::proxy::{Direction, Event, Fault, Faults, Proxy};
use common::{LONG, bytes};
use natsbridge::BrokerErrorKind as Kind;
use natsbridge::adapter::{Broker, Outgoing, SliceBody};
use natsbridge::host::{NatsClient, NatsOptions};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Connections that break within a message.
const BROKEN: usize = 50;
/// Connections that the server closes at once, and as many that the client gives up.
const FORCED: usize = 1000;
/// The client's, that of a connection that is just being given up, and the server's two.
const MOST_DESCRIPTORS: usize = 4;
/// Connections beyond those that were forced.
const MOST_MORE: usize = 10;
/// What memory may differ by, in bytes: the standard library keeps some of it for threads.
const HEAP_MARGIN: usize = 16 << 10;

const INFO: &[u8] = b"INFO {\"max_payload\":1000,\"headers\":true}\r\n";

/// Threads and descriptors of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    threads: usize,
    descriptors: usize,
}

impl Taken {
    fn now() -> Self {
        let count = |of: &str| {
            let entries = std::fs::read_dir(of).expect("Linux's /proc");
            entries.count()
        };
        Self {
            threads: count("/proc/self/task"),
            descriptors: count("/proc/self/fd"),
        }
    }

    /// Waits until no more than this is taken.
    fn await_return(self) {
        let deadline = Instant::now() + LONG;
        loop {
            let now = Self::now();
            if now.threads <= self.threads && now.descriptors <= self.descriptors {
                return;
            }
            assert!(Instant::now() < deadline, "{now:?}, before: {self:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn assert_at_most(self, threads: usize, descriptors: usize) {
        let now = Self::now();
        let most = self.threads + threads;
        assert!(now.threads <= most, "{} threads of {most}", now.threads);
        let (most, now) = (self.descriptors + descriptors, now.descriptors);
        assert!(now <= most, "{now} descriptors of {most}");
    }
}

#[test]
fn what_connections_take_is_given_back() {
    connections_that_break();
    forced_reconnects();
    a_silent_peer();
}

/// The connection breaks within a message, and the flush behind it is never answered.
fn connections_that_break() {
    let server = NatsServer::start();
    let cut = Faults::only(Direction::ToServer, Fault::After(1000, Event::Close));
    let mut proxies = Vec::new();
    proxies.resize_with(BROKEN, || Proxy::start(server.port(), cut));
    let before = Taken::now();
    for proxy in &proxies {
        let options = NatsOptions::new(&format!("nats://{}", proxy.address()));
        let mut client = NatsClient::new(options);
        client.subscribe("a", None).unwrap();
        client
            .publish(&Outgoing::new("a"), &mut SliceBody::new(&bytes(2000)))
            .unwrap();
        client.flush(LONG).unwrap_err();
        client.connect().unwrap();
        drop(client);
    }
    before.await_return();
}

/// A server that closes connections at once, and later answers them, one after the other.
struct Kicker {
    url: String,
    connections: Arc<AtomicUsize>,
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Kicker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let (connections, is_stopped) = (Arc::default(), Arc::default());
        let (counter, stop) = (Arc::clone(&connections), Arc::clone(&is_stopped));
        let thread = thread::spawn(move || kick(&listener, &counter, &stop));
        Self {
            url,
            connections,
            is_stopped,
            thread,
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Wakes the thread by a connection that is not counted.
    fn stop(self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        let address = self.url.strip_prefix("nats://").unwrap();
        drop(std::net::TcpStream::connect(address));
        self.thread.join().unwrap();
    }
}

fn kick(listener: &TcpListener, connections: &AtomicUsize, is_stopped: &AtomicBool) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        if is_stopped.load(Ordering::SeqCst) {
            return;
        }
        let number = connections.fetch_add(1, Ordering::SeqCst) + 1;
        stream.write_all(INFO).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        let (mut is_pinged, mut is_subscribed) = (false, false);
        while matches!(lines.read_line(&mut line), Ok(count) if count > 0) {
            if line == "PING\r\n" {
                stream.write_all(b"PONG\r\n").ok();
                is_pinged = true;
            }
            is_subscribed |= line.starts_with("SUB ");
            // Not before the client's own first call is done, which needs a connection.
            if number <= FORCED && is_pinged && is_subscribed {
                // A connection that was of some use is renewed at once.
                stream.write_all(b"MSG a 1 1\r\nx\r\n").ok();
                break;
            }
            line.clear();
        }
    }
}

fn forced_reconnects() {
    let server = Kicker::start();
    let heap = HEAP.current_usage();
    let before = Taken::now();
    let mut client = NatsClient::new(NatsOptions::new(&server.url));
    client.subscribe("a", None).unwrap();
    let deadline = Instant::now() + 3 * LONG;
    while server.connections() <= FORCED {
        assert!(Instant::now() < deadline, "{}", server.connections());
        let error = client.next(Duration::from_millis(1));
        let kind = error.as_ref().err().map(|error| error.kind());
        assert!(matches!(kind, None | Some(Kind::Disconnected)), "{error:?}");
        before.assert_at_most(2, MOST_DESCRIPTORS);
    }
    client.flush(LONG).unwrap();
    let (connected, heap_connected) = (Taken::now(), HEAP.current_usage());
    for _ in 0..FORCED {
        client.reconnect().unwrap();
        client.flush(LONG).unwrap();
        before.assert_at_most(2, MOST_DESCRIPTORS);
    }
    let seen = server.connections();
    let expected = 2 * FORCED..=2 * FORCED + MOST_MORE;
    assert!(expected.contains(&seen), "{seen} connections");
    connected.await_return();
    let heap_now = HEAP.current_usage();
    assert!(
        heap_now <= heap_connected + HEAP_MARGIN,
        "{heap_connected} before, {heap_now} now"
    );
    drop(client);
    before.await_return();
    let heap_now = HEAP.current_usage();
    assert!(
        heap_now <= heap + HEAP_MARGIN,
        "{heap} before, {heap_now} now"
    );
    server.stop();
}

/// It takes connections, as every operating system does for a program that listens, and says nothing.
fn a_silent_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let before = Taken::now();
    let options = NatsOptions::new(&url).connect_timeout(Duration::from_millis(50));
    let mut client = NatsClient::new(options);
    for _ in 0..20 {
        assert_eq!(client.connect().unwrap_err().kind(), Kind::Unreachable);
        before.assert_at_most(1, 1);
    }
    drop(client);
    before.await_return();
}
