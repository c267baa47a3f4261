//! The message broker: the trait, what it delivers, and the check on subjects.

#[cfg(feature = "nal")]
pub(crate) mod protocol;

#[cfg(any(feature = "std", feature = "nal"))]
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::DerefMut;
use core::time::Duration;

use crate::cause::{BoxError, debug_tells_causes};
use crate::stream::{Body, StreamError};
use crate::trace::Escaped;

/// The most bytes a subject, a reply subject or a queue group may have. Two of them and the numbers
/// of a NATS control line stay within the 4096 bytes that a server reads by default.
pub const MAX_SUBJECT_LEN: usize = 2000;

/// A connection to a message broker.
///
/// Who implements it runs the contract functions in `tests/common/contract.rs` against it. In
/// words:
///
/// - Every call returns within a bounded time: `flush` and `next` within `wait` (and a little), the
///   others within a time limit of the connection's own.
/// - Subjects are checked with [`check_subject`] and [`check_queue`] before anything is written.
/// - A body that is longer than [`max_payload`](Broker::max_payload) is refused with
///   [`BrokerErrorKind::TooLarge`], and nothing of it is written.
/// - Messages of one subscription arrive in the order in which the server sent them.
/// - A lost connection, and messages that had to be dropped, are told once, as an error of the next
///   call that could have noticed; never passed over.
///
/// It is not a queue: what is published while nobody is subscribed is gone.
pub trait Broker {
    /// The largest message in bytes that the server accepts.
    fn max_payload(&self) -> usize;

    /// Hands a message to the connection. `Ok` does not say that the server has it: that is what
    /// [`flush`](Broker::flush) is for.
    ///
    /// # Errors
    /// [`BrokerError`]; if it was sent in part the connection is unusable and says so.
    fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError>;

    /// Waits until the server has taken all that was published and subscribed before, on this very
    /// connection, and has not complained.
    ///
    /// # Errors
    /// [`BrokerErrorKind::Timeout`] after `wait`, [`BrokerErrorKind::Disconnected`] if the
    /// connection was lost since the first unconfirmed publish, [`BrokerErrorKind::Refused`] if
    /// the server complained. Messages published since the last `Ok` may or may not have arrived.
    fn flush(&mut self, wait: Duration) -> Result<(), BrokerError>;

    /// Asks for messages on `subject`, which may have the wildcards `*` and `>`. Of all subscribers
    /// in one `queue` group only one gets each message. After a flush the server knows of it.
    ///
    /// # Errors
    /// [`BrokerError`]; there is no subscription then.
    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError>;

    /// Ends a subscription. Messages of it that have arrived already are dropped.
    ///
    /// # Errors
    /// [`BrokerError`]; the subscription is gone all the same.
    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError>;

    /// Waits up to `wait` for the next message of any subscription; `None` if there was none.
    ///
    /// # Errors
    /// [`BrokerErrorKind::Disconnected`] if the connection is lost,
    /// [`BrokerErrorKind::SlowConsumer`] if messages had to be dropped. Calling again goes on.
    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError>;
}

/// `&mut T`, `Box<T>` and other pointers to a broker are brokers.
impl<P> Broker for P
where
    P: DerefMut,
    P::Target: Broker,
{
    fn max_payload(&self) -> usize {
        (**self).max_payload()
    }
    fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError> {
        (**self).publish(subject, reply, body)
    }
    fn flush(&mut self, wait: Duration) -> Result<(), BrokerError> {
        (**self).flush(wait)
    }
    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        (**self).subscribe(subject, queue)
    }
    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError> {
        (**self).unsubscribe(id)
    }
    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        (**self).next(wait)
    }
}

/// Names a subscription of one connection. It stays the same when the connection is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub u64);

/// A message as the broker delivered it: bytes that nobody has looked into yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The subscription that it came by.
    pub subscription: SubscriptionId,
    /// The subject that it was published on.
    pub subject: String,
    /// Where an answer is to be published, if the sender said so to NATS. The family's own field
    /// for this is the envelope's `reply_to`.
    pub reply: Option<String>,
    /// The status of a message that the server made itself: 503 for "no responders".
    pub status: Option<u16>,
    /// The body.
    pub payload: Vec<u8>,
}

impl Message {
    /// A message without reply subject and status.
    pub fn new(subscription: SubscriptionId, subject: impl Into<String>, payload: Vec<u8>) -> Self {
        Self {
            subscription,
            subject: subject.into(),
            reply: None,
            status: None,
            payload,
        }
    }

    /// Whether the server says that nobody listens to the subject of a request.
    pub fn is_no_responders(&self) -> bool {
        self.status == Some(503) && self.payload.is_empty()
    }
}

/// Why a [`Broker`] failed: a kind to act on, words for a person, and the cause.
pub struct BrokerError {
    kind: BrokerErrorKind,
    message: String,
    source: Option<BoxError>,
}

debug_tells_causes!(BrokerError);

impl BrokerError {
    /// An error that says `message`: lower case, no full stop, with the URL or subject it is about.
    pub fn new(kind: BrokerErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What happened, to act on.
    pub fn kind(&self) -> BrokerErrorKind {
        self.kind
    }

    /// Whether the body was refused by a limit that is lower than `known`.
    pub(crate) fn is_too_large_for_less_than(&self, known: u64) -> bool {
        matches!(self.kind, BrokerErrorKind::TooLarge { limit, .. } if limit < known)
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        use BrokerErrorKind as Kind;
        matches!(
            self.kind,
            Kind::Unreachable | Kind::Timeout | Kind::Disconnected | Kind::SlowConsumer { .. }
        )
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.message))
    }
}

impl core::error::Error for BrokerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<SubjectError> for BrokerError {
    fn from(error: SubjectError) -> Self {
        Self::new(
            BrokerErrorKind::InvalidSubject,
            "the subject cannot be used",
        )
        .with_source(error)
    }
}

impl From<StreamError> for BrokerError {
    fn from(error: StreamError) -> Self {
        Self::new(BrokerErrorKind::Local, "the body cannot be read").with_source(error)
    }
}

/// What happened to a [`Broker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerErrorKind {
    /// No server could be connected to.
    Unreachable,
    /// The server does not accept the credentials, or its certificate is not accepted.
    Unauthorized,
    /// The time limit of the call is over. What was published may or may not have arrived.
    Timeout,
    /// The connection is lost. What was published and not flushed may or may not have arrived.
    Disconnected,
    /// The server complained, about a missing permission for example.
    Refused,
    /// The body is longer than the server accepts. Nothing was sent.
    TooLarge {
        /// The body's length in bytes.
        len: u64,
        /// The most the server accepts, in bytes.
        limit: u64,
    },
    /// The subject or queue group cannot be used. Nothing was sent.
    InvalidSubject,
    /// Messages arrived faster than they were taken, and were dropped.
    SlowConsumer {
        /// How many.
        dropped: u64,
    },
    /// The options of the connection cannot be used: a malformed URL, a file that cannot be read.
    InvalidOption,
    /// The server broke the protocol.
    Protocol,
    /// This machine failed: the body could not be read, or there was no memory.
    Local,
}

impl fmt::Display for BrokerErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Refused => "refused",
            Self::TooLarge { .. } => "too_large",
            Self::InvalidSubject => "invalid_subject",
            Self::SlowConsumer { .. } => "slow_consumer",
            Self::InvalidOption => "invalid_option",
            Self::Protocol => "protocol",
            Self::Local => "local",
        })
    }
}

/// A text that NATS would not take as a subject or queue group, or would silently drop.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}`: {fault}", Escaped(subject))]
#[non_exhaustive]
pub struct SubjectError {
    /// The text.
    pub subject: String,
    /// What is wrong with it.
    pub fault: SubjectFault,
}

debug_tells_causes!(SubjectError);

/// What is wrong with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectFault {
    /// It has no characters.
    #[error("it is empty")]
    Empty,
    /// It starts or ends with a dot, or has two in a row. A server drops such a message silently.
    #[error("it has an empty token at byte {at}")]
    EmptyToken {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// White space or a control character ends the subject on the wire and starts something else.
    #[error("it has white space or a control character at byte {at}")]
    Separator {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// A message goes to one subject, not to many.
    #[error("it has a wildcard at byte {at}, and nothing can be published there")]
    Wildcard {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// `*` and `>` stand for whole tokens, and `>` for the last ones.
    #[error("it has a misplaced wildcard at byte {at}")]
    MisplacedWildcard {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// It is longer than [`MAX_SUBJECT_LEN`].
    #[error("its {len} bytes are over the limit of {limit} bytes")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
}

/// What a subject is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectUse {
    /// To publish on, or as a reply subject: no wildcards.
    Publish,
    /// To subscribe to: `*` stands for one token, `>` for one or more at the end.
    Subscribe,
}

/// The one check that stands between a text and the wire. A slash has no meaning to NATS, so that
/// the family's `/chat/room1` is a subject of one token.
///
/// # Errors
/// [`SubjectError`] that says where and why.
///
/// ```
/// use natsbridge::{SubjectUse, check_subject};
///
/// assert!(check_subject("/chat", SubjectUse::Publish).is_ok());
/// assert!(check_subject("sensor.*.raw", SubjectUse::Subscribe).is_ok());
/// assert!(check_subject("a b", SubjectUse::Publish).is_err());
/// assert!(check_subject("a..b", SubjectUse::Publish).is_err());
/// assert!(check_subject("a.>", SubjectUse::Publish).is_err());
/// ```
pub fn check_subject(subject: &str, purpose: SubjectUse) -> Result<(), SubjectError> {
    let wildcards = match purpose {
        SubjectUse::Publish => no_wildcards(subject),
        SubjectUse::Subscribe => wildcards_in_place(subject),
    };
    check_text(subject)
        .and_then(|()| no_empty_token(subject))
        .and(wildcards)
        .map_err(|fault| subject_error(subject, fault))
}

/// The check on the name of a queue group: one word.
///
/// # Errors
/// [`SubjectError`] that says where and why.
pub fn check_queue(queue: &str) -> Result<(), SubjectError> {
    check_text(queue).map_err(|fault| subject_error(queue, fault))
}

/// What every broker checks of a publish before it does anything.
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) fn check_publish(subject: &str, reply: Option<&str>) -> Result<(), BrokerError> {
    check_subject(subject, SubjectUse::Publish)?;
    reply.map_or(Ok(()), |reply| check_subject(reply, SubjectUse::Publish))?;
    Ok(())
}

/// What every broker checks of a subscription before it does anything.
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) fn check_subscribe(subject: &str, queue: Option<&str>) -> Result<(), BrokerError> {
    check_subject(subject, SubjectUse::Subscribe)?;
    queue.map_or(Ok(()), check_queue)?;
    Ok(())
}

/// Refuses a body that is over the server's limit, before anything of it is written.
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) fn check_len(body: &dyn Body, max_payload: usize) -> Result<(), BrokerError> {
    let (len, limit) = (body.len(), max_payload as u64);
    if len <= limit {
        return Ok(());
    }
    let message = format!("a body of {len} bytes is over the server's limit of {limit} bytes");
    Err(BrokerError::new(
        BrokerErrorKind::TooLarge { len, limit },
        message,
    ))
}

fn subject_error(subject: &str, fault: SubjectFault) -> SubjectError {
    SubjectError {
        subject: subject.into(),
        fault,
    }
}

fn check_text(text: &str) -> Result<(), SubjectFault> {
    if text.is_empty() {
        return Err(SubjectFault::Empty);
    }
    if text.len() > MAX_SUBJECT_LEN {
        return Err(SubjectFault::TooLong {
            len: text.len(),
            limit: MAX_SUBJECT_LEN,
        });
    }
    match text.find(|c: char| c.is_whitespace() || c.is_control()) {
        Some(at) => Err(SubjectFault::Separator { at }),
        None => Ok(()),
    }
}

fn no_empty_token(subject: &str) -> Result<(), SubjectFault> {
    match tokens(subject).find(|(_, token)| token.is_empty()) {
        Some((at, _)) => Err(SubjectFault::EmptyToken { at }),
        None => Ok(()),
    }
}

fn no_wildcards(subject: &str) -> Result<(), SubjectFault> {
    match subject.find(['*', '>']) {
        Some(at) => Err(SubjectFault::Wildcard { at }),
        None => Ok(()),
    }
}

fn wildcards_in_place(subject: &str) -> Result<(), SubjectFault> {
    for (at, token) in tokens(subject) {
        let is_last = at + token.len() == subject.len();
        let in_place = match token {
            "*" => true,
            ">" => is_last,
            _ => !token.contains(['*', '>']),
        };
        if !in_place {
            return Err(SubjectFault::MisplacedWildcard { at });
        }
    }
    Ok(())
}

/// The tokens of a subject, each with its place in bytes.
fn tokens(subject: &str) -> impl Iterator<Item = (usize, &str)> {
    subject.split('.').scan(0, |next, token| {
        let at = *next;
        *next += token.len() + 1;
        Some((at, token))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(subject: &str, purpose: SubjectUse) -> Option<SubjectFault> {
        check_subject(subject, purpose)
            .err()
            .map(|error| error.fault)
    }

    #[test]
    fn subjects_to_publish_on() {
        for (subject, expected) in [
            ("/chat", None),
            ("/agent/wine/api/v1/prompt", None),
            ("a.b-c.d_1", None),
            ("温度.室内", None),
            ("", Some(SubjectFault::Empty)),
            ("a b", Some(SubjectFault::Separator { at: 1 })),
            ("a\tb", Some(SubjectFault::Separator { at: 1 })),
            ("a\r\nPUB x 0\r\n", Some(SubjectFault::Separator { at: 1 })),
            ("a\0", Some(SubjectFault::Separator { at: 1 })),
            ("a..b", Some(SubjectFault::EmptyToken { at: 2 })),
            (".a", Some(SubjectFault::EmptyToken { at: 0 })),
            ("a.", Some(SubjectFault::EmptyToken { at: 2 })),
            ("a.>", Some(SubjectFault::Wildcard { at: 2 })),
            ("a.*.b", Some(SubjectFault::Wildcard { at: 2 })),
            ("a>", Some(SubjectFault::Wildcard { at: 1 })),
        ] {
            assert_eq!(fault(subject, SubjectUse::Publish), expected, "{subject:?}");
        }
    }

    #[test]
    fn subjects_to_subscribe_to() {
        for (subject, expected) in [
            (">", None),
            ("a.*.b.>", None),
            ("*.*", None),
            ("a.>.b", Some(SubjectFault::MisplacedWildcard { at: 2 })),
            ("a.b*", Some(SubjectFault::MisplacedWildcard { at: 2 })),
            ("a..>", Some(SubjectFault::EmptyToken { at: 2 })),
            ("a >", Some(SubjectFault::Separator { at: 1 })),
        ] {
            assert_eq!(
                fault(subject, SubjectUse::Subscribe),
                expected,
                "{subject:?}"
            );
        }
    }

    #[test]
    fn the_length_limit_is_exact() {
        for (len, fits) in [(1999, true), (2000, true), (2001, false)] {
            let text = "a".repeat(len);
            assert_eq!(check_subject(&text, SubjectUse::Publish).is_ok(), fits);
            assert_eq!(check_queue(&text).is_ok(), fits);
        }
    }

    #[test]
    fn queue_groups_are_one_word() {
        assert!(check_queue("workers").is_ok());
        for queue in ["", "a b", "a\r\n"] {
            assert!(check_queue(queue).is_err(), "{queue:?}");
        }
    }
}
