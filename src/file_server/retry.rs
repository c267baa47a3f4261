//! How often and after which pauses something is tried again.

use core::time::Duration;

use super::FileServerError;
use crate::platform::Platform;

/// A server that asks for a longer pause than this is not asked again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The pauses between attempts: twice as long each time, of which a random half is left out so
/// that many clients do not come back at once.
pub(crate) struct Pause {
    pub(crate) attempts: u32,
    pub(crate) base_delay: Duration,
    pub(crate) max_delay: Duration,
    /// No attempt begins from this moment on, in milliseconds of the platform's uptime.
    pub(crate) ends: Option<u64>,
}

impl Pause {
    pub(crate) fn after(&self, attempts: u32, platform: &impl Platform) -> Duration {
        let doubled = 2u32.saturating_pow(attempts - 1);
        let longest = self.base_delay.saturating_mul(doubled).min(self.max_delay);
        let mut random = [0];
        // Without random bytes the whole pause is as good.
        let part = platform.random(&mut random).map_or(0, |()| random[0]);
        longest - longest * u32::from(part) / 512
    }

    fn is_over_after(&self, delay: Duration, platform: &impl Platform) -> bool {
        let left = |ends: u64| Duration::from_millis(ends.saturating_sub(platform.uptime_millis()));
        self.ends.is_some_and(|ends| left(ends) <= delay)
    }
}

/// The last of all attempts.
pub(crate) struct Failed {
    pub(crate) attempts: u32,
    pub(crate) source: FileServerError,
}

/// Tries until it succeeds, another attempt cannot cure it, or `pause` has none left.
pub(crate) fn with_retries<T>(
    pause: &Pause,
    platform: &impl Platform,
    mut attempt: impl FnMut() -> Result<T, FileServerError>,
) -> Result<T, Failed> {
    let mut attempts = 1;
    loop {
        let source = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
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
