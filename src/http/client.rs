//! HTTP/1.1 over a [`Transport`].

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::cause::text;
use crate::http::protocol::{BodyDecoder, DEFAULT_MAX_HEAD, HeadParser, RequestHead, ResponseHead};
use crate::http::url::{RedactedUrl, Url, bare_host, split_scheme};
use crate::http::{
    HttpClient, HttpError, HttpErrorKind as Kind, HttpRequest, HttpResponse, MAX_REASON_LEN, Method,
};
use crate::net::deadline::Moment;
use crate::net::{Connection, Moved, Transport, TransportError, TransportErrorKind};
use crate::platform::Platform;
use crate::stream::{Body, Sink, StreamError, check_length};
use crate::trace::utf8_start;

/// How long making a connection may take, within the request's own time limit: 10 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes moved at a time.
const CHUNK_SIZE: usize = 512;
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

fn failed(request: &HttpRequest<'_>, kind: Kind) -> HttpError {
    let (method, url) = (request.method.as_str(), RedactedUrl(request.url));
    HttpError::new(kind, text(format_args!("{method} {url} failed")))
}

/// One request and its response on a connection.
struct Exchange<'x, 'r, T, P> {
    connection: &'x mut Connection<T, P>,
    request: &'x HttpRequest<'r>,
    deadline: Moment,
    parser: HeadParser,
    /// Bytes that came; those from `start` to `end` are not parsed yet.
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'x, 'r, T: Transport, P: Platform> Exchange<'x, 'r, T, P> {
    fn new(
        connection: &'x mut Connection<T, P>,
        request: &'x HttpRequest<'r>,
        deadline: Moment,
    ) -> Result<Self, HttpError> {
        let mut input = Vec::new();
        reserve(&mut input, CHUNK_SIZE)?;
        input.resize(CHUNK_SIZE, 0);
        Ok(Self {
            connection,
            request,
            deadline,
            parser: HeadParser::new(DEFAULT_MAX_HEAD),
            input,
            start: 0,
            end: 0,
        })
    }

    /// Sends what is in `output`, then `body`, and receives the response. If the peer answers
    /// before it was sent everything, that is the response, unless it claims success.
    fn run(
        mut self,
        output: &mut Vec<u8>,
        body: &mut dyn Body,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError> {
        let head = match self.send(output, body)? {
            Some(early) if (200..300).contains(&early.status) => {
                return Err(self.incomplete(early.status));
            }
            Some(early) => early,
            None => self.receive_head()?,
        };
        let mut response = HttpResponse {
            status: head.status,
            retry_after: head.retry_after.map(Duration::from_secs),
            ..HttpResponse::default()
        };
        if (200..300).contains(&head.status) {
            response.body_len = self.receive_body(&head, sink)?;
        } else {
            response.reason = self.receive_reason(&head);
        }
        response.location = head.location;
        Ok(response)
    }

    fn send(
        &mut self,
        output: &mut Vec<u8>,
        body: &mut dyn Body,
    ) -> Result<Option<ResponseHead>, HttpError> {
        let (len, mut read) = (body.len(), 0);
        loop {
            while read < len && output.len() < CHUNK_SIZE {
                read += read_body(body, len, read, output)?;
            }
            if output.is_empty() {
                return Ok(None);
            }
            if let Some(head) = self.send_all(output)? {
                return Ok(Some(head));
            }
            output.clear();
        }
    }

    /// Sends `bytes`, unless a response comes first.
    fn send_all(&mut self, mut bytes: &[u8]) -> Result<Option<ResponseHead>, HttpError> {
        while !bytes.is_empty() {
            self.check_time()?;
            let deadline = self.idle_deadline();
            let moved = (self.connection).send_or_receive(bytes, &mut self.input, deadline);
            match moved {
                Ok(Moved::Sent(count)) => bytes = &bytes[count..],
                Ok(Moved::Received(count)) => {
                    (self.start, self.end) = (0, count);
                    if let Some(head) = self.parse_head()? {
                        return Ok(Some(head));
                    }
                }
                Err(error) => return self.early_response(error).map(Some),
            }
        }
        Ok(None)
    }

    /// A peer that refuses the rest of a request may have answered before it closed.
    fn early_response(&mut self, error: TransportError) -> Result<ResponseHead, HttpError> {
        while let Ok(count @ 1..) = self.connection.try_receive(&mut self.input) {
            (self.start, self.end) = (0, count);
            if let Ok(Some(head)) = self.parse_head() {
                return Ok(head);
            }
        }
        Err(self.broken(error))
    }

    fn receive_head(&mut self) -> Result<ResponseHead, HttpError> {
        loop {
            if let Some(head) = self.parse_head()? {
                return Ok(head);
            }
            self.receive()?;
        }
    }

    fn parse_head(&mut self) -> Result<Option<ResponseHead>, HttpError> {
        let parsed = self.parser.feed(&self.input[self.start..self.end]);
        let (used, head) = parsed.map_err(|error| self.malformed(error))?;
        self.start += used;
        Ok(head)
    }

    /// Waits for bytes. Only called when all that came before are parsed.
    fn receive(&mut self) -> Result<(), HttpError> {
        self.check_time()?;
        let deadline = self.idle_deadline();
        match self.connection.receive(&mut self.input, deadline) {
            Ok(0) => return Err(self.broken(TransportErrorKind::Timeout.into())),
            Ok(count) => (self.start, self.end) = (0, count),
            Err(error) => return Err(self.broken(error)),
        }
        Ok(())
    }

    fn receive_body(&mut self, head: &ResponseHead, sink: &mut dyn Sink) -> Result<u64, HttpError> {
        let framing = head.framing(self.request.method.as_str());
        let framing = framing.map_err(|error| self.malformed(error))?;
        let limit = self.request.limit;
        let too_large = || {
            let url = RedactedUrl(self.request.url);
            let message = format_args!("the answer of {url} is too long");
            HttpError::new(Kind::TooLarge { limit }, text(message))
        };
        if head.content_length.is_some_and(|len| len > limit) {
            return Err(too_large());
        }
        let mut decoder = BodyDecoder::new(framing);
        let mut received = 0;
        while !decoder.is_done() {
            if self.start == self.end {
                self.receive()?;
            }
            let decoded = decoder.feed(&self.input[self.start..self.end]);
            let decoded = decoded.map_err(|error| self.malformed(error))?;
            self.start += decoded.used;
            received += decoded.data.len() as u64;
            if received > limit {
                return Err(too_large());
            }
            if !decoded.data.is_empty() {
                sink.write(decoded.data)?;
            }
        }
        Ok(received)
    }

    /// The start of a body that says why. Whatever goes wrong here, the status stands.
    fn receive_reason(&mut self, head: &ResponseHead) -> String {
        let mut reason = Vec::new();
        if let Ok(framing) = head.framing(self.request.method.as_str()) {
            let mut decoder = BodyDecoder::new(framing);
            while !decoder.is_done() && reason.len() < MAX_REASON_LEN {
                if self.start == self.end && self.receive().is_err() {
                    break;
                }
                let Ok(decoded) = decoder.feed(&self.input[self.start..self.end]) else {
                    break;
                };
                self.start += decoded.used;
                let room = MAX_REASON_LEN - reason.len();
                reason.extend(decoded.data.iter().take(room));
            }
        }
        utf8_start(&reason).to_string()
    }

    /// When the exchange has failed if nothing moves from now on.
    fn idle_deadline(&self) -> Moment {
        let idle_by = self.connection.deadline(self.request.idle_timeout);
        self.deadline.min(idle_by)
    }

    fn check_time(&self) -> Result<(), HttpError> {
        if self.connection.is_over(self.deadline) {
            return Err(self.broken(TransportError::from(TransportErrorKind::Timeout)));
        }
        Ok(())
    }

    fn broken(&self, error: TransportError) -> HttpError {
        let kind = match error.kind() {
            TransportErrorKind::Timeout => Kind::Timeout,
            _ => Kind::Disconnected,
        };
        failed(self.request, kind).with_source(error)
    }

    /// The peer has not what it says that it has.
    fn incomplete(&self, status: u16) -> HttpError {
        let (method, url) = (self.request.method.as_str(), RedactedUrl(self.request.url));
        let message =
            format_args!("{method} {url} was answered with status {status} before all was sent");
        HttpError::new(Kind::Protocol, text(message))
    }

    fn malformed(&self, error: crate::http::protocol::ResponseError) -> HttpError {
        failed(self.request, Kind::Protocol).with_source(error)
    }
}

fn reserve(bytes: &mut Vec<u8>, len: usize) -> Result<(), StreamError> {
    let no_memory = |_| StreamError::OutOfMemory { len };
    bytes.try_reserve_exact(len).map_err(no_memory)
}

/// Appends the next bytes of `body` to `output`, up to the size of a chunk.
fn read_body(
    body: &mut dyn Body,
    len: u64,
    read: u64,
    output: &mut Vec<u8>,
) -> Result<u64, StreamError> {
    let filled = output.len();
    let left = usize::try_from(len - read).unwrap_or(usize::MAX);
    let room = left.min(CHUNK_SIZE - filled);
    // Within the capacity that was reserved for the head.
    output.resize(filled + room, 0);
    let count = body.read(&mut output[filled..])?.min(room);
    output.truncate(filled + count);
    if count == 0 {
        check_length(len, read)?;
    }
    Ok(count as u64)
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
