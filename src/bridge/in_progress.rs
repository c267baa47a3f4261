//! A message of a consumer whose files are being fetched.

use alloc::string::String;
use core::time::Duration;

use crate::nats::earlier_publishes::EarlierPublishes;
use crate::nats::jetstream::{Deadline, IN_PROGRESS};
use crate::nats::{Broker, BrokerError, Outgoing};
use crate::platform::Platform;
use crate::stream::{Sink, SliceBody, StreamError};

/// Tells the server now and then that a message is being worked on, that it does not go to another worker
/// meanwhile.
#[derive(Debug)]
pub(super) struct InProgress {
    ack_subject: String,
    interval: Duration,
    due: Deadline,
    /// A pointer to [`Self::say`]: a program without consumers is built without it.
    say: fn(&mut Self, &mut dyn Broker, &dyn Platform) -> Result<(), BrokerError>,
}

impl InProgress {
    /// Of a message that is delivered again after `ack_wait`.
    pub(super) fn new(ack_subject: String, ack_wait: Duration, platform: &dyn Platform) -> Self {
        let interval = ack_wait / 3;
        Self {
            ack_subject,
            interval,
            due: Deadline::after(platform, interval),
            say: Self::say,
        }
    }

    fn say(&mut self, broker: &mut dyn Broker, platform: &dyn Platform) -> Result<(), BrokerError> {
        if !self.due.left(platform).is_zero() {
            return Ok(());
        }
        self.due = Deadline::after(platform, self.interval);
        let message = Outgoing::new(&self.ack_subject);
        broker.publish(&message, &mut SliceBody::new(IN_PROGRESS))
    }
}

/// A sink that has [`InProgress`] look at the time for each chunk.
pub(super) struct ProgressSink<'s> {
    pub(super) sink: &'s mut dyn Sink,
    pub(super) in_progress: &'s mut Option<InProgress>,
    pub(super) broker: &'s mut dyn Broker,
    pub(super) platform: &'s dyn Platform,
    pub(super) earlier: &'s mut EarlierPublishes,
}

impl ProgressSink<'_> {
    fn say(&mut self) {
        if let Some(in_progress) = self.in_progress
            && let Err(error) = (in_progress.say)(in_progress, self.broker, self.platform)
        {
            // The message may be delivered again, as it would be anyway.
            self.earlier.not_reported(&error);
        }
    }
}

impl Sink for ProgressSink<'_> {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        self.say();
        self.sink.write(chunk)
    }

    /// Before each attempt.
    fn reset(&mut self) -> Result<(), StreamError> {
        self.say();
        self.sink.reset()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::BrokerErrorKind;
    use crate::nats::jetstream::script::{Clock, Script, Step};
    use crate::stream::VecSink;

    #[test]
    fn a_loss_of_what_was_sent_before_is_kept() {
        let clock = Clock::default();
        let in_progress = InProgress::new(String::from("ack"), Duration::ZERO, &clock);
        let mut earlier = EarlierPublishes::default();
        earlier.add_unconfirmed();
        let mut progress = ProgressSink {
            sink: &mut VecSink::new(10),
            in_progress: &mut Some(in_progress),
            broker: &mut Script::new(&clock, &[Step::NotSent]),
            platform: &clock,
            earlier: &mut earlier,
        };
        progress.write(b"chunk").unwrap();
        let kept = earlier.take_error().map(|error| error.kind());
        assert_eq!(kept, Some(BrokerErrorKind::Disconnected));
    }
}
