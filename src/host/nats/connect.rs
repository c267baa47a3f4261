//! How a connection is made: one server after the other, from the look-up of its name to its first PONG.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Instant;

use super::connection::{Connection, State};
use super::failure::{Failure, NO_ANSWER, io_failure, join};
use super::handshake::{Established, Handshake, Material, Purpose};
use super::stream::Stream;
use crate::nats::BrokerErrorKind as Kind;
use crate::nats::servers::{Server, Servers};
use crate::nats::session::Link;
use crate::platform::deadline_after;

/// What a round leaves of the time of a caller, at most.
const LEFT_FOR_REPORT: Duration = Duration::from_millis(100);

/// A round ends a little before the time of the caller who waits for it, so that the caller can say which
/// servers failed and why.
fn round_limit(connect_timeout: Duration) -> Duration {
    connect_timeout - (connect_timeout / 10).min(LEFT_FOR_REPORT)
}

impl Connection {
    /// Tries each server once.
    pub(super) fn connect_round(&self, purpose: Purpose) -> Result<Established, Failure> {
        let servers = self.servers()?;
        let material = Material::load(&self.options)?;
        let deadline = deadline_after(round_limit(self.options.connect_timeout));
        let mut failures = Vec::new();
        for (tried, server) in servers.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(servers.len() - tried).unwrap_or(u32::MAX);
            let unanswered = Failure::new(Kind::Unreachable, NO_ANSWER);
            failures.push((server.url.clone(), unanswered));
            if purpose == Purpose::Connect {
                // For callers whose time ends before the round does.
                self.state().round.clone_from(&failures);
            }
            let made = self.connect_to(server, purpose, &material, deadline_after(share));
            match (made, failures.last_mut()) {
                (Ok(established), _) => return Ok(established),
                (Err(failure), Some((_, why))) => *why = failure,
                (Err(_), None) => {}
            }
            if self.state().is_closed {
                break;
            }
        }
        Err(join(&failures))
    }

    /// The servers to try, in their order.
    fn servers(&self) -> Result<Vec<Server>, Failure> {
        let mut state = self.state();
        if state.servers.is_none() {
            let parsed = Servers::new(&self.options);
            let mut servers =
                parsed.map_err(|error| Failure::new(Kind::InvalidOption, error.to_string()))?;
            servers.shuffle(random);
            state.servers = Some(servers);
        }
        Ok(state
            .servers
            .iter()
            .flat_map(Servers::iter)
            .cloned()
            .collect())
    }

    /// Connects to a server that is not about to close.
    pub(super) fn connect_to_another(&self) -> Result<Established, Failure> {
        {
            let mut state = self.state();
            let State { link, servers, .. } = &mut *state;
            if let (Some(link), Some(servers)) = (link, servers) {
                servers.try_last(&link.url);
            }
        }
        self.connect_round(Purpose::Move)
    }

    fn connect_to(
        &self,
        server: &Server,
        purpose: Purpose,
        material: &Material,
        deadline: Instant,
    ) -> Result<Established, Failure> {
        let tcp = open(server, deadline)?;
        let stream = Stream::new(tcp, deadline).map_err(|error| io_failure(&error))?;
        let options = &self.options;
        let link = Link::new(
            server.url.clone(),
            options.ping_interval,
            options.timeout,
            self.now(),
        );
        let mut handshake = Handshake {
            connection: self,
            server,
            purpose,
            material,
            stream,
            link,
            input: Vec::new(),
        };
        let subscribed = handshake.run()?;
        Ok(Established {
            stream: handshake.stream,
            link: handshake.link,
            subscribed,
            rest: handshake.input,
        })
    }
}

/// Looks a name up and connects to the first of its addresses that accepts. The look-up itself is the
/// operating system's, and has its time limit.
fn open(server: &Server, deadline: Instant) -> Result<TcpStream, Failure> {
    let unreachable = |message: String| Failure::new(Kind::Unreachable, message);
    let addresses = (server.host.as_str(), server.port).to_socket_addrs();
    let addresses: Vec<SocketAddr> = match addresses {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(unreachable(alloc::format!(
                "the host cannot be looked up: {error}"
            )));
        }
    };
    let mut failure = unreachable("the host has no address".to_string());
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        // Zero is not a time limit that the operating system takes.
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failure = io_failure(&error),
        }
    }
    Err(failure)
}

/// Any number: it only spreads clients over servers and over time.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).ok();
    u32::from_le_bytes(bytes)
}
