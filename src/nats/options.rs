//! How to reach NATS servers, how long to wait for them, and how much memory to take.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
#[cfg(feature = "std")]
use std::path::PathBuf;

use crate::http::url::{parse_port, split_last, split_port};

/// The broker that is used where none is named.
pub const DEFAULT_BROKER_URL: &str = "nats://localhost:4222";
/// How long one step may block by default: a connect, a publish, its confirmation: 5 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The prefix of inboxes unless another one is set.
pub(crate) const DEFAULT_INBOX_PREFIX: &str = "_INBOX";
/// Buffers of a board are at least this long, in bytes: less would only make more of the same work.
const MIN_CHUNK_SIZE: usize = 64;

/// How to reach NATS servers, on hosts and on boards.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::NatsOptions;
///
/// let options = NatsOptions::new("nats://a.example:4222,nats://b.example:4222")
///     .name("sensor-7")
///     .user_password("sensor", "secret")
///     .connect_timeout(Duration::from_secs(2));
/// ```
#[derive(Clone)]
pub struct NatsOptions {
    pub(crate) servers: Vec<String>,
    pub(crate) keep_order: bool,
    pub(crate) use_announced: bool,
    pub(crate) name: Option<String>,
    pub(crate) credentials: Credentials,
    pub(crate) echo: bool,
    pub(crate) inbox_prefix: String,
    pub(crate) tls_required: bool,
    pub(crate) tls_first: bool,
    pub(crate) roots: Vec<Pem>,
    pub(crate) client_certificate: Option<(Pem, Pem)>,
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) max_pending: Option<usize>,
    pub(crate) max_message_size: Option<usize>,
    pub(crate) chunk_size: usize,
}

/// What a server may ask for.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// None, or those in the URL.
    InUrl,
    UserPassword(String, String),
    Token(String),
    Nkey(String),
    Jwt {
        jwt: String,
        seed: String,
    },
    /// A `.creds` file with a JWT and its seed.
    #[cfg(feature = "std")]
    File(PathBuf),
}

/// PEM text, or the file that holds it.
#[derive(Clone)]
pub(crate) enum Pem {
    Text(String),
    #[cfg(feature = "std")]
    File(PathBuf),
}

impl Default for NatsOptions {
    /// The server at [`DEFAULT_BROKER_URL`].
    fn default() -> Self {
        Self::new(DEFAULT_BROKER_URL)
    }
}

impl From<SocketAddr> for NatsOptions {
    /// The server at an address, without TLS.
    fn from(address: SocketAddr) -> Self {
        Self::new(&alloc::format!("nats://{address}"))
    }
}

/// Shows the servers without their users, passwords and tokens, and nothing of the other secrets.
impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsOptions")
            .field("servers", &self.public_url())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl NatsOptions {
    /// The servers at `urls`, one or several with commas between: `nats://host:port`,
    /// `tls://host:port` or `host:port`, port 4222 by default. User and password, or a token, may
    /// stand before the host; they end at the last `@`, and `%` with two hex digits stands for a
    /// byte. A comma in them must be written `%2C`.
    ///
    /// URLs are checked at the first connect.
    pub fn new(urls: &str) -> Self {
        let mut servers = Vec::new();
        for url in urls.split(',') {
            // Most clients have one.
            servers.reserve_exact(1);
            servers.push(url.trim_ascii().to_string());
        }
        Self {
            servers,
            keep_order: false,
            use_announced: true,
            name: None,
            credentials: Credentials::InUrl,
            echo: true,
            inbox_prefix: DEFAULT_INBOX_PREFIX.to_string(),
            tls_required: false,
            tls_first: false,
            roots: Vec::new(),
            client_certificate: None,
            connect_timeout: DEFAULT_TIMEOUT,
            timeout: DEFAULT_TIMEOUT,
            ping_interval: Duration::from_secs(30),
            max_pending: None,
            max_message_size: None,
            chunk_size: 512,
        }
    }

    /// Tries the servers in the order in which they are given, rather than in a random one, which
    /// spreads clients over a cluster. Default false.
    #[must_use]
    pub fn keep_order(mut self, keep_order: bool) -> Self {
        self.keep_order = keep_order;
        self
    }

    /// Whether to use the servers that a cluster announces, beside those that are given. They get the
    /// same credentials, and TLS if the announcing one has it. Default true.
    #[must_use]
    pub fn use_announced(mut self, use_announced: bool) -> Self {
        self.use_announced = use_announced;
        self
    }

    /// The name that the server shows for this client. Default: none.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_string());
        self
    }

    /// User and password, as they are. Default: those in the URL, if there are any.
    #[must_use]
    pub fn user_password(mut self, user: &str, password: &str) -> Self {
        self.credentials = Credentials::UserPassword(user.to_string(), password.to_string());
        self
    }

    /// A token, as it is. Default: the one in the URL, if there is one.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.credentials = Credentials::Token(token.to_string());
        self
    }

    /// The seed of a user's nkey, `SU...`, which signs what the server asks for. Needs feature `tls` on
    /// hosts, `nkeys` on boards.
    #[must_use]
    pub fn nkey(mut self, seed: &str) -> Self {
        self.credentials = Credentials::Nkey(seed.trim_ascii().to_string());
        self
    }

    /// A user JWT and the seed of its nkey, from memory. Needs feature `tls` on
    /// hosts, `nkeys` on boards.
    #[must_use]
    pub fn jwt(mut self, jwt: &str, seed: &str) -> Self {
        let (jwt, seed) = (jwt.trim_ascii().to_string(), seed.trim_ascii().to_string());
        self.credentials = Credentials::Jwt { jwt, seed };
        self
    }

    /// A `.creds` file with a user JWT and the seed of its nkey. It is read at each connect. Needs
    /// feature `tls`.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Credentials::File(path.into());
        self
    }

    /// Whether messages that this client publishes come to its own subscriptions too. Default true.
    #[must_use]
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// What inboxes start with, for accounts whose permissions keep them apart: tokens with dots
    /// between. Default `_INBOX`.
    #[must_use]
    pub fn inbox_prefix(mut self, prefix: &str) -> Self {
        self.inbox_prefix = prefix.to_string();
        self
    }

    /// Refuses a server without TLS. Default: TLS where the URL says `tls` or the server asks for it.
    #[must_use]
    pub fn tls_required(mut self, tls_required: bool) -> Self {
        self.tls_required = tls_required;
        self
    }

    /// Starts TLS before the server says anything, for servers with `handshake_first`. Implies
    /// [`tls_required`](Self::tls_required). Default false.
    #[must_use]
    pub fn tls_first(mut self, tls_first: bool) -> Self {
        self.tls_first = tls_first;
        self
    }

    /// Accepts servers whose certificate leads to one of these in a PEM file, and no others. It is read
    /// at each connect. Default: Mozilla's list.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn root_certificate(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots.push(Pem::File(path.into()));
        self
    }

    /// The same as [`root_certificate`](Self::root_certificate), from PEM text in memory.
    #[must_use]
    pub fn root_certificate_pem(mut self, pem: &str) -> Self {
        self.roots.push(Pem::Text(pem.to_string()));
        self
    }

    /// Shows this certificate to the server: PEM files of its chain and of its key.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((Pem::File(certificate.into()), Pem::File(key.into())));
        self
    }

    /// The same as [`client_certificate`](Self::client_certificate), from PEM text in memory.
    #[must_use]
    pub fn client_certificate_pem(mut self, certificate: &str, key: &str) -> Self {
        let (certificate, key) = (certificate.to_string(), key.to_string());
        self.client_certificate = Some((Pem::Text(certificate), Pem::Text(key)));
        self
    }

    /// How long a connect may take, from the look-up of names, with all servers tried. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may read nothing of what is written, or leave a PING without an answer, before
    /// it is given up. A write as a whole may take as long and one more second for each 65,536 bytes.
    /// Default 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long the server may be silent before a PING asks whether it is there. On a board it is
    /// measured in [`next`](crate::adapter::Broker::next) and [`flush`](crate::adapter::Broker::flush): nothing runs
    /// between calls. Default 30 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// How many bytes of messages may wait for `next`, in each clone of a client; those that come
    /// beyond are dropped, and reported as an error. One message may wait whatever its size. Default
    /// 67,108,864 on hosts, 16,384 on boards.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.max_pending = Some(bytes);
        self
    }

    /// A message of more bytes that arrives is dropped, and reported as an error. Default 67,108,864 on
    /// hosts, 1,048,576 on boards.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = Some(bytes);
        self
    }

    /// How many bytes a board moves at a time. Two buffers of this size are allocated at the first
    /// connect and kept. Default 512, at least 64.
    #[must_use]
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk_size = bytes.max(MIN_CHUNK_SIZE);
        self
    }

    /// The servers' URLs without users, passwords and tokens.
    pub fn public_url(&self) -> String {
        let mut urls = String::new();
        for url in &self.servers {
            urls.push_str(if urls.is_empty() { "" } else { "," });
            urls.push_str(&redacted_url(url));
        }
        urls
    }
}

/// A server's URL without user, password or token: for errors, logs and envelopes. What cannot be a host
/// and a port is left out: a password with a comma, of which [`NatsOptions::new`] makes two URLs, would
/// show in part.
pub(crate) fn redacted_url(url: &str) -> String {
    let (scheme, rest) = split_scheme(url);
    let authority = split_last(rest, b'@').map_or(rest, |(_, host)| host);
    let authority = before(authority, b"/?#");
    let shown = match split_port(authority) {
        Some((host, Some(port))) if parse_port(port).is_none() => host,
        _ => authority,
    };
    [scheme, "://", shown].concat()
}

/// The scheme of a server's URL, `nats` if it names none, and what stands behind it.
pub(crate) fn split_scheme(url: &str) -> (&str, &str) {
    let (scheme, rest) = given_scheme(url);
    (scheme.unwrap_or("nats"), rest)
}

/// The URLs of brokers, with commas between, as they may be printed and sent: without user names,
/// passwords and tokens.
pub(crate) fn redacted_brokers(urls: &str) -> String {
    let mut shown: Vec<(Option<&str>, &str)> = Vec::new();
    // A host before which a user name with a comma in it may begin.
    let mut open: Option<&str> = None;
    let mut left = Some(urls);
    while let Some(urls) = left {
        let (others, url) = split_last(urls, b',').unzip();
        left = others;
        let url = url.unwrap_or(urls);
        let (scheme, rest) = given_scheme(url);
        let (_, own_host) = split_last(rest, b'@').unwrap_or(("", rest));
        let host = open.unwrap_or(own_host);
        if scheme.is_none() && (open.is_some() || rest.contains('@')) {
            open = Some(host);
        } else {
            shown.push((scheme, host));
            open = None;
        }
    }
    shown.extend(open.map(|host| (None, host)));
    let mut text = String::new();
    for (place, (scheme, host)) in shown.iter().rev().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let (scheme, mark) = scheme.map_or(("", ""), |scheme| (scheme, "://"));
        text.extend([comma, scheme, mark, before(host, b"?#")]);
    }
    text
}

/// What stands before `://`, if it can be a scheme, and what stands behind it.
fn given_scheme(url: &str) -> (Option<&str>, &str) {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b" +.-".contains(&byte);
    match rest.strip_prefix("//") {
        Some(rest) if scheme.bytes().all(is_scheme) => (Some(scheme), rest),
        _ => (None, url),
    }
}

/// What stands before the first of these bytes, which are ASCII characters. A search for a text would
/// take 1 KB of a board's flash.
fn before<'a>(text: &'a str, any: &[u8]) -> &'a str {
    let end = text.bytes().position(|byte| any.contains(&byte));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_named_without_secrets() {
        for (urls, shown) in [
            ("nats://localhost:4222", "nats://localhost:4222"),
            ("nats://u:p@h:4222", "nats://h:4222"),
            ("tls://token@h", "tls://h"),
            ("u:p@ss@h:4222", "h:4222"),
            ("nats://u:p/w@h", "nats://h"),
            ("nats://u:p@a,tls://u:p@b:1", "nats://a,tls://b:1"),
            ("a:1,b:2", "a:1,b:2"),
            ("nats://a, nats://b", "nats://a, nats://b"),
            (",a,", ",a,"),
            ("nats://u:p,w,x@h", "nats://h"),
            ("nats://u:http://p@h", "nats://h"),
            ("ws://h/path?token=t", "ws://h/path"),
            ("nats://温度:4222", "nats://温度:4222"),
            ("", ""),
        ] {
            assert_eq!(redacted_brokers(urls), shown, "{urls}");
        }
    }
}
