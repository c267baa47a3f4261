//! What is known of earlier publishes of a client, and does not belong to a later one.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::{BrokerError, BrokerErrorKind};

/// Errors about earlier publishes that wait to be reported.
pub(crate) const MAX_EARLIER_ERRORS: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct EarlierPublishes {
    errors: Vec<BrokerError>,
    /// Some of them are neither confirmed nor reported as lost.
    are_unconfirmed: bool,
}

impl EarlierPublishes {
    /// Notes one that is not confirmed.
    pub(crate) fn add_unconfirmed(&mut self) {
        self.are_unconfirmed = true;
    }

    /// Keeps an error about them, to be reported.
    pub(crate) fn keep(&mut self, error: BrokerError) {
        if self.errors.len() < MAX_EARLIER_ERRORS {
            self.errors.push(error);
        }
    }

    pub(crate) fn take_error(&mut self) -> Option<BrokerError> {
        self.take_error_on("")
    }

    /// The first error whose subject starts with `prefix`.
    pub(crate) fn take_error_on(&mut self, prefix: &str) -> Option<BrokerError> {
        let is_it = |error: &BrokerError| {
            let subject = error.subject().unwrap_or_default();
            subject.starts_with(prefix)
        };
        let place = self.errors.iter().position(is_it)?;
        Some(self.errors.remove(place))
    }

    /// Notes that the server has all of them.
    pub(crate) fn confirmed(&mut self) {
        self.are_unconfirmed = false;
    }

    /// Notes an error that is returned to the caller: a loss concerns them too.
    pub(crate) fn reported(&mut self, error: &BrokerError) {
        self.are_unconfirmed &= !is_loss(error);
    }

    /// Notes an error that is not returned, because the call that failed is repeated or does not matter. The
    /// broker reports a loss once, so that of earlier publishes is kept.
    pub(crate) fn not_reported(&mut self, error: &BrokerError) {
        if is_loss(error) && core::mem::take(&mut self.are_unconfirmed) {
            self.keep(BrokerError::new(error.kind(), error.to_string()));
        }
    }
}

fn is_loss(error: &BrokerError) -> bool {
    error.kind() == BrokerErrorKind::Disconnected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_kept_once_and_only_if_something_was_unconfirmed() {
        let loss = BrokerError::new(BrokerErrorKind::Disconnected, "lost");
        let timeout = BrokerError::new(BrokerErrorKind::Timeout, "late");
        let mut earlier = EarlierPublishes::default();
        earlier.not_reported(&loss);
        assert!(earlier.take_error().is_none());
        earlier.add_unconfirmed();
        earlier.not_reported(&timeout);
        earlier.not_reported(&loss);
        earlier.not_reported(&loss);
        let kept = earlier.take_error().map(|error| error.kind());
        assert_eq!(kept, Some(BrokerErrorKind::Disconnected));
        assert!(earlier.take_error().is_none());
        for settle in [EarlierPublishes::confirmed, |earlier: &mut _| {
            let loss = BrokerError::new(BrokerErrorKind::Disconnected, "lost");
            EarlierPublishes::reported(earlier, &loss);
        }] {
            earlier.add_unconfirmed();
            settle(&mut earlier);
            earlier.not_reported(&loss);
            assert!(earlier.take_error().is_none());
        }
    }
}
