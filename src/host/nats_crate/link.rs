//! One connection of the `nats` crate, fenced in.
//!
//! What the crate (0.26, deprecated) does that a caller of ours must not suffer:
//!
//! - `connect`, `publish` and `flush` may block for ever. They run on a worker thread, and whoever
//!   waits for it does so with a deadline.
//! - After a reconnect it reports every outstanding flush as done, though what was flushed may have
//!   died with the old connection. Its reconnecting is stopped here; a lost connection is over, and
//!   the client above makes a new one.
//! - It tells complaints of the server only to a callback. They are kept here for the next call.
//! - Messages that nobody takes pile up without limit. They are counted here, and dropped loudly.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::options::NatsOptions;
use crate::nats::{Message, SubscriptionId};
use crate::platform::deadline_after;

/// How often the crate may try to reconnect once the client has let go. It only ends the flushes that
/// still wait, and with them its threads, when it has succeeded; or by itself, some minutes later.
const MAX_RECONNECTS: usize = 10;
/// The pause before each of these attempts.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Complaints that are kept until somebody asks. More than a few say nothing new.
const MAX_COMPLAINTS: usize = 16;
/// Bytes of messages that may be on their way to the crate when a publish returns: enough that the
/// next message is encoded while the last ones are written.
const MAX_BACKLOG: usize = 512 * 1024;
/// Buffers of such messages that are kept for the next ones.
const MAX_SPARE: usize = 4;

/// What a connection and its client share.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    max_pending: usize,
}

#[derive(Default)]
struct State {
    established: bool,
    lost: bool,
    /// The client has let go of the connection.
    released: bool,
    complaints: VecDeque<String>,
    messages: VecDeque<Message>,
    pending: usize,
    dropped: u64,
    /// Bytes of messages that the worker has not yet given to the crate.
    backlog: usize,
    spare: Vec<Vec<u8>>,
    /// Threads that wait for a change.
    waiting: usize,
}

/// What the client finds when it looks for a message.
pub(super) enum Event {
    Message(Message),
    Dropped(u64),
    Complaint(String),
    Lost,
    Nothing,
}

impl Shared {
    fn new(max_pending: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_pending,
        }
    }

    /// A panic elsewhere does not make these few fields wrong.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waking costs a system call, so it is done only if somebody waits.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits for a change, at most for `limit`.
    fn wait<'s>(&self, mut state: MutexGuard<'s, State>, limit: Duration) -> MutexGuard<'s, State> {
        state.waiting += 1;
        let waited = self.changed.wait_timeout(state, limit);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
        state
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    fn has_backlog(&self) -> bool {
        self.lock().backlog > 0
    }

    pub(super) fn take_complaint(&self) -> Option<String> {
        self.lock().complaints.pop_front()
    }

    /// The crate asks how long to wait before it connects. For the first time not at all; again
    /// never, as long as the client has not let go.
    fn hold_reconnect(&self) -> Duration {
        let mut state = self.lock();
        if !state.established {
            return Duration::ZERO;
        }
        while !state.released {
            state = self.wait(state, Duration::MAX);
        }
        RECONNECT_PAUSE
    }

    fn push(&self, message: Message) {
        self.change(|state| {
            let len = cost(&message);
            if state.pending + len > self.max_pending {
                state.dropped += 1;
            } else {
                state.pending += len;
                state.messages.push_back(message);
            }
        });
    }

    /// Waits until `finished` gives something.
    fn wait_for<T>(
        &self,
        deadline: Instant,
        finished: impl Fn(&mut State) -> Option<T>,
    ) -> Result<T, Unfinished> {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = finished(&mut state) {
                return Ok(outcome);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.lost {
                return Err(Unfinished::Lost);
            }
            if left.is_zero() {
                return Err(Unfinished::TimedOut);
            }
            state = self.wait(state, left);
        }
    }

    pub(super) fn forget(&self, id: SubscriptionId) {
        self.change(|state| {
            state.messages.retain(|message| message.subscription != id);
            state.pending = state.messages.iter().map(cost).sum();
        });
    }

    /// Waits until there is something to tell. What came before the loss is told before it.
    pub(super) fn next(&self, deadline: Instant) -> Event {
        let mut state = self.lock();
        loop {
            if state.dropped > 0 {
                return Event::Dropped(core::mem::take(&mut state.dropped));
            }
            if let Some(message) = state.messages.pop_front() {
                state.pending -= cost(&message);
                return Event::Message(message);
            }
            if let Some(complaint) = state.complaints.pop_front() {
                return Event::Complaint(complaint);
            }
            if state.lost {
                return Event::Lost;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Nothing;
            }
            state = self.wait(state, left);
        }
    }
}

/// Bytes that a message takes while it waits.
fn cost(message: &Message) -> usize {
    size_of::<Message>() + message.subject.len() + message.payload.len()
}

type Job = Box<dyn FnOnce(&nats::Connection) + Send>;

/// A live connection.
pub(super) struct Link {
    pub(super) url: String,
    pub(super) shared: Arc<Shared>,
    connection: nats::Connection,
    worker: Sender<Job>,
    subscriptions: BTreeMap<SubscriptionId, nats::Subscription>,
}

/// A connect that runs on a thread of its own, which ends when the connect does.
pub(super) struct Attempt {
    started: Instant,
    shared: Arc<Shared>,
    outcome: Receiver<io::Result<nats::Connection>>,
}

/// Why the worker gave no outcome.
pub(super) enum Unfinished {
    /// It has not come back in time.
    TimedOut,
    /// The connection is lost, and what waits for it would wait for ever.
    Lost,
}

impl Attempt {
    pub(super) fn start(options: &NatsOptions, url: &str) -> Self {
        let shared = Arc::new(Shared::new(options.max_pending));
        let options = with_callbacks(options.to_crate(), &shared);
        let url = url.to_string();
        let (sender, outcome) = channel();
        let established = Arc::clone(&shared);
        thread::spawn(move || {
            let connection = options.connect(&url);
            established.change(|state| state.established = connection.is_ok());
            if let Err(unwanted) = sender.send(connection) {
                established.change(|state| state.released = true);
                unwanted.0.map(nats::Connection::close).ok();
            }
        });
        Self {
            started: Instant::now(),
            shared,
            outcome,
        }
    }

    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The outcome, or the attempt itself if it takes longer than `wait`.
    pub(super) fn wait(self, wait: Duration, url: &str) -> Result<io::Result<Link>, Self> {
        match self.outcome.recv_timeout(wait) {
            Ok(Ok(connection)) => Ok(Ok(Link::new(connection, self.shared, url))),
            Ok(Err(error)) => Ok(Err(error)),
            Err(RecvTimeoutError::Timeout) => Err(self),
            Err(RecvTimeoutError::Disconnected) => {
                Ok(Err(io::Error::other("the connect was given up")))
            }
        }
    }
}

fn with_callbacks(options: nats::Options, shared: &Arc<Shared>) -> nats::Options {
    let (on_loss, on_error) = (Arc::clone(shared), Arc::clone(shared));
    let on_reconnect = Arc::clone(shared);
    options
        .max_reconnects(MAX_RECONNECTS)
        .reconnect_buffer_size(0)
        .disconnect_callback(move || on_loss.change(|state| state.lost = true))
        .error_callback(move |error| {
            on_error.change(|state| {
                if state.complaints.len() < MAX_COMPLAINTS {
                    state.complaints.push_back(error.to_string());
                }
            });
        })
        .reconnect_delay_callback(move |_| on_reconnect.hold_reconnect())
}

impl Link {
    fn new(connection: nats::Connection, shared: Arc<Shared>, url: &str) -> Self {
        let (worker, jobs) = channel::<Job>();
        let kept = connection.clone();
        thread::spawn(move || jobs.iter().for_each(|job| job(&kept)));
        Self {
            url: url.to_string(),
            shared,
            connection,
            worker,
            subscriptions: BTreeMap::new(),
        }
    }

    pub(super) fn max_payload(&self) -> usize {
        self.connection.max_payload()
    }

    /// Runs `job` on the worker, and waits for it up to `wait`.
    fn run<T: Send + 'static>(
        &self,
        wait: Duration,
        job: impl FnOnce(&nats::Connection) -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let outcome = Arc::new(Mutex::new(None));
        let (done, shared) = (Arc::clone(&outcome), Arc::clone(&self.shared));
        let job = Box::new(move |connection: &nats::Connection| {
            let result = job(connection);
            *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            shared.change(|_| {});
        });
        self.worker.send(job).map_err(|_| Unfinished::Lost)?;
        let finished = |_: &mut State| {
            outcome
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        };
        self.shared.wait_for(deadline_after(wait), finished)
    }

    /// Publishes, and gives a buffer for the next message back.
    pub(super) fn publish(
        &self,
        subject: &str,
        reply: Option<&str>,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<io::Result<Vec<u8>>, Unfinished> {
        // Without blocking, where the crate's buffer has room and no message is overtaken.
        if !self.shared.has_backlog() {
            let tried =
                (self.connection).try_publish_with_reply_or_headers(subject, reply, None, &body);
            if let Some(published) = tried {
                return Ok(published.map(|()| body));
            }
        }
        self.hand_over(subject, reply, body)?;
        let finished = |state: &mut State| {
            (state.backlog <= MAX_BACKLOG).then(|| state.spare.pop().unwrap_or_default())
        };
        self.shared.wait_for(deadline_after(wait), finished).map(Ok)
    }

    /// Leaves a message to the worker. If the crate refuses it, the connection counts as lost: a
    /// later call tells so.
    fn hand_over(
        &self,
        subject: &str,
        reply: Option<&str>,
        body: Vec<u8>,
    ) -> Result<(), Unfinished> {
        let (subject, reply) = (subject.to_string(), reply.map(ToString::to_string));
        let (shared, len) = (Arc::clone(&self.shared), body.len());
        self.shared.lock().backlog += len;
        let job = Box::new(move |connection: &nats::Connection| {
            let published =
                connection.publish_with_reply_or_headers(&subject, reply.as_deref(), None, &body);
            shared.change(|state| {
                state.lost |= published.is_err();
                state.backlog -= len;
                if state.spare.len() < MAX_SPARE {
                    state.spare.push(body);
                }
            });
        });
        self.worker.send(job).map_err(|_| Unfinished::Lost)
    }

    pub(super) fn flush(&self, wait: Duration) -> Result<io::Result<()>, Unfinished> {
        // The crate takes this for the limit of each write, and does not take zero.
        let write_limit = wait.max(Duration::from_millis(1));
        self.run(wait, move |connection| {
            connection.flush_timeout(write_limit)
        })
    }

    pub(super) fn subscribe(
        &mut self,
        id: SubscriptionId,
        subject: &str,
        queue: Option<&str>,
        wait: Duration,
    ) -> Result<io::Result<()>, Unfinished> {
        let (subject, queue) = (subject.to_string(), queue.map(ToString::to_string));
        let subscription = self.run(wait, move |connection| match &queue {
            Some(queue) => connection.queue_subscribe(&subject, queue),
            None => connection.subscribe(&subject),
        })?;
        Ok(subscription.map(|subscription| {
            let (messages, shared) = (subscription.clone(), Arc::clone(&self.shared));
            // Ends when the subscription does.
            thread::spawn(move || {
                while let Some(message) = messages.next() {
                    shared.push(convert(id, message));
                }
            });
            self.subscriptions.insert(id, subscription);
        }))
    }

    pub(super) fn unsubscribe(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<(), Unfinished> {
        let unsubscribed = match self.subscriptions.remove(&id) {
            Some(subscription) => self.run(wait, move |_| drop(subscription.unsubscribe())),
            None => Ok(()),
        };
        self.shared.forget(id);
        unsubscribed
    }
}

impl Drop for Link {
    /// Closes the connection, without waiting for it. Not on the worker: that may be in a flush which
    /// only ends when the connection is closed.
    fn drop(&mut self) {
        let subscriptions = core::mem::take(&mut self.subscriptions);
        let (connection, shared) = (self.connection.clone(), Arc::clone(&self.shared));
        thread::spawn(move || {
            for subscription in subscriptions.into_values() {
                subscription.unsubscribe().ok();
            }
            // Now no subscription is left that a reconnect could renew.
            shared.change(|state| state.released = true);
            connection.close();
        });
    }
}

fn convert(id: SubscriptionId, message: nats::Message) -> Message {
    let status = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Status"));
    let status = status.and_then(|status| status.parse().ok());
    Message {
        reply: message.reply,
        status,
        ..Message::new(id, message.subject, message.data)
    }
}
