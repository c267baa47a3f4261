//! A connection to NATS that is cut behind every byte, in every way.

use natsbridge::adapter::{Broker, BrokerError};
use natsbridge::board::NatsClient;

use crate::common::faulty_stack::{CUTS, Clock, Cut, DIALECTS, Dialect, Faults};
use crate::nats::{Client, Stack, WAIT, options, publish, world};

/// Calls that may fail because of one cut: a publish or flush of what was under way, and a `next` that may
/// have missed something.
const MOST_FAILURES: usize = 2;

struct Run {
    clock: Clock,
    stack: Stack,
    client: Client,
    confirmed: Vec<Vec<u8>>,
    failures: usize,
}

impl Run {
    fn new(dialect: Dialect, faults: Faults) -> Self {
        let (clock, stack) = world(dialect);
        stack.set(faults);
        // A silent server is given up before a flush ends.
        let options = options().ping_interval(WAIT / 4).timeout(WAIT / 2);
        let client = NatsClient::new(stack.clone(), clock.clone(), options);
        Self {
            clock,
            stack,
            client,
            confirmed: Vec::new(),
            failures: 0,
        }
    }

    /// Repeats a call until it succeeds. A call that writes may first have to connect.
    fn until_ok<T>(&mut self, mut call: impl FnMut(&mut Client) -> Result<T, BrokerError>) -> T {
        loop {
            let client = &mut self.client;
            match self.clock.within(2 * WAIT, || call(client)) {
                Ok(done) => return done,
                Err(_) => self.failures += 1,
            }
            assert!(self.failures <= MOST_FAILURES);
        }
    }

    fn send(&mut self, body: &[u8]) {
        loop {
            self.until_ok(|client| publish(client, body));
            let client = &mut self.client;
            match self.clock.within(2 * WAIT, || client.flush(WAIT)) {
                Ok(()) => break,
                Err(_) => self.failures += 1,
            }
            assert!(self.failures <= MOST_FAILURES);
        }
        self.confirmed.push(body.to_vec());
    }

    /// Sends and receives, and loses nothing that was confirmed.
    fn exchange(&mut self) {
        self.until_ok(|client| client.subscribe("a", None).map(drop));
        self.until_ok(|client| client.flush(WAIT));
        for body in [&b"first"[..], &[7; 600], b"third"] {
            self.send(body);
            self.until_ok(|client| client.next(WAIT));
        }
        self.send(b"last");
        while self
            .until_ok(|client| client.next(WAIT))
            .expect("a message")
            .payload
            != b"last"
        {}
        let published = self.stack.peer(|peer| peer.published.clone());
        for body in &self.confirmed {
            assert!(published.contains(body), "{}", body.escape_ascii());
        }
    }
}

/// Cuts after each number of bytes, until there are no more.
fn cut_everywhere(dialect: Dialect, cut: Cut, faults: impl Fn(usize) -> Faults) {
    for after in 0.. {
        let faults = Faults {
            cut: Some(cut),
            ..faults(after)
        };
        let mut run = Run::new(dialect, faults);
        run.exchange();
        let was_cut = run.stack.connects() > 1;
        assert!(was_cut || run.failures == 0);
        let stack = run.stack.clone();
        drop(run);
        assert_eq!(stack.free(), 2, "{dialect:?} {cut:?} {after}");
        if !was_cut {
            assert!(after > 300, "the exchange has {after} bytes");
            return;
        }
    }
}

#[test]
fn behind_every_byte_sent() {
    for dialect in DIALECTS {
        for cut in CUTS {
            cut_everywhere(dialect, cut, |cut_after_sent| Faults {
                cut_after_sent,
                ..Faults::default()
            });
        }
    }
}

#[test]
fn behind_every_byte_received() {
    for dialect in DIALECTS {
        for cut in CUTS {
            cut_everywhere(dialect, cut, |cut_after_received| Faults {
                cut_after_received,
                max_receive: 5,
                ..Faults::default()
            });
        }
    }
}
