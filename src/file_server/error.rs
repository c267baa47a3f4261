//! Errors of file servers, and of their configuration.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

use crate::cause::{BoxError, debug_tells_causes};
use crate::http::url::{RedactedUrl, Url, has_userinfo};
use crate::http::{HttpError, HttpErrorKind, HttpResponse};
use crate::stream::StreamError;
use crate::trace::{Escaped, start_of};

/// Why a [`FileServer`](crate::adapter::FileServer) failed: a kind to act on, a message, and the cause.
pub struct FileServerError(Box<Inner>);

/// Behind a pointer: results with such an error are moved about all the time.
struct Inner {
    kind: FileServerErrorKind,
    message: String,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

debug_tells_causes!(FileServerError);

impl FileServerError {
    /// An error with a message: lower case, no full stop, with the URL it is about, but without its query, which may be a
    /// signature.
    pub fn new(kind: FileServerErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            retry_after: None,
            source: None,
        }))
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// A body or sink of this machine failed.
    pub(crate) fn local(error: StreamError) -> Self {
        let message = "a stream of this machine failed";
        Self::new(FileServerErrorKind::Local, message).with_source(error)
    }

    pub(super) fn unsupported(what: &str) -> Self {
        let message = format!("there is no file server to {what} with");
        Self::new(FileServerErrorKind::Unsupported, message)
    }

    /// The error for an unsuccessful response.
    pub(super) fn refused(action: &str, response: &HttpResponse) -> Self {
        let status = response.status;
        let kind = match status {
            401 | 403 => FileServerErrorKind::Unauthorized,
            404 | 410 => FileServerErrorKind::NotFound,
            408 | 425 | 429 | 500..=599 => FileServerErrorKind::ServerFault { status },
            _ => FileServerErrorKind::Refused { status },
        };
        let mut message = format!("{action} was answered with status {status}");
        if !response.reason.is_empty() {
            message = format!("{message}: {}", start_of(response.reason.trim_end()));
        }
        if let Some(location) = &response.location {
            let location = RedactedUrl(location);
            message = format!("{message} (redirect to {location}, not followed)");
        }
        let mut error = Self::new(kind, message);
        error.0.retry_after = response.retry_after;
        error
    }

    /// What happened, to act on.
    pub fn kind(&self) -> FileServerErrorKind {
        self.0.kind
    }

    /// The server's `Retry-After`, if it sent one.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether a retry may succeed: no connection, a timeout, or a status of 408, 425, 429 or 500 to 599.
    pub fn is_transient(&self) -> bool {
        use FileServerErrorKind as Kind;
        matches!(
            self.0.kind,
            Kind::Unreachable | Kind::Timeout | Kind::Disconnected | Kind::ServerFault { .. }
        )
    }
}

impl fmt::Display for FileServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.0.message))
    }
}

impl core::error::Error for FileServerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<HttpError> for FileServerError {
    fn from(error: HttpError) -> Self {
        use FileServerErrorKind as Kind;
        let kind = match error.kind() {
            HttpErrorKind::InvalidRequest => Kind::InvalidUrl,
            HttpErrorKind::Unreachable => Kind::Unreachable,
            HttpErrorKind::Certificate => Kind::Unauthorized,
            HttpErrorKind::Timeout => Kind::Timeout,
            HttpErrorKind::Disconnected => Kind::Disconnected,
            HttpErrorKind::TooLarge { limit } => Kind::TooLarge { limit },
            HttpErrorKind::Protocol => Kind::InvalidAnswer,
            HttpErrorKind::Local => Kind::Local,
        };
        Self::new(kind, "the exchange with the file server failed").with_source(error)
    }
}

/// What happened to a [`FileServer`](crate::adapter::FileServer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileServerErrorKind {
    /// There is no file server, or it does not support the operation.
    Unsupported,
    /// No connection could be made.
    Unreachable,
    /// The time limit is over.
    Timeout,
    /// The connection was lost, or the file ended early.
    Disconnected,
    /// The server does not accept the credentials (401, 403), or a certificate is not accepted.
    Unauthorized,
    /// There is no such file, or no longer (404, 410).
    NotFound,
    /// The link was valid for a limited time, which is over.
    Expired,
    /// The server refused the request, and a retry would not help.
    Refused {
        /// The status.
        status: u16,
    },
    /// The server failed, and a retry may help (408, 425, 429, 500 to 599).
    ServerFault {
        /// The status.
        status: u16,
    },
    /// The file exceeds the limit.
    TooLarge {
        /// The most that is allowed, in bytes.
        limit: u64,
    },
    /// What the server stored differs from what was sent, or the server overrode an option.
    Mismatch,
    /// The URL is invalid.
    InvalidUrl,
    /// The server's response is malformed.
    InvalidAnswer,
    /// This machine failed: the body could not be read, or the sink not be written.
    Local,
}

impl fmt::Display for FileServerErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "unsupported",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::Refused { .. } => "refused",
            Self::ServerFault { .. } => "server_fault",
            Self::TooLarge { .. } => "too_large",
            Self::Mismatch => "mismatch",
            Self::InvalidUrl => "invalid_url",
            Self::InvalidAnswer => "invalid_answer",
            Self::Local => "local",
        })
    }
}

/// An option outside its range.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// A text of the envelope is too long.
    #[error("`{name}` of {len} bytes is over the limit of {limit} bytes")]
    TooLong {
        /// The option.
        name: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// More payloads than a message may have.
    #[error("{count} payloads are over the limit of {limit}")]
    TooManyPayloads {
        /// How many.
        count: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// No payloads, although [`SendOptions::allow_empty`](crate::SendOptions::allow_empty) is off.
    #[error("there are no payloads, and `allow_empty` is not set")]
    NoPayloads,
    /// The metadata of the message are not a JSON object.
    #[error("`metadata` is not a JSON object")]
    Metadata,
    /// A URL that is not one of `http` or `https` with a host.
    #[error("`{name}` is not an http or https URL: `{}`", RedactedUrl(url))]
    Url {
        /// The option.
        name: &'static str,
        /// Its value.
        url: String,
    },
    /// A URL of no known store.
    #[error("`{url}` is not the URL of a store, which starts with one of {known}")]
    UnknownStore {
        /// The URL, without what may be a secret.
        url: String,
        /// What the URL of a store may start with.
        known: String,
    },
    /// An invalid value. It may be a secret, and is not printed.
    #[error("`{name}` cannot be used: {reason}")]
    Invalid {
        /// The option.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
}

debug_tells_causes!(OptionError);

/// Checks a server's own URL: `http` or `https`, with nothing after its path.
pub(super) fn check_url(name: &'static str, url: &str) -> Result<(), OptionError> {
    let invalid = |reason| Err(OptionError::Invalid { name, reason });
    if has_userinfo(url) {
        return invalid("there is a user name or password in it; set credentials instead");
    }
    if Url::parse(url).is_none() {
        let url = RedactedUrl(url).to_string();
        return Err(OptionError::Url { name, url });
    }
    if url.contains(['?', '#']) {
        return invalid("there is a query or a fragment in it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_s_secrets_are_refused_and_not_shown() {
        for (url, words) in [
            (
                "http://me:SECRET@h/",
                "`x` cannot be used: there is a user name or password in it; set credentials instead",
            ),
            (
                "me:SEC/RET@h/",
                "`x` cannot be used: there is a user name or password in it; set credentials instead",
            ),
            (
                "http://h/?SECRET",
                "`x` cannot be used: there is a query or a fragment in it",
            ),
            (
                "h:80/?SECRET",
                "`x` is not an http or https URL: `h:80/?...`",
            ),
        ] {
            let error = check_url("x", url).unwrap_err();
            assert_eq!(error.to_string(), words);
            assert_eq!(format!("{error:?}"), words);
        }
        assert_eq!(check_url("x", "http://h/a"), Ok(()));
    }

    /// Issue 10, point 11.
    #[test]
    fn a_server_s_long_texts_are_cut() {
        let response = HttpResponse {
            status: 302,
            reason: "\u{e9}".repeat(50_000),
            location: Some("http://h/".to_string() + &"x".repeat(100_000)),
            ..HttpResponse::default()
        };
        let words = FileServerError::refused("GET", &response).to_string();
        assert!(words.len() < 520, "{} bytes", words.len());
        assert!(words.ends_with("x..., not followed)"), "{words}");
        let response = HttpResponse {
            location: Some("http://h/f?sig=SECRET".to_string()),
            ..response
        };
        let words = FileServerError::refused("GET", &response).to_string();
        assert!(!words.contains("SECRET"), "{words}");
    }

    #[test]
    fn only_passing_faults_are_worth_another_attempt() {
        for (status, transient) in [
            (301, false),
            (400, false),
            (401, false),
            (404, false),
            (408, true),
            (425, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let response = HttpResponse {
                status,
                ..HttpResponse::default()
            };
            let error = FileServerError::refused("the upload", &response);
            assert_eq!(error.is_transient(), transient, "{status}");
        }
    }

    #[test]
    fn refusals_tell_kind_and_words() {
        // status, reason, kind, words
        for (status, reason, kind, words) in [
            (400, "", "refused", "GET was answered with status 400"),
            (
                401,
                "who?\n",
                "unauthorized",
                "GET was answered with status 401: who?",
            ),
            (403, "", "unauthorized", "GET was answered with status 403"),
            (404, "", "not_found", "GET was answered with status 404"),
            (410, "", "not_found", "GET was answered with status 410"),
            (499, "", "refused", "GET was answered with status 499"),
            (500, "", "server_fault", "GET was answered with status 500"),
            (599, "", "server_fault", "GET was answered with status 599"),
        ] {
            let response = HttpResponse {
                status,
                reason: reason.into(),
                retry_after: Some(Duration::from_secs(7)),
                ..HttpResponse::default()
            };
            let error = FileServerError::refused("GET", &response);
            assert_eq!(error.kind().to_string(), kind, "{status}");
            assert_eq!(error.to_string(), words);
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        }
    }

    #[test]
    fn a_failed_exchange_keeps_kind_and_cause() {
        for (kind, words) in [
            (HttpErrorKind::InvalidRequest, "invalid_url"),
            (HttpErrorKind::Unreachable, "unreachable"),
            (HttpErrorKind::Certificate, "unauthorized"),
            (HttpErrorKind::Timeout, "timeout"),
            (HttpErrorKind::Disconnected, "disconnected"),
            (HttpErrorKind::TooLarge { limit: 7 }, "too_large"),
            (HttpErrorKind::Protocol, "invalid_answer"),
            (HttpErrorKind::Local, "local"),
        ] {
            let error = FileServerError::from(HttpError::new(kind, "the cause"));
            assert_eq!(error.kind().to_string(), words);
            let cause = core::error::Error::source(&error).map(ToString::to_string);
            assert_eq!(cause.as_deref(), Some("the cause"), "{words}");
        }
    }
}
