//! What is said on a new connection before anything else, from INFO to the first PONG.

use alloc::string::{String, ToString as _};
#[cfg(feature = "tls")]
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::io;
use std::path::Path;

use super::connection::{Connection, State};
use super::failure::{Failure, io_failure};
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::tls;
#[cfg(feature = "tls")]
use crate::nats::credentials::parse_creds;
use crate::nats::handshake::{link_failure, text_before_tls, wants_tls, write_connect};
use crate::nats::options::{Credentials, NatsOptions};
use crate::nats::protocol::{self, Limits, Op, Parser, ServerInfo};
use crate::nats::servers::Server;
use crate::nats::session::Link;
use crate::nats::{BrokerErrorKind as Kind, SubscriptionId};

/// How much may come on a connection to move to before its subscriptions are confirmed, in bytes.
const MAX_AHEAD: usize = 1 << 20;
#[cfg(not(feature = "tls"))]
const CANNOT_SIGN: &str = "an nkey is to sign, and natsbridge is built without its feature `tls`";

/// What a connection is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// There is none.
    Connect,
    /// To leave another one that still serves.
    Move,
}

/// A connection that a server has accepted.
pub(super) struct Established {
    pub(super) stream: Stream,
    pub(super) link: Link,
    /// The subscriptions that the server knows.
    pub(super) subscribed: Vec<SubscriptionId>,
    /// Bytes that came behind the first PONG.
    pub(super) rest: Vec<u8>,
}

pub(super) struct Handshake<'c> {
    pub(super) connection: &'c Connection,
    pub(super) server: &'c Server,
    pub(super) purpose: Purpose,
    pub(super) material: &'c Material,
    pub(super) stream: Stream,
    pub(super) link: Link,
    /// What came and is not parsed yet.
    pub(super) input: Vec<u8>,
}

impl Handshake<'_> {
    pub(super) fn run(&mut self) -> Result<Vec<SubscriptionId>, Failure> {
        let options = &self.connection.options;
        if options.tls_first {
            self.start_tls()?;
        }
        while self.link.info.is_none() {
            self.read()?;
        }
        let info = self.link.info.clone().unwrap_or_default();
        let wants_tls = wants_tls(self.server, options, &info)?;
        if wants_tls {
            if !self.input.is_empty() {
                return Err(text_before_tls().into());
            }
            self.start_tls()?;
        }
        let subscribed = self.send_connect(&info, wants_tls || options.tls_first)?;
        while !self.link.is_ready() {
            self.read()?;
        }
        match self.purpose {
            Purpose::Connect => Ok(subscribed),
            Purpose::Move => self.subscribe_ahead(),
        }
    }

    #[cfg(feature = "tls")]
    fn start_tls(&mut self) -> Result<(), Failure> {
        let tls = tls::client(&self.material.tls, &self.server.tls_name)
            .map_err(|message| Failure::new(Kind::InvalidOption, message))?;
        self.stream
            .start_tls(tls)
            .map_err(|error| io_failure(&error))
    }

    #[cfg(not(feature = "tls"))]
    fn start_tls(&mut self) -> Result<(), Failure> {
        let message = "TLS is asked for, and natsbridge is built without its feature `tls`";
        Err(Failure::new(Kind::InvalidOption, message))
    }

    /// Sends CONNECT, the subscriptions, and a PING whose answer says that all of it is accepted.
    fn send_connect(
        &mut self,
        info: &ServerInfo,
        is_encrypted: bool,
    ) -> Result<Vec<SubscriptionId>, Failure> {
        let mut out = Vec::new();
        let from = (&self.connection.options, &self.material.credentials);
        write_connect(&mut out, from, self.server, info, is_encrypted, sign)?;
        let subscribed = match self.purpose {
            Purpose::Connect => self.connection.state().append_subscriptions(&mut out),
            Purpose::Move => Vec::new(),
        };
        self.write_with_ping(out)?;
        Ok(subscribed)
    }

    fn write_with_ping(&mut self, mut out: Vec<u8>) -> Result<(), Failure> {
        protocol::ping(&mut out);
        self.link.connect_sent(self.connection.now());
        let written = self.stream.write_all(&out);
        written.map_err(|error| io_failure(&error))
    }

    /// Subscribes while the same subscriptions are served by the connection to leave, and waits until the
    /// server knows them. What comes for them stays unread until that connection has ended: that is the
    /// order of messages, and second copies can be told.
    fn subscribe_ahead(&mut self) -> Result<Vec<SubscriptionId>, Failure> {
        let mut out = Vec::new();
        let subscribed = {
            let mut state = self.connection.state();
            let State { session, link, .. } = &mut *state;
            if let Some(link) = link {
                session.start_move(link);
            }
            state.append_subscriptions(&mut out)
        };
        self.write_with_ping(out)?;
        let mut parser = Parser::new(Limits::default());
        let mut seen = 0;
        while self.input.len() < MAX_AHEAD {
            while seen < self.input.len() {
                let fed = parser.feed(&self.input[seen..], &|_| 0);
                let (used, op) =
                    fed.map_err(|error| Failure::new(Kind::Protocol, error.to_string()))?;
                seen += used;
                if op == Some(Op::Pong) {
                    return Ok(subscribed);
                }
            }
            self.fill()?;
        }
        Ok(subscribed)
    }

    /// Reads some bytes.
    fn fill(&mut self) -> Result<(), Failure> {
        let mut chunk = [0; 4096];
        let read = self.stream.read(&mut chunk);
        let count = read.map_err(|error| io_failure(&error))?;
        if count == 0 {
            return Err(io_failure(&io::ErrorKind::UnexpectedEof.into()));
        }
        self.input.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    /// Reads some bytes, unless there are any, and what they say.
    fn read(&mut self) -> Result<(), Failure> {
        if self.input.is_empty() {
            self.fill()?;
        }
        let now = self.connection.now();
        let mut state = self.connection.state();
        let fed = state.session.feed(&mut self.link, &self.input, now);
        match fed {
            Ok(used) => {
                self.input.drain(..used);
                Ok(())
            }
            Err(error) => Err(link_failure(&self.link, &error).into()),
        }
    }
}

/// What is read from files, at each round through the servers.
pub(super) struct Material {
    credentials: Credentials,
    #[cfg(feature = "tls")]
    tls: Arc<rustls::ClientConfig>,
}

impl Material {
    pub(super) fn load(options: &NatsOptions) -> Result<Self, Failure> {
        let invalid = |message| Failure::new(Kind::InvalidOption, message);
        let credentials = match &options.credentials {
            Credentials::File(path) => read_creds(path).map_err(invalid)?,
            credentials => credentials.clone(),
        };
        Ok(Self {
            credentials,
            #[cfg(feature = "tls")]
            tls: Arc::new(tls::config(options).map_err(invalid)?),
        })
    }
}

#[cfg(feature = "tls")]
fn read_creds(path: &Path) -> Result<Credentials, String> {
    let place = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| alloc::format!("{place} cannot be read: {error}"))?;
    let parsed = parse_creds(&text).map_err(|error| alloc::format!("{place}: {error}"))?;
    let (jwt, seed) = (parsed.0.to_string(), parsed.1.to_string());
    Ok(Credentials::Jwt { jwt, seed })
}

#[cfg(not(feature = "tls"))]
fn read_creds(_: &Path) -> Result<Credentials, String> {
    Err(CANNOT_SIGN.to_string())
}

#[cfg(feature = "tls")]
fn sign(seed: &str, nonce: &str) -> Result<(String, String), String> {
    tls::sign(seed, nonce).map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
fn sign(_: &str, _: &str) -> Result<(String, String), String> {
    Err(CANNOT_SIGN.to_string())
}
