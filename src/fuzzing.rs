//! Private parsers for fuzz targets, fed in pieces, and what they found, for comparison.
//!
//! This is not part of the API and may change at any time.

mod session;

use alloc::string::String;
use alloc::vec::Vec;

pub use self::session::{NatsFlush, NatsSession, NatsUser};
use crate::file_server::parse_object_info;
use crate::http::protocol::{BodyDecoder, HeadParser, ResponseError, ResponseHead};
use crate::nats::jetstream::{
    AckInfo, api_error, is_pub_ack, parse_answer, parse_consumer, parse_message, parse_stream,
};
use crate::nats::protocol::{Limits, Op, ParseError, Parser};

/// What was found in a stream of the NATS protocol.
#[derive(Debug, PartialEq)]
pub struct NatsTranscript {
    ops: Vec<Op>,
    error: Option<ParseError>,
}

/// Reads what a NATS server might send, in pieces. The limits are of a control line, an INFO line, a
/// payload and a header block, in bytes.
///
/// # Panics
/// If the parser breaks its own contract: input that it neither uses nor returns.
pub fn nats<'b>(
    limits: Option<[usize; 4]>,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> NatsTranscript {
    let mut parser = Parser::new(limits.map_or_else(Limits::default, nats_limits));
    let any_len = |_| usize::MAX;
    let (mut ops, mut error) = (Vec::new(), None);
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() && error.is_none() {
            match parser.feed(rest, &any_len) {
                Ok((used, op)) => {
                    assert!(op.is_some() || used == rest.len(), "input is left over");
                    rest = &rest[used..];
                    ops.extend(op);
                }
                Err(found) => {
                    assert_eq!(parser.feed(b"PING\r\n", &any_len), Err(found.clone()));
                    error = Some(found);
                }
            }
        }
    }
    NatsTranscript { ops, error }
}

fn nats_limits(limits: [usize; 4]) -> Limits {
    let [max_control_line, max_info_line, max_payload, max_headers] = limits;
    Limits {
        max_control_line,
        max_info_line,
        max_payload,
        max_headers,
    }
}

/// What was found in a stream of HTTP responses.
#[derive(Debug, Default, PartialEq)]
pub struct HttpTranscript {
    heads: Vec<ResponseHead>,
    /// The data of each body, the last one as far as it came.
    bodies: Vec<Vec<u8>>,
    error: Option<ResponseError>,
}

/// The same in plain types, to compare with another reader.
#[derive(Debug, Default, PartialEq)]
pub struct HttpFound {
    /// Status, `Location` and `Retry-After` of each response.
    pub heads: Vec<(u16, Option<String>, Option<u64>)>,
    /// The data of each body, the last one as far as it came.
    pub bodies: Vec<Vec<u8>>,
    /// Whether what came then is no response.
    pub failed: bool,
}

impl HttpTranscript {
    /// All that a reader finds.
    pub fn found(&self) -> HttpFound {
        let plain = |head: &ResponseHead| (head.status, head.location.clone(), head.retry_after);
        HttpFound {
            heads: self.heads.iter().map(plain).collect(),
            bodies: self.bodies.clone(),
            failed: self.error.is_some(),
        }
    }

    /// Keeps the last body, without its data.
    fn forget(&mut self) {
        self.heads.clear();
        self.bodies.drain(..self.bodies.len().saturating_sub(1));
        self.bodies.iter_mut().for_each(Vec::clear);
    }
}

/// Reads what an HTTP server might send in answer to requests with `method`, in pieces. A response
/// head may have `max_head` bytes.
///
/// # Panics
/// If a parser breaks its own contract: input that it neither uses nor returns.
pub fn http<'b>(
    max_head: usize,
    method: &str,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> HttpTranscript {
    read_http(max_head, method, pieces, |_| ())
}

/// The same, but keeps nothing of what is found: the memory that this needs is the parsers'.
///
/// # Panics
/// As [`http`].
pub fn http_without_keeping<'b>(
    max_head: usize,
    method: &str,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) {
    read_http(max_head, method, pieces, HttpTranscript::forget);
}

fn read_http<'b>(
    max_head: usize,
    method: &str,
    pieces: impl IntoIterator<Item = &'b [u8]>,
    after_each: impl Fn(&mut HttpTranscript),
) -> HttpTranscript {
    let mut found = HttpTranscript::default();
    let mut reader = HttpReader {
        head: HeadParser::new(max_head),
        body: None,
        method,
    };
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() && found.error.is_none() {
            match reader.feed(rest, &mut found) {
                Ok(used) => rest = &rest[used..],
                Err(error) => found.error = Some(error),
            }
            after_each(&mut found);
        }
    }
    found
}

struct HttpReader<'m> {
    head: HeadParser,
    body: Option<BodyDecoder>,
    method: &'m str,
}

impl HttpReader<'_> {
    fn feed(&mut self, input: &[u8], found: &mut HttpTranscript) -> Result<usize, ResponseError> {
        match &mut self.body {
            None => self.feed_head(input, found),
            Some(decoder) => {
                let decoded = decoder.feed(input)?;
                assert!(
                    decoded.used > 0 || decoded.done,
                    "a decoder that stands still"
                );
                let data = found
                    .bodies
                    .last_mut()
                    .map(|body| body.extend(decoded.data));
                assert!(data.is_some(), "a body without a head");
                if decoded.done {
                    self.body = None;
                }
                Ok(decoded.used)
            }
        }
    }

    fn feed_head(
        &mut self,
        input: &[u8],
        found: &mut HttpTranscript,
    ) -> Result<usize, ResponseError> {
        let (used, head) = self.head.feed(input)?;
        assert!(head.is_some() || used == input.len(), "input is left over");
        if let Some(head) = head {
            let decoder = BodyDecoder::new(head.framing(self.method)?);
            self.body = Some(decoder).filter(|decoder| !decoder.is_done());
            found.heads.push(head);
            found.bodies.push(Vec::new());
        }
        Ok(used)
    }
}

/// Reads what a server might answer to any request of JetStream, and a subject to acknowledge on.
pub fn jetstream(answer: &[u8]) {
    let is_error = api_error(answer).is_some();
    if let Some(parsed) = parse_answer(answer) {
        assert!(parsed.is_ok() != is_error);
        assert!(is_error || is_pub_ack(answer));
    }
    parse_stream(answer).ok();
    parse_consumer(answer).ok();
    parse_message(answer).ok();
    parse_object_info(answer).ok();
    if let Some(info) = core::str::from_utf8(answer).ok().and_then(AckInfo::parse) {
        assert!(!info.stream.is_empty() && !info.consumer.is_empty());
    }
}
