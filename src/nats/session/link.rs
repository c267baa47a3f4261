//! One connection of a session.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::client::ClientId;
use crate::nats::protocol::{self, Limits, ParseError, Parser, ServerInfo};
use crate::platform::{Millis, millis};

/// A PING is given one more second for this many bytes that were written and are not confirmed.
const SLOWEST_WRITE: u64 = 65_536;

/// One connection: its parser, what its server said of itself, and PINGs without an answer.
pub(crate) struct Link {
    /// The server's URL, without secrets.
    pub(crate) url: String,
    pub(super) parser: Parser,
    pub(crate) info: Option<ServerInfo>,
    /// INFO has come since this was last asked for.
    pub(super) has_news: bool,
    pub(super) state: State,
    /// Whose PINGs are to be answered, in their order, each with `written` when it was sent.
    pub(super) pings: Vec<(PingOf, u64)>,
    pub(super) pongs_due: u8,
    pub(super) is_move_ping_due: bool,
    pub(super) ping_interval: Millis,
    pub(super) timeout: Millis,
    pub(super) heard_at: Millis,
    /// When the oldest PING without an answer was written.
    pub(super) waiting_since: Option<Millis>,
    /// Bytes written on this connection.
    pub(super) written: u64,
    /// As many of them as a PONG has confirmed.
    pub(super) confirmed: u64,
    pub(super) overlap: Overlap,
}

/// How far a connection has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// CONNECT is not confirmed yet.
    Connecting,
    Ready,
    /// The server has sent an error after which it closes.
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PingOf {
    Connect,
    KeepAlive,
    /// Behind the last that is written on this connection, or the first after a move to it.
    Move,
    /// A client's, with its number.
    Client(ClientId, u32),
}

/// What happens to messages while a client moves from one connection to another and its subscriptions
/// are on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    None,
    /// They may come on the new connection too.
    Old,
    /// They may have come on the old connection.
    New,
}

/// Why a connection is of no use any more.
#[derive(thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("the server closes the connection: {0}")]
    Refused(String),
    #[error("no answer to a PING within {0} ms")]
    Silent(Millis),
    #[error("the server did not begin with INFO")]
    NotInfo,
}

crate::cause::debug_tells_causes!(LinkError);

impl Link {
    /// A connection that has just been opened.
    pub(crate) fn new(
        url: String,
        ping_interval: Duration,
        timeout: Duration,
        now: Millis,
    ) -> Self {
        Self {
            url,
            parser: Parser::new(Limits {
                // The room in a client's queue decides.
                max_payload: usize::MAX,
                ..Limits::default()
            }),
            info: None,
            has_news: false,
            state: State::Connecting,
            pings: Vec::new(),
            pongs_due: 0,
            is_move_ping_due: false,
            ping_interval: millis(ping_interval).max(1),
            timeout: millis(timeout).max(1),
            heard_at: now,
            waiting_since: None,
            written: 0,
            confirmed: 0,
            overlap: Overlap::None,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// The server's error after which it closes, if it has sent one.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match &self.state {
            State::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// INFO, if one has come since the last call.
    pub(crate) fn take_news(&mut self) -> Option<&ServerInfo> {
        match core::mem::take(&mut self.has_news) {
            true => self.info.as_ref(),
            false => None,
        }
    }

    /// Notes that CONNECT is written with a PING behind it.
    pub(crate) fn connect_sent(&mut self, now: Millis) {
        self.ping_sent(PingOf::Connect, now);
    }

    /// Notes that this is the connection that was moved to.
    pub(crate) fn moved_to(&mut self) {
        self.overlap = Overlap::New;
    }

    /// Appends the PING behind the last that is written on the old connection.
    pub(crate) fn write_last_ping(&mut self, now: Millis, out: &mut Vec<u8>) {
        protocol::ping(out);
        self.ping_sent(PingOf::Move, now);
    }

    /// Notes that the old connection has ended: what comes behind the answer to a PING that is sent now
    /// has not come on it.
    pub(crate) fn old_ended(&mut self) {
        self.is_move_ping_due = true;
    }

    /// Whether everything that was written has been answered.
    pub(crate) fn is_drained(&self) -> bool {
        self.pings.is_empty()
    }

    /// PINGs that are not answered yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.pings.len()
    }

    pub(super) fn ping_sent(&mut self, of: PingOf, now: Millis) {
        self.pings.push((of, self.written));
        self.waiting_since.get_or_insert(now);
    }

    /// Notes that bytes were written: an answer may take as long as they do.
    pub(crate) fn wrote(&mut self, len: usize) {
        self.written = self.written.saturating_add(len as u64);
    }

    /// Whether PONGs or the PING at the end of a move are to be written.
    pub(crate) fn has_control_due(&self) -> bool {
        self.pongs_due > 0 || self.is_move_ping_due
    }

    /// Appends PONGs and the PING at the end of a move, if they are due.
    pub(crate) fn write_control(&mut self, now: Millis, out: &mut Vec<u8>) {
        for _ in 0..core::mem::take(&mut self.pongs_due) {
            protocol::pong(out);
        }
        if core::mem::take(&mut self.is_move_ping_due) {
            self.write_last_ping(now, out);
        }
    }

    /// Appends a PING if the server has been silent for long.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn keep_alive(&mut self, now: Millis, out: &mut Vec<u8>) -> Result<(), LinkError> {
        if now < self.wake_at() {
            return Ok(());
        }
        if self.waiting_since.is_some() {
            return Err(self.silence());
        }
        protocol::ping(out);
        self.ping_sent(PingOf::KeepAlive, now);
        Ok(())
    }

    /// What it means that [`wake_at`](Self::wake_at) has come while a PING is not answered.
    pub(crate) fn silence(&self) -> LinkError {
        LinkError::Silent(self.timeout)
    }

    /// When [`keep_alive`](Self::keep_alive) has something to do, unless the server says something
    /// before.
    pub(crate) fn wake_at(&self) -> Millis {
        match self.waiting_since {
            Some(since) => {
                let written = self.written.saturating_sub(self.confirmed);
                let for_written = written.saturating_mul(1000) / SLOWEST_WRITE;
                let silent_since = since.max(self.heard_at);
                silent_since
                    .saturating_add(self.timeout)
                    .saturating_add(for_written)
            }
            None => self.heard_at.saturating_add(self.ping_interval),
        }
    }
}
