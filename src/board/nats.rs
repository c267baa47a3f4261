//! NATS over `embedded-nal`.

mod connect;
mod inbox;
mod link;
mod options;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use embedded_nal::{Dns, TcpClientStack};

use self::inbox::Inbox;
use self::link::{Confirmation, Link, LinkError, PublishError};
use super::{Nal, copy};
use crate::cause::text;
use crate::nats::protocol::{Msg, Op};
use crate::nats::subject::{check_len, check_publish, check_subscribe};
use crate::nats::{
    Broker, BrokerError, BrokerErrorKind as Kind, DEFAULT_MAX_PAYLOAD, Message, SubscriptionId,
};
use crate::net::deadline::Moment;
use crate::net::{Transport, TransportError, TransportErrorKind};
use crate::platform::Platform;
use crate::stream::Body;

pub use self::options::NatsOptions;

/// A [`Broker`] over the TCP stack of a board.
///
/// A lost connection is told once, as an error of kind [`Disconnected`](Kind::Disconnected), or of
/// kind [`Timeout`](Kind::Timeout) by the call that waited in vain. The call after that connects
/// again and renews the subscriptions. Messages that were published to them in between are gone.
///
/// Some stacks cannot tell a closed connection from a silent one; see [`Nal`]. Then the loss shows when a
/// [`flush`](Broker::flush) is not confirmed in time, or in [`next`](Broker::next) when pings are
/// not answered: see [`NatsOptions::ping_interval`].
///
/// Messages that arrive while something else is waited for are kept, up to
/// [`NatsOptions::max_pending`]. A message that is over [`NatsOptions::max_message_size`], or for
/// which there is no memory, is dropped; the next call of `next` tells so with an error of kind
/// [`Local`](Kind::Local), and the connection goes on.
///
/// A call of `next` connects within the time it may wait, so one that may not wait long enough for
/// that fails with [`Unreachable`](Kind::Unreachable): call [`reconnect`](Self::reconnect) then.
///
/// Dropping the client closes its socket.
pub struct NatsClient<S: TcpClientStack, P: Platform> {
    options: NatsOptions,
    link: Link<S, P>,
    subscriptions: Vec<Subscription>,
    next_id: u64,
    max_payload: usize,
    inbox: Inbox,
    /// The server has answered to the introduction on this connection.
    is_ready: bool,
    /// What the server complained about first, and nobody has been told.
    complaint: Option<String>,
    /// Something was published since the last confirmation.
    unconfirmed: bool,
    /// A connection was lost while something was unconfirmed, and no flush has told so yet.
    lost_unconfirmed: bool,
}

struct Subscription {
    id: SubscriptionId,
    subject: String,
    queue: Option<String>,
}

impl Subscription {
    fn new(id: SubscriptionId, subject: &str, queue: Option<&str>) -> Result<Self, usize> {
        Ok(Self {
            id,
            subject: copy(subject)?,
            queue: queue.map(copy).transpose()?,
        })
    }
}

impl<S: TcpClientStack, P: Platform> fmt::Debug for NatsClient<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsClient")
            .field("server", &self.public_url())
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl<S: TcpClientStack, P: Platform> NatsClient<S, P> {
    /// A client that connects when it is first needed, or by [`connect`](Self::connect).
    pub fn new(stack: S, platform: P, options: NatsOptions) -> Self
    where
        P: Clone,
    {
        let transport = Nal::new(stack, platform.clone());
        Self {
            link: Link::new(transport, platform, &options),
            inbox: Inbox::new(options.max_message_size, options.max_pending),
            options,
            subscriptions: Vec::new(),
            next_id: 1,
            max_payload: DEFAULT_MAX_PAYLOAD,
            is_ready: false,
            complaint: None,
            unconfirmed: false,
            lost_unconfirmed: false,
        }
    }

    /// Looks up the server's name with the stack's DNS, IPv4 addresses first, at each connect.
    /// Without it the server must be given by its IP address.
    #[must_use]
    pub fn with_dns(mut self) -> Self
    where
        S: Dns,
    {
        self.link.connection.transport.use_dns();
        self
    }

    /// Connects, unless there is a connection. Blocks at most [`NatsOptions::connect_timeout`].
    ///
    /// # Errors
    /// Of kind [`Unreachable`](Kind::Unreachable), [`Unauthorized`](Kind::Unauthorized),
    /// [`InvalidOption`](Kind::InvalidOption) (the server wants TLS, for example),
    /// [`Protocol`](Kind::Protocol) or [`Local`](Kind::Local), with the server's URL.
    pub fn connect(&mut self) -> Result<(), BrokerError> {
        if self.is_connected() {
            return Ok(());
        }
        self.connect_within(self.options.connect_timeout)
    }

    /// Gives up the connection, if there is one, connects again and renews the subscriptions.
    /// Tries for [`NatsOptions::connect_timeout`], with pauses of 50 ms that double up to 1 s.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn reconnect(&mut self) -> Result<(), BrokerError> {
        self.let_go();
        let deadline = self.link.connection.deadline(self.options.connect_timeout);
        self.connect_until(deadline)
    }

    /// Closes the connection and ends the subscriptions. What was published and not flushed may be
    /// lost; messages that wait to be taken are.
    pub fn close(&mut self) {
        self.let_go();
        self.subscriptions.clear();
        self.inbox.clear();
        self.complaint = None;
    }

    /// Whether there is a connection that is not known to be lost.
    pub fn is_connected(&self) -> bool {
        self.link.connection.transport.is_open()
    }

    /// The server's URL without user, password and token.
    pub fn public_url(&self) -> String {
        self.options.shown().to_string()
    }

    /// The stack, for what only it can do. The client's own socket is out of reach.
    pub fn stack(&mut self) -> &mut S {
        self.link.connection.transport.stack()
    }

    /// A connection to work on. The loss of one is told here, once, before a new one is made.
    fn live(&mut self, limit: Duration) -> Result<(), BrokerError> {
        if !self.is_connected() {
            return self.connect_within(limit.min(self.options.connect_timeout));
        }
        self.link.look().map_err(|error| self.lost(error))
    }

    fn let_go(&mut self) {
        self.link.close();
        self.is_ready = false;
        self.lost_unconfirmed |= core::mem::take(&mut self.unconfirmed);
    }

    /// Lets go of the connection, or of the attempt at one, which failed with `error`.
    fn lost(&mut self, error: LinkError) -> BrokerError {
        let url = self.options.shown();
        let kind = match &error {
            LinkError::Transport(error) if error.kind() == TransportErrorKind::Unsupported => {
                Kind::InvalidOption
            }
            LinkError::Parse(_) => Kind::Protocol,
            LinkError::NoMemory(_) => Kind::Local,
            _ if !self.is_ready => Kind::Unreachable,
            LinkError::Transport(error) if error.kind() == TransportErrorKind::Timeout => {
                Kind::Timeout
            }
            LinkError::Transport(_) | LinkError::Silent => Kind::Disconnected,
        };
        let message = match kind {
            _ if !self.is_ready => text(format_args!("no connection to {url}")),
            Kind::Timeout => text(format_args!(
                "no answer from {url} in time, the connection is given up"
            )),
            _ => text(format_args!("the connection to {url} is lost")),
        };
        self.let_go();
        BrokerError::new(kind, message).with_source(error)
    }

    /// One step on a connection, and what it brought for the caller.
    fn step(&mut self, deadline: Moment) -> Result<Option<Message>, BrokerError> {
        self.link.limit_messages(self.inbox.room());
        match self.link.step(deadline) {
            Ok(Some(op)) => self.handle(op),
            Ok(None) => Ok(None),
            Err(error) => Err(self.lost(error)),
        }
    }

    fn handle(&mut self, op: Op) -> Result<Option<Message>, BrokerError> {
        match op {
            Op::Msg(msg) => return Ok(self.wanted(msg)),
            Op::Refused { sid, error } => {
                let id = SubscriptionId(sid);
                if self.is_subscribed(id) {
                    self.inbox.refuse(id, error);
                }
            }
            Op::Info(info) => self.max_payload = info.max_payload,
            Op::Err(complaint) => self.complain(complaint)?,
            Op::Ping | Op::Pong | Op::Ok => {}
        }
        Ok(None)
    }

    /// A message of a subscription that has not ended meanwhile.
    fn wanted(&self, msg: Msg) -> Option<Message> {
        let id = SubscriptionId(msg.sid);
        self.is_subscribed(id).then(|| Message {
            reply: msg.reply,
            status: msg.status,
            ..Message::new(id, msg.subject, msg.payload)
        })
    }

    fn is_subscribed(&self, id: SubscriptionId) -> bool {
        self.subscriptions.iter().any(|known| known.id == id)
    }

    /// Keeps a complaint for the next call that may tell it, unless it is the server's last word.
    fn complain(&mut self, complaint: String) -> Result<(), BrokerError> {
        if goes_on_after(&complaint) {
            self.complaint.get_or_insert(complaint);
            return Ok(());
        }
        let about_credentials =
            |words: &[u8]| words == b"Authorization" || words == b"Authentication";
        let mut words = complaint
            .as_bytes()
            .split(|byte| !byte.is_ascii_alphabetic());
        let kind = match self.is_ready {
            _ if words.any(about_credentials) => Kind::Unauthorized,
            true => Kind::Disconnected,
            false => Kind::Unreachable,
        };
        self.let_go();
        let url = self.options.shown();
        let message = text(format_args!("{url} closes the connection: {complaint}"));
        Err(BrokerError::new(kind, message))
    }

    fn complaint(&mut self) -> Option<BrokerError> {
        let complaint = self.complaint.take()?;
        let url = self.options.shown();
        let message = text(format_args!("{url} complains: {complaint}"));
        Some(BrokerError::new(Kind::Refused, message))
    }

    /// What went wrong without ending the connection, each fault once.
    fn untold(&mut self) -> Option<BrokerError> {
        self.complaint().or_else(|| self.inbox.fault())
    }

    /// Waits for a confirmation, and keeps the messages that come before it. False: it did not
    /// come in time.
    fn await_confirmation(
        &mut self,
        confirmation: Confirmation,
        deadline: Moment,
    ) -> Result<bool, BrokerError> {
        loop {
            let is_last = self.link.connection.is_over(deadline);
            if let Some(message) = self.step(deadline)? {
                self.inbox.keep(message);
            }
            if self.link.is_confirmed(confirmation) {
                return Ok(true);
            }
            if is_last && !self.link.has_input() {
                return Ok(false);
            }
        }
    }

    fn confirm(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        let sent = self.link.ping(deadline);
        let confirmation = sent.map_err(|error| self.lost(error))?;
        if self.await_confirmation(confirmation, deadline)? {
            return Ok(());
        }
        Err(self.lost(TransportError::timeout().into()))
    }
}

fn no_memory(len: usize) -> BrokerError {
    let message = text(format_args!("there is no memory for {len} bytes"));
    BrokerError::new(Kind::Local, message)
}

/// Whether a server keeps a connection that it has complained about: it does for what one client
/// may not do, and closes after anything else.
fn goes_on_after(complaint: &str) -> bool {
    let stays = [
        "Permissions Violation",
        "Invalid Subject",
        "maximum subscriptions exceeded",
    ];
    stays.iter().any(|start| {
        let said = complaint.get(..start.len());
        said.is_some_and(|said| said.eq_ignore_ascii_case(start))
    })
}

impl<S: TcpClientStack, P: Platform> Broker for NatsClient<S, P> {
    fn max_payload(&self) -> usize {
        self.max_payload
    }

    fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError> {
        check_publish(subject, reply)?;
        self.live(self.options.connect_timeout)?;
        check_len(body, self.max_payload)?;
        let published = self
            .link
            .publish(subject, reply, body, self.options.timeout);
        match published {
            Ok(()) => {
                self.unconfirmed = true;
                Ok(())
            }
            Err(PublishError::Link(error)) => Err(self.lost(error)),
            Err(PublishError::Body {
                error,
                sent_in_part,
            }) => {
                if sent_in_part {
                    // The server would take what comes next for the rest of it.
                    self.let_go();
                }
                Err(error.into())
            }
        }
    }

    fn flush(&mut self, wait: Duration) -> Result<(), BrokerError> {
        if core::mem::take(&mut self.lost_unconfirmed) {
            let url = self.options.shown();
            let message = text(format_args!(
                "the connection to {url} was lost before all was confirmed"
            ));
            return Err(BrokerError::new(Kind::Disconnected, message));
        }
        let deadline = self.link.connection.deadline(wait);
        let confirmed = self.live(wait).and_then(|()| self.confirm(deadline));
        // Told by this very call, if it was lost.
        self.lost_unconfirmed = false;
        confirmed?;
        self.unconfirmed = false;
        self.complaint().map_or(Ok(()), Err)
    }

    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        check_subscribe(subject, queue)?;
        self.live(self.options.connect_timeout)?;
        let id = SubscriptionId(self.next_id);
        let subscription = Subscription::new(id, subject, queue).map_err(no_memory)?;
        self.subscriptions
            .try_reserve(1)
            .map_err(|_| no_memory(size_of::<Subscription>()))?;
        let deadline = self.link.connection.deadline(self.options.timeout);
        let subscribed = self.link.subscribe(id.0, subject, queue, deadline);
        let sent = subscribed.and_then(|()| self.link.send(deadline));
        sent.map_err(|error| self.lost(error))?;
        self.next_id += 1;
        self.subscriptions.push(subscription);
        Ok(id)
    }

    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError> {
        self.inbox.forget(id);
        let known = self.is_subscribed(id);
        self.subscriptions.retain(|known| known.id != id);
        if !known || !self.is_connected() {
            return Ok(());
        }
        let deadline = self.link.connection.deadline(self.options.timeout);
        let sent = self.link.unsubscribe(id.0, deadline);
        sent.map_err(|error| self.lost(error))
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        let deadline = self.link.connection.deadline(wait);
        let mut is_last = false;
        loop {
            if let Some(message) = self.inbox.take() {
                return Ok(Some(message));
            }
            if let Some(error) = self.untold() {
                return Err(error);
            }
            if is_last && !self.link.has_input() {
                return Ok(None);
            }
            if !self.is_connected() {
                self.connect_until(deadline)?;
                continue;
            }
            is_last = self.link.connection.is_over(deadline);
            if let Some(message) = self.step(deadline)? {
                return Ok(Some(message));
            }
        }
    }
}
