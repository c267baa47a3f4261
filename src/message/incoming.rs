//! The forms in which `smartreceive` accepts a message, and where in it the payloads are.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

use super::envelope::{Data, Envelope, PayloadEntry};
use crate::nats::Message;

/// What [`NatsBridge::smartreceive`](crate::NatsBridge::smartreceive) accepts: made by `into()` from a `&str`, `&[u8]`, `&Envelope`,
/// `&Message` or `Message`, whose payloads are decoded into memory of their own; or from a
/// `&mut Message` or `&mut [u8]`, whose payloads are decoded where they stand.
pub enum Incoming<'m> {
    /// A message to copy from.
    Text(&'m str),
    /// A message to copy from, and its reply subject of NATS.
    Bytes(&'m [u8], Option<String>),
    /// A message to decode in place, and its reply subject of NATS.
    InPlace(&'m mut [u8], Option<String>),
    /// A message that may be consumed.
    Owned(Message),
    /// A message that has been parsed.
    Envelope(&'m Envelope<'m>),
}

/// Messages that have not been read may hold anything: only their lengths are printed.
impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (form, len) = match self {
            Self::Text(text) => ("Text", text.len()),
            Self::Bytes(bytes, _) => ("Bytes", bytes.len()),
            Self::InPlace(bytes, _) => ("InPlace", bytes.len()),
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

impl<'m> From<&'m [u8]> for Incoming<'m> {
    fn from(bytes: &'m [u8]) -> Self {
        Self::Bytes(bytes, None)
    }
}

impl<'m> From<&'m mut [u8]> for Incoming<'m> {
    fn from(bytes: &'m mut [u8]) -> Self {
        Self::InPlace(bytes, None)
    }
}

impl<'m> From<&'m Message> for Incoming<'m> {
    fn from(message: &'m Message) -> Self {
        Self::Bytes(&message.payload, message.reply.clone())
    }
}

impl<'m> From<&'m mut Message> for Incoming<'m> {
    fn from(message: &'m mut Message) -> Self {
        Self::InPlace(&mut message.payload, message.reply.clone())
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
