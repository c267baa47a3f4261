//! The bridge: orchestrates send, receive and request.

mod consume;
mod entry;
mod error;
mod failure;
mod in_progress;
mod jetstream;
mod options;
mod receive;
mod receive_options;
mod request;
mod role;
mod send;
mod sent;
mod stored;
mod time_limit;

use alloc::string::{String, ToString};
use core::time::Duration;

use crate::file_server::FileServer;
use crate::message::id::Ids;
use crate::message::{Limits, Payload, Received};
use crate::nats::earlier_publishes::EarlierPublishes;
use crate::nats::options::redacted_brokers;
use crate::nats::{
    Broker, BrokerError, DEFAULT_BROKER_URL, DEFAULT_TIMEOUT, Message, SubjectUse, SubscriptionId,
};
use crate::platform::Platform;

use self::in_progress::InProgress;
use self::role::Role;
use self::time_limit::TimeLimit;

pub use self::consume::{Consumer, Delivery};
pub use self::error::{Error, ErrorKind, Measured};
pub use self::options::SendOptions;
pub use self::receive_options::ReceiveOptions;
pub use self::sent::Sent;

/// Sends and receives messages of several typed payloads, over a broker and a file server.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::memory::{MemoryBroker, MemoryFileServer};
/// use natsbridge::{NatsBridge, Payload, SendOptions, host::StdPlatform};
///
/// let mut bridge = NatsBridge::new(MemoryBroker::new(), MemoryFileServer::new(), StdPlatform);
/// bridge.subscribe("/chat", None)?;
/// bridge.smartsend(
///     "/chat",
///     &[("note", Payload::text("hello")), ("file", Payload::binary(vec![7; 200_000]))],
///     &SendOptions::default(),
/// )?;
/// let received = bridge.next(Duration::from_secs(1))?.expect("one message was sent");
/// assert_eq!(received.payloads[0].1.as_text(), Some("hello"));
/// assert_eq!(received.payloads[1].1.len(), 200_000);
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Debug)]
pub struct NatsBridge<B, F, P> {
    broker: B,
    file_server: F,
    platform: P,
    limits: Limits,
    receive_options: ReceiveOptions,
    broker_url: String,
    earlier: EarlierPublishes,
    /// The message of a consumer that is being opened.
    in_progress: Option<InProgress>,
    ids: Ids,
    /// Of the current send or receive.
    time: TimeLimit,
}

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    /// A bridge with [`Limits::default`]. Without a file server, use [`NoFileServer`](crate::NoFileServer).
    pub fn new(broker: B, file_server: F, platform: P) -> Self {
        Self {
            broker,
            file_server,
            platform,
            limits: Limits::default(),
            receive_options: ReceiveOptions::default(),
            broker_url: DEFAULT_BROKER_URL.to_string(),
            earlier: EarlierPublishes::default(),
            in_progress: None,
            ids: Ids::new(),
            time: TimeLimit::default(),
        }
    }

    /// Sets the limits of sends and receives.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the options of [`next`](Self::next), [`messages`](Self::messages) and
    /// [`request`](Self::request).
    #[must_use]
    pub fn with_receive_options(mut self, options: ReceiveOptions) -> Self {
        self.receive_options = options;
        self
    }

    /// Sets the `broker_url` of envelopes: one URL, or several separated by commas. User names, passwords and tokens
    /// are removed. Default
    /// [`DEFAULT_BROKER_URL`](crate::DEFAULT_BROKER_URL).
    #[must_use]
    pub fn with_broker_url(mut self, broker_url: impl AsRef<str>) -> Self {
        self.broker_url = redacted_brokers(broker_url.as_ref());
        self
    }

    /// The broker.
    pub fn broker(&mut self) -> &mut B {
        &mut self.broker
    }

    /// The file server.
    pub fn file_server(&mut self) -> &mut F {
        &mut self.file_server
    }

    /// Sends named payloads as one message, and chooses for each whether it travels in the message or is uploaded
    /// to the file server. `Ok` means that the server has the message, unless
    /// [`SendOptions::is_publish`] or [`SendOptions::confirm`] is off; with [`SendOptions::stored`], that a
    /// stream of JetStream has it.
    ///
    /// Blocks for the uploads (at most three attempts each), the publish, and at most
    /// [`SendOptions::timeout`] for its confirmation; [`SendOptions::total_timeout`] limits all of it.
    ///
    /// # Errors
    /// [`Error::Subject`], [`Error::Option`], [`Error::Payload`], [`Error::TooLarge`]: nothing was
    /// sent. [`Error::FileServer`], [`Error::TimedOut`]: nothing was published. [`Error::Broker`]: the message was not
    /// published, or with kind [`Timeout`](crate::BrokerErrorKind::Timeout) or
    /// [`Disconnected`](crate::BrokerErrorKind::Disconnected) it may have been. [`Error::JetStream`]: it was
    /// not stored, or with kind [`Timeout`](crate::JetStreamErrorKind::Timeout) it may have been. Files that were uploaded
    /// for a message that certainly was not delivered are deleted again; [`Error::LeftBehind`] lists those
    /// that stay, because it may have been, or because they could not be deleted.
    pub fn smartsend(
        &mut self,
        subject: &str,
        data: &[(&str, Payload<'_>)],
        options: &SendOptions,
    ) -> Result<Sent, Error> {
        self.send_as(Role::Message, subject, data, options)
    }

    /// The same as [`smartsend`](Self::smartsend).
    ///
    /// # Errors
    /// As [`smartsend`](Self::smartsend).
    pub fn send(
        &mut self,
        subject: &str,
        data: &[(&str, Payload<'_>)],
        options: &SendOptions,
    ) -> Result<Sent, Error> {
        self.smartsend(subject, data, options)
    }

    /// Subscribes to `subject`, which may have the wildcards `*` and `>`; with a `queue` group, each message goes
    /// to one of its members. `Ok` means that the server has the subscription, so that no later message is missed. Blocks at most 5 s beside the connection's own time limit.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, Error> {
        let id = self.broker.subscribe(subject, queue)?;
        match self.confirm((subject, SubjectUse::Subscribe), DEFAULT_TIMEOUT) {
            Ok(()) => Ok(id),
            Err(failure) => {
                self.broker.unsubscribe(id).ok();
                Err(failure.error)
            }
        }
    }

    /// Ends a subscription; its messages that wait for `next` are dropped.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), Error> {
        Ok(self.broker.unsubscribe(id)?)
    }

    /// Waits up to `wait` for the next message and opens it; `None` if there was none. Downloads take
    /// additional time.
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive), and [`Error::Broker`]. The message is consumed: calling again
    /// goes on with the next one.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Received>, Error> {
        let Some(message) = self.next_message(wait)? else {
            return Ok(None);
        };
        self.receive_owned(message).map(Some)
    }

    /// Waits up to `wait` for the next message, without opening it; `None` if there was none.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn next_message(&mut self, wait: Duration) -> Result<Option<Message>, Error> {
        self.report_earlier()?;
        Ok(self.broker.next(wait)?)
    }

    /// Opens a message as the bridge's own options say.
    fn receive_owned(&mut self, message: Message) -> Result<Received, Error> {
        // They are put back below, so that they need not be cloned for each message.
        let options = core::mem::take(&mut self.receive_options);
        self.time = TimeLimit::start(options.total_timeout, &self.platform);
        let received = self.receive_message(message, &options);
        self.receive_options = options;
        received
    }

    /// Messages one after the other, until none comes for `wait`. A message that cannot be read is
    /// an `Err` in its place and does not end them; neither does a lost connection, which the
    /// broker renews.
    pub fn messages(&mut self, wait: Duration) -> Messages<'_, B, F, P> {
        Messages { bridge: self, wait }
    }

    /// Waits up to `wait` until the server has all that was sent with [`SendOptions::confirm`] off.
    ///
    /// # Errors
    /// [`Error::Broker`]: some of the messages may be lost.
    pub fn flush(&mut self, wait: Duration) -> Result<(), Error> {
        self.flush_broker(wait)?;
        self.report_earlier()
    }

    fn flush_broker(&mut self, wait: Duration) -> Result<(), BrokerError> {
        let flushed = self.broker.flush(wait);
        match &flushed {
            Ok(()) => self.earlier.confirmed(),
            Err(error) => self.earlier.reported(error),
        }
        flushed
    }

    /// Reports an error about an earlier send, if there is one.
    fn report_earlier(&mut self) -> Result<(), Error> {
        let earlier = self.earlier.take_error();
        earlier.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Messages one after the other; see [`NatsBridge::messages`].
#[derive(Debug)]
pub struct Messages<'b, B, F, P> {
    bridge: &'b mut NatsBridge<B, F, P>,
    wait: Duration,
}

impl<B: Broker, F: FileServer, P: Platform> Iterator for Messages<'_, B, F, P> {
    type Item = Result<Received, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.bridge.next(self.wait).transpose()
    }
}
