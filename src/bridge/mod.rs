//! The bridge: the only room that knows the order of the steps.

mod error;
mod options;
mod receive;
mod request;
mod send;

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::file_server::FileServer;
use crate::message::id::Ids;
use crate::message::{
    Content, Envelope, Incoming, Limits, Payload, PayloadEntry, Received, Sent, Transport,
};
use crate::nats::{
    Broker, BrokerError, DEFAULT_BROKER_URL, DEFAULT_TIMEOUT, Message, SubscriptionId,
};
use crate::platform::{Platform, new_token};
use crate::stream::Sink;

use self::send::keep_uploads;

pub use self::error::{Error, ErrorKind, Measured};
pub use self::options::{ReceiveOptions, SendOptions};

/// Sends and receives messages of several typed payloads, by way of a broker and a file server.
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
    /// Server errors about earlier sends, which a later one must not be blamed for.
    earlier_errors: VecDeque<BrokerError>,
    ids: Ids,
}

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    /// A bridge with the limits for hosts, [`Limits::default`]. Use
    /// [`NoFileServer`](crate::NoFileServer) where there is none.
    pub fn new(broker: B, file_server: F, platform: P) -> Self {
        Self {
            broker,
            file_server,
            platform,
            limits: Limits::default(),
            receive_options: ReceiveOptions::default(),
            broker_url: DEFAULT_BROKER_URL.to_string(),
            earlier_errors: VecDeque::new(),
            ids: Ids::new(),
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

    /// Sets the broker that is named in envelopes. Default
    /// [`DEFAULT_BROKER_URL`](crate::DEFAULT_BROKER_URL). Leave passwords out.
    #[must_use]
    pub fn with_broker_url(mut self, broker_url: impl Into<String>) -> Self {
        self.broker_url = broker_url.into();
        self
    }

    /// The broker, for what only it can do.
    pub fn broker(&mut self) -> &mut B {
        &mut self.broker
    }

    /// The file server, for what only it can do.
    pub fn file_server(&mut self) -> &mut F {
        &mut self.file_server
    }

    /// Sends named payloads as one message, and chooses for each whether it travels in the message
    /// or by way of the file server. `Ok` says that the server has the message, unless
    /// [`SendOptions::is_publish`] or [`SendOptions::confirm`] is off.
    ///
    /// Blocks for the uploads (at most three attempts each), the publish, and at most
    /// [`SendOptions::timeout`] for its confirmation.
    ///
    /// # Errors
    /// [`Error::Subject`], [`Error::Option`], [`Error::Payload`], [`Error::TooLarge`]: nothing was
    /// sent. [`Error::FileServer`]: nothing was published. [`Error::Broker`]: the message was not
    /// published, or with kind [`Timeout`](crate::BrokerErrorKind::Timeout) or
    /// [`Disconnected`](crate::BrokerErrorKind::Disconnected) it may have been. Files that were uploaded
    /// for a message that certainly was not delivered are deleted again; [`Error::LeftBehind`] lists those
    /// that stay, because it may have been, or because they could not be deleted.
    pub fn smartsend<'a, N: AsRef<str>, C: Content>(
        &mut self,
        subject: &'a str,
        data: &'a [(N, C)],
        options: &'a SendOptions,
    ) -> Result<Sent<'a>, Error> {
        let (sent, _) = self.send_with_reply(subject, named(data), options, None)?;
        Ok(sent)
    }

    /// The same as [`smartsend`](Self::smartsend).
    ///
    /// # Errors
    /// As [`smartsend`](Self::smartsend).
    pub fn send<'a, N: AsRef<str>, C: Content>(
        &mut self,
        subject: &'a str,
        data: &'a [(N, C)],
        options: &'a SendOptions,
    ) -> Result<Sent<'a>, Error> {
        self.smartsend(subject, data, options)
    }

    /// Reads a message and opens all its payloads: text, bytes, a [`Message`] or a parsed
    /// [`Envelope`]. From a `&mut Message` or `&mut [u8]` payloads are decoded where they stand, so
    /// that no further memory is needed for them.
    ///
    /// Blocks only for links: for each at most [`ReceiveOptions::max_retries`] attempts, pauses
    /// between them, and the file server's time limit for each.
    ///
    /// # Errors
    /// [`Error::Message`], [`Error::LinkRefused`], [`Error::TooLarge`], [`Error::FileServer`]. One
    /// bad payload costs the message; to have the others, see [`Envelope::parse`] and
    /// [`open`](Self::open).
    pub fn smartreceive<'m>(
        &mut self,
        msg: impl Into<Incoming<'m>>,
        options: &ReceiveOptions,
    ) -> Result<Received<'m>, Error> {
        match msg.into() {
            Incoming::Text(text) => {
                let envelope = Envelope::parse_text(text, &self.limits)?;
                self.receive_copied(envelope, None, options)
            }
            Incoming::Bytes(bytes, reply) => {
                let envelope = Envelope::parse(bytes, &self.limits)?;
                self.receive_copied(envelope, reply, options)
            }
            Incoming::Owned(message) => {
                let envelope = Envelope::parse(&message.payload, &self.limits)?;
                self.receive_copied(envelope, message.reply.clone(), options)
            }
            Incoming::InPlace(bytes, reply) => self.receive_in_place(bytes, reply, options),
            Incoming::Envelope(envelope) => self.receive_copied(envelope.clone(), None, options),
        }
    }

    /// The same as [`smartreceive`](Self::smartreceive).
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive).
    pub fn receive<'m>(
        &mut self,
        msg: impl Into<Incoming<'m>>,
        options: &ReceiveOptions,
    ) -> Result<Received<'m>, Error> {
        self.smartreceive(msg, options)
    }

    /// Opens one payload of a parsed [`Envelope`], so that a bad one does not cost the others.
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive).
    pub fn open(
        &mut self,
        entry: &PayloadEntry<'_>,
        options: &ReceiveOptions,
    ) -> Result<Payload<'static>, Error> {
        match entry.transport()? {
            Transport::Direct => Ok(entry.open()?),
            Transport::Link => self.open_link(entry, options),
        }
    }

    /// Downloads a link of a parsed [`Envelope`] into `sink`, checked as
    /// [`smartreceive`](Self::smartreceive) checks, and says how many bytes it has. Memory does not
    /// grow with them.
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive); what is in the sink is of no use then.
    pub fn download(
        &mut self,
        entry: &PayloadEntry<'_>,
        options: &ReceiveOptions,
        sink: &mut dyn Sink,
    ) -> Result<u64, Error> {
        self.fetch(entry, options, sink)
    }

    /// Asks for messages on `subject`, which may have the wildcards `*` and `>`; with a `queue`
    /// group, each message goes to one of its members. `Ok` says that the server knows, so that no
    /// later message is missed. Blocks at most 5 s beside the connection's own time limit.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, Error> {
        let id = self.broker.subscribe(subject, queue)?;
        match self.broker.flush(DEFAULT_TIMEOUT) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.broker.unsubscribe(id).ok();
                Err(error.into())
            }
        }
    }

    /// Ends a subscription; messages of it that wait already are dropped.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), Error> {
        Ok(self.broker.unsubscribe(id)?)
    }

    /// Waits up to `wait` for the next message and opens it; `None` if there was none. Links take
    /// their own time.
    ///
    /// # Errors
    /// As [`smartreceive`](Self::smartreceive), and [`Error::Broker`]. The message is taken all the
    /// same: calling again goes on with the next one.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Received<'static>>, Error> {
        let Some(message) = self.next_message(wait)? else {
            return Ok(None);
        };
        let options = self.receive_options.clone();
        self.smartreceive(message, &options).map(Some)
    }

    /// Waits up to `wait` for the next message and does not look into it; `None` if there was none.
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn next_message(&mut self, wait: Duration) -> Result<Option<Message>, Error> {
        self.report_earlier()?;
        Ok(self.broker.next(wait)?)
    }

    /// Messages one after the other, until none comes for `wait`. A message that cannot be read is
    /// an `Err` in its place and does not end them; neither does a lost connection, which the
    /// broker renews.
    pub fn messages(&mut self, wait: Duration) -> Messages<'_, B, F, P> {
        Messages { bridge: self, wait }
    }

    /// Sends a request and waits up to `wait` for its answer. Envelope and NATS name the same inbox
    /// to answer to.
    ///
    /// # Errors
    /// As [`smartsend`](Self::smartsend) and [`smartreceive`](Self::smartreceive);
    /// [`Error::NoResponders`] at once if nobody listens, [`Error::NoAnswer`] after `wait`.
    pub fn request<N: AsRef<str>, C: Content>(
        &mut self,
        subject: &str,
        data: &[(N, C)],
        options: &SendOptions,
        wait: Duration,
    ) -> Result<Received<'static>, Error> {
        let inbox = [self.broker.inbox_prefix(), ".", &new_token(&self.platform)?].concat();
        let id = self.subscribe(&inbox, None)?;
        let options = options.clone().reply_to(inbox.as_str());
        let sent = self.send_with_reply(subject, named(data), &options, Some(&inbox));
        let answer = sent.and_then(|(_, uploads)| {
            let answer = self.wait_for_answer(id, subject, wait);
            answer.map_err(|error| match error {
                // Nobody has the message, so nobody needs its files.
                Error::NoResponders { .. } => self.delete_uploads(uploads, error),
                _ => keep_uploads(uploads, error),
            })
        });
        // Where this fails, so does what comes next; the answer is as good.
        self.unsubscribe(id).ok();
        let message = answer?;
        let options = self.receive_options.clone();
        self.smartreceive(message, &options)
    }

    /// Answers a message: on its `reply_to`, else on its reply subject of NATS; with its
    /// `correlation_id`, and its `msg_id` as `reply_to_msg_id`.
    ///
    /// # Errors
    /// [`Error::NoReplyTo`] if it names neither; else as [`smartsend`](Self::smartsend).
    pub fn reply<N: AsRef<str>, C: Content>(
        &mut self,
        received: &Received<'_>,
        data: &[(N, C)],
        options: &SendOptions,
    ) -> Result<(), Error> {
        let envelope = &received.envelope;
        let subject = match (&*envelope.reply_to, &received.reply) {
            ("", None) => return Err(Error::NoReplyTo),
            ("", Some(reply)) => reply,
            (reply_to, _) => reply_to,
        };
        let options = options
            .clone()
            .correlation_id(&*envelope.correlation_id)
            .reply_to_msg_id(&*envelope.msg_id);
        self.smartsend(subject, data, &options).map(drop)
    }

    /// Waits up to `wait` until the server has all that was sent with [`SendOptions::confirm`] off.
    ///
    /// # Errors
    /// [`Error::Broker`]: some of it may be lost.
    pub fn flush(&mut self, wait: Duration) -> Result<(), Error> {
        self.broker.flush(wait)?;
        self.report_earlier()
    }

    /// Reports a server error about an earlier send, if there is one.
    fn report_earlier(&mut self) -> Result<(), Error> {
        let earlier = self.earlier_errors.pop_front();
        earlier.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// A payload to be sent: its name and what it is sent from. All sends go on with this one type, so
/// that a board has the code once.
type Named<'a> = (&'a str, &'a dyn Content);

fn named<N: AsRef<str>, C: Content>(data: &[(N, C)]) -> Vec<Named<'_>> {
    data.iter()
        .map(|(name, content)| (name.as_ref(), content as &dyn Content))
        .collect()
}

/// Messages one after the other; see [`NatsBridge::messages`].
#[derive(Debug)]
pub struct Messages<'b, B, F, P> {
    bridge: &'b mut NatsBridge<B, F, P>,
    wait: Duration,
}

impl<B: Broker, F: FileServer, P: Platform> Iterator for Messages<'_, B, F, P> {
    type Item = Result<Received<'static>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.bridge.next(self.wait).transpose()
    }
}
