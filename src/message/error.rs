//! Errors of messages and payloads.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::Utf8Error;

use super::payload_type::PayloadType;
use crate::cause::{BoxError, debug_tells_causes};
use crate::json::JsonError;
use crate::stream::StreamError;
use crate::trace::{Escaped, start_of};

/// A message, or a payload in it, that violates the wire contract: where, and how.
#[non_exhaustive]
pub struct EnvelopeError {
    /// The payload, if it is in one.
    pub payload: Option<PayloadRef>,
    /// The field, if it is in one.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub fault: EnvelopeFault,
}

debug_tells_causes!(EnvelopeError);

impl EnvelopeError {
    /// The payload, if the fault is in one.
    pub fn payload(&self) -> Option<&PayloadRef> {
        self.payload.as_ref()
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(payload) = &self.payload {
            write!(f, "{payload}: ")?;
        }
        if let Some(field) = self.field {
            write!(f, "field `{field}`: ")?;
        }
        write!(f, "{}", self.fault)
    }
}

impl core::error::Error for EnvelopeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        core::error::Error::source(&self.fault)
    }
}

/// What is wrong with a message.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeFault {
    /// It is longer than [`Limits::max_message_size`](crate::Limits::max_message_size).
    #[error("{len} bytes are over the limit of {limit} bytes")]
    MessageTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// It is not UTF-8.
    #[error("it is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// It is not JSON.
    #[error("it is not JSON")]
    NotJson(#[source] JsonError),
    /// It is JSON, but a value has the wrong type, or a text has an invalid escape.
    #[error("a value has the wrong type or an invalid escape")]
    Json(#[source] JsonError),
    /// A field that is required is not there.
    #[error("it is missing")]
    Missing,
    /// A field is there twice.
    #[error("it is given twice")]
    Duplicate,
    /// There are more payloads than [`Limits::max_payloads`](crate::Limits::max_payloads), or many tiny ones, which would take
    /// many times the memory of the message: more than 400, and one for every 136 of its bytes.
    #[error("more than the limit of {limit} payloads")]
    TooManyPayloads {
        /// The most that is allowed in a message of this length.
        limit: usize,
    },
    /// A text is longer than [`Limits::max_name_len`](crate::Limits::max_name_len).
    #[error("{len} bytes are over the limit of {limit} bytes")]
    TextTooLong {
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// No such payload type.
    #[error("unknown payload type `{}`", Escaped(.0))]
    UnknownPayloadType(String),
    /// No such transport.
    #[error("unknown transport `{}`", Escaped(.0))]
    UnknownTransport(String),
    /// It is a link, which only a bridge can fetch.
    #[error("it is a link, which a bridge must open")]
    IsLink,
    /// It is not base64 of the standard alphabet with canonical padding.
    #[error(fmt = fmt_base64)]
    Base64 {
        /// Where a character stands that is invalid, in bytes from the start. None if the length or the
        /// padding is invalid.
        at: Option<usize>,
    },
    /// Out of memory.
    #[error("no memory for {len} bytes")]
    OutOfMemory {
        /// Bytes requested.
        len: usize,
    },
    /// The size differs from `size`.
    #[error("{declared} bytes were declared, {actual} received")]
    Size {
        /// The declared `size`, in bytes.
        declared: u64,
        /// The bytes received.
        actual: u64,
    },
    /// The file behind a link is longer than its `size`.
    #[error("{declared} bytes were declared, more received")]
    Longer {
        /// The declared `size`, in bytes.
        declared: u64,
    },
    /// The file behind a link has another digest.
    #[error("SHA-256 {declared} was declared, {actual} received", declared = Escaped(declared))]
    Sha256 {
        /// The digest in the metadata.
        declared: String,
        /// The digest of the file.
        actual: String,
    },
    /// The bytes are invalid for their type.
    #[error("it is invalid for its type")]
    Payload(#[source] PayloadError),
    /// The message has no payload of the name that is asked for.
    #[error("there is no payload `{}`{}", Escaped(start_of(dataname)), Others { names: present, count: *count })]
    NoPayload {
        /// The name.
        dataname: String,
        /// The names that the message has, at most the first eight.
        present: Vec<String>,
        /// How many payloads it has.
        count: usize,
    },
    /// The payload is of another type than the one that is asked for.
    #[error("it is of type `{actual}`, and not {expected}")]
    WrongType {
        /// What is asked for.
        expected: &'static str,
        /// The type of the payload.
        actual: PayloadType,
    },
    /// The JSON of a payload does not fit what it is read into.
    #[error("it is not what is asked for")]
    Unexpected(#[source] PayloadError),
}

debug_tells_causes!(EnvelopeFault);

fn fmt_base64(at: &Option<usize>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match at {
        Some(at) => write!(f, "it is not base64: invalid character at byte {at}"),
        None => f.write_str("it is not base64: invalid length or padding"),
    }
}

/// The names of the payloads that a message has.
struct Others<'a> {
    names: &'a [String],
    count: usize,
}

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str(": the message has none");
        }
        for (place, name) in self.names.iter().enumerate() {
            let start = if place == 0 { ", but" } else { "," };
            write!(f, "{start} `{}`", Escaped(start_of(name)))?;
        }
        match self.count - self.names.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl From<JsonError> for EnvelopeFault {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::OutOfMemory { len } => Self::OutOfMemory { len },
            error => Self::Json(error),
        }
    }
}

/// Why a payload cannot be sent, or its bytes cannot be read as its type.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// A text, dictionary or JSON table is not UTF-8.
    #[error("it is not UTF-8 from byte {} on", .0.valid_up_to())]
    Utf8(Utf8Error),
    /// A dictionary or JSON table is not JSON.
    #[error("it is not JSON")]
    Json(#[from] JsonError),
    /// A JSON table is JSON, but not an array.
    #[error("a JSON table must be an array")]
    NotArray,
    /// The metadata are not a JSON object.
    #[error("its metadata are not a JSON object")]
    Metadata(#[source] JsonError),
    /// The metadata have a key whose value the library sets.
    #[error("its metadata have the key `{key}`, which the library sets itself")]
    ReservedMetadata {
        /// The key.
        key: &'static str,
    },
    /// The JSON does not fit the type that it is read into.
    #[error("its JSON does not fit the requested type")]
    Parse(#[source] BoxError),
    /// The value cannot be written as JSON.
    #[error("it cannot be written as JSON")]
    Serialize(#[source] BoxError),
    /// JSON has no NaN and no infinities.
    #[error("it has a NaN or an infinity, which JSON does not have")]
    NotFinite,
    /// Only a dictionary or a JSON table can be parsed.
    #[error("a payload of type `{0}` is not JSON")]
    NotJson(PayloadType),
    /// The bytes cannot be read from where they are.
    #[error("it cannot be read")]
    Stream(#[from] StreamError),
    /// The name has control characters.
    #[error("its name has a control character at byte {at}")]
    Name {
        /// Where, in bytes from the start.
        at: usize,
    },
}

debug_tells_causes!(PayloadError);

impl From<Utf8Error> for PayloadError {
    fn from(error: Utf8Error) -> Self {
        Self::Utf8(error)
    }
}

/// A payload's place in its message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PayloadRef {
    /// Counted from 0.
    pub index: usize,
    /// Its name; empty if the error comes before the name.
    pub dataname: String,
}

impl PayloadRef {
    pub(crate) fn new(index: usize, dataname: &str) -> Self {
        Self {
            index,
            dataname: dataname.into(),
        }
    }
}

impl fmt::Display for PayloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload {} `{}`", self.index, Escaped(&self.dataname))
    }
}
