//! One connection to a NATS server: buffers, pings, and the order of bytes on it. What they mean is
//! the client's business.

use alloc::vec::Vec;
use core::time::Duration;

use embedded_nal::TcpClientStack;

use super::options::NatsOptions;
use crate::board::{Nal, reserve};
use crate::cause::debug_tells_causes;
use crate::nats::protocol::{self, CRLF, Limits, Op, ParseError, Parser};
use crate::net::deadline::{Moment, write_timeout};
use crate::net::{Connection, Transport, TransportError};
use crate::platform::Platform;
use crate::stream::{Body, StreamError, check_length};

/// Pings in a row that may stay unanswered.
const MAX_UNANSWERED: u8 = 2;
/// How long bytes that wait to be sent may be left alone.
const PUSH_INTERVAL: Duration = Duration::from_millis(10);
/// More bytes of PINGs and PONGs do not wait to be sent: such a peer does not read.
const MAX_WAITING_CONTROL: usize = 58;

/// Why a connection is of no use any more, or a step on it failed.
#[derive(thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("{MAX_UNANSWERED} pings were not answered")]
    Silent,
    #[error("there is no memory for {0} bytes")]
    NoMemory(usize),
}

debug_tells_causes!(LinkError);

/// Why a publish failed.
pub(super) enum PublishError {
    Link(LinkError),
    /// The body's own fault. If it was sent in part, the server waits for the rest of it.
    Body {
        error: StreamError,
        sent_in_part: bool,
    },
}

impl<E: Into<LinkError>> From<E> for PublishError {
    fn from(error: E) -> Self {
        Self::Link(error.into())
    }
}

/// A connection, or the place for one.
pub(super) struct Link<S: TcpClientStack, P> {
    pub(super) connection: Connection<Nal<S, P>, P>,
    parser: Parser,
    chunk_size: usize,
    /// Bytes that came; those from `start` to `end` are not parsed yet.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that wait to be sent: whole lines, of which the first may be gone in part.
    output: Vec<u8>,
    ping_interval: Duration,
    /// When to ask next whether the server is there.
    ping_at: Moment,
    /// Pings of our own since the server last said anything.
    unanswered: u8,
    pings_sent: u32,
    pongs_seen: u32,
}

impl<S: TcpClientStack, P: Platform> Link<S, P> {
    pub(super) fn new(transport: Nal<S, P>, platform: P, options: &NatsOptions) -> Self {
        let connection = Connection::new(transport, platform);
        let now = connection.now();
        Self {
            connection,
            parser: Parser::new(Limits::default()),
            chunk_size: options.chunk_size,
            input: Vec::new(),
            start: 0,
            end: 0,
            output: Vec::new(),
            ping_interval: options.ping_interval,
            ping_at: now,
            unanswered: 0,
            pings_sent: 0,
            pongs_seen: 0,
        }
    }

    /// Connects, and starts anew in every respect.
    pub(super) fn open(
        &mut self,
        host: &str,
        port: u16,
        deadline: Moment,
    ) -> Result<(), LinkError> {
        self.close();
        self.input.clear();
        let chunk_size = self.chunk_size;
        reserve(&mut self.input, chunk_size).map_err(LinkError::NoMemory)?;
        reserve(&mut self.output, chunk_size).map_err(LinkError::NoMemory)?;
        self.input.resize(chunk_size, 0);
        self.parser = Parser::new(Limits::default());
        (self.unanswered, self.pings_sent, self.pongs_seen) = (0, 0, 0);
        let left = self.connection.left(deadline);
        self.connection.transport.open(host, port, left)?;
        self.ping_at = self.connection.deadline(self.ping_interval);
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.connection.transport.close();
        self.output.clear();
        (self.start, self.end) = (0, 0);
    }

    /// The longest message in bytes to take from now on; a longer one is [`Op::Refused`].
    pub(super) fn limit_messages(&mut self, len: usize) {
        self.parser.limit_payload(len);
    }

    /// Whether bytes have come that nobody has looked at.
    pub(super) fn has_input(&self) -> bool {
        self.start < self.end
    }

    /// Takes in what has come, without waiting and without parsing. A connection that the stack
    /// knows to be lost is noticed.
    pub(super) fn look(&mut self) -> Result<(), LinkError> {
        if !self.has_input() {
            let count = self.connection.try_receive(&mut self.input)?;
            self.take_in(count);
        }
        Ok(())
    }

    /// Adds a line of at most `len` bytes to those that wait to be sent.
    pub(super) fn write(
        &mut self,
        len: usize,
        line: impl FnOnce(&mut Vec<u8>),
        deadline: Moment,
    ) -> Result<(), LinkError> {
        if self.output.len() + len > self.chunk_size {
            self.send(deadline)?;
        }
        reserve(&mut self.output, len).map_err(LinkError::NoMemory)?;
        line(&mut self.output);
        Ok(())
    }

    /// Sends all that waits to be sent.
    pub(super) fn send(&mut self, deadline: Moment) -> Result<(), LinkError> {
        self.connection.send_all(&self.output, deadline)?;
        self.output.clear();
        if self.output.capacity() > 2 * self.chunk_size {
            // A long subject made it longer than it was.
            let mut shorter = Vec::new();
            if reserve(&mut shorter, self.chunk_size).is_ok() {
                self.output = shorter;
            }
        }
        Ok(())
    }

    /// Publishes a message that is encoded while it is sent.
    pub(super) fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        body: &mut dyn Body,
        timeout: Duration,
    ) -> Result<(), PublishError> {
        let len = body.len();
        let deadline = self.connection.deadline(write_timeout(timeout, len));
        self.send(deadline)?;
        // The server's own limit is a number of this size, and it has been checked.
        let payload_len = usize::try_from(len).unwrap_or(usize::MAX);
        let most = subject.len() + reply.map_or(0, str::len) + 32;
        let head = |out: &mut Vec<u8>| protocol::publish_head(out, subject, reply, payload_len);
        self.write(most, head, deadline)?;
        self.send_body(body, deadline)?;
        self.write(CRLF.len(), |out| out.extend_from_slice(CRLF), deadline)?;
        Ok(self.send(deadline)?)
    }

    /// Sends `body` behind what waits to be sent, except for its last bytes.
    fn send_body(&mut self, body: &mut dyn Body, deadline: Moment) -> Result<(), PublishError> {
        let len = body.len();
        let (mut read, mut sent_in_part) = (0, false);
        while read < len {
            if self.output.len() >= self.chunk_size {
                self.send(deadline)?;
                sent_in_part = true;
            }
            let left = usize::try_from(len - read).unwrap_or(usize::MAX);
            match self.read_body(body, left) {
                Ok(count) if count > 0 => read += count as u64,
                ended => {
                    self.output.clear();
                    let early = || check_length(len, read);
                    let Err(error) = ended.and_then(|_| early()) else {
                        continue;
                    };
                    return Err(PublishError::Body {
                        error,
                        sent_in_part,
                    });
                }
            }
        }
        Ok(())
    }

    /// Fills the output with the next bytes of `body`, and says how many they are.
    fn read_body(&mut self, body: &mut dyn Body, left: usize) -> Result<usize, StreamError> {
        let filled = self.output.len();
        let room = left.min(self.chunk_size - filled);
        // Within the capacity that `open` took.
        self.output.resize(filled + room, 0);
        let count = body.read(&mut self.output[filled..])?.min(room);
        self.output.truncate(filled + count);
        Ok(count)
    }

    /// Asks for a confirmation of all that was sent before, and says what to wait for.
    pub(super) fn ping(&mut self, deadline: Moment) -> Result<Confirmation, LinkError> {
        self.write(8, protocol::ping, deadline)?;
        self.send(deadline)?;
        self.pings_sent = self.pings_sent.wrapping_add(1);
        Ok(Confirmation(self.pings_sent))
    }

    pub(super) fn is_confirmed(&self, confirmation: Confirmation) -> bool {
        confirmation.0.wrapping_sub(self.pongs_seen) as i32 <= 0
    }

    /// The next thing that the server says, if it says any before `deadline` or has said it. Waits
    /// no longer than until the next ping is due.
    pub(super) fn step(&mut self, deadline: Moment) -> Result<Option<Op>, LinkError> {
        self.look()?;
        if !self.has_input() {
            self.push()?;
            self.keep_alive()?;
            let pause = self.pause(deadline);
            let count = self.connection.receive(&mut self.input, pause)?;
            self.take_in(count);
        }
        let (used, op) = self.parser.feed(&self.input[self.start..self.end])?;
        self.start += used;
        match op {
            Some(Op::Ping) => self.control(protocol::pong)?,
            // More pongs than pings must not confirm what is sent later.
            Some(Op::Pong) if self.pongs_seen != self.pings_sent => {
                self.pongs_seen = self.pongs_seen.wrapping_add(1);
            }
            _ => {}
        }
        Ok(op)
    }

    fn take_in(&mut self, count: usize) {
        (self.start, self.end) = (0, count);
        if count > 0 {
            self.unanswered = 0;
            self.ping_at = self.connection.deadline(self.ping_interval);
        }
    }

    /// When to stop waiting for bytes in order to do something else.
    fn pause(&self, deadline: Moment) -> Moment {
        let waiting = !self.output.is_empty();
        let push_at = waiting.then(|| self.connection.deadline(PUSH_INTERVAL));
        let ping_at = self.ping_at;
        deadline.min(ping_at).min(push_at.unwrap_or(deadline))
    }

    /// Asks a server that has been silent for long whether it is there.
    fn keep_alive(&mut self) -> Result<(), LinkError> {
        let now = self.connection.now();
        if now < self.ping_at {
            return Ok(());
        }
        if self.unanswered >= MAX_UNANSWERED {
            return Err(LinkError::Silent);
        }
        self.unanswered += 1;
        self.ping_at = now.after(self.ping_interval);
        if self.output.len() < MAX_WAITING_CONTROL {
            self.pings_sent = self.pings_sent.wrapping_add(1);
            self.control(protocol::ping)?;
        }
        Ok(())
    }

    /// Sends a short line without waiting: what does not go now goes later.
    fn control(&mut self, line: impl FnOnce(&mut Vec<u8>)) -> Result<(), LinkError> {
        if self.output.len() < MAX_WAITING_CONTROL {
            line(&mut self.output);
        }
        self.push()
    }

    /// Sends of what waits as much as goes without waiting.
    fn push(&mut self) -> Result<(), LinkError> {
        if !self.output.is_empty() {
            let sent = self.connection.try_send(&self.output)?;
            self.output.drain(..sent);
        }
        Ok(())
    }
}

/// What [`Link::ping`] asked for.
#[derive(Clone, Copy)]
pub(super) struct Confirmation(u32);

/// The CONNECT line's length in bytes at most, beside what the caller chose.
const CONNECT_LEN: usize = 256;

impl<S: TcpClientStack, P: Platform> Link<S, P> {
    /// Introduces this client.
    pub(super) fn introduce(
        &mut self,
        options: &protocol::ConnectOptions<'_>,
        deadline: Moment,
    ) -> Result<(), LinkError> {
        let given = [
            options.name,
            options.user,
            options.password,
            options.auth_token,
        ];
        // JSON escapes a byte with at most six.
        let given: usize = given.iter().flatten().map(|text| 6 * text.len()).sum();
        let line = |out: &mut Vec<u8>| protocol::connect(out, options);
        self.write(CONNECT_LEN + given, line, deadline)
    }

    pub(super) fn subscribe(
        &mut self,
        id: u64,
        subject: &str,
        queue: Option<&str>,
        deadline: Moment,
    ) -> Result<(), LinkError> {
        let most = subject.len() + queue.map_or(0, str::len) + 32;
        let line = |out: &mut Vec<u8>| protocol::subscribe(out, subject, queue, id);
        self.write(most, line, deadline)
    }

    pub(super) fn unsubscribe(&mut self, id: u64, deadline: Moment) -> Result<(), LinkError> {
        self.write(32, |out| protocol::unsubscribe(out, id), deadline)?;
        self.send(deadline)
    }
}
