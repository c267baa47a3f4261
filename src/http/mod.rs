//! HTTP as file servers need it: one request, one response, both streamed.

#[cfg(feature = "nal")]
mod client;
mod error;
#[cfg(feature = "nal")]
mod exchange;
#[cfg(feature = "nal")]
pub(crate) mod protocol;
pub(crate) mod url;

use alloc::string::{String, ToString as _};
use core::fmt;
use core::ops::DerefMut;
use core::time::Duration;

use self::url::RedactedUrl;
use crate::stream::{Body, Sink};

#[cfg(feature = "nal")]
pub use self::client::TransportHttpClient;
pub use self::error::{HttpError, HttpErrorKind};

/// The most bytes of an unsuccessful response's body that are kept as its reason.
pub const MAX_REASON_LEN: usize = 512;

/// An HTTP/1.1 client that makes one request at a time.
///
/// `contract::http_client` (feature `contract`) checks an implementation:
///
/// - It follows no redirects, requests no compression, and keeps no cookies.
/// - The call returns within [`HttpRequest::timeout`] (and a little), however slow the peer is, and within
///   [`HttpRequest::idle_timeout`] (and a little) if no byte moves.
/// - A request body that ends early is an error at once.
/// - A response body that is shorter than its `Content-Length`, or longer than
///   [`HttpRequest::limit`], is an error.
/// - The body of a status from 200 to 299 goes into the sink; of any other, its start goes into
///   [`HttpResponse::reason`].
/// - A response that arrives before the whole request body was sent is the result, unless its status is from 200
///   to 299. That is an error, because the body was not stored. If the peer closes the connection right after an
///   early response, the result may be a lost connection; [`HttpRequest::expect_continue`] avoids that.
/// - The body of a successful response to a PUT or DELETE is not read if it has neither a `Content-Length` nor
///   chunks: only the end of the connection would end it.
pub trait HttpClient {
    /// Sends a request with `body` and receives the response's body into `sink`. After
    /// an error the contents of the sink are invalid.
    ///
    /// # Errors
    /// [`HttpError`] if there is no complete response. A status of 400 or 500 is a response.
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

/// The methods that file servers need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Fetch.
    Get,
    /// Store, at a place that the server chooses.
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

/// How long no byte may move in an exchange: 30 s.
pub(crate) const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The head of a request, and its bounds.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::adapter::{HttpRequest, Method};
///
/// let request = HttpRequest {
///     timeout: Duration::from_secs(5),
///     ..HttpRequest::new(Method::Get, "http://localhost:8080/file")
/// };
/// assert_eq!(request.idle_timeout, Duration::from_secs(30));
/// ```
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    /// The method.
    pub method: Method,
    /// An absolute `http` or `https` URL.
    pub url: &'a str,
    /// Names and values. The client adds `Host`, `Content-Length`, `Expect` and `Connection` itself.
    pub headers: &'a [(&'a str, &'a str)],
    /// How long the whole exchange may take. Default 30 s.
    pub timeout: Duration,
    /// How long no byte may move in either direction. Default 30 s.
    pub idle_timeout: Duration,
    /// The most bytes that the response's body may have. Default 65,536.
    pub limit: u64,
    /// Whether to send `Expect: 100-continue`, and to wait up to 1 s for the response before the body is sent.
    /// If the server does not support it, the body is sent anyway. A client that detects every early response
    /// may ignore this. Default false.
    pub expect_continue: bool,
}

impl<'a> HttpRequest<'a> {
    /// A request with the defaults above, and without headers.
    pub fn new(method: Method, url: &'a str) -> Self {
        Self {
            method,
            url,
            headers: &[],
            timeout: Duration::from_secs(30),
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            limit: 65_536,
            expect_continue: false,
        }
    }
}

/// Headers may be credentials, so only their names are printed.
impl fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), RedactedUrl(self.url))?;
        f.debug_list()
            .entries(self.headers.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Fields that frame or route a message: the clients write them themselves.
pub(crate) const RESERVED_HEADERS: [&str; 5] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
];

/// Whether this is a token, as names of header fields are (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// A response, without its body.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status, 200 for example.
    pub status: u16,
    /// Bytes written to the sink.
    pub body_len: u64,
    /// `Location`, where a redirect points.
    pub location: Option<String>,
    /// `Retry-After`, where it gives seconds.
    pub retry_after: Option<Duration>,
    /// The start of an unsuccessful response's body, at most [`MAX_REASON_LEN`] bytes.
    pub reason: String,
}

impl HttpResponse {
    /// Whether the status is one from 200 to 299.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A redirect's target may contain a signature, so its query is not printed.
impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = self.location.as_deref();
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("body_len", &self.body_len)
            .field(
                "location",
                &location.map(|url| RedactedUrl(url).to_string()),
            )
            .field("retry_after", &self.retry_after)
            .field("reason", &self.reason)
            .finish()
    }
}
