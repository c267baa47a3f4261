//! Sends and receives over connections that are cut, delayed, chopped up or spoilt.
//!
//! Whatever happens: every call ends in time, a send that said `Ok` arrives once, one that failed
//! at most once, and its error is one of the network's.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use natsbridge::host::NatsOptions;
use natsbridge::{BrokerErrorKind as Kind, Error, ErrorKind, Payload, SendOptions};

use crate::common::nats_server::NatsServer;
use crate::common::proxy::{Direction, Event, Fault, Faults, Proxy};
use crate::within;
use crate::witness::{Bridge, Sends, Witness, bridge, check};

/// A session has more bytes than this, in both directions.
const SESSION_BYTES: usize = 2000;
/// Messages of a session, all confirmed.
const MESSAGES: usize = 4;
/// One of so many sessions goes on after a failure, until all its messages are confirmed.
const GOING_ON: usize = 10;
/// Sessions at the same time. They wait more than they work.
const WORKERS: usize = 4;
/// Proxies of sessions that are over, of each worker: the crate's threads end when they have
/// reconnected, a second later.
const KEPT: usize = 100;

/// What faults may do to a session.
struct Expected {
    /// Each time limit: of connects, of handing over, of confirmations.
    wait: Duration,
    /// None: the faults do no harm.
    errors: &'static [Kind],
    /// Calls that may fail.
    most_failures: usize,
    /// Sessions without a failure, at most.
    most_missed: usize,
}

/// The call that a fault hits, and one that finds the connection gone. Behind the handshake, in either
/// direction, there is nothing to lose: the connection is renewed in silence.
const NOTICED: Expected = Expected {
    wait: Duration::from_secs(5),
    errors: &[Kind::Disconnected, Kind::Unreachable],
    most_failures: 2,
    most_missed: 2,
};
/// Until the time is over, and for connects that hang so often until a new one is tried.
const SILENT: Expected = Expected {
    wait: Duration::from_millis(500),
    errors: &[Kind::Timeout, Kind::Disconnected, Kind::Unreachable],
    most_failures: 5,
    most_missed: 0,
};
/// The server sends `-ERR` for what it cannot read. What the client cannot read breaks the protocol
/// while it connects, and may hide a confirmation later.
const SPOILT: Expected = Expected {
    wait: Duration::from_millis(500),
    errors: &[
        Kind::Timeout,
        Kind::Disconnected,
        Kind::Unreachable,
        Kind::Refused,
        Kind::Protocol,
    ],
    most_failures: 2,
    most_missed: usize::MAX,
};
const HARMLESS: Expected = Expected {
    wait: Duration::from_secs(5),
    errors: &[],
    most_failures: 0,
    most_missed: usize::MAX,
};

/// Subscribes, and then sends to itself and to the witness.
struct Session<'e> {
    bridge: Bridge,
    subject: String,
    expected: &'e Expected,
    sends: Sends,
    failures: usize,
}

impl<'e> Session<'e> {
    fn new(proxy: &Proxy, subject: String, expected: &'e Expected) -> Self {
        let options = NatsOptions::new(&format!("nats://{}", proxy.address()));
        let options = options.connect_timeout(expected.wait);
        Self {
            bridge: bridge(options.timeout(expected.wait)),
            subject,
            expected,
            sends: Sends::new(),
            failures: 0,
        }
    }

    /// One call, which may connect, hand over, and wait for the server.
    fn call<T>(&mut self, call: impl FnOnce(&mut Bridge) -> Result<T, Error>) -> Result<T, Kind> {
        let outcome = within(3 * self.expected.wait, || call(&mut self.bridge));
        outcome.map_err(|error| {
            self.failures += 1;
            assert!(self.failures <= self.expected.most_failures, "{error:?}");
            match error.kind() {
                ErrorKind::Broker(kind) if self.expected.errors.contains(&kind) => kind,
                _ => panic!("{error:?}"),
            }
        })
    }

    /// Ends early with the first failure, unless it `goes_on`: reconnecting takes time.
    fn run(&mut self, goes_on: bool) {
        let is_over = |session: &Self| session.failures > 0 && !goes_on;
        while self.subscribe().is_err() && !is_over(self) {}
        for _ in 0..MESSAGES {
            while !is_over(self) && self.send().is_err() {}
            if is_over(self) {
                break;
            }
            self.receive();
        }
    }

    fn subscribe(&mut self) -> Result<(), Kind> {
        let subject = self.subject.clone();
        self.call(|bridge| bridge.subscribe(&subject, None).map(drop))
    }

    fn send(&mut self) -> Result<(), Kind> {
        let text = format!("{} {}", self.subject, self.sends.len());
        let payloads = [("text", Payload::text(text.as_str()))];
        let options = SendOptions::default().timeout(self.expected.wait);
        let subject = self.subject.clone();
        let sent = self.call(|bridge| bridge.smartsend(&subject, &payloads, &options).map(drop));
        self.sends.push((text, sent));
        sent
    }

    /// What was confirmed has come before the confirmation, or else its loss is told. This is not
    /// so if the bytes between were spoilt.
    fn receive(&mut self) {
        let wait = self.expected.wait;
        if self.expected.errors.contains(&Kind::Protocol) {
            within(3 * wait, || self.bridge.next(wait)).ok();
            return;
        }
        let received = self.call(|bridge| bridge.next(wait));
        assert_ne!(received.map(|message| message.is_some()), Ok(false));
    }
}

/// A session with each of `faults`.
fn sessions(what: &str, expected: &Expected, faults: &[Faults]) {
    let started = Instant::now();
    let server = NatsServer::start();
    let witness = Witness::start(&server);
    let (next, sends) = (AtomicUsize::new(0), Mutex::new(Sends::new()));
    let missed = AtomicUsize::new(0);
    let run = |place: usize, faults: &Faults| {
        let proxy = Proxy::start(server.port(), *faults);
        let mut session = Session::new(&proxy, format!("faults.{place}"), expected);
        session.run(place.is_multiple_of(GOING_ON));
        missed.fetch_add(usize::from(session.failures == 0), Ordering::Relaxed);
        sends.lock().unwrap().append(&mut session.sends);
        proxy
    };
    let work = || {
        let mut kept = VecDeque::new();
        let mut places = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        while let Some((place, faults)) = places.next().and_then(|at| Some((at, faults.get(at)?))) {
            kept.push_back(run(place, faults));
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
    };
    thread::scope(|threads| {
        for _ in 0..WORKERS {
            threads.spawn(work);
        }
    });
    let missed = missed.into_inner();
    assert!(missed <= expected.most_missed, "{missed} without failure");
    let count = check(&sends.into_inner().unwrap(), witness.finish());
    let taken = started.elapsed();
    println!("{what}: {} sessions, {count}, {taken:.1?}", faults.len());
}

/// The event in both directions, behind every `step`th byte of a session.
fn everywhere(step: usize, event: impl Fn(usize) -> Event) -> Vec<Faults> {
    let at = |after| {
        [Direction::ToServer, Direction::ToClient]
            .map(|way| Faults::only(way, Fault::After(after, event(after))))
    };
    (0..=SESSION_BYTES).step_by(step).flat_map(at).collect()
}

/// In turn by a reset and by an orderly end.
#[test]
fn cut_behind_every_byte() {
    let event = |after| [Event::Reset, Event::Close][after % 2];
    sessions("cut", &NOTICED, &everywhere(1, event));
}

#[test]
fn half_closed() {
    sessions(
        "half-closed",
        &NOTICED,
        &everywhere(53, |_| Event::HalfClose),
    );
}

#[test]
fn silent() {
    sessions("silent", &SILENT, &everywhere(97, |_| Event::Stall));
}

#[test]
fn spoilt() {
    sessions("spoilt", &SPOILT, &everywhere(97, |_| Event::Garbage));
}

#[test]
fn slow_and_byte_by_byte() {
    let delay = Fault::Delay(Duration::from_millis(5));
    let faults = [delay, Fault::Bytewise].map(|fault| Faults {
        to_server: fault,
        to_client: fault,
    });
    sessions("slow", &HARMLESS, &faults);
}
