//! The loop of the subcommands that receive messages.

use std::time::{Duration, Instant};

use natsbridge::{Error, Message};

use crate::connection::Bridge;
use crate::failure::Failure;

/// How long one wait for a message is.
const SLICE: Duration = Duration::from_secs(1);

/// When to stop.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Until {
    /// After so many messages.
    pub(crate) count: Option<u64>,
    /// After so long without a message.
    pub(crate) idle: Option<Duration>,
}

/// What is done with each message and each loss. An `Err` ends the loop: it is for faults of this machine.
pub(crate) trait Service {
    /// A message arrived, good or bad.
    fn message(&mut self, bridge: &mut Bridge, message: Message) -> Result<(), Failure>;

    /// The broker failed; it connects again by itself.
    fn broker_error(&mut self, error: &Error) -> Result<(), Failure>;
}

impl Until {
    /// Calls `take` with the time that it may wait for a message, of which it says whether there was one.
    pub(crate) fn repeat(
        self,
        mut take: impl FnMut(Duration) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut taken = 0;
        let mut last = Instant::now();
        while self.count.is_none_or(|count| taken < count) {
            if take(slice(self.idle, last)?)? {
                taken += 1;
                last = Instant::now();
            }
        }
        Ok(())
    }
}

/// Passes messages to `service` until `until`.
pub(crate) fn serve(
    bridge: &mut Bridge,
    until: Until,
    service: &mut impl Service,
) -> Result<(), Failure> {
    until.repeat(|wait| match bridge.next_message(wait) {
        Ok(None) => Ok(false),
        Ok(Some(message)) => {
            service.message(bridge, message)?;
            Ok(true)
        }
        Err(error) => {
            service.broker_error(&error)?;
            Ok(false)
        }
    })
}

/// How long to wait now.
fn slice(idle: Option<Duration>, last: Instant) -> Result<Duration, Failure> {
    let Some(idle) = idle else {
        return Ok(SLICE);
    };
    let left = idle.saturating_sub(last.elapsed());
    if left.is_zero() {
        return Err(format!("no message within {} s", idle.as_secs_f64()).into());
    }
    Ok(left.min(SLICE))
}
