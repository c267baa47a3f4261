//! Moments and deadlines on a [`Platform`]'s monotonic clock, in milliseconds.

use core::time::Duration;

use crate::platform::{Platform, millis};

/// A write is given one more second for this many bytes.
const SLOWEST_WRITE: u64 = 65_536;

/// A moment of the platform's monotonic clock, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    #[inline(never)]
    pub(crate) fn now(platform: &impl Platform) -> Self {
        Self(platform.uptime_millis())
    }

    pub(crate) fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub(crate) fn millis(self) -> u64 {
        self.0
    }

    /// The moment `wait` after this one; one that no clock can hold never comes.
    #[inline(never)]
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(millis(wait)))
    }

    /// The moment at which one of so many equal shares of the time from here to `end` is over.
    pub(crate) fn share(self, end: Self, shares: u64) -> Self {
        let left = end.0.saturating_sub(self.0);
        Self(self.0 + left / shares.max(1))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// How long writing `len` bytes may take: `timeout`, and one second for each 65,536 bytes.
pub(crate) fn write_timeout(timeout: Duration, len: u64) -> Duration {
    let millis = len.saturating_mul(1000) / SLOWEST_WRITE;
    timeout.saturating_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_and_may_be_endless() {
        let start = Moment(7);
        for (wait, after) in [
            (Duration::ZERO, 7),
            (Duration::from_nanos(1), 8),
            (Duration::from_micros(999), 8),
            (Duration::from_millis(1), 8),
            (Duration::from_micros(1001), 9),
            (Duration::from_secs(2), 2007),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(start.after(wait), Moment(after), "{wait:?}");
        }
        assert_eq!(Moment(9).since(start), Duration::from_millis(2));
        assert_eq!(start.since(Moment(9)), Duration::ZERO);
    }

    #[test]
    fn writes_get_a_second_for_each_65_536_bytes() {
        let timeout = Duration::from_secs(5);
        for (len, millis) in [
            (0, 5000),
            (65, 5000),
            (66, 5001),
            (65_535, 5999),
            (65_536, 6000),
            (8_000_000, 127_070),
        ] {
            let expected = Duration::from_millis(millis);
            assert_eq!(write_timeout(timeout, len), expected, "{len}");
        }
        assert_eq!(write_timeout(Duration::MAX, u64::MAX), Duration::MAX);
    }
}
