//! The servers of a client, and when to try them again.

use alloc::string::String;
use core::time::Duration;

use crate::nats::handshake::failure;
use crate::nats::servers::Servers;
use crate::nats::{BrokerError, BrokerErrorKind as Kind};
use crate::net::deadline::Moment;

/// The first pause between two rounds through all servers; each further one is twice as long.
const FIRST_BACKOFF_MS: u32 = 50;
/// The longest pause between two rounds; up to half of it is left out at random.
const MAX_BACKOFF_MS: u32 = 1000;

/// The servers, and when to try them again.
pub(super) struct Rounds {
    /// Parsed at the first connect.
    pub(super) servers: Option<Servers>,
    backoff_ms: u32,
    pub(super) not_before: Moment,
    /// Why the last round failed.
    failure: Option<BrokerError>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        Self {
            servers: None,
            backoff_ms: FIRST_BACKOFF_MS,
            not_before: Moment::from_millis(0),
            failure: None,
        }
    }

    pub(super) fn try_last(&mut self, url: &str) {
        if let Some(servers) = &mut self.servers {
            servers.try_last(url);
        }
    }

    pub(super) fn announced(&mut self, addresses: &[String], from: &str) {
        if let Some(servers) = &mut self.servers {
            servers.announced(addresses, from);
        }
    }

    pub(super) fn failure(&self) -> BrokerError {
        match &self.failure {
            Some(error) => error.copy(),
            None => failure(Kind::Unreachable, format_args!("there is no connection")),
        }
    }

    /// The next round does not wait, because the caller asks for it.
    pub(super) fn start_now(&mut self) {
        self.not_before = Moment::from_millis(0);
    }

    pub(super) fn has_several(&self) -> bool {
        let servers = self.servers.as_ref();
        servers.is_some_and(|servers| servers.iter().nth(1).is_some())
    }

    pub(super) fn succeeded(&mut self) {
        (self.backoff_ms, self.failure) = (FIRST_BACKOFF_MS, None);
    }

    pub(super) fn failed(&mut self, error: &BrokerError, now: Moment, random: u32) {
        if !error.is_transient() {
            self.backoff_ms = MAX_BACKOFF_MS;
        }
        let jitter = self.backoff_ms * (random % 256) / 512;
        let pause = u64::from(self.backoff_ms - jitter);
        self.not_before = now.after(Duration::from_millis(pause));
        self.backoff_ms = (self.backoff_ms * 2).min(MAX_BACKOFF_MS);
        self.failure = Some(error.copy());
    }
}

/// The failures of a round through all servers, as one: `all`, if there are any, and that of the server at
/// `url`. Only what is wrong with all of them is not a matter of time.
pub(super) fn join(all: Option<BrokerError>, url: &str, error: &BrokerError) -> BrokerError {
    match all {
        None => failure(
            error.kind(),
            format_args!("no connection to {url}: {error}"),
        ),
        Some(all) => {
            let is_one = all.kind() == error.kind();
            let kind = if is_one {
                all.kind()
            } else {
                Kind::Unreachable
            };
            failure(kind, format_args!("{all}; {url}: {error}"))
        }
    }
}
