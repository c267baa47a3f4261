//! Why a broker failed.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::cause::{BoxError, debug_tells_causes};
use crate::stream::StreamError;
use crate::trace::EscapedUpTo;

/// The longest message that is shown, in bytes: it may name many servers and why each of them failed.
const MAX_MESSAGE_LEN: usize = 4096;

/// Why a [`Broker`](crate::adapter::Broker) failed: a kind to act on, a message, and the cause.
pub struct BrokerError(Box<Inner>);

/// Behind a pointer: results with such an error are moved about all the time.
struct Inner {
    kind: BrokerErrorKind,
    message: String,
    subject: Option<String>,
    refuses_subscription: bool,
    is_not_sent: bool,
    source: Option<BoxError>,
}

debug_tells_causes!(BrokerError);

impl BrokerError {
    /// An error that says `message`: lower case, no full stop, with the URL or subject it is about.
    pub fn new(kind: BrokerErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            subject: None,
            refuses_subscription: false,
            is_not_sent: false,
            source: None,
        }))
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, with the subject that the server refused.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// The same error, with whether the subject was refused for a subscription. Default: false, for a publish.
    #[must_use]
    #[cfg(any(feature = "std", feature = "nal"))]
    pub(crate) fn of_subscription(mut self, refuses_subscription: bool) -> Self {
        self.0.refuses_subscription = refuses_subscription;
        self
    }

    pub(crate) fn refuses_subscription(&self) -> bool {
        self.0.refuses_subscription
    }

    /// The same error, of a publish of which nothing was written.
    #[must_use]
    pub fn not_sent(mut self) -> Self {
        self.0.is_not_sent = true;
        self
    }

    /// The subject that the server refused, where it named one.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// Whether a publish that failed with this error certainly did not reach the server: it was refused
    /// before anything was written, or by the server itself.
    pub fn is_not_sent(&self) -> bool {
        use BrokerErrorKind as Kind;
        self.0.is_not_sent
            || !matches!(
                self.0.kind,
                Kind::Timeout | Kind::Disconnected | Kind::SlowConsumer { .. } | Kind::Protocol
            )
    }

    /// What happened, to act on.
    pub fn kind(&self) -> BrokerErrorKind {
        self.0.kind
    }

    /// The same error again, without its cause.
    #[cfg(feature = "nal")]
    pub(crate) fn copy(&self) -> Self {
        let mut copy = Self::new(self.0.kind, self.0.message.clone());
        copy.0.is_not_sent = self.0.is_not_sent;
        copy
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        use BrokerErrorKind as Kind;
        matches!(
            self.0.kind,
            Kind::Unreachable | Kind::Timeout | Kind::Disconnected | Kind::SlowConsumer { .. }
        )
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", EscapedUpTo(&self.0.message, MAX_MESSAGE_LEN))
    }
}

impl core::error::Error for BrokerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<StreamError> for BrokerError {
    fn from(error: StreamError) -> Self {
        Self::new(BrokerErrorKind::Local, "the body cannot be read").with_source(error)
    }
}

/// What happened to a [`Broker`](crate::adapter::Broker).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerErrorKind {
    /// No server could be connected to.
    Unreachable,
    /// The server does not accept the credentials, or its certificate is not accepted.
    Unauthorized,
    /// The time limit of the call is over. What was published may or may not have arrived.
    Timeout,
    /// The connection is lost. What was published and not flushed may or may not have arrived.
    Disconnected,
    /// The server sent `-ERR`, for a missing permission for example.
    Refused,
    /// The body is longer than the server accepts. Nothing was sent.
    TooLarge {
        /// The body's length in bytes.
        len: u64,
        /// The most the server accepts, in bytes.
        limit: u64,
    },
    /// The subject or queue group cannot be used. Nothing was sent.
    InvalidSubject,
    /// A header cannot be used. Nothing was sent.
    InvalidHeader,
    /// Messages arrived faster than they were taken, and were dropped.
    SlowConsumer {
        /// How many.
        dropped: u64,
    },
    /// The options of the connection cannot be used: a malformed URL, a file that cannot be read.
    InvalidOption,
    /// The server broke the protocol.
    Protocol,
    /// This machine failed: the body could not be read, or there was no memory.
    Local,
}

impl fmt::Display for BrokerErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Refused => "refused",
            Self::TooLarge { .. } => "too_large",
            Self::InvalidSubject => "invalid_subject",
            Self::InvalidHeader => "invalid_header",
            Self::SlowConsumer { .. } => "slow_consumer",
            Self::InvalidOption => "invalid_option",
            Self::Protocol => "protocol",
            Self::Local => "local",
        })
    }
}
