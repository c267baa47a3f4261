//! What a server says, as values.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::MessageError;
use super::info::ServerInfo;

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
