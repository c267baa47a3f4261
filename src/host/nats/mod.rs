//! NATS over the operating system's TCP, and TLS by rustls.

mod connect;
mod connection;
mod failure;
mod handshake;
mod keeper;
mod lend;
mod lock;
mod publish;
mod reader;
mod source;
mod stream;
mod subscribe;
#[cfg(feature = "tls")]
mod tls;
mod writer;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use self::connection::Connection;
use crate::nats::options::NatsOptions;
use crate::nats::session::ClientId;
use crate::nats::subject::check_subscribe;
use crate::nats::{Broker, BrokerError, Message, Outgoing, SubscriptionId};
use crate::stream::Body;

/// What a client that is dropped may wait for the confirmation of what it published.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);

/// A [`Broker`] that is connected to a NATS server, on machines with an operating system.
///
/// It connects when it is first needed, or by [`connect`](Self::connect). One thread reads what arrives
/// and keeps it for [`next`](Broker::next), so that a busy program is neither cut off nor holds up the
/// server; another one writes what was published within 2 ms if nobody flushes, and answers and sends
/// PINGs. Both end with the last clone.
///
/// A lost connection is renewed in the background, to the next server that accepts it, subscriptions
/// included. The loss is reported once, with kind [`Disconnected`](crate::BrokerErrorKind::Disconnected):
/// by [`next`](Broker::next) to who has subscriptions, behind what was received before; by
/// [`publish`](Broker::publish) or [`flush`](Broker::flush) to who had published what was not confirmed.
/// Anybody else does not notice.
///
/// A clone shares the connection and has subscriptions and messages of its own, so that one thread can
/// wait in `next` while others send. Dropping a clone ends its subscriptions and waits at most 2 s for the
/// confirmation of what it published; if that does not come, a warning is logged.
///
/// ```no_run
/// use std::time::Duration;
/// use natsbridge::host::{NatsClient, NatsOptions};
/// use natsbridge::adapter::{Broker, Outgoing, SliceBody};
///
/// let mut client = NatsClient::new(NatsOptions::new("nats://localhost:4222"));
/// client.connect()?;
/// let mut listener = client.clone();
/// listener.subscribe("greetings", None)?;
/// listener.flush(Duration::from_secs(5))?;
/// let listening = std::thread::spawn(move || listener.next(Duration::from_secs(5)));
///
/// client.publish(&Outgoing::new("greetings"), &mut SliceBody::new(b"hello"))?;
/// client.flush(Duration::from_secs(5))?; // Ok: the server has it
/// let message = listening.join().expect("no panic")?.expect("a message within 5 s");
/// assert_eq!(message.payload, b"hello");
/// # Ok::<(), natsbridge::adapter::BrokerError>(())
/// ```
pub struct NatsClient {
    connection: Arc<Connection>,
    id: ClientId,
    /// Where a message is made that is published.
    made: Vec<u8>,
}

impl fmt::Debug for NatsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsClient")
            .field("servers", &self.public_url())
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl NatsClient {
    /// A client that connects when it is first needed, or by [`connect`](Self::connect).
    pub fn new(options: NatsOptions) -> Self {
        let connection = Connection::new(options);
        let id = connection.add_client();
        let made = Vec::new();
        Self {
            connection,
            id,
            made,
        }
    }

    /// Connects to the first server that accepts, unless there is a connection. Blocks at most
    /// [`NatsOptions::connect_timeout`].
    ///
    /// # Errors
    /// Of kind [`Unreachable`](crate::BrokerErrorKind::Unreachable),
    /// [`Unauthorized`](crate::BrokerErrorKind::Unauthorized),
    /// [`Protocol`](crate::BrokerErrorKind::Protocol) or
    /// [`InvalidOption`](crate::BrokerErrorKind::InvalidOption); it names each server that was tried and why
    /// it failed.
    ///
    /// ```no_run
    /// use natsbridge::host::{NatsClient, NatsOptions};
    ///
    /// let options = NatsOptions::new("tls://nats.example").credentials_file("me.creds");
    /// NatsClient::new(options).connect()?;
    /// # Ok::<(), natsbridge::adapter::BrokerError>(())
    /// ```
    pub fn connect(&mut self) -> Result<(), BrokerError> {
        self.connection.connect(self.id)
    }

    /// Gives up the connection, if there is one, for all clones, and connects again.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn reconnect(&mut self) -> Result<(), BrokerError> {
        self.connection.disconnect("reconnect was called");
        self.connect()
    }

    /// Ends this client's subscriptions, and the connection if no clone uses it. Waits at most 2 s for the
    /// confirmation of what was published; messages that were not taken are lost. A later call connects
    /// again.
    pub fn close(&mut self) {
        self.end();
        self.connection = Connection::new(self.connection.options().clone());
        self.id = self.connection.add_client();
    }

    /// Ends this client's subscriptions without losing a message: waits up to `wait` until the server
    /// sends no more of them and has all that was published. What has arrived stays for
    /// [`next`](Broker::next).
    ///
    /// # Errors
    /// As [`flush`](Broker::flush).
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use natsbridge::host::{NatsClient, NatsOptions};
    /// use natsbridge::adapter::Broker;
    ///
    /// let mut client = NatsClient::new(NatsOptions::default());
    /// client.subscribe("jobs", Some("workers"))?;
    /// client.drain(Duration::from_secs(5))?;
    /// while let Some(job) = client.next(Duration::ZERO)? {
    ///     println!("the last jobs: {:?}", job.payload);
    /// }
    /// # Ok::<(), natsbridge::adapter::BrokerError>(())
    /// ```
    pub fn drain(&mut self, wait: Duration) -> Result<(), BrokerError> {
        self.connection.drain(self.id, wait)
    }

    /// Whether there is a connection that is not known to be lost.
    pub fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }

    /// The URL of the server that the client is connected to, without user, password and token.
    pub fn connected_url(&self) -> Option<String> {
        self.connection.connected_url()
    }

    /// The URLs of the servers that were given, without users, passwords and tokens.
    pub fn public_url(&self) -> String {
        self.connection.options().public_url()
    }

    /// Confirms what was published, ends the subscriptions.
    fn end(&mut self) {
        let left = self.connection.has_unconfirmed(self.id);
        if left && let Err(error) = self.flush(DROP_TIMEOUT) {
            log::warn!(
                target: "natsbridge",
                "a client was dropped before all it published was confirmed: {error}"
            );
        }
        self.connection.remove_client(self.id);
    }
}

impl Clone for NatsClient {
    /// Another client on the same connection, without subscriptions.
    fn clone(&self) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            id: self.connection.add_client(),
            made: Vec::new(),
        }
    }
}

impl Drop for NatsClient {
    fn drop(&mut self) {
        self.end();
    }
}

impl Broker for NatsClient {
    /// Before the first connection the default of a server.
    fn max_payload(&self) -> usize {
        self.connection.max_payload()
    }

    fn publish(&mut self, message: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        message.check().map_err(BrokerError::not_sent)?;
        self.connection
            .publish(self.id, message, body, &mut self.made)
    }

    fn flush(&mut self, wait: Duration) -> Result<(), BrokerError> {
        self.connection.flush(self.id, wait)
    }

    fn subscribe(
        &mut self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, BrokerError> {
        check_subscribe(subject, queue)?;
        self.connection.subscribe(self.id, subject, queue)
    }

    fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError> {
        self.connection.unsubscribe(self.id, id)
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        self.connection.next(self.id, None, wait)
    }

    fn next_of(
        &mut self,
        id: SubscriptionId,
        wait: Duration,
    ) -> Result<Option<Message>, BrokerError> {
        self.connection.next(self.id, Some(id), wait)
    }

    fn inbox_prefix(&self) -> &str {
        &self.connection.options().inbox_prefix
    }
}
