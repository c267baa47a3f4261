//! What a consumer is to be like, and how its messages are fetched.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::error::{JetStreamError, JetStreamErrorKind as Kind};
use super::nanos;
use crate::json::writer::{number_json, text_json};
use crate::nats::{SubjectUse, check_subject};

/// A consumer that is to exist, and how its messages are fetched. What is not set is the server's
/// default, or what an existing consumer has.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::ConsumeOptions;
///
/// let options = ConsumeOptions::default()
///     .filter_subject("orders.new")
///     .ack_wait(Duration::from_secs(60))
///     .max_deliver(5)
///     .batch(10);
/// assert_eq!(options.batch, 10);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumeOptions {
    /// Which messages of the stream; it may have the wildcards `*` and `>`. Default: all.
    pub filter_subject: Option<String>,
    /// How long a message may be worked on before it is delivered again; [`Consumer::in_progress`](crate::Consumer::in_progress)
    /// starts it anew, and so do the files of the message while they are fetched. A file server that is silent for
    /// longer costs another delivery. Zero is the server's default: 30 s.
    pub ack_wait: Option<Duration>,
    /// How often a message is delivered at most. 0 is the server's default: as often as it takes.
    pub max_deliver: Option<u32>,
    /// How many messages may be worked on at the same time, by all workers together. 0 is the
    /// server's default: 1000.
    pub max_ack_pending: Option<u32>,
    /// Whether only messages are delivered that come after the consumer was created. Default false.
    pub only_new: bool,
    /// How many messages are fetched at a time. Those that wait here count against `ack_wait`. Default 1.
    pub batch: u32,
    /// After which time a message is delivered again whose file cannot be fetched now. Default 5 s.
    pub retry_delay: Duration,
    /// The time limit of each request to the server. Default 5 s.
    pub timeout: Duration,
    /// The JetStream domain. Default: the one that the server belongs to.
    pub domain: Option<String>,
}

impl Default for ConsumeOptions {
    fn default() -> Self {
        Self {
            filter_subject: None,
            ack_wait: None,
            max_deliver: None,
            max_ack_pending: None,
            only_new: false,
            batch: 1,
            retry_delay: Duration::from_secs(5),
            timeout: crate::nats::DEFAULT_TIMEOUT,
            domain: None,
        }
    }
}

impl ConsumeOptions {
    /// Sets [`filter_subject`](Self::filter_subject).
    #[must_use]
    pub fn filter_subject(mut self, subject: impl Into<String>) -> Self {
        self.filter_subject = Some(subject.into());
        self
    }

    /// Sets [`ack_wait`](Self::ack_wait).
    #[must_use]
    pub fn ack_wait(mut self, ack_wait: Duration) -> Self {
        self.ack_wait = Some(ack_wait);
        self
    }

    /// Sets [`max_deliver`](Self::max_deliver).
    #[must_use]
    pub fn max_deliver(mut self, max_deliver: u32) -> Self {
        self.max_deliver = Some(max_deliver);
        self
    }

    /// Sets [`max_ack_pending`](Self::max_ack_pending).
    #[must_use]
    pub fn max_ack_pending(mut self, max_ack_pending: u32) -> Self {
        self.max_ack_pending = Some(max_ack_pending);
        self
    }

    /// Sets [`only_new`](Self::only_new).
    #[must_use]
    pub fn only_new(mut self, only_new: bool) -> Self {
        self.only_new = only_new;
        self
    }

    /// Sets [`batch`](Self::batch); 0 is 1.
    #[must_use]
    pub fn batch(mut self, batch: u32) -> Self {
        self.batch = batch;
        self
    }

    /// Sets [`retry_delay`](Self::retry_delay).
    #[must_use]
    pub fn retry_delay(mut self, retry_delay: Duration) -> Self {
        self.retry_delay = retry_delay;
        self
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`domain`](Self::domain).
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Keys and values as JSON.
    pub(super) fn set(&self) -> Vec<(&'static str, String)> {
        let filter = self.filter_subject.as_deref();
        // The server replaces zero by its default, which would differ from it at the next call.
        let number = |number: Option<u64>| number.filter(|number| *number > 0).map(number_json);
        let members = [
            ("filter_subject", filter.map(text_json)),
            ("ack_wait", number(self.ack_wait.map(nanos))),
            ("max_deliver", number(self.max_deliver.map(u64::from))),
            (
                "max_ack_pending",
                number(self.max_ack_pending.map(u64::from)),
            ),
        ];
        let set = members.into_iter();
        let set = set.filter_map(|(key, value)| Some((key, value?)));
        set.chain([("ack_policy", text_json("explicit"))]).collect()
    }

    pub(super) fn check(&self) -> Result<(), JetStreamError> {
        let Some(subject) = &self.filter_subject else {
            return Ok(());
        };
        check_subject(subject, SubjectUse::Subscribe).map_err(|error| {
            JetStreamError::new(Kind::InvalidOption, "`filter_subject` cannot be used")
                .with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_subject() {
        assert!(
            ConsumeOptions::default()
                .filter_subject("a.*.>")
                .check()
                .is_ok()
        );
        let error = ConsumeOptions::default()
            .filter_subject("a b")
            .check()
            .unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidOption);
    }
}
