//! NATS: the trait of a connection to it, and what that delivers.

#[cfg(any(feature = "nkeys", feature = "tls"))]
pub(crate) mod credentials;
pub(crate) mod earlier_publishes;
mod error;
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) mod handshake;
#[cfg_attr(
    not(any(feature = "std", feature = "nal")),
    allow(
        dead_code,
        reason = "without adapters no message is made of what arrives"
    )
)]
pub(crate) mod headers;
pub(crate) mod jetstream;
#[cfg_attr(
    not(feature = "tls"),
    allow(dead_code, reason = "no adapter reads what only TLS and nkeys need")
)]
pub(crate) mod options;
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) mod protocol;
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) mod servers;
#[cfg(any(feature = "std", feature = "nal"))]
#[cfg_attr(
    not(feature = "std"),
    allow(
        dead_code,
        reason = "a board has one client, and moves by connecting anew"
    )
)]
pub(crate) mod session;
pub(crate) mod subject;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::DerefMut;
use core::time::Duration;

use crate::stream::Body;

pub use self::error::{BrokerError, BrokerErrorKind};
pub use self::headers::Headers;
pub use self::options::{DEFAULT_BROKER_URL, DEFAULT_TIMEOUT, NatsOptions};
pub use self::subject::{
    MAX_SUBJECT_LEN, SubjectError, SubjectFault, SubjectUse, check_queue, check_subject,
};

/// What a server of NATS accepts in one message unless it is told otherwise: 1,048,576 bytes.
pub const DEFAULT_MAX_PAYLOAD: usize = 1_048_576;

/// A connection to a message broker.
///
/// `contract::broker` (feature `contract`) checks an implementation:
///
/// - Every call returns within a bounded time: `flush`, `next` and `next_of` within `wait` (and a
///   little), the others within a time limit of the connection's own.
/// - Subjects are checked with [`check_subject`] and [`check_queue`] before anything is written.
/// - A message whose headers and body are longer than [`max_payload`](Broker::max_payload) is refused
///   with [`BrokerErrorKind::TooLarge`], and nothing of it is written.
/// - Messages of one subscription arrive in the order in which the server sent them.
/// - A lost connection, and messages that had to be dropped, are reported once, as an error of the next
///   call that could have noticed. Messages received before a loss are delivered before it is reported.
///
/// It is not a queue: what is published while nobody is subscribed is gone.
pub trait Broker {
    /// The largest message in bytes that the server accepts, headers included.
    fn max_payload(&self) -> usize;

    /// Writes a message to the connection, or to its buffer, which is written soon by itself, or at the latest
    /// when [`next`](Broker::next) waits. `Ok` does not say that the server has it: that is what
    /// [`flush`](Broker::flush) is for.
    ///
    /// # Errors
    /// [`BrokerError`]. If [`is_not_sent`](BrokerError::is_not_sent) the server certainly does not get
    /// it, else it may.
    fn publish(&mut self, message: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError>;

    /// Waits until the server has handled all that was published and subscribed before, on this very
    /// connection.
    ///
    /// # Errors
    /// [`BrokerErrorKind::Timeout`] after `wait`, [`BrokerErrorKind::Disconnected`] if the
    /// connection was lost since the first unconfirmed publish: messages published since the last
    /// `Ok` may or may not have arrived. [`BrokerErrorKind::Refused`] if the server refused one of
    /// them, whose subject is [`BrokerError::subject`]; all others have arrived. Each refused subject
    /// is reported by one call.
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
    /// [`BrokerErrorKind::Disconnected`] if the connection was lost,
    /// [`BrokerErrorKind::SlowConsumer`] if messages had to be dropped, [`BrokerErrorKind::Local`] for one that
    /// cannot be read or is over a limit of this client, [`BrokerErrorKind::Refused`] for a server error that
    /// belongs to nothing unconfirmed. Calling again goes on.
    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError>;

    /// Waits up to `wait` for the next message of one subscription; `None` if there was none. Messages
    /// of others, and errors that are not about this one, wait for [`next`](Broker::next).
    ///
    /// # Errors
    /// [`BrokerErrorKind::Disconnected`] if the connection was lost since the subscription was made,
    /// [`BrokerErrorKind::Local`] for a message of it that cannot be read or is over a limit of this client.
    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError>;

    /// What the subjects of inboxes start with, before a dot and a random token. Default `_INBOX`.
    fn inbox_prefix(&self) -> &str {
        options::DEFAULT_INBOX_PREFIX
    }
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
    fn publish(&mut self, message: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        (**self).publish(message, body)
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
    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        (**self).next_of(id, wait)
    }
    fn inbox_prefix(&self) -> &str {
        (**self).inbox_prefix()
    }
}

/// What is published, beside its body.
///
/// ```
/// use natsbridge::adapter::Outgoing;
///
/// let message = Outgoing::new("/orders").reply("_INBOX.1").headers(&[("Nats-Msg-Id", "17")]);
/// assert_eq!(message.subject, "/orders");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// The subject to publish on.
    pub subject: &'a str,
    /// Where an answer is to be published. Default: none.
    pub reply: Option<&'a str>,
    /// Names and values. They count towards [`Broker::max_payload`]. Default: none.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> Outgoing<'a> {
    /// A message without reply subject and headers.
    pub fn new(subject: &'a str) -> Self {
        Self {
            subject,
            reply: None,
            headers: &[],
        }
    }

    /// Sets [`reply`](Self::reply).
    #[must_use]
    pub fn reply(mut self, reply: &'a str) -> Self {
        self.reply = Some(reply);
        self
    }

    /// Sets [`headers`](Self::headers).
    #[must_use]
    pub fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    /// What every broker checks before it does anything.
    #[cfg(any(feature = "std", feature = "nal"))]
    pub(crate) fn check(&self) -> Result<(), BrokerError> {
        check_subject(self.subject, SubjectUse::Publish)?;
        if let Some(reply) = self.reply {
            check_subject(reply, SubjectUse::Publish)?;
        }
        headers::check_headers(self.headers)
    }

    /// Refuses what is over the server's limit, before anything of it is written. Returns the length of
    /// the body in bytes.
    #[cfg(any(feature = "std", feature = "nal"))]
    pub(crate) fn check_len(
        &self,
        body: &dyn Body,
        max_payload: usize,
    ) -> Result<usize, BrokerError> {
        let headers_len = protocol::headers_len(self.headers) as u64;
        let (len, limit) = (body.len().saturating_add(headers_len), max_payload as u64);
        if len <= limit {
            // No longer than a limit of this type.
            return Ok(usize::try_from(body.len()).unwrap_or(usize::MAX));
        }
        let message =
            alloc::format!("a message of {len} bytes is over the server's limit of {limit} bytes");
        let kind = BrokerErrorKind::TooLarge { len, limit };
        Err(BrokerError::new(kind, message))
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
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub payload: Vec<u8>,
}

impl Message {
    /// A message without reply subject, status and headers.
    pub fn new(subscription: SubscriptionId, subject: impl Into<String>, payload: Vec<u8>) -> Self {
        Self {
            subscription,
            subject: subject.into(),
            reply: None,
            status: None,
            headers: Headers::default(),
            payload,
        }
    }

    /// Whether the server says that nobody listens to the subject of a request.
    pub fn is_no_responders(&self) -> bool {
        self.status == Some(503) && self.payload.is_empty()
    }
}
