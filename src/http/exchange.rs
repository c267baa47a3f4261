//! One request and its response on a connection.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::protocol::{BodyDecoder, DEFAULT_MAX_HEAD, HeadParser, ResponseHead};
use super::url::RedactedUrl;
use super::{HttpError, HttpErrorKind as Kind, HttpRequest, HttpResponse, MAX_REASON_LEN};
use crate::cause::text;
use crate::net::deadline::Moment;
use crate::net::{Connection, Moved, Transport, TransportError, TransportErrorKind};
use crate::platform::Platform;
use crate::stream::{Body, Sink, StreamError, check_length};
use crate::trace::utf8_start;

/// Bytes moved at a time.
pub(super) const CHUNK_SIZE: usize = 512;

pub(super) fn failed(request: &HttpRequest<'_>, kind: Kind) -> HttpError {
    let (method, url) = (request.method.as_str(), RedactedUrl(request.url));
    HttpError::new(kind, text(format_args!("{method} {url} failed")))
}

/// One request and its response on a connection.
pub(super) struct Exchange<'x, 'r, T, P> {
    connection: &'x mut Connection<T, P>,
    request: &'x HttpRequest<'r>,
    deadline: Moment,
    parser: HeadParser,
    /// Bytes that came; those from `start` to `end` are not parsed yet.
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'x, 'r, T: Transport, P: Platform> Exchange<'x, 'r, T, P> {
    pub(super) fn new(
        connection: &'x mut Connection<T, P>,
        request: &'x HttpRequest<'r>,
        deadline: Moment,
    ) -> Result<Self, HttpError> {
        let mut input = Vec::new();
        reserve(&mut input, CHUNK_SIZE)?;
        input.resize(CHUNK_SIZE, 0);
        Ok(Self {
            connection,
            request,
            deadline,
            parser: HeadParser::new(DEFAULT_MAX_HEAD),
            input,
            start: 0,
            end: 0,
        })
    }

    /// Sends what is in `output`, then `body`, and receives the response. If the peer answers
    /// before it was sent everything, that is the response, unless it claims success.
    pub(super) fn run(
        mut self,
        output: &mut Vec<u8>,
        body: &mut dyn Body,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError> {
        let head = match self.send(output, body)? {
            Some(early) if (200..300).contains(&early.status) => {
                return Err(self.incomplete(early.status));
            }
            Some(early) => early,
            None => self.receive_head()?,
        };
        let mut response = HttpResponse {
            status: head.status,
            retry_after: head.retry_after.map(Duration::from_secs),
            ..HttpResponse::default()
        };
        if (200..300).contains(&head.status) {
            response.body_len = self.receive_body(&head, sink)?;
        } else {
            response.reason = self.receive_reason(&head);
        }
        response.location = head.location;
        Ok(response)
    }

    fn send(
        &mut self,
        output: &mut Vec<u8>,
        body: &mut dyn Body,
    ) -> Result<Option<ResponseHead>, HttpError> {
        let (len, mut read) = (body.len(), 0);
        loop {
            while read < len && output.len() < CHUNK_SIZE {
                read += read_body(body, len, read, output)?;
            }
            if output.is_empty() {
                return Ok(None);
            }
            if let Some(head) = self.send_all(output)? {
                return Ok(Some(head));
            }
            output.clear();
        }
    }

    /// Sends `bytes`, unless a response comes first.
    fn send_all(&mut self, mut bytes: &[u8]) -> Result<Option<ResponseHead>, HttpError> {
        while !bytes.is_empty() {
            self.check_time()?;
            let deadline = self.idle_deadline();
            let moved = (self.connection).send_or_receive(bytes, &mut self.input, deadline);
            match moved {
                Ok(Moved::Sent(count)) => bytes = &bytes[count..],
                Ok(Moved::Received(count)) => {
                    (self.start, self.end) = (0, count);
                    if let Some(head) = self.parse_head()? {
                        return Ok(Some(head));
                    }
                }
                Err(error) => return self.early_response(error).map(Some),
            }
        }
        Ok(None)
    }

    /// A peer that refuses the rest of a request may have answered before it closed.
    fn early_response(&mut self, error: TransportError) -> Result<ResponseHead, HttpError> {
        while let Ok(count @ 1..) = self.connection.try_receive(&mut self.input) {
            (self.start, self.end) = (0, count);
            if let Ok(Some(head)) = self.parse_head() {
                return Ok(head);
            }
        }
        Err(self.broken(error))
    }

    fn receive_head(&mut self) -> Result<ResponseHead, HttpError> {
        loop {
            if let Some(head) = self.parse_head()? {
                return Ok(head);
            }
            self.receive()?;
        }
    }

    fn parse_head(&mut self) -> Result<Option<ResponseHead>, HttpError> {
        let parsed = self.parser.feed(&self.input[self.start..self.end]);
        let (used, head) = parsed.map_err(|error| self.malformed(error))?;
        self.start += used;
        Ok(head)
    }

    /// Waits for bytes. Only called when all that came before are parsed.
    fn receive(&mut self) -> Result<(), HttpError> {
        self.check_time()?;
        let deadline = self.idle_deadline();
        match self.connection.receive(&mut self.input, deadline) {
            Ok(0) => return Err(self.broken(TransportErrorKind::Timeout.into())),
            Ok(count) => (self.start, self.end) = (0, count),
            Err(error) => return Err(self.broken(error)),
        }
        Ok(())
    }

    fn receive_body(&mut self, head: &ResponseHead, sink: &mut dyn Sink) -> Result<u64, HttpError> {
        let framing = head.framing(self.request.method.as_str());
        let framing = framing.map_err(|error| self.malformed(error))?;
        let limit = self.request.limit;
        let too_large = || {
            let url = RedactedUrl(self.request.url);
            let message = format_args!("the answer of {url} is too long");
            HttpError::new(Kind::TooLarge { limit }, text(message))
        };
        if head.content_length.is_some_and(|len| len > limit) {
            return Err(too_large());
        }
        let mut decoder = BodyDecoder::new(framing);
        let mut received = 0;
        while !decoder.is_done() {
            if self.start == self.end {
                self.receive()?;
            }
            let decoded = decoder.feed(&self.input[self.start..self.end]);
            let decoded = decoded.map_err(|error| self.malformed(error))?;
            self.start += decoded.used;
            received += decoded.data.len() as u64;
            if received > limit {
                return Err(too_large());
            }
            if !decoded.data.is_empty() {
                sink.write(decoded.data)?;
            }
        }
        Ok(received)
    }

    /// The start of a body that says why. Whatever goes wrong here, the status stands.
    fn receive_reason(&mut self, head: &ResponseHead) -> String {
        let mut reason = Vec::new();
        if let Ok(framing) = head.framing(self.request.method.as_str()) {
            let mut decoder = BodyDecoder::new(framing);
            while !decoder.is_done() && reason.len() < MAX_REASON_LEN {
                if self.start == self.end && self.receive().is_err() {
                    break;
                }
                let Ok(decoded) = decoder.feed(&self.input[self.start..self.end]) else {
                    break;
                };
                self.start += decoded.used;
                let room = MAX_REASON_LEN - reason.len();
                reason.extend(decoded.data.iter().take(room));
            }
        }
        utf8_start(&reason).to_string()
    }

    /// When the exchange has failed if nothing moves from now on.
    fn idle_deadline(&self) -> Moment {
        let idle_by = self.connection.deadline(self.request.idle_timeout);
        self.deadline.min(idle_by)
    }

    fn check_time(&self) -> Result<(), HttpError> {
        if self.connection.is_over(self.deadline) {
            return Err(self.broken(TransportError::from(TransportErrorKind::Timeout)));
        }
        Ok(())
    }

    fn broken(&self, error: TransportError) -> HttpError {
        let kind = match error.kind() {
            TransportErrorKind::Timeout => Kind::Timeout,
            _ => Kind::Disconnected,
        };
        failed(self.request, kind).with_source(error)
    }

    /// The peer has not what it says that it has.
    fn incomplete(&self, status: u16) -> HttpError {
        let (method, url) = (self.request.method.as_str(), RedactedUrl(self.request.url));
        let message =
            format_args!("{method} {url} was answered with status {status} before all was sent");
        HttpError::new(Kind::Protocol, text(message))
    }

    fn malformed(&self, error: crate::http::protocol::ResponseError) -> HttpError {
        failed(self.request, Kind::Protocol).with_source(error)
    }
}

pub(super) fn reserve(bytes: &mut Vec<u8>, len: usize) -> Result<(), StreamError> {
    let no_memory = |_| StreamError::OutOfMemory { len };
    bytes.try_reserve_exact(len).map_err(no_memory)
}

/// Appends the next bytes of `body` to `output`, up to the size of a chunk.
fn read_body(
    body: &mut dyn Body,
    len: u64,
    read: u64,
    output: &mut Vec<u8>,
) -> Result<u64, StreamError> {
    let filled = output.len();
    let left = usize::try_from(len - read).unwrap_or(usize::MAX);
    let room = left.min(CHUNK_SIZE - filled);
    // Within the capacity that was reserved for the head.
    output.resize(filled + room, 0);
    let count = body.read(&mut output[filled..])?.min(room);
    output.truncate(filled + count);
    if count == 0 {
        check_length(len, read)?;
    }
    Ok(count as u64)
}
