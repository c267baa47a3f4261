//! What natsbridge needs of the board and its RTOS.

use core::time::Duration;

use freertos_next::CurrentTask;
use natsbridge::adapter::{Platform, PlatformError};

use crate::board;

/// The board as a task sees it.
#[derive(Clone, Copy)]
pub struct TaskPlatform;

impl Platform for TaskPlatform {
    fn unix_millis(&self) -> u64 {
        board::unix_time_s() * 1000
    }

    fn uptime_millis(&self) -> u64 {
        board::uptime_ms()
    }

    /// Gives the processor away: for one tick at least, or only to a task that is ready if data flows.
    fn wait(&self, duration: Duration) {
        let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let least = u32::from(!duration.is_zero());
        CurrentTask::delay(freertos_next::Duration::ms(millis.max(least)));
    }

    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        board::random_bytes(out);
        Ok(())
    }
}
