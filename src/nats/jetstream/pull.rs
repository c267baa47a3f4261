//! Fetching from a pull consumer, whatever happens to the connection and the cluster.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::error::JetStreamError;
use super::fetches::{Fetch, Fetches};
use super::status::Status;
use super::{Ack, AckInfo, Api, Deadline, Inbox, WORTHLESS, millis, nanos};
use crate::json::number::{Digits, decimal};
use crate::json::writer::ObjectWriter;
use crate::nats::{BrokerErrorKind, Message, Outgoing};
use crate::stream::SliceBody;

/// A fetch is renewed after this time.
const LONGEST_PULL: Duration = Duration::from_secs(30);
const SHORTEST_PULL: Duration = Duration::from_millis(100);
/// A fetch with less time than this has no heartbeats: its end comes soon enough.
const MIN_PULL_WITH_HEARTBEAT: Duration = Duration::from_millis(1500);
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(5);

/// A message of a consumer.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) message: Message,
    pub(crate) info: AckInfo,
    /// The subject to acknowledge on.
    pub(crate) ack_subject: String,
}

/// A message of the consumer, or another one, such as a status.
type Taken = Result<Delivered, Message>;

/// Fetches the messages of one consumer.
#[derive(Debug)]
pub(crate) struct Puller {
    pub(crate) stream: String,
    pub(crate) consumer: String,
    inbox: Inbox,
    batch: u32,
    /// When so few messages are to come, more are asked for.
    refill_at: u32,
    fetches: Fetches,
    /// Counts fetches; the reply subject of each ends with its number.
    number: u64,
}

impl Puller {
    /// Subscribes to an inbox. `refill` says whether messages are asked for before all have come.
    pub(crate) fn new(
        jetstream: &mut Api<'_>,
        (stream, consumer): (&str, &str),
        batch: u32,
        refill: bool,
    ) -> Result<Self, JetStreamError> {
        let deadline = jetstream.deadline();
        let inbox = jetstream.open_inbox(deadline)?;
        Ok(Self {
            stream: stream.to_string(),
            consumer: consumer.to_string(),
            inbox,
            batch: batch.max(1),
            refill_at: if refill { batch / 2 } else { 0 },
            fetches: Fetches::default(),
            number: 0,
        })
    }

    /// Ends the subscription.
    pub(crate) fn close(&self, jetstream: &mut Api<'_>) {
        jetstream.close_inbox(&self.inbox);
    }

    /// What has come and was not taken: the subjects to acknowledge on.
    pub(crate) fn take_waiting(&mut self, jetstream: &mut Api<'_>) -> Vec<String> {
        let mut waiting = Vec::new();
        // More than that were not asked for.
        for _ in 0..self.batch.saturating_mul(2) {
            let Ok(Some(next)) = self.take(jetstream, Duration::ZERO, &mut None) else {
                break;
            };
            waiting.extend(next.map(|delivered| delivered.ack_subject));
        }
        waiting
    }

    /// Has what was fetched and not taken delivered again at once, after [`close`](Self::close). If that
    /// fails it is delivered again after `ack_wait`.
    pub(crate) fn give_back(&self, jetstream: &mut Api<'_>, ack_subjects: &[String]) {
        // A question about the consumer has the server forget fetches whose inbox is gone. A message that
        // is to be delivered again while there are only such ones confuses it (seen in 2.9.10): the one
        // is not delivered, and others that were acknowledged already are.
        let deadline = jetstream.deadline();
        let info = jetstream.consumer_info(&self.stream, &self.consumer, deadline);
        if info.is_err() {
            return;
        }
        for subject in ack_subjects {
            let again = Ack::Again(Duration::ZERO);
            if jetstream.acknowledge(subject, again, false).is_err() {
                return;
            }
        }
    }

    /// Waits up to `wait` for a message. A transient failure is kept in `failure`.
    fn take(
        &mut self,
        jetstream: &mut Api<'_>,
        wait: Duration,
        failure: &mut Option<JetStreamError>,
    ) -> Result<Option<Taken>, JetStreamError> {
        match jetstream.broker.next_of(self.inbox.id, wait) {
            Ok(message) => Ok(message.map(|message| self.delivered(jetstream, message))),
            // It counts, although it was dropped.
            Err(error) if error.kind() == BrokerErrorKind::Local => {
                self.fetches.bring(jetstream.platform.uptime_millis());
                Err(error.into())
            }
            Err(error) => {
                self.fetches.clear();
                *failure = Some(transient(error.into())?);
                Ok(None)
            }
        }
    }

    /// The next message; `None` if none comes for `wait`.
    pub(crate) fn next(
        &mut self,
        jetstream: &mut Api<'_>,
        wait: Duration,
    ) -> Result<Option<Delivered>, JetStreamError> {
        let deadline = Deadline::after(jetstream.platform, wait);
        let mut failure: Option<JetStreamError> = None;
        let mut is_first = true;
        loop {
            let left = deadline.left(jetstream.platform);
            if !is_first && left <= WORTHLESS {
                // What has come at the last moment is not left to wait.
                let last = self.take(jetstream, Duration::ZERO, &mut failure)?;
                return match (last, failure) {
                    (Some(Ok(delivered)), _) => Ok(Some(delivered)),
                    (_, Some(failure)) => Err(failure),
                    _ => Ok(None),
                };
            }
            is_first = false;
            let mut next = self.take(jetstream, Duration::ZERO, &mut failure)?;
            if next.is_none() && self.fetches.is_any_dead(jetstream.platform.uptime_millis()) {
                next = self.take_late(jetstream, deadline, &mut failure)?;
            }
            let is_wanted = next.is_none() || self.refill_at > 0;
            if is_wanted && self.fetches.to_come() <= self.refill_at {
                if let Some(pause) = self.fetches.pause().filter(|_| next.is_none()) {
                    jetstream.platform.wait(pause.min(left));
                }
                let pulled = self.pull(jetstream, deadline);
                match (pulled, &next) {
                    (Ok(()), _) => failure = failure.filter(|error| error.broker_kind().is_none()),
                    (Err(_), Some(_)) => self.fetches.give_up(),
                    (Err(error), None) => {
                        self.fetches.give_up();
                        failure = Some(transient(error)?);
                        continue;
                    }
                }
            }
            if next.is_none() {
                let wait = self.fetches.quiet_for(jetstream.platform.uptime_millis());
                let left = deadline.left(jetstream.platform);
                next = self.take(jetstream, wait.min(left), &mut failure)?;
            }
            match next {
                Some(Ok(delivered)) => return Ok(Some(delivered)),
                Some(Err(message)) => {
                    failure = None;
                    if let Err(error) = self.take_status(jetstream, &message, deadline) {
                        failure = Some(transient(error)?);
                    }
                }
                None => {}
            }
        }
    }

    /// Requests the consumer's info, and returns a message that arrives before the response: on a slow connection
    /// a fetch that seems to be dead is only late.
    fn take_late(
        &mut self,
        jetstream: &mut Api<'_>,
        deadline: Deadline,
        failure: &mut Option<JetStreamError>,
    ) -> Result<Option<Taken>, JetStreamError> {
        *failure = match self.check(jetstream, deadline) {
            Ok(()) => None,
            Err(error) => Some(transient(error)?),
        };
        let late = self.take(jetstream, Duration::ZERO, failure)?;
        if late.is_none() {
            self.fetches.clear();
        }
        Ok(late)
    }

    /// Asks for more messages, until `deadline`.
    fn pull(&mut self, jetstream: &mut Api<'_>, deadline: Deadline) -> Result<(), JetStreamError> {
        let batch = self.batch.saturating_sub(self.fetches.to_come()).max(1);
        let left = deadline.left(jetstream.platform);
        let expires = left.clamp(SHORTEST_PULL, LONGEST_PULL);
        let heartbeat = match expires < MIN_PULL_WITH_HEARTBEAT {
            true => Duration::ZERO,
            false => (expires / 3).min(LONGEST_HEARTBEAT),
        };
        let mut body = ObjectWriter::new()
            .number("batch", batch.into())
            .number("expires", nanos(expires));
        if !heartbeat.is_zero() {
            body = body.number("idle_heartbeat", nanos(heartbeat));
        }
        self.number += 1;
        self.publish(jetstream, &body.finish(), expires)?;
        let now = jetstream.platform.uptime_millis();
        self.fetches.begin(Fetch {
            number: self.number,
            left: batch,
            started_at: now,
            ends_at: now.saturating_add(millis(expires)),
            heartbeat: millis(heartbeat),
        });
        Ok(())
    }

    fn publish(
        &self,
        jetstream: &mut Api<'_>,
        body: &[u8],
        wait: Duration,
    ) -> Result<(), JetStreamError> {
        let (stream, consumer) = (&self.stream, &self.consumer);
        let api = [&*jetstream.settings.prefix, ".CONSUMER.MSG.NEXT."].concat();
        let subject = [&*api, stream, ".", consumer].concat();
        let inbox = &self.inbox.subject;
        let reply = [inbox, ".", Digits::of(self.number).as_str()].concat();
        let request = Outgoing::new(&subject).reply(&reply);
        jetstream.publish_once(&request, &mut SliceBody::new(body))?;
        if self.fetches.to_come() > 0 {
            // The answer to a PING would come behind all that is on its way, on a slow connection too late.
            return Ok(());
        }
        jetstream.write_out(&subject, &self.inbox, wait)
    }

    /// A message of the consumer; anything else is given back. The subject to acknowledge on is what makes
    /// it one: a publisher can give it a status too.
    fn delivered(
        &mut self,
        jetstream: &Api<'_>,
        mut message: Message,
    ) -> Result<Delivered, Message> {
        let info = message.reply.as_deref().and_then(AckInfo::parse);
        let is_own = |info: &AckInfo| info.stream == self.stream && info.consumer == self.consumer;
        let Some(info) = info.filter(is_own) else {
            return Err(message);
        };
        let Some(ack_subject) = message.reply.take() else {
            return Err(message);
        };
        self.fetches.bring(jetstream.platform.uptime_millis());
        Ok(Delivered {
            message,
            info,
            ack_subject,
        })
    }

    fn take_status(
        &mut self,
        jetstream: &mut Api<'_>,
        message: &Message,
        deadline: Deadline,
    ) -> Result<(), JetStreamError> {
        // A message that is no answer to a pull.
        let Some(code) = message.status else {
            return Ok(());
        };
        let now = jetstream.platform.uptime_millis();
        self.fetches.hear(now);
        let description = message.headers.description().unwrap_or_default();
        match Status::of(code, description) {
            Status::Heartbeat => {}
            Status::End => self.fetches.end(number_of(&message.subject), now),
            Status::EarlyEnd => {
                self.fetches.end(number_of(&message.subject), now);
                self.fetches.end_early();
            }
            Status::Check => {
                self.fetches.give_up();
                self.check(jetstream, deadline)?;
            }
            Status::Fatal(kind) => {
                let message = format!("the fetch was refused: {description} ({code})");
                return Err(JetStreamError::new(kind, message));
            }
        }
        Ok(())
    }

    /// Asks whether the consumer is still there. A server before 2.10 does not answer a fetch from one that
    /// is not.
    fn check(&self, jetstream: &mut Api<'_>, deadline: Deadline) -> Result<(), JetStreamError> {
        let left = deadline
            .left(jetstream.platform)
            .min(jetstream.settings.timeout);
        let deadline = Deadline::after(jetstream.platform, left.max(SHORTEST_PULL));
        jetstream
            .consumer_info(&self.stream, &self.consumer, deadline)
            .map(drop)
    }
}

/// The number of the fetch whose reply subject is `subject`.
fn number_of(subject: &str) -> Option<u64> {
    let number = subject.rsplit('.').next()?;
    decimal(number.as_bytes())
}

/// A failure that another fetch may cure; any other is an error.
fn transient(error: JetStreamError) -> Result<JetStreamError, JetStreamError> {
    if error.is_transient() {
        Ok(error)
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Clock, Script, Step};
    use super::super::{JetStream, JetStreamErrorKind as Kind};
    use super::*;
    use crate::platform::Platform as _;

    const INFO: Step = Step::Answer(r#"{"name":"w","config":{}}"#);
    const JOB: Step = Step::Job("1.1.1.0.0", "job");
    /// A fetch that brings nothing, and the consumer that is still there.
    const QUIET: [Step; 2] = [Step::Silence, INFO];
    const GONE: Step = Step::Answer(
        r#"{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}"#,
    );

    /// The next message within 60 s or why there is none, how many fetches that took, and the seconds.
    fn next(steps: &[Step]) -> (Result<Option<String>, Kind>, usize, u64) {
        let clock = Clock::default();
        let mut jetstream = JetStream::new(Script::new(&clock, steps), &clock);
        let mut puller = Puller::new(&mut jetstream.api(), ("S", "w"), 1, false).unwrap();
        let next = puller.next(&mut jetstream.api(), Duration::from_secs(60));
        let next = next.map_err(|error| error.kind());
        let body = |found: Delivered| String::from_utf8(found.message.payload).unwrap();
        let published = jetstream.broker().published.iter();
        let is_fetch = |subject: &str| subject == "$JS.API.CONSUMER.MSG.NEXT.S.w";
        let fetches = published.filter(|(subject, _)| is_fetch(subject)).count();
        (
            next.map(|found| found.map(body)),
            fetches,
            clock.uptime_millis() / 1000,
        )
    }

    #[test]
    fn a_fetch_is_renewed_when_it_ends_for_whatever_reason() {
        let heartbeat = Step::Status("100 Idle Heartbeat");
        for (steps, fetches, seconds) in [
            (&[JOB][..], 1, 0),
            (&[heartbeat, heartbeat, JOB], 1, 0),
            (&[Step::Status("404 No Messages"), JOB], 2, 0),
            (&[Step::Status("409 Leadership Change"), JOB], 2, 0),
            (&[Step::Status("503"), INFO, JOB], 2, 0),
            (&[Step::Lost, JOB], 2, 0),
            (&[Step::NotSent, JOB], 1, 0),
            // Two heartbeats of 5 s are missed.
            (&[Step::Silence, INFO, JOB], 2, 10),
            (&[heartbeat, Step::Silence, INFO, JOB], 2, 10),
            // Another's message, and one of another consumer.
            (&[Step::Answer("x"), Step::Job("x", "y"), JOB], 1, 0),
        ] {
            let expected = (Ok(Some(String::from("job"))), fetches, seconds);
            assert_eq!(next(steps), expected, "{steps:?}");
        }
    }

    /// A caller that works longer than two heartbeats has heard nothing meanwhile, but has all that was fetched.
    #[test]
    fn no_more_is_fetched_while_what_was_fetched_waits() {
        let clock = Clock::default();
        let waiting = |numbers| Step::Waiting(numbers, "job");
        let steps = [JOB, waiting("1.2.2.0.2"), waiting("1.3.3.0.1")];
        let mut jetstream = JetStream::new(Script::new(&clock, &steps), &clock);
        let mut puller = Puller::new(&mut jetstream.api(), ("S", "w"), 3, false).unwrap();
        for sequence in 1..=3 {
            let next = puller.next(&mut jetstream.api(), Duration::from_secs(60));
            assert_eq!(next.unwrap().unwrap().info.stream_sequence, sequence);
            clock.wait(Duration::from_secs(40));
        }
        // One fetch, and no question about the consumer.
        assert_eq!(jetstream.broker().published.len(), 1);
    }

    /// The answer to the question whether the consumer is there comes behind it.
    #[test]
    fn what_a_slow_connection_brings_late_is_not_fetched_again() {
        let steps = [Step::Silence, INFO, Step::Waiting("1.1.1.0.0", "job")];
        let expected = (Ok(Some(String::from("job"))), 1, 10);
        assert_eq!(next(&steps), expected);
    }

    #[test]
    fn a_consumer_that_cannot_be_reached_is_an_error_unless_it_can_be_again() {
        let (found, _, seconds) = next(&[]);
        assert_eq!((found, seconds), (Err(Kind::Timeout), 60));
        // A fetch, and three attempts of a look for the consumer.
        let silence = [Step::Silence; 4];
        let steps = [&silence[..], &QUIET.repeat(8)].concat();
        assert_eq!(next(&steps).0, Ok(None));
    }

    #[test]
    fn a_consumer_that_is_gone_is_an_error_and_one_that_is_quiet_is_not() {
        let status = Step::Status("409 Consumer Deleted");
        for steps in [
            [status, GONE],
            [Step::Status("503"), GONE],
            [Step::Silence, GONE],
        ] {
            assert_eq!(next(&steps).0, Err(Kind::NotFound), "{steps:?}");
        }
        let refused = Kind::Refused {
            code: 400,
            err_code: 0,
        };
        assert_eq!(next(&[Step::Status("400 Bad Request")]).0, Err(refused));
        let (found, _, seconds) = next(&QUIET.repeat(8));
        assert_eq!((found, seconds), (Ok(None), 60));
    }

    #[test]
    fn a_server_that_ends_each_fetch_at_once_is_not_asked_without_pauses() {
        for status in [
            "404 No Messages",
            "408 Request Timeout",
            "409 Server Shutdown",
            "999",
        ] {
            let steps = [Step::Status(status); 1000];
            let (found, fetches, seconds) = next(&steps);
            assert_eq!((found, seconds), (Ok(None), 60), "{status}");
            assert!(fetches < 80, "{status}: {fetches}");
        }
    }
}
