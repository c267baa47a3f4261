//! Errors of HTTP exchanges.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::cause::{BoxError, debug_tells_causes};
use crate::stream::StreamError;
use crate::trace::Escaped;

/// Why there is no complete response.
pub struct HttpError(Box<Inner>);

/// Behind a pointer: results with such an error are moved about all the time.
struct Inner {
    kind: HttpErrorKind,
    message: String,
    source: Option<BoxError>,
}

debug_tells_causes!(HttpError);

impl HttpError {
    /// An error with a message: lower case, no full stop, with the URL it is about.
    pub fn new(kind: HttpErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            source: None,
        }))
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What happened, to act on.
    pub fn kind(&self) -> HttpErrorKind {
        self.0.kind
    }
}

impl From<StreamError> for HttpError {
    fn from(error: StreamError) -> Self {
        let message = "a stream of this machine failed";
        Self::new(HttpErrorKind::Local, message).with_source(error)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.0.message))
    }
}

impl core::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// What happened to an [`HttpClient`](crate::adapter::HttpClient).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The URL or a header is invalid.
    InvalidRequest,
    /// No connection could be made.
    Unreachable,
    /// TLS: the server's certificate is not accepted, or the server does not accept the client's.
    Certificate,
    /// The time limit is over.
    Timeout,
    /// The connection was lost, or the response's body ended early.
    Disconnected,
    /// The response's body exceeds [`HttpRequest::limit`](crate::adapter::HttpRequest::limit).
    TooLarge {
        /// The most that is allowed, in bytes.
        limit: u64,
    },
    /// The peer violated the protocol.
    Protocol,
    /// This machine failed: the body could not be read or the sink not be written.
    Local,
}
