//! HTTP/1.1 over a [`Transport`].

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::exchange::{CHUNK_SIZE, Exchange, failed, reserve};
use super::protocol::RequestHead;
use super::url::{RedactedUrl, Url, bare_host, split_scheme};
use super::{HttpClient, HttpError, HttpErrorKind as Kind, HttpRequest, HttpResponse, Method};
use crate::cause::text;
use crate::net::deadline::Moment;
use crate::net::{Connection, Transport, TransportErrorKind};
use crate::platform::Platform;
use crate::stream::{Body, Sink};

/// How long making a connection may take, within the request's own time limit: 10 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head beside method, URL and headers, at most.
const HEAD_LEN: usize = 128;

/// An [`HttpClient`] over a [`Transport`]: one connection for each request, which is closed before the
/// call returns. [`board::HttpClient`](crate::board::HttpClient) is the one over the stack of a board.
///
/// `https` needs a transport that has TLS; see [`Transport::start_tls`].
///
/// During a request two buffers of 512 bytes are taken from the heap, and the head of the response,
/// at most 8 KiB. A body must be announced by `Content-Length` or come in chunks: on some stacks the
/// end of a connection cannot be told from silence.
///
/// ```
/// use natsbridge::board::TransportHttpClient;
/// use natsbridge::net::Transport;
/// use natsbridge::adapter::Platform;
/// use natsbridge::{HttpPut, OptionError};
///
/// fn files<T: Transport>(
///     transport: T,
///     platform: &impl Platform,
/// ) -> Result<impl natsbridge::adapter::FileServer, OptionError> {
///     let http = TransportHttpClient::over(transport, platform);
///     HttpPut::new(http, platform, "http://10.0.2.2:8080/files")
/// }
/// ```
pub struct TransportHttpClient<T, P> {
    connection: Connection<T, P>,
}

impl<T, P> fmt::Debug for TransportHttpClient<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

impl<T: Transport, P: Platform> TransportHttpClient<T, P> {
    /// A client that connects by `transport` and keeps time by `platform`.
    pub fn over(transport: T, platform: P) -> Self {
        Self {
            connection: Connection::new(transport, platform),
        }
    }

    /// The transport, for what only it can do.
    pub fn transport(&mut self) -> &mut T {
        &mut self.connection.transport
    }

    fn connect(&mut self, request: &HttpRequest<'_>, deadline: Moment) -> Result<(), HttpError> {
        let url = usable(request)?;
        let connect_by = deadline.min(self.connection.deadline(CONNECT_TIMEOUT));
        let left = self.connection.left(connect_by);
        let transport = &mut self.connection.transport;
        let opened = transport.open(url.host, url.port, left);
        let connected = opened.and_then(|()| {
            if !url.is_https {
                return Ok(());
            }
            let left = self.connection.left(connect_by);
            self.connection
                .transport
                .start_tls(bare_host(url.host), left)
        });
        connected.map_err(|error| {
            let kind = match error.kind() {
                TransportErrorKind::Timeout => Kind::Timeout,
                TransportErrorKind::Unsupported => Kind::InvalidRequest,
                TransportErrorKind::Certificate => Kind::Certificate,
                _ => Kind::Unreachable,
            };
            failed(request, kind).with_source(error)
        })
    }
}

impl<T: Transport, P: Platform> HttpClient for TransportHttpClient<T, P> {
    fn execute(
        &mut self,
        request: &HttpRequest<'_>,
        body: &mut dyn Body,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError> {
        let deadline = self.connection.deadline(request.timeout);
        let mut output = Vec::new();
        write_head(request, body.len(), &mut output)?;
        let response = self.connect(request, deadline).and_then(|()| {
            let exchange = Exchange::new(&mut self.connection, request, deadline)?;
            exchange.run(&mut output, body, sink)
        });
        self.connection.transport.close();
        response
    }
}

/// The URL, if this client can do something with it.
fn usable<'a>(request: &HttpRequest<'a>) -> Result<Url<'a>, HttpError> {
    let refused = |why| {
        let url = RedactedUrl(request.url);
        let message = text(format_args!("`{url}` cannot be fetched: {why}"));
        HttpError::new(Kind::InvalidRequest, message)
    };
    Url::parse(request.url)
        .ok_or_else(|| refused("it is not an http URL, or has a user name in it"))
}

fn write_head(
    request: &HttpRequest<'_>,
    body_len: u64,
    out: &mut Vec<u8>,
) -> Result<(), HttpError> {
    usable(request)?;
    let (host, target) = split_url(request.url);
    // A server may insist on a length where the method promises a body (RFC 9110 section 8.6).
    let has_body = body_len > 0 || matches!(request.method, Method::Post | Method::Put);
    let head = RequestHead {
        method: request.method.as_str(),
        target: &target,
        host,
        headers: request.headers,
        content_length: has_body.then_some(body_len),
        close: true,
    };
    let field = |(name, value): &(&str, &str)| name.len() + value.len() + 4;
    let fields: usize = request.headers.iter().map(field).sum();
    let most = HEAD_LEN + request.url.len() + fields;
    reserve(out, most.max(CHUNK_SIZE))?;
    head.encode(out)
        .map_err(|error| failed(request, Kind::InvalidRequest).with_source(error))
}

/// Host with port, and path with query, of a URL that has been parsed. Fragments stay at home.
fn split_url(url: &str) -> (&str, Cow<'_, str>) {
    let rest = split_scheme(url).map_or(url, |(_, rest)| rest);
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let host_len = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at_checked(host_len).unwrap_or((rest, ""));
    let target = match target.as_bytes().first() {
        None => Cow::Borrowed("/"),
        Some(b'/') => Cow::Borrowed(target),
        Some(_) => Cow::Owned(format!("/{target}")),
    };
    (host, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_divided_between_host_and_target() {
        for (url, host, target) in [
            ("http://h", "h", "/"),
            ("http://h:8080/", "h:8080", "/"),
            ("http://[::1]:80/a/b?c=d", "[::1]:80", "/a/b?c=d"),
            ("http://h?q", "h", "/?q"),
            ("http://h/a#f?x/y", "h", "/a"),
            ("http://h#f", "h", "/"),
            ("http://h/a?b://c", "h", "/a?b://c"),
        ] {
            assert_eq!(split_url(url), (host, Cow::Borrowed(target)), "{url}");
        }
    }
}
