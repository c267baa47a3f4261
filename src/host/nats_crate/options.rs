//! How to reach a NATS server, and how long to wait for it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use std::io;
use std::path::PathBuf;

use crate::nats::{DEFAULT_BROKER_URL, DEFAULT_TIMEOUT};

/// How to reach a NATS server.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::host::{NatsClient, NatsOptions};
///
/// let options = NatsOptions::new("tls://a.example:4222,tls://b.example:4222")
///     .name("sensor-7")
///     .user_password("sensor", "secret")
///     .root_certificate("ca.pem")
///     .connect_timeout(Duration::from_secs(2));
/// let client = NatsClient::new(options); // connects when it is first needed
/// ```
#[derive(Clone)]
pub struct NatsOptions {
    pub(super) servers: Vec<String>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) max_pending: usize,
    pub(super) ping_interval: Duration,
    name: Option<String>,
    credentials: Credentials,
    tls_required: bool,
    root_certificates: Vec<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone)]
enum Credentials {
    /// None, or those in the URL.
    InUrl,
    UserPassword(String, String),
    Token(String),
    File(PathBuf),
}

impl Default for NatsOptions {
    /// The server at [`DEFAULT_BROKER_URL`].
    fn default() -> Self {
        Self::new(DEFAULT_BROKER_URL)
    }
}

impl NatsOptions {
    /// The servers at `urls`, one or several with commas between: `nats://host:port`,
    /// `tls://host:port` or `host:port`, port 4222 by default; user and password, or a token, may
    /// stand before the host. They are tried in this order.
    pub fn new(urls: &str) -> Self {
        let servers = urls.split(',').map(|url| url.trim().to_string());
        Self {
            servers: servers.collect(),
            connect_timeout: DEFAULT_TIMEOUT,
            timeout: DEFAULT_TIMEOUT,
            max_pending: 64 << 20,
            ping_interval: Duration::from_secs(30),
            name: None,
            credentials: Credentials::InUrl,
            tls_required: false,
            root_certificates: Vec::new(),
            client_certificate: None,
        }
    }

    /// The name that the server shows for this client. Default: none.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_string());
        self
    }

    /// Credentials that the server asks for.
    #[must_use]
    pub fn user_password(mut self, user: &str, password: &str) -> Self {
        self.credentials = Credentials::UserPassword(user.to_string(), password.to_string());
        self
    }

    /// A token that the server asks for.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.credentials = Credentials::Token(token.to_string());
        self
    }

    /// A `.creds` file with a JWT and its key. It is read at each connect.
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Credentials::File(path.into());
        self
    }

    /// Refuses a server without TLS. Default: TLS where the URL says `tls` or the server asks.
    #[must_use]
    pub fn tls_required(mut self, tls_required: bool) -> Self {
        self.tls_required = tls_required;
        self
    }

    /// Accepts servers whose certificate leads to this one, in a PEM file. The system's own are not
    /// accepted then.
    #[must_use]
    pub fn root_certificate(mut self, path: impl Into<PathBuf>) -> Self {
        self.root_certificates.push(path.into());
        self
    }

    /// Shows this certificate to the server: PEM files of it and of its key.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// How long a connect may take, with all servers tried. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long handing over a publish, subscribe or unsubscribe may take. Default 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes of messages may wait to be taken by `next`. Those that come beyond are
    /// dropped, and told as an error. Default 67,108,864.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.max_pending = bytes;
        self
    }

    /// After how long without a sign of life `next` asks whether the server is still there. The
    /// answer may take [`timeout`](Self::timeout). Default 30 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// The `nats` crate's options for one connection, without callbacks.
    pub(super) fn to_crate(&self) -> nats::Options {
        let mut options = match &self.credentials {
            Credentials::InUrl => nats::Options::new(),
            Credentials::UserPassword(user, password) => {
                nats::Options::with_user_pass(user, password)
            }
            Credentials::Token(token) => nats::Options::with_token(token),
            Credentials::File(path) => nats::Options::with_credentials(path),
        };
        if let Some(name) = &self.name {
            options = options.with_name(name);
        }
        for path in &self.root_certificates {
            options = options.add_root_certificate(path);
        }
        if let Some((certificate, key)) = &self.client_certificate {
            options = options.client_cert(certificate, key);
        }
        options.tls_required(self.tls_required)
    }

    /// Files are named here rather than in the crate's bare error of the operating system.
    pub(super) fn check_files(&self) -> Result<(), (PathBuf, io::Error)> {
        let credentials = match &self.credentials {
            Credentials::File(path) => Some(path),
            _ => None,
        };
        let certificate = self
            .client_certificate
            .iter()
            .flat_map(|(cert, key)| [cert, key]);
        let mut files = credentials
            .into_iter()
            .chain(&self.root_certificates)
            .chain(certificate);
        files.try_for_each(|path| match std::fs::File::open(path) {
            Ok(_) => Ok(()),
            Err(error) => Err((path.clone(), error)),
        })
    }
}

/// A server's URL without user, password or token: for errors, logs and envelopes.
pub(super) fn without_credentials(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("nats", url),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    alloc::format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        for (url, shown) in [
            ("nats://user:secret@h:4222", "nats://h:4222"),
            ("tls://token@h", "tls://h"),
            ("h:4222", "nats://h:4222"),
            ("u:p@ss@h:4222", "nats://h:4222"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
