//! Why a send failed.

use super::Error;
use crate::nats::BrokerErrorKind;

/// Why a send failed, and whether its message may have been delivered all the same.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) may_be_delivered: bool,
}

impl Failure {
    /// Whether a broker refused the message by a limit that is lower than `known`.
    pub(super) fn is_too_large_for_less_than(&self, known: u64) -> bool {
        let kind = match &self.error {
            Error::Broker(error) => Some(error.kind()),
            Error::JetStream(error) => error.broker_kind(),
            _ => None,
        };
        matches!(kind, Some(BrokerErrorKind::TooLarge { limit, .. }) if limit < known)
    }
}

impl<E: Into<Error>> From<E> for Failure {
    /// A failure before anything was published.
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            may_be_delivered: false,
        }
    }
}
