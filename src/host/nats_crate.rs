//! NATS by the `nats` crate, fenced in.
//!
//! The crate only moves the bytes. What it received is written out again as the server had sent it, for the
//! same [`Session`] that decides for the other clients about order, limits, errors and losses.

#![expect(deprecated, reason = "all of the crate is: its authors want async")]

mod broker;
mod convert;
mod link;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::time::Instant;
use std::{io, thread};

use self::link::{INBOX, Link, Shared, State, start};
use crate::nats::servers::{Servers, UrlError};
use crate::nats::session::{self, ClientId, Session};
use crate::nats::{
    Broker, BrokerError, BrokerErrorKind as Kind, DEFAULT_MAX_PAYLOAD, NatsOptions, Outgoing,
    SubjectUse, SubscriptionId, check_subject,
};
use crate::platform::deadline_after;

/// Bytes of messages that may wait, and of one message, by default.
const MAX_PENDING: usize = 64 << 20;
/// Between two attempts to connect, and the least that one may take, however short a wait is.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// What a client that is dropped may wait for the confirmation of what it published.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);

/// A [`Broker`] by the deprecated `nats` crate, for hosts.
///
/// **Use [`NatsClient`](crate::host::NatsClient)**, which does more, is faster and has none of the limits
/// below. This one is for a program that must go through the `nats` crate, or that compares the two.
///
/// It connects when it is first needed, to one of the servers that were given. A lost connection is
/// reported as by `NatsClient`, and renewed with its subscriptions by the next call. `flush` waits for a
/// message that this client sends to an inbox of its own, since the crate's flush may wait for ever. A call
/// that connects waits at most [`NatsOptions::connect_timeout`], one that writes
/// [`NatsOptions::timeout`], and dropping the client 3 s.
///
/// Known limits of the crate:
///
/// - **Anybody who may publish can cut the connection of a subscriber**: with a subject of more than about
///   4,087 bytes, a subject that is not UTF-8, or a header without a colon. What arrives until the
///   connection is renewed is lost. With `panic = "abort"` a long subject may end the program.
/// - INFO over 4,096 bytes, which large clusters have: it never connects; while connected the crate's reader
///   panics, which shows when [`NatsOptions::ping_interval`] and [`NatsOptions::timeout`] are over.
/// - Servers that a cluster announces are not used, and lame duck mode is ignored.
/// - A peer that accepts and says nothing holds a thread and a descriptor for each connect to it. Those of a
///   given-up connection may stay for some minutes, or as long as the peer is silent.
/// - Flushes one after the other take 5 ms each. The inbox needs permission to publish and subscribe, and
///   whoever else subscribes to it, as with `>`, gets its empty messages.
/// - The order of headers, blanks around their values and second copies of the same one are not kept. A
///   header named `Status` may be taken for the server's.
/// - Nkeys, PEM text, TLS before INFO and [`echo(false)`](NatsOptions::echo) are refused with kind
///   [`InvalidOption`](Kind::InvalidOption). Default roots are those of the operating system.
///
/// ```no_run
/// use std::time::Duration;
/// use natsbridge::host::{NatsCrateClient, NatsOptions};
/// use natsbridge::adapter::{Broker, Outgoing, SliceBody};
///
/// let mut client = NatsCrateClient::new(NatsOptions::new("nats://localhost:4222"));
/// client.publish(&Outgoing::new("greetings"), &mut SliceBody::new(b"hello"))?;
/// client.flush(Duration::from_secs(5))?; // Ok: the server has it
/// # Ok::<(), natsbridge::adapter::BrokerError>(())
/// ```
pub struct NatsCrateClient {
    options: NatsOptions,
    id: ClientId,
    shared: Arc<Shared>,
    link: Option<Link>,
    max_payload: usize,
}

impl NatsCrateClient {
    /// A client that connects when it is first needed, or by [`connect`](Self::connect).
    pub fn new(options: NatsOptions) -> Self {
        let max_pending = options.max_pending.unwrap_or(MAX_PENDING);
        let max_message_size = options.max_message_size.unwrap_or(MAX_PENDING);
        let mut session = Session::new(max_message_size, max_pending);
        Self {
            options,
            id: session.add_client(),
            shared: Arc::new(Shared::new(session)),
            link: None,
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }

    /// Connects to the first server that accepts, unless there is a connection. Blocks at most
    /// [`NatsOptions::connect_timeout`].
    ///
    /// # Errors
    /// As [`NatsClient::connect`](crate::host::NatsClient::connect).
    pub fn connect(&mut self) -> Result<(), BrokerError> {
        self.connect_within(self.options.connect_timeout)
    }

    fn connect_within(&mut self, wait: Duration) -> Result<(), BrokerError> {
        self.notice_loss();
        if self.link.is_some() {
            return Ok(());
        }
        check_subject(&self.options.inbox_prefix, SubjectUse::Publish)?;
        let servers = Servers::new(&self.options);
        let invalid = |error: UrlError| BrokerError::new(Kind::InvalidOption, error.to_string());
        let mut servers = servers.map_err(invalid)?;
        servers.shuffle(|| getrandom::u32().unwrap_or_default());
        let deadline = deadline_after(wait.min(self.options.connect_timeout).max(RETRY_PAUSE));
        let (mut kind, mut tried) = (Kind::InvalidOption, Vec::new());
        for server in servers.iter() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share =
                left / u32::try_from(servers.iter().count() - tried.len()).unwrap_or(u32::MAX);
            match Link::open(&self.shared, &self.options, server, share) {
                Ok(link) => {
                    self.max_payload = link.connection.max_payload();
                    self.link = Some(link);
                    return self.subscribe_again().map_err(BrokerError::not_sent);
                }
                Err(error) => {
                    kind = error.kind();
                    tried.push(format!("{}: {error}", server.url));
                }
            }
        }
        let message = format!("no connection to {}", tried.join("; "));
        Err(BrokerError::new(kind, message))
    }

    fn subscribe_again(&mut self) -> Result<(), BrokerError> {
        let inbox = self
            .link
            .iter()
            .map(|link| (INBOX, link.inbox.clone(), None));
        let mut all: Vec<_> = inbox.collect();
        for known in self.shared.lock().session.subscriptions() {
            all.push((known.id, known.subject.clone(), known.queue.clone()));
        }
        let mut all = all.into_iter();
        all.try_for_each(|(id, subject, queue)| self.subscribe_as(id, subject, queue))
    }

    fn subscribe_as(
        &mut self,
        id: SubscriptionId,
        subject: String,
        queue: Option<String>,
    ) -> Result<(), BrokerError> {
        let subscription = self.on_link(move |connection| match queue {
            Some(queue) => connection.queue_subscribe(&subject, &queue),
            None => connection.subscribe(&subject),
        })?;
        match &mut self.link {
            Some(link) => link.add(&self.shared, id, subscription),
            None => Ok(()),
        }
    }

    /// Works on the connection, which is given up if that fails or takes longer than
    /// [`NatsOptions::timeout`].
    fn on_link<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&nats::Connection) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let Some(connection) = self.link.as_ref().map(|link| link.connection.clone()) else {
            return Err(self.failed(io::ErrorKind::NotConnected.into()));
        };
        let worked = start(move || work(&connection)).recv_timeout(self.options.timeout);
        let worked = worked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        worked.map_err(|error| self.failed(error))
    }

    fn failed(&mut self, error: io::Error) -> BrokerError {
        let kind = match error.kind() {
            // The server has no headers, which the crate finds out before it writes.
            io::ErrorKind::InvalidInput => Kind::InvalidHeader,
            io::ErrorKind::TimedOut => Kind::Timeout,
            _ => Kind::Disconnected,
        };
        if kind != Kind::InvalidHeader {
            self.disconnect(error.to_string());
        }
        BrokerError::new(kind, "the connection failed").with_source(error)
    }

    fn notice_loss(&mut self) {
        let loss = self.shared.lock().loss.take();
        if let Some(cause) = loss {
            self.disconnect(cause);
        }
    }

    /// Gives the connection up, behind what it received.
    fn disconnect(&mut self, cause: String) {
        if let Some(link) = self.link.take() {
            link.end(false);
        }
        let mut state = self.shared.lock();
        if let Some(link) = state.link.take() {
            state.session.lost(&link, cause);
        }
    }

    /// What was published and is lost is reported before anything else is written.
    fn report_loss(&mut self) -> Result<(), BrokerError> {
        self.notice_loss();
        let loss = self.shared.lock().session.take_loss(self.id);
        loss.map_or(Ok(()), Err)
    }

    /// Writes without blocking where the crate's buffer has room, else on a thread.
    fn write(&mut self, message: &Outgoing<'_>, body: Vec<u8>) -> Result<(), BrokerError> {
        let (subject, reply) = (message.subject, message.reply);
        if let Some(Link { connection, .. }) = &self.link
            && message.headers.is_empty()
            && let Some(tried) =
                connection.try_publish_with_reply_or_headers(subject, reply, None, &body)
        {
            return tried.map_err(|error| self.failed(error));
        }
        let (subject, reply) = (subject.to_string(), reply.map(ToString::to_string));
        let headers: nats::HeaderMap = message.headers.iter().collect();
        self.on_link(move |connection| {
            let headers = Some(&headers).filter(|headers| !headers.is_empty());
            connection.publish_with_reply_or_headers(&subject, reply.as_deref(), headers, &body)
        })
    }

    /// Sends a message that comes back when the server has handled all before it. A failure shows as a
    /// loss.
    fn write_to_inbox(&mut self) {
        if let Some(inbox) = self.link.as_ref().map(|link| link.inbox.clone()) {
            self.write(&Outgoing::new(&inbox), Vec::new()).ok();
        }
    }

    /// Gives a connection up that does not answer, and has it answer after a silence.
    fn keep_alive(&mut self) {
        let (now, mut due) = (self.shared.now(), Vec::new());
        if let State {
            link: Some(link),
            loss,
            ..
        } = &mut *self.shared.lock()
            && let Err(error) = link.keep_alive(now, &mut due)
        {
            loss.get_or_insert(error.to_string());
        }
        if !due.is_empty() {
            self.write_to_inbox();
        }
    }

    /// Waits until `find` finds something, with a connection if one can be made.
    fn wait_for<T>(
        &mut self,
        wait: Duration,
        mut find: impl FnMut(&mut Session) -> Option<T>,
    ) -> Result<Option<T>, BrokerError> {
        let (shared, deadline) = (Arc::clone(&self.shared), deadline_after(wait));
        loop {
            self.keep_alive();
            self.notice_loss();
            let mut state = shared.lock();
            if let Some(found) = find(&mut state.session) {
                return Ok(Some(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(wake_at) = state.link.as_ref().map(session::Link::wake_at) else {
                drop(state);
                match self.connect_within(left) {
                    Err(error) if left.is_zero() || !error.is_transient() => return Err(error),
                    Err(_) => thread::sleep(RETRY_PAUSE.min(left)),
                    Ok(()) => {}
                }
                continue;
            };
            if left.is_zero() {
                return Ok(None);
            }
            if state.loss.is_none() {
                let report_at = state.session.report_at(self.id).unwrap_or(u64::MAX);
                let due_in = wake_at.min(report_at).saturating_sub(shared.now());
                let limit = left.min(Duration::from_millis(due_in));
                drop(shared.changed.wait_timeout(state, limit));
            }
        }
    }
}

impl Drop for NatsCrateClient {
    fn drop(&mut self) {
        let is_unconfirmed = self.shared.lock().session.has_unconfirmed(self.id);
        if is_unconfirmed && let Err(error) = self.flush(DROP_TIMEOUT) {
            log::warn!(target: "natsbridge", "dropped before all was confirmed: {error}");
        }
        self.notice_loss();
        if let Some(link) = self.link.take() {
            link.end(true);
        }
    }
}
