//! What waits to be written, and where it is written.

use alloc::vec::Vec;

use super::stream::WriteHalf;
use crate::nats::Outgoing;
use crate::nats::protocol;
use crate::stream::{Body, StreamError, check_length};

/// A longer buffer is given back after it was written.
const KEPT_BUFFER: usize = 256 << 10;

/// Where what waits is written.
#[derive(Default)]
pub(super) struct Socket {
    pub(super) half: Option<WriteHalf>,
    /// The connection that `half` belongs to.
    pub(super) epoch: u64,
    /// Takes the place of the writer's buffer while that is written.
    pub(super) spare: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Writer {
    /// The connection that `buffer` is for.
    pub(super) epoch: u64,
    pub(super) buffer: Vec<u8>,
    /// The keeper thread waits to be woken.
    pub(super) is_keeper_idle: bool,
    /// The keeper thread connects to another server, which may take long.
    pub(super) is_keeper_away: bool,
}

impl Writer {
    /// Makes room for so many bytes more.
    pub(super) fn reserve(&mut self, len: usize) -> Result<(), StreamError> {
        match self.buffer.is_empty() {
            true => Ok(()),
            false => reserve(&mut self.buffer, len),
        }
    }

    /// Takes what was made, and leaves an empty buffer.
    pub(super) fn append(&mut self, made: &mut Vec<u8>) {
        if self.buffer.is_empty() {
            core::mem::swap(&mut self.buffer, made);
        } else {
            self.buffer.extend_from_slice(made);
        }
        empty(made);
    }
}

/// Empties a buffer, and gives back one that has become long.
pub(super) fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT_BUFFER);
}

fn reserve(buffer: &mut Vec<u8>, len: usize) -> Result<(), StreamError> {
    let reserved = buffer.try_reserve(len);
    reserved.map_err(|_| StreamError::OutOfMemory { len })
}

/// Appends what stands before the body of a message.
pub(super) fn append_head(buffer: &mut Vec<u8>, message: &Outgoing<'_>, len: usize) {
    let Outgoing {
        subject,
        reply,
        headers,
    } = *message;
    match headers {
        [] => protocol::publish_head(buffer, subject, reply, len),
        _ => protocol::publish_head_with_headers(buffer, subject, reply, headers, len),
    }
}

/// Appends a message; the buffer's length means nothing if its body fails.
pub(super) fn append_message(
    buffer: &mut Vec<u8>,
    message: &Outgoing<'_>,
    body: &mut dyn Body,
) -> Result<(), StreamError> {
    // It has been compared with the server's limit.
    let len = usize::try_from(body.len()).unwrap_or(usize::MAX);
    let more = len.saturating_add(protocol::CRLF.len());
    append_head(buffer, message, len);
    reserve(buffer, more)?;
    let start = buffer.len();
    let end = start.saturating_add(len);
    buffer.resize(end, 0);
    let mut filled = start;
    while filled < end {
        match body.read(&mut buffer[filled..end])? {
            0 => break,
            count => filled += count.min(end - filled),
        }
    }
    check_length(body.len(), (filled - start) as u64)?;
    buffer.extend_from_slice(protocol::CRLF);
    Ok(())
}
