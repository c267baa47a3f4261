//! How a connection is made: one server after the other, from the look-up of its name to its first PONG;
//! and how a client moves from one server to another.

use alloc::vec::Vec;
use core::time::Duration;

use super::TransportNatsClient;
use super::wire::SendError;
use crate::nats::BrokerError;
use crate::nats::BrokerErrorKind as Kind;
use crate::nats::handshake::{Failure, Failures, text_before_tls, wants_tls, write_connect};
use crate::nats::options::NatsOptions;
use crate::nats::protocol;
use crate::nats::servers::{Server, Servers};
use crate::nats::session::Link;
use crate::net::deadline::Moment;
use crate::net::{Transport, TransportError, TransportErrorKind};
use crate::platform::Platform;

/// The first pause between two rounds through all servers; each further one is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// The longest pause between two rounds; up to half of it is left out at random.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// How long the old server may take to send what is on its way before a move.
const MOVE_TIMEOUT: Duration = Duration::from_millis(300);

/// The servers, and when to try them again.
pub(super) struct Rounds {
    /// Parsed at the first connect.
    servers: Option<Servers>,
    backoff: Duration,
    not_before: Moment,
    /// Why the last round failed.
    failure: Option<Failure>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        Self {
            servers: None,
            backoff: FIRST_BACKOFF,
            not_before: Moment::from_millis(0),
            failure: None,
        }
    }

    pub(super) fn try_last(&mut self, url: &str) {
        if let Some(servers) = &mut self.servers {
            servers.try_last(url);
        }
    }

    pub(super) fn announced(&mut self, addresses: &[alloc::string::String], from: &str) {
        if let Some(servers) = &mut self.servers {
            servers.announced(addresses, from);
        }
    }

    pub(super) fn failure(&self) -> Failure {
        let none = || Failure::new(Kind::Unreachable, format_args!("there is no connection"));
        self.failure.clone().unwrap_or_else(none)
    }

    /// The next round does not wait, because the caller asks for it.
    pub(super) fn start_now(&mut self) {
        self.not_before = Moment::from_millis(0);
    }

    fn has_several(&self) -> bool {
        let servers = self.servers.as_ref();
        servers.is_some_and(|servers| servers.iter().nth(1).is_some())
    }

    fn succeeded(&mut self) {
        (self.backoff, self.failure) = (FIRST_BACKOFF, None);
    }

    fn failed(&mut self, failure: &Failure, now: Moment, random: u32) {
        if !failure.is_transient() {
            self.backoff = MAX_BACKOFF;
        }
        let jitter = self.backoff * (random % 256) / 512;
        self.not_before = now.after(self.backoff - jitter);
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
        self.failure = Some(failure.clone());
    }
}

impl<T: Transport, P: Platform> TransportNatsClient<T, P> {
    /// Makes rounds through all servers until one accepts or `deadline` has come.
    ///
    /// # Errors
    /// Why none does. What no retry cures is reported after one round.
    pub(super) fn connect_until(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        loop {
            match self.connect_round(deadline) {
                Ok(()) => return Ok(()),
                Err(failure) if self.is_over(deadline) || !failure.is_transient() => {
                    return Err(failure.to_error());
                }
                Err(_) => {}
            }
        }
    }

    /// Tries each server once, after the pause that follows a round that has failed.
    pub(super) fn connect_round(&mut self, deadline: Moment) -> Result<(), Failure> {
        let not_before = self.rounds.not_before;
        self.wire.connection.wait_until(not_before.min(deadline));
        if not_before > deadline {
            return Err(self.rounds.failure());
        }
        let connect_by = self.deadline(self.options.connect_timeout).min(deadline);
        let connected = self.try_servers(connect_by);
        match &connected {
            Ok(()) => self.rounds.succeeded(),
            Err(failure) => {
                self.disconnect();
                let (now, random) = (self.wire.connection.now(), self.random());
                self.rounds.failed(failure, now, random);
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

    fn try_servers(&mut self, deadline: Moment) -> Result<(), Failure> {
        check_options(&self.options)?;
        let no_memory = |len| Failure::new(Kind::Local, format_args!("no memory for {len} bytes"));
        self.wire.allocate().map_err(no_memory)?;
        let servers = match self.rounds.servers.take() {
            Some(servers) => servers,
            None => {
                let parsed = Servers::new(&self.options);
                let invalid = |error| Failure::new(Kind::InvalidOption, format_args!("{error}"));
                let mut servers = parsed.map_err(invalid)?;
                servers.shuffle(|| self.random());
                servers
            }
        };
        let tried = self.try_each(&servers, deadline);
        self.rounds.servers = Some(servers);
        self.link = Some(tried?);
        self.take_news();
        Ok(())
    }

    fn try_each(&mut self, servers: &Servers, deadline: Moment) -> Result<Link, Failure> {
        let mut failures = Failures::default();
        let mut left = u32::try_from(servers.iter().count()).unwrap_or(u32::MAX);
        for server in servers.iter() {
            let now = self.wire.connection.now();
            let share = deadline.since(now) / left.max(1);
            left = left.saturating_sub(1);
            match self.connect_to(server, now.after(share)) {
                Ok(link) => return Ok(link),
                Err(failure) => failures.add(&server.url, &failure),
            }
            self.wire.close();
        }
        Err(failures.join())
    }

    fn connect_to(&mut self, server: &Server, deadline: Moment) -> Result<Link, Failure> {
        self.wire.close();
        let left = self.wire.connection.left(deadline);
        let opened = self.transport().open(&server.host, server.port, left);
        opened.map_err(|error| transport_failure(&error))?;
        let options = &self.options;
        let (url, now) = (server.url.clone(), self.wire.connection.now());
        let (ping_interval, timeout) = (options.ping_interval, options.timeout);
        let mut link = Link::new(url, ping_interval, timeout, now.millis());
        let tls_first = options.tls_first;
        if tls_first {
            self.start_tls(server, deadline)?;
        }
        while link.info.is_none() {
            self.read(&mut link, deadline)?;
        }
        let info = link.info.as_ref();
        let tls_now = info.map(|info| wants_tls(server, &self.options, info));
        let tls_now = tls_now.unwrap_or(Ok(false))?;
        if tls_now {
            if self.wire.has_input() {
                return Err(text_before_tls());
            }
            self.start_tls(server, deadline)?;
        }
        self.send_connect(&mut link, server, tls_first || tls_now, deadline)?;
        while !link.is_ready() {
            self.read(&mut link, deadline)?;
        }
        Ok(link)
    }

    fn start_tls(&mut self, server: &Server, deadline: Moment) -> Result<(), Failure> {
        let left = self.wire.connection.left(deadline);
        let started = self.transport().start_tls(&server.tls_name, left);
        started.map_err(|error| transport_failure(&error))
    }

    /// Reads one thing that the server says.
    fn read(&mut self, link: &mut Link, deadline: Moment) -> Result<(), Failure> {
        if self.is_over(deadline) {
            return Err(transport_failure(&TransportError::timeout()));
        }
        let received = self.wire.receive(deadline);
        received.map_err(|error| transport_failure(&error))?;
        let now = self.wire.connection.now().millis();
        let fed = self.session.feed(link, self.wire.input(), now);
        self.wire
            .parsed(fed.map_err(|error| Failure::of_link(link, &error))?);
        Ok(())
    }

    /// Sends CONNECT, the subscriptions, and a PING whose answer says that all of it is accepted.
    fn send_connect(
        &mut self,
        link: &mut Link,
        server: &Server,
        is_encrypted: bool,
        deadline: Moment,
    ) -> Result<(), Failure> {
        let (options, info) = (&self.options, link.info.take().unwrap_or_default());
        let from = (options, &options.credentials);
        let out = self.wire.output();
        write_connect(out, from, server, &info, is_encrypted, |_, _| {
            Err("nkeys and JWTs are not supported on boards".into())
        })?;
        link.info = Some(info);
        let (wire, session) = (&mut self.wire, &self.session);
        let mut subscriptions = session.subscriptions();
        let written = subscriptions.try_for_each(|subscription| {
            let (subject, queue) = (&*subscription.subject, subscription.queue.as_deref());
            let len = super::LINE_LEN + subject.len() + queue.map_or(0, str::len);
            let id = subscription.id.0;
            let line = |out: &mut Vec<u8>| protocol::subscribe(out, subject, queue, id);
            wire.write(len, line, deadline)
        });
        let written = written.and_then(|()| {
            wire.write(super::LINE_LEN, protocol::ping, deadline)?;
            Ok(wire.send(deadline)?)
        });
        written.map_err(|error| match error {
            SendError::Transport(error) => transport_failure(&error),
            SendError::Body { error, .. } => Failure::new(Kind::Local, format_args!("{error}")),
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
        if let Some(link) = &mut self.link {
            // What the server has sent before it answers is received.
            let now = self.wire.connection.now().millis();
            link.write_last_ping(now, self.wire.output());
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

fn check_options(options: &NatsOptions) -> Result<(), Failure> {
    if options.roots.is_empty() && options.client_certificate.is_none() {
        return Ok(());
    }
    let message = format_args!("certificates are options of the transport on boards");
    Err(Failure::new(Kind::InvalidOption, message))
}

fn transport_failure(error: &TransportError) -> Failure {
    let kind = match error.kind() {
        TransportErrorKind::Unsupported => Kind::InvalidOption,
        TransportErrorKind::Certificate => Kind::Unauthorized,
        _ => Kind::Unreachable,
    };
    Failure::new(kind, format_args!("{error:?}"))
}
