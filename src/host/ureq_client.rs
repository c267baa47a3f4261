//! HTTP by `ureq`.

mod options;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;
use std::io::{self, Read};
use std::time::Instant;

use ureq::config::Config;
use ureq::http::{self, HeaderMap, Request, Response, StatusCode};
use ureq::{Agent, AsSendBody, SendBody};

pub use self::options::UreqOptions;
use super::certificates::is_about_certificates;
use crate::http::url::{RedactedUrl, Url, has_userinfo};
use crate::http::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, MAX_REASON_LEN, Method,
};
use crate::stream::{Body, Sink, StreamError, check_length};
use crate::trace::utf8_start;

/// Time limit of a connect, within that of the request: 10 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes moved at a time.
const CHUNK: usize = 64 * 1024;

/// How long to wait for `100 Continue`: 1 s, or a quarter of the time limit if that is less. A server that does
/// not know `Expect: 100-continue` sends nothing, and the body is sent then.
const MAX_CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// An [`HttpClient`] over the crate `ureq`. It reuses connections, and uses rustls with Mozilla's roots for
/// `https`. Proxies from the environment are not used.
///
/// ```
/// use natsbridge::host::{StdPlatform, UreqClient};
/// use natsbridge::HttpPut;
///
/// let files = HttpPut::new(UreqClient::new(), StdPlatform, "http://localhost:8080/files")?;
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
pub struct UreqClient {
    agent: Agent,
    chunk: Box<[u8]>,
}

impl UreqClient {
    /// A client with these settings.
    pub fn new() -> Self {
        Self::with_options(&UreqOptions::default())
    }

    /// A client with roots, a client certificate or a proxy of your own.
    pub fn with_options(options: &UreqOptions) -> Self {
        Self::with_config(options.config())
    }

    /// A client with any setting that ureq has; `natsbridge::host::ureq` is that crate. Time limits, redirects and
    /// the handling of statuses are set for each request and override those in `config`. Its proxy is used, which
    /// ureq reads from the environment unless one is set, or
    /// [`None`](ureq::config::ConfigBuilder::proxy).
    pub fn with_config(config: Config) -> Self {
        Self {
            agent: Agent::new_with_config(config),
            chunk: alloc::vec![0; CHUNK].into(),
        }
    }

    fn run(
        &self,
        made: Result<Request<impl AsSendBody>, http::Error>,
        request: &HttpRequest<'_>,
    ) -> Result<Response<ureq::Body>, HttpError> {
        let made = made.map_err(|error| failed(request, error.into()))?;
        let configured = self
            .agent
            .configure_request(made)
            .timeout_global(Some(request.timeout))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(request.timeout)))
            .timeout_per_read(Some(request.idle_timeout))
            .timeout_per_write(Some(request.idle_timeout))
            .timeout_await_100(Some(MAX_CONTINUE_WAIT.min(request.timeout / 4)))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .accept_encoding("identity")
            .build();
        let response = self.agent.run(configured);
        response.map_err(|error| failed(request, error))
    }

    fn send(&self, request: &HttpRequest<'_>, body: &mut dyn Body) -> Sent {
        if Url::parse(request.url).is_none() {
            let response = Err(invalid_url(request));
            return Sent { response, read: 0 };
        }
        let mut head = Request::builder()
            .method(request.method.as_str())
            .uri(request.url);
        for (name, value) in request.headers {
            head = head.header(*name, *value);
        }
        let len = body.len();
        // A server may require a length for methods with a body (RFC 9110 section 8.6).
        if len > 0 || matches!(request.method, Method::Post | Method::Put) {
            head = head.header("content-length", len);
        }
        if len > 0 && request.expect_continue {
            head = head.header("expect", "100-continue");
        }
        let mut source = BodyReader {
            body,
            len,
            read: 0,
            fault: None,
        };
        let response = if len > 0 {
            self.run(head.body(SendBody::from_reader(&mut source)), request)
        } else {
            self.run(head.body(()), request)
        };
        let read = source.read;
        let response = match source.fault {
            Some(fault) => Err(fault.into()),
            None => response,
        };
        Sent { response, read }
    }

    fn respond(
        &mut self,
        response: Response<ureq::Body>,
        request: &HttpRequest<'_>,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError> {
        let status = response.status().as_u16();
        let headers = response.headers();
        let mut answer = HttpResponse {
            status,
            location: header(headers, "location").map(ToString::to_string),
            etag: header(headers, "etag").map(ToString::to_string),
            retry_after: header(headers, "retry-after")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            ..HttpResponse::default()
        };
        let has_length = ["content-length", "transfer-encoding"]
            .iter()
            .any(|name| headers.contains_key(*name));
        let is_needed = has_length || !matches!(request.method, Method::Put | Method::Delete);
        let mut body = response.into_body();
        if answer.is_success() && is_needed {
            answer.body_len = self.receive(&mut body, request, sink)?;
        } else if !answer.is_success() {
            answer.reason = reason(&mut body);
        }
        Ok(answer)
    }

    fn receive(
        &mut self,
        body: &mut ureq::Body,
        request: &HttpRequest<'_>,
        sink: &mut dyn Sink,
    ) -> Result<u64, HttpError> {
        let too_large = HttpErrorKind::TooLarge {
            limit: request.limit,
        };
        let over = || {
            HttpError::new(
                too_large,
                format!("the answer of {} is too long", RedactedUrl(request.url)),
            )
        };
        let announced = body.content_length();
        if announced.is_some_and(|len| len > request.limit) {
            return Err(over());
        }
        let mut reader = body.as_reader();
        let mut received = 0;
        loop {
            let count = match reader.read(&mut self.chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(request, ureq::Error::from(error))),
            };
            received += count as u64;
            if received > request.limit {
                return Err(over());
            }
            sink.write(&self.chunk[..count])?;
        }
        check_length(announced.unwrap_or(received), received).map_err(|error| {
            let message = format!("the answer of {} ended early", RedactedUrl(request.url));
            HttpError::new(HttpErrorKind::Disconnected, message).with_source(error)
        })?;
        Ok(received)
    }
}

impl Default for UreqClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient for UreqClient {
    fn execute(
        &mut self,
        request: &HttpRequest<'_>,
        body: &mut dyn Body,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError> {
        let started = Instant::now();
        let mut sent = self.send(request, body);
        if request.expect_continue && cannot_be_asked(&sent) {
            let request = HttpRequest {
                timeout: request.timeout.saturating_sub(started.elapsed()),
                expect_continue: false,
                ..*request
            };
            sent = self.send(&request, body);
        }
        let response = sent.response?;
        let status = response.status();
        if status.is_success() && sent.read < body.len() {
            return Err(incomplete(request, status.as_u16()));
        }
        self.respond(response, request, sink)
    }
}

/// The result of a request.
struct Sent {
    response: Result<Response<ureq::Body>, HttpError>,
    /// Bytes of the body that were read.
    read: u64,
}

/// Whether the server rejects `Expect: 100-continue` (RFC 9110 section 15.5.18), or responds with header fields,
/// which ureq does not read. The body has not been read then.
fn cannot_be_asked(sent: &Sent) -> bool {
    let is_refused = match &sent.response {
        Ok(response) => response.status() == StatusCode::EXPECTATION_FAILED,
        Err(error) => error.kind() == HttpErrorKind::Protocol,
    };
    is_refused && sent.read == 0
}

/// ureq's settings may contain secrets.
impl fmt::Debug for UreqClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UreqClient").finish_non_exhaustive()
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The start of the body of an unsuccessful response. If it cannot be read, the status is still valid.
fn reason(body: &mut ureq::Body) -> String {
    let mut text = alloc::vec::Vec::new();
    let mut start = body.as_reader().take(MAX_REASON_LEN as u64);
    start.read_to_end(&mut text).ok();
    utf8_start(&text).to_string()
}

fn failed(request: &HttpRequest<'_>, error: ureq::Error) -> HttpError {
    use ureq::Error as E;
    let kind = match &error {
        // rustls shakes hands while something is written or read, and its errors are then those of that.
        E::Rustls(error) if is_about_certificates(error) => HttpErrorKind::Certificate,
        E::Io(error) if tls_error(error).is_some_and(is_about_certificates) => {
            HttpErrorKind::Certificate
        }
        E::Http(_) | E::BadUri(_) => HttpErrorKind::InvalidRequest,
        E::Timeout(_) => HttpErrorKind::Timeout,
        E::HostNotFound | E::ConnectionFailed | E::Tls(_) | E::Rustls(_) => {
            HttpErrorKind::Unreachable
        }
        // A failed name lookup has no kind of its own.
        E::Io(error) if error.to_string().contains("lookup") => HttpErrorKind::Unreachable,
        E::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => HttpErrorKind::Unreachable,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => HttpErrorKind::Timeout,
            _ => HttpErrorKind::Disconnected,
        },
        _ => HttpErrorKind::Protocol,
    };
    let (method, url) = (request.method.as_str(), RedactedUrl(request.url));
    let shown = HttpError::new(kind, format!("{method} {url} failed"));
    match error {
        // Both have the whole URL in their messages.
        E::BadUri(_) | E::RequireHttpsOnly(_) => shown,
        error => shown.with_source(error),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn invalid_url(request: &HttpRequest<'_>) -> HttpError {
    let url = RedactedUrl(request.url);
    let why = match has_userinfo(request.url) {
        true => "has a user name or password in it",
        false => "is not an http or https URL",
    };
    HttpError::new(
        HttpErrorKind::InvalidRequest,
        format!("`{url}` cannot be used: it {why}"),
    )
}

/// The body differs from what the response head declares.
fn incomplete(request: &HttpRequest<'_>, status: u16) -> HttpError {
    let (method, url) = (request.method.as_str(), RedactedUrl(request.url));
    let message = format!("{method} {url} was answered with status {status} before all was sent");
    HttpError::new(HttpErrorKind::Protocol, message)
}

/// A [`Body`] as a reader, which keeps the error that [`io::Error`] would hide, and detects an early end: ureq
/// would read on without end.
struct BodyReader<'b> {
    body: &'b mut dyn Body,
    /// As declared before the request; a later change of the body's length is ignored.
    len: u64,
    read: u64,
    fault: Option<StreamError>,
}

impl BodyReader<'_> {
    fn read_some(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let left = usize::try_from(self.len - self.read).unwrap_or(usize::MAX);
        let room = left.min(out.len());
        let count = self.body.read(&mut out[..room])?.min(room);
        self.read += count as u64;
        if count == 0 && room > 0 {
            check_length(self.len, self.read)?;
        }
        Ok(count)
    }
}

impl Read for BodyReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_some(out).map_err(|fault| {
            let error = io::Error::other(fault.to_string());
            self.fault = Some(fault);
            error
        })
    }
}
