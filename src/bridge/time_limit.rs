//! The total timeout of a send or a receive.

use core::time::Duration;

use super::Error;
use crate::platform::Platform;
use crate::platform::millis;

/// The deadline of a call, if it has one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimeLimit {
    total: Option<Duration>,
    /// In milliseconds of the platform's uptime.
    ends: Option<u64>,
}

impl TimeLimit {
    pub(super) fn start(total: Option<Duration>, platform: &impl Platform) -> Self {
        let end = |total| platform.uptime_millis().saturating_add(millis(total));
        Self {
            total,
            ends: total.map(end),
        }
    }

    /// The moment, in milliseconds of the platform's uptime.
    pub(super) fn ends(&self) -> Option<u64> {
        self.ends
    }

    /// Before each step that takes time of its own.
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub(super) fn check(&self, platform: &impl Platform) -> Result<(), Error> {
        match (self.total, self.ends) {
            (Some(limit), Some(ends)) if platform.uptime_millis() >= ends => {
                Err(Error::TimedOut { limit })
            }
            _ => Ok(()),
        }
    }

    /// `wait`, or the time left if that is less.
    pub(super) fn shorten(&self, wait: Duration, platform: &impl Platform) -> Duration {
        match self.ends {
            Some(ends) => {
                let left = ends.saturating_sub(platform.uptime_millis());
                wait.min(Duration::from_millis(left))
            }
            None => wait,
        }
    }
}
