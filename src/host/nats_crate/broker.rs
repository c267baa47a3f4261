//! The client as a broker.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::NatsCrateClient;
use super::link::State;
use crate::nats::subject::check_subscribe;
use crate::nats::{
    Broker, BrokerError, BrokerErrorKind as Kind, Message, Outgoing, SubscriptionId,
};
use crate::stream::{Body, read_to_vec};

impl Broker for NatsCrateClient {
    fn max_payload(&self) -> usize {
        self.max_payload
    }

    fn publish(&mut self, message: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        message.check()?;
        self.report_loss().map_err(BrokerError::not_sent)?;
        self.connect()?;
        message.check_len(body, self.max_payload)?;
        let mut bytes = Vec::new();
        read_to_vec(body, &mut bytes)?;
        if let State {
            session,
            link: Some(link),
            ..
        } = &mut *self.shared.lock()
        {
            session.publish(self.id, message.subject);
            link.wrote(bytes.len());
        }
        self.write(message, bytes).inspect_err(|_| {
            // Reported here, and so not by the next flush.
            self.shared.lock().session.take_loss(self.id);
        })
    }

    fn flush(&mut self, wait: Duration) -> Result<(), BrokerError> {
        self.report_loss()?;
        self.connect_within(wait)?;
        let (now, id) = (self.shared.now(), self.id);
        let (sent, losses) = {
            let State { session, link, .. } = &mut *self.shared.lock();
            let sent = link.as_mut().map(|link| session.ping_sent(link, id, now));
            (sent, session.losses())
        };
        self.write_to_inbox();
        let answered = self.wait_for(wait, |session| {
            if session.losses() != losses {
                let lost = || BrokerError::new(Kind::Disconnected, "the connection was lost");
                return Some(Err(session.take_loss(id).unwrap_or_else(lost)));
            }
            let is_confirmed = sent.is_some_and(|sent| session.is_confirmed(id, sent));
            is_confirmed.then(|| session.confirm(id))
        });
        answered?.unwrap_or_else(|| Err(BrokerError::new(Kind::Timeout, "not confirmed in time")))
    }

    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        check_subscribe(subject, queue)?;
        self.connect()?;
        let id = self.id;
        let made = self.shared.lock().session.subscribe(id, subject, queue);
        let id = made.map_err(|_| BrokerError::new(Kind::Local, "there is no memory"))?;
        let made = self.subscribe_as(id, subject.to_string(), queue.map(ToString::to_string));
        if made.is_err() {
            self.shared.lock().session.unsubscribe(self.id, id);
        }
        made.map(|()| id)
    }

    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError> {
        self.shared.lock().session.unsubscribe(self.id, id);
        let Some(ended) = self.link.as_mut().and_then(|link| link.remove(id)) else {
            return Ok(());
        };
        self.on_link(move |_| {
            drop(ended);
            Ok(())
        })
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let next = self.wait_for(wait, |session| session.next(id, shared.now()));
        next?.transpose()
    }

    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        let client = self.id;
        let next = self.wait_for(wait, |session| session.next_of(client, id));
        self.shared.lock().session.stop_waiting(client);
        next?.transpose()
    }

    fn inbox_prefix(&self) -> &str {
        &self.options.inbox_prefix
    }
}
