//! NATS: the trait of a connection to it, and what that delivers.

mod error;
#[cfg(feature = "nal")]
pub(crate) mod protocol;
pub(crate) mod subject;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::DerefMut;
use core::time::Duration;

use crate::stream::Body;

pub use self::error::{BrokerError, BrokerErrorKind};
pub use self::subject::{
    MAX_SUBJECT_LEN, SubjectError, SubjectFault, SubjectUse, check_queue, check_subject,
};

/// The broker that is used where none is named.
pub const DEFAULT_BROKER_URL: &str = "nats://localhost:4222";
/// What a server of NATS accepts in one message unless it is told otherwise: 1,048,576 bytes.
pub const DEFAULT_MAX_PAYLOAD: usize = 1_048_576;
/// How long one step may block by default: a connect, a publish, its confirmation: 5 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

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
