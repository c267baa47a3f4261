//! Why a send failed, and server errors that belong to earlier ones.

use alloc::vec::Vec;

use super::Error;
use crate::nats::{BrokerError, BrokerErrorKind};

/// Server errors about earlier sends that wait to be reported.
const MAX_EARLIER_ERRORS: usize = 16;

/// What is known of earlier sends and does not belong to a later one.
#[derive(Debug, Default)]
pub(super) struct EarlierSends {
    errors: Vec<BrokerError>,
    /// Some of them are neither confirmed nor reported as lost.
    pub(super) are_unconfirmed: bool,
}

impl EarlierSends {
    /// Keeps an error about them, to be reported.
    pub(super) fn keep(&mut self, error: BrokerError) {
        if self.errors.len() < MAX_EARLIER_ERRORS {
            self.errors.push(error);
        }
    }

    pub(super) fn take_error(&mut self) -> Option<BrokerError> {
        self.take_error_on("")
    }

    /// The same, of one whose subject starts with `prefix`.
    pub(super) fn take_error_on(&mut self, prefix: &str) -> Option<BrokerError> {
        let is_it = |error: &BrokerError| {
            let subject = error.subject().unwrap_or_default();
            subject.starts_with(prefix)
        };
        let place = self.errors.iter().position(is_it)?;
        Some(self.errors.remove(place))
    }

    /// Takes the result of a flush, which concerns them too.
    pub(super) fn flushed(&mut self, result: &Result<(), BrokerError>) {
        match result {
            Ok(()) => self.are_unconfirmed = false,
            Err(error) => self.reported(error),
        }
    }

    /// Takes an error that is reported: a loss concerns them too.
    pub(super) fn reported(&mut self, error: &BrokerError) {
        self.are_unconfirmed &= error.kind() != BrokerErrorKind::Disconnected;
    }

    /// Takes what JetStream has found out about them.
    pub(super) fn learn(&mut self, (errors, are_unconfirmed): (Vec<BrokerError>, bool)) {
        errors.into_iter().for_each(|error| self.keep(error));
        self.are_unconfirmed = are_unconfirmed;
    }
}

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
