//! Faults of the server's bytes, and of single messages.

use alloc::string::String;

use crate::cause::debug_is_display;

debug_is_display!(ParseError, MessageError);

/// The server broke the protocol: the stream cannot be read any further.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// A control line other than INFO did not end in time.
    #[error("control line is over the limit of {limit} bytes")]
    LineTooLong {
        /// [`Limits::max_control_line`].
        limit: usize,
    },
    /// An INFO line did not end in time.
    #[error("INFO line is over the limit of {limit} bytes")]
    InfoTooLong {
        /// [`Limits::max_info_line`].
        limit: usize,
    },
    /// A line starts with no verb that a server uses.
    #[error("unknown verb in control line \"{line}\"")]
    UnknownVerb {
        /// The start of the line, escaped.
        line: String,
    },
    /// Too few or too many arguments, or a number that is none or too large.
    #[error("malformed arguments in control line \"{line}\"")]
    BadArguments {
        /// The start of the line, escaped.
        line: String,
    },
    /// The INFO is not a JSON object with fields of the right types.
    #[error("INFO is not the expected JSON, at byte {at} of it")]
    BadInfo {
        /// Position in the JSON text, in bytes.
        at: usize,
    },
    /// The payload is longer or shorter than declared.
    #[error("no CR LF behind the declared end of a payload")]
    PayloadEnd,
    /// There is no memory for a control line.
    #[error("out of memory for a control line")]
    NoMemory,
}

/// Why one message was read past; the connection is not affected.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    /// The payload is over [`Limits::max_payload`].
    #[error("payload of {len} bytes is over the limit of {limit}")]
    PayloadTooLarge {
        /// The declared length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The header block is over [`Limits::max_headers`].
    #[error("header block of {len} bytes is over the limit of {limit}")]
    HeadersTooLarge {
        /// The declared length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The subject or the reply subject is not UTF-8.
    #[error("subject is not UTF-8")]
    SubjectNotUtf8,
    /// There is no memory for the message.
    #[error("out of memory for a message of {len} bytes")]
    NoMemory {
        /// The declared length of the payload in bytes.
        len: usize,
    },
}
