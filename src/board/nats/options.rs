//! How to reach a NATS server, how long to wait for it, and how much memory it may take.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::http::url::{parse_port, split_port, split_scheme};
use crate::nats::{DEFAULT_BROKER_URL, DEFAULT_MAX_PAYLOAD, DEFAULT_TIMEOUT};

/// The only scheme; a URL need not name it.
const DEFAULT_SCHEME: &str = "nats";
/// The port of a server whose URL names none.
const DEFAULT_PORT: u16 = 4222;
/// Less would only make more of the same work.
const MIN_CHUNK_SIZE: usize = 64;

/// How to reach a NATS server from a board.
///
/// ```
/// use core::time::Duration;
/// use natsbridge::board::NatsOptions;
///
/// let options = NatsOptions::new("nats://10.0.2.2:4222")
///     .name("sensor-7")
///     .user_password("sensor", "secret")
///     .connect_timeout(Duration::from_secs(2))
///     .max_message_size(80_000);
/// ```
#[derive(Clone)]
pub struct NatsOptions {
    url: String,
    pub(super) name: Option<String>,
    credentials: Credentials<String>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) ping_interval: Duration,
    pub(super) chunk_size: usize,
    pub(super) max_message_size: usize,
    pub(super) max_pending: usize,
}

/// What a server may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials<T> {
    None,
    UserPassword(T, T),
    Token(T),
}

/// A URL of a server, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) credentials: Credentials<&'a str>,
}

impl Default for NatsOptions {
    /// The server at [`DEFAULT_BROKER_URL`], whose name only a stack with DNS finds.
    fn default() -> Self {
        Self::new(DEFAULT_BROKER_URL)
    }
}

impl From<SocketAddr> for NatsOptions {
    /// The server at an address.
    fn from(address: SocketAddr) -> Self {
        Self::new(&format!("nats://{address}"))
    }
}

impl NatsOptions {
    /// The server at `url`: `nats://host:port` or `host:port`, port 4222 by default; user and
    /// password, or a token, may stand before the host. The host is an IP address, or a name if
    /// the client may [look it up](super::NatsClient::with_dns). There is no TLS.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_string(),
            name: None,
            credentials: Credentials::None,
            connect_timeout: DEFAULT_TIMEOUT,
            timeout: DEFAULT_TIMEOUT,
            ping_interval: Duration::from_secs(30),
            chunk_size: 512,
            max_message_size: DEFAULT_MAX_PAYLOAD,
            max_pending: 16 << 10,
        }
    }

    /// The name that the server shows for this client. Default: none.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_string());
        self
    }

    /// Credentials that the server asks for. Default: those in the URL, if there are any.
    #[must_use]
    pub fn user_password(mut self, user: &str, password: &str) -> Self {
        self.credentials = Credentials::UserPassword(user.to_string(), password.to_string());
        self
    }

    /// A token that the server asks for. Default: the one in the URL, if there is one.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.credentials = Credentials::Token(token.to_string());
        self
    }

    /// How long a connect may take, from the look-up of the name until the server has answered.
    /// Default 5 s.
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

    /// How long the server may be silent before it is asked whether it is there. Asked twice in
    /// vain, the connection is lost: after three times this long. It is measured in
    /// [`next`](crate::Broker::next) and [`flush`](crate::Broker::flush); nothing runs between
    /// calls. Default 30 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// How many bytes are moved at a time. Two buffers of this size are taken at the first connect
    /// and kept. Default 512, at least 64.
    #[must_use]
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk_size = bytes.max(MIN_CHUNK_SIZE);
        self
    }

    /// A message of more bytes that arrives is dropped, and told as an error. Memory is taken when
    /// a message comes, and its lack is told in the same way. Default 1,048,576.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// How many bytes of messages may wait that arrive while something else is waited for, a
    /// confirmation for example; those that come beyond are dropped, and told as an error. One
    /// message may wait whatever its size. Default 16,384.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.max_pending = bytes;
        self
    }

    /// The URL, taken apart.
    pub(super) fn server(&self) -> Result<Server<'_>, &'static str> {
        parse(&self.url)
    }

    /// The credentials to use.
    pub(super) fn credentials(&self) -> Credentials<&str> {
        match &self.credentials {
            Credentials::None => parse(&self.url).map_or(Credentials::None, |url| url.credentials),
            Credentials::UserPassword(user, password) => Credentials::UserPassword(user, password),
            Credentials::Token(token) => Credentials::Token(token),
        }
    }

    /// The URL without user, password or token: for errors, logs and envelopes.
    pub(super) fn shown(&self) -> Shown<'_> {
        Shown(&self.url)
    }
}

/// A URL without its secrets.
pub(super) struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = split_scheme(self.0).unwrap_or((DEFAULT_SCHEME, self.0));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        write!(f, "{scheme}://{host}")
    }
}

fn parse(url: &str) -> Result<Server<'_>, &'static str> {
    let (scheme, rest) = split_scheme(url).unwrap_or((DEFAULT_SCHEME, url));
    match scheme {
        DEFAULT_SCHEME => {}
        "tls" => return Err("it asks for TLS, which this client does not have"),
        _ => return Err("its scheme is not `nats`"),
    }
    let (credentials, authority) = match rest.rsplit_once('@') {
        None => (Credentials::None, rest),
        Some((given, authority)) => match given.split_once(':') {
            Some((user, password)) => (Credentials::UserPassword(user, password), authority),
            None => (Credentials::Token(given), authority),
        },
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = split_port(authority).ok_or("its host cannot be read")?;
    let port = match port {
        Some(digits) => parse_port(digits).ok_or("its port cannot be read")?,
        None => DEFAULT_PORT,
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    Ok(Server {
        host,
        port,
        credentials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let none = Credentials::None;
        let pair = |user, password| Credentials::UserPassword(user, password);
        for (url, host, port, credentials) in [
            ("nats://10.0.2.2:4223", "10.0.2.2", 4223, none),
            ("h", "h", 4222, none),
            ("nats://h/", "h", 4222, none),
            ("[::1]:1", "[::1]", 1, none),
            ("nats://me:p@ss@h:1", "h", 1, pair("me", "p@ss")),
            ("token@h", "h", 4222, Credentials::Token("token")),
        ] {
            let options = NatsOptions::new(url);
            let server = options.server().unwrap();
            assert_eq!((server.host, server.port), (host, port), "{url}");
            assert_eq!(server.credentials, credentials, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        for (url, fault) in [
            ("tls://h", "TLS"),
            ("http://h", "scheme"),
            ("nats://h:x", "port"),
            ("nats://[::1", "host"),
            ("nats://", "names no host"),
            ("nats://:4222", "names no host"),
        ] {
            let told = NatsOptions::new(url).server().unwrap_err();
            assert!(told.contains(fault), "{url}: {told}");
        }
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        for (url, shown) in [
            ("nats://user:secret@h:4222", "nats://h:4222"),
            ("u:p@ss@h:4222", "nats://h:4222"),
            ("token@h", "nats://h"),
        ] {
            assert_eq!(NatsOptions::new(url).shown().to_string(), shown);
        }
        let address = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 7));
        let options = NatsOptions::from(address);
        assert_eq!(options.shown().to_string(), "nats://[::1]:7");
    }

    #[test]
    fn given_credentials_win_over_those_in_the_url() {
        let options = NatsOptions::new("a:b@h");
        assert_eq!(options.credentials(), Credentials::UserPassword("a", "b"));
        let options = options.token("t");
        assert_eq!(options.credentials(), Credentials::Token("t"));
    }
}
