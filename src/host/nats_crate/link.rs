//! One connection of the crate, and what its threads share with the client.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::convert::{connect_failed, crate_options, encode};
use crate::nats::servers::Server;
use crate::nats::session::{self, Session};
use crate::nats::{BrokerError, BrokerErrorKind as Kind, NatsOptions, SubscriptionId};
use crate::platform::{Millis, millis};

/// The subscription to a client's own inbox.
pub(super) const INBOX: SubscriptionId = SubscriptionId(0);
/// What ending a connection may take before it is left to its thread.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two attempts of the crate to reconnect.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// The crate ends a connection that was given up at its next attempt to reconnect, or after so many.
const MAX_RECONNECTS: usize = 10;

/// A connection of the crate. Its fields are dropped in this order: the crate is told to end before it
/// may reconnect.
pub(super) struct Link {
    subscriptions: Vec<(SubscriptionId, nats::Subscription, Receiver<()>)>,
    pub(super) connection: nats::Connection,
    pub(super) inbox: String,
    release: Sender<Duration>,
}

/// What the client shares with the crate's threads and those that empty its subscriptions.
pub(super) struct Shared {
    started: Instant,
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

pub(super) struct State {
    pub(super) session: Session,
    pub(super) link: Option<session::Link>,
    /// Counts connections: what comes late from another one is of no interest.
    epoch: u64,
    /// Why the connection is lost.
    pub(super) loss: Option<String>,
}

impl Shared {
    pub(super) fn new(session: Session) -> Self {
        Self {
            started: Instant::now(),
            state: Mutex::new(State {
                session,
                link: None,
                epoch: 0,
                loss: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// A panic elsewhere does not make the state wrong: no panic can happen while it is changed.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Millis {
        millis(self.started.elapsed())
    }

    /// Starts to take what comes on a new connection.
    fn start_epoch(&self, link: session::Link) -> u64 {
        let mut state = self.lock();
        (state.link, state.loss) = (Some(link), None);
        state.epoch += 1;
        state.epoch
    }

    /// Takes what came on a connection, in the server's words; nothing is the end of it.
    fn feed(&self, epoch: u64, bytes: &[u8]) {
        let (now, mut state) = (self.now(), self.lock());
        let current = state.epoch == epoch;
        let State {
            session,
            link,
            loss,
            ..
        } = &mut *state;
        let Some(link) = link.as_mut().filter(|_| current) else {
            return;
        };
        if bytes.is_empty() {
            loss.get_or_insert("it broke, or the server closed it".to_string());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match session.feed(link, rest, now) {
                Ok(used) => rest = rest.get(used..).unwrap_or_default(),
                Err(error) => {
                    loss.get_or_insert(error.to_string());
                    break;
                }
            }
        }
        self.changed.notify_all();
    }
}

impl Link {
    /// Connects to one server within `wait`.
    pub(super) fn open(
        shared: &Arc<Shared>,
        options: &NatsOptions,
        server: &Server,
        wait: Duration,
    ) -> Result<Self, BrokerError> {
        let invalid = |message| BrokerError::new(Kind::InvalidOption, message);
        let crate_options = crate_options(options, server).map_err(invalid)?;
        let (url, now) = (server.url.clone(), shared.now());
        let link = session::Link::new(url, options.ping_interval, options.timeout, now);
        let (release, released) = channel();
        let epoch = shared.start_epoch(link);
        // The crate keeps INFO to itself, and a connection begins with it.
        shared.feed(epoch, b"INFO {}\r\n");
        let crate_options = add_callbacks(crate_options, shared, epoch, released);
        let url = server.url.clone();
        let connected = start(move || crate_options.connect(url.as_str())).recv_timeout(wait);
        let silent = |_| BrokerError::new(Kind::Unreachable, "no answer in time");
        let connected = connected.map_err(silent);
        let connected = connected.and_then(|done| done.map_err(connect_failed));
        let connection = connected.inspect_err(|_| shared.lock().link = None)?;
        let inbox = connection.new_inbox();
        Ok(Self {
            subscriptions: Vec::new(),
            inbox: inbox.replacen("_INBOX", &options.inbox_prefix, 1),
            connection,
            release,
        })
    }

    /// Adds a subscription, whose messages a thread moves to the session as they come.
    pub(super) fn add(
        &mut self,
        shared: &Arc<Shared>,
        id: SubscriptionId,
        subscription: nats::Subscription,
    ) -> Result<(), BrokerError> {
        let (messages, shared) = (subscription.receiver().clone(), Arc::clone(shared));
        let (epoch, inbox) = (shared.lock().epoch, self.inbox.clone());
        let emptied = start(move || {
            messages.into_iter().for_each(|message| match id {
                INBOX => shared.feed(epoch, b"PONG\r\n"),
                // It came by a wildcard.
                _ if message.subject == inbox => {}
                id => shared.feed(epoch, &encode(id, &message)),
            });
        });
        if emptied.try_recv() == Err(TryRecvError::Disconnected) {
            return Err(BrokerError::new(Kind::Local, "no thread can be started"));
        }
        self.subscriptions.push((id, subscription, emptied));
        Ok(())
    }

    pub(super) fn remove(&mut self, id: SubscriptionId) -> Option<nats::Subscription> {
        let place = self
            .subscriptions
            .iter()
            .position(|(known, ..)| *known == id)?;
        Some(self.subscriptions.remove(place).1)
    }

    /// Ends the connection when all that it received is with the session, and what was published is
    /// written if it `is_alive`.
    pub(super) fn end(self, is_alive: bool) {
        let ended = start(move || {
            for (_, subscription, emptied) in self.subscriptions {
                drop(subscription);
                emptied.recv().ok();
            }
            if is_alive {
                drop(self.release);
                self.connection.close();
            }
        });
        ended.recv_timeout(END_TIMEOUT).ok();
    }
}

fn add_callbacks(
    options: nats::Options,
    shared: &Arc<Shared>,
    epoch: u64,
    released: Receiver<Duration>,
) -> nats::Options {
    let (on_loss, on_error) = (Arc::clone(shared), Arc::clone(shared));
    let (released, has_begun) = (Mutex::new(released), AtomicBool::new(false));
    options
        .max_reconnects(MAX_RECONNECTS)
        .reconnect_buffer_size(0)
        .disconnect_callback(move || on_loss.feed(epoch, b""))
        .error_callback(move |e| on_error.feed(epoch, format!("-ERR '{e}'\r\n").as_bytes()))
        .reconnect_delay_callback(move |_| {
            if !has_begun.swap(true, Ordering::Relaxed) {
                return Duration::ZERO;
            }
            // A lost connection is held until it is given up: it must not subscribe again.
            let released = released.lock().unwrap_or_else(PoisonError::into_inner);
            released.recv().unwrap_or(RECONNECT_PAUSE)
        })
}

/// Runs `work` on a thread. If none can be started there is no outcome.
pub(super) fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, outcome) = channel();
    thread::Builder::new().spawn(move || done.send(work())).ok();
    outcome
}
