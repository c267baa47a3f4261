//! What natsbridge needs of the board.

use core::time::Duration;

use natsbridge::adapter::{Platform, PlatformError};

use crate::{board, machine};

/// The board: clocks, pauses and random bytes.
#[derive(Clone, Copy)]
pub struct Board;

impl Platform for Board {
    fn unix_millis(&self) -> u64 {
        board::unix_time_s() * 1000
    }

    fn uptime_millis(&self) -> u64 {
        board::uptime_ms()
    }

    /// Sleeps from one tick to the next. The stack moves packets whenever it is called, so there is
    /// nothing to do for it meanwhile.
    fn wait(&self, duration: Duration) {
        let started_us = board::uptime_us();
        let until_us = started_us.saturating_add(duration.as_micros() as u64);
        while board::uptime_us() < until_us {
            machine::wait_for_tick();
        }
    }

    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        board::random_bytes(out);
        Ok(())
    }
}
