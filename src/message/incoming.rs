//! The forms in which `smartreceive` accepts a message, and where in it the payloads are.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::entry::{Data, PayloadEntry};
use super::envelope::Envelope;
use crate::nats::{Headers, Message};

/// What [`NatsBridge::smartreceive`](crate::NatsBridge::smartreceive) takes: made by `into()` from a `&str`,
/// `&[u8]`, `&Message`, `Message` or `&Envelope`.
pub enum Incoming<'m> {
    /// A message as text.
    Text(&'m str),
    /// A message as bytes.
    Bytes(&'m [u8]),
    /// A message as the broker delivered it.
    Message(&'m Message),
    /// A message as the broker delivered it, which nobody needs any more.
    Owned(Message),
    /// A message that has been parsed.
    Envelope(&'m Envelope<'m>),
}

/// Messages that have not been read may hold anything: only their lengths are printed.
impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (form, len) = match self {
            Self::Text(text) => ("Text", text.len()),
            Self::Bytes(bytes) => ("Bytes", bytes.len()),
            Self::Message(message) => ("Message", message.payload.len()),
            Self::Owned(message) => ("Owned", message.payload.len()),
            Self::Envelope(envelope) => return f.debug_tuple("Envelope").field(envelope).finish(),
        };
        write!(f, "{form}({len} bytes)")
    }
}

impl<'m> From<&'m str> for Incoming<'m> {
    fn from(text: &'m str) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<&'m String> for Incoming<'m> {
    fn from(text: &'m String) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<&'m [u8]> for Incoming<'m> {
    fn from(bytes: &'m [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'m> From<&'m Vec<u8>> for Incoming<'m> {
    fn from(bytes: &'m Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'m> From<&'m Message> for Incoming<'m> {
    fn from(message: &'m Message) -> Self {
        Self::Message(message)
    }
}

impl From<Message> for Incoming<'_> {
    fn from(message: Message) -> Self {
        Self::Owned(message)
    }
}

impl<'m> From<&'m Envelope<'m>> for Incoming<'m> {
    fn from(envelope: &'m Envelope<'m>) -> Self {
        Self::Envelope(envelope)
    }
}

/// What [`NatsBridge::receive_in_place`](crate::NatsBridge::receive_in_place) takes: made by `into()` from a
/// `&mut Message` or `&mut [u8]`.
pub struct InPlace<'m> {
    pub(crate) bytes: &'m mut [u8],
    pub(crate) origin: Origin,
}

/// A message that has not been read may hold anything: only its length is printed.
impl fmt::Debug for InPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InPlace({} bytes)", self.bytes.len())
    }
}

impl<'m> From<&'m mut Message> for InPlace<'m> {
    fn from(message: &'m mut Message) -> Self {
        Self {
            origin: Origin::take(message),
            bytes: &mut message.payload,
        }
    }
}

impl<'m> From<&'m mut [u8]> for InPlace<'m> {
    fn from(bytes: &'m mut [u8]) -> Self {
        Self {
            origin: Origin::default(),
            bytes,
        }
    }
}

/// How a message came, beside what it says.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) subject: Option<String>,
    pub(crate) reply: Option<String>,
    pub(crate) headers: Headers,
}

impl Origin {
    pub(crate) fn of(message: &Message) -> Self {
        Self {
            subject: Some(message.subject.clone()),
            reply: message.reply.clone(),
            headers: message.headers.clone(),
        }
    }

    pub(crate) fn take(message: &mut Message) -> Self {
        Self {
            subject: Some(core::mem::take(&mut message.subject)),
            reply: message.reply.take(),
            headers: core::mem::take(&mut message.headers),
        }
    }
}

/// Where in `message` the data of a payload stands; nowhere if it had escapes and stands apart.
pub(crate) fn place_of(entry: &PayloadEntry<'_>, message: &[u8]) -> Range<usize> {
    match &entry.data {
        Data::Text(Cow::Borrowed(text)) => {
            let start = text.as_ptr().addr() - message.as_ptr().addr();
            start..start + text.len()
        }
        _ => 0..0,
    }
}

/// What of a message has not been given away. Payloads stand in it in their order.
pub(crate) struct Rest<'m> {
    bytes: &'m mut [u8],
    start: usize,
}

impl<'m> Rest<'m> {
    pub(crate) fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes, start: 0 }
    }

    pub(crate) fn take(&mut self, range: Range<usize>) -> &'m mut [u8] {
        let bytes = core::mem::take(&mut self.bytes);
        let (_, from_start) = bytes.split_at_mut(range.start - self.start);
        let (taken, rest) = from_start.split_at_mut(range.len());
        self.bytes = rest;
        self.start = range.end;
        taken
    }
}
