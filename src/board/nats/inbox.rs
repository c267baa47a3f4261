//! Messages that arrived while something else was waited for, and what became of those that could
//! not be kept.

use alloc::collections::VecDeque;

use crate::cause::text;
use crate::nats::protocol::MessageError;
use crate::nats::{BrokerError, BrokerErrorKind as Kind, Message, SubscriptionId};

/// A bounded queue. One message fits whatever its size; further ones as long as there is room.
pub(super) struct Inbox {
    messages: VecDeque<Message>,
    used: usize,
    max_pending: usize,
    max_message_size: usize,
    /// Messages that came when there was no room.
    dropped: u64,
    /// The first message that could not be taken for a reason of its own.
    refused: Option<(SubscriptionId, MessageError)>,
}

impl Inbox {
    pub(super) fn new(max_message_size: usize, max_pending: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            used: 0,
            max_pending,
            max_message_size,
            dropped: 0,
            refused: None,
        }
    }

    /// The longest message in bytes that can be kept now.
    pub(super) fn room(&self) -> usize {
        if self.messages.is_empty() {
            return self.max_message_size;
        }
        let left = self.max_pending.saturating_sub(self.used);
        left.saturating_sub(size_of::<Message>())
            .min(self.max_message_size)
    }

    pub(super) fn keep(&mut self, message: Message) {
        let used = self.used + cost(&message);
        let fits = self.messages.is_empty() || used <= self.max_pending;
        if !fits || self.messages.try_reserve(1).is_err() {
            self.dropped += 1;
            return;
        }
        self.used = used;
        self.messages.push_back(message);
    }

    pub(super) fn take(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.used -= cost(&message);
        Some(message)
    }

    /// Notes a message that was read past.
    pub(super) fn refuse(&mut self, id: SubscriptionId, error: MessageError) {
        let limit = self.max_message_size;
        let error = match error {
            MessageError::PayloadTooLarge { len, .. } if len > limit => {
                MessageError::PayloadTooLarge { len, limit }
            }
            // It would have fitted at another time.
            MessageError::PayloadTooLarge { .. } => return self.dropped += 1,
            error => error,
        };
        if self.refused.is_some() {
            self.dropped += 1;
        } else {
            self.refused = Some((id, error));
        }
    }

    /// What became of messages that could not be kept, each once.
    pub(super) fn fault(&mut self) -> Option<BrokerError> {
        if let Some((id, error)) = self.refused.take() {
            let message = text(format_args!(
                "a message for subscription {} was dropped: {error}",
                id.0
            ));
            return Some(BrokerError::new(Kind::Local, message));
        }
        let dropped = core::mem::take(&mut self.dropped);
        (dropped > 0).then(|| {
            let message = text(format_args!(
                "{dropped} messages came faster than they were taken"
            ));
            BrokerError::new(Kind::SlowConsumer { dropped }, message)
        })
    }

    /// Drops the messages of one subscription.
    pub(super) fn forget(&mut self, id: SubscriptionId) {
        self.messages.retain(|message| message.subscription != id);
        self.used = self.messages.iter().map(cost).sum();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.max_message_size, self.max_pending);
    }
}

/// Bytes that a message takes while it waits.
fn cost(message: &Message) -> usize {
    let reply = message.reply.as_ref().map_or(0, alloc::string::String::len);
    size_of::<Message>() + message.subject.len() + reply + message.payload.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const ONE: SubscriptionId = SubscriptionId(1);
    const EMPTY: usize = size_of::<Message>() + 1;

    fn message(id: SubscriptionId, len: usize) -> Message {
        Message::new(id, "s", vec![0; len])
    }

    fn kind(inbox: &mut Inbox) -> Option<Kind> {
        inbox.fault().map(|error| error.kind())
    }

    #[test]
    fn one_message_fits_and_more_as_long_as_there_is_room() {
        for (second, fits) in [(99, true), (100, true), (101, false)] {
            let mut inbox = Inbox::new(1000, 2 * EMPTY + 100);
            assert_eq!(inbox.room(), 1000);
            inbox.keep(message(ONE, 0));
            // The subject's byte is not known of before the message is there.
            assert_eq!(inbox.room(), 101);
            inbox.keep(message(ONE, second));
            assert!(inbox.take().is_some());
            assert_eq!(inbox.take().is_some(), fits, "{second}");
            let dropped = (!fits).then_some(Kind::SlowConsumer { dropped: 1 });
            assert_eq!(kind(&mut inbox), dropped);
            assert_eq!(kind(&mut inbox), None);
        }
        let mut inbox = Inbox::new(1000, 0);
        inbox.keep(message(ONE, 1000));
        assert_eq!(inbox.room(), 0);
        assert!(inbox.take().is_some());
        assert_eq!(inbox.room(), 1000);
    }

    #[test]
    fn too_large_for_now_is_not_too_large_at_all() {
        let mut inbox = Inbox::new(10, 0);
        let too_large = |len| MessageError::PayloadTooLarge { len, limit: 1 };
        inbox.refuse(ONE, too_large(10));
        inbox.refuse(ONE, too_large(11));
        inbox.refuse(ONE, too_large(12));
        assert_eq!(kind(&mut inbox), Some(Kind::Local));
        assert_eq!(kind(&mut inbox), Some(Kind::SlowConsumer { dropped: 2 }));
        assert_eq!(kind(&mut inbox), None);
    }

    #[test]
    fn what_is_forgotten_makes_room() {
        let mut inbox = Inbox::new(1000, 4 * EMPTY);
        inbox.keep(message(ONE, 100));
        inbox.keep(message(SubscriptionId(2), 5));
        inbox.forget(ONE);
        assert_eq!(inbox.used, EMPTY + 5);
        assert_eq!(inbox.take().map(|message| message.payload.len()), Some(5));
        assert_eq!((inbox.used, inbox.take()), (0, None));
    }
}
