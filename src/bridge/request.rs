//! Waiting for the answer to a request, while other messages come too.

use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

use super::{Error, NatsBridge};
use crate::file_server::FileServer;
use crate::nats::{Broker, BrokerError, BrokerErrorKind, Message, SubscriptionId};
use crate::platform::Platform;

/// Messages of other subscriptions that may wait while a request waits for its answer.
const MAX_WAITING: usize = 1024;

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    pub(super) fn wait_for_answer(
        &mut self,
        id: SubscriptionId,
        subject: &str,
        wait: Duration,
    ) -> Result<Message, Error> {
        let started = self.platform.uptime_millis();
        loop {
            let waited = self.platform.uptime_millis().saturating_sub(started);
            let left = wait.saturating_sub(Duration::from_millis(waited));
            let Some(message) = self.broker.next(left)? else {
                let subject = subject.to_string();
                let waited = wait;
                return Err(Error::NoAnswer { subject, waited });
            };
            if message.subscription != id {
                self.keep(message)?;
            } else if message.is_no_responders() {
                let subject = subject.to_string();
                return Err(Error::NoResponders { subject });
            } else {
                return Ok(message);
            }
        }
    }

    /// Keeps a message of another subscription for later.
    fn keep(&mut self, message: Message) -> Result<(), Error> {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(message);
            return Ok(());
        }
        let kind = BrokerErrorKind::SlowConsumer { dropped: 1 };
        let text = format!("more than {MAX_WAITING} messages came during a request");
        Err(BrokerError::new(kind, text).into())
    }
}
