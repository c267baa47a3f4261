//! What a file server needs of HTTP: one request, one response, both streamed.

#[cfg(feature = "nal")]
mod client;
mod error;
#[cfg(feature = "nal")]
pub(crate) mod protocol;
pub(crate) mod url;

use alloc::string::String;
use core::ops::DerefMut;
use core::time::Duration;

use crate::stream::{Body, Sink};

#[cfg(feature = "nal")]
pub use self::client::TransportHttpClient;
pub use self::error::{HttpError, HttpErrorKind};

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
