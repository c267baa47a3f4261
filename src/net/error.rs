//! Why a connection could not be made, or does not move bytes any more.

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
    message: String,
    source: Option<BoxError>,
}

debug_tells_causes!(TransportError);

impl TransportError {
    /// An error with `message`: lower case, no full stop.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
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
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    pub(crate) fn timeout() -> Self {
        Self::new(TransportErrorKind::Timeout, "the time limit is over")
    }

    pub(crate) fn closed() -> Self {
        Self::new(
            TransportErrorKind::Closed,
            "the peer has closed the connection",
        )
    }

    pub(crate) fn not_open() -> Self {
        Self::new(TransportErrorKind::Closed, "there is no connection")
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.message))
    }
}

impl core::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
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
