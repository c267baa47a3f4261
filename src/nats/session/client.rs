//! What comes to one user of a session, and what it waits for.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::error::{refused, server_error};
use super::unconfirmed::Unconfirmed;
use crate::nats::protocol::MessageError;
use crate::nats::{BrokerError, Message, SubscriptionId};
use crate::platform::Millis;
use crate::trace::Escaped;

/// Reports of dropped messages are summed up, and made no more often than this.
pub(super) const REPORT_INTERVAL: Millis = 1000;
/// Server errors that wait to be reported to one client; further ones are only logged.
pub(super) const MAX_WAITING_ERRORS: usize = 16;

/// Who uses a session: each clone of a host's client, or the only client of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientId(pub(super) u32);

/// One user of the session.
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) queue: VecDeque<Event>,
    /// Bytes that the events in `queue` take.
    pub(super) used: usize,
    pub(super) waiting_errors: usize,
    /// The subscription that [`next_of`](super::Session::next_of) waits for: a message of it is kept even if others
    /// have filled the queue.
    pub(super) awaited: Option<SubscriptionId>,
    /// Messages that came when there was no room, and are not reported yet.
    pub(super) dropped: u64,
    pub(super) reported_at: Option<Millis>,
    pub(super) unconfirmed: Unconfirmed,
    /// A connection was lost while something was unconfirmed, and that is not reported yet.
    pub(super) lost: bool,
    /// Publishes and subscriptions that the server refused, for the next flush.
    pub(super) refused: Vec<Refusal>,
    /// The last of this client's PINGs that was answered, counted from 1.
    pub(super) confirmed: u32,
    /// PINGs that this client sent.
    pub(super) pings: u32,
    /// Something changed that the client may be waiting for.
    pub(super) is_woken: bool,
}

/// What comes to a client, in its order.
pub(super) enum Event {
    Message(Message),
    /// A message that was read past; how many of them in a row.
    Refused(SubscriptionId, MessageError, u64),
    /// The connection was lost, so that messages may be missing from here on.
    Lost,
    /// A server error that belongs to no publish or subscription of this client.
    ServerError(String),
}

/// A server error that names what it refuses.
pub(super) struct Refusal {
    pub(super) subject: String,
    pub(super) error: String,
}

impl Client {
    /// One message fits whatever its size; and one that is waited for.
    pub(super) fn has_place_for(&self, id: SubscriptionId) -> bool {
        self.queue.is_empty()
            || (self.awaited == Some(id) && !self.queue.iter().any(|event| event.is_of(id)))
    }

    /// Adds an event; false if there is no memory for it.
    pub(super) fn push(&mut self, event: Event) -> bool {
        if self.queue.len() == self.queue.capacity() {
            // From one on: on a board seldom more than one waits.
            let more = self.queue.len().max(1);
            if self.queue.try_reserve_exact(more).is_err() {
                return false;
            }
        }
        self.used += event.cost();
        self.queue.push_back(event);
        true
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.used -= event.cost();
        if let Event::ServerError(_) = event {
            self.waiting_errors -= 1;
        }
        Some(event)
    }

    /// The next message of a subscription, or that some were read past.
    pub(super) fn take_of(&mut self, id: SubscriptionId) -> Option<Event> {
        let place = self.queue.iter().position(|event| event.is_of(id))?;
        let event = self.queue.remove(place)?;
        self.used -= event.cost();
        let is_loss = |place: usize| matches!(self.queue.get(place), Some(Event::Lost));
        if place.checked_sub(1).is_some_and(is_loss) && is_loss(place) {
            // Nothing is left between two losses.
            self.used -= Event::Lost.cost();
            self.queue.remove(place);
        }
        Some(event)
    }

    pub(super) fn refuse(
        &mut self,
        id: SubscriptionId,
        error: MessageError,
        count: u64,
        max_pending: usize,
    ) {
        match self.queue.back_mut() {
            Some(Event::Refused(last, why, before)) if *last == id && *why == error => {
                *before += count;
            }
            _ => {
                let event = Event::Refused(id, error, count);
                let fits = self.queue.is_empty() || self.used + event.cost() <= max_pending;
                if !fits || !self.push(event) {
                    self.dropped += count;
                }
            }
        }
    }

    pub(super) fn refused_by_server(&mut self, subject: &str, error: &str) {
        self.is_woken = true;
        let is_it = |known: &Refusal| known.subject == subject && known.error == error;
        let is_known = self.refused.iter().any(is_it);
        if !is_known && self.refused.len() < MAX_WAITING_ERRORS {
            let (subject, error) = (subject.to_string(), error.to_string());
            self.refused.push(Refusal { subject, error });
        }
    }

    pub(super) fn server_error(&mut self, error: String) {
        self.is_woken = true;
        if self.waiting_errors >= MAX_WAITING_ERRORS {
            log::warn!(target: "natsbridge", "server error: {}", Escaped(&error));
        } else if self.push(Event::ServerError(error)) {
            self.waiting_errors += 1;
        }
    }

    pub(super) fn take_dropped(&mut self, now: Millis) -> Option<u64> {
        let is_due = |at: Millis| now >= at.saturating_add(REPORT_INTERVAL);
        if self.dropped == 0 || !self.reported_at.is_none_or(is_due) {
            return None;
        }
        self.reported_at = Some(now);
        Some(core::mem::take(&mut self.dropped))
    }

    pub(super) fn forget(&mut self, id: SubscriptionId) {
        self.retain(|event| !event.is_of(id));
    }

    pub(super) fn forget_losses(&mut self) {
        self.retain(|event| !matches!(event, Event::Lost));
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Event) -> bool) {
        let mut is_behind_loss = false;
        self.queue.retain(|event| {
            let is_loss = matches!(event, Event::Lost);
            let stays = keep(event) && !(is_loss && is_behind_loss);
            is_behind_loss = if stays { is_loss } else { is_behind_loss };
            stays
        });
        self.used = self.queue.iter().map(Event::cost).sum();
    }
}

impl Event {
    /// What the client is given; nothing of a loss, which only the session can tell of.
    pub(super) fn into_message(self) -> Option<Result<Message, BrokerError>> {
        match self {
            Self::Message(message) => Some(Ok(message)),
            Self::Refused(id, error, count) => Some(Err(refused(id, &error, count))),
            Self::ServerError(error) => Some(Err(server_error(&error))),
            Self::Lost => None,
        }
    }

    /// Bytes that it takes while it waits.
    pub(super) fn cost(&self) -> usize {
        let more = match self {
            Self::Message(message) => {
                let reply = message.reply.as_ref().map_or(0, String::len);
                message.subject.len() + reply + message.headers.block_len() + message.payload.len()
            }
            Self::ServerError(error) => error.len(),
            Self::Refused(..) | Self::Lost => 0,
        };
        size_of::<Self>() + more
    }

    pub(super) fn is_of(&self, id: SubscriptionId) -> bool {
        match self {
            Self::Message(message) => message.subscription == id,
            Self::Refused(subscription, ..) => *subscription == id,
            Self::Lost | Self::ServerError(_) => false,
        }
    }
}
