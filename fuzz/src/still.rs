//! A machine on which nothing happens by itself, so that the same input always does the same.

use std::cell::Cell;
use std::error::Error;
use std::time::Duration;

use natsbridge::adapter::{Platform, PlatformError};

/// Its clocks stand still except in `wait`, and its random bytes are a sequence.
#[derive(Debug, Default)]
pub struct Still {
    drawn: Cell<u64>,
    waited: Cell<Duration>,
}

impl Still {
    /// How long was waited in all.
    pub fn waited(&self) -> Duration {
        self.waited.get()
    }
}

impl Platform for Still {
    fn unix_millis(&self) -> u64 {
        1_772_759_955_000
    }

    fn uptime_millis(&self) -> u64 {
        u64::try_from(self.waited.get().as_millis()).unwrap_or(u64::MAX)
    }

    fn wait(&self, duration: Duration) {
        self.waited.set(self.waited.get() + duration);
    }

    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        for byte in out {
            self.drawn.set(self.drawn.get() + 1);
            *byte = (self.drawn.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        }
        Ok(())
    }
}

/// An error must never print what a peer could have put in to forge lines of a log.
pub fn check_words(error: &dyn Error) {
    let mut next = Some(error);
    while let Some(error) = next {
        let words = error.to_string();
        assert!(!words.contains(char::is_control), "{words:?}");
        next = error.source();
    }
}
