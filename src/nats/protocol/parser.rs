//! Reads what a server says.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;

use super::error::{MessageError, ParseError};
use super::info::server_info;
use super::op::{Msg, Op};
use crate::json::number::decimal;
use crate::trace::utf8_start;

/// What tells an INFO line from others before the line is complete: its verb and one separator.
const INFO_START: usize = b"INFO ".len();
/// Those of an HMSG with a reply subject.
const MAX_ARGUMENTS: usize = 5;
/// How much of a faulty line is kept for the error text, in bytes.
pub(super) const SHOWN_LINE: usize = 64;
/// A line buffer up to this many bytes is kept for the next line; a larger one is given back to the heap.
pub(super) const KEPT_LINE: usize = 256;

/// What a [`Parser`] accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Longest control line in bytes, everything before its LF counted. Default 65,536: the subject in it is
    /// another client's choice, up to the server's `max_control_line`, which is 4096 unless it is configured.
    /// Values under 5 act as 5.
    pub(crate) max_control_line: usize,
    /// Longest INFO line in bytes, counted likewise. Default 65,536, because `connect_urls` grows with the cluster.
    pub(crate) max_info_line: usize,
    /// Longest payload in bytes, headers not counted. Default 1,048,576, as on the server.
    pub(crate) max_payload: usize,
    /// Longest header block in bytes. Default 65,536.
    pub(crate) max_headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_control_line: 65_536,
            max_info_line: 65_536,
            max_payload: 1_048_576,
            max_headers: 65_536,
        }
    }
}

/// Reads what a server sends, in pieces of any size.
#[derive(Debug)]
pub(crate) struct Parser {
    limits: Limits,
    pub(super) state: State,
    /// The control line so far; while headers are read, the start of their first line.
    pub(super) line: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum State {
    Line,
    Headers(Incoming),
    Payload(Incoming),
    /// Behind the payload; true once the CR was seen.
    End(Incoming, bool),
    Failed(ParseError),
}

/// A message between its control line and its last byte.
#[derive(Debug)]
pub(super) struct Incoming {
    sid: u64,
    headers_left: usize,
    payload_left: usize,
    /// What is delivered at the end: the message, or why it is not kept.
    pub(super) outcome: Result<Msg, MessageError>,
}

/// What one step of the parser came to.
enum Step {
    /// All input is used.
    NeedMore,
    /// The state changed; there may be input left for the new one.
    Next,
    Complete(Op),
}

impl Parser {
    /// A parser at the start of a connection.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Line,
            line: Vec::new(),
        }
    }

    /// Takes bytes up to the end of one op: says how many it used, and the op if it is complete.
    ///
    /// Without an op all of `input` was used. With one the rest of `input` is to be fed again.
    /// `payload_limit` returns the longest payload in bytes that a subscription has room for.
    ///
    /// # Errors
    /// The server broke the protocol. The same error comes back ever after: the connection is to be closed.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        payload_limit: &dyn Fn(u64) -> usize,
    ) -> Result<(usize, Option<Op>), ParseError> {
        let mut rest = input;
        loop {
            match self.step(rest, payload_limit) {
                Ok((_, Step::NeedMore)) => return Ok((input.len(), None)),
                Ok((tail, Step::Next)) => rest = tail,
                Ok((tail, Step::Complete(op))) => return Ok((input.len() - tail.len(), Some(op))),
                Err(error) => {
                    self.line = Vec::new();
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    fn step<'b>(
        &mut self,
        input: &'b [u8],
        payload_limit: &dyn Fn(u64) -> usize,
    ) -> Result<(&'b [u8], Step), ParseError> {
        match mem::replace(&mut self.state, State::Line) {
            State::Line => self.read_line(input, payload_limit),
            State::Headers(incoming) => Ok(self.read_headers(incoming, input)),
            State::Payload(incoming) => Ok(self.read_payload(incoming, input)),
            State::End(incoming, cr) => self.read_end(incoming, cr, input),
            State::Failed(error) => Err(error),
        }
    }

    fn read_line<'b>(
        &mut self,
        input: &'b [u8],
        payload_limit: &dyn Fn(u64) -> usize,
    ) -> Result<(&'b [u8], Step), ParseError> {
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            self.append(input)?;
            return Ok((&[], Step::NeedMore));
        };
        let (part, tail) = input.split_at(end);
        self.append(part)?;

        let mut line = mem::take(&mut self.line);
        let step = self.control(line.strip_suffix(b"\r").unwrap_or(&line), payload_limit)?;
        if line.capacity() <= KEPT_LINE {
            line.clear();
            self.line = line;
        }
        Ok((tail.get(1..).unwrap_or_default(), step))
    }

    /// Adds a part of a control line. The limit depends on the verb, so the verb is added first.
    fn append(&mut self, part: &[u8]) -> Result<(), ParseError> {
        let verb_left = INFO_START.saturating_sub(self.line.len());
        let (verb, tail) = part.split_at(verb_left.min(part.len()));
        self.line.try_reserve(verb.len()).map_err(no_memory)?;
        self.line.extend_from_slice(verb);

        let len = self.line.len().saturating_add(tail.len());
        if is_info(&self.line) {
            let limit = self.limits.max_info_line;
            if len > limit.max(INFO_START) {
                return Err(ParseError::InfoTooLong { limit });
            }
        } else {
            let limit = self.limits.max_control_line;
            if len > limit.max(INFO_START) {
                return Err(ParseError::LineTooLong { limit });
            }
        }
        self.line.try_reserve(tail.len()).map_err(no_memory)?;
        self.line.extend_from_slice(tail);
        Ok(())
    }

    /// Acts on a complete control line. Verbs are case-insensitive (section "Protocol conventions").
    fn control(
        &mut self,
        line: &[u8],
        payload_limit: &dyn Fn(u64) -> usize,
    ) -> Result<Step, ParseError> {
        let end = line.iter().position(is_blank).unwrap_or(line.len());
        let (verb, arguments) = line.split_at(end);
        let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);

        if is(b"MSG") || is(b"HMSG") {
            let Some(arguments) = Arguments::parse(arguments, is(b"HMSG")) else {
                return Err(ParseError::BadArguments { line: shown(line) });
            };
            let limit = payload_limit(arguments.sid).min(self.limits.max_payload);
            self.state = State::Headers(self.start_message(&arguments, limit));
            return Ok(Step::Next);
        }
        let op = if is(b"PING") {
            Op::Ping
        } else if is(b"PONG") {
            Op::Pong
        } else if is(b"+OK") {
            Op::Ok
        } else if is(b"-ERR") {
            Op::Err(error_text(arguments))
        } else if is(b"INFO") {
            Op::Info(server_info(arguments)?)
        } else {
            return Err(ParseError::UnknownVerb { line: shown(line) });
        };
        Ok(Step::Complete(op))
    }

    fn start_message(&self, arguments: &Arguments, max_payload: usize) -> Incoming {
        Incoming {
            sid: arguments.sid,
            headers_left: arguments.headers,
            payload_left: arguments.payload,
            outcome: self.reserve(arguments, max_payload),
        }
    }

    /// Checks the declared lengths, and only then takes memory.
    fn reserve(&self, arguments: &Arguments, max_payload: usize) -> Result<Msg, MessageError> {
        let (len, limit) = (arguments.headers, self.limits.max_headers);
        if len > limit {
            return Err(MessageError::HeadersTooLarge { len, limit });
        }
        let (len, limit) = (arguments.payload, max_payload);
        if len > limit {
            return Err(MessageError::PayloadTooLarge { len, limit });
        }
        let subject = owned_text(arguments.subject, len)?;
        let reply = arguments.reply.map(|reply| owned_text(reply, len));
        let (mut headers, mut payload) = (Vec::new(), Vec::new());
        headers
            .try_reserve_exact(arguments.headers)
            .and_then(|()| payload.try_reserve_exact(len))
            .map_err(|_| MessageError::NoMemory { len })?;
        Ok(Msg {
            subject,
            sid: arguments.sid,
            reply: reply.transpose()?,
            headers,
            payload,
        })
    }

    /// Another client may have written the headers, so nothing in them can break the connection.
    fn read_headers<'b>(&mut self, mut incoming: Incoming, input: &'b [u8]) -> (&'b [u8], Step) {
        let (part, tail) = input.split_at(incoming.headers_left.min(input.len()));
        incoming.headers_left -= part.len();
        if let Ok(msg) = &mut incoming.outcome {
            // Never reallocates: `reserve` took the whole length.
            msg.headers.extend_from_slice(part);
        }
        if incoming.headers_left > 0 {
            self.state = State::Headers(incoming);
            return (tail, Step::NeedMore);
        }
        self.state = State::Payload(incoming);
        (tail, Step::Next)
    }

    fn read_payload<'b>(&mut self, mut incoming: Incoming, input: &'b [u8]) -> (&'b [u8], Step) {
        let (part, tail) = input.split_at(incoming.payload_left.min(input.len()));
        incoming.payload_left -= part.len();
        if let Ok(msg) = &mut incoming.outcome {
            // Never reallocates: `reserve` took the whole length.
            msg.payload.extend_from_slice(part);
        }
        if incoming.payload_left > 0 {
            self.state = State::Payload(incoming);
            return (tail, Step::NeedMore);
        }
        self.state = State::End(incoming, false);
        (tail, Step::Next)
    }

    /// The CR LF behind a payload is all that shows a wrong length, so it is not optional.
    fn read_end<'b>(
        &mut self,
        incoming: Incoming,
        cr: bool,
        input: &'b [u8],
    ) -> Result<(&'b [u8], Step), ParseError> {
        let Some((byte, tail)) = input.split_first() else {
            self.state = State::End(incoming, cr);
            return Ok((input, Step::NeedMore));
        };
        match (cr, byte) {
            (false, b'\r') => {
                self.state = State::End(incoming, true);
                Ok((tail, Step::Next))
            }
            (true, b'\n') => Ok((tail, Step::Complete(incoming.finish()))),
            _ => Err(ParseError::PayloadEnd),
        }
    }
}

impl Incoming {
    fn finish(self) -> Op {
        let sid = self.sid;
        match self.outcome {
            Ok(msg) => Op::Msg(msg),
            Err(error) => Op::Refused { sid, error },
        }
    }
}

/// The arguments of a MSG or an HMSG.
struct Arguments<'a> {
    subject: &'a [u8],
    sid: u64,
    reply: Option<&'a [u8]>,
    headers: usize,
    payload: usize,
}

impl<'a> Arguments<'a> {
    /// `subject sid [reply] bytes` for MSG, `subject sid [reply] header-bytes all-bytes` for HMSG.
    fn parse(text: &'a [u8], with_headers: bool) -> Option<Self> {
        let mut words = [&[] as &[u8]; MAX_ARGUMENTS];
        let mut count = 0;
        for word in text.split(is_blank).filter(|word| !word.is_empty()) {
            *words.get_mut(count)? = word;
            count += 1;
        }
        let none: &[u8] = b"0";
        let (subject, sid, reply, headers, total) = match (with_headers, &words[..count]) {
            (false, &[subject, sid, total]) => (subject, sid, None, none, total),
            (false, &[subject, sid, reply, total]) => (subject, sid, Some(reply), none, total),
            (true, &[subject, sid, headers, total]) => (subject, sid, None, headers, total),
            (true, &[subject, sid, reply, headers, total]) => {
                (subject, sid, Some(reply), headers, total)
            }
            _ => return None,
        };
        let headers = length(headers)?;
        Some(Self {
            subject,
            sid: decimal(sid)?,
            reply,
            headers,
            payload: length(total)?.checked_sub(headers)?,
        })
    }
}

/// Arguments are separated by spaces or tabs, one or more (section "Protocol conventions").
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_info(line: &[u8]) -> bool {
    line.split_at_checked(4).is_some_and(|(verb, rest)| {
        verb.eq_ignore_ascii_case(b"INFO") && rest.first().is_some_and(is_blank)
    })
}

fn length(digits: &[u8]) -> Option<usize> {
    usize::try_from(decimal(digits)?).ok()
}

/// Copies a subject. `len` is the payload's, for the error.
fn owned_text(bytes: &[u8], len: usize) -> Result<String, MessageError> {
    let text = str::from_utf8(bytes).map_err(|_| MessageError::SubjectNotUtf8)?;
    let mut owned = String::new();
    owned
        .try_reserve_exact(text.len())
        .map_err(|_| MessageError::NoMemory { len })?;
    owned.push_str(text);
    Ok(owned)
}

/// The text of an `-ERR 'text'`.
fn error_text(text: &[u8]) -> String {
    let text = text.trim_ascii();
    let inner = text
        .strip_prefix(b"'")
        .and_then(|text| text.strip_suffix(b"'"));
    utf8_start(inner.unwrap_or(text)).to_string()
}

/// The start of a line, fit to be logged.
fn shown(line: &[u8]) -> String {
    let start = line.get(..SHOWN_LINE).unwrap_or(line);
    start.escape_ascii().to_string()
}

fn no_memory(_: alloc::collections::TryReserveError) -> ParseError {
    ParseError::NoMemory
}
