//! How often and after which pauses something is tried again.

use core::time::Duration;

use crate::options::ReceiveOptions;
use crate::platform::Platform;

/// The pauses between attempts: twice as long each time, of which a random half is left out so
/// that many clients do not come back at once.
pub(crate) struct Pause {
    pub(crate) attempts: u32,
    base_delay: Duration,
    max_delay: Duration,
}

impl Pause {
    pub(crate) fn of(options: &ReceiveOptions) -> Self {
        Self {
            attempts: options.max_retries,
            base_delay: options.base_delay,
            max_delay: options.max_delay,
        }
    }

    pub(crate) fn after(&self, attempts: u32, platform: &impl Platform) -> Duration {
        let doubled = 2u32.saturating_pow(attempts - 1);
        let longest = self.base_delay.saturating_mul(doubled).min(self.max_delay);
        let mut random = [0];
        // Without random bytes the whole pause is as good.
        let part = platform.random(&mut random).map_or(0, |()| random[0]);
        longest - longest * u32::from(part) / 512
    }
}
