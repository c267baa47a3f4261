//! HTTP by `ureq`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use std::io::{self, Read};

use ureq::config::Config;
use ureq::http::{self, HeaderMap, Request, Response};
use ureq::{Agent, AsSendBody, SendBody};

use crate::http::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, MAX_REASON_LEN,
};
use crate::stream::{Body, Sink, StreamError, check_length};

/// How long making a connection may take, within the request's own time limit: 10 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes moved at a time.
const CHUNK: usize = 64 * 1024;

/// An [`HttpClient`] by the `ureq` crate: connections are kept and used again, `https` by rustls
/// with Mozilla's roots. Proxies of the environment are not used.
#[derive(Debug)]
pub struct UreqClient {
    agent: Agent,
    chunk: Box<[u8]>,
}

impl UreqClient {
    /// A client with the settings above.
    pub fn new() -> Self {
        Self::with_config(Agent::config_builder().build())
    }

    /// A client with TLS settings, a proxy or a resolver of your own. Time limits, redirects and the
    /// handling of statuses are set for each request, whatever `config` says.
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
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .accept_encoding("identity")
            .proxy(None)
            .build();
        let response = self.agent.run(configured);
        response.map_err(|error| failed(request, error))
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
            retry_after: header(headers, "retry-after")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            ..HttpResponse::default()
        };
        let mut body = response.into_body();
        if (200..300).contains(&status) {
            answer.body_len = self.receive(&mut body, request, sink)?;
        } else {
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
                format!("the answer of {} is too long", request.url),
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
            let message = format!("the answer of {} ended early", request.url);
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
        let mut head = Request::builder()
            .method(request.method.as_str())
            .uri(request.url);
        for (name, value) in request.headers {
            head = head.header(*name, *value);
        }
        let has_body = !body.is_empty();
        if has_body {
            head = head.header("content-length", body.len());
        }
        let mut source = BodyReader {
            body,
            read: 0,
            fault: None,
        };
        let response = if has_body {
            self.run(head.body(SendBody::from_reader(&mut source)), request)
        } else {
            self.run(head.body(()), request)
        };
        if let Some(fault) = source.fault {
            return Err(fault.into());
        }
        self.respond(response?, request, sink)
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The start of a body that says why. Whatever goes wrong here, the status stands.
fn reason(body: &mut ureq::Body) -> String {
    let mut text = alloc::vec::Vec::new();
    let mut start = body.as_reader().take(MAX_REASON_LEN as u64);
    start.read_to_end(&mut text).ok();
    String::from_utf8_lossy(&text).into_owned()
}

fn failed(request: &HttpRequest<'_>, error: ureq::Error) -> HttpError {
    use ureq::Error as E;
    let kind = match &error {
        E::Http(_) | E::BadUri(_) => HttpErrorKind::InvalidRequest,
        E::Timeout(_) => HttpErrorKind::Timeout,
        E::HostNotFound | E::ConnectionFailed | E::Tls(_) | E::Rustls(_) => {
            HttpErrorKind::Unreachable
        }
        // A name that cannot be looked up has no kind of its own.
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
    let (method, url) = (request.method.as_str(), request.url);
    HttpError::new(kind, format!("{method} {url} failed")).with_source(error)
}

/// A [`Body`] as a reader, which keeps the fault that [`io::Error`] would blur, and notices an end
/// that comes too early.
struct BodyReader<'b> {
    body: &'b mut dyn Body,
    read: u64,
    fault: Option<StreamError>,
}

impl Read for BodyReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.body.read(out).and_then(|count| {
            self.read += count as u64;
            if count == 0 && !out.is_empty() {
                check_length(self.body.len(), self.read)?;
            }
            Ok(count)
        });
        read.map_err(|fault| {
            let error = io::Error::other(fault.to_string());
            self.fault = Some(fault);
            error
        })
    }
}
