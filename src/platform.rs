//! What the bridge needs from the machine it runs on: two clocks, a wait, random bytes.

use alloc::string::{String, ToString};
use core::time::Duration;

use crate::cause::{BoxError, debug_tells_causes};

/// The machine. The bridge and its adapters share it by reference, so every method takes `&self`; keep state (of
/// a random generator) in a `Cell`.
pub trait Platform {
    /// Wall clock: milliseconds since 1970-01-01 00:00 UTC. Only the envelope's timestamp uses it.
    fn unix_millis(&self) -> u64;

    /// Monotonic clock: milliseconds since any fixed moment. All deadlines use it.
    fn uptime_millis(&self) -> u64;

    /// Waits for about `duration`. A board polls its network stack, or yields to its RTOS, here.
    fn wait(&self, duration: Duration);

    /// Fills `out` with bytes that cannot be guessed: ids, names of uploads and inboxes are made from them.
    ///
    /// # Errors
    /// [`PlatformError`] if there are none.
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError>;
}

/// The machine has no random bytes.
#[derive(thiserror::Error)]
#[error("no random bytes")]
pub struct PlatformError(#[source] pub BoxError);

debug_tells_causes!(PlatformError);

impl<T: Platform + ?Sized> Platform for &T {
    fn unix_millis(&self) -> u64 {
        (**self).unix_millis()
    }
    fn uptime_millis(&self) -> u64 {
        (**self).uptime_millis()
    }
    fn wait(&self, duration: Duration) {
        (**self).wait(duration);
    }
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        (**self).random(out)
    }
}

/// The deadline of a call that may take `wait`. A wait that is too long for the clock ends in a century.
#[cfg(feature = "std")]
pub(crate) fn deadline_after(wait: Duration) -> std::time::Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    std::time::Instant::now() + wait.min(CENTURY)
}

/// A fresh UUID v4 without dashes: one token of a subject, one segment of a path.
pub(crate) fn new_token(platform: &impl Platform) -> Result<String, PlatformError> {
    let mut bytes = [0; 16];
    platform.random(&mut bytes)?;
    Ok(uuid_v4(bytes).simple().to_string())
}

pub(crate) fn uuid_v4(random: [u8; 16]) -> uuid::Uuid {
    uuid::Builder::from_random_bytes(random).into_uuid()
}
