//! Waiting for the answer to a request, while other messages come too.

use alloc::string::ToString;
use core::time::Duration;

use super::{Error, NatsBridge};
use crate::file_server::FileServer;
use crate::nats::jetstream::is_pub_ack;
use crate::nats::{Broker, Message, SubscriptionId};
use crate::platform::Platform;

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    /// Waits for the answer on an inbox. Messages of other subscriptions stay with the broker.
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
            let Some(message) = self.broker.next_of(id, left)? else {
                let subject = subject.to_string();
                let waited = wait;
                return Err(Error::NoAnswer { subject, waited });
            };
            if message.is_no_responders() {
                let subject = subject.to_string();
                return Err(Error::NoResponders { subject });
            }
            // A stream that captures the subject acknowledges the request; the service answers it.
            if !is_pub_ack(&message.payload) {
                return Ok(message);
            }
        }
    }
}
