//! Why a send failed, and server errors that belong to earlier ones.

use alloc::collections::VecDeque;

use super::Error;
use crate::nats::{BrokerError, BrokerErrorKind};

/// Server errors about earlier sends that wait to be reported.
const MAX_EARLIER_ERRORS: usize = 16;
/// Server errors about earlier sends, which do not belong to a later one.
pub(super) type EarlierErrors = VecDeque<BrokerError>;

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

/// Keeps server errors about earlier sends, to be reported.
pub(super) fn keep_earlier(
    kept: &mut EarlierErrors,
    errors: impl IntoIterator<Item = BrokerError>,
) {
    for error in errors {
        if kept.len() < MAX_EARLIER_ERRORS {
            kept.push_back(error);
        }
    }
}
