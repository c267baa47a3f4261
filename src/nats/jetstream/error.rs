//! Why JetStream failed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::cause::{BoxError, debug_tells_causes};
use crate::json::{JsonError, Reader};
use crate::nats::{BrokerError, BrokerErrorKind};
use crate::platform::PlatformError;
use crate::trace::Escaped;

/// Why JetStream failed: a kind to act on, a message, and the cause.
pub struct JetStreamError(Box<Inner>);

/// Behind a pointer: results with such an error are moved about all the time.
struct Inner {
    kind: JetStreamErrorKind,
    message: String,
    is_not_delivered: bool,
    source: Option<BoxError>,
}

debug_tells_causes!(JetStreamError);

impl JetStreamError {
    pub(crate) fn new(kind: JetStreamErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            is_not_delivered: false,
            source: None,
        }))
    }

    /// The same error, with its cause.
    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, of a message that certainly nobody has.
    pub(crate) fn not_delivered(mut self, is_not_delivered: bool) -> Self {
        self.0.is_not_delivered = is_not_delivered;
        self
    }

    /// An answer that is none of JetStream.
    pub(crate) fn invalid_answer(what: &str, cause: JsonError) -> Self {
        let message = format!("the answer to {what} cannot be read");
        Self::new(JetStreamErrorKind::InvalidAnswer, message).with_source(cause)
    }

    /// What happened, to act on.
    pub fn kind(&self) -> JetStreamErrorKind {
        self.0.kind
    }

    /// What happened to the broker, if it is that which failed.
    pub(crate) fn broker_kind(&self) -> Option<BrokerErrorKind> {
        match self.0.kind {
            JetStreamErrorKind::Broker(kind) => Some(kind),
            _ => None,
        }
    }

    /// Whether a message that was published certainly reached neither a stream nor a subscriber.
    pub fn is_not_delivered(&self) -> bool {
        self.0.is_not_delivered
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        use JetStreamErrorKind as Kind;
        match self.0.kind {
            Kind::Timeout | Kind::Unavailable => true,
            Kind::Broker(kind) => is_transient(kind),
            _ => false,
        }
    }
}

/// Whether a broker may have recovered from it by the next attempt.
fn is_transient(kind: BrokerErrorKind) -> bool {
    BrokerError::new(kind, "").is_transient()
}

impl fmt::Display for JetStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.0.message))
    }
}

impl core::error::Error for JetStreamError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<BrokerError> for JetStreamError {
    fn from(error: BrokerError) -> Self {
        let is_not_delivered = error.is_not_sent();
        Self::new(
            JetStreamErrorKind::Broker(error.kind()),
            "the broker failed",
        )
        .with_source(error)
        .not_delivered(is_not_delivered)
    }
}

impl From<PlatformError> for JetStreamError {
    fn from(error: PlatformError) -> Self {
        Self::new(
            JetStreamErrorKind::Platform,
            "no name for an inbox can be made",
        )
        .with_source(error)
        .not_delivered(true)
    }
}

/// What happened to JetStream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JetStreamErrorKind {
    /// The server, or the account, has no JetStream.
    NotEnabled,
    /// There is no such stream, or none that stores the subject.
    NoStream,
    /// Another stream than the expected one stores the subject. The message was not stored.
    WrongStream,
    /// The stream is at its limit and takes no further messages. The message was not stored.
    StreamFull,
    /// The message is longer than the stream accepts. It was not stored.
    TooLarge,
    /// The account or the server is at its limit of storage, streams or consumers.
    StorageLimit,
    /// The user may not publish or subscribe there.
    NotPermitted,
    /// There is no such consumer, message or object.
    NotFound,
    /// A stream, bucket or consumer of that name has another configuration; the message names the
    /// differences.
    Conflict,
    /// The cluster elects a leader, or a server is starting.
    Unavailable,
    /// The time limit is over and nobody has answered.
    Timeout,
    /// A name or an option cannot be used. No request was made.
    InvalidOption,
    /// The answer cannot be understood.
    InvalidAnswer,
    /// The server refuses for another reason.
    Refused {
        /// Its status, such as 400.
        code: u16,
        /// Its number of the error.
        err_code: u32,
    },
    /// The connection failed.
    Broker(BrokerErrorKind),
    /// No random bytes, or a body that cannot be read.
    Platform,
}

impl fmt::Display for JetStreamErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotEnabled => "not_enabled",
            Self::NoStream => "no_stream",
            Self::WrongStream => "wrong_stream",
            Self::StreamFull => "stream_full",
            Self::TooLarge => "too_large",
            Self::StorageLimit => "storage_limit",
            Self::NotPermitted => "not_permitted",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::InvalidOption => "invalid_option",
            Self::InvalidAnswer => "invalid_answer",
            Self::Refused { .. } => "refused",
            Self::Broker(kind) => return write!(f, "broker_{kind}"),
            Self::Platform => "platform",
        })
    }
}

/// The `error` of an answer of JetStream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) err_code: u32,
    pub(crate) description: String,
}

impl ApiError {
    /// Reads `{"code":404,"err_code":10059,"description":"stream not found"}`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut error = Self::default();
        let mut members = reader.object()?;
        while let Some(key) = reader.next_key(&mut members)? {
            match &*key {
                "code" => error.code = small(reader.unsigned()?),
                "err_code" => error.err_code = small(reader.unsigned()?),
                "description" => error.description = reader.text()?.into_owned(),
                _ => drop(reader.skip()?),
            }
        }
        Ok(error)
    }

    /// By the numbers of `errors.json` in the server's source, which never change.
    pub(super) fn kind(&self) -> JetStreamErrorKind {
        use JetStreamErrorKind as Kind;
        // Not `str::contains`, whose search takes 3 KB of a board's flash.
        let says = |word: &str| {
            self.description
                .split(' ')
                .any(|found| found.starts_with(word))
        };
        match self.err_code {
            10_039 | 10_076 => Kind::NotEnabled,
            10_059 => Kind::NoStream,
            10_060 => Kind::WrongStream,
            10_014 | 10_037 => Kind::NotFound,
            10_077 if says("maximum") => Kind::StreamFull,
            10_077 if says("resource") => Kind::StorageLimit,
            10_054 => Kind::TooLarge,
            10_002 | 10_023 | 10_026 | 10_027 | 10_028 | 10_047 => Kind::StorageLimit,
            10_013 | 10_058 | 10_065 | 10_105 | 10_148 => Kind::Conflict,
            10_004 | 10_006 | 10_007 | 10_008 | 10_009 => Kind::Unavailable,
            // An earlier attempt is not stored yet, and too many requests.
            10_158 | 10_167 => Kind::Unavailable,
            _ if self.code == 503 && self.err_code == 0 => Kind::Unavailable,
            err_code => Kind::Refused {
                code: self.code,
                err_code,
            },
        }
    }

    pub(super) fn into_error(self, what: &str) -> JetStreamError {
        let Self {
            code,
            err_code,
            description,
        } = &self;
        let message = format!("{what} was refused: {description} ({code}, error {err_code})");
        JetStreamError::new(self.kind(), message)
    }
}

fn small<T: TryFrom<u64> + Default>(number: u64) -> T {
    T::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn errors_of_the_server_have_kinds() {
        for (code, err_code, description, kind, transient) in [
            (503, 10_039, "not enabled", "not_enabled", false),
            (404, 10_059, "stream not found", "no_stream", false),
            (400, 10_060, "expected stream", "wrong_stream", false),
            (
                503,
                10_077,
                "maximum messages exceeded",
                "stream_full",
                false,
            ),
            (503, 10_077, "maximum bytes exceeded", "stream_full", false),
            (
                503,
                10_077,
                "insufficient resources",
                "storage_limit",
                false,
            ),
            (503, 10_077, "disk I/O error", "refused", false),
            (400, 10_002, "resource limits", "storage_limit", false),
            (404, 10_014, "consumer not found", "not_found", false),
            (400, 10_058, "name in use", "conflict", false),
            (503, 10_008, "temporarily unavailable", "unavailable", true),
            (409, 10_158, "in process", "unavailable", true),
            (429, 10_167, "too many requests", "unavailable", true),
            (503, 0, "", "unavailable", true),
            (400, 1, "", "refused", false),
        ] {
            let description = description.to_string();
            let api = ApiError {
                code,
                err_code,
                description,
            };
            let error = api.into_error("a request");
            assert_eq!(error.kind().to_string(), kind, "{code} {err_code}");
            assert_eq!(error.is_transient(), transient, "{code} {err_code}");
        }
    }

    #[test]
    fn a_refusal_names_what_was_refused_and_why() {
        let mut reader = Reader::new(
            r#"{"code":404,"err_code":10059,"description":"stream\nnot found","x":[1]}"#,
        );
        let error = ApiError::read(&mut reader).unwrap().into_error("`S`");
        let expected = "`S` was refused: stream\\u{a}not found (404, error 10059)";
        assert_eq!(error.to_string(), expected);
        let mut reader = Reader::new(r#"{"code":99999999}"#);
        assert_eq!(ApiError::read(&mut reader).unwrap().code, 0);
        assert!(ApiError::read(&mut Reader::new("[]")).is_err());
        assert!(ApiError::read(&mut Reader::new(r#"{"code":"x"}"#)).is_err());
    }
}
