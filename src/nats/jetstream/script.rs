//! A broker for tests that plays a script, and a clock that moves only in `wait`.

use alloc::borrow::ToOwned as _;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

use crate::nats::headers::Headers;
use crate::nats::{Broker, BrokerError, BrokerErrorKind, Message, Outgoing, SubscriptionId};
use crate::platform::{Platform, PlatformError};
use crate::stream::{Body, read_to_vec};

#[derive(Debug, Default)]
pub(crate) struct Clock(Cell<Duration>);

impl Platform for Clock {
    fn unix_millis(&self) -> u64 {
        0
    }
    fn uptime_millis(&self) -> u64 {
        u64::try_from(self.0.get().as_millis()).unwrap()
    }
    fn wait(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        out.fill(7);
        Ok(())
    }
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// An answer to the last request.
    Answer(&'static str),
    /// A status message of the server, `408 Request Timeout` for example.
    Status(&'static str),
    /// A message of the stream `S`: the numbers in its subject to acknowledge on, and its body.
    Job(&'static str, &'static str),
    /// The same, which has come already.
    Waiting(&'static str, &'static str),
    /// Nothing, for as long as is waited.
    Silence,
    /// The connection is lost while an answer is waited for.
    Lost,
    /// The connection is lost before the next publish.
    NotSent,
    /// The server refuses the subject.
    Refused(&'static str),
}

/// Plays a script; silence behind its end.
pub(crate) struct Script<'c> {
    clock: &'c Clock,
    steps: VecDeque<Step>,
    /// What was published: subject and body.
    pub(crate) published: Vec<(String, String)>,
    reply: String,
}

impl<'c> Script<'c> {
    pub(crate) fn new(clock: &'c Clock, steps: &[Step]) -> Self {
        Self {
            clock,
            steps: steps.iter().copied().collect(),
            published: Vec::new(),
            reply: String::new(),
        }
    }

    fn take(&mut self, is_it: fn(&Step) -> bool) -> Option<Step> {
        self.steps.pop_front_if(|step| is_it(step))
    }

    fn message(&self, id: SubscriptionId, body: &str) -> Message {
        Message::new(id, self.reply.clone(), body.into())
    }
}

impl Broker for Script<'_> {
    fn max_payload(&self) -> usize {
        1_000_000
    }

    fn publish(&mut self, message: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        if self.take(|step| matches!(step, Step::NotSent)).is_some() {
            return Err(BrokerError::new(BrokerErrorKind::Disconnected, "lost").not_sent());
        }
        let mut bytes = Vec::new();
        read_to_vec(body, &mut bytes)?;
        let text = String::from_utf8(bytes).unwrap();
        self.published.push((message.subject.to_owned(), text));
        self.reply = message.reply.unwrap_or_default().to_string();
        Ok(())
    }

    fn flush(&mut self, _: Duration) -> Result<(), BrokerError> {
        match self.take(|step| matches!(step, Step::Refused(_))) {
            Some(Step::Refused(subject)) => {
                let error = BrokerError::new(BrokerErrorKind::Refused, "no permission");
                Err(error.with_subject(subject))
            }
            _ => Ok(()),
        }
    }

    fn subscribe(&mut self, _: &str, _: Option<&str>) -> Result<SubscriptionId, BrokerError> {
        Ok(SubscriptionId(1))
    }

    fn unsubscribe(&mut self, _: SubscriptionId) -> Result<(), BrokerError> {
        Ok(())
    }

    fn next(&mut self, _: Duration) -> Result<Option<Message>, BrokerError> {
        unreachable!("only answers are waited for")
    }

    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        let is_waiting = |step: &Step| matches!(step, Step::Waiting(..));
        if wait.is_zero() && !self.steps.front().is_some_and(is_waiting) {
            return Ok(None);
        }
        match self.steps.pop_front() {
            Some(Step::Answer(body)) => Ok(Some(self.message(id, body))),
            Some(Step::Status(status)) => {
                let mut message = self.message(id, "");
                let block = format!("NATS/1.0 {status}\r\n\r\n");
                message.headers = Headers::from_block(block.into());
                message.status = message.headers.status();
                Ok(Some(message))
            }
            Some(Step::Job(numbers, body) | Step::Waiting(numbers, body)) => {
                let mut message = Message::new(id, "s.a", body.into());
                message.reply = Some(format!("$JS.ACK.S.w.{numbers}"));
                Ok(Some(message))
            }
            Some(Step::Lost) => Err(BrokerError::new(BrokerErrorKind::Disconnected, "lost")),
            Some(Step::Silence) | None => {
                self.clock.wait(wait);
                Ok(None)
            }
            Some(step @ (Step::NotSent | Step::Refused(_))) => panic!("{step:?} is not for here"),
        }
    }
}
