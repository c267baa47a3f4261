//! Publishing with acknowledgement.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::error::{ApiError, JetStreamError, JetStreamErrorKind as Kind};
use super::request::{Asked, cannot_repeat, no_answer};
use super::{Api, Deadline, JetStream, read_answer};
use crate::json::writer::ObjectWriter;
use crate::json::{JsonError, Reader};
use crate::nats::{Broker, Message, Outgoing};
use crate::platform::Platform;
use crate::stream::Body;

/// The header by which a stream recognizes a message that it has stored already.
pub(crate) const MSG_ID: &str = "Nats-Msg-Id";
/// How long it may take to find out why nobody listens to a subject.
const LOOK_UP_TIMEOUT: Duration = Duration::from_millis(700);

/// A stream's answer to a message that it has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PubAck {
    /// The stream.
    pub stream: String,
    /// The message's place in the stream, from 1. Of a duplicate: the first one's.
    pub sequence: u64,
    /// Whether the stream had the message already, by its `Nats-Msg-Id`.
    pub is_duplicate: bool,
}

/// A longer answer is none of a stream, in bytes.
const MAX_PUB_ACK_LEN: usize = 4096;

/// Whether a stream has answered, for `{"stream":"ORDERS","seq":1}` for example, or refusing the message.
pub(crate) fn is_pub_ack(payload: &[u8]) -> bool {
    if payload.len() >= MAX_PUB_ACK_LEN {
        return false;
    }
    let (mut has_stream, mut has_sequence) = (false, false);
    let read = read_answer(payload, &mut |key, value| {
        match key {
            "stream" => has_stream = !value.text()?.is_empty(),
            "seq" => has_sequence = value.unsigned().is_ok(),
            _ => drop(value.skip()?),
        }
        Ok(())
    });
    read.is_ok() && has_stream && has_sequence
}

/// The acknowledgement, or why there is none, in an answer to a publish.
pub(crate) fn read_pub_ack(answer: &Message) -> Result<PubAck, JetStreamError> {
    if answer.is_no_responders() {
        return Err(no_stream(Kind::Unavailable, "the message"));
    }
    match parse_answer(&answer.payload) {
        Some(Ok(ack)) => Ok(ack),
        Some(Err(error)) => Err(error.into_error("a message")),
        None => {
            let message = "the answer is no acknowledgement of a stream";
            Err(JetStreamError::new(Kind::InvalidAnswer, message))
        }
    }
}

/// What a stream answers: an acknowledgement, or an error. `None` if it is anything else.
pub(crate) fn parse_answer(payload: &[u8]) -> Option<Result<PubAck, ApiError>> {
    if payload.len() >= MAX_PUB_ACK_LEN {
        return None;
    }
    let (mut stream, mut sequence, mut is_duplicate) = (None, None, false);
    let mut error = None;
    let mut read = |key: &str, value: &mut Reader<'_>| -> Result<(), JsonError> {
        match key {
            "stream" => stream = Some(value.text()?.into_owned()),
            "seq" => sequence = Some(value.unsigned()?),
            "duplicate" => is_duplicate = value.boolean()?,
            "error" => error = Some(ApiError::read(value)?),
            _ => drop(value.skip()?),
        }
        Ok(())
    };
    read_answer(payload, &mut read).ok()?;
    match (error, sequence) {
        // Those of JetStream have a number, so that a service's own errors are none.
        (Some(error), _) if error.code != 0 || error.err_code != 0 => Some(Err(error)),
        // The message is on its way to the cluster's other servers, by an earlier attempt, and may be lost.
        (None, Some(0)) if stream.is_some() => Some(Err(ApiError {
            code: 503,
            err_code: 0,
            description: String::from("not stored yet"),
        })),
        (None, Some(sequence)) => Some(Ok(PubAck {
            stream: stream?,
            sequence,
            is_duplicate,
        })),
        _ => None,
    }
}

impl<B: Broker, P: Platform> JetStream<B, P> {
    /// Publishes a message and waits until a stream has stored it. With a header `Nats-Msg-Id` it is stored
    /// once, however often it had to be repeated; without, a repetition may be stored again.
    ///
    /// Blocks at most [`timeout`](Self::timeout) beside the connection's own time limit.
    ///
    /// # Errors
    /// [`NoStream`](Kind::NoStream), [`NotEnabled`](Kind::NotEnabled), [`StreamFull`](Kind::StreamFull),
    /// [`WrongStream`](Kind::WrongStream), [`NotPermitted`](Kind::NotPermitted),
    /// [`StorageLimit`](Kind::StorageLimit) at once; [`Timeout`](Kind::Timeout) if nobody answers in time:
    /// then the message may have been stored.
    ///
    /// ```no_run
    /// use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
    /// use natsbridge::adapter::{Outgoing, SliceBody};
    /// use natsbridge::JetStream;
    ///
    /// let mut jetstream = JetStream::new(NatsClient::new(NatsOptions::default()), StdPlatform);
    /// let message = Outgoing::new("orders.new").headers(&[("Nats-Msg-Id", "17")]);
    /// let first = jetstream.publish(&message, &mut SliceBody::new(b"two chairs"))?;
    /// let again = jetstream.publish(&message, &mut SliceBody::new(b"two chairs"))?;
    /// assert!(again.is_duplicate && again.sequence == first.sequence);
    /// # Ok::<(), natsbridge::JetStreamError>(())
    /// ```
    pub fn publish(
        &mut self,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
    ) -> Result<PubAck, JetStreamError> {
        self.api().publish(message, body)
    }
}

impl Api<'_> {
    pub(crate) fn publish(
        &mut self,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
    ) -> Result<PubAck, JetStreamError> {
        let deadline = self.deadline();
        let mut is_not_delivered = true;
        loop {
            let asked = self.request(message, body, is_stream_answer, deadline);
            let error = match asked {
                Ok(Asked::NoResponders {
                    is_not_delivered: certain,
                }) => {
                    is_not_delivered &= certain;
                    self.why_nobody(message.subject)
                }
                Ok(Asked::Answer(answer)) => match parse_answer(&answer.payload) {
                    Some(Ok(ack)) => return Ok(ack),
                    Some(Err(error)) => {
                        error.into_error(&format!("a message to `{}`", message.subject))
                    }
                    // `is_stream_answer` has taken it: the alternative is never taken.
                    None => no_answer(message.subject),
                },
                Err(error) => {
                    let certain = error.is_not_delivered() && is_not_delivered;
                    return Err(error.not_delivered(certain));
                }
            };
            is_not_delivered &= error.is_not_delivered();
            self.pause_or_fail(error.not_delivered(is_not_delivered), deadline)?;
            body.rewind()
                .map_err(|error| cannot_repeat(error).not_delivered(is_not_delivered))?;
        }
    }

    /// Why nobody listens to a subject: no stream stores it, there is no JetStream, or the stream has no
    /// leader now.
    fn why_nobody(&mut self, subject: &str) -> JetStreamError {
        let deadline = Deadline::after(self.platform, LOOK_UP_TIMEOUT);
        match self.stores(subject, deadline) {
            Ok(false) => no_stream(Kind::NoStream, subject),
            Err(error) if error.kind() == Kind::NotEnabled => error.not_delivered(true),
            // Also where the user may not ask.
            _ => no_stream(Kind::Unavailable, subject),
        }
    }

    /// Whether a stream stores what is published on `subject`.
    fn stores(&mut self, subject: &str, deadline: Deadline) -> Result<bool, JetStreamError> {
        let body = ObjectWriter::new().text("subject", subject).finish();
        let answer = self.call("STREAM.NAMES", &body, deadline)?;
        let mut has_any = false;
        read_answer(&answer.payload, &mut |key, value| {
            if key != "streams" || value.null() {
                return value_skipped(key, value);
            }
            let mut elements = value.array()?;
            while value.next_element(&mut elements)? {
                value.skip()?;
                has_any = true;
            }
            Ok(())
        })
        .map_err(|cause| JetStreamError::invalid_answer("STREAM.NAMES", cause))?;
        Ok(has_any)
    }
}

/// Skips a value, unless it is the `null` of `streams`, which has been read.
fn value_skipped(key: &str, value: &mut Reader<'_>) -> Result<(), JsonError> {
    if key != "streams" {
        value.skip()?;
    }
    Ok(())
}

fn no_stream(kind: Kind, subject: &str) -> JetStreamError {
    let message = match kind {
        Kind::NoStream => format!("no stream stores `{subject}`"),
        _ => format!("no stream answers for `{subject}`"),
    };
    JetStreamError::new(kind, message).not_delivered(true)
}

/// A service that listens to the same subject answers too, with something else.
fn is_stream_answer(answer: &Message) -> bool {
    parse_answer(&answer.payload).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pub_ack_has_a_stream_and_a_sequence() {
        let answer = br#"{"stream":"T","seq":1,"duplicate": true,"domain":"d"}"#;
        let ack = parse_answer(answer);
        let expected = PubAck {
            stream: String::from("T"),
            sequence: 1,
            is_duplicate: true,
        };
        assert_eq!(ack, Some(Ok(expected)));
        assert!(is_pub_ack(answer));
        for other in [
            &b""[..],
            b"{}",
            b"[]",
            br#"{"stream":"T"}"#,
            br#"{"seq":1}"#,
            br#"{"stream":"T","seq":-1}"#,
            br#"{"stream":1,"seq":1}"#,
            br#"{"stream":"T","seq":1"#,
            br#"{"error":"no","seq":1}"#,
            br#"{"error":{"text":"a service's own"}}"#,
            b"\xff",
        ] {
            assert_eq!(parse_answer(other), None, "{}", other.escape_ascii());
            assert!(!is_pub_ack(other), "{}", other.escape_ascii());
        }
        let long = [br#"{"stream":"T","seq":1,"x":""#, &[b'x'; 4096][..], b"\"}"].concat();
        assert_eq!(parse_answer(&long), None);
        assert!(!is_pub_ack(&long));
    }

    #[test]
    fn no_place_in_the_stream_is_no_acknowledgement() {
        let answer = br#"{"stream":"T","seq":0,"duplicate":true}"#;
        let error = parse_answer(answer).unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(parse_answer(br#"{"seq":0}"#), None);
    }

    #[test]
    fn a_refusal_is_an_answer_of_a_stream() {
        let refusal = br#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"L","seq":0}"#;
        let error = parse_answer(refusal).unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::StreamFull);
        assert!(is_pub_ack(refusal));
    }
}
