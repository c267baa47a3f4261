//! What waits to be written, and where it is written.

use alloc::vec::Vec;

use super::stream::WriteHalf;
use crate::nats::protocol;
use crate::nats::{BrokerError, Outgoing};
use crate::stream::{Body, StreamError, check_length};

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
}

impl Writer {
    /// Adds a message, or nothing if its body fails.
    pub(super) fn append_message(
        &mut self,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError> {
        let keep = self.buffer.len();
        let mut unfinished = Unfinished {
            buffer: &mut self.buffer,
            keep,
        };
        let appended = append(unfinished.buffer, message, body);
        appended.map_err(|error| BrokerError::from(error).not_sent())?;
        unfinished.keep = unfinished.buffer.len();
        Ok(())
    }
}

/// Takes a message off again that is not whole, even if its body panics.
struct Unfinished<'b> {
    buffer: &'b mut Vec<u8>,
    keep: usize,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.keep);
    }
}

fn append(
    buffer: &mut Vec<u8>,
    message: &Outgoing<'_>,
    body: &mut dyn Body,
) -> Result<(), StreamError> {
    let Outgoing {
        subject,
        reply,
        headers,
    } = *message;
    let no_memory = |len| move |_| StreamError::OutOfMemory { len };
    // It has been compared with the server's limit.
    let len = usize::try_from(body.len()).unwrap_or(usize::MAX);
    let more = len.saturating_add(protocol::CRLF.len());
    match headers {
        [] => protocol::publish_head(buffer, subject, reply, len),
        _ => protocol::publish_head_with_headers(buffer, subject, reply, headers, len),
    }
    buffer.try_reserve(more).map_err(no_memory(len))?;
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
