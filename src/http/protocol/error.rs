//! Requests that must not be sent, and responses that break the protocol.

use alloc::string::String;

use crate::cause::debug_is_display;

debug_is_display!(RequestError, ResponseError);

/// A part of a request that must not be sent: it could be read as another request.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// The method is not a token.
    #[error("method is not a token")]
    BadMethod,
    /// The target has no `/` at its start, or a blank, control, fragment or non-ASCII character.
    #[error("character at byte {at} is not allowed in a request target")]
    BadTarget {
        /// Position in bytes, from 0.
        at: usize,
    },
    /// The host is empty or has a character that no host and port have.
    #[error("character at byte {at} is not allowed in a host")]
    BadHost {
        /// Position in bytes, from 0.
        at: usize,
    },
    /// The name of a field is not a token.
    #[error("name of header field {index} is not a token")]
    BadHeaderName {
        /// Position in [`RequestHead::headers`], from 0.
        index: usize,
    },
    /// The value of a field has a control character.
    #[error("control character in header field {index}, at byte {at} of its value")]
    BadHeaderValue {
        /// Position in [`RequestHead::headers`], from 0.
        index: usize,
        /// Position in bytes, from 0.
        at: usize,
    },
    /// [`RequestHead`] sets the field itself; given twice it would be ambiguous.
    #[error("header field {index} is set by the client itself")]
    ReservedHeader {
        /// Position in [`RequestHead::headers`], from 0.
        index: usize,
    },
}

/// The server violated the protocol or exceeded a limit: the connection must be closed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseError {
    /// The head did not end in time.
    #[error("response head is over the limit of {limit} bytes")]
    HeadTooLong {
        /// The limit given to [`HeadParser::new`].
        limit: usize,
    },
    /// The head has too many fields.
    #[error("response head has over {limit} header fields")]
    TooManyHeaders {
        /// [`MAX_HEADERS`].
        limit: usize,
    },
    /// The head is not one of HTTP/1.0 or 1.1.
    #[error("malformed response head: {reason}")]
    BadHead {
        /// What is wrong.
        reason: String,
    },
    /// The status is invalid or unexpected: under 100, 101, or over 599.
    #[error("unexpected status {status}")]
    BadStatus {
        /// The status.
        status: u16,
    },
    /// A `Content-Length` is not a number, or too large.
    #[error("malformed content-length")]
    BadContentLength,
    /// Two different `Content-Length`s.
    #[error("content-length given as {first} and as {second}")]
    ConflictingContentLength {
        /// The first, in bytes.
        first: u64,
        /// One that differs, in bytes.
        second: u64,
    },
    /// A `Transfer-Encoding` other than a single `chunked`, or any in HTTP/1.0.
    #[error("unsupported transfer-encoding")]
    BadTransferEncoding,
    /// Both `Content-Length` and chunks: an intermediary may see another body.
    #[error("both content-length and transfer-encoding")]
    AmbiguousLength,
    /// A body that ends with the connection.
    #[error("neither content-length nor chunked")]
    NoLength,
    /// The line before a chunk is not a hexadecimal number, with or without extensions, and CR LF.
    #[error("malformed chunk size")]
    BadChunkSize,
    /// The size of a chunk does not fit in 64 bits.
    #[error("chunk size is over 64 bits")]
    ChunkSizeOverflow,
    /// The line before a chunk exceeds [`MAX_CHUNK_LINE`].
    #[error("chunk size line is over the limit of {limit} bytes")]
    ChunkLineTooLong {
        /// [`MAX_CHUNK_LINE`].
        limit: usize,
    },
    /// The chunk is longer or shorter than declared.
    #[error("no CR LF behind the declared end of a chunk")]
    ChunkEnd,
    /// A line behind the last chunk does not end in CR LF.
    #[error("malformed trailers")]
    BadTrailers,
    /// The lines after the last chunk exceed [`MAX_TRAILERS`].
    #[error("trailers are over the limit of {limit} bytes")]
    TrailersTooLong {
        /// [`MAX_TRAILERS`].
        limit: usize,
    },
    /// There is no memory for the head.
    #[error("out of memory for a response head")]
    NoMemory,
}
