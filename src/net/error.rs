//! Why a connection could not be made, or does not move bytes any more.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::cause::{BoxError, debug_tells_causes};
use crate::trace::Escaped;

/// Why a [`Transport`](super::Transport) did not do what it was asked to.
///
/// ```
/// use natsbridge::net::{TransportError, TransportErrorKind};
///
/// let error = TransportError::new(TransportErrorKind::Timeout, "no answer from 10.0.2.2:4222 in time");
/// assert_eq!(error.kind(), TransportErrorKind::Timeout);
/// ```
pub struct TransportError {
    kind: TransportErrorKind,
    /// None where the kind says it all. Behind a pointer, because results with such an error are moved
    /// about all the time.
    detail: Option<Box<Detail>>,
}

struct Detail {
    message: String,
    source: Option<BoxError>,
}

debug_tells_causes!(TransportError);

impl TransportError {
    /// An error with `message`: lower case, no full stop.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        let (message, source) = (message.into(), None);
        Self {
            kind,
            detail: Some(Box::new(Detail { message, source })),
        }
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        let detail = self.detail.take();
        let message = detail.map_or_else(|| self.kind.text().into(), |detail| detail.message);
        let source = Some(source.into());
        self.detail = Some(Box::new(Detail { message, source }));
        self
    }

    /// What happened, to act on.
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }
}

/// An error of which nothing more is to be said than its kind. Takes no memory.
impl From<TransportErrorKind> for TransportError {
    fn from(kind: TransportErrorKind) -> Self {
        Self { kind, detail: None }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.detail.as_ref().map(|detail| &*detail.message);
        write!(f, "{}", Escaped(message.unwrap_or(self.kind.text())))
    }
}

impl core::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        let source = self.detail.as_ref()?.source.as_ref();
        source.map(|source| &**source as _)
    }
}

/// What happened to a [`Transport`](super::Transport).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The time limit is over.
    Timeout,
    /// The peer has closed the connection, or none is open.
    Closed,
    /// The host's name has no address.
    NotFound,
    /// The transport cannot do this: look up names, or TLS.
    Unsupported,
    /// TLS: the server's certificate is not accepted, or the server does not accept ours.
    Certificate,
    /// Anything else: the connection was refused or reset, or the stack has no socket to spare.
    Failed,
}

impl TransportErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::Timeout => "the time limit is over",
            Self::Closed => "the connection is closed",
            Self::NotFound => "the host has no address",
            Self::Unsupported => "this transport does not support it",
            Self::Certificate => "the certificate is not accepted",
            Self::Failed => "the connection failed",
        }
    }
}
