//! HTTP/1.1 as bytes, client side: [`RequestHead`] writes a head, [`HeadParser`] reads a response head,
//! [`BodyDecoder`] its body. A request body is written by the caller, behind the head.
//!
//! On a non-blocking stack the end of a stream looks like silence. So a body must declare its end, by
//! `Content-Length` or by chunks; one that ends with the connection is refused. Anything that two readers could
//! interpret as different bodies is refused too (RFC 9112 section 11.2). How the bytes are split into pieces
//! never changes the result.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;

use super::{RESERVED_HEADERS, is_token};
use crate::cause::debug_is_display;
use crate::json::number::{Digits, decimal};

/// Default limit for response heads, in bytes.
pub(crate) const DEFAULT_MAX_HEAD: usize = 8192;
/// Most header fields in one response head. While a head is parsed each takes 4 words of stack.
pub(crate) const MAX_HEADERS: usize = 64;
/// Longest line before a chunk, with extensions and CR LF, in bytes.
pub(crate) const MAX_CHUNK_LINE: usize = 256;
/// Longest trailer section, with the empty line at its end, in bytes.
pub(crate) const MAX_TRAILERS: usize = 4096;

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHead<'a> {
    /// `GET`, `POST`, ...: methods are case-sensitive.
    pub(crate) method: &'a str,
    /// Path and query, percent-encoded, from the first `/` on and without a fragment.
    pub(crate) target: &'a str,
    /// Host name or address, with the port if it is not 80.
    pub(crate) host: &'a str,
    /// More fields, as name and value.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// Length of the body in bytes, if there is a body.
    pub(crate) content_length: Option<u64>,
    /// Whether the server should close the connection after its response. False keeps it open, the default of
    /// HTTP/1.1 (RFC 9112 section 9.3).
    pub(crate) close: bool,
}

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

impl RequestHead<'_> {
    /// Appends the head, with the empty line at its end.
    ///
    /// # Errors
    /// A part has an invalid character. Nothing was appended then.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), RequestError> {
        self.check()?;
        put(
            out,
            &[
                self.method,
                " ",
                self.target,
                " HTTP/1.1\r\nHost: ",
                self.host,
                "\r\n",
            ],
        );
        if let Some(length) = self.content_length {
            put(
                out,
                &["Content-Length: ", Digits::of(length).as_str(), "\r\n"],
            );
        }
        if self.close {
            put(out, &["Connection: close\r\n"]);
        }
        for (name, value) in self.headers {
            put(out, &[name, ": ", value, "\r\n"]);
        }
        put(out, &["\r\n"]);
        Ok(())
    }

    fn check(&self) -> Result<(), RequestError> {
        if !is_token(self.method) {
            return Err(RequestError::BadMethod);
        }
        // Origin form only (RFC 9112 section 3.2.1).
        if !self.target.starts_with('/') {
            return Err(RequestError::BadTarget { at: 0 });
        }
        if let Some(at) = self
            .target
            .bytes()
            .position(|byte| !byte.is_ascii_graphic() || byte == b'#')
        {
            return Err(RequestError::BadTarget { at });
        }
        let bad_in_host = self.host.bytes().position(|byte| !is_host_byte(byte));
        if let Some(at) = bad_in_host.or(self.host.is_empty().then_some(0)) {
            return Err(RequestError::BadHost { at });
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            check_header(index, name, value)?;
        }
        Ok(())
    }
}

fn check_header(index: usize, name: &str, value: &str) -> Result<(), RequestError> {
    if !is_token(name) {
        return Err(RequestError::BadHeaderName { index });
    }
    if RESERVED_HEADERS
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
    {
        return Err(RequestError::ReservedHeader { index });
    }
    // RFC 9110 section 5.5: a tab is the only control character in a value.
    match value
        .bytes()
        .position(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        Some(at) => Err(RequestError::BadHeaderValue { index, at }),
        None => Ok(()),
    }
}

/// Characters of a host and a port (RFC 3986 section 3.2.2 and 3.2.3).
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The fields of a response head that a client needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The status, 200 to 599.
    pub(crate) status: u16,
    /// `Content-Length` in bytes. Never together with `chunked`.
    pub(crate) content_length: Option<u64>,
    /// Whether the body comes in chunks.
    pub(crate) chunked: bool,
    /// `Location`: where a redirect leads, as the server wrote it; none if that is not UTF-8.
    pub(crate) location: Option<String>,
    /// `Retry-After` in seconds; none if the server gave a date.
    pub(crate) retry_after: Option<u64>,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After this many bytes; 0 if there is no body.
    Length(u64),
    /// By the last chunk.
    Chunked,
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

impl ResponseHead {
    /// How the body of this response to a request with `method` ends. A successful response to a PUT or
    /// DELETE that does not declare it counts as one without a body.
    ///
    /// # Errors
    /// [`ResponseError::NoLength`] if only the end of the connection would end it.
    pub(crate) fn framing(&self, method: &str) -> Result<Framing, ResponseError> {
        // RFC 9112 section 6.3, rule 1: these have no body, whatever their fields declare.
        if method == "HEAD" || matches!(self.status, 204 | 304) {
            return Ok(Framing::Length(0));
        }
        match self.content_length {
            _ if self.chunked => Ok(Framing::Chunked),
            Some(length) => Ok(Framing::Length(length)),
            // Only the end of the connection would end it, and it is not needed: the status is enough.
            None if matches!(method, "PUT" | "DELETE") && (200..300).contains(&self.status) => {
                Ok(Framing::Length(0))
            }
            None => Err(ResponseError::NoLength),
        }
    }

    fn parse(raw: &[u8]) -> Result<Option<Self>, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let result = response.parse(raw);
        let limit = MAX_HEADERS;
        match (result, response.code, response.version) {
            (Ok(httparse::Status::Complete(_)), Some(status), Some(version)) => {
                Self::read_fields(status, version, response.headers)
            }
            (Err(httparse::Error::TooManyHeaders), ..) => {
                Err(ResponseError::TooManyHeaders { limit })
            }
            (Err(error), ..) => Err(bad_head(error.to_string())),
            (Ok(_), ..) => Err(bad_head("no status line".to_string())),
        }
    }

    fn read_fields(
        status: u16,
        version: u8,
        headers: &[httparse::Header],
    ) -> Result<Option<Self>, ResponseError> {
        match status {
            // We never ask to switch protocols: after a 101 something other than HTTP would follow.
            ..100 | 101 | 600.. => return Err(ResponseError::BadStatus { status }),
            // Interim responses come before the real one and have no body (RFC 9110 section 15.2).
            100..200 => return Ok(None),
            200.. => {}
        }
        let content_length = content_length(headers)?;
        let chunked = is_chunked(headers, version)?;
        if chunked && content_length.is_some() {
            return Err(ResponseError::AmbiguousLength);
        }
        let text = |value| str::from_utf8(value).ok().map(ToString::to_string);
        Ok(Some(Self {
            status,
            content_length,
            chunked,
            location: values(headers, "location").next().and_then(text),
            retry_after: values(headers, "retry-after").next().and_then(decimal),
        }))
    }
}

fn bad_head(reason: String) -> ResponseError {
    ResponseError::BadHead { reason }
}

/// The values of all fields with this name; httparse has trimmed them.
fn values<'h>(headers: &'h [httparse::Header], name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let named = move |header: &&httparse::Header| header.name.eq_ignore_ascii_case(name);
    headers.iter().filter(named).map(|header| header.value)
}

/// The elements of a field that is a list (RFC 9110 section 5.6.1).
fn elements<'h>(headers: &'h [httparse::Header], name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let split = |value: &'h [u8]| value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    values(headers, name).flat_map(split)
}

/// The same length may be given more than once (RFC 9110 section 8.6), different ones may not.
fn content_length(headers: &[httparse::Header]) -> Result<Option<u64>, ResponseError> {
    let mut length = None;
    for digits in elements(headers, "content-length") {
        let second = decimal(digits).ok_or(ResponseError::BadContentLength)?;
        let first = *length.get_or_insert(second);
        if first != second {
            return Err(ResponseError::ConflictingContentLength { first, second });
        }
    }
    Ok(length)
}

/// HTTP/1.0 has no chunks: a message with chunks came through a faulty intermediary (RFC 9112 section 6.1).
fn is_chunked(headers: &[httparse::Header], version: u8) -> Result<bool, ResponseError> {
    let mut codings = elements(headers, "transfer-encoding");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if version > 0 && coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(ResponseError::BadTransferEncoding),
    }
}

/// Reads response heads, in pieces of any size. Interim responses (1xx) are skipped.
///
/// Lines must end in CR LF. After a head the parser is ready for that of the next response.
#[derive(Debug)]
pub(crate) struct HeadParser {
    limit: usize,
    raw: Vec<u8>,
    /// Bytes of interim heads before this one: they count, or a server could send them without end.
    skipped: usize,
    failed: Option<ResponseError>,
}

impl HeadParser {
    /// A parser that takes at most `limit` bytes for one response, interim heads included.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            raw: Vec::new(),
            skipped: 0,
            failed: None,
        }
    }

    /// Reads bytes up to the end of a head. Returns how many it used, and the head if it is complete.
    ///
    /// Without a head all of `input` was used. With one the rest of `input` belongs to the body.
    ///
    /// # Errors
    /// The response is malformed. Each further call returns the same error.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
    ) -> Result<(usize, Option<ResponseHead>), ResponseError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.read(input);
        if let Err(error) = &result {
            self.raw = Vec::new();
            self.failed = Some(error.clone());
        }
        result
    }

    fn read(&mut self, input: &[u8]) -> Result<(usize, Option<ResponseHead>), ResponseError> {
        let mut rest = input;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, tail) = rest.split_at(end + 1);
            self.append(line)?;
            rest = tail;
            if !self.raw.ends_with(b"\r\n") {
                return Err(bad_head("line ends in LF alone".to_string()));
            }
            if !self.raw.ends_with(b"\r\n\r\n") {
                continue;
            }
            let raw = mem::take(&mut self.raw);
            if let Some(head) = ResponseHead::parse(&raw)? {
                self.skipped = 0;
                return Ok((input.len() - rest.len(), Some(head)));
            }
            self.skipped += raw.len();
        }
        self.append(rest)?;
        Ok((input.len(), None))
    }

    fn append(&mut self, part: &[u8]) -> Result<(), ResponseError> {
        let room = self.limit.saturating_sub(self.skipped + self.raw.len());
        if part.len() > room {
            return Err(ResponseError::HeadTooLong { limit: self.limit });
        }
        self.raw
            .try_reserve(part.len())
            .map_err(|_| ResponseError::NoMemory)?;
        self.raw.extend_from_slice(part);
        Ok(())
    }
}

/// Finds the data in a response body, in pieces of any size. It allocates nothing: data is part of the input.
#[derive(Debug)]
pub(crate) struct BodyDecoder {
    state: State,
    /// The size of the next chunk, as far as it is read.
    size: u64,
    /// Bytes used for the chunk size line or the trailers so far.
    overhead: usize,
    failed: Option<ResponseError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This many bytes are left of a body with a known length.
    Length(u64),
    Size(SizeLine),
    /// This many bytes are left of a chunk.
    Chunk(u64),
    /// Behind a chunk; true once the CR was seen.
    ChunkEnd(bool),
    Trailers(TrailerLine),
    Done,
}

/// What comes next in the line before a chunk (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SizeLine {
    FirstDigit,
    Digits,
    Blanks,
    Extension,
    Lf,
}

/// What comes next in the lines behind the last chunk (RFC 9112 section 7.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TrailerLine {
    Start,
    Middle,
    Lf,
    LastLf,
}

/// What [`BodyDecoder::feed`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    /// How many bytes of the input were used.
    pub(crate) used: usize,
    /// Data of the body, a part of the input; often empty.
    pub(crate) data: &'a [u8],
    /// Whether the body is complete. What is left of the input does not belong to it.
    pub(crate) done: bool,
}

impl BodyDecoder {
    /// A decoder at the start of a body.
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length(left),
            Framing::Chunked => State::Size(SizeLine::FirstDigit),
        };
        Self {
            state,
            size: 0,
            overhead: 0,
            failed: None,
        }
    }

    /// Whether the body is complete: for an empty one that is so before any input.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads bytes up to the end of one run of data. If there is input left and the body is not complete, feed the
    /// rest again.
    ///
    /// # Errors
    /// The body is malformed. Each further call returns the same error.
    pub(crate) fn feed<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, ResponseError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.read(input);
        self.failed = result.as_ref().err().cloned();
        result
    }

    fn read<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, ResponseError> {
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            self.state = match self.state {
                State::Length(left) | State::Chunk(left) => {
                    let (data, rest) = split(rest, left);
                    return Ok(self.take_data(data, input.len() - rest.len()));
                }
                State::Size(part) => self.read_size(part, byte)?,
                State::ChunkEnd(cr) => read_chunk_end(cr, byte)?,
                State::Trailers(part) => self.read_trailer(part, byte)?,
                State::Done => break,
            };
            rest = tail;
        }
        let (used, done) = (input.len() - rest.len(), self.is_done());
        Ok(Decoded {
            used,
            data: &[],
            done,
        })
    }

    fn take_data<'a>(&mut self, data: &'a [u8], used: usize) -> Decoded<'a> {
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.state = match self.state {
            State::Length(left) if left > len => State::Length(left - len),
            State::Chunk(left) if left > len => State::Chunk(left - len),
            State::Chunk(_) => State::ChunkEnd(false),
            _ => State::Done,
        };
        let done = self.is_done();
        Decoded { used, data, done }
    }

    /// Not `httparse::parse_chunk_size`: that one needs the line in one piece, and accepts a line without any
    /// digit as the last chunk.
    fn read_size(&mut self, part: SizeLine, byte: u8) -> Result<State, ResponseError> {
        use SizeLine::{Blanks, Digits, Extension, FirstDigit, Lf};
        let limit = MAX_CHUNK_LINE;
        self.count(limit, ResponseError::ChunkLineTooLong { limit })?;
        let next = match (part, byte) {
            (FirstDigit | Digits, byte) if byte.is_ascii_hexdigit() => {
                self.size = add_digit(self.size, byte).ok_or(ResponseError::ChunkSizeOverflow)?;
                Digits
            }
            (Digits | Blanks, b' ' | b'\t') => Blanks,
            (Digits | Blanks, b';') => Extension,
            (Digits | Blanks | Extension, b'\r') => Lf,
            (Extension, byte) if byte != b'\n' => Extension,
            (Lf, b'\n') => return Ok(self.start_chunk()),
            _ => return Err(ResponseError::BadChunkSize),
        };
        Ok(State::Size(next))
    }

    fn start_chunk(&mut self) -> State {
        self.overhead = 0;
        match mem::take(&mut self.size) {
            0 => State::Trailers(TrailerLine::Start),
            size => State::Chunk(size),
        }
    }

    /// Trailers are dropped: none of them is of use here.
    fn read_trailer(&mut self, part: TrailerLine, byte: u8) -> Result<State, ResponseError> {
        use TrailerLine::{LastLf, Lf, Middle, Start};
        let limit = MAX_TRAILERS;
        self.count(limit, ResponseError::TrailersTooLong { limit })?;
        let next = match (part, byte) {
            (Start, b'\r') => LastLf,
            (Middle, b'\r') => Lf,
            (Start | Middle, byte) if byte != b'\n' => Middle,
            (Lf, b'\n') => Start,
            (LastLf, b'\n') => return Ok(State::Done),
            _ => return Err(ResponseError::BadTrailers),
        };
        Ok(State::Trailers(next))
    }

    fn count(&mut self, limit: usize, error: ResponseError) -> Result<(), ResponseError> {
        if self.overhead >= limit {
            return Err(error);
        }
        self.overhead += 1;
        Ok(())
    }
}

fn add_digit(size: u64, hex_digit: u8) -> Option<u64> {
    let digit = char::from(hex_digit).to_digit(16)?;
    size.checked_mul(16)?.checked_add(u64::from(digit))
}

/// Only the CR LF after a chunk reveals a wrong size, so it is not optional.
fn read_chunk_end(cr: bool, byte: u8) -> Result<State, ResponseError> {
    match (cr, byte) {
        (false, b'\r') => Ok(State::ChunkEnd(true)),
        (true, b'\n') => Ok(State::Size(SizeLine::FirstDigit)),
        _ => Err(ResponseError::ChunkEnd),
    }
}

/// Splits off at most `left` bytes.
fn split(input: &[u8], left: u64) -> (&[u8], &[u8]) {
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    input.split_at(left.min(input.len()))
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::format;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn get() -> RequestHead<'static> {
        RequestHead {
            method: "GET",
            target: "/",
            host: "h",
            headers: &[],
            content_length: None,
            close: false,
        }
    }

    #[test]
    fn request_heads() {
        let full = RequestHead {
            method: "POST",
            target: "/file/a%20b?x=1&y=%23",
            host: "[::1]:8080",
            headers: &[("X-UploadToken", "t\t\u{e9}"), ("Empty", "")],
            content_length: Some(u64::MAX),
            close: true,
        };
        let empty_body = RequestHead {
            content_length: Some(0),
            ..get()
        };
        let cases = [
            (get(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
            (
                empty_body,
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                full,
                "POST /file/a%20b?x=1&y=%23 HTTP/1.1\r\nHost: [::1]:8080\r\n\
                 Content-Length: 18446744073709551615\r\nConnection: close\r\n\
                 X-UploadToken: t\t\u{e9}\r\nEmpty: \r\n\r\n",
            ),
        ];
        for (head, expected) in cases {
            let mut out = b"before".to_vec();
            assert_eq!(head.encode(&mut out), Ok(()));
            assert_eq!(String::from_utf8(out), Ok(format!("before{expected}")));
        }
    }

    fn refusal(head: RequestHead) -> Option<RequestError> {
        let mut out = Vec::new();
        let error = head.encode(&mut out).err();
        assert!(error.is_none() || out.is_empty(), "something was written");
        error
    }

    #[test]
    fn request_heads_refused() {
        for method in ["", "GET ", "G T", "GET\r\n", "G\u{e9}T", "GET/"] {
            let error = refusal(RequestHead { method, ..get() });
            assert_eq!(error, Some(RequestError::BadMethod), "{method:?}");
        }
        let targets = [
            ("", 0),
            ("a", 0),
            ("*", 0),
            ("http://h/", 0),
            ("/a b", 2),
            ("/a\r\n", 2),
            ("/a\n", 2),
            ("/\0", 1),
            ("/\t", 1),
            ("/\x7f", 1),
            ("/#a", 1),
            ("/\u{e9}", 1),
        ];
        for (target, at) in targets {
            let error = refusal(RequestHead { target, ..get() });
            assert_eq!(error, Some(RequestError::BadTarget { at }), "{target:?}");
        }
        for (host, at) in [
            ("", 0),
            ("h ", 1),
            ("h\r\nX: y", 1),
            ("h/a", 1),
            ("u@h", 1),
            ("h?", 1),
            ("h\u{e9}", 1),
        ] {
            let error = refusal(RequestHead { host, ..get() });
            assert_eq!(error, Some(RequestError::BadHost { at }), "{host:?}");
        }
        for name in ["", "a b", "a:", "a\r\n", "a\0", "\u{e9}"] {
            let headers: &[(&str, &str)] = &[("ok", ""), (name, "")];
            let error = refusal(RequestHead { headers, ..get() });
            assert_eq!(
                error,
                Some(RequestError::BadHeaderName { index: 1 }),
                "{name:?}"
            );
        }
        for (value, at) in [
            ("\r", 0),
            ("a\r\nb: c", 1),
            ("a\n", 1),
            ("a\0", 1),
            ("a\x7f", 1),
            ("a\x1b", 1),
        ] {
            let headers: &[(&str, &str)] = &[("ok", value)];
            let error = refusal(RequestHead { headers, ..get() });
            assert_eq!(
                error,
                Some(RequestError::BadHeaderValue { index: 0, at }),
                "{value:?}"
            );
        }
        for name in ["Host", "CONTENT-LENGTH", "transfer-encoding", "Connection"] {
            let headers: &[(&str, &str)] = &[(name, "1")];
            let error = refusal(RequestHead { headers, ..get() });
            assert_eq!(
                error,
                Some(RequestError::ReservedHeader { index: 0 }),
                "{name:?}"
            );
        }
    }

    type Heads = (Vec<ResponseHead>, Option<ResponseError>);

    /// Feeds one piece after the other; heads may follow one another.
    fn heads<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Heads {
        let mut parser = HeadParser::new(limit);
        let mut heads = Vec::new();
        for piece in pieces {
            let mut input = piece;
            while !input.is_empty() {
                match parser.feed(input) {
                    Ok((used, head)) => {
                        assert!(
                            head.is_some() || used == input.len(),
                            "no head, but input left"
                        );
                        assert!(used > 0, "no progress");
                        input = &input[used..];
                        heads.extend(head);
                    }
                    Err(error) => {
                        assert_eq!(parser.feed(b"x"), Err(error.clone()), "not failed");
                        assert_eq!(parser.raw.capacity(), 0, "memory kept");
                        return (heads, Some(error));
                    }
                }
            }
        }
        (heads, None)
    }

    fn head(status: u16) -> ResponseHead {
        ResponseHead {
            status,
            content_length: None,
            chunked: false,
            location: None,
            retry_after: None,
        }
    }

    fn response_heads() -> Vec<(&'static [u8], ResponseHead)> {
        let sized = |content_length| ResponseHead {
            content_length: Some(content_length),
            ..head(200)
        };
        let chunked = ResponseHead {
            chunked: true,
            ..head(200)
        };
        let busy = ResponseHead {
            retry_after: Some(120),
            ..head(503)
        };
        let moved = ResponseHead {
            location: Some("/a?b\u{e9}".to_owned()),
            ..head(301)
        };
        vec![
            (b"HTTP/1.1 200 OK\r\n\r\n", head(200)),
            (b"HTTP/1.1 204 \r\n\r\n", head(204)),
            (b"HTTP/1.1 599\r\n\r\n", head(599)),
            (b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-LENGTH: \t 5 \r\n\r\n", sized(5)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", sized(5)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 05\r\n\r\n", sized(5)),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
                sized(u64::MAX),
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", chunked),
            (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", head(200)),
            (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", head(200)),
            (b"HTTP/1.0 200 OK\r\n\r\n", head(200)),
            (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", head(200)),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", head(200)),
            (b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\n\r\n", busy),
            (
                b"HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n",
                head(503),
            ),
            (b"HTTP/1.1 503 Busy\r\nRetry-After: -1\r\n\r\n", head(503)),
            (b"HTTP/1.1 301 Moved\r\nLocation: /a?b\xc3\xa9\r\n\r\n", moved),
            (b"HTTP/1.1 301 Moved\r\nLocation: /\xff\r\n\r\n", head(301)),
            (
                b"HTTP/1.1 100 Continue\r\nContent-Length: x\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n\
                  HTTP/1.1 200 OK\r\n\r\n",
                head(200),
            ),
        ]
    }

    #[test]
    fn heads_in_one_piece() {
        for (bytes, expected) in response_heads() {
            let shown = bytes.escape_ascii();
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [bytes]),
                (vec![expected], None),
                "{shown}"
            );
        }
    }

    #[test]
    fn every_cut_gives_the_same_heads() {
        let (bytes, expected): (Vec<&[u8]>, Vec<_>) = response_heads().into_iter().unzip();
        let (bytes, expected) = (bytes.concat(), (expected, None));
        assert_eq!(heads(DEFAULT_MAX_HEAD, bytes.chunks(1)), expected);
        for cut in 0..=bytes.len() {
            let (start, end) = bytes.split_at(cut);
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [start, end]),
                expected,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_head_stops_before_the_body() {
        let mut parser = HeadParser::new(DEFAULT_MAX_HEAD);
        let Ok((used, Some(_))) = parser.feed(b"HTTP/1.1 200 OK\r\n\r\n\r\n\r\nbody") else {
            panic!("no head");
        };
        assert_eq!(used, 19);
        assert_eq!(
            parser.raw.capacity(),
            0,
            "the head's memory is given back before the body comes"
        );
    }

    #[test]
    fn limit_of_heads() {
        let bytes = b"HTTP/1.1 200 OK\r\nA: bcd\r\n\r\n";
        let twice = b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        let endless = b"HTTP/1.1 100 Go\r\n\r\n".repeat(100);
        let cases: [(&[u8], usize, bool); 9] = [
            (bytes, bytes.len() + 1, true),
            (bytes, bytes.len(), true),
            (bytes, bytes.len() - 1, false),
            (twice, twice.len() + 1, true),
            (twice, twice.len(), true),
            (twice, twice.len() - 1, false),
            (&endless, 1899, false),
            (&[b'x'; 100], 99, false),
            (b"", 0, true),
        ];
        for (bytes, limit, good) in cases {
            let error = (!good).then_some(ResponseError::HeadTooLong { limit });
            let shown = bytes.escape_ascii();
            assert_eq!(heads(limit, [bytes]).1, error, "{limit} {shown}");
            assert_eq!(heads(limit, bytes.chunks(1)).1, error, "{limit} {shown}");
        }
        // Each response has the limit for itself.
        assert_eq!(heads(twice.len(), [twice.repeat(3).as_slice()]).0.len(), 3);
    }

    #[test]
    fn limit_of_header_fields() {
        for (count, good) in [(63, true), (64, true), (65, false)] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
            let error = (!good).then_some(ResponseError::TooManyHeaders { limit: 64 });
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [bytes.as_bytes()]).1,
                error,
                "{count}"
            );
        }
    }

    #[test]
    fn heads_refused() {
        let conflicting = |first, second| ResponseError::ConflictingContentLength { first, second };
        let cases = [
            ("Content-Length: 5\r\nContent-Length: 6", conflicting(5, 6)),
            ("Content-Length: 5, 5, 7", conflicting(5, 7)),
            ("Content-Length: ", ResponseError::BadContentLength),
            ("Content-Length: 5,", ResponseError::BadContentLength),
            ("Content-Length: +5", ResponseError::BadContentLength),
            ("Content-Length: -5", ResponseError::BadContentLength),
            ("Content-Length: 0x5", ResponseError::BadContentLength),
            ("Content-Length: 5 5", ResponseError::BadContentLength),
            (
                "Content-Length: 18446744073709551616",
                ResponseError::BadContentLength,
            ),
            (
                "Transfer-Encoding: gzip",
                ResponseError::BadTransferEncoding,
            ),
            (
                "Transfer-Encoding: gzip, chunked",
                ResponseError::BadTransferEncoding,
            ),
            (
                "Transfer-Encoding: chunked, chunked",
                ResponseError::BadTransferEncoding,
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                ResponseError::BadTransferEncoding,
            ),
            (
                "Transfer-Encoding: identity",
                ResponseError::BadTransferEncoding,
            ),
            ("Transfer-Encoding: ", ResponseError::BadTransferEncoding),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                ResponseError::AmbiguousLength,
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                ResponseError::AmbiguousLength,
            ),
        ];
        for (fields, error) in cases {
            let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [bytes.as_bytes()]),
                (vec![], Some(error)),
                "{fields}"
            );
        }
        let old = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let error = ResponseError::BadTransferEncoding;
        assert_eq!(
            heads(DEFAULT_MAX_HEAD, [old.as_slice()]),
            (vec![], Some(error))
        );
        for status in [0, 99, 101, 600, 999] {
            let bytes = format!("HTTP/1.1 {status:03} X\r\n\r\n");
            let error = ResponseError::BadStatus { status };
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [bytes.as_bytes()]),
                (vec![], Some(error)),
                "{status}"
            );
        }
    }

    #[test]
    fn malformed_heads() {
        let cases = [
            "\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            "\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 O\0K\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        ];
        for bytes in cases {
            let (found, error) = heads(DEFAULT_MAX_HEAD, [bytes.as_bytes()]);
            assert!(
                matches!(error, Some(ResponseError::BadHead { .. })),
                "{bytes:?}: {error:?}"
            );
            assert!(found.is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn framing_of_a_body() {
        let sized = |status, content_length| ResponseHead {
            content_length: Some(content_length),
            ..head(status)
        };
        let chunked = |status| ResponseHead {
            chunked: true,
            ..head(status)
        };
        let cases = [
            ("GET", sized(200, 5), Ok(Framing::Length(5))),
            ("POST", sized(404, 0), Ok(Framing::Length(0))),
            ("GET", chunked(200), Ok(Framing::Chunked)),
            ("GET", head(200), Err(ResponseError::NoLength)),
            ("head", head(200), Err(ResponseError::NoLength)),
            ("GET", head(500), Err(ResponseError::NoLength)),
            ("PUT", head(500), Err(ResponseError::NoLength)),
            ("PUT", head(201), Ok(Framing::Length(0))),
            ("PUT", sized(201, 5), Ok(Framing::Length(5))),
            ("PUT", chunked(201), Ok(Framing::Chunked)),
            ("DELETE", head(200), Ok(Framing::Length(0))),
            ("POST", head(200), Err(ResponseError::NoLength)),
            ("HEAD", head(200), Ok(Framing::Length(0))),
            ("HEAD", sized(200, 5), Ok(Framing::Length(0))),
            ("HEAD", chunked(200), Ok(Framing::Length(0))),
            ("GET", sized(204, 5), Ok(Framing::Length(0))),
            ("GET", sized(304, 5), Ok(Framing::Length(0))),
            ("GET", chunked(304), Ok(Framing::Length(0))),
        ];
        for (method, head, expected) in cases {
            assert_eq!(head.framing(method), expected, "{method} {head:?}");
        }
    }

    /// What came out of a body: its data, the bytes behind it if it ended, the error if there was one.
    #[derive(Debug, PartialEq)]
    struct Body {
        data: Vec<u8>,
        behind: Option<Vec<u8>>,
        error: Option<ResponseError>,
    }

    fn body<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> Body {
        let mut decoder = BodyDecoder::new(framing);
        let (mut data, mut behind) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut input = piece;
            while !input.is_empty() && !decoder.is_done() {
                match decoder.feed(input) {
                    Ok(decoded) => {
                        assert_eq!(decoded.done, decoder.is_done());
                        assert!(decoded.used > 0, "no progress");
                        input = &input[decoded.used..];
                        data.extend_from_slice(decoded.data);
                    }
                    Err(error) => {
                        assert_eq!(decoder.feed(b"0\r\n\r\n"), Err(error.clone()), "not failed");
                        return Body {
                            data,
                            behind: None,
                            error: Some(error),
                        };
                    }
                }
            }
            behind.extend_from_slice(input);
        }
        if decoder.is_done() {
            let more = Decoded {
                used: 0,
                data: &[],
                done: true,
            };
            assert_eq!(decoder.feed(b"more"), Ok(more));
        }
        let behind = decoder.is_done().then_some(behind);
        Body {
            data,
            behind,
            error: None,
        }
    }

    fn complete(data: &str, behind: &str) -> Body {
        Body {
            data: data.as_bytes().to_vec(),
            behind: Some(behind.as_bytes().to_vec()),
            error: None,
        }
    }

    fn broken(data: &str, error: ResponseError) -> Body {
        Body {
            data: data.as_bytes().to_vec(),
            behind: None,
            error: Some(error),
        }
    }

    fn unfinished(data: &str) -> Body {
        Body {
            data: data.as_bytes().to_vec(),
            behind: None,
            error: None,
        }
    }

    fn bodies() -> Vec<(Framing, &'static str, Body)> {
        let chunked = Framing::Chunked;
        let bad_size = |data| broken(data, ResponseError::BadChunkSize);
        let bad_end = || broken("ab", ResponseError::ChunkEnd);
        let bad_trailers = || broken("", ResponseError::BadTrailers);
        vec![
            (Framing::Length(0), "next", complete("", "next")),
            (Framing::Length(3), "abc", complete("abc", "")),
            (Framing::Length(3), "abcnext", complete("abc", "next")),
            (Framing::Length(4), "abc", unfinished("abc")),
            (Framing::Length(u64::MAX), "abc", unfinished("abc")),
            (chunked, "0\r\n\r\nnext", complete("", "next")),
            (chunked, "000\r\n\r\n", complete("", "")),
            (
                chunked,
                "3\r\nabc\r\n0b\r\n\r\n1234567\r\n\r\n0\r\n\r\n",
                complete("abc\r\n1234567\r\n", ""),
            ),
            (
                chunked,
                "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                complete("01234567890123456789", ""),
            ),
            (
                chunked,
                "1;a=\"b;\t\u{e9}\"\r\nx\r\n1 \t\r\ny\r\n1 ;z\r\nz\r\n0;\r\n\r\n",
                complete("xyz", ""),
            ),
            (
                chunked,
                "1\r\nx\r\n0\r\nA: b\r\nC\r\n\r\nnext",
                complete("x", "next"),
            ),
            (chunked, "3\r\nab", unfinished("ab")),
            (chunked, "2\r\nab\r\n0\r\n\r", unfinished("ab")),
            (chunked, "ffffffffffffffff\r\nab", unfinished("ab")),
            (
                chunked,
                "10000000000000000\r\n",
                broken("", ResponseError::ChunkSizeOverflow),
            ),
            (chunked, "\r\n\r\n", bad_size("")),
            (chunked, "\n", bad_size("")),
            (chunked, " \r\n\r\n", bad_size("")),
            (chunked, ";a\r\n\r\n", bad_size("")),
            (chunked, " 1\r\nx", bad_size("")),
            (chunked, "+1\r\nx", bad_size("")),
            (chunked, "0x1\r\nx", bad_size("")),
            (chunked, "1 1\r\nx", bad_size("")),
            (chunked, "1\nx", bad_size("")),
            (chunked, "1\rx", bad_size("")),
            (chunked, "1;a\nx", bad_size("")),
            (chunked, "1;a\rb\r\nx", bad_size("")),
            (chunked, "1\r\nx\r\ng\r\n", bad_size("x")),
            (chunked, "2\r\nabc\r\n", bad_end()),
            (chunked, "2\r\nab\n0\r\n\r\n", bad_end()),
            (chunked, "2\r\nab\rx", bad_end()),
            (chunked, "2\r\nabx\n", bad_end()),
            (chunked, "0\r\n\n", bad_trailers()),
            (chunked, "0\r\n\rx", bad_trailers()),
            (chunked, "0\r\nA: b\n\r\n", bad_trailers()),
            (chunked, "0\r\nA: b\rx", bad_trailers()),
        ]
    }

    #[test]
    fn every_cut_gives_the_same_body() {
        for (framing, bytes, expected) in bodies() {
            assert_eq!(body(framing, [bytes.as_bytes()]), expected, "{bytes:?}");
            assert_eq!(
                body(framing, bytes.as_bytes().chunks(1)),
                expected,
                "{bytes:?}"
            );
            for cut in 0..=bytes.len() {
                let (start, end) = bytes.as_bytes().split_at(cut);
                assert_eq!(
                    body(framing, [start, end]),
                    expected,
                    "{bytes:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn data_is_part_of_the_input() {
        let input = b"3\r\nabc\r\n";
        let decoded = BodyDecoder::new(Framing::Chunked).feed(input).unwrap();
        assert_eq!(
            decoded,
            Decoded {
                used: 6,
                data: b"abc",
                done: false
            }
        );
        assert!(core::ptr::eq(decoded.data, &raw const input[3..6]));
    }

    #[test]
    fn a_known_length_is_done_with_its_last_byte() {
        let mut decoder = BodyDecoder::new(Framing::Length(2));
        assert!(!decoder.is_done());
        let decoded = decoder.feed(b"abc").unwrap();
        assert_eq!(
            decoded,
            Decoded {
                used: 2,
                data: b"ab",
                done: true
            }
        );
        assert!(BodyDecoder::new(Framing::Length(0)).is_done());
    }

    #[test]
    fn limits_of_chunk_lines_and_trailers() {
        let line = |len: usize| format!("{:0>1$}\r\nx\r\n0\r\n\r\n", 1, len - 2);
        let extended = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(len - 4));
        let again = |len: usize| {
            format!(
                "{}{}",
                extended(200).replace("0\r\n\r\n", ""),
                extended(len)
            )
        };
        let trailers = |len: usize| format!("1\r\nx\r\n0\r\n{}\r\n\r\n", "t".repeat(len - 4));
        let many = |len: usize| {
            format!(
                "1\r\nx\r\n0\r\n{}{}\r\n\r\n",
                "t\r\n".repeat(100),
                "t".repeat(len - 304)
            )
        };

        let limit = MAX_CHUNK_LINE;
        let too_long = ResponseError::ChunkLineTooLong { limit };
        for len in [limit - 1, limit, limit + 1] {
            let (data, error) = if len > limit {
                ("", Some(&too_long))
            } else {
                ("x", None)
            };
            for (bytes, before) in [(line(len), ""), (extended(len), ""), (again(len), "x")] {
                let data = format!("{before}{data}");
                let expected =
                    error.map_or(complete(&data, ""), |error| broken(&data, error.clone()));
                assert_eq!(
                    body(Framing::Chunked, [bytes.as_bytes()]),
                    expected,
                    "{len}"
                );
                assert_eq!(
                    body(Framing::Chunked, bytes.as_bytes().chunks(1)),
                    expected,
                    "{len}"
                );
            }
        }
        let limit = MAX_TRAILERS;
        let too_long = ResponseError::TrailersTooLong { limit };
        for len in [limit - 1, limit, limit + 1] {
            for bytes in [trailers(len), many(len)] {
                let expected = if len > limit {
                    broken("x", too_long.clone())
                } else {
                    complete("x", "")
                };
                assert_eq!(
                    body(Framing::Chunked, [bytes.as_bytes()]),
                    expected,
                    "{len}"
                );
                assert_eq!(
                    body(Framing::Chunked, bytes.as_bytes().chunks(1)),
                    expected,
                    "{len}"
                );
            }
        }
    }

    /// Cuts `bytes` at the given places.
    fn pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut start = 0;
        let cut = |end| bytes[mem::replace(&mut start, end)..end].to_vec();
        ends.into_iter().map(cut).collect()
    }

    fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
        prop::collection::vec(any::<prop::sample::Index>(), 0..20)
    }

    fn likely_heads() -> impl Strategy<Value = Vec<u8>> {
        let parts: Vec<Vec<u8>> = response_heads()
            .into_iter()
            .map(|(part, _)| part.to_vec())
            .collect();
        let part = prop_oneof![
            3 => prop::sample::select(parts),
            3 => "(HTTP/1\\.[01] [0-6][0-9]{2} [a-z]?\r\n)?((Content-Length|Transfer-Encoding|A): ?(5|6|chunked)?\r?\n){0,3}\r\n"
                .prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..50),
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    fn likely_body() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            6 => prop::collection::vec(any::<u8>(), 1..30)
                .prop_map(|data| [format!("{:X}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat()),
            1 => "[0-9a-f]{0,18}[ \t;x]{0,3}\r?\n?".prop_map(String::into_bytes),
            1 => "0\r\n([a-z]{0,3}\r\n){0,3}\r\n".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..10),
        ];
        prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn cuts_of_heads_never_matter_and_nothing_panics(
            bytes in likely_heads(),
            cuts in cuts(),
            limit in 0usize..200,
        ) {
            for limit in [limit, DEFAULT_MAX_HEAD] {
                let whole = heads(limit, [bytes.as_slice()]);
                let pieces = pieces(&bytes, &cuts);
                prop_assert_eq!(&heads(limit, pieces.iter().map(Vec::as_slice)), &whole);
                prop_assert_eq!(&heads(limit, bytes.chunks(1)), &whole);
            }
        }

        #[test]
        fn cuts_of_bodies_never_matter_and_nothing_panics(
            bytes in likely_body(),
            cuts in cuts(),
            length in prop_oneof![0u64..100, any::<u64>()],
        ) {
            for framing in [Framing::Chunked, Framing::Length(length)] {
                let whole = body(framing, [bytes.as_slice()]);
                let pieces = pieces(&bytes, &cuts);
                prop_assert_eq!(&body(framing, pieces.iter().map(Vec::as_slice)), &whole);
                prop_assert_eq!(&body(framing, bytes.chunks(1)), &whole);
            }
        }

        #[test]
        fn chunks_come_back_as_they_were(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5),
            cuts in cuts(),
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                put(&mut bytes, &[&format!("{:x}\r\n", chunk.len())]);
                bytes.extend_from_slice(chunk);
                put(&mut bytes, &["\r\n"]);
            }
            put(&mut bytes, &["0\r\n\r\nnext"]);
            let pieces = pieces(&bytes, &cuts);
            let found = body(Framing::Chunked, pieces.iter().map(Vec::as_slice));
            let expected = Body { data: chunks.concat(), behind: Some(b"next".to_vec()), error: None };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(heads(200, [bytes.as_slice()]), heads(200, bytes.chunks(1)));
            let whole = body(Framing::Chunked, [bytes.as_slice()]);
            prop_assert_eq!(body(Framing::Chunked, bytes.chunks(1)), whole);
        }

        #[test]
        fn an_encoded_head_is_one_request(
            method in "[A-Z]{1,5}[A-Z \r]",
            target in "/[!-\"$-~]{0,9}[a-z# \r\n\0]",
            host in "[a-z0-9.:]{1,9}[a-z/ \r\n]",
            name in "[A-Za-z-]{1,8}[a-z: \r\n]",
            value in "[ -~\u{e9}]{0,8}[a-z\r\n\0]",
        ) {
            let request = RequestHead {
                method: &method, target: &target, host: &host,
                headers: &[(&name, &value)], content_length: Some(5), close: true,
            };
            let mut out = Vec::new();
            if request.encode(&mut out).is_ok() {
                let mut headers = [httparse::EMPTY_HEADER; 8];
                let mut parsed = httparse::Request::new(&mut headers);
                prop_assert_eq!(parsed.parse(&out), Ok(httparse::Status::Complete(out.len())));
                prop_assert_eq!((parsed.method, parsed.path), (Some(&*method), Some(&*target)));
                prop_assert_eq!(parsed.headers.len(), 4);
            }
        }
    }
}
