//! The operating system as a [`Platform`].

use alloc::boxed::Box;
use core::time::Duration;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::platform::{Platform, PlatformError};

/// Clocks, sleep and random bytes of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdPlatform;

impl Platform for StdPlatform {
    fn unix_millis(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, millis)
    }

    fn uptime_millis(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        millis(START.get_or_init(Instant::now).elapsed())
    }

    fn wait(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        getrandom::fill(out).map_err(|error| PlatformError(Box::new(error)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
