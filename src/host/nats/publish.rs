//! Publishing, and the confirmation of what was published.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::MutexGuard;
use std::time::Instant;

use super::connection::{Connection, State};
use super::lend::AWAKE;
use super::lock::lock;
use super::stream::WriteLimit;
use super::writer::{Socket, Writer, append_head, append_message, empty};
use crate::nats::protocol;
use crate::nats::session::{ClientId, Confirmation};
use crate::nats::{BrokerError, BrokerErrorKind as Kind, Outgoing};
use crate::platform::deadline_after;
use crate::stream::{Body, StreamError};

/// What waits to be written is written by the caller once it has this many bytes. With one more small
/// message it still fits in the longest segment of a loopback interface, 65,483 bytes: a write that is a
/// little longer takes two, and almost twice the time.
const WRITE_BUFFER: usize = 60 << 10;
/// A write is given one more second for this many bytes.
const SLOWEST_WRITE: u64 = 65_536;

impl Connection {
    /// How long a write of so many bytes may take.
    fn write_limit(&self, len: usize) -> WriteLimit {
        let idle = self.options.timeout;
        let for_bytes = Duration::from_secs(len as u64 / SLOWEST_WRITE);
        let deadline = deadline_after(idle.saturating_add(for_bytes));
        WriteLimit { deadline, idle }
    }

    /// `made` is where the message is made, while other clients write theirs.
    pub(super) fn publish(
        self: &Arc<Self>,
        id: ClientId,
        message: &Outgoing<'_>,
        body: &mut dyn Body,
        made: &mut Vec<u8>,
    ) -> Result<(), BrokerError> {
        let mut deadline = None;
        made.clear();
        loop {
            let accepted = self.state().accept(id, message, body)?;
            if accepted.is_none() {
                let wait = || deadline_after(self.options.connect_timeout);
                self.await_connection(id, *deadline.get_or_insert_with(wait))?;
                continue;
            }
            let is_long =
                |rest: &&[u8]| rest.len() >= WRITE_BUFFER && rest.len() as u64 == body.len();
            if let Some(bytes) = body.rest().filter(is_long) {
                if self.publish_from(id, message, (&*body, bytes), made)? {
                    return Ok(());
                }
                continue;
            }
            if made.is_empty() {
                append_message(made, message, body).map_err(not_sent)?;
            }
            let mut writer = lock(&self.writer);
            writer.reserve(made.len()).map_err(not_sent)?;
            // Meanwhile the connection may have become another one.
            if !self.note(id, &writer, message, body)? {
                continue;
            }
            writer.append(made);
            if writer.buffer.len() < WRITE_BUFFER && !writer.is_keeper_away {
                self.wake_keeper(&mut writer);
                return Ok(());
            }
            break;
        }
        let written = self.write_out();
        written.map_err(|error| self.not_written(id, error))
    }

    /// Writes a long message from where it stands in memory, behind what waits to be written; false if there is
    /// no connection to write it to.
    fn publish_from(
        &self,
        id: ClientId,
        message: &Outgoing<'_>,
        (body, bytes): (&dyn Body, &[u8]),
        head: &mut Vec<u8>,
    ) -> Result<bool, BrokerError> {
        head.clear();
        append_head(head, message, bytes.len());
        let mut socket = lock(&self.socket);
        let writer = lock(&self.writer);
        if !self.note(id, &writer, message, body)? {
            return Ok(false);
        }
        let mut before = self.take_due(writer, &mut socket);
        before.extend_from_slice(head);
        let mut parts = [&*before, bytes, protocol::CRLF].map(IoSlice::new);
        let written = self.write(&mut socket, &mut parts);
        give_back(&mut socket, before);
        drop(socket);
        written.map_err(|error| self.not_written(id, error))?;
        Ok(true)
    }

    fn not_written(&self, id: ClientId, error: io::Error) -> BrokerError {
        let kind = match error.kind() {
            io::ErrorKind::TimedOut => Kind::Timeout,
            _ => Kind::Disconnected,
        };
        // Reported here, and so not by the next flush.
        let loss = self.state().session.take_loss(id);
        let message = loss.map_or_else(String::new, |loss| loss.to_string());
        BrokerError::new(kind, message).with_source(error)
    }

    /// Notes a message that is about to be written; false if there is no connection to write it to.
    fn note(
        &self,
        id: ClientId,
        writer: &Writer,
        message: &Outgoing<'_>,
        body: &dyn Body,
    ) -> Result<bool, BrokerError> {
        let mut state = self.state();
        let len = state.accept(id, message, body)?;
        let (Some(len), Some(link)) = (len, state.link_of(writer)) else {
            return Ok(false);
        };
        link.wrote(len);
        state.session.publish(id, message.subject);
        Ok(true)
    }

    /// Sees to it that what waits to be written is written soon.
    pub(super) fn wake_keeper(&self, writer: &mut Writer) {
        if core::mem::take(&mut writer.is_keeper_idle) {
            self.to_write.notify_one();
        }
    }

    /// The same, also while the keeper thread is away.
    pub(super) fn write_soon(&self, mut writer: MutexGuard<'_, Writer>) {
        if writer.is_keeper_away {
            drop(writer);
            // A failure shows as a loss.
            self.write_out().ok();
        } else {
            self.wake_keeper(&mut writer);
        }
    }

    /// Writes all that waits to be written. If that fails the connection is lost.
    pub(super) fn write_out(&self) -> io::Result<()> {
        let mut socket = lock(&self.socket);
        let bytes = self.take_due(lock(&self.writer), &mut socket);
        let written = self.write(&mut socket, &mut [IoSlice::new(&bytes)]);
        give_back(&mut socket, bytes);
        written
    }

    /// Takes all that waits to be written.
    fn take_due(&self, mut writer: MutexGuard<'_, Writer>, socket: &mut Socket) -> Vec<u8> {
        if self.has_control_due.swap(false, Ordering::Relaxed) {
            let now = self.now();
            let mut state = self.state();
            if let Some(link) = state.link_of(&writer) {
                link.write_control(now, &mut writer.buffer);
            }
        }
        let spare = core::mem::take(&mut socket.spare);
        core::mem::replace(&mut writer.buffer, spare)
    }

    /// Writes `parts`. If that fails the connection is lost.
    pub(super) fn write(&self, socket: &mut Socket, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let len = parts.iter().map(|part| part.len()).sum();
        if len == 0 {
            return Ok(());
        }
        let limit = self.write_limit(len);
        let written = match &mut socket.half {
            Some(half) => half.write_all(parts, limit),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        written.inspect_err(|error| {
            let cause = match error.kind() {
                io::ErrorKind::TimedOut => "the server does not read what is written".to_string(),
                _ => error.to_string(),
            };
            self.lose(socket.epoch, cause);
            socket.half = None;
        })
    }

    pub(super) fn flush(self: &Arc<Self>, id: ClientId, wait: Duration) -> Result<(), BrokerError> {
        let deadline = deadline_after(wait);
        loop {
            match self.send_ping(id)? {
                Some(sent) => {
                    if let Some(done) = self.await_pong(id, sent, deadline) {
                        return done;
                    }
                }
                None => self.await_connection(id, deadline)?,
            }
        }
    }

    /// Writes all that waits to be written, with a PING behind it; nothing without a connection.
    ///
    /// # Errors
    /// What is not confirmed was on a connection that is lost. This is looked for in the same moment in
    /// which the PING is noted: on a connection made in between it would confirm what was lost.
    fn send_ping(&self, id: ClientId) -> Result<Option<(Confirmation, u32)>, BrokerError> {
        let mut writer = lock(&self.writer);
        let sent = {
            let mut state = self.state();
            if let Some(loss) = state.session.take_loss(id) {
                return Err(loss);
            }
            let State {
                session,
                link,
                epoch,
                ..
            } = &mut *state;
            let Some(link) = link.as_mut().filter(|_| writer.epoch == *epoch) else {
                return Ok(None);
            };
            (session.ping_sent(link, id, self.now()), session.losses())
        };
        protocol::ping(&mut writer.buffer);
        drop(writer);
        // A failure shows as a loss.
        self.write_out().ok();
        Ok(Some(sent))
    }

    /// Waits for the answer to a PING; `None` if its connection was lost.
    fn await_pong(
        &self,
        id: ClientId,
        (confirmation, losses): (Confirmation, u32),
        deadline: Instant,
    ) -> Option<Result<(), BrokerError>> {
        let awake_until = deadline_after(AWAKE);
        let mut state = self.state();
        let condvar = state.condvar(id);
        loop {
            if state.session.losses() != losses {
                return None;
            }
            // What was written on the old connection before a move is confirmed there.
            if state.old.is_none() && state.session.is_confirmed(id, confirmation) {
                state.is_near = Instant::now() < awake_until;
                let before = state.quick_answers;
                state.quick_answers = if state.is_near {
                    before.saturating_add(1)
                } else {
                    0
                };
                return Some(state.session.confirm(id));
            }
            let (now, at) = (self.now(), Instant::now());
            let left = deadline.saturating_duration_since(at);
            let link = state.link.as_ref()?;
            let silent_in = Duration::from_millis(link.wake_at().saturating_sub(now));
            if silent_in.is_zero() {
                let (epoch, cause) = (state.epoch, link.silence().to_string());
                drop(state);
                self.lose(epoch, cause);
                return None;
            }
            if left.is_zero() {
                let text = alloc::format!("{} has not confirmed in time", link.url);
                return Some(Err(BrokerError::new(Kind::Timeout, text)));
            }
            state = match state.is_near && at < awake_until {
                true => self.stay_awake(state, awake_until),
                false => self.sleep(&condvar, state, left.min(silent_in)),
            };
        }
    }
}

/// Gives back a buffer whose bytes were written.
fn give_back(socket: &mut Socket, mut bytes: Vec<u8>) {
    empty(&mut bytes);
    socket.spare = bytes;
}

fn not_sent(error: StreamError) -> BrokerError {
    BrokerError::from(error).not_sent()
}

impl State {
    /// The body's length, if there is a connection whose server accepts the message.
    fn accept(
        &mut self,
        id: ClientId,
        message: &Outgoing<'_>,
        body: &dyn Body,
    ) -> Result<Option<usize>, BrokerError> {
        if let Some(loss) = self.session.take_loss(id) {
            return Err(loss.not_sent());
        }
        let Some(link) = &self.link else {
            return Ok(None);
        };
        let len = message.check_len(body, self.max_payload)?;
        let has_headers = link.info.as_ref().is_some_and(|info| info.headers);
        if !message.headers.is_empty() && !has_headers {
            let text = alloc::format!("{} does not support headers", link.url);
            return Err(BrokerError::new(Kind::InvalidHeader, text));
        }
        Ok(Some(len))
    }
}
