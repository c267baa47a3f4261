//! What a file server needs of HTTP: one request, one response, both streamed.

#[cfg(feature = "nal")]
pub(crate) mod protocol;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::DerefMut;
use core::time::Duration;

use crate::cause::{BoxError, debug_tells_causes};
use crate::stream::{Body, Sink, StreamError};
use crate::trace::Escaped;

/// The most bytes of an unsuccessful response's body that are kept to tell its reason.
pub const MAX_REASON_LEN: usize = 512;

/// A client of HTTP/1.1 that does one request at a time.
///
/// Who implements it runs the contract functions in `tests/common/contract.rs` against it. In
/// words:
///
/// - It follows no redirects, asks for no compression, and keeps no cookies.
/// - The call returns within [`HttpRequest::timeout`] (and a little), however slowly the peer goes.
/// - A response body that is shorter than its `Content-Length`, or longer than
///   [`HttpRequest::limit`], is an error.
/// - The body of a status from 200 to 299 goes into the sink; of any other, its start goes into
///   [`HttpResponse::reason`].
/// - If the peer answers before it has read the whole request body, that answer counts; a peer that
///   closes right behind it may be seen as a broken connection.
pub trait HttpClient {
    /// Sends a request with `body` and receives the response's body into `sink`. What is in the
    /// sink after an error is of no use.
    ///
    /// # Errors
    /// [`HttpError`] if there is no whole response. A status of 400 or 500 is a response.
    fn execute(
        &mut self,
        request: &HttpRequest<'_>,
        body: &mut dyn Body,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError>;
}

/// `&mut T`, `Box<T>` and other pointers to a client are clients.
impl<P> HttpClient for P
where
    P: DerefMut,
    P::Target: HttpClient,
{
    fn execute(
        &mut self,
        request: &HttpRequest<'_>,
        body: &mut dyn Body,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError> {
        (**self).execute(request, body, sink)
    }
}

/// The methods that file servers are spoken to with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Fetch.
    Get,
    /// Hand over, and let the server choose the place.
    Post,
    /// Store at this place.
    Put,
    /// Remove.
    Delete,
}

impl Method {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// The head of a request, and its bounds.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// The method.
    pub method: Method,
    /// An absolute `http` or `https` URL.
    pub url: &'a str,
    /// Names and values, beside `Host`, `Content-Length` and `Connection`.
    pub headers: &'a [(&'a str, &'a str)],
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// The most bytes that the response's body may have.
    pub limit: u64,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status, 200 for example.
    pub status: u16,
    /// Bytes that went into the sink.
    pub body_len: u64,
    /// `Location`, where a redirect points.
    pub location: Option<String>,
    /// `Retry-After`, where it gives seconds.
    pub retry_after: Option<Duration>,
    /// The start of an unsuccessful response's body, at most [`MAX_REASON_LEN`] bytes.
    pub reason: String,
}

/// Why there is no whole response.
pub struct HttpError {
    kind: HttpErrorKind,
    message: String,
    source: Option<BoxError>,
}

debug_tells_causes!(HttpError);

impl HttpError {
    /// An error that says `message`: lower case, no full stop, with the URL it is about.
    pub fn new(kind: HttpErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What happened, to act on.
    pub fn kind(&self) -> HttpErrorKind {
        self.kind
    }
}

impl From<StreamError> for HttpError {
    fn from(error: StreamError) -> Self {
        Self {
            kind: HttpErrorKind::Local,
            message: "a stream of this machine failed".into(),
            source: Some(Box::new(error)),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.message))
    }
}

impl core::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// What happened to an [`HttpClient`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The URL or a header cannot be used.
    InvalidRequest,
    /// No connection could be made.
    Unreachable,
    /// The time limit is over.
    Timeout,
    /// The connection broke, or the response's body ended early.
    Disconnected,
    /// The response's body is over [`HttpRequest::limit`].
    TooLarge {
        /// The most that is allowed, in bytes.
        limit: u64,
    },
    /// The peer broke the protocol.
    Protocol,
    /// This machine failed: the body or the sink.
    Local,
}

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

    /// Whether both are at the same scheme, host and port.
    pub(crate) fn same_origin(&self, other: &Url<'_>) -> bool {
        self.is_https == other.is_https
            && self.port == other.port
            && self.host.eq_ignore_ascii_case(other.host)
    }
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

pub(crate) fn parse_port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok()?;
    (is_number && port != 0).then_some(port)
}

fn is_host(host: &str) -> bool {
    match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<core::net::Ipv6Addr>().is_ok(),
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
}
