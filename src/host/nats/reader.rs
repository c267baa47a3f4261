//! The thread that makes connections and reads from them.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Condvar;
use std::sync::PoisonError;
use std::time::Instant;

use super::connect::random;
use super::connection::{Connection, State, start_thread};
use super::failure::{Failure, io_failure};
use super::handshake::{Established, Purpose};
use super::lock::lock;
use super::source::{Fed, Source};
use crate::nats::protocol;
use crate::nats::session::{Link, Subscription};
use crate::nats::{BrokerErrorKind as Kind, SubscriptionId};

/// The first pause between two rounds through all servers; each further one is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// The longest pause between two rounds; up to half of it is left out at random.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// A connection that is lost sooner, without a message or a confirmation on it, is not good for another
/// one at once, after the first few.
const SHORT_LIVED: Duration = Duration::from_millis(100);
const MAX_SHORT_LIVED: u32 = 2;

impl Connection {
    /// Makes connections as long as a client uses one, and reads from them.
    pub(super) fn run_reader(self: Arc<Self>) {
        let mut backoff = FIRST_BACKOFF;
        let mut not_before = Instant::now();
        let mut short_lived = 0;
        while self.await_demand(not_before) {
            let made = self.connect_round(Purpose::Connect);
            match made.and_then(|made| self.install(made)) {
                Ok(source) => {
                    let made_at = Instant::now();
                    let served = self.state().session.served();
                    self.read_until_lost(source);
                    let mut state = self.state();
                    let was_of_use = state.session.served() > served;
                    let is_given_up = core::mem::take(&mut state.is_given_up);
                    drop(state);
                    let is_short = made_at.elapsed() < SHORT_LIVED && !is_given_up && !was_of_use;
                    short_lived = if is_short { short_lived + 1 } else { 0 };
                    if short_lived <= MAX_SHORT_LIVED {
                        (backoff, not_before) = (FIRST_BACKOFF, Instant::now());
                    } else {
                        not_before = Instant::now() + with_jitter(backoff);
                        backoff = (backoff * 2).min(MAX_BACKOFF);
                    }
                }
                Err(failure) => {
                    log::debug!(target: "natsbridge", "{}", failure.to_error());
                    if !failure.is_transient() {
                        backoff = MAX_BACKOFF;
                    }
                    not_before = Instant::now() + with_jitter(backoff);
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    let mut state = self.state();
                    state.failed_round = state.rounds;
                    state.failure = Some(failure);
                    state.round = Vec::new();
                    state.was_lost = false;
                    state.wake_all();
                }
            }
        }
    }

    /// Waits until a connection is wanted, and not before `not_before`; false at the end of all.
    fn await_demand(&self, not_before: Instant) -> bool {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return false;
            }
            let is_wanted =
                state.waiting > 0 || state.was_lost || state.session.has_subscriptions();
            let left = not_before.saturating_duration_since(Instant::now());
            state = match (is_wanted, left.is_zero()) {
                (true, true) => {
                    state.rounds += 1;
                    return true;
                }
                (true, false) => {
                    let waited = self.wanted.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                (false, _) => {
                    let waited = self.wanted.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// Puts a connection that was made where all find it.
    fn install(self: &Arc<Self>, made: Established) -> Result<Source, Failure> {
        let Established {
            stream,
            link,
            subscribed,
            rest,
        } = made;
        let (read_half, write_half) = stream.split().map_err(|error| io_failure(&error))?;
        let handle = write_half.handle();
        let mut socket = lock(&self.socket);
        let mut writer = lock(&self.writer);
        let mut state = self.state();
        if state.is_closed {
            return Err(Failure::new(Kind::Local, "the client was dropped"));
        }
        if !state.has_keeper {
            let keeper = Arc::clone(self);
            start_thread("nats-keeper", move || keeper.run_keeper())?;
            state.has_keeper = true;
        }
        writer.buffer.clear();
        state.update_subscriptions(&subscribed, &mut writer.buffer);
        state.epoch += 1;
        (socket.epoch, writer.epoch) = (state.epoch, state.epoch);
        socket.half = Some(write_half);
        state.link = Some(link);
        state.handle = Some(handle);
        (state.was_lost, state.is_given_up) = (false, false);
        (state.failure, state.round) = (None, Vec::new());
        self.take_news(&mut state);
        state.wake_all();
        let epoch = state.epoch;
        drop(state);
        self.wake_keeper(&mut writer);
        Ok(Source::new(read_half, rest, epoch))
    }

    /// Reads until the connection is lost, and from the one that was moved to.
    fn read_until_lost(&self, mut source: Source) {
        loop {
            let cause = match source.fed {
                Ok(Fed::Goes | Fed::MayLend) => {
                    self.read(&mut source);
                    if source.fed == Ok(Fed::MayLend) {
                        source = self.lend(source);
                    }
                    continue;
                }
                Ok(Fed::Drained) => String::new(),
                Err(cause) => cause,
            };
            match self.next_source(source.epoch, cause) {
                Some(next) => source = next,
                None => return,
            }
        }
    }

    /// Hands what was read to the session, and wakes those who wait for it.
    pub(super) fn feed(&self, epoch: u64, mut input: &[u8]) -> Result<Fed, String> {
        let mut woken: Vec<Arc<Condvar>> = Vec::new();
        let now = self.now();
        let mut state = self.state();
        let State {
            session,
            link,
            old,
            epoch: current,
            ..
        } = &mut *state;
        let is_old = *current != epoch;
        let reading: Option<&mut Link> = match is_old {
            false => link.as_mut(),
            true => old.as_mut().map(|(link, _)| link),
        };
        let Some(reading) = reading else {
            // Lost: the next read says so.
            return Ok(Fed::Goes);
        };
        let mut fed = Ok(Fed::Goes);
        let unanswered = reading.unanswered();
        while !input.is_empty() {
            match session.feed(reading, input, now) {
                Ok(used) => input = &input[used..],
                Err(error) => {
                    fed = Err(error.to_string());
                    break;
                }
            }
        }
        let has_control_due = reading.has_control_due();
        if is_old && reading.is_drained() && fed.is_ok() {
            fed = Ok(Fed::Drained);
        }
        let has_answered = reading.unanswered() < unanswered;
        if has_answered && state.may_lend(epoch) && fed == Ok(Fed::Goes) {
            fed = Ok(Fed::MayLend);
        }
        state.take_woken(&mut woken);
        self.reads.fetch_add(1, Ordering::Relaxed);
        if !is_old {
            self.take_news(&mut state);
        }
        let should_wake_keeper = has_control_due || state.should_move;
        drop(state);
        woken.iter().for_each(|condvar| condvar.notify_all());
        if should_wake_keeper {
            self.has_control_due
                .fetch_or(has_control_due, Ordering::Relaxed);
            // Whoever holds the lock, or the keeper by itself, does what is due.
            if let Ok(mut writer) = self.writer.try_lock() {
                self.wake_keeper(&mut writer);
            }
        }
        fed
    }

    /// What to read when a connection has ended: the one that was moved to, if there is one.
    fn next_source(&self, epoch: u64, cause: String) -> Option<Source> {
        let mut state = self.state();
        if state.epoch == epoch {
            drop(state);
            self.lose(epoch, cause);
            return None;
        }
        if let Some((link, handle)) = state.old.take() {
            handle.shut_down();
            if !link.is_drained() {
                // What was written on it last may be lost, and messages too.
                state.session.lost(&link, cause);
            }
            state.wake_all();
        }
        let (half, rest) = state.next_reader.take()?;
        if let Some(link) = &mut state.link {
            link.old_ended();
        }
        let epoch = state.epoch;
        drop(state);
        self.has_control_due.store(true, Ordering::Relaxed);
        Some(Source::new(half, rest, epoch))
    }
}

impl State {
    /// Whether to move to another server now: not before what was written on the one before is answered.
    pub(super) fn can_move(&self) -> bool {
        self.should_move && self.old.is_none()
    }

    /// Writes the subscriptions on a new connection, and returns their ids.
    pub(super) fn append_subscriptions(&self, out: &mut Vec<u8>) -> Vec<SubscriptionId> {
        let subscriptions = self.session.subscriptions();
        let append = |known: &Subscription| {
            protocol::subscribe(out, &known.subject, known.queue.as_deref(), known.id.0);
            known.id
        };
        subscriptions.map(append).collect()
    }

    /// Writes what has changed since a connection was told of `subscribed`.
    pub(super) fn update_subscriptions(
        &mut self,
        subscribed: &[SubscriptionId],
        out: &mut Vec<u8>,
    ) {
        for subscription in self.session.subscriptions() {
            if !subscribed.contains(&subscription.id) {
                let (subject, queue) = (&subscription.subject, subscription.queue.as_deref());
                protocol::subscribe(out, subject, queue, subscription.id.0);
            }
        }
        for id in subscribed {
            if !self.session.subscriptions().any(|known| known.id == *id) {
                protocol::unsubscribe(out, id.0);
            }
        }
    }
}

fn with_jitter(backoff: Duration) -> Duration {
    backoff - backoff * (random() % 256) / 512
}
