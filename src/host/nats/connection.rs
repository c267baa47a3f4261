//! What the clones of a client and their two threads share.
//!
//! Two locks: `writer` is held while bytes are made and written, `state` only for moments. Whoever needs
//! both takes `writer` first. The reader thread never waits for `writer`, so that a server which does
//! not read cannot keep it from reading.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::connect::{Failure, join};
use super::stream::{Handle, ReadHalf, WriteHalf, WriteLimit};
use crate::nats::options::NatsOptions;
use crate::nats::protocol;
use crate::nats::servers::Servers;
use crate::nats::session::{ClientId, Confirmation, Link, Millis, Session};
use crate::nats::{
    BrokerError, BrokerErrorKind as Kind, DEFAULT_MAX_PAYLOAD, Message, Outgoing, SubscriptionId,
};
use crate::platform::deadline_after;
use crate::stream::{Body, StreamError, check_length};

/// What waits to be written is written by the caller once it has this many bytes.
const WRITE_BUFFER: usize = 64 << 10;
/// A longer buffer is given back after it was written.
const KEPT_BUFFER: usize = 256 << 10;
/// Bytes of messages that may wait for one client, and of one message, by default.
const MAX_PENDING: usize = 64 << 20;
/// A write is given one more second for this many bytes.
const SLOWEST_WRITE: u64 = 65_536;

pub(super) struct Connection {
    pub(super) options: NatsOptions,
    started: Instant,
    state: Mutex<State>,
    /// Wakes the reader thread: a connection is wanted, or nobody wants one any more.
    pub(super) wanted: Condvar,
    pub(super) writer: Mutex<Writer>,
    /// Wakes the keeper thread: there is something to write.
    pub(super) to_write: Condvar,
    /// PONGs or PINGs are to be written.
    pub(super) has_control_due: AtomicBool,
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
    max_payload: usize,
    pub(super) has_reader: bool,
    pub(super) has_keeper: bool,
    pub(super) is_closed: bool,
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

pub(super) struct Writer {
    pub(super) half: Option<WriteHalf>,
    /// The connection that `half` belongs to.
    pub(super) epoch: u64,
    pub(super) buffer: Vec<u8>,
    /// The keeper thread waits to be woken.
    pub(super) is_keeper_idle: bool,
}

/// A panic elsewhere does not make the state wrong: no panic can happen while it is changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            writer: Mutex::new(Writer {
                half: None,
                epoch: 0,
                buffer: Vec::new(),
                is_keeper_idle: false,
            }),
            to_write: Condvar::new(),
            has_control_due: AtomicBool::new(false),
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
    fn await_connection(
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
            state = wait(&condvar, state, left);
        };
        state.waiting -= 1;
        done.map_err(BrokerError::not_sent)
    }

    /// Has the reader thread make a connection.
    fn want_connection(self: &Arc<Self>, state: &mut State) -> Result<(), BrokerError> {
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
        if let Some(handle) = state.handle.take() {
            handle.shut_down();
        }
        if let Some((_, handle)) = state.old.take() {
            handle.shut_down();
        }
        state.next_reader = None;
        state.wake_all();
        drop(state);
        // Who has the lock notices by itself.
        if let Ok(mut writer) = self.writer.try_lock()
            && writer.epoch == epoch
        {
            writer.half = None;
        }
    }

    // Writing.

    /// How long a write of so many bytes may take.
    fn write_limit(&self, len: usize) -> WriteLimit {
        let idle = self.options.timeout;
        let for_bytes = Duration::from_secs(len as u64 / SLOWEST_WRITE);
        let deadline = deadline_after(idle.saturating_add(for_bytes));
        WriteLimit { deadline, idle }
    }

    pub(super) fn publish(
        self: &Arc<Self>,
        id: ClientId,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError> {
        let deadline = deadline_after(self.options.connect_timeout);
        let mut writer = loop {
            let writer = lock(&self.writer);
            if self.begin_publish(id, &writer, message, body)? {
                break writer;
            }
            drop(writer);
            self.await_connection(id, deadline)?;
        };
        writer.append_message(message, body)?;
        if writer.buffer.len() < WRITE_BUFFER {
            self.wake_keeper(&mut writer);
            return Ok(());
        }
        self.write_out(&mut writer).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::TimedOut => Kind::Timeout,
                _ => Kind::Disconnected,
            };
            // Reported here, and so not by the next flush.
            let loss = self.state().session.take_loss(id);
            let message = loss.map_or_else(String::new, |loss| loss.to_string());
            BrokerError::new(kind, message).with_source(error)
        })
    }

    /// Whether there is a connection to publish on.
    fn begin_publish(
        &self,
        id: ClientId,
        writer: &Writer,
        message: &Outgoing<'_>,
        body: &dyn Body,
    ) -> Result<bool, BrokerError> {
        let mut state = self.state();
        if let Some(loss) = state.session.take_loss(id) {
            return Err(loss.not_sent());
        }
        let max_payload = state.max_payload;
        let Some(link) = state.link_of(writer) else {
            return Ok(false);
        };
        let len = message.check_len(body, max_payload)?;
        let has_headers = link.info.as_ref().is_some_and(|info| info.headers);
        if !message.headers.is_empty() && !has_headers {
            let text = alloc::format!("{} does not support headers", link.url);
            return Err(BrokerError::new(Kind::InvalidHeader, text));
        }
        link.wrote(len);
        state.session.publish(id, message.subject);
        Ok(true)
    }

    /// Sees to it that what waits to be written is written soon.
    pub(super) fn wake_keeper(&self, writer: &mut Writer) {
        if core::mem::take(&mut writer.is_keeper_idle) {
            self.to_write.notify_one();
        }
    }

    /// Writes all that waits to be written. If that fails the connection is lost.
    pub(super) fn write_out(&self, writer: &mut Writer) -> io::Result<()> {
        if self.has_control_due.swap(false, Ordering::Relaxed) {
            let now = self.now();
            let mut state = self.state();
            if let Some(link) = state.link_of(writer) {
                link.write_control(now, &mut writer.buffer);
            }
        }
        if writer.buffer.is_empty() {
            return Ok(());
        }
        let limit = self.write_limit(writer.buffer.len());
        let written = match &mut writer.half {
            Some(half) => half.write_all(&writer.buffer, limit),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        writer.buffer.clear();
        writer.buffer.shrink_to(KEPT_BUFFER);
        written.inspect_err(|error| {
            let cause = match error.kind() {
                io::ErrorKind::TimedOut => "the server does not read what is written".to_string(),
                _ => error.to_string(),
            };
            self.lose(writer.epoch, cause);
            writer.half = None;
        })
    }

    pub(super) fn flush(self: &Arc<Self>, id: ClientId, wait: Duration) -> Result<(), BrokerError> {
        let deadline = deadline_after(wait);
        loop {
            match self.send_ping(id)? {
                Some((confirmation, losses)) => {
                    if let Some(done) = self.await_pong(id, confirmation, losses, deadline) {
                        return done;
                    }
                }
                None => self.await_connection(id, deadline)?,
            }
        }
    }

    /// Writes all that waits to be written, with a PING behind it; nothing without a connection.
    ///
    /// # Errors
    /// What is not confirmed was on a connection that is lost. This is looked for in the same moment in
    /// which the PING is noted: on a connection made in between it would confirm what was lost.
    fn send_ping(&self, id: ClientId) -> Result<Option<(Confirmation, u32)>, BrokerError> {
        let mut writer = lock(&self.writer);
        let sent = {
            let mut state = self.state();
            if let Some(loss) = state.session.take_loss(id) {
                return Err(loss);
            }
            let State {
                session,
                link,
                epoch,
                ..
            } = &mut *state;
            let Some(link) = link.as_mut().filter(|_| writer.is_of(*epoch)) else {
                return Ok(None);
            };
            (session.ping_sent(link, id, self.now()), session.losses())
        };
        protocol::ping(&mut writer.buffer);
        // A failure shows as a loss.
        self.write_out(&mut writer).ok();
        Ok(Some(sent))
    }

    /// Waits for the answer to a PING; `None` if its connection was lost.
    fn await_pong(
        &self,
        id: ClientId,
        confirmation: Confirmation,
        losses: u32,
        deadline: Instant,
    ) -> Option<Result<(), BrokerError>> {
        let mut state = self.state();
        let condvar = state.condvar(id);
        loop {
            if state.session.losses() != losses {
                return None;
            }
            // What was written on the old connection before a move is confirmed there.
            if state.old.is_none() && state.session.is_confirmed(id, confirmation) {
                return Some(state.session.confirm(id));
            }
            let (now, at) = (self.now(), Instant::now());
            let left = deadline.saturating_duration_since(at);
            let link = state.link.as_ref()?;
            let silent_in = Duration::from_millis(link.wake_at().saturating_sub(now));
            if silent_in.is_zero() {
                let (epoch, cause) = (state.epoch, link.silence().to_string());
                drop(state);
                self.lose(epoch, cause);
                return None;
            }
            if left.is_zero() {
                let text = alloc::format!("{} has not confirmed in time", link.url);
                return Some(Err(BrokerError::new(Kind::Timeout, text)));
            }
            state = wait(&condvar, state, left.min(silent_in));
        }
    }

    // Subscribing.

    pub(super) fn subscribe(
        self: &Arc<Self>,
        id: ClientId,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        let deadline = deadline_after(self.options.connect_timeout);
        loop {
            let mut writer = lock(&self.writer);
            let mut state = self.state();
            if state.link_of(&writer).is_some() {
                let subscribed = state.session.subscribe(id, subject, queue);
                drop(state);
                let subscription = subscribed.map_err(no_memory)?;
                protocol::subscribe(&mut writer.buffer, subject, queue, subscription.0);
                self.wake_keeper(&mut writer);
                return Ok(subscription);
            }
            drop((state, writer));
            self.await_connection(id, deadline)?;
        }
    }

    pub(super) fn unsubscribe(
        &self,
        id: ClientId,
        subscription: SubscriptionId,
    ) -> Result<(), BrokerError> {
        if self.state().session.unsubscribe(id, subscription) {
            self.write_unsubscribes(&[subscription]);
        }
        Ok(())
    }

    fn write_unsubscribes(&self, ids: &[SubscriptionId]) {
        if ids.is_empty() {
            return;
        }
        let mut writer = lock(&self.writer);
        if self.state().link_of(&writer).is_some() {
            for id in ids {
                protocol::unsubscribe(&mut writer.buffer, id.0);
            }
            self.wake_keeper(&mut writer);
        }
    }

    pub(super) fn drain(self: &Arc<Self>, id: ClientId, wait: Duration) -> Result<(), BrokerError> {
        let ids = self.state().session.drain(id);
        self.write_unsubscribes(&ids);
        let flushed = self.flush(id, wait);
        self.state().session.end_drained(id);
        flushed
    }

    // Receiving.

    pub(super) fn next(
        self: &Arc<Self>,
        id: ClientId,
        of: Option<SubscriptionId>,
        limit: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        let deadline = deadline_after(limit);
        let mut state = self.state();
        state.waiting += 1;
        let (mut state, next) = self.await_next(state, id, of, deadline);
        state.waiting -= 1;
        state.session.stop_waiting(id);
        next
    }

    fn await_next<'c>(
        self: &'c Arc<Self>,
        mut state: MutexGuard<'c, State>,
        id: ClientId,
        of: Option<SubscriptionId>,
        deadline: Instant,
    ) -> (MutexGuard<'c, State>, Result<Option<Message>, BrokerError>) {
        let condvar = state.condvar(id);
        let failed_round = state.failed_round;
        loop {
            let now = self.now();
            let event = match of {
                Some(subscription) => state.session.next_of(id, subscription),
                None => state.session.next(id, now),
            };
            if let Some(event) = event {
                return (state, event.map(Some));
            }
            if let Err(error) = self.want_connection(&mut state) {
                return (state, Err(error));
            }
            if state.link.is_none()
                && state.failed_round > failed_round
                && let Some(failure) = &state.failure
                && !failure.is_transient()
            {
                let error = failure.to_error();
                return (state, Err(error));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let error = match (&state.link, &state.failure) {
                    (None, Some(failure)) => Err(failure.to_error()),
                    _ => Ok(None),
                };
                return (state, error);
            }
            // Dropped messages are not reported to who waits for one subscription.
            let report_at = of.is_none().then(|| state.session.report_at(id)).flatten();
            let report_in = report_at.map(|at| Duration::from_millis(at.saturating_sub(now)));
            let left = report_in.map_or(left, |report_in| left.min(report_in));
            state = wait(&condvar, state, left);
        }
    }
}

impl State {
    /// The connection, if it is the one that `writer` writes to.
    pub(super) fn link_of(&mut self, writer: &Writer) -> Option<&mut Link> {
        self.link.as_mut().filter(|_| writer.is_of(self.epoch))
    }

    fn condvar(&self, id: ClientId) -> Arc<Condvar> {
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

impl Writer {
    fn is_of(&self, epoch: u64) -> bool {
        self.epoch == epoch && self.half.is_some()
    }

    /// Adds a message, or nothing if its body fails.
    fn append_message(
        &mut self,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError> {
        let keep = self.buffer.len();
        let mut unfinished = Unfinished {
            buffer: &mut self.buffer,
            keep,
        };
        let appended = append(unfinished.buffer, message, body);
        appended.map_err(|error| BrokerError::from(error).not_sent())?;
        unfinished.keep = unfinished.buffer.len();
        Ok(())
    }
}

/// Takes a message off again that is not whole, even if its body panics.
struct Unfinished<'b> {
    buffer: &'b mut Vec<u8>,
    keep: usize,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.keep);
    }
}

fn append(
    buffer: &mut Vec<u8>,
    message: &Outgoing<'_>,
    body: &mut dyn Body,
) -> Result<(), StreamError> {
    let Outgoing {
        subject,
        reply,
        headers,
    } = *message;
    let no_memory = |len| move |_| StreamError::OutOfMemory { len };
    // It has been compared with the server's limit.
    let len = usize::try_from(body.len()).unwrap_or(usize::MAX);
    let more = len.saturating_add(protocol::CRLF.len());
    match headers {
        [] => protocol::publish_head(buffer, subject, reply, len),
        _ => protocol::publish_head_with_headers(buffer, subject, reply, headers, len),
    }
    buffer.try_reserve(more).map_err(no_memory(len))?;
    let start = buffer.len();
    let end = start.saturating_add(len);
    buffer.resize(end, 0);
    let mut filled = start;
    while filled < end {
        match body.read(&mut buffer[filled..end])? {
            0 => break,
            count => filled += count.min(end - filled),
        }
    }
    check_length(body.len(), (filled - start) as u64)?;
    buffer.extend_from_slice(protocol::CRLF);
    Ok(())
}

fn no_memory(len: usize) -> BrokerError {
    BrokerError::new(
        Kind::Local,
        alloc::format!("there is no memory for {len} bytes"),
    )
}

/// Starts a thread that ends with the last client.
pub(super) fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = thread::Builder::new().name(name.to_string()).spawn(run);
    started.map(drop).map_err(|error| {
        let message = alloc::format!("a thread cannot be started: {error}");
        Failure::new(Kind::Local, message)
    })
}

fn wait<'s>(
    condvar: &Condvar,
    state: MutexGuard<'s, State>,
    limit: Duration,
) -> MutexGuard<'s, State> {
    let waited = condvar.wait_timeout(state, limit);
    waited.unwrap_or_else(PoisonError::into_inner).0
}
