//! Subscriptions, and what comes for them.

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::MutexGuard;
use std::time::Instant;

use super::connection::{Connection, State};
use super::lock::lock;
use crate::nats::protocol;
use crate::nats::session::ClientId;
use crate::nats::{BrokerError, BrokerErrorKind as Kind, Message, SubscriptionId};
use crate::platform::deadline_after;

impl Connection {
    pub(super) fn subscribe(
        self: &Arc<Self>,
        id: ClientId,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        let deadline = deadline_after(self.options.connect_timeout);
        let mut has_connected = false;
        loop {
            let mut writer = lock(&self.writer);
            let mut state = self.state();
            let is_connected = state.link_of(&writer).is_some();
            // A connection that was lost again at once is renewed, and that one told of the subscription.
            if is_connected || has_connected {
                self.want_connection(&mut state)?;
                let subscribed = state.session.subscribe(id, subject, queue);
                drop(state);
                let subscription = subscribed.map_err(no_memory)?;
                if is_connected {
                    protocol::subscribe(&mut writer.buffer, subject, queue, subscription.0);
                    self.write_soon(writer);
                }
                return Ok(subscription);
            }
            drop((state, writer));
            self.await_connection(id, deadline)?;
            has_connected = true;
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

    pub(super) fn write_unsubscribes(&self, ids: &[SubscriptionId]) {
        if ids.is_empty() {
            return;
        }
        let mut writer = lock(&self.writer);
        if self.state().link_of(&writer).is_some() {
            for id in ids {
                protocol::unsubscribe(&mut writer.buffer, id.0);
            }
            self.write_soon(writer);
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
            state = self.sleep(&condvar, state, left);
        }
    }
}

fn no_memory(len: usize) -> BrokerError {
    BrokerError::new(
        Kind::Local,
        alloc::format!("there is no memory for {len} bytes"),
    )
}
