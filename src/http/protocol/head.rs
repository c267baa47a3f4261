//! Reads the head of a response.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;

use super::error::ResponseError;
use crate::json::number::decimal;

/// Default limit for response heads, in bytes.
pub(crate) const DEFAULT_MAX_HEAD: usize = 8192;
/// Most header fields in one response head. While a head is parsed each takes 4 words of stack.
pub(crate) const MAX_HEADERS: usize = 64;

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After this many bytes; 0 if there is no body.
    Length(u64),
    /// By the last chunk.
    Chunked,
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
    pub(super) raw: Vec<u8>,
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
