//! A server that is killed and paused while messages are sent.
//!
//! nats-server keeps messages in memory: killed at the wrong moment, it may have confirmed one that
//! it has not passed on to its subscribers yet. So a kill waits until the witness has all that was
//! confirmed, and strikes while one more send is under way: before the server has it, or after the
//! server has confirmed it and before the sender knows. Nobody sends until the witness is back.

use std::thread;
use std::time::{Duration, Instant};

use natsbridge::host::NatsOptions;
use natsbridge::{BrokerErrorKind as Kind, ErrorKind, Payload, SendOptions};

use crate::common::contract::LONG;
use crate::common::nats_server::NatsServer;
use crate::common::proxy::{Direction, Faults, Proxy};
use crate::within;
use crate::witness::{Bridge, Sends, Witness, bridge, check};

const SENDS: usize = 10_000;
const KILLS: usize = 10;
const PAUSES: usize = 3;
/// Each time limit of the sender.
const WAIT: Duration = Duration::from_secs(1);

struct Sender {
    bridge: Bridge,
    sends: Sends,
}

impl Sender {
    fn new(proxy: &Proxy) -> Self {
        let options = NatsOptions::new(&format!("nats://{}", proxy.address()));
        Self {
            bridge: bridge(options.connect_timeout(WAIT).timeout(WAIT)),
            sends: Sends::new(),
        }
    }

    fn send(&mut self) {
        let text = self.sends.len().to_string();
        let payloads = [("text", Payload::text(text.as_str()))];
        let options = SendOptions::default().timeout(WAIT);
        let sent = within(3 * WAIT, || {
            let sent = self
                .bridge
                .smartsend("faults.restarts", &payloads, &options);
            sent.map(drop)
        });
        let sent = sent.map_err(|error| match error.kind() {
            ErrorKind::Broker(kind) => kind,
            _ => panic!("{error:?}"),
        });
        self.sends.push((text, sent));
    }

    fn send_until(&mut self, count: usize) {
        while self.sends.len() < count {
            self.send();
            assert_eq!(self.sends.last().unwrap().1, Ok(()));
        }
    }

    /// Two sends during an outage: one that it hits, and one that finds nobody.
    fn assert_failed(&self, kinds: [Kind; 2]) {
        let last = &self.sends[self.sends.len() - 2..];
        let failed: Vec<_> = last.iter().map(|(_, sent)| *sent).collect();
        assert_eq!(failed, kinds.map(Err));
    }
}

#[test]
fn ten_thousand_sends_while_the_server_is_killed_and_paused() {
    let started = Instant::now();
    let mut server = NatsServer::start();
    let witness = Witness::start(&server);
    let proxy = Proxy::start(server.port(), Faults::default());
    let mut sender = Sender::new(&proxy);
    let outages = KILLS + PAUSES;
    for outage in 0..outages {
        sender.send_until((outage + 1) * SENDS / (outages + 1));
        if outage % 4 == 3 {
            pause(&server, &mut sender);
        } else {
            kill(&mut server, &mut sender, &proxy, &witness, outage);
        }
    }
    sender.send_until(SENDS);
    let count = check(&sender.sends, witness.finish());
    let taken = started.elapsed();
    println!("{count}; {KILLS} restarts, {PAUSES} pauses, {taken:.1?}");
}

fn kill(
    server: &mut NatsServer,
    sender: &mut Sender,
    proxy: &Proxy,
    witness: &Witness,
    outage: usize,
) {
    let confirmed = sender.sends.last().unwrap().0.clone();
    let connections = witness.connections();
    proxy.stall([Direction::ToClient, Direction::ToServer][outage % 2]);
    thread::scope(|threads| {
        let under_way = threads.spawn(|| sender.send());
        assert!(proxy.has_kept_back(LONG), "the send does not go out");
        witness.wait_for_text(&confirmed);
        server.kill();
        under_way.join().unwrap();
    });
    sender.send();
    sender.assert_failed([Kind::Disconnected, Kind::Unreachable]);
    server.restart();
    witness.wait_for_connection(connections + 1);
}

/// Nobody loses the connection, so nothing but time is lost.
fn pause(server: &NatsServer, sender: &mut Sender) {
    server.pause();
    sender.send();
    sender.send();
    sender.assert_failed([Kind::Timeout, Kind::Unreachable]);
    server.resume();
}
