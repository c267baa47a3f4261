//! The NATS client protocol as bytes: [`Parser`] for what the server says, functions for what a client says.
//!
//! The parser is fed with whatever pieces the socket gives and hands out one [`Op`] at a time. How the bytes
//! were cut never changes what comes out. A payload is copied once, into a `Vec` of its exact length; apart
//! from that the parser holds one control line.
//!
//! Two kinds of fault are kept apart. What only the server writes (verbs, lengths, line ends) is a
//! [`ParseError`]: the place in the stream is lost and the parser stays failed. What another client chose (the
//! size of a message, its subject) is no reason to drop the connection: that message is read past and
//! reported as [`Op::Refused`].
//!
//! Sections named here are those of "Client Protocol" in the NATS documentation, and ADR-4 for headers.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;

use crate::cause::debug_is_display;
use crate::json::number::{Digits, decimal};
use crate::json::{self, JsonError};
use crate::trace::utf8_start;

/// The end of a control line, and what follows a payload.
pub(crate) const CRLF: &[u8] = b"\r\n";

/// What tells an INFO line from others before the line is complete: its verb and one separator.
const INFO_START: usize = b"INFO ".len();
/// Those of an HMSG with a reply subject.
const MAX_ARGUMENTS: usize = 5;
/// How much of a faulty line is kept for the error text, in bytes.
const SHOWN_LINE: usize = 64;
/// Servers of a cluster that are kept from one INFO; a server announces itself and its peers.
const MAX_CONNECT_URLS: usize = 32;
/// A longer URL of a server is not kept, in bytes.
const MAX_CONNECT_URL_LEN: usize = 300;
/// A line buffer up to this many bytes is kept for the next line; a larger one is given back to the heap.
const KEPT_LINE: usize = 256;

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

/// One thing the server said.
#[derive(Debug, PartialEq)]
pub(crate) enum Op {
    /// `INFO`: the server describes itself; first of all, and again whenever something changes.
    Info(ServerInfo),
    /// `MSG` or `HMSG`: a message for one of our subscriptions.
    Msg(Msg),
    /// A message that was read past, not kept. The connection is good for the next one.
    Refused {
        /// The subscription it was for.
        sid: u64,
        /// Why it was not kept.
        error: MessageError,
    },
    /// `PING`: to be answered with [`pong`], or the server closes the connection.
    Ping,
    /// `PONG`: the server has handled everything sent before the [`ping`] this answers.
    Pong,
    /// `+OK`: only sent after a CONNECT with `verbose`.
    Ok,
    /// `-ERR`: the server's error text, without quotes.
    Err(String),
}

/// A message as the server delivered it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Msg {
    /// The subject it was published to.
    pub(crate) subject: String,
    /// The id given to [`subscribe`].
    pub(crate) sid: u64,
    /// Where an answer is expected.
    pub(crate) reply: Option<String>,
    /// The header block as it came, from `NATS/1.0` to the empty line; empty for a MSG.
    pub(crate) headers: Vec<u8>,
    /// The payload, without headers. Its capacity is its length.
    pub(crate) payload: Vec<u8>,
}

/// The part of an INFO that a client needs. Fields the server left out have their default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// Most bytes the server takes in one message. Default 1,048,576.
    pub(crate) max_payload: usize,
    /// Whether the server knows headers, and so `no_responders`. Default false.
    pub(crate) headers: bool,
    /// Whether the connection must be upgraded to TLS. Default false.
    pub(crate) tls_required: bool,
    /// Whether the connection may be upgraded to TLS. Default false.
    pub(crate) tls_available: bool,
    /// Whether the server is about to close its connections (lame duck mode). Default false.
    pub(crate) lame_duck: bool,
    /// What an nkey has to sign in CONNECT. Default none.
    pub(crate) nonce: Option<String>,
    /// Servers of the cluster, as `host:port`: at most 32, of at most 300 bytes each. Default none.
    pub(crate) connect_urls: Vec<String>,
}

impl Default for ServerInfo {
    fn default() -> Self {
        Self {
            max_payload: 1_048_576,
            headers: false,
            tls_required: false,
            tls_available: false,
            lame_duck: false,
            nonce: None,
            connect_urls: Vec::new(),
        }
    }
}

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

/// Reads what a server sends, in pieces of any size.
#[derive(Debug)]
pub(crate) struct Parser {
    limits: Limits,
    state: State,
    /// The control line so far; while headers are read, the start of their first line.
    line: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Line,
    Headers(Incoming),
    Payload(Incoming),
    /// Behind the payload; true once the CR was seen.
    End(Incoming, bool),
    Failed(ParseError),
}

/// A message between its control line and its last byte.
#[derive(Debug)]
struct Incoming {
    sid: u64,
    headers_left: usize,
    payload_left: usize,
    /// What is delivered at the end: the message, or why it is not kept.
    outcome: Result<Msg, MessageError>,
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

fn server_info(json: &[u8]) -> Result<ServerInfo, ParseError> {
    let text = core::str::from_utf8(json).map_err(|error| ParseError::BadInfo {
        at: error.valid_up_to(),
    })?;
    let mut info = ServerInfo::default();
    let read = json::read_object(text, &mut |key, value| {
        match key {
            "max_payload" => {
                info.max_payload = usize::try_from(value.unsigned()?).unwrap_or(usize::MAX);
            }
            "headers" => info.headers = value.boolean()?,
            "tls_required" => info.tls_required = value.boolean()?,
            "tls_available" => info.tls_available = value.boolean()?,
            "ldm" => info.lame_duck = value.boolean()?,
            "nonce" => info.nonce = Some(value.text()?.into_owned()),
            "connect_urls" if !value.null() => read_connect_urls(value, &mut info.connect_urls)?,
            "connect_urls" => {}
            _ => drop(value.skip()?),
        }
        Ok(())
    });
    match read {
        Ok(()) => Ok(info),
        Err(JsonError::Unexpected { at, .. }) => Err(ParseError::BadInfo { at }),
        Err(JsonError::OutOfMemory { .. }) => Err(ParseError::NoMemory),
    }
}

fn read_connect_urls(
    value: &mut json::Reader<'_>,
    urls: &mut Vec<String>,
) -> Result<(), JsonError> {
    let mut elements = value.array()?;
    while value.next_element(&mut elements)? {
        let url = value.text()?;
        if urls.len() < MAX_CONNECT_URLS && url.len() <= MAX_CONNECT_URL_LEN {
            urls.push(url.into_owned());
        }
    }
    Ok(())
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

/// What CONNECT tells the server. There is no `Debug`: it would print secrets.
#[derive(Clone, Default)]
pub(crate) struct ConnectOptions<'a> {
    /// Whether the connection is encrypted.
    pub(crate) tls_required: bool,
    /// Name of the client, shown in the server's monitoring.
    pub(crate) name: Option<&'a str>,
    /// Whether own messages come back to own subscriptions.
    pub(crate) echo: bool,
    /// Whether the client understands HMSG and wants a status 503 for a request without responders. Only
    /// to a server that has headers: others refuse it.
    pub(crate) headers: bool,
    /// User name.
    pub(crate) user: Option<&'a str>,
    /// Password.
    pub(crate) password: Option<&'a str>,
    /// Token, instead of user and password.
    pub(crate) auth_token: Option<&'a str>,
    /// Public nkey.
    pub(crate) nkey: Option<&'a str>,
    /// User JWT.
    pub(crate) jwt: Option<&'a str>,
    /// Signature of the server's nonce, in URL-safe base64.
    pub(crate) signature: Option<&'a str>,
}

/// Appends `CONNECT {json}`. JSON escapes control characters, so no option can end the line early.
pub(crate) fn connect(out: &mut Vec<u8>, options: &ConnectOptions) {
    let flag = |on: bool| if on { "true" } else { "false" };
    put(
        out,
        &[
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"",
            env!("CARGO_PKG_VERSION"),
            // 1: the client understands an INFO at any time.
            "\",\"protocol\":1,\"tls_required\":",
            flag(options.tls_required),
            ",\"echo\":",
            flag(options.echo),
            ",\"headers\":",
            flag(options.headers),
            ",\"no_responders\":",
            flag(options.headers),
        ],
    );
    for (name, text) in [
        ("name", options.name),
        ("user", options.user),
        ("pass", options.password),
        ("auth_token", options.auth_token),
        ("nkey", options.nkey),
        ("jwt", options.jwt),
        ("sig", options.signature),
    ] {
        if let Some(text) = text {
            put(out, &[",\"", name, "\":"]);
            json::write_text(out, text);
        }
    }
    put(out, &["}\r\n"]);
}

/// Appends the `PUB` line. `payload_len` bytes of payload and a [`CRLF`] must follow.
///
/// `subject` and `reply` must have been checked: this function only debug-asserts that no blank, CR or LF
/// is in them, and any of those would change the meaning of what follows.
pub(crate) fn publish_head(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    payload_len: usize,
) {
    debug_assert_word(subject);
    put(out, &["PUB ", subject, " "]);
    if let Some(reply) = reply {
        debug_assert_word(reply);
        put(out, &[reply, " "]);
    }
    put(out, &[Digits::of(payload_len as u64).as_str(), "\r\n"]);
}

/// Appends the `HPUB` line and the header block. `payload_len` bytes of payload and a [`CRLF`] must follow.
///
/// `subject` and `reply` must have been checked, as for [`publish_head`], and `headers` by
/// [`check_headers`](super::headers::check_headers).
pub(crate) fn publish_head_with_headers(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    headers: &[(&str, &str)],
    payload_len: usize,
) {
    debug_assert_word(subject);
    put(out, &["HPUB ", subject, " "]);
    if let Some(reply) = reply {
        debug_assert_word(reply);
        put(out, &[reply, " "]);
    }
    let headers_len = headers_len(headers);
    let total = payload_len.saturating_add(headers_len);
    let (headers_len, total) = (Digits::of(headers_len as u64), Digits::of(total as u64));
    put(
        out,
        &[
            headers_len.as_str(),
            " ",
            total.as_str(),
            "\r\n",
            VERSION_LINE,
        ],
    );
    for (name, value) in headers {
        put(out, &[name, ": ", value, "\r\n"]);
    }
    put(out, &["\r\n"]);
}

/// The first line of a header block (ADR-4).
const VERSION_LINE: &str = "NATS/1.0\r\n";

/// The length in bytes of the block that [`publish_head_with_headers`] writes; 0 without headers.
pub(crate) fn headers_len(headers: &[(&str, &str)]) -> usize {
    if headers.is_empty() {
        return 0;
    }
    let lines = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4);
    VERSION_LINE.len() + lines.sum::<usize>() + CRLF.len()
}

/// Appends a `SUB` line. `sid` is chosen by the client, one per subscription of a connection.
///
/// `subject` and `queue` must have been checked, as for [`publish_head`].
pub(crate) fn subscribe(out: &mut Vec<u8>, subject: &str, queue: Option<&str>, sid: u64) {
    debug_assert_word(subject);
    put(out, &["SUB ", subject, " "]);
    if let Some(queue) = queue {
        debug_assert_word(queue);
        put(out, &[queue, " "]);
    }
    put(out, &[Digits::of(sid).as_str(), "\r\n"]);
}

/// Appends an `UNSUB` line: the subscription ends at once.
pub(crate) fn unsubscribe(out: &mut Vec<u8>, sid: u64) {
    put(out, &["UNSUB ", Digits::of(sid).as_str(), "\r\n"]);
}

/// Appends `PING`.
pub(crate) fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// Appends `PONG`.
pub(crate) fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn debug_assert_word(text: &str) {
    debug_assert!(!text.is_empty(), "empty argument in a control line");
    debug_assert!(
        !text.contains([' ', '\t', '\r', '\n']),
        "blank or line end in an argument of a control line"
    );
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use alloc::format;

    type Outcome = (Vec<Op>, Option<ParseError>);

    /// There is room for every payload.
    fn feed(parser: &mut Parser, input: &[u8]) -> Result<(usize, Option<Op>), ParseError> {
        parser.feed(input, &|_| usize::MAX)
    }

    /// Feeds one piece after the other, as a caller does.
    fn run<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let mut parser = Parser::new(limits);
        let mut ops = Vec::new();
        for piece in pieces {
            let mut input = piece;
            while !input.is_empty() {
                match feed(&mut parser, input) {
                    Ok((used, op)) => {
                        assert!(op.is_some() || used == input.len(), "no op, but input left");
                        assert!(used > 0, "no progress");
                        input = &input[used..];
                        ops.extend(op);
                    }
                    Err(error) => {
                        assert_eq!(
                            feed(&mut parser, b"PING\r\n"),
                            Err(error.clone()),
                            "not failed"
                        );
                        assert_eq!(parser.line.capacity(), 0, "memory kept");
                        return (ops, Some(error));
                    }
                }
            }
        }
        (ops, None)
    }

    fn run_whole(limits: Limits, bytes: &[u8]) -> Outcome {
        run(limits, [bytes])
    }

    fn small() -> Limits {
        Limits {
            max_control_line: 40,
            max_info_line: 60,
            max_payload: 20,
            max_headers: 30,
        }
    }

    fn msg(subject: &str, sid: u64, reply: Option<&str>, headers: &[u8], body: &[u8]) -> Op {
        Op::Msg(Msg {
            subject: subject.to_owned(),
            sid,
            reply: reply.map(str::to_owned),
            headers: headers.to_vec(),
            payload: body.to_vec(),
        })
    }

    fn refused(sid: u64, error: MessageError) -> Op {
        Op::Refused { sid, error }
    }

    /// Every op, in the spellings that are allowed.
    fn transcript() -> Vec<(&'static [u8], Op)> {
        let info = ServerInfo {
            max_payload: 4096,
            headers: true,
            tls_required: true,
            tls_available: true,
            lame_duck: false,
            nonce: Some("n\u{e9}".to_owned()),
            connect_urls: vec!["a:1".to_owned(), "b:2".to_owned()],
        };
        let small = ServerInfo {
            max_payload: 1,
            lame_duck: true,
            ..ServerInfo::default()
        };
        vec![
            (
                b"INFO {\"server_id\":\"NA\",\"version\":\"2.9.10\",\"max_payload\":4096,\"headers\":true,\
                  \"auth_required\":true,\"tls_required\":true,\"tls_available\":true,\"nonce\":\"n\\u00e9\",\
                  \"connect_urls\":[\"a:1\",\"b:2\"],\"xkey\":{\"a\":[null]}} \r\n",
                Op::Info(info),
            ),
            (b"+OK\r\n", Op::Ok),
            (b"PING\r\n", Op::Ping),
            (b"pong\n", Op::Pong),
            (b"PiNg \t\r\n", Op::Ping),
            (b"MSG a.b 9 5\r\nhello\r\n", msg("a.b", 9, None, b"", b"hello")),
            (b"msg\t/chat \t 18446744073709551615  _INBOX.1\t0 \n\r\n", {
                msg("/chat", u64::MAX, Some("_INBOX.1"), b"", b"")
            }),
            (
                b"MSG a 1 12\r\n\r\nPING\r\n\0\xff\r\n\r\n",
                msg("a", 1, None, b"", b"\r\nPING\r\n\0\xff\r\n"),
            ),
            (
                b"HMSG _INBOX.1 2 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
                msg("_INBOX.1", 2, None, b"NATS/1.0 503\r\n\r\n", b""),
            ),
            (
                b"hmsg s 3 r 26 29\r\nNATS/1.0 100 Idle\r\nA:b\r\n\r\nxyz\r\n",
                msg("s", 3, Some("r"), b"NATS/1.0 100 Idle\r\nA:b\r\n\r\n", b"xyz"),
            ),
            (
                b"HMSG s 4 17 19\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\n",
                msg("s", 4, None, b"NATS/1.0\r\nA:b\r\n\r\n", b"hi"),
            ),
            (
                // Another client's headers are not looked into here.
                b"HMSG s 4 9 9\r\n\xff\r\nPING\r\n\r\n",
                msg("s", 4, None, b"\xff\r\nPING\r\n", b""),
            ),
            (b"HMSG s 5 0 2\r\nhi\r\n", msg("s", 5, None, b"", b"hi")),
            (
                b"-ERR 'Unknown Protocol Operation'\r\n",
                Op::Err("Unknown Protocol Operation".to_owned()),
            ),
            (b"-err it's so\r\n", Op::Err("it's so".to_owned())),
            (
                b"MSG caf\xe9 6 2\r\nhi\r\n",
                refused(6, MessageError::SubjectNotUtf8),
            ),
            (b"INFO\t{\"max_payload\":1,\"ldm\":true}\r\n", Op::Info(small)),
        ]
    }

    fn joined() -> (Vec<u8>, Vec<Op>) {
        let (mut bytes, mut ops) = (Vec::new(), Vec::new());
        for (part, op) in transcript() {
            bytes.extend_from_slice(part);
            ops.push(op);
        }
        (bytes, ops)
    }

    #[test]
    fn each_op_in_one_piece() {
        for (bytes, expected) in transcript() {
            let shown = bytes.escape_ascii();
            assert_eq!(
                run_whole(Limits::default(), bytes),
                (vec![expected], None),
                "{shown}"
            );
        }
    }

    #[test]
    fn stops_behind_one_op() {
        let mut parser = Parser::new(Limits::default());
        assert_eq!(feed(&mut parser, b""), Ok((0, None)));
        assert_eq!(
            feed(&mut parser, b"PING\r\nPONG\r\n+O"),
            Ok((6, Some(Op::Ping)))
        );
        assert_eq!(feed(&mut parser, b"PONG\r\n+O"), Ok((6, Some(Op::Pong))));
        assert_eq!(feed(&mut parser, b"+O"), Ok((2, None)));
        assert_eq!(feed(&mut parser, b"K\n"), Ok((2, Some(Op::Ok))));
    }

    #[test]
    fn every_cut_gives_the_same_ops() {
        let (bytes, ops) = joined();
        let expected = (ops, None);
        assert_eq!(run(Limits::default(), bytes.chunks(1)), expected);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(
                run(Limits::default(), [head, tail]),
                expected,
                "cut at {cut}"
            );
        }
    }

    /// The one place where the parser's memory use is pinned down: one exact payload, a small line.
    #[test]
    fn payload_is_held_once_in_its_exact_length() {
        let body = vec![7; 67_000];
        let mut parser = Parser::new(Limits::default());
        let head = b"MSG a 1 67000\r\n";
        assert_eq!(feed(&mut parser, head), Ok((head.len(), None)));
        for chunk in body.chunks(1000) {
            assert_eq!(feed(&mut parser, chunk), Ok((chunk.len(), None)));
            assert!(parser.line.capacity() <= KEPT_LINE);
        }
        let Ok((2, Some(Op::Msg(msg)))) = feed(&mut parser, CRLF) else {
            panic!("no message");
        };
        assert_eq!((msg.payload.capacity(), msg.payload), (67_000, body));
    }

    #[test]
    fn headers_are_held_once_in_their_exact_length() {
        let block = vec![b'h'; 60_000];
        let mut parser = Parser::new(Limits::default());
        let head = b"HMSG s 1 60000 60002\r\n";
        assert_eq!(feed(&mut parser, head), Ok((head.len(), None)));
        for chunk in block.chunks(1000) {
            assert_eq!(feed(&mut parser, chunk), Ok((chunk.len(), None)));
            assert!(parser.line.capacity() <= KEPT_LINE);
        }
        assert_eq!(feed(&mut parser, b"hi"), Ok((2, None)));
        let Ok((2, Some(Op::Msg(msg)))) = feed(&mut parser, CRLF) else {
            panic!("no message");
        };
        assert_eq!((msg.headers.capacity(), msg.headers), (60_000, block));
        assert_eq!((msg.payload.capacity(), &*msg.payload), (2, &b"hi"[..]));
    }

    #[test]
    fn a_long_line_is_given_back() {
        let mut parser = Parser::new(Limits::default());
        let line = format!("INFO {{\"connect_urls\":[\"{}\"]}}\r\n", "x".repeat(60_000));
        let Ok((_, Some(Op::Info(info)))) = feed(&mut parser, line.as_bytes()) else {
            panic!("no INFO");
        };
        assert_eq!(info, ServerInfo::default());
        assert!(parser.line.capacity() <= KEPT_LINE);
    }

    /// `name` and length of a line, and what comes of it.
    fn filled(start: &str, len: usize, end: &str) -> Vec<u8> {
        let middle = len - start.len() - end.len();
        format!("{start}{}{end}\n", "x".repeat(middle)).into_bytes()
    }

    #[test]
    fn limit_of_lines() {
        let too_long = Some(ParseError::LineTooLong { limit: 40 });
        let info_too_long = Some(ParseError::InfoTooLong { limit: 60 });
        let (info, info_end) = ("INFO {\"a\":\"", "\"}\r");
        let cases = [
            (filled("PING ", 39, "\r"), None),
            (filled("PING ", 40, "\r"), None),
            (filled("PING ", 40, ""), None),
            (filled("PING ", 41, "\r"), too_long.clone()),
            (filled("INFOX ", 41, "\r"), too_long.clone()),
            (filled("PING ", 4000, "\r"), too_long.clone()),
            (filled(info, 59, info_end), None),
            (filled(info, 60, info_end), None),
            (filled(info, 61, info_end), info_too_long.clone()),
            (filled("info\t{\"a\":\"", 61, info_end), info_too_long),
            // Without any LF the limit holds as well.
            (vec![b'x'; 41], too_long),
        ];
        for (line, error) in cases {
            let shown = line.escape_ascii();
            let whole = run_whole(small(), &line);
            assert_eq!(whole.1, error, "{shown}");
            assert_eq!(whole.0.len(), usize::from(error.is_none()), "{shown}");
            assert_eq!(run(small(), line.chunks(1)), whole, "{shown}");
        }
    }

    #[test]
    fn a_message_over_a_limit_costs_only_itself() {
        let payload = |len| MessageError::PayloadTooLarge { len, limit: 20 };
        let headers = |len| MessageError::HeadersTooLarge { len, limit: 30 };
        let cases: [(usize, usize, Option<MessageError>); 8] = [
            (0, 19, None),
            (0, 20, None),
            (0, 21, Some(payload(21))),
            (29, 0, None),
            (30, 20, None),
            (31, 20, Some(headers(31))),
            (31, 21, Some(headers(31))),
            (30, 5000, Some(payload(5000))),
        ];
        for (header_len, payload_len, error) in cases {
            let header = format!("NATS/1.0 503{:1$}", "", header_len.saturating_sub(12));
            let header = header.get(..header_len).unwrap_or_default();
            let body = "b".repeat(payload_len);
            let line = format!("HMSG s 7 {header_len} {}", header_len + payload_len);
            let bytes = format!("{line}\r\n{header}{body}\r\nPING\r\n");

            let kept = msg("s", 7, None, header.as_bytes(), body.as_bytes());
            let first = error.map_or(kept, |error| refused(7, error));
            let expected = (vec![first, Op::Ping], None);
            assert_eq!(run_whole(small(), bytes.as_bytes()), expected, "{line}");
            assert_eq!(run(small(), bytes.as_bytes().chunks(1)), expected, "{line}");
        }
    }

    #[test]
    fn the_room_of_a_subscription_counts_from_the_next_control_line_on() {
        let mut parser = Parser::new(small());
        let message = b"MSG s 7 5\r\nhello\r\n";
        let kept = msg("s", 7, None, b"", b"hello");
        let (used, op) = parser.feed(&message[..12], &|_| 5).unwrap();
        assert_eq!((used, op), (12, None));
        let full = |sid| if sid == 7 { 4 } else { 5 };
        let rest = parser.feed(&message[12..], &full).unwrap();
        assert_eq!(rest.1, Some(kept));
        let error = MessageError::PayloadTooLarge { len: 5, limit: 4 };
        let next = parser.feed(message, &full).unwrap();
        assert_eq!(next.1, Some(refused(7, error)));
        let other = parser.feed(b"MSG s 8 5\r\nhello\r\n", &full).unwrap();
        assert_eq!(other.1, Some(msg("s", 8, None, b"", b"hello")));
        // The parser's own limit holds whatever the room.
        let long = b"MSG s 8 21\r\n123456789012345678901\r\n";
        let error = MessageError::PayloadTooLarge { len: 21, limit: 20 };
        let long = parser.feed(long, &|_| usize::MAX).unwrap();
        assert_eq!(long.1, Some(refused(8, error)));
    }

    /// Nothing is reserved for a length that is merely claimed.
    #[test]
    fn huge_lengths() {
        let limits = Limits {
            max_payload: usize::MAX,
            ..Limits::default()
        };
        let line = format!("MSG s 1 {}\r\n", usize::MAX);
        let mut parser = Parser::new(limits);
        assert_eq!(feed(&mut parser, line.as_bytes()), Ok((line.len(), None)));
        let State::Payload(incoming) = &parser.state else {
            panic!("not in a payload: {:?}", parser.state);
        };
        let expected = MessageError::NoMemory { len: usize::MAX };
        assert_eq!(incoming.outcome, Err(expected));

        let mut parser = Parser::new(Limits::default());
        assert_eq!(feed(&mut parser, line.as_bytes()), Ok((line.len(), None)));
        let State::Payload(incoming) = &parser.state else {
            panic!("not in a payload: {:?}", parser.state);
        };
        let (len, limit) = (usize::MAX, 1_048_576);
        assert_eq!(
            incoming.outcome,
            Err(MessageError::PayloadTooLarge { len, limit })
        );
    }

    #[test]
    fn malformed_lines() {
        let arguments = [
            "MSG",
            "MSG s",
            "MSG s 1",
            "MSG s 1 r 2 3",
            "MSG s x 0",
            "MSG s -1 0",
            "MSG s 1 +1",
            "MSG s 1 1x",
            "MSG s 18446744073709551616 0",
            "MSG s 1 18446744073709551616",
            "MSG s 1 99999999999999999999",
            "HMSG s 1 12",
            "HMSG s 1 13 12",
            "HMSG s 1 r 12 12 1",
            "HMSG s 1 r 12 x",
            "HMSG s 1 r x 12",
        ];
        for line in arguments {
            let error = ParseError::BadArguments {
                line: line.to_owned(),
            };
            let bytes = format!("{line}\r\n");
            assert_eq!(
                run_whole(Limits::default(), bytes.as_bytes()),
                (vec![], Some(error)),
                "{line}"
            );
        }
        let verbs = [
            "",
            " PING",
            "PINGS",
            "INFO{}",
            "MSGS s 1 0",
            "OK",
            "ERR",
            "PUB a 0",
            "GET / HTTP/1.1",
        ];
        for line in verbs {
            let error = ParseError::UnknownVerb {
                line: line.to_owned(),
            };
            let bytes = format!("{line}\r\n");
            assert_eq!(
                run_whole(Limits::default(), bytes.as_bytes()),
                (vec![], Some(error)),
                "{line}"
            );
        }
        for json in [
            "",
            "{",
            "null",
            "[]",
            "{} x",
            "{\"headers\":1}",
            "{\"max_payload\":-1}",
            "{\"max_payload\":1.5}",
            "{\"ldm\":0}",
            "{\"tls_available\":\"yes\"}",
            "{\"nonce\":1}",
            "{\"nonce\":null}",
            "{\"connect_urls\":\"a:1\"}",
            "{\"connect_urls\":[1]}",
            "{\"connect_urls\":[\"a:1\"}",
        ] {
            let bytes = format!("INFO {json}\r\n");
            let (ops, error) = run_whole(Limits::default(), bytes.as_bytes());
            assert!(
                matches!((ops.len(), error), (0, Some(ParseError::BadInfo { .. }))),
                "{json}"
            );
        }
    }

    #[test]
    fn a_shown_line_is_escaped_and_short() {
        let mut line = b"\x1b[31m\xff".to_vec();
        line.resize(4000, b'x');
        line.push(b'\n');
        let start = format!("\\x1b[31m\\xff{}", "x".repeat(SHOWN_LINE - 6));
        let error = ParseError::UnknownVerb { line: start };
        assert_eq!(run_whole(Limits::default(), &line), (vec![], Some(error)));
    }

    /// The subject that it names stands at its end.
    #[test]
    fn a_server_error_is_whole() {
        for len in [0, 255, 256, 257, 4000, 65_000] {
            let bytes = format!("-ERR '{}'\r\n", "x".repeat(len));
            let expected = Op::Err("x".repeat(len));
            assert_eq!(
                run_whole(Limits::default(), bytes.as_bytes()),
                (vec![expected], None),
                "{len}"
            );
        }
        let bytes = b"-ERR 'Permissions Violation for Publish to \"it's\"'\r\n-ERR 'a\xffb'\r\n";
        let expected = ["Permissions Violation for Publish to \"it's\"", "a"];
        let expected = expected.map(|text| Op::Err(text.to_owned())).into();
        assert_eq!(run_whole(Limits::default(), bytes), (expected, None));
    }

    fn info(json: &str) -> ServerInfo {
        let line = format!("INFO {json}\r\n");
        match run_whole(Limits::default(), line.as_bytes()) {
            (ops, None) => match <[Op; 1]>::try_from(ops) {
                Ok([Op::Info(info)]) => info,
                other => panic!("{other:?}"),
            },
            (_, error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn connect_urls_are_kept_up_to_their_limits() {
        let urls = |count: usize, len: usize| {
            let url = format!("\"{}\"", "h".repeat(len));
            let json = format!("{{\"connect_urls\":[{}]}}", vec![url; count].join(","));
            info(&json).connect_urls
        };
        for (count, kept) in [(0, 0), (31, 31), (32, 32), (33, 32), (200, 32)] {
            assert_eq!(urls(count, 9).len(), kept, "{count} URLs");
        }
        for (len, kept) in [(0, 2), (299, 2), (300, 2), (301, 0), (10_000, 0)] {
            assert_eq!(urls(2, len).len(), kept, "of {len} bytes");
        }
        // A long one takes no place.
        let long = "h".repeat(301);
        let json = format!("{{\"connect_urls\":[\"{long}\",\"a:1\"],\"headers\":true}}");
        let found = info(&json);
        assert_eq!(
            (found.connect_urls, found.headers),
            (vec!["a:1".to_owned()], true)
        );
        for json in ["{\"connect_urls\":null}", "{\"connect_urls\":[]}", "{}"] {
            assert_eq!(info(json), ServerInfo::default(), "{json}");
        }
    }

    #[test]
    fn info_has_the_nonce_and_says_that_the_server_closes() {
        for (json, nonce, lame_duck) in [
            ("{}", None, false),
            ("{\"ldm\":false,\"nonce\":\"\"}", Some(""), false),
            ("{\"ldm\":true,\"nonce\":\"a\\\"b\"}", Some("a\"b"), true),
        ] {
            let info = info(json);
            assert_eq!(
                (info.nonce.as_deref(), info.lame_duck),
                (nonce, lame_duck),
                "{json}"
            );
        }
    }

    #[test]
    fn payload_must_end_in_cr_lf() {
        for end in ["\n", "x\n", "\r\r\n", "x\r\n", "\rx", " \r\n"] {
            let bytes = format!("MSG s 1 2\r\nhi{end}PING\r\n");
            let expected = (vec![], Some(ParseError::PayloadEnd));
            assert_eq!(
                run_whole(Limits::default(), bytes.as_bytes()),
                expected,
                "{end:?}"
            );
        }
    }

    #[test]
    fn encoders_append() {
        let mut out = b"x".to_vec();
        publish_head(&mut out, "/chat", None, 5);
        publish_head(&mut out, "a.b", Some("_INBOX.1"), usize::MAX);
        subscribe(&mut out, "/chat", None, 1);
        subscribe(&mut out, "a.>", Some("workers"), u64::MAX);
        unsubscribe(&mut out, 1);
        unsubscribe(&mut out, u64::MAX);
        ping(&mut out);
        pong(&mut out);
        let expected = format!(
            "xPUB /chat 5\r\nPUB a.b _INBOX.1 {}\r\nSUB /chat 1\r\nSUB a.> workers {}\r\n\
             UNSUB 1\r\nUNSUB {}\r\nPING\r\nPONG\r\n",
            usize::MAX,
            u64::MAX,
            u64::MAX
        );
        assert_eq!(String::from_utf8(out), Ok(expected));
    }

    #[test]
    fn headers_are_counted_as_they_are_written() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, &'a str);
        let cases: [Case<'_>; 2] = [
            (
                &[("Nats-Msg-Id", "17")],
                None,
                "HPUB a.b 29 34\r\nNATS/1.0\r\nNats-Msg-Id: 17\r\n\r\n",
            ),
            (
                &[("A", "é: x"), ("A", "")],
                Some("_INBOX.1"),
                "HPUB a.b _INBOX.1 27 32\r\nNATS/1.0\r\nA: é: x\r\nA: \r\n\r\n",
            ),
        ];
        for (headers, reply, expected) in cases {
            let mut out = Vec::new();
            publish_head_with_headers(&mut out, "a.b", reply, headers, 5);
            assert_eq!(
                String::from_utf8(out).as_deref(),
                Ok(expected),
                "{headers:?}"
            );
            let line = expected.find('\n').map_or(0, |end| end + 1);
            assert_eq!(headers_len(headers), expected.len() - line, "{headers:?}");
        }
        assert_eq!(headers_len(&[]), 0);
        let mut out = Vec::new();
        publish_head_with_headers(&mut out, "a", None, &[("A", "b")], usize::MAX);
        let expected = format!("HPUB a 18 {}\r\n", usize::MAX);
        assert!(
            out.starts_with(expected.as_bytes()),
            "{}",
            out.escape_ascii()
        );
    }

    /// What one client writes with HPUB another reads as HMSG.
    #[test]
    fn written_headers_are_read_again() {
        let headers = [("Nats-Msg-Id", "17"), ("Color", "r ü: d")];
        let mut out = Vec::new();
        publish_head_with_headers(&mut out, "a", None, &headers, 2);
        out.extend_from_slice(b"hi\r\n");
        let text = String::from_utf8(out)
            .unwrap()
            .replacen("HPUB a", "HMSG a 1", 1);
        let (ops, error) = run_whole(Limits::default(), text.as_bytes());
        let [Op::Msg(msg)] = &ops[..] else {
            panic!("{ops:?}, {error:?}");
        };
        assert_eq!(msg.payload, b"hi");
        assert_eq!(msg.headers.len(), headers_len(&headers));
        let read = crate::nats::Headers::from_block(msg.headers.clone());
        assert!(read.iter().eq(headers));
    }

    #[test]
    fn connect_lines() {
        let line = |options: &ConnectOptions| {
            let mut out = b"x".to_vec();
            connect(&mut out, options);
            String::from_utf8(out).unwrap()
        };
        let version = env!("CARGO_PKG_VERSION");
        let start = format!(
            "xCONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\
             \"version\":\"{version}\",\"protocol\":1,"
        );
        let expected = format!(
            "{start}\"tls_required\":false,\"echo\":false,\"headers\":false,\"no_responders\":false}}\r\n"
        );
        assert_eq!(line(&ConnectOptions::default()), expected);

        let expected = format!(
            "{start}\"tls_required\":true,\"echo\":true,\"headers\":true,\"no_responders\":true,\
             \"name\":\"n\\r\\nPUB\",\"user\":\"ü\",\"pass\":\"p\\\"\\\\\",\"auth_token\":\"t\",\
             \"nkey\":\"U\",\"jwt\":\"a.b.c\",\"sig\":\"s-_\"}}\r\n"
        );
        let options = ConnectOptions {
            tls_required: true,
            name: Some("n\r\nPUB"),
            echo: true,
            headers: true,
            user: Some("ü"),
            password: Some("p\"\\"),
            auth_token: Some("t"),
            nkey: Some("U"),
            jwt: Some("a.b.c"),
            signature: Some("s-_"),
        };
        assert_eq!(line(&options), expected);
    }

    /// Whatever is in the options, CONNECT is one line of JSON that says just that.
    #[test]
    fn no_option_ends_the_line_of_connect() {
        for text in [
            "",
            "\r\nPUB a 0\r\n\r\n",
            "\u{0}\u{1f}\u{7f}\u{2028}",
            "\"}\\",
            "é😀",
        ] {
            let options = ConnectOptions {
                name: Some(text),
                user: Some(text),
                password: Some(text),
                auth_token: Some(text),
                nkey: Some(text),
                jwt: Some(text),
                signature: Some(text),
                ..ConnectOptions::default()
            };
            let mut out = Vec::new();
            connect(&mut out, &options);
            let (line, end) = out.split_at(out.len() - 2);
            assert_eq!(end, CRLF);
            assert!(
                line.iter().all(|byte| *byte >= b' '),
                "{}",
                line.escape_ascii()
            );
            let json = line.strip_prefix(b"CONNECT ").unwrap();
            let read: serde_json::Value = serde_json::from_slice(json).unwrap();
            for name in ["name", "user", "pass", "auth_token", "nkey", "jwt", "sig"] {
                assert_eq!(read[name], text, "{name}");
            }
        }
    }

    #[cfg(debug_assertions)]
    #[test]
    fn unchecked_subjects_are_noticed_in_debug_builds() {
        for subject in ["", "a b", "a\tb", "a\rb", "a\nPUB b 0"] {
            for call in [
                |text: &str| publish_head(&mut Vec::new(), text, None, 0),
                |text: &str| publish_head(&mut Vec::new(), "a", Some(text), 0),
                |text: &str| publish_head_with_headers(&mut Vec::new(), text, None, &[], 0),
                |text: &str| publish_head_with_headers(&mut Vec::new(), "a", Some(text), &[], 0),
                |text: &str| subscribe(&mut Vec::new(), text, None, 0),
                |text: &str| subscribe(&mut Vec::new(), "a", Some(text), 0),
            ] {
                assert!(
                    std::panic::catch_unwind(|| call(subject)).is_err(),
                    "{subject:?}"
                );
            }
        }
    }

    #[test]
    fn errors_tell_numbers() {
        let error = MessageError::PayloadTooLarge { len: 21, limit: 20 };
        assert_eq!(
            error.to_string(),
            "payload of 21 bytes is over the limit of 20"
        );
        let error = ParseError::LineTooLong { limit: 40 };
        assert_eq!(
            error.to_string(),
            "control line is over the limit of 40 bytes"
        );
    }

    /// Bytes that get far into the parser: whole ops, cut ops and noise, in any order.
    fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
        let parts: Vec<Vec<u8>> = transcript()
            .into_iter()
            .map(|(part, _)| part.to_vec())
            .collect();
        let part = prop_oneof![
            4 => prop::sample::select(parts.clone()),
            1 => (prop::sample::select(parts), any::<prop::sample::Index>())
                .prop_map(|(part, cut)| part[..cut.index(part.len())].to_vec()),
            1 => "(INFO|H?MSG|msg|PING|-ERR)[ \t](s |[0-9]{1,3} |\\{\\}){0,6}\r?\n".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..50),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
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

    proptest! {
        #[test]
        fn random_cuts_give_the_same_ops(
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let (bytes, ops) = joined();
            let pieces = pieces(&bytes, &cuts);
            prop_assert_eq!(run(Limits::default(), pieces.iter().map(Vec::as_slice)), (ops, None));
        }

        #[test]
        fn cuts_never_matter_and_nothing_panics(
            bytes in likely_bytes(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            limits in (0usize..50, 0usize..200, 0usize..15, 0usize..30),
        ) {
            let limits = Limits {
                max_control_line: limits.0,
                max_info_line: limits.1,
                max_payload: limits.2,
                max_headers: limits.3,
            };
            for limits in [limits, Limits::default()] {
                let whole = run_whole(limits, &bytes);
                let pieces = pieces(&bytes, &cuts);
                prop_assert_eq!(&run(limits, pieces.iter().map(Vec::as_slice)), &whole);
                prop_assert_eq!(&run(limits, bytes.chunks(1)), &whole);
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let whole = run_whole(small(), &bytes);
            prop_assert_eq!(run(small(), bytes.chunks(1)), whole);
        }
    }
}
