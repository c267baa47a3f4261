//! NATS over a [`Transport`], and over the stack of a board.

mod connect;
mod wire;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use embedded_nal::{Dns, TcpClientStack};

use self::connect::Rounds;
use self::wire::{LINE_LEN, SendError, Wire};
use super::Nal;
use crate::cause::text;
use crate::nats::options::NatsOptions;
use crate::nats::protocol;
use crate::nats::session::{ClientId, Confirmation, Link, LinkError, Session};
use crate::nats::subject::check_subscribe;
use crate::nats::{
    Broker, BrokerError, BrokerErrorKind as Kind, DEFAULT_MAX_PAYLOAD, Message, Outgoing,
    SubscriptionId,
};
use crate::net::deadline::{Moment, write_timeout};
use crate::net::{Transport, TransportError, TransportErrorKind};
use crate::platform::Platform;
use crate::stream::Body;

/// Bytes of messages that may wait, by default.
const MAX_PENDING: usize = 16 << 10;
/// PINGs without an answer; further ones are not sent before one is answered.
const MAX_PINGS: usize = 16;
/// What a client that is dropped may wait for the confirmation of what it published.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);

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
/// in between are gone. Rounds through all servers are 50 ms to 1 s apart, minus up to 50 % jitter.
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
    options: NatsOptions,
    wire: Wire<T, P>,
    session: Session,
    id: ClientId,
    rounds: Rounds,
    /// The connection, once its server has accepted it.
    link: Option<Link>,
    max_payload: usize,
    /// The server is about to close its connections.
    should_move: bool,
    /// The last PING of a flush, if nothing was written behind it.
    last_ping: Option<Confirmation>,
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
        self.connect_until(self.deadline(self.options.connect_timeout))
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

    fn deadline(&self, wait: Duration) -> Moment {
        self.wire.connection.deadline(wait)
    }

    fn is_over(&self, deadline: Moment) -> bool {
        self.wire.connection.is_over(deadline)
    }

    /// Confirms what was published, and gives the connection back.
    fn end(&mut self) {
        let timeout = DROP_TIMEOUT.min(self.options.timeout);
        if self.session.has_unconfirmed(self.id)
            && let Err(error) = self.flush(timeout)
        {
            log::warn!(
                target: "natsbridge",
                "a client was dropped before all it published was confirmed: {error}"
            );
        }
        self.disconnect();
    }

    fn disconnect(&mut self) -> Option<Link> {
        self.wire.close();
        (self.should_move, self.last_ping) = (false, None);
        self.link.take()
    }

    /// Gives up the connection, if there is one. What was unconfirmed may be lost, and messages too.
    fn lose(&mut self, cause: String) {
        if let Some(link) = self.disconnect() {
            let cause = link.refusal().map_or(cause, |error| error.to_string());
            self.session.lost(&link, cause);
            self.rounds.try_last(&link.url);
        }
    }

    /// Reads one thing that the server says, if it has come or comes before `deadline`; and writes
    /// meanwhile what is due. A connection that is lost is given up.
    fn pump(&mut self, deadline: Moment) {
        if let Err(lost) = self.try_pump(deadline) {
            self.lose(text(format_args!("{lost}")));
        }
    }

    fn try_pump(&mut self, deadline: Moment) -> Result<(), Lost> {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        let mut wake_at = deadline;
        if !self.wire.has_input() {
            let now = self.wire.connection.now().millis();
            if let Some(out) = self.wire.control() {
                link.write_control(now, out);
            }
            link.keep_alive(now, self.wire.output())?;
            wake_at = wake_at.min(Moment::from_millis(link.wake_at()));
        }
        self.read(wake_at)?;
        self.take_news();
        Ok(())
    }

    /// Reads one thing that the server says, if it has come or comes before `deadline`.
    fn read(&mut self, deadline: Moment) -> Result<(), Lost> {
        self.wire.receive(deadline)?;
        if let Some(link) = &mut self.link {
            let now = self.wire.connection.now().millis();
            let used = self.session.feed(link, self.wire.input(), now)?;
            self.wire.parsed(used);
        }
        Ok(())
    }

    /// Takes what INFO says.
    fn take_news(&mut self) {
        let Some(link) = &mut self.link else { return };
        if link.take_news().is_some()
            && let Some(info) = &mut link.info
        {
            self.max_payload = info.max_payload;
            self.should_move |= info.lame_duck;
            let announced = core::mem::take(&mut info.connect_urls);
            self.rounds.announced(&announced, &link.url);
        }
    }

    /// Notices what has happened between two calls, without waiting. Without subscriptions what came is
    /// read, because it is PINGs and errors; with them messages might be dropped for lack of room.
    fn look(&mut self) {
        if self.link.is_none() {
            return;
        }
        if self.session.has_subscriptions() {
            if let Err(error) = self.wire.look() {
                self.lose(text(format_args!("{error:?}")));
            }
            return;
        }
        let now = self.wire.connection.now();
        self.pump(now);
        while self.wire.has_input() {
            self.pump(now);
        }
    }

    /// A connection to write on.
    fn ensure_connected(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        self.look();
        self.move_if_due();
        match self.link {
            Some(_) => Ok(()),
            None => self.connect_round(deadline),
        }
    }

    /// Where a line of at most `len` bytes can be added to what [`send_lines`](Self::send_lines) sends.
    fn line(&mut self, len: usize) -> Result<&mut Vec<u8>, SendError> {
        self.last_ping = None;
        let deadline = self.deadline(self.options.timeout);
        self.wire.room(LINE_LEN + len, deadline)
    }

    fn send_lines(&mut self) -> Result<(), SendError> {
        let deadline = self.deadline(self.options.timeout);
        Ok(self.wire.send(deadline)?)
    }

    /// Writes a line whose failure shows as a loss; false then.
    fn try_send_line(&mut self, line: &dyn Fn(&mut Vec<u8>)) -> bool {
        let written = self.line(0).map(line);
        let sent = written.and_then(|()| self.send_lines());
        let Err(error) = sent else { return true };
        self.lose(match error {
            SendError::Transport(error) => text(format_args!("{error:?}")),
            SendError::Body { error, .. } => text(format_args!("{error}")),
        });
        false
    }

    fn write_unsubscribe(&mut self, id: SubscriptionId) {
        if self.link.is_some() {
            self.try_send_line(&|out| protocol::unsubscribe(out, id.0));
        }
    }

    /// What it means that something could not be sent, or not as a whole.
    fn not_sent(&mut self, error: SendError) -> BrokerError {
        match error {
            SendError::Transport(error) => {
                let kind = match error.kind() {
                    TransportErrorKind::Timeout => Kind::Timeout,
                    _ => Kind::Disconnected,
                };
                self.lose(text(format_args!("{error:?}")));
                // Reported here, and so not by the next flush.
                let loss = self.session.take_loss(self.id);
                let message = match loss {
                    Some(loss) => loss.to_string(),
                    None => text(format_args!("the connection is lost: {error:?}")),
                };
                BrokerError::new(kind, message)
            }
            SendError::Body {
                error,
                sent_in_part: true,
            } => {
                // The server would take what comes next for the rest of it.
                self.lose(String::from("a message was sent in part"));
                BrokerError::from(error)
            }
            SendError::Body { error, .. } => BrokerError::from(error).not_sent(),
        }
    }

    /// Sends a PING behind all that was written, or finds that one is on its way; `None` if the connection
    /// is lost. Waits for answers first if there are too many PINGs without one.
    fn ping(&mut self, deadline: Moment) -> Result<Option<Confirmation>, BrokerError> {
        if let Some(sent) = self.last_ping
            && !self.session.is_confirmed(self.id, sent)
        {
            return Ok(Some(sent));
        }
        while self
            .link
            .as_ref()
            .is_some_and(|link| link.unanswered() >= MAX_PINGS)
        {
            self.pump_or_time_out(deadline)?;
        }
        let Some(link) = &mut self.link else {
            return Ok(None);
        };
        let now = self.wire.connection.now().millis();
        let confirmation = self.session.ping_sent(link, self.id, now);
        let is_sent = self.try_send_line(&protocol::ping);
        self.last_ping = is_sent.then_some(confirmation);
        Ok(self.last_ping)
    }

    fn pump_or_time_out(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        let is_last = self.is_over(deadline);
        self.pump(deadline);
        match &self.link {
            Some(link) if is_last && !self.wire.has_input() => {
                let message = text(format_args!("{} has not confirmed in time", link.url));
                Err(BrokerError::new(Kind::Timeout, message))
            }
            _ => Ok(()),
        }
    }

    /// Waits for the answer to a PING; false if its connection was lost.
    fn await_pong(
        &mut self,
        confirmation: Confirmation,
        deadline: Moment,
    ) -> Result<bool, BrokerError> {
        let losses = self.session.losses();
        while self.session.losses() == losses {
            if self.session.is_confirmed(self.id, confirmation) {
                return Ok(true);
            }
            if let Err(error) = self.pump_or_time_out(deadline) {
                let is_confirmed = self.session.is_confirmed(self.id, confirmation);
                return if is_confirmed { Ok(true) } else { Err(error) };
            }
        }
        Ok(false)
    }

    fn await_next(
        &mut self,
        of: Option<SubscriptionId>,
        deadline: Moment,
    ) -> Result<Option<Message>, BrokerError> {
        let mut is_last = false;
        loop {
            let now = self.wire.connection.now().millis();
            let event = match of {
                Some(subscription) => self.session.next_of(self.id, subscription),
                None => self.session.next(self.id, now),
            };
            if let Some(event) = event {
                return event.map(Some);
            }
            if is_last && !self.wire.has_input() {
                return Ok(None);
            }
            if of.is_none() {
                self.move_if_due();
            }
            if self.link.is_none() {
                self.connect_until(deadline)?;
                continue;
            }
            is_last = self.is_over(deadline);
            let report_at = self.session.report_at(self.id).map(Moment::from_millis);
            self.pump(report_at.map_or(deadline, |at| at.min(deadline)));
        }
    }
}

/// Why a connection is of no use any more.
enum Lost {
    Transport(TransportError),
    Link(LinkError),
}

impl From<TransportError> for Lost {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<LinkError> for Lost {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // `{:?}` has the causes.
            Self::Transport(error) => write!(f, "{error:?}"),
            Self::Link(error) => write!(f, "{error}"),
        }
    }
}

fn new_session(options: &NatsOptions) -> (Session, ClientId) {
    let max_message_size = options.max_message_size.unwrap_or(DEFAULT_MAX_PAYLOAD);
    let max_pending = options.max_pending.unwrap_or(MAX_PENDING);
    let mut session = Session::new(max_message_size, max_pending);
    let id = session.add_client();
    (session, id)
}

fn no_memory(len: usize) -> BrokerError {
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
                self.connect_round(connect_by)?;
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
