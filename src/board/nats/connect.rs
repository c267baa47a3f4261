//! How a connection to a NATS server is made: the greeting, the introduction, and trying again.

use core::time::Duration;

use embedded_nal::TcpClientStack;

use super::link::{Confirmation, LinkError};
use super::options::Credentials;
use super::{NatsClient, Subscription};
use crate::cause::text;
use crate::nats::protocol::{ConnectOptions, Op, ServerInfo};
use crate::nats::{BrokerError, BrokerErrorKind as Kind};
use crate::net::TransportError;
use crate::net::deadline::Moment;
use crate::platform::Platform;

/// The first pause between attempts to reconnect; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl<S: TcpClientStack, P: Platform> NatsClient<S, P> {
    pub(super) fn connect_within(&mut self, limit: Duration) -> Result<(), BrokerError> {
        let deadline = self.link.connection.deadline(limit);
        let opened = self.open(deadline);
        self.is_ready = opened.is_ok();
        opened.inspect_err(|_| self.let_go())
    }

    fn open(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        let server = self.options.server().map_err(|fault| {
            let url = self.options.shown();
            let message = text(format_args!("{url} cannot be used: {fault}"));
            BrokerError::new(Kind::InvalidOption, message)
        })?;
        let opened = self.link.open(server.host, server.port, deadline);
        opened.map_err(|error| self.lost(error))?;
        let info = self.greeting(deadline)?;
        let sent = self.introduce(&info, deadline);
        let confirmation = sent.map_err(|error| self.lost(error))?;
        if self.await_confirmation(confirmation, deadline)? {
            return Ok(());
        }
        Err(self.lost(TransportError::timeout().into()))
    }

    /// Waits for the INFO that a server starts with.
    fn greeting(&mut self, deadline: Moment) -> Result<ServerInfo, BrokerError> {
        while !self.link.connection.is_over(deadline) {
            let step = self.link.step(deadline);
            match step.map_err(|error| self.lost(error))? {
                Some(Op::Info(info)) if info.tls_required => {
                    let url = self.options.shown();
                    let message = text(format_args!(
                        "{url} wants TLS, which this client does not have"
                    ));
                    return Err(BrokerError::new(Kind::InvalidOption, message));
                }
                Some(Op::Info(info)) => {
                    self.max_payload = info.max_payload;
                    return Ok(info);
                }
                Some(op) => drop(self.handle(op)?),
                None => {}
            }
        }
        Err(self.lost(TransportError::timeout().into()))
    }

    /// Says who we are and what we want to hear, and asks whether that is all right.
    fn introduce(
        &mut self,
        info: &ServerInfo,
        deadline: Moment,
    ) -> Result<Confirmation, LinkError> {
        let mut connect = ConnectOptions {
            name: self.options.name.as_deref(),
            // A server without headers refuses a client that asks for what needs them.
            headers: info.headers,
            no_responders: info.headers,
            ..ConnectOptions::default()
        };
        match self.options.credentials() {
            Credentials::None => {}
            Credentials::UserPassword(user, password) => {
                (connect.user, connect.password) = (Some(user), Some(password));
            }
            Credentials::Token(token) => connect.auth_token = Some(token),
        }
        self.link.introduce(&connect, deadline)?;
        for Subscription { id, subject, queue } in &self.subscriptions {
            self.link
                .subscribe(id.0, subject, queue.as_deref(), deadline)?;
        }
        self.link.ping(deadline)
    }

    /// Tries to connect until it succeeds or `deadline` has come. What no retry cures is told after
    /// a pause, so that a loop of calls does not spin.
    pub(super) fn connect_until(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let left = self.link.connection.left(deadline);
            let Err(error) = self.connect_within(left.min(self.options.connect_timeout)) else {
                return Ok(());
            };
            if !error.is_transient() {
                pause = LONGEST_PAUSE;
            }
            let connection = &mut self.link.connection;
            connection.wait(pause.min(connection.left(deadline)));
            if connection.is_over(deadline) || !error.is_transient() {
                return Err(error);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
