//! Requests and replies. While a request waits for its answer, other messages may come too.

use alloc::string::ToString;
use core::time::Duration;

use super::role::Role;
use super::send::keep_uploads;
use super::{Error, NatsBridge, SendOptions, Sent};
use crate::file_server::FileServer;
use crate::message::{Opened, Payload, Received};
use crate::nats::jetstream::is_pub_ack;
use crate::nats::{Broker, Message, SubscriptionId};
use crate::platform::{Platform, new_token};

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    /// Sends a request and waits up to `wait` for its answer. The inbox is the reply subject of both the envelope
    /// and the NATS message.
    ///
    /// # Errors
    /// As [`smartsend`](Self::smartsend) and [`smartreceive`](Self::smartreceive);
    /// [`Error::NoResponders`] at once if nobody is subscribed, [`Error::NoAnswer`] after `wait`.
    pub fn request(
        &mut self,
        subject: &str,
        data: &[(&str, Payload<'_>)],
        options: &SendOptions,
        wait: Duration,
    ) -> Result<Received, Error> {
        let inbox = [self.broker.inbox_prefix(), ".", &new_token(&self.platform)?].concat();
        let id = self.subscribe(&inbox, None)?;
        let sent = self.send_as(Role::Request { inbox: &inbox }, subject, data, options);
        let answer = sent.and_then(|sent| {
            let answer = self.wait_for_answer(id, subject, wait);
            answer.map_err(|error| match error {
                // The message was not delivered, so its files are not needed.
                Error::NoResponders { .. } => self.delete_uploads(sent.into_uploads(), error),
                _ => keep_uploads(sent.into_uploads(), error),
            })
        });
        // If this fails, the next call fails too; the answer is valid anyway.
        self.unsubscribe(id).ok();
        self.receive_owned(answer?)
    }

    /// Answers a message on its `reply_to`, else on its NATS reply subject, with its
    /// `correlation_id`, and its `msg_id` as `reply_to_msg_id`.
    ///
    /// # Errors
    /// [`Error::NoReplyTo`] if it has neither; else as [`smartsend`](Self::smartsend).
    pub fn reply(
        &mut self,
        received: &Opened<'_>,
        data: &[(&str, Payload<'_>)],
        options: &SendOptions,
    ) -> Result<Sent, Error> {
        let envelope = &received.envelope;
        let subject = match (&*envelope.reply_to, &received.reply) {
            ("", None) => return Err(Error::NoReplyTo),
            ("", Some(reply)) => reply,
            (reply_to, _) => reply_to,
        };
        let role = Role::Reply { request: envelope };
        self.send_as(role, subject, data, options)
    }

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
