//! What the subject says on which a message is acknowledged, and the acknowledgements.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::request::Asked;
use super::{Api, JetStreamError, JetStreamErrorKind, nanos};
use crate::json::number::{Digits, decimal};
use crate::nats::{Message, Outgoing, SubjectUse, check_subject};
use crate::stream::SliceBody;

/// What the subjects start with that messages are acknowledged on.
pub(crate) const ACK_PREFIX: &str = "$JS.ACK.";

/// Where a message of a consumer comes from, and how often it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AckInfo {
    /// The stream.
    pub stream: String,
    /// The consumer.
    pub consumer: String,
    /// How often the message was delivered, this time included.
    pub delivered: u64,
    /// Its place in the stream, from 1.
    pub stream_sequence: u64,
    /// Its place among the deliveries of the consumer, from 1.
    pub consumer_sequence: u64,
    /// When it was stored, in nanoseconds since 1970-01-01 00:00 UTC.
    pub timestamp: u64,
    /// How many messages of the stream wait for the consumer behind it.
    pub pending: u64,
}

impl AckInfo {
    /// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>`
    /// (9 tokens). Newer servers write domain and account hash behind `ACK`, and may add tokens at the end
    /// (ADR-15): 11 tokens or more.
    pub(crate) fn parse(subject: &str) -> Option<Self> {
        let rest = subject.strip_prefix(ACK_PREFIX)?;
        // It comes from a peer, and is published to.
        check_subject(subject, SubjectUse::Publish).ok()?;
        let tokens = rest.split('.').count();
        let mut tokens = rest.split('.').skip(match tokens {
            7 => 0,
            9.. => 2,
            _ => return None,
        });
        let mut name = || tokens.next().filter(|name| !name.is_empty());
        let (stream, consumer) = (String::from(name()?), String::from(name()?));
        let mut number = || decimal(tokens.next()?.as_bytes());
        Some(Self {
            stream,
            consumer,
            delivered: number()?,
            stream_sequence: number()?,
            consumer_sequence: number()?,
            timestamp: number()?,
            pending: number()?,
        })
    }
}

pub(crate) const IN_PROGRESS: &[u8] = b"+WPI";

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// It is done.
    Done,
    /// It is to be delivered again, after a pause.
    Again(Duration),
    /// It is being worked on: its time starts anew.
    InProgress,
    /// It is not to be delivered again.
    Never,
}

impl Ack {
    fn body(self) -> Vec<u8> {
        match self {
            Self::Done => Vec::from(&b"+ACK"[..]),
            Self::Again(Duration::ZERO) => Vec::from(&b"-NAK"[..]),
            Self::Again(delay) => {
                let delay = Digits::of(nanos(delay));
                ["-NAK {\"delay\": ", delay.as_str(), "}"].concat().into()
            }
            Self::InProgress => Vec::from(IN_PROGRESS),
            Self::Never => Vec::from(&b"+TERM"[..]),
        }
    }
}

impl Api<'_> {
    /// Writes an acknowledgement and, if `confirm`, waits until the server has it. It is repeated within
    /// the time limit while the connection is being renewed: a second one changes nothing.
    pub(crate) fn acknowledge(
        &mut self,
        subject: &str,
        ack: Ack,
        confirm: bool,
    ) -> Result<(), JetStreamError> {
        let (deadline, body) = (self.deadline(), ack.body());
        let message = Outgoing::new(subject);
        loop {
            let mut body = SliceBody::new(&body);
            let error = if confirm {
                match self.request(&message, &mut body, is_confirmation, deadline)? {
                    Asked::Answer(_) => return Ok(()),
                    Asked::NoResponders { .. } => {
                        let text = format!("nobody takes an acknowledgement on `{subject}`");
                        JetStreamError::new(JetStreamErrorKind::Unavailable, text)
                    }
                }
            } else {
                match self.publish_once(&message, &mut body) {
                    Ok(()) => return Ok(()),
                    Err(error) => error.into(),
                }
            };
            self.pause_or_fail(error, deadline)?;
        }
    }
}

fn is_confirmation(answer: &Message) -> bool {
    answer.payload.is_empty() || answer.payload.starts_with(b"+OK")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_subjects_have_9_tokens_or_11_and_more() {
        let expected = AckInfo {
            stream: String::from("S"),
            consumer: String::from("c"),
            delivered: 2,
            stream_sequence: 17,
            consumer_sequence: 21,
            timestamp: 1_700_000_000_000_000_000,
            pending: 5,
        };
        let numbers = "S.c.2.17.21.1700000000000000000.5";
        for subject in [
            format!("$JS.ACK.{numbers}"),
            format!("$JS.ACK.hub.hAsH.{numbers}"),
            format!("$JS.ACK._.hAsH.{numbers}"),
            format!("$JS.ACK._.hAsH.{numbers}.x7Y"),
        ] {
            assert_eq!(
                AckInfo::parse(&subject),
                Some(expected.clone()),
                "{subject}"
            );
        }
    }

    #[test]
    fn other_subjects_are_none_to_acknowledge_on() {
        for subject in [
            "",
            "$JS.ACK.",
            "$JS.ACK.S.c.2.17.21.17",
            "$JS.ACK.d.S.c.2.17.21.17.5",
            "$JS.ACK.S.c.x.17.21.17.5",
            "$JS.ACK.S.c.-1.17.21.17.5",
            "$JS.ACK.S.c.99999999999999999999.17.21.17.5",
            "$JS.ACK..c.2.17.21.17.5",
            "_INBOX.a.S.c.2.17.21.17.5",
            "$JS.ACK.d.h.S.c.2.17.21.17.5.a b",
            "$JS.ACK.S.*.2.17.21.17.5",
        ] {
            assert_eq!(AckInfo::parse(subject), None, "{subject}");
        }
    }

    #[test]
    fn acknowledgements_are_written_as_the_server_reads_them() {
        for (ack, body) in [
            (Ack::Done, "+ACK"),
            (Ack::Again(Duration::ZERO), "-NAK"),
            (
                Ack::Again(Duration::from_millis(1500)),
                "-NAK {\"delay\": 1500000000}",
            ),
            (Ack::InProgress, "+WPI"),
            (Ack::Never, "+TERM"),
        ] {
            assert_eq!(ack.body(), body.as_bytes());
        }
    }
}
