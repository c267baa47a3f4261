//! Times in milliseconds.

use core::time::Duration;

/// A moment of a monotonic clock, in milliseconds.
pub(crate) type Millis = u64;

/// Whole milliseconds, rounded up: a wait is never shorter than it was asked for.
#[inline(never)] // flash
pub(crate) fn millis(duration: Duration) -> Millis {
    let part = duration.subsec_nanos().div_ceil(1_000_000);
    let whole = duration.as_secs().saturating_mul(1000);
    whole.saturating_add(part.into())
}
