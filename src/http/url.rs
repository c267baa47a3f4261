//! URLs, taken apart and shown.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::address::parse_v6;
use crate::json::number::decimal;
use crate::trace::{Escaped, start_of};

/// The parts of an absolute `http` or `https` URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub(crate) is_https: bool,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
}

impl<'a> Url<'a> {
    /// Takes a URL apart. Deliberately narrower than RFC 3986: what two parsers could understand
    /// differently (user names, backslashes, escapes in the host, white space) is no URL here.
    pub(crate) fn parse(url: &'a str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if !url.bytes().all(is_plain) {
            return None;
        }
        let (scheme, rest) = split_scheme(url)?;
        let is_https = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(digits) => parse_port(digits)?,
            None if is_https => 443,
            None => 80,
        };
        is_host(host).then_some(Self {
            is_https,
            host,
            port,
        })
    }

    /// Its origin as a URL, with the port if it is not the scheme's own.
    pub(crate) fn origin(&self) -> String {
        let (scheme, usual) = match self.is_https {
            true => ("https", 443),
            false => ("http", 80),
        };
        match self.port {
            port if port == usual => format!("{scheme}://{}", self.host),
            port => format!("{scheme}://{}:{port}", self.host),
        }
    }

    /// Whether both are at the same scheme, host and port.
    pub(crate) fn same_origin(&self, other: &Url<'_>) -> bool {
        self.is_https == other.is_https
            && self.port == other.port
            && self.host.eq_ignore_ascii_case(other.host)
    }
}

/// A URL as errors and trace lines show it: its first 200 bytes, without user name and password, and without what stands
/// behind a `?` or `#`, where signatures and tokens are. It need not be a URL that [`Url`] reads.
pub(crate) struct RedactedUrl<'a>(pub(crate) &'a str);

impl fmt::Display for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0;
        // What cannot be taken apart may have a password with a `/`, `?` or `#` in it.
        let (hidden, rest) = match split_last(url, b'@') {
            Some(parts) if Url::parse(url).is_none() => parts,
            _ => ("", url),
        };
        if let Some((scheme, _)) = split_scheme(hidden) {
            write!(f, "{}://", Escaped(start_of(scheme)))?;
        }
        let public = rest.split(['?', '#']).next().unwrap_or_default();
        let shown = start_of(public);
        write!(f, "{}", Escaped(shown))?;
        f.write_str(
            match (shown.len() < public.len(), public.len() < rest.len()) {
                (true, _) => "...",
                (false, true) => "?...",
                (false, false) => "",
            },
        )
    }
}

impl fmt::Debug for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Whether there is a user name, or a password, before the host. Such a URL cannot be used here:
/// credentials are options of a client, and must not be in what is logged or sent on.
pub(crate) fn has_userinfo(url: &str) -> bool {
    let rest = split_scheme(url).map_or(url, |(_, rest)| rest);
    Url::parse(url).is_none() && rest.contains('@')
}

/// What stands before the last `mark`, which is an ASCII character, and behind it. [`str::rsplit_once`] would
/// take 0.4 KB of a board's flash.
pub(crate) fn split_last(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = text.bytes().rposition(|byte| byte == mark)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What stands before `://`, and behind it.
pub(crate) fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

pub(crate) fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let host_len = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(host_len)?;
    match port {
        "" => Some((host, None)),
        _ => Some((host, Some(port.strip_prefix(':')?))),
    }
}

/// A host as it is in a certificate, and as an address is parsed: without the brackets of an IPv6
/// address in a URL.
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) fn bare_host(host: &str) -> &str {
    let bare = host.strip_prefix('[');
    bare.and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

pub(crate) fn parse_port(digits: &str) -> Option<u16> {
    let port = u16::try_from(decimal(digits.as_bytes())?).ok()?;
    (port != 0).then_some(port)
}

fn is_host(host: &str) -> bool {
    match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => parse_v6(address).is_some(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, is_https, host, port) in [
            ("http://localhost:8080", false, "localhost", 8080),
            ("http://h", false, "h", 80),
            (
                "HTTPS://Files.example/a?b=\"c\"#d",
                true,
                "Files.example",
                443,
            ),
            ("http://10.0.2.2:80/x", false, "10.0.2.2", 80),
            ("http://[::1]:8080/x", false, "[::1]", 8080),
            ("http://[::1]?x", false, "[::1]", 80),
        ] {
            let expected = Url {
                is_https,
                host,
                port,
            };
            assert_eq!(Url::parse(url), Some(expected), "{url}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_no_url() {
        for url in [
            "",
            "localhost:8080",
            "file:///etc/passwd",
            "ftp://h/",
            "http://",
            "http:///path",
            "http://user@host/",
            "http://host@evil/",
            "http://host\\@evil/",
            "http://h o/",
            "http://h/a b",
            "http://h/a\r\nX: y",
            "http://h:/",
            "http://h:0/",
            "http://h:+80/",
            "http://h:65536/",
            "http://h:80:80/",
            "http://[::1/",
            "http://[::1]80/",
            "http://[h]/",
            "http://%6c/",
            "http://hé/",
        ] {
            assert_eq!(Url::parse(url), None, "{url:?}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let own = Url::parse("http://files.example:80/a").unwrap();
        for (url, same) in [
            ("http://FILES.example/b?c", true),
            ("https://files.example:80/a", false),
            ("http://files.example:8080/a", false),
            ("http://files.example.evil/a", false),
        ] {
            assert_eq!(own.same_origin(&Url::parse(url).unwrap()), same, "{url}");
        }
    }

    #[test]
    fn shown_urls_have_no_secrets() {
        use alloc::string::ToString;
        for (url, shown) in [
            ("http://h/f", "http://h/f"),
            ("http://h:80/a/@b", "http://h:80/a/@b"),
            ("http://h/f?sig=SECRET", "http://h/f?..."),
            ("http://h/f#SECRET", "http://h/f?..."),
            ("http://h?SECRET/@x", "http://h?..."),
            ("http://me:SECRET@h/f?SECRET", "http://h/f?..."),
            ("http://me:SEC/R?E#T@h/f", "http://h/f"),
            ("http://SECRET@h:x/", "http://h:x/"),
            ("me:SECRET@h", "h"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("", ""),
        ] {
            assert_eq!(RedactedUrl(url).to_string(), shown, "{url:?}");
        }
        let long = ["http://h/", &"x".repeat(100_000)].concat();
        assert_eq!(RedactedUrl(&long).to_string().len(), 203);
    }
}
