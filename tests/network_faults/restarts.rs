//! A server that is killed and paused while messages are sent.
//!
//! nats-server keeps messages in memory: killed at the wrong moment, it may have confirmed one that
//! it has not passed on to its subscribers yet. So a kill waits until the witness has all that was
//! confirmed, and strikes while one more send is under way: before the server has it, or after the
//! server has confirmed it and before the sender knows. Nobody sends until the witness is back.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use natsbridge::host::NatsOptions;
use natsbridge::{BrokerErrorKind as Kind, ErrorKind, Payload, SendOptions};

use crate::common::LONG;
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
        let options = SendOptions::default().timeout(WAIT).msg_id(text.as_str());
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

    /// The last sends, all of them during an outage.
    fn assert_failed<const COUNT: usize>(&self, kinds: [Kind; COUNT]) {
        let last = &self.sends[self.sends.len() - COUNT..];
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

/// One send waits until its time is over. That is when the server is given up, too: the loss is reported
/// to that send or to the next one, which does not begin then. Another one finds nobody.
fn pause(server: &NatsServer, sender: &mut Sender) {
    server.pause();
    sender.send();
    if let Some((_, Err(Kind::Timeout))) = sender.sends.last() {
        sender.send();
    }
    sender.assert_failed([Kind::Disconnected]);
    sender.send();
    sender.assert_failed([Kind::Disconnected, Kind::Unreachable]);
    server.resume();
}

/// Killed at any moment: what was confirmed stands in the server's own trace, which it writes before
/// it confirms.
#[test]
fn whatever_was_confirmed_the_server_had() {
    let server = Mutex::new(NatsServer::start_with("trace: true"));
    let proxy = Proxy::start(server.lock().unwrap().port(), Faults::default());
    let mut sender = Sender::new(&proxy);
    let (confirmed, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|threads| {
        threads.spawn(|| {
            for kill in 1..=KILLS {
                while confirmed.load(Ordering::Relaxed) < kill * 100 {
                    thread::yield_now();
                }
                let mut server = server.lock().unwrap();
                server.kill();
                server.restart();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            sender.send();
            match sender.sends.last().unwrap().1 {
                Ok(()) => {
                    confirmed.fetch_add(1, Ordering::Relaxed);
                }
                // Until it is back.
                Err(_) => drop(server.lock().unwrap()),
            }
        }
    });
    let log = server.into_inner().unwrap().log();
    let traced: HashSet<_> = log.lines().filter_map(text_in_trace).collect();
    let confirmed = sender.sends.iter().filter(|(_, sent)| sent.is_ok());
    for (text, _) in confirmed.clone() {
        assert!(traced.contains(text.as_str()), "{text} was confirmed");
    }
    let (sends, confirmed) = (sender.sends.len(), confirmed.count());
    println!("{sends} sends: {confirmed} Ok, all of them traced; {KILLS} restarts");
}

/// The message id of a sender's message, as the trace quotes it.
fn text_in_trace(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(r#"<<- MSG_PAYLOAD: ["#)?;
    let (_, id) = rest.split_once(r#"\"msg_id\":\""#)?;
    Some(id.split_once('\\')?.0)
}
