//! What the clones of a client and their two threads share.
//!
//! Three locks: `socket` is held while bytes are written, `writer` while they are made, `state` only for
//! moments. Whoever needs several takes them in this order. While some bytes are written further ones are
//! made, and then written together. The reader thread waits for neither `socket` nor `writer` as long as
//! its connection lasts, so that a server which does not read cannot keep it from reading. A caller that reads
//! in its place (`lend.rs`) holds no lock meanwhile.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use super::failure::{Failure, join};
use super::lock::lock;
use super::source::Source;
use super::stream::{Handle, ReadHalf};
use super::writer::{Socket, Writer};
use crate::nats::options::NatsOptions;
use crate::nats::servers::Servers;
use crate::nats::session::{ClientId, Link, Session};
use crate::nats::{BrokerError, BrokerErrorKind as Kind, DEFAULT_MAX_PAYLOAD};
use crate::platform::{Millis, deadline_after};

/// Bytes of messages that may wait for one client, and of one message, by default.
const MAX_PENDING: usize = 64 << 20;

pub(super) struct Connection {
    pub(super) options: NatsOptions,
    started: Instant,
    state: Mutex<State>,
    /// Wakes the reader thread: a connection is wanted, or nobody wants one any more.
    pub(super) wanted: Condvar,
    pub(super) socket: Mutex<Socket>,
    pub(super) writer: Mutex<Writer>,
    /// Wakes the keeper thread: there is something to write.
    pub(super) to_write: Condvar,
    /// PONGs or PINGs are to be written.
    pub(super) has_control_due: AtomicBool,
    /// Wakes the reader thread: it is to take back what it has lent.
    pub(super) wanted_back: Condvar,
    /// Counts what was read. Changed only with `state` locked.
    pub(super) reads: AtomicU32,
}

pub(super) struct State {
    pub(super) session: Session,
    /// Parsed at the first connect.
    pub(super) servers: Option<Servers>,
    pub(super) link: Option<Link>,
    /// Ends the connection of `link`.
    pub(super) handle: Option<Handle>,
    /// The connection that was moved away from, until all that was written on it is answered.
    pub(super) old: Option<(Link, Handle)>,
    /// What the reader thread reads after that.
    pub(super) next_reader: Option<(ReadHalf, Vec<u8>)>,
    /// Counts connections: what was begun on one is not continued on another.
    pub(super) epoch: u64,
    pub(super) max_payload: usize,
    pub(super) has_reader: bool,
    pub(super) has_keeper: bool,
    pub(super) is_closed: bool,
    /// What the reader thread reads from, while it leaves that to callers and none of them reads.
    pub(super) lent: Option<Source>,
    /// The last PING was answered at once.
    pub(super) is_near: bool,
    /// How many were since a caller fell asleep.
    pub(super) quick_answers: u32,
    /// The server is about to close its connections.
    pub(super) should_move: bool,
    /// Callers that wait for a connection.
    pub(super) waiting: usize,
    /// A connection was lost just now.
    pub(super) was_lost: bool,
    /// Rounds through all servers that were begun.
    pub(super) rounds: u64,
    /// The last one of them that failed.
    pub(super) failed_round: u64,
    pub(super) failure: Option<Failure>,
    /// Why the servers failed that were tried in the round that goes on.
    pub(super) round: Vec<(String, Failure)>,
    /// The connection is given up because the caller wants another one.
    pub(super) is_given_up: bool,
    clients: Vec<(ClientId, Arc<Condvar>)>,
}

impl Connection {
    pub(super) fn new(options: NatsOptions) -> Arc<Self> {
        let max_message_size = options.max_message_size.unwrap_or(MAX_PENDING);
        let max_pending = options.max_pending.unwrap_or(MAX_PENDING);
        Arc::new(Self {
            options,
            started: Instant::now(),
            state: Mutex::new(State {
                session: Session::new(max_message_size, max_pending),
                servers: None,
                link: None,
                handle: None,
                old: None,
                next_reader: None,
                epoch: 0,
                max_payload: DEFAULT_MAX_PAYLOAD,
                has_reader: false,
                has_keeper: false,
                is_closed: false,
                lent: None,
                is_near: false,
                quick_answers: 0,
                should_move: false,
                waiting: 0,
                was_lost: false,
                rounds: 0,
                failed_round: 0,
                failure: None,
                round: Vec::new(),
                is_given_up: false,
                clients: Vec::new(),
            }),
            wanted: Condvar::new(),
            socket: Mutex::default(),
            writer: Mutex::default(),
            to_write: Condvar::new(),
            has_control_due: AtomicBool::new(false),
            wanted_back: Condvar::new(),
            reads: AtomicU32::new(0),
        })
    }

    pub(super) fn options(&self) -> &NatsOptions {
        &self.options
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn now(&self) -> Millis {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    // Clients.

    pub(super) fn add_client(&self) -> ClientId {
        let mut state = self.state();
        let id = state.session.add_client();
        state.clients.push((id, Arc::default()));
        id
    }

    /// Ends a client's subscriptions, and with the last client everything.
    pub(super) fn remove_client(&self, id: ClientId) {
        let ids = {
            let mut state = self.state();
            state.clients.retain(|(known, _)| *known != id);
            let ids = state.session.remove_client(id);
            if state.clients.is_empty() {
                state.is_closed = true;
            }
            ids
        };
        let is_closed = self.state().is_closed;
        if is_closed {
            self.disconnect("the client was dropped");
            self.wanted.notify_all();
            // Under the lock the keeper is either waiting or about to see that all is over.
            let writer = lock(&self.writer);
            self.to_write.notify_all();
            drop(writer);
        } else {
            self.write_unsubscribes(&ids);
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state().link.is_some()
    }

    pub(super) fn connected_url(&self) -> Option<String> {
        self.state().link.as_ref().map(|link| link.url.clone())
    }

    pub(super) fn max_payload(&self) -> usize {
        self.state().max_payload
    }

    pub(super) fn has_unconfirmed(&self, id: ClientId) -> bool {
        self.state().session.has_unconfirmed(id)
    }

    // Connecting.

    pub(super) fn connect(self: &Arc<Self>, id: ClientId) -> Result<(), BrokerError> {
        self.await_connection(id, deadline_after(self.options.connect_timeout))
    }

    /// Waits until there is a connection, or a round through all servers has failed. One that was begun
    /// before, when things may have been worse, only counts if its failure will not go away.
    pub(super) fn await_connection(
        self: &Arc<Self>,
        id: ClientId,
        deadline: Instant,
    ) -> Result<(), BrokerError> {
        let mut state = self.state();
        let condvar = state.condvar(id);
        let (rounds, failed_round) = (state.rounds, state.failed_round);
        state.waiting += 1;
        let done = loop {
            if let Err(error) = self.want_connection(&mut state) {
                break Err(error);
            }
            if state.link.is_some() {
                break Ok(());
            }
            if let Some(failure) = &state.failure
                && (state.failed_round > rounds
                    || state.failed_round > failed_round && !failure.is_transient())
            {
                break Err(failure.to_error());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Err(self.no_connection(&state));
            }
            state = self.sleep(&condvar, state, left);
        };
        state.waiting -= 1;
        done.map_err(BrokerError::not_sent)
    }

    /// Has the reader thread make a connection.
    pub(super) fn want_connection(self: &Arc<Self>, state: &mut State) -> Result<(), BrokerError> {
        if state.link.is_some() {
            return Ok(());
        }
        if !state.has_reader {
            let reader = Arc::clone(self);
            start_thread("nats-reader", move || reader.run_reader())
                .map_err(|failure| failure.to_error())?;
            state.has_reader = true;
        }
        self.wanted.notify_all();
        Ok(())
    }

    fn no_connection(&self, state: &State) -> BrokerError {
        match &state.failure {
            Some(failure) => failure.to_error(),
            None if !state.round.is_empty() => join(&state.round).to_error(),
            None => {
                let url = self.options.public_url();
                let message = alloc::format!("no connection to {url} in time");
                BrokerError::new(Kind::Unreachable, message)
            }
        }
    }

    /// Takes what INFO says.
    pub(super) fn take_news(&self, state: &mut State) {
        let Some(link) = &mut state.link else { return };
        let url = link.url.clone();
        if let Some(info) = link.take_news() {
            state.max_payload = info.max_payload;
            state.should_move |= info.lame_duck;
            if let Some(servers) = &mut state.servers {
                servers.announced(&info.connect_urls, &url);
            }
        }
    }

    // Losing the connection.

    /// Gives up the connection, whichever it is.
    pub(super) fn disconnect(&self, cause: &str) {
        let epoch = {
            let mut state = self.state();
            state.is_given_up = true;
            state.epoch
        };
        self.lose(epoch, cause.to_string());
    }

    /// Gives up the connection of `epoch`, unless that has happened already.
    pub(super) fn lose(&self, epoch: u64, cause: String) {
        let mut state = self.state();
        if state.epoch != epoch {
            return;
        }
        let Some(link) = state.link.take() else {
            return;
        };
        state.epoch += 1;
        let cause = link.refusal().map_or(cause, ToString::to_string);
        state.session.lost(&link, cause);
        if let Some(servers) = &mut state.servers {
            servers.try_last(&link.url);
        }
        state.was_lost = true;
        state.should_move = false;
        state.quick_answers = 0;
        if let Some(handle) = state.handle.take() {
            handle.shut_down();
        }
        if let Some((_, handle)) = state.old.take() {
            handle.shut_down();
        }
        state.next_reader = None;
        state.wake_all();
        self.wanted_back.notify_one();
        drop(state);
        self.drop_socket(epoch);
    }

    /// Gives back the socket of a connection that is lost. Who is writing to it notices by itself.
    pub(super) fn drop_socket(&self, epoch: u64) {
        if let Ok(mut socket) = self.socket.try_lock()
            && socket.epoch == epoch
        {
            socket.half = None;
        }
    }
}

impl State {
    /// The connection, if it is the one that `writer` is for.
    pub(super) fn link_of(&mut self, writer: &Writer) -> Option<&mut Link> {
        self.link.as_mut().filter(|_| writer.epoch == self.epoch)
    }

    pub(super) fn condvar(&self, id: ClientId) -> Arc<Condvar> {
        let client = self.clients.iter().find(|(known, _)| *known == id);
        client
            .map(|(_, condvar)| Arc::clone(condvar))
            .unwrap_or_default()
    }

    pub(super) fn wake_all(&self) {
        self.clients
            .iter()
            .for_each(|(_, condvar)| condvar.notify_all());
    }

    /// Collects what those wait on for whom something has come.
    pub(super) fn take_woken(&mut self, woken: &mut Vec<Arc<Condvar>>) {
        for (id, condvar) in &self.clients {
            if self.session.take_woken(*id) {
                woken.push(Arc::clone(condvar));
            }
        }
    }
}

/// Starts a thread that ends with the last client.
pub(super) fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = thread::Builder::new().name(name.to_string()).spawn(run);
    started.map(drop).map_err(|error| {
        let message = alloc::format!("a thread cannot be started: {error}");
        Failure::new(Kind::Local, message)
    })
}
