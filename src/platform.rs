//! What the bridge needs from the machine it runs on: two clocks, a wait, random bytes.

use alloc::string::{String, ToString};
use core::cell::Cell;
use core::time::Duration;

use crate::cause::{BoxError, debug_tells_causes};

/// The machine. The bridge and its adapters share it by reference, so every method takes `&self`; keep state (of
/// a random generator) in a `Cell`.
pub trait Platform {
    /// Wall clock: milliseconds since 1970-01-01 00:00 UTC. The envelope's timestamp uses it, and
    /// `board::Tls`, which checks the validity of certificates by it and refuses all if it is 0.
    fn unix_millis(&self) -> u64;

    /// Monotonic clock: milliseconds since any fixed moment. All deadlines are measured by it.
    ///
    /// It must never go back and **must not wrap**: a deadline behind the wrap would never be reached,
    /// and a call on a silent connection would not return. A 32-bit counter of milliseconds wraps after
    /// 49.7 days; [`TickCounter`] makes a 64-bit clock of it.
    fn uptime_millis(&self) -> u64;

    /// Pauses for about `duration`. A board polls its network stack here, yields to its RTOS, and feeds
    /// its watchdog.
    ///
    /// The clients for boards call it with up to 1 ms whenever nothing moves, and with zero while data
    /// flows: once in 4,096 bytes, and once in 10 ms as far as [`Body`](crate::adapter::Body) and
    /// [`Sink`](crate::adapter::Sink) return by then. Zero asks for no pause. Nothing calls it between two calls
    /// of a client, nor while a stack, a body or a sink blocks.
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

/// Makes a 64-bit count of a 32-bit tick counter that wraps, for
/// [`Platform::uptime_millis`].
///
/// It must be asked at least once between two wraps of the counter: every 49.7 days at 1 kHz, every 171
/// seconds at 25 MHz. The clients ask it all the time while they are in a call; between calls that is
/// the program's business.
///
/// It is not [`Sync`]: tasks that share it, and interrupt handlers, put it behind a critical section
/// together with the read of the counter. Two readings that change places would count as a wrap.
///
/// ```
/// use natsbridge::adapter::TickCounter;
///
/// const TICKS_PER_MS: u64 = 25_000;
///
/// struct Board {
///     ticks: TickCounter,
/// }
///
/// impl Board {
///     fn uptime_millis(&self) -> u64 {
///         self.ticks.extend(read_counter()) / TICKS_PER_MS
///     }
/// }
///
/// fn read_counter() -> u32 {
///     0 // from a register
/// }
/// # assert_eq!(Board { ticks: TickCounter::new() }.uptime_millis(), 0);
/// ```
#[derive(Debug, Default)]
pub struct TickCounter(Cell<u64>);

impl TickCounter {
    /// A count that starts at the counter's own value.
    pub const fn new() -> Self {
        Self(Cell::new(0))
    }

    /// The ticks so far, now that the counter stands at `tick`.
    pub fn extend(&self, tick: u32) -> u64 {
        let last = self.0.get();
        // The low half of the count is what the counter stood at.
        let passed = tick.wrapping_sub(last as u32);
        let count = last.wrapping_add(passed.into());
        self.0.set(count);
        count
    }
}

/// A moment of a monotonic clock, in milliseconds.
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) type Millis = u64;

/// Milliseconds, rounded up: a wait is never shorter than it was asked for. `Duration` counts them in 128 bits, which
/// are slow to divide on a board.
pub(crate) fn millis(time: Duration) -> u64 {
    let part = time.subsec_nanos().div_ceil(1_000_000);
    let whole = time.as_secs().saturating_mul(1000);
    whole.saturating_add(part.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_counter_goes_on_where_32_bits_wrap() {
        const WRAP: u64 = 1 << 32;
        let ticks = TickCounter::new();
        for (tick, count) in [
            (5, 5),
            (5, 5),
            (u32::MAX, WRAP - 1),
            (0, WRAP),
            (u32::MAX - 1, 2 * WRAP - 2),
            // As far as it may go between two readings.
            (u32::MAX - 2, 3 * WRAP - 3),
            (7, 3 * WRAP + 7),
        ] {
            assert_eq!(ticks.extend(tick), count, "{tick}");
        }
    }
}
