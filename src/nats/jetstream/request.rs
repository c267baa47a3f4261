//! Requests that are repeated until they are answered.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::error::{JetStreamError, JetStreamErrorKind as Kind};
use super::{Api, Deadline, WORTHLESS, api_error};
use crate::nats::earlier_publishes::MAX_EARLIER_ERRORS;
use crate::nats::{BrokerError, BrokerErrorKind, Message, Outgoing, SubscriptionId};
use crate::platform::new_token;
use crate::stream::{Body, SliceBody, StreamError};

/// How long one attempt waits for its answer before the request is repeated. Doubled each time.
const FIRST_ATTEMPT: Duration = Duration::from_secs(1);
const LONGEST_ATTEMPT: Duration = Duration::from_secs(4);
/// Between two attempts, if the server answered at once that it cannot.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a server that starts may say that there is no JetStream.
const START_GRACE: Duration = Duration::from_millis(300);

/// A subscription that answers come to.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) id: SubscriptionId,
    pub(crate) subject: String,
}

/// What became of a request.
pub(super) enum Asked {
    Answer(Message),
    /// Nobody listens to its subject. An earlier attempt may have been delivered all the same.
    NoResponders {
        is_not_delivered: bool,
    },
}

/// Why an attempt has no answer.
pub(super) enum Missed {
    NoAnswer,
    /// A connection that is lost, or that cannot be made.
    Transient(BrokerError),
    Fatal(JetStreamError),
}

impl Api<'_> {
    /// Subscribes to `<prefix>.<token>.*`; a reply subject is [`Inbox::subject`] and one more token.
    pub(crate) fn open_inbox(&mut self, deadline: Deadline) -> Result<Inbox, JetStreamError> {
        let token = new_token(&self.platform)?;
        let subject = [self.broker.inbox_prefix(), ".", &token].concat();
        let pattern = [&subject, ".*"].concat();
        loop {
            match self.broker.subscribe(&pattern, None) {
                Ok(id) => return Ok(Inbox { id, subject }),
                Err(error) => self.pause_or_fail(error.into(), deadline)?,
            }
        }
    }

    pub(crate) fn close_inbox(&mut self, inbox: &Inbox) {
        // A subscription that cannot be ended ends with the connection.
        self.broker.unsubscribe(inbox.id).ok();
    }

    /// Pauses before a retry of what failed with a transient error, if there is time for one.
    pub(crate) fn pause_or_fail(
        &self,
        error: JetStreamError,
        deadline: Deadline,
    ) -> Result<(), JetStreamError> {
        let left = deadline.left(self.platform);
        if !error.is_transient() || left <= WORTHLESS {
            return Err(error);
        }
        self.platform.wait(PAUSE.min(left));
        Ok(())
    }

    /// Publishes until an answer comes that `accepts` takes, or the server says that nobody listens.
    ///
    /// # Errors
    /// A failure whose [`is_not_delivered`](JetStreamError::is_not_delivered) says whether the message may
    /// have been delivered by any attempt.
    pub(super) fn request(
        &mut self,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
        accepts: fn(&Message) -> bool,
        deadline: Deadline,
    ) -> Result<Asked, JetStreamError> {
        let inbox = self.open_inbox(deadline)?;
        let asked = self.repeat(message, body, (&inbox, accepts), deadline);
        self.close_inbox(&inbox);
        asked
    }

    fn repeat(
        &mut self,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
        (inbox, accepts): (&Inbox, fn(&Message) -> bool),
        deadline: Deadline,
    ) -> Result<Asked, JetStreamError> {
        let mut is_not_delivered = true;
        let mut longest = FIRST_ATTEMPT;
        let failed = |error: JetStreamError, is_not_delivered: bool| {
            let is_not_delivered = is_not_delivered && error.is_not_delivered();
            Err(error.not_delivered(is_not_delivered))
        };
        loop {
            let wait = longest.min(deadline.left(self.platform));
            longest = longest.saturating_mul(2).min(LONGEST_ATTEMPT);
            let error = match self.attempt(message, body, (inbox, accepts), wait) {
                Ok(Asked::NoResponders { .. }) => {
                    return Ok(Asked::NoResponders { is_not_delivered });
                }
                Ok(answer) => return Ok(answer),
                Err(Missed::Fatal(error)) => return failed(error, is_not_delivered),
                Err(Missed::NoAnswer) => no_answer(message.subject),
                Err(Missed::Transient(error)) => error.into(),
            };
            is_not_delivered &= error.is_not_delivered();
            let is_unanswered = error.kind() == Kind::Timeout;
            if deadline.left(self.platform) <= WORTHLESS {
                return failed(error, is_not_delivered);
            }
            if !is_unanswered {
                self.pause_or_fail(error.not_delivered(is_not_delivered), deadline)?;
            }
            body.rewind()
                .map_err(|error| cannot_repeat(error).not_delivered(is_not_delivered))?;
        }
    }

    /// Publishes once and waits up to `wait` for an answer.
    fn attempt(
        &mut self,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
        (inbox, accepts): (&Inbox, fn(&Message) -> bool),
        wait: Duration,
    ) -> Result<Asked, Missed> {
        let deadline = Deadline::after(self.platform, wait);
        let reply = [&inbox.subject, ".1"].concat();
        let message = message.reply(&reply);
        self.publish_once(&message, body)?;
        self.flush(message.subject, &inbox.subject, deadline)?;
        loop {
            let left = deadline.left(self.platform);
            let Some(answer) = self.broker.next_of(inbox.id, left)? else {
                return Err(Missed::NoAnswer);
            };
            if answer.is_no_responders() {
                return Ok(Asked::NoResponders {
                    is_not_delivered: true,
                });
            }
            if accepts(&answer) {
                return Ok(Asked::Answer(answer));
            }
            if deadline.left(self.platform).is_zero() {
                return Err(Missed::NoAnswer);
            }
        }
    }

    /// Publishes without waiting for anything.
    pub(super) fn publish_once(
        &mut self,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError> {
        let published = self.broker.publish(message, body);
        published.inspect_err(|error| self.settings.earlier.not_reported(error))
    }

    /// Writes out what was published, so that an error of the server shows at once.
    fn flush(&mut self, subject: &str, inbox: &str, deadline: Deadline) -> Result<(), Missed> {
        let mut earlier = 0;
        loop {
            let Err(error) = self.broker.flush(deadline.left(self.platform)) else {
                self.settings.earlier.confirmed();
                return Ok(());
            };
            self.settings.earlier.not_reported(&error);
            let refused = match (error.kind(), error.subject()) {
                (BrokerErrorKind::Refused, Some(refused)) => refused,
                _ => return Err(error.into()),
            };
            let is_subject = refused == subject && !error.refuses_subscription();
            if is_subject || refused.starts_with(inbox) {
                let error = not_permitted(error);
                // Without an inbox the message is published all the same.
                return Err(Missed::Fatal(error.not_delivered(is_subject)));
            }
            earlier += 1;
            if earlier > MAX_EARLIER_ERRORS {
                return Err(error.into());
            }
            self.settings.earlier.keep(error);
        }
    }

    /// Has written out what was published on `subject`, with answers to `inbox`.
    pub(crate) fn write_out(
        &mut self,
        subject: &str,
        inbox: &Inbox,
        wait: Duration,
    ) -> Result<(), JetStreamError> {
        let deadline = Deadline::after(self.platform, wait);
        match self.flush(subject, &inbox.subject, deadline) {
            Ok(()) => Ok(()),
            Err(Missed::NoAnswer) => Err(no_answer(subject)),
            Err(Missed::Transient(error)) => Err(error.into()),
            Err(Missed::Fatal(error)) => Err(error),
        }
    }

    /// A request to the API, whose subject is `<prefix>.<operation>`, and the JSON that answers it.
    pub(crate) fn call(
        &mut self,
        operation: &str,
        body: &[u8],
        deadline: Deadline,
    ) -> Result<Message, JetStreamError> {
        let subject = [&*self.settings.prefix, ".", operation].concat();
        let grace = Deadline::after(self.platform, START_GRACE);
        loop {
            let outgoing = Outgoing::new(&subject);
            let mut body = SliceBody::new(body);
            let error = match self.request(&outgoing, &mut body, is_json, deadline)? {
                Asked::NoResponders { .. } => {
                    if grace.left(self.platform).is_zero() {
                        return Err(not_enabled(&subject));
                    }
                    let message = format!("nobody answers `{subject}`");
                    JetStreamError::new(Kind::Unavailable, message)
                }
                Asked::Answer(answer) => match api_error(&answer.payload) {
                    None => return Ok(answer),
                    Some(error) => error.into_error(&format!("`{subject}`")),
                },
            };
            self.pause_or_fail(error, deadline)?;
        }
    }
}

impl From<BrokerError> for Missed {
    fn from(error: BrokerError) -> Self {
        if error.is_transient() {
            Self::Transient(error)
        } else {
            Self::Fatal(error.into())
        }
    }
}

/// The error of a subject that the server refuses.
pub(crate) fn not_permitted(error: BrokerError) -> JetStreamError {
    let message = format!("`{}` is not permitted", error.subject().unwrap_or_default());
    JetStreamError::new(Kind::NotPermitted, message).with_source(error)
}

pub(super) fn cannot_repeat(error: StreamError) -> JetStreamError {
    let message = "the body cannot be sent again";
    JetStreamError::new(Kind::Platform, message).with_source(error)
}

pub(super) fn no_answer(subject: &str) -> JetStreamError {
    JetStreamError::new(Kind::Timeout, format!("no answer from `{subject}` in time"))
}

fn not_enabled(subject: &str) -> JetStreamError {
    let message = format!("JetStream is not enabled: nobody listens to `{subject}`");
    JetStreamError::new(Kind::NotEnabled, message).not_delivered(true)
}

fn is_json(answer: &Message) -> bool {
    answer.payload.starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::JetStream;
    use super::super::script::{Clock, Script, Step};
    use super::*;
    use crate::platform::Platform as _;

    /// The subscription to answers, with the random bytes of [`Clock`].
    const INBOX: &str = "_INBOX.07070707070747078707070707070707.*";
    const ACK: Step = Step::Answer(r#"{"stream":"S","seq":1}"#);
    const NO_RESPONDERS: Step = Step::Status("503");
    const NO_STREAMS: Step = Step::Answer(r#"{"total":0,"streams":null}"#);
    const FULL: Step = Step::Answer(
        r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}"#,
    );
    const NO_LEADER: Step =
        Step::Answer(r#"{"error":{"code":503,"err_code":10008,"description":"unavailable"}}"#);

    /// What a publish ends with, whether it was certainly not delivered, how often it was written, and the
    /// seconds that it took.
    fn publish(steps: &[Step]) -> (Option<Kind>, bool, usize, u64) {
        let clock = Clock::default();
        let mut jetstream = JetStream::new(Script::new(&clock, steps), &clock);
        let message = Outgoing::new("s.a");
        let published = jetstream.publish(&message, &mut SliceBody::new(b"body"));
        let written = jetstream.broker().published.iter();
        let written: Vec<_> = written.filter(|(subject, _)| subject == "s.a").collect();
        assert!(
            written.iter().all(|(_, body)| body == "body"),
            "{written:?}"
        );
        let seconds = clock.uptime_millis() / 1000;
        let (kind, is_certain) = match &published {
            Ok(_) => (None, false),
            Err(error) => (Some(error.kind()), error.is_not_delivered()),
        };
        (kind, is_certain, written.len(), seconds)
    }

    #[test]
    fn a_publish_is_repeated_until_a_stream_answers() {
        for steps in [
            &[Step::Silence, ACK][..],
            &[Step::Lost, ACK],
            &[NO_LEADER, ACK],
            &[NO_RESPONDERS, Step::Answer(r#"{"streams":["S"]}"#), ACK],
            // A leader whose cluster has not agreed yet.
            &[
                Step::Answer(r#"{"stream":"S","seq":0,"duplicate":true}"#),
                ACK,
            ],
            &[NO_RESPONDERS, NO_LEADER, Step::Silence, ACK],
        ] {
            let (kind, _, written, _) = publish(steps);
            assert_eq!((kind, written), (None, 2), "{steps:?}");
        }
        // What was not sent is not written, and another's answer is passed over.
        for steps in [
            &[Step::NotSent, ACK][..],
            &[Step::Answer("a service's"), Step::Answer("{}"), ACK],
            &[Step::Refused("other"), ACK],
        ] {
            let (kind, _, written, _) = publish(steps);
            assert_eq!((kind, written), (None, 1), "{steps:?}");
        }
    }

    #[test]
    fn a_failed_publish_was_not_delivered_only_if_no_attempt_can_have_been() {
        for (steps, kind, is_certain, seconds) in [
            (&[NO_RESPONDERS, NO_STREAMS][..], Kind::NoStream, true, 0),
            (
                &[Step::Silence, NO_RESPONDERS, NO_STREAMS],
                Kind::NoStream,
                false,
                1,
            ),
            (
                &[Step::Lost, NO_RESPONDERS, NO_STREAMS],
                Kind::NoStream,
                false,
                0,
            ),
            (&[Step::Refused("s.a")], Kind::NotPermitted, true, 0),
            (&[Step::Refused(INBOX)], Kind::NotPermitted, false, 0),
            (
                &[Step::Silence, Step::Refused("s.a")],
                Kind::NotPermitted,
                false,
                1,
            ),
            // A subscriber beside the stream may have it.
            (&[FULL], Kind::StreamFull, false, 0),
            (&[], Kind::Timeout, false, 5),
        ] {
            let (found, certain, _, took) = publish(steps);
            assert_eq!(
                (found, certain, took),
                (Some(kind), is_certain, seconds),
                "{steps:?}"
            );
        }
    }

    #[test]
    fn errors_about_earlier_publishes_are_kept() {
        let clock = Clock::default();
        let steps = [Step::Refused("other"), Step::Refused("more"), ACK];
        let mut jetstream = JetStream::new(Script::new(&clock, &steps), &clock);
        let message = Outgoing::new("s.a");
        jetstream
            .publish(&message, &mut SliceBody::new(b""))
            .unwrap();
        let mut earlier = jetstream.into_earlier();
        for subject in [Some("other"), Some("more"), None] {
            let error = earlier.take_error();
            assert_eq!(error.as_ref().and_then(BrokerError::subject), subject);
        }
    }

    #[test]
    fn a_request_that_nobody_answers_says_that_there_is_no_jetstream() {
        let clock = Clock::default();
        let script = Script::new(&clock, &[NO_RESPONDERS; 99]);
        let error = JetStream::new(script, &clock).stream_info("S").unwrap_err();
        assert_eq!(error.kind(), Kind::NotEnabled);
        assert!(clock.uptime_millis() < 1000, "{}", clock.uptime_millis());
    }
}
