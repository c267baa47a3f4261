//! Errors, divided by who must act.
//!
//! [`Error`] is what the bridge returns. Inside it stand the concrete errors of the two traits,
//! [`BrokerError`](crate::adapter::BrokerError) and [`FileServerError`](crate::adapter::FileServerError). To decide
//! what to do, match on [`Error::kind`]; to report it, print the error and its
//! [`source`](core::error::Error::source) chain: each `Display` describes its own level only.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::cause::debug_tells_causes;
use crate::file_server::retry::Failed;
use crate::file_server::{FileServerError, FileServerErrorKind, OptionError};
use crate::http::HttpError;
use crate::http::url::RedactedUrl;
use crate::json::JsonError;
use crate::message::{EnvelopeError, PayloadError, PayloadRef};
use crate::nats::jetstream::{JetStreamError, JetStreamErrorKind};
use crate::nats::{BrokerError, BrokerErrorKind, SubjectError};
use crate::platform::PlatformError;
use crate::platform::millis;
use crate::stream::StreamError;
use crate::trace::Escaped;

/// Any failure of a [`NatsBridge`](crate::NatsBridge). Every error of the crate converts into it by `?`.
///
/// ```
/// use natsbridge::{Error, ErrorKind, Payload};
///
/// fn reading(celsius: f64) -> Result<Payload<'static>, Error> {
///     Ok(Payload::dictionary(&celsius)?)
/// }
///
/// let error = reading(f64::NAN).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(
///     format!("{error:?}"),
///     "a payload cannot be used: it has a NaN or an infinity, which JSON does not have"
/// );
/// ```
///
/// Control characters in texts of a peer or a caller are escaped. The guide has a table of
/// [what each error means](crate::guide::errors).
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The subject is invalid. Nothing was sent.
    #[error("the subject cannot be used")]
    Subject(#[from] SubjectError),

    /// An option is invalid. Nothing was sent.
    #[error("an option cannot be used")]
    Option(#[from] OptionError),

    /// A payload cannot be sent; nothing was sent. Or one cannot be made of, or read as, what the caller asks
    /// for.
    #[error(fmt = fmt_payload)]
    Payload {
        /// Which payload, if it was being sent.
        payload: Option<PayloadRef>,
        /// Why.
        source: PayloadError,
    },

    /// Something exceeds a limit. Nothing was published.
    #[error("{what} of {len} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: Measured,
        /// Its length in bytes. For a message: the shortest possible one. For files that do not declare their
        /// length: one more than the limit, where reading ended.
        len: u64,
        /// The most that is allowed, in bytes.
        limit: u64,
    },

    /// A received message, or a payload in it, violates the wire contract or is not what the caller asks for.
    #[error("the message cannot be read")]
    Message(#[source] Box<EnvelopeError>),

    /// The message has a URL that the [`LinkPolicy`](crate::LinkPolicy) does not allow.
    /// Nothing was fetched.
    #[error("the link of {payload} is not allowed: {}: {reason}", RedactedUrl(url))]
    LinkRefused {
        /// Which payload.
        payload: PayloadRef,
        /// The URL, as the message has it. The error prints it without user name, password and query.
        url: String,
        /// What is allowed, and how to allow this URL.
        reason: String,
    },

    /// The file server failed.
    #[error(fmt = fmt_file_server)]
    FileServer {
        /// At which payload, if it was being sent or received.
        payload: Option<PayloadRef>,
        /// Attempts made.
        attempts: u32,
        /// Why the last one failed.
        source: FileServerError,
    },

    /// The broker failed.
    #[error("the broker failed")]
    Broker(#[from] BrokerError),

    /// Nobody is subscribed to the subject of a request.
    #[error("no responders on `{}`", Escaped(subject))]
    NoResponders {
        /// The subject of the request.
        subject: String,
    },

    /// JetStream failed: a message was not stored, or perhaps was, or a consumer cannot be read.
    #[error("JetStream failed")]
    JetStream(#[from] JetStreamError),

    /// A request got no answer in time.
    #[error("no answer from `{}` within {} ms", Escaped(subject), millis(*waited))]
    NoAnswer {
        /// The subject of the request.
        subject: String,
        /// The time waited.
        waited: Duration,
    },

    /// The total timeout of a send or a receive is over. A send has published nothing.
    #[error("the time limit of {} ms is over", millis(*limit))]
    TimedOut {
        /// The timeout.
        limit: Duration,
    },

    /// The message has no subject to reply to.
    #[error("the message has no `reply_to` and no reply subject")]
    NoReplyTo,

    /// The send failed, and files that it had uploaded stay: the message may have been delivered, or they
    /// could not be deleted.
    #[error("the send failed and {} uploaded file(s) stay behind: {}", left_behind.len(), Listed(left_behind))]
    LeftBehind {
        /// The URLs of the files that are still on the file server.
        left_behind: Vec<String>,
        /// Why the send failed.
        source: Box<Error>,
    },

    /// The platform has no random bytes, so no id could be made.
    #[error("the platform failed")]
    Platform(#[from] PlatformError),
}

debug_tells_causes!(Error);

fn fmt_payload(
    payload: &Option<PayloadRef>,
    _: &PayloadError,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match payload {
        Some(payload) => write!(f, "{payload} cannot be sent"),
        None => f.write_str("a payload cannot be used"),
    }
}

fn fmt_file_server(
    payload: &Option<PayloadRef>,
    attempts: &u32,
    _: &FileServerError,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.write_str("the file server failed")?;
    match payload {
        Some(payload) => write!(f, " at {payload}, {attempts} attempt(s)"),
        None => Ok(()),
    }
}

impl From<EnvelopeError> for Error {
    fn from(error: EnvelopeError) -> Self {
        Self::Message(Box::new(error))
    }
}

impl From<PayloadError> for Error {
    fn from(source: PayloadError) -> Self {
        Self::Payload {
            payload: None,
            source,
        }
    }
}

impl From<JsonError> for Error {
    fn from(error: JsonError) -> Self {
        PayloadError::from(error).into()
    }
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        PayloadError::from(error).into()
    }
}

impl From<FileServerError> for Error {
    fn from(source: FileServerError) -> Self {
        Self::FileServer {
            payload: None,
            attempts: 1,
            source,
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        FileServerError::from(error).into()
    }
}

impl Error {
    pub(crate) fn file_server(payload: PayloadRef, failed: Failed) -> Self {
        Self::FileServer {
            payload: Some(payload),
            attempts: failed.attempts,
            source: failed.source,
        }
    }

    /// What happened, to act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Payload {
                source: PayloadError::Parse(_) | PayloadError::NotJson(_),
                ..
            } => ErrorKind::InvalidMessage,
            Self::Subject(_) | Self::Option(_) | Self::Payload { .. } | Self::NoReplyTo => {
                ErrorKind::InvalidInput
            }
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Message(_) => ErrorKind::InvalidMessage,
            Self::LinkRefused { .. } => ErrorKind::LinkRefused,
            Self::FileServer { source, .. } => ErrorKind::FileServer(source.kind()),
            Self::Broker(source) => ErrorKind::Broker(source.kind()),
            Self::JetStream(source) => ErrorKind::JetStream(source.kind()),
            Self::NoResponders { .. } => ErrorKind::NoResponders,
            Self::NoAnswer { .. } => ErrorKind::NoAnswer,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::LeftBehind { source, .. } => source.kind(),
            Self::Platform(_) => ErrorKind::Platform,
        }
    }

    /// The payload that the error is about, if it is about one.
    pub fn payload(&self) -> Option<&PayloadRef> {
        match self {
            Self::Payload { payload, .. } | Self::FileServer { payload, .. } => payload.as_ref(),
            Self::LinkRefused { payload, .. }
            | Self::TooLarge {
                what:
                    Measured::Payload(payload) | Measured::Name(payload) | Measured::Download(payload),
                ..
            } => Some(payload),
            Self::Message(error) => error.payload(),
            Self::LeftBehind { source, .. } => source.payload(),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::FileServer { source, .. } => source.is_transient(),
            Self::Broker(source) => source.is_transient(),
            Self::JetStream(source) => source.is_transient(),
            Self::NoResponders { .. } | Self::NoAnswer { .. } | Self::TimedOut { .. } => true,
            Self::LeftBehind { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}

/// What happened, to act on. The guide says for each [who acts and whether to retry](crate::guide::errors#kinds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's subject, option, payload or file is invalid.
    InvalidInput,
    /// A payload or message exceeds a limit.
    TooLarge,
    /// A received message violates the wire contract, or is not what the caller asks for.
    InvalidMessage,
    /// The policy does not allow the message's link.
    LinkRefused,
    /// The file server failed.
    FileServer(FileServerErrorKind),
    /// The broker failed.
    Broker(BrokerErrorKind),
    /// JetStream failed.
    JetStream(JetStreamErrorKind),
    /// Nobody is subscribed to the subject of a request.
    NoResponders,
    /// A request got no answer in time.
    NoAnswer,
    /// The total timeout of a send or a receive is over.
    TimedOut,
    /// No random bytes.
    Platform,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput => f.write_str("invalid_input"),
            Self::TooLarge => f.write_str("too_large"),
            Self::InvalidMessage => f.write_str("invalid_message"),
            Self::LinkRefused => f.write_str("link_refused"),
            Self::FileServer(kind) => write!(f, "file_server_{kind}"),
            Self::Broker(kind) => write!(f, "broker_{kind}"),
            Self::JetStream(kind) => write!(f, "jetstream_{kind}"),
            Self::NoResponders => f.write_str("no_responders"),
            Self::NoAnswer => f.write_str("no_answer"),
            Self::TimedOut => f.write_str("timed_out"),
            Self::Platform => f.write_str("platform"),
        }
    }
}

/// What an [`Error::TooLarge`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measured {
    /// The serialized bytes of a payload.
    Payload(PayloadRef),
    /// The name of a payload.
    Name(PayloadRef),
    /// A file behind a link.
    Download(PayloadRef),
    /// All files behind the links of a message.
    Downloads,
    /// The whole message.
    Message,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload(payload) => write!(f, "{payload}"),
            Self::Name(payload) => write!(f, "the name of {payload}"),
            Self::Download(payload) => write!(f, "the file of {payload}"),
            Self::Downloads => f.write_str("the total of all linked files"),
            Self::Message => f.write_str("a message"),
        }
    }
}

/// URLs without secrets, one after the other.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, url) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}", RedactedUrl(url))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpErrorKind;
    use crate::message::{Envelope, Limits, Payload, PayloadType};
    use alloc::borrow::Cow;
    use alloc::format;

    /// A function that does no more than `?`.
    fn question_mark<E>(error: E) -> Error
    where
        Error: From<E>,
    {
        error.into()
    }

    #[test]
    fn every_error_of_the_crate_becomes_this_one_and_keeps_its_kind_and_cause() {
        let too_large = FileServerErrorKind::TooLarge { limit: 7 };
        let parse = || Payload::text("1").parse::<u8>().unwrap_err();
        let bytes = Cow::Borrowed(&b"{"[..]);
        let json = Payload::deserialize(PayloadType::Dictionary, bytes).unwrap_err();
        let PayloadError::Json(json) = json else {
            panic!("{json:?}")
        };
        let envelope = Envelope::parse(b"", &Limits::default()).unwrap_err();
        let subject = crate::nats::check_subject("", crate::nats::SubjectUse::Publish);
        for (error, kind, cause) in [
            (question_mark(parse()), ErrorKind::InvalidMessage, "`text`"),
            (
                question_mark(PayloadError::NotFinite),
                ErrorKind::InvalidInput,
                "NaN",
            ),
            (question_mark(json), ErrorKind::InvalidInput, "JSON"),
            (
                question_mark(StreamError::CannotRewind),
                ErrorKind::InvalidInput,
                "start over",
            ),
            (question_mark(envelope), ErrorKind::InvalidMessage, "JSON"),
            (
                question_mark(FileServerError::new(too_large, "why")),
                ErrorKind::FileServer(too_large),
                "the file server failed: why",
            ),
            (
                question_mark(HttpError::new(HttpErrorKind::Timeout, "why")),
                ErrorKind::FileServer(FileServerErrorKind::Timeout),
                "why",
            ),
            (
                question_mark(BrokerError::new(BrokerErrorKind::Timeout, "why")),
                ErrorKind::Broker(BrokerErrorKind::Timeout),
                "why",
            ),
            (
                question_mark(PlatformError("why".into())),
                ErrorKind::Platform,
                "why",
            ),
            (
                question_mark(OptionError::NoPayloads),
                ErrorKind::InvalidInput,
                "no payloads",
            ),
            (
                question_mark(subject.unwrap_err()),
                ErrorKind::InvalidInput,
                "empty",
            ),
        ] {
            assert_eq!(error.kind(), kind, "{error:?}");
            assert_eq!(error.payload(), None);
            let words = format!("{error:?}");
            assert!(words.contains(cause), "{words}");
        }
    }
}
