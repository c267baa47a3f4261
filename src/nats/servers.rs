//! The servers that a client may connect to: those that were given, and those that a cluster announces.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::options::{NatsOptions, redacted_url, split_scheme};
use crate::address::parse_ip;
use crate::http::url::{bare_host, parse_port, split_last, split_port};
use crate::percent::decode;

/// The port of a server whose URL names none.
const DEFAULT_PORT: u16 = 4222;

/// A server's URL, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// The URL without secrets.
    pub(crate) url: String,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// The name that its certificate must have.
    pub(crate) tls_name: String,
    pub(crate) credentials: UrlCredentials,
    /// A cluster has announced it; nobody has named it.
    is_announced: bool,
}

/// What a URL has before its host.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum UrlCredentials {
    None,
    UserPassword(String, String),
    Token(String),
}

/// A URL that cannot be used, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url} cannot be used: {fault}")]
pub(crate) struct UrlError {
    /// The URL without secrets.
    pub(crate) url: String,
    fault: &'static str,
}

/// The list, and the one to try next.
pub(crate) struct Servers {
    list: Vec<Server>,
    use_announced: bool,
    keep_order: bool,
}

impl Servers {
    /// # Errors
    /// A URL cannot be used.
    pub(crate) fn new(options: &NatsOptions) -> Result<Self, UrlError> {
        let parse = |url: &String| parse(url, options.tls_required || options.tls_first);
        let mut list = Vec::with_capacity(options.servers.len());
        for server in options.servers.iter().map(parse) {
            list.push(server?);
        }
        Ok(Self {
            list,
            use_announced: options.use_announced,
            keep_order: options.keep_order,
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Server> {
        self.list.iter()
    }

    /// Puts the servers into a random order, unless they are to keep theirs. `random` returns any number.
    pub(crate) fn shuffle(&mut self, mut random: impl FnMut() -> u32) {
        if self.keep_order {
            return;
        }
        for last in (1..self.list.len()).rev() {
            let other = random() as usize % (last + 1);
            self.list.swap(last, other);
        }
    }

    /// Moves a server to the end: it was lost, or is about to close its connections.
    pub(crate) fn try_last(&mut self, url: &str) {
        if let Some(place) = self.list.iter().position(|server| server.url == url) {
            let server = self.list.remove(place);
            self.list.push(server);
        }
    }

    /// Takes the servers that the one at `from` announces, as `host:port`, instead of those that were
    /// announced before.
    pub(crate) fn announced(&mut self, addresses: &[String], from: &str) {
        if !self.use_announced || addresses.is_empty() {
            return;
        }
        let Some(from) = self.list.iter().find(|server| server.url == from).cloned() else {
            return;
        };
        let scheme = if from.tls { "tls://" } else { "nats://" };
        let urls = addresses.iter().map(|address| [scheme, address].concat());
        let added = urls.filter_map(|url| parse(&url, from.tls).ok());
        let added: Vec<Server> = added.collect();
        self.list.retain(|known| {
            let is_kept = !known.is_announced || known.url == from.url;
            is_kept || added.iter().any(|server| server.is_at_same_address(known))
        });
        for mut server in added {
            if self
                .list
                .iter()
                .any(|known| known.is_at_same_address(&server))
            {
                continue;
            }
            if parse_ip(&server.host).is_some() {
                // Certificates of a cluster seldom have addresses in them.
                server.tls_name.clone_from(&from.tls_name);
            }
            server.credentials.clone_from(&from.credentials);
            server.is_announced = true;
            self.list.push(server);
        }
    }
}

impl Server {
    fn is_at_same_address(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

fn parse(url: &str, tls_required: bool) -> Result<Server, UrlError> {
    let error = |fault| UrlError {
        url: redacted_url(url),
        fault,
    };
    let (scheme, rest) = split_scheme(url);
    let tls = match scheme {
        "nats" => tls_required,
        "tls" => true,
        _ => return Err(error("its scheme is not `nats` or `tls`")),
    };
    let (credentials, authority) = match split_last(rest, b'@') {
        None => (UrlCredentials::None, rest),
        Some((given, authority)) => {
            let decode = |text| {
                decode(text).ok_or(error("`%` in its credentials must be followed by two hex digits of UTF-8; write `%` itself as `%25`"))
            };
            let credentials = match given.split_once(':') {
                Some((user, password)) => {
                    UrlCredentials::UserPassword(decode(user)?, decode(password)?)
                }
                None => UrlCredentials::Token(decode(given)?),
            };
            (credentials, authority)
        }
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = split_port(authority).ok_or(error("its host cannot be read"))?;
    let port = match port {
        Some(digits) => {
            parse_port(digits).ok_or(error("its port is not a number from 1 to 65535"))?
        }
        None => DEFAULT_PORT,
    };
    let host = bare_host(host);
    if host.is_empty() {
        return Err(error("it names no host"));
    }
    if host.contains(['/', '?', '#', ' ']) {
        return Err(error("its host cannot be read"));
    }
    Ok(Server {
        url: redacted_url(url),
        host: host.to_string(),
        port,
        tls,
        tls_name: host.to_string(),
        credentials,
        is_announced: false,
    })
}

/// Percent-decoding (RFC 3986 section 2.1) of a user, password or token.
#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn server(url: &str) -> Server {
        parse(url, false).unwrap()
    }

    fn hosts(servers: &Servers) -> Vec<String> {
        let one = |server: &Server| format!("{}:{}", server.host, server.port);
        servers.list.iter().map(one).collect()
    }

    fn servers(urls: &str) -> Servers {
        Servers::new(&NatsOptions::new(urls).keep_order(true))
            .ok()
            .unwrap()
    }

    #[test]
    fn urls_are_taken_apart() {
        let pair =
            |user: &str, password: &str| UrlCredentials::UserPassword(user.into(), password.into());
        let token = |token: &str| UrlCredentials::Token(token.into());
        for (url, host, port, tls, credentials) in [
            (
                "nats://10.0.2.2:4223",
                "10.0.2.2",
                4223,
                false,
                UrlCredentials::None,
            ),
            ("h", "h", 4222, false, UrlCredentials::None),
            ("tls://h/", "h", 4222, true, UrlCredentials::None),
            ("[::1]:1", "::1", 1, false, UrlCredentials::None),
            ("nats://me:p@ss@h:1", "h", 1, false, pair("me", "p@ss")),
            (
                "nats://me:a%20b%25%C3%BC%2f@h",
                "h",
                4222,
                false,
                pair("me", "a b%ü/"),
            ),
            ("me:a://b@h", "h", 4222, false, pair("me", "a://b")),
            ("tok%3aen@h", "h", 4222, false, token("tok:en")),
        ] {
            let server = server(url);
            assert_eq!(
                (&*server.host, server.port, server.tls),
                (host, port, tls),
                "{url}"
            );
            assert!(
                server.credentials == credentials,
                "{url}: {:?}",
                server.credentials
            );
        }
        assert!(parse("nats://h", true).unwrap().tls);
    }

    #[test]
    fn what_cannot_be_used_is_an_error_without_secrets() {
        for (url, fault) in [
            ("http://u:secret@h", "scheme"),
            ("nats://u:secret@h:x", "port"),
            ("nats://u:secret@h:0", "port"),
            ("nats://u:secret@[::1", "host"),
            ("nats://u@h/secret", "host cannot be read"),
            ("nats://h?token=secret", "host cannot be read"),
            ("nats://h:1?token=secret", "port"),
            ("nats://u:secret", "port"),
            ("nats://u:secret@", "names no host"),
            ("nats://u:secret@:4222", "names no host"),
            ("nats://u:secret%4@h", "two hex digits"),
            ("nats://u:secret%zz@h", "two hex digits"),
            ("nats://u:secret%ff@h", "two hex digits"),
        ] {
            let error = parse(url, false).err().unwrap().to_string();
            assert!(
                error.contains(fault) && !error.contains("secret"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn announced_servers_replace_those_announced_before() {
        let mut servers = servers("tls://u:p@a.example:1");
        let from = servers.list[0].url.clone();
        let announce = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        servers.announced(
            &announce(&["a.example:1", "10.0.0.2:2", "b:3", "b:3", "b:x"]),
            &from,
        );
        assert_eq!(hosts(&servers), ["a.example:1", "10.0.0.2:2", "b:3"]);
        assert_eq!(servers.list[1].tls_name, "a.example");
        assert_eq!(servers.list[2].tls_name, "b");
        assert!(servers.list.iter().all(|server| server.tls));
        let same = |server: &Server| server.credentials == servers.list[0].credentials;
        assert!(servers.list.iter().all(same));
        servers.announced(&announce(&["b:3", "c:4"]), &from);
        assert_eq!(hosts(&servers), ["a.example:1", "b:3", "c:4"]);
        // An INFO without a list says nothing about the cluster.
        servers.announced(&[], &from);
        assert_eq!(servers.list.len(), 3);
        servers.announced(&announce(&["z:1"]), "nats://unknown");
        assert_eq!(servers.list.len(), 3);
        servers.try_last(&from);
        assert_eq!(hosts(&servers), ["b:3", "c:4", "a.example:1"]);
    }

    #[test]
    fn order_is_random_unless_it_is_to_be_kept() {
        let mut kept = servers("a,b,c,d");
        kept.shuffle(|| 0);
        assert_eq!(hosts(&kept), ["a:4222", "b:4222", "c:4222", "d:4222"]);
        let mut shuffled = Servers::new(&NatsOptions::new("a,b,c,d")).ok().unwrap();
        shuffled.shuffle(|| 0);
        assert_eq!(hosts(&shuffled), ["b:4222", "c:4222", "d:4222", "a:4222"]);
    }
}
