//! The client: what its callers see.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use embedded_nal::{Dns, TcpClientStack};

use super::rounds::Rounds;
use super::wire::{LINE_LEN, SendError, Wire};
use crate::board::Nal;
use crate::cause::text;
use crate::nats::options::NatsOptions;
use crate::nats::protocol;
use crate::nats::session::{ClientId, Confirmation, Link, Session};
use crate::nats::subject::check_subscribe;
use crate::nats::{
    Broker, BrokerError, BrokerErrorKind as Kind, DEFAULT_MAX_PAYLOAD, Message, Outgoing,
    SubscriptionId,
};
use crate::net::Transport;
use crate::net::deadline::write_timeout;
use crate::platform::Platform;
use crate::stream::Body;

/// Bytes of messages that may wait, by default.
const MAX_PENDING: usize = 16 << 10;

/// A [`Broker`] that is connected to a NATS server by a [`Transport`], without threads.
/// [`board::NatsClient`](NatsClient) is the one over the stack of a board.
///
/// It connects when it is first needed, or by [`connect`](Self::connect), to the first server that
/// accepts: those of [`NatsOptions`], and those that they announce. A publish is encoded and sent in
/// pieces of [`NatsOptions::chunk_size`] bytes; no message is ever held as a whole. When
/// [`publish`](Broker::publish) returns, the stack has all of it.
///
/// # Losing the connection
///
/// A loss is reported once, with kind [`Disconnected`](Kind::Disconnected): by
/// [`next`](Broker::next) if there are subscriptions, behind what was received before; and by
/// [`publish`](Broker::publish) or [`flush`](Broker::flush) if something was published and not confirmed.
/// A publisher without anything unconfirmed does not notice. The call after that connects again, to
/// another server if there is one, and renews the subscriptions; messages that were published to them
/// in between are gone. A `next` that connects may take [`NatsOptions::connect_timeout`] longer than its wait, so that
/// one that is called again and again with a short wait connects too. Rounds through all servers are 50 ms to 1 s apart, minus up to 50 % jitter.
///
/// When a server announces that it will close its connections (lame duck mode), the next call of
/// `publish` or `next` that finds nothing unconfirmed moves to another server, if one is known. It is no
/// error. There is one connection at a time, so messages that are published to its subscriptions during
/// the move, some milliseconds, are missed.
///
/// # How long a program may be away
///
/// Nothing runs between calls. `next` and `flush` read what has come and answer the server's PINGs; so
/// does `publish` as long as there are no subscriptions. A program must call one of them
///
/// - within **10 s** while messages for its subscriptions arrive: what the stack's receive window does
///   not hold waits in the server, which cuts a client off that takes nothing for its write deadline
///   (`write_deadline`, 10 s by default);
/// - within **twice the server's ping interval** otherwise (`ping_interval`, 2 min by default): a server
///   closes a connection on which two PINGs are not answered.
///
/// # Messages that wait
///
/// Messages that arrive while something else is waited for are kept, up to
/// [`NatsOptions::max_pending`]; further ones are dropped, and their number is reported by `next` with kind
/// [`SlowConsumer`](Kind::SlowConsumer). A message that is over [`NatsOptions::max_message_size`], or
/// for which there is no memory, is dropped and reported with kind [`Local`](Kind::Local), and the
/// connection goes on.
///
/// # Options that are not for boards
///
/// Certificates are a matter of the transport. They are refused with kind
/// [`InvalidOption`](Kind::InvalidOption) when the client connects, and so are nkeys and JWTs without
/// feature `nkeys`.
pub struct TransportNatsClient<T: Transport, P: Platform> {
    pub(super) options: NatsOptions,
    pub(super) wire: Wire<T, P>,
    pub(super) session: Session,
    pub(super) id: ClientId,
    pub(super) rounds: Rounds,
    /// The connection, once its server has accepted it.
    pub(super) link: Option<Link>,
    pub(super) max_payload: usize,
    /// The server is about to close its connections.
    pub(super) should_move: bool,
    /// The last PING of a flush, if nothing was written behind it.
    pub(super) last_ping: Option<Confirmation>,
}

/// A [`Broker`] over the TCP stack of a board: see [`TransportNatsClient`].
///
/// ```no_run
/// use core::time::Duration;
/// use natsbridge::board::{NatsClient, NatsOptions};
/// use natsbridge::host::StdPlatform;
/// use natsbridge::adapter::{Broker, Outgoing, SliceBody};
/// use std_embedded_nal::Stack;
///
/// let options = NatsOptions::new("nats://10.0.2.2:4222");
/// let mut client = NatsClient::new(Stack::default(), StdPlatform, options);
/// client.publish(&Outgoing::new("greetings"), &mut SliceBody::new(b"hello"))?;
/// client.flush(Duration::from_secs(5))?; // Ok: the server has it
/// # Ok::<(), natsbridge::adapter::BrokerError>(())
/// ```
pub type NatsClient<S, P> = TransportNatsClient<Nal<S, P>, P>;

/// Over the stack of a board: [`board::NatsClient`](NatsClient).
impl<S: TcpClientStack, P: Platform + Clone> TransportNatsClient<Nal<S, P>, P> {
    /// A client that connects when it is first needed, or by [`connect`](Self::connect).
    pub fn new(stack: S, platform: P, options: NatsOptions) -> Self {
        let transport = Nal::new(stack, platform.clone());
        Self::over(transport, platform, options)
    }

    /// Looks up the servers' names with the stack's DNS, IPv4 addresses first, at each connect.
    /// Without it servers must be given by their IP addresses.
    #[must_use]
    pub fn with_dns(mut self) -> Self
    where
        S: Dns,
    {
        self.transport().use_dns();
        self
    }

    /// The stack, for what only it can do. The client's own socket is out of reach.
    pub fn stack(&mut self) -> &mut S {
        self.transport().stack()
    }
}

impl<T: Transport, P: Platform> fmt::Debug for TransportNatsClient<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsClient")
            .field("servers", &self.public_url())
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl<T: Transport, P: Platform> TransportNatsClient<T, P> {
    /// A client that connects by `transport` when it is first needed, or by
    /// [`connect`](Self::connect), and keeps time by `platform`.
    ///
    /// ```
    /// use natsbridge::board::{NatsOptions, TransportNatsClient};
    /// use natsbridge::net::Transport;
    /// use natsbridge::adapter::{Broker, Platform};
    ///
    /// /// With TLS, if the transport has it.
    /// fn client(tls: impl Transport, platform: impl Platform) -> impl Broker {
    ///     TransportNatsClient::over(tls, platform, NatsOptions::new("tls://nats.example.com"))
    /// }
    /// ```
    pub fn over(transport: T, platform: P, options: NatsOptions) -> Self {
        let (session, id) = new_session(&options);
        let wire = Wire::new(transport, platform, options.chunk_size);
        Self {
            rounds: Rounds::new(),
            wire,
            session,
            id,
            options,
            link: None,
            max_payload: DEFAULT_MAX_PAYLOAD,
            should_move: false,
            last_ping: None,
        }
    }

    /// Connects, unless there is a connection. Tries each server once, and blocks at most
    /// [`NatsOptions::connect_timeout`].
    ///
    /// # Errors
    /// Of kind [`Unreachable`](Kind::Unreachable), [`Unauthorized`](Kind::Unauthorized),
    /// [`InvalidOption`](Kind::InvalidOption) (the server wants TLS, for example),
    /// [`Protocol`](Kind::Protocol) or [`Local`](Kind::Local); it names each server that was tried and why it
    /// failed.
    pub fn connect(&mut self) -> Result<(), BrokerError> {
        self.rounds.start_now();
        self.ensure_connected(self.deadline(self.options.connect_timeout))
    }

    /// Gives up the connection, if there is one, connects again and renews the subscriptions.
    /// Tries for [`NatsOptions::connect_timeout`], with pauses.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn reconnect(&mut self) -> Result<(), BrokerError> {
        self.lose(String::from("reconnect was called"));
        self.rounds.start_now();
        let deadline = self.deadline(self.options.connect_timeout);
        self.connect_until(deadline, deadline)
    }

    /// Closes the connection and ends the subscriptions. Waits at most 2 s for the confirmation of what was
    /// published; messages that were not taken are lost. A later call connects again.
    pub fn close(&mut self) {
        self.end();
        (self.session, self.id) = new_session(&self.options);
    }

    /// Ends the subscriptions without losing a message: waits up to `wait` until the server sends no
    /// more of them and has all that was published. What has arrived stays for
    /// [`next`](Broker::next).
    ///
    /// # Errors
    /// As [`flush`](Broker::flush).
    pub fn drain(&mut self, wait: Duration) -> Result<(), BrokerError> {
        for id in self.session.drain(self.id) {
            self.write_unsubscribe(id);
        }
        let flushed = self.flush(wait);
        self.session.end_drained(self.id);
        flushed
    }

    /// Whether there is a connection that is not known to be lost.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// The URL of the server that the client is connected to, without user, password and token.
    pub fn connected_url(&self) -> Option<String> {
        self.link.as_ref().map(|link| link.url.clone())
    }

    /// The URLs of the servers that were given, without users, passwords and tokens.
    pub fn public_url(&self) -> String {
        self.options.public_url()
    }

    /// The transport, for what only it can do. Closing it loses the connection.
    pub fn transport(&mut self) -> &mut T {
        &mut self.wire.connection.transport
    }
}

fn new_session(options: &NatsOptions) -> (Session, ClientId) {
    let max_message_size = options.max_message_size.unwrap_or(DEFAULT_MAX_PAYLOAD);
    let max_pending = options.max_pending.unwrap_or(MAX_PENDING);
    let mut session = Session::new(max_message_size, max_pending);
    let id = session.add_client();
    (session, id)
}

pub(super) fn no_memory(len: usize) -> BrokerError {
    let message = text(format_args!("there is no memory for {len} bytes"));
    BrokerError::new(Kind::Local, message)
}

impl<T: Transport, P: Platform> Drop for TransportNatsClient<T, P> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T: Transport, P: Platform> Broker for TransportNatsClient<T, P> {
    /// Before the first connection the default of a server.
    fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// Blocks at most [`NatsOptions::timeout`], and one more second for each 65,536 bytes; before that
    /// [`NatsOptions::connect_timeout`], if there is no connection.
    fn publish(&mut self, message: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        message.check().map_err(BrokerError::not_sent)?;
        self.look();
        if let Some(loss) = self.session.take_loss(self.id) {
            return Err(loss.not_sent());
        }
        self.ensure_connected(self.deadline(self.options.connect_timeout))?;
        let len = message.check_len(body, self.max_payload)?;
        let Some(link) = &mut self.link else {
            return Err(self.rounds.failure());
        };
        let has_headers = link.info.as_ref().is_some_and(|info| info.headers);
        if !message.headers.is_empty() && !has_headers {
            let message = text(format_args!("{} does not support headers", link.url));
            return Err(BrokerError::new(Kind::InvalidHeader, message));
        }
        link.wrote(len);
        self.last_ping = None;
        let Outgoing {
            subject,
            reply,
            headers,
        } = *message;
        let reply_len = reply.map_or(0, str::len);
        let head_len = LINE_LEN + subject.len() + reply_len + protocol::headers_len(headers);
        let deadline = self.deadline(write_timeout(self.options.timeout, len as u64));
        // What waits belongs to others: it is not to be taken back with this message.
        let sent = self.wire.send(deadline).map_err(SendError::from);
        let head = sent.and_then(|()| self.wire.room(head_len, deadline));
        let head = head.map(|out| match headers {
            [] => protocol::publish_head(out, subject, reply, len),
            _ => protocol::publish_head_with_headers(out, subject, reply, headers, len),
        });
        let sent = head.and_then(|()| {
            let first = || self.session.publish(self.id, subject);
            self.wire.send_body(body, first, deadline)
        });
        sent.map_err(|error| self.not_sent(error))
    }

    fn flush(&mut self, wait: Duration) -> Result<(), BrokerError> {
        let deadline = self.deadline(wait);
        loop {
            self.look();
            if let Some(loss) = self.session.take_loss(self.id) {
                return Err(loss);
            }
            if self.link.is_none() {
                let connect_by = deadline.min(self.deadline(self.options.connect_timeout));
                self.connect_round(connect_by, connect_by)?;
            }
            if let Some(confirmation) = self.ping(deadline)?
                && self.await_pong(confirmation, deadline)?
            {
                return self.session.confirm(self.id);
            }
        }
    }

    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        check_subscribe(subject, queue)?;
        self.ensure_connected(self.deadline(self.options.connect_timeout))?;
        self.wire.allocate_both().map_err(no_memory)?;
        let subscribed = self.session.subscribe(self.id, subject, queue);
        let id = subscribed.map_err(no_memory)?;
        let len = subject.len() + queue.map_or(0, str::len);
        let written = self.line(len);
        let written = written.map(|out| protocol::subscribe(out, subject, queue, id.0));
        written.and_then(|()| self.send_lines()).map_err(|error| {
            self.session.unsubscribe(self.id, id);
            self.not_sent(error)
        })?;
        Ok(id)
    }

    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError> {
        if self.session.unsubscribe(self.id, id) {
            self.write_unsubscribe(id);
        }
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        self.await_next(None, self.deadline(wait))
    }

    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        let next = self.await_next(Some(id), self.deadline(wait));
        self.session.stop_waiting(self.id);
        next
    }

    fn inbox_prefix(&self) -> &str {
        &self.options.inbox_prefix
    }
}
