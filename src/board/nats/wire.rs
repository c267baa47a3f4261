//! The bytes of a connection: what came and is not parsed yet, and what waits to be sent. What they mean
//! is not known here.

use alloc::vec::Vec;

use crate::cause::text;
use crate::nats::protocol::CRLF;
use crate::net::deadline::Moment;
use crate::net::{Connection, Transport, TransportError, TransportErrorKind};
use crate::platform::Platform;
use crate::stream::{Body, StreamError, check_length};

/// Control lines are not added behind so many bytes that wait: such a server does not read.
const MAX_WAITING_CONTROL: usize = 58;
/// What a control line has beside its subject, reply subject or queue group, in bytes at most.
pub(super) const LINE_LEN: usize = 48;

/// A connection, or the place for one, and its buffers: one that is used for input and output in turn, and
/// a second one for a client that subscribes, or from when both were needed at a time.
pub(super) struct Wire<T, P> {
    pub(super) connection: Connection<T, P>,
    chunk_size: usize,
    /// Bytes that came; those from `start` to `end` are not parsed yet.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that wait to be sent: whole lines, of which the first may have been sent in part.
    output: Vec<u8>,
}

/// Why a message was not sent.
pub(super) enum SendError {
    Transport(TransportError),
    /// The body's own fault. If it was sent in part, the server waits for the rest of it.
    Body {
        error: StreamError,
        sent_in_part: bool,
    },
}

impl From<TransportError> for SendError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl<T: Transport, P: Platform> Wire<T, P> {
    pub(super) fn new(transport: T, platform: P, chunk_size: usize) -> Self {
        Self {
            connection: Connection::new(transport, platform),
            chunk_size,
            input: Vec::new(),
            start: 0,
            end: 0,
            output: Vec::new(),
        }
    }

    /// Sees to it that there is a buffer for input: if there is none, that of the output if nothing waits in
    /// it, or else a new one.
    ///
    /// # Errors
    /// The length in bytes for which there is no memory.
    pub(super) fn allocate_input(&mut self) -> Result<(), usize> {
        if !self.input.is_empty() {
            return Ok(());
        }
        if self.output.is_empty() {
            self.input = core::mem::take(&mut self.output);
        }
        reserve(&mut self.input, self.chunk_size)?;
        self.input.resize(self.chunk_size, 0);
        Ok(())
    }

    /// The same for output.
    fn allocate_output(&mut self) -> Result<(), usize> {
        if self.output.capacity() > 0 {
            return Ok(());
        }
        if !self.has_input() {
            self.output = core::mem::take(&mut self.input);
            self.output.clear();
            (self.start, self.end) = (0, 0);
        }
        reserve(&mut self.output, self.chunk_size)
    }

    /// Sees to it that input and output have a buffer each. Not later than a client subscribes: a buffer that is
    /// allocated behind a message would leave no room for another such message once that is gone.
    ///
    /// # Errors
    /// As [`allocate_input`](Self::allocate_input).
    pub(super) fn allocate_both(&mut self) -> Result<(), usize> {
        self.allocate_input()?;
        match self.output.capacity() {
            0 => reserve(&mut self.output, self.chunk_size),
            _ => Ok(()),
        }
    }

    pub(super) fn close(&mut self) {
        self.connection.transport.close();
        self.output.clear();
        (self.start, self.end) = (0, 0);
    }

    /// What came and is not parsed yet.
    pub(super) fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    pub(super) fn has_input(&self) -> bool {
        self.start < self.end
    }

    /// Notes that so many bytes of [`input`](Self::input) are parsed.
    pub(super) fn parsed(&mut self, count: usize) {
        self.start += count;
    }

    /// Takes in what has come, without waiting. A connection that the stack knows to be lost is noticed.
    pub(super) fn look(&mut self) -> Result<(), TransportError> {
        if !self.has_input() && self.allocate_input().is_ok() {
            let count = self.connection.try_receive(&mut self.input)?;
            (self.start, self.end) = (0, count);
        }
        Ok(())
    }

    /// Waits for bytes until `deadline`, and sends meanwhile what waits to be sent.
    pub(super) fn receive(&mut self, deadline: Moment) -> Result<(), TransportError> {
        if self.has_input() {
            return Ok(());
        }
        // What goes at once makes room in the only buffer.
        push(&mut self.connection, &mut self.output)?;
        self.allocate_input().map_err(|len| {
            let message = text(format_args!("no memory for {len} bytes"));
            TransportError::new(TransportErrorKind::Failed, message)
        })?;
        let Self {
            connection,
            input,
            output,
            ..
        } = self;
        let received = connection.until(deadline, &mut |connection| {
            push(connection, output)?;
            connection.try_receive(input)
        });
        (self.start, self.end) = (0, received?);
        Ok(())
    }

    /// Where short lines may be added that go when there is room for them; `None` while others wait, or
    /// without memory.
    pub(super) fn control(&mut self) -> Option<&mut Vec<u8>> {
        self.allocate_output().ok()?;
        (self.output.len() < MAX_WAITING_CONTROL).then_some(&mut self.output)
    }

    /// Where a line of at most `len` bytes can be added to what waits to be sent.
    ///
    /// # Errors
    /// Those of sending, or no memory.
    pub(super) fn room(&mut self, len: usize, deadline: Moment) -> Result<&mut Vec<u8>, SendError> {
        if self.output.len() + len > self.chunk_size {
            self.send(deadline)?;
        }
        let no_memory = |len| SendError::Body {
            error: StreamError::OutOfMemory { len },
            sent_in_part: false,
        };
        self.allocate_output().map_err(no_memory)?;
        let reserved = self.output.try_reserve_exact(len);
        reserved.map_err(|_| no_memory(len))?;
        Ok(&mut self.output)
    }

    /// What waits to be sent, to add to it.
    ///
    /// # Errors
    /// As [`allocate_input`](Self::allocate_input).
    pub(super) fn output(&mut self) -> Result<&mut Vec<u8>, usize> {
        self.allocate_output()?;
        Ok(&mut self.output)
    }

    /// Sends all that waits to be sent.
    pub(super) fn send(&mut self, deadline: Moment) -> Result<(), TransportError> {
        self.connection.send_all(&self.output, deadline)?;
        self.output.clear();
        if self.output.capacity() > 2 * self.chunk_size {
            // A long line made it longer than it was.
            let mut shorter = Vec::new();
            if shorter.try_reserve_exact(self.chunk_size).is_ok() {
                self.output = shorter;
            }
        }
        Ok(())
    }

    /// Sends `body` behind its head, which is all that waits to be sent, and the end of the message.
    /// `first` is called before the first byte of it goes.
    pub(super) fn send_body(
        &mut self,
        body: &mut dyn Body,
        first: impl FnOnce(),
        deadline: Moment,
    ) -> Result<(), SendError> {
        let (len, mut read) = (body.len(), 0);
        let mut first = Some(first);
        let mut begin = || first.take().map(|first| first());
        let mut sent_in_part = false;
        while read < len {
            if self.output.len() >= self.chunk_size {
                sent_in_part |= begin().is_some();
                self.send(deadline)?;
            }
            match self.read_body(body, len, read) {
                Ok(count) => read += count,
                Err(error) => {
                    self.output.clear();
                    return Err(SendError::Body {
                        error,
                        sent_in_part,
                    });
                }
            }
        }
        begin();
        self.room(CRLF.len(), deadline)?.extend_from_slice(CRLF);
        Ok(self.send(deadline)?)
    }

    /// Adds the next bytes of `body` to what waits to be sent, and returns their number.
    fn read_body(&mut self, body: &mut dyn Body, len: u64, read: u64) -> Result<u64, StreamError> {
        let filled = self.output.len();
        let left = usize::try_from(len - read).unwrap_or(usize::MAX);
        let room = left.min(self.chunk_size - filled);
        // Within the capacity that `room` reserved for the head.
        self.output.resize(filled + room, 0);
        let count = body.read(&mut self.output[filled..])?.min(room);
        self.output.truncate(filled + count);
        if count == 0 {
            check_length(len, read)?;
        }
        Ok(count as u64)
    }
}

fn reserve(buffer: &mut Vec<u8>, len: usize) -> Result<(), usize> {
    buffer.try_reserve_exact(len).map_err(|_| len)
}

/// Sends of `output` as much as goes without waiting.
fn push<T: Transport, P: Platform>(
    connection: &mut Connection<T, P>,
    output: &mut Vec<u8>,
) -> Result<(), TransportError> {
    if !output.is_empty() {
        let sent = connection.try_send(output)?;
        output.drain(..sent);
    }
    Ok(())
}
