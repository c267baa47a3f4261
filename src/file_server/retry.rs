//! Retries with exponential back-off.

use core::time::Duration;

use super::FileServerError;
use crate::platform::Platform;
use crate::platform::millis;

/// After a longer `Retry-After` no retry is made.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Exponential back-off: each delay is twice as long as the one before, minus up to 50 % jitter, so that many
/// clients do not retry at once.
pub(crate) struct Pause {
    pub(crate) attempts: u32,
    pub(crate) base_delay: Duration,
    pub(crate) max_delay: Duration,
    /// The deadline after which no attempt begins, in milliseconds of the platform's uptime.
    pub(crate) ends: Option<u64>,
}

impl Pause {
    pub(crate) fn after(&self, attempts: u32, platform: &impl Platform) -> Duration {
        let doubled = 2u64.saturating_pow(attempts - 1);
        let longest = millis(self.base_delay).saturating_mul(doubled);
        let longest = longest.min(millis(self.max_delay));
        let mut random = [0];
        // Without random bytes there is no jitter.
        let part = platform.random(&mut random).map_or(0, |()| random[0]);
        Duration::from_millis(longest - longest.saturating_mul(part.into()) / 512)
    }

    fn is_over_after(&self, delay: Duration, platform: &impl Platform) -> bool {
        let left = |ends: u64| Duration::from_millis(ends.saturating_sub(platform.uptime_millis()));
        self.ends.is_some_and(|ends| left(ends) <= delay)
    }
}

/// How the last attempt failed.
pub(crate) struct Failed {
    pub(crate) attempts: u32,
    pub(crate) source: FileServerError,
}

/// Retries until an attempt succeeds, fails with an error that is not transient, or no attempt is left.
///
/// Not generic in what is attempted: it would be in a board's flash once for each caller.
pub(crate) fn with_retries(
    pause: &Pause,
    platform: &impl Platform,
    attempt: &mut dyn FnMut() -> Result<(), FileServerError>,
) -> Result<(), Failed> {
    let mut attempts = 1;
    loop {
        let Err(source) = attempt() else {
            return Ok(());
        };
        let asked = source.retry_after().unwrap_or_default();
        if attempts >= pause.attempts || !source.is_transient() || asked > MAX_RETRY_AFTER {
            return Err(Failed { attempts, source });
        }
        let delay = pause.after(attempts, platform).max(asked);
        if pause.is_over_after(delay, platform) {
            return Err(Failed { attempts, source });
        }
        platform.wait(delay);
        attempts += 1;
    }
}
