//! What the bridge needs of the machine it runs on: two clocks, a pause, random bytes.

use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

use crate::cause::{BoxError, debug_tells_causes};

/// The machine. Shared by reference between the bridge and its adapters, so every method takes
/// `&self`; state of its own (a random generator's) belongs in a `Cell`.
pub trait Platform {
    /// Wall clock: milliseconds since 1970-01-01 00:00 UTC. It stands in the envelope and decides
    /// nothing.
    fn unix_millis(&self) -> u64;

    /// Monotonic clock: milliseconds since any fixed moment. All deadlines are measured by it.
    fn uptime_millis(&self) -> u64;

    /// Pauses for about `duration`. A board polls its network stack, or yields to its RTOS, here.
    fn wait(&self, duration: Duration);

    /// Fills `out` with bytes that nobody else can guess: ids, names of uploads and inboxes are
    /// made of them.
    ///
    /// # Errors
    /// [`PlatformError`] if there are none to be had.
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError>;
}

/// The machine has no random bytes to give.
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

/// The moment at which a call that may take `wait` must end. A wait that no clock can hold ends in
/// a century.
#[cfg(feature = "std")]
pub(crate) fn deadline_after(wait: Duration) -> std::time::Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    std::time::Instant::now() + wait.min(CENTURY)
}

/// Fresh ids.
pub(crate) struct Ids {
    drawn: [[u8; 16]; IDS_DRAWN],
    left: usize,
}

/// Those that are still to be given out are nobody's business.
impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").finish_non_exhaustive()
    }
}

/// Random bytes are drawn for so many ids at once. A message of one payload needs four; on a host, where
/// each draw is a call of the operating system, those of 16 messages are drawn.
const IDS_DRAWN: usize = if cfg!(feature = "std") { 64 } else { 4 };

impl Ids {
    pub(crate) const fn new() -> Self {
        Self {
            drawn: [[0; 16]; IDS_DRAWN],
            left: 0,
        }
    }

    /// A UUID v4, in its 36 lower-case characters.
    pub(crate) fn next(&mut self, platform: &impl Platform) -> Result<String, PlatformError> {
        if self.left == 0 {
            platform.random(self.drawn.as_flattened_mut())?;
            self.left = self.drawn.len();
        }
        self.left -= 1;
        let id = uuid_v4(self.drawn[self.left]).hyphenated();
        Ok(String::from(&*id.encode_lower(&mut [0; 36])))
    }
}

/// A fresh UUID v4 without dashes: one token of a subject, one segment of a path.
pub(crate) fn new_token(platform: &impl Platform) -> Result<String, PlatformError> {
    let mut bytes = [0; 16];
    platform.random(&mut bytes)?;
    Ok(uuid_v4(bytes).simple().to_string())
}

fn uuid_v4(random: [u8; 16]) -> uuid::Uuid {
    uuid::Builder::from_random_bytes(random).into_uuid()
}

/// `YYYY-MM-DDTHH:MM:SSZ`, as the family writes it.
pub(crate) fn timestamp(unix_millis: u64) -> String {
    let seconds = unix_millis / 1000;
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = String::with_capacity("YYYY-MM-DDTHH:MM:SSZ".len());
    let parts = [
        (year / 100, None),
        (year % 100, Some('-')),
        (month, Some('-')),
        (day, Some('T')),
        (hour, Some(':')),
        (minute, Some(':')),
        (second, Some('Z')),
    ];
    for (number, behind) in parts {
        let digits = [number / 10 % 10, number % 10].map(|digit| char::from(b'0' + digit as u8));
        text.extend(digits.into_iter().chain(behind));
    }
    text
}

/// The Gregorian date `days` after 1970-01-01. Years are counted from March, so that a leap day is
/// the last of its year, and in eras of 400 years, which all have 146,097 days.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_772_759_955, "2026-03-06T01:19:15Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(seconds * 1000 + 999), text);
        }
    }

    #[test]
    fn ids_are_version_4_whatever_the_bytes() {
        struct Ones;
        impl Platform for Ones {
            fn unix_millis(&self) -> u64 {
                0
            }
            fn uptime_millis(&self) -> u64 {
                0
            }
            fn wait(&self, _: Duration) {}
            fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
                out.fill(0xff);
                Ok(())
            }
        }
        let id = Ids::new().next(&Ones).unwrap();
        assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(new_token(&&Ones).unwrap(), id.replace('-', ""));
    }

    #[test]
    fn no_two_ids_are_made_of_the_same_bytes() {
        struct Counting(core::cell::Cell<u8>);
        impl Platform for Counting {
            fn unix_millis(&self) -> u64 {
                0
            }
            fn uptime_millis(&self) -> u64 {
                0
            }
            fn wait(&self, _: Duration) {}
            fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
                for byte in out {
                    *byte = self.0.get();
                    self.0.set(byte.wrapping_add(1));
                }
                Ok(())
            }
        }
        let platform = Counting(core::cell::Cell::new(0));
        let mut ids = Ids::new();
        // Bytes repeat after 16 ids: what is asked for is that none is given out twice from one draw.
        let made: alloc::collections::BTreeSet<_> =
            (0..16).map(|_| ids.next(&platform).unwrap()).collect();
        assert_eq!(made.len(), 16);
    }
}
