//! A subscriber with a connection of its own, who tells what really arrived.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{BrokerErrorKind, NatsBridge, NoFileServer, Payload, SendOptions};

use crate::common::LONG;
use crate::common::nats_server::NatsServer;

/// What it listens to.
const SUBJECTS: &str = "faults.>";
/// The last message.
const END: &str = "faults.end";
/// Between two looks for a server that is about to come back.
const POLL_PAUSE: Duration = Duration::from_millis(5);

pub type Bridge = NatsBridge<NatsClient, NoFileServer, StdPlatform>;

pub fn bridge(options: NatsOptions) -> Bridge {
    NatsBridge::new(NatsClient::new(options), NoFileServer, StdPlatform)
}

/// Texts that were sent, and the errors of those that failed.
pub type Sends = Vec<(String, Result<(), BrokerErrorKind>)>;
/// Texts, and how often each came.
pub type Received = BTreeMap<String, u32>;

/// Every `Ok` has arrived once, everything else at most once. The numbers of it, in words.
pub fn check(sends: &Sends, mut received: Received) -> String {
    let (mut confirmed, mut received_all_the_same) = (0, 0);
    for (text, sent) in sends {
        match (sent, received.remove(text)) {
            (Ok(()), Some(1)) => confirmed += 1,
            (Err(_), Some(1)) => received_all_the_same += 1,
            (Err(_), None) => {}
            (sent, times) => panic!("{text}: {sent:?}, received {times:?} times"),
        }
    }
    assert!(received.is_empty(), "never sent: {received:?}");
    let (count, failed) = (sends.len(), sends.len() - confirmed);
    format!(
        "{count} sends: {confirmed} Ok, all of them received once; {failed} errors, \
         {received_all_the_same} of them received once"
    )
}

pub struct Witness {
    server_url: String,
    state: Arc<(Mutex<State>, Condvar)>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    received: Received,
    /// Connections made, this one and those before it.
    connections: u32,
}

impl Witness {
    /// Listens when this returns.
    pub fn start(server: &NatsServer) -> Self {
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let (shared, url) = (Arc::clone(&state), server.url());
        let witness = Self {
            server_url: server.url(),
            state,
            thread: thread::spawn(move || listen(&url, &shared)),
        };
        witness.wait_for(|state| state.connections == 1);
        witness
    }

    fn wait_for(&self, is_met: impl Fn(&State) -> bool) {
        let (state, changed) = &*self.state;
        let state = state.lock().unwrap();
        let waited = changed.wait_timeout_while(state, LONG, |state| !is_met(state));
        assert!(!waited.unwrap().1.timed_out(), "the witness has lost track");
    }

    /// Waits until this has arrived.
    pub fn wait_for_text(&self, text: &str) {
        self.wait_for(|state| state.received.contains_key(text));
    }

    /// Connections that it has listened on.
    pub fn connections(&self) -> u32 {
        self.state.0.lock().unwrap().connections
    }

    /// Waits until it listens on its connection number `number`.
    pub fn wait_for_connection(&self, number: u32) {
        self.wait_for(|state| state.connections >= number);
    }

    /// All that has arrived, the end itself left out.
    pub fn finish(self) -> Received {
        let mut sender = bridge(NatsOptions::new(&self.server_url));
        let end = [("text", Payload::text(END))];
        sender
            .smartsend(END, &end, &SendOptions::default())
            .unwrap();
        self.thread.join().unwrap();
        let mut received = std::mem::take(&mut self.state.0.lock().unwrap().received);
        received.remove(END);
        received
    }
}

fn listen(url: &str, (state, changed): &(Mutex<State>, Condvar)) {
    let mut bridge = bridge(NatsOptions::new(url));
    bridge.subscribe(SUBJECTS, None).unwrap();
    let change = |change: &dyn Fn(&mut State)| {
        change(&mut state.lock().unwrap());
        changed.notify_all();
    };
    let mut is_connected = false;
    loop {
        if !is_connected {
            while bridge.flush(LONG).is_err() {
                thread::sleep(POLL_PAUSE);
            }
            is_connected = true;
            change(&|state| state.connections += 1);
        }
        match bridge.next(Duration::from_secs(60)) {
            Ok(Some(message)) => {
                let text = message.payloads[0].1.as_text().unwrap_or_default();
                change(&|state| *state.received.entry(text.to_string()).or_default() += 1);
                if text == END {
                    return;
                }
            }
            Ok(None) => panic!("nothing came for a minute"),
            Err(_) => is_connected = false,
        }
    }
}
