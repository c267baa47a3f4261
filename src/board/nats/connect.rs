//! How a connection is made: one server after the other, from the look-up of its name to its first PONG;
//! and how a client moves from one server to another.

use alloc::string::String;
use core::time::Duration;

use super::client::{TransportNatsClient, no_memory};
use super::lost::Lost;
use super::rounds::join;
use super::wire::{LINE_LEN, SendError, Wire};
#[cfg(feature = "nkeys")]
use crate::cause::text;
use crate::nats::BrokerError;
use crate::nats::BrokerErrorKind as Kind;
use crate::nats::handshake::{failure, link_failure, text_before_tls, wants_tls, write_connect};
use crate::nats::options::NatsOptions;
use crate::nats::protocol;
use crate::nats::servers::{Server, Servers};
use crate::nats::session::{Link, Session};
use crate::net::deadline::Moment;
use crate::net::{Transport, TransportError, TransportErrorKind};
use crate::platform::Platform;

/// How long the old server may take to send what is on its way before a move.
const MOVE_TIMEOUT: Duration = Duration::from_millis(300);

impl<T: Transport, P: Platform> TransportNatsClient<T, P> {
    /// Begins rounds through all servers until one accepts or `deadline` has come; the last round ends by `end_by`.
    ///
    /// # Errors
    /// Why none does. What no retry cures is reported after one round.
    pub(super) fn connect_until(
        &mut self,
        deadline: Moment,
        end_by: Moment,
    ) -> Result<(), BrokerError> {
        loop {
            match self.connect_round(deadline, end_by) {
                Err(error) if error.is_transient() && !self.is_over(deadline) => {}
                connected => return connected,
            }
        }
    }

    /// Tries each server once, after the pause that follows a round that has failed, which is over before `deadline`.
    pub(super) fn connect_round(
        &mut self,
        deadline: Moment,
        end_by: Moment,
    ) -> Result<(), BrokerError> {
        let not_before = self.rounds.not_before;
        self.wire.connection.wait_until(not_before.min(deadline));
        if not_before > deadline {
            return Err(self.rounds.failure());
        }
        let connect_by = self.deadline(self.options.connect_timeout).min(end_by);
        let connected = self.try_servers(connect_by);
        match &connected {
            Ok(()) => self.rounds.succeeded(),
            Err(error) => {
                self.disconnect();
                let (now, random) = (self.wire.connection.now(), self.random());
                self.rounds.failed(error, now, random);
            }
        }
        connected
    }

    /// Any number: it only spreads clients over servers and over time.
    fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        self.wire.connection.platform.random(&mut bytes).ok();
        u32::from_le_bytes(bytes)
    }

    fn try_servers(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        check_options(&self.options)?;
        self.wire.allocate_input().map_err(no_memory)?;
        let servers = match self.rounds.servers.take() {
            Some(servers) => servers,
            None => {
                let parsed = Servers::new(&self.options);
                let invalid = |error| failure(Kind::InvalidOption, format_args!("{error}"));
                let mut servers = parsed.map_err(invalid)?;
                servers.shuffle(|| self.random());
                servers
            }
        };
        let tried = self.try_each(&servers, deadline);
        self.rounds.servers = Some(servers);
        tried?;
        self.take_news();
        Ok(())
    }

    fn try_each(&mut self, servers: &Servers, deadline: Moment) -> Result<(), BrokerError> {
        let mut failures = None;
        let mut left = servers.iter().count() as u64;
        for server in servers.iter() {
            let now = self.wire.connection.now();
            match self.connect_to(server, now.share(deadline, left)) {
                Ok(()) => return Ok(()),
                Err(error) => failures = Some(join(failures, &server.url, &error)),
            }
            self.disconnect();
            left -= 1;
        }
        Err(failures.unwrap_or_else(|| self.rounds.failure()))
    }

    fn connect_to(&mut self, server: &Server, deadline: Moment) -> Result<(), BrokerError> {
        let left = self.wire.connection.left(deadline);
        let opened = self.transport().open(&server.host, server.port, left);
        opened.map_err(|error| transport_failure(&error))?;
        let (options, now) = (&self.options, self.wire.connection.now().millis());
        let (ping_interval, timeout) = (options.ping_interval, options.timeout);
        self.link = Some(Link::new(server.url.clone(), ping_interval, timeout, now));
        let tls_first = options.tls_first;
        if tls_first {
            self.start_tls(server, deadline)?;
        }
        self.read_until(|link| link.info.is_some(), deadline)?;
        let info = self.link.as_ref().and_then(|link| link.info.as_ref());
        let tls_now = info.map(|info| wants_tls(server, &self.options, info));
        let tls_now = tls_now.unwrap_or(Ok(false))?;
        if tls_now {
            if self.wire.has_input() {
                return Err(text_before_tls());
            }
            self.start_tls(server, deadline)?;
        }
        self.send_connect(server, tls_first || tls_now, deadline)?;
        self.read_until(Link::is_ready, deadline)
    }

    fn start_tls(&mut self, server: &Server, deadline: Moment) -> Result<(), BrokerError> {
        let left = self.wire.connection.left(deadline);
        let started = self.transport().start_tls(&server.tls_name, left);
        started.map_err(|error| transport_failure(&error))
    }

    fn read_until(
        &mut self,
        is_done: fn(&Link) -> bool,
        deadline: Moment,
    ) -> Result<(), BrokerError> {
        while !self.link.as_ref().is_some_and(is_done) {
            if self.is_over(deadline) {
                return Err(transport_failure(&TransportErrorKind::Timeout.into()));
            }
            match (self.read(deadline), &self.link) {
                (Ok(()), _) => {}
                (Err(Lost::Link(error)), Some(link)) => return Err(link_failure(link, &error)),
                (Err(lost), _) => {
                    return Err(failure(Kind::Unreachable, format_args!("{lost}")));
                }
            }
        }
        Ok(())
    }

    /// Sends CONNECT, the subscriptions, and a PING whose answer says that all of it is accepted.
    fn send_connect(
        &mut self,
        server: &Server,
        is_encrypted: bool,
        deadline: Moment,
    ) -> Result<(), BrokerError> {
        // Not before INFO has been read, which takes as much for a moment.
        let (options, out) = (&self.options, self.wire.output().map_err(no_memory)?);
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        if let Some(info) = &link.info {
            let from = (options, &options.credentials);
            write_connect(out, from, server, info, is_encrypted, sign)?;
        }
        let written = write_subscriptions(&mut self.wire, &self.session, deadline);
        written.map_err(|error| match error {
            SendError::Transport(error) => transport_failure(&error),
            SendError::Body { error, .. } => failure(Kind::Local, format_args!("{error}")),
        })?;
        link.connect_sent(self.wire.connection.now().millis());
        Ok(())
    }

    /// Moves to another server if this one is about to close its connections and nothing is unconfirmed.
    /// The caller connects.
    pub(super) fn move_if_due(&mut self) {
        if !self.should_move || !self.rounds.has_several() || self.session.has_unconfirmed(self.id)
        {
            return;
        }
        let deadline = self.deadline(MOVE_TIMEOUT);
        let now = self.wire.connection.now().millis();
        if let Some(link) = &mut self.link
            && let Ok(out) = self.wire.output()
        {
            // What the server has sent before it answers is received.
            link.write_last_ping(now, out);
        }
        while self.link.as_ref().is_some_and(|link| !link.is_drained()) && !self.is_over(deadline) {
            self.pump(deadline);
        }
        if let Some(link) = self.disconnect() {
            log::debug!(target: "natsbridge", "{} is in lame duck mode", link.url);
            self.rounds.try_last(&link.url);
        }
    }
}

/// Writes the subscriptions and a PING, and sends all.
fn write_subscriptions<T: Transport, P: Platform>(
    wire: &mut Wire<T, P>,
    session: &Session,
    deadline: Moment,
) -> Result<(), SendError> {
    for subscription in session.subscriptions() {
        let (subject, queue) = (&*subscription.subject, subscription.queue.as_deref());
        let len = LINE_LEN + subject.len() + queue.map_or(0, str::len);
        let out = wire.room(len, deadline)?;
        protocol::subscribe(out, subject, queue, subscription.id.0);
    }
    protocol::ping(wire.room(LINE_LEN, deadline)?);
    Ok(wire.send(deadline)?)
}

#[cfg(feature = "nkeys")]
fn sign(seed: &str, nonce: &str) -> Result<(String, String), String> {
    let signed = crate::nats::credentials::sign(seed, nonce);
    signed.map_err(|error| text(format_args!("{error}")))
}

#[cfg(not(feature = "nkeys"))]
fn sign(_: &str, _: &str) -> Result<(String, String), String> {
    Err("an nkey is to sign, and natsbridge is built without its feature `nkeys`".into())
}

fn check_options(options: &NatsOptions) -> Result<(), BrokerError> {
    if options.roots.is_empty() && options.client_certificate.is_none() {
        return Ok(());
    }
    let message = format_args!("certificates are options of the transport on boards");
    Err(failure(Kind::InvalidOption, message))
}

fn transport_failure(error: &TransportError) -> BrokerError {
    let kind = match error.kind() {
        TransportErrorKind::Unsupported => Kind::InvalidOption,
        TransportErrorKind::Certificate => Kind::Unauthorized,
        _ => Kind::Unreachable,
    };
    failure(kind, format_args!("{error:?}"))
}
