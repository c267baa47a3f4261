//! A message of a consumer whose files are being fetched.

use alloc::string::String;
use core::time::Duration;

use crate::nats::jetstream::IN_PROGRESS;
use crate::nats::{Broker, Outgoing};
use crate::platform::Platform;
use crate::stream::{Sink, SliceBody, StreamError};

/// Tells the server now and then that a message is being worked on, that it does not go to another worker
/// meanwhile.
#[derive(Debug)]
pub(super) struct InProgress {
    ack_subject: String,
    interval_millis: u64,
    said_at: u64,
    /// A pointer to [`Self::say`]: a program without consumers is built without it.
    say: fn(&mut Self, &mut dyn Broker, &dyn Platform),
}

impl InProgress {
    /// Of a message that is delivered again after `ack_wait`.
    pub(super) fn new(ack_subject: String, ack_wait: Duration, platform: &dyn Platform) -> Self {
        let interval = ack_wait / 3;
        Self {
            ack_subject,
            interval_millis: interval.as_secs() * 1000 + u64::from(interval.subsec_millis()),
            said_at: platform.uptime_millis(),
            say: Self::say,
        }
    }

    fn say(&mut self, broker: &mut dyn Broker, platform: &dyn Platform) {
        let now = platform.uptime_millis();
        if now.saturating_sub(self.said_at) >= self.interval_millis {
            self.said_at = now;
            let message = Outgoing::new(&self.ack_subject);
            // If it fails the message may be delivered again, as it would be anyway.
            broker
                .publish(&message, &mut SliceBody::new(IN_PROGRESS))
                .ok();
        }
    }
}

/// A sink that has [`InProgress`] look at the time for each chunk.
pub(super) struct ProgressSink<'s> {
    pub(super) sink: &'s mut dyn Sink,
    pub(super) in_progress: &'s mut Option<InProgress>,
    pub(super) broker: &'s mut dyn Broker,
    pub(super) platform: &'s dyn Platform,
}

impl ProgressSink<'_> {
    fn say(&mut self) {
        if let Some(in_progress) = self.in_progress {
            (in_progress.say)(in_progress, self.broker, self.platform);
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
