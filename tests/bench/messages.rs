//! The messages that are measured, and what sends and receives them.
#![allow(dead_code, reason = "each bench uses a part")]

use std::time::Duration;

use natsbridge::host::StdPlatform;
use natsbridge::{
    Body, Broker, BrokerError, Limits, Message, NatsBridge, NoFileServer, Outgoing, Payload,
    SendOptions, SubscriptionId,
};

/// Name, number of payloads, and bytes of each.
pub const SHAPES: [(&str, usize, usize); 7] = [
    ("0 bytes", 1, 0),
    ("1 KB", 1, 1_000),
    ("10 KB", 1, 10_000),
    ("100 KB", 1, 100_000),
    ("1 MB", 1, 1_000_000),
    ("10 MB", 1, 10_000_000),
    ("10 of 10 KB", 10, 10_000),
];

/// No message that is measured is longer.
const MAX_MESSAGE: usize = 64 << 20;

/// Bytes without a pattern that a processor could learn.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// So many binary payloads, which borrow `bytes`.
pub fn payloads(count: usize, bytes: &[u8]) -> Vec<(&str, Payload<'_>)> {
    vec![("data", Payload::Binary(bytes.into())); count]
}

/// A bridge all of whose payloads travel in the message.
pub type Bridge = NatsBridge<Discarding, NoFileServer, StdPlatform>;

pub fn bridge(broker: Discarding) -> Bridge {
    let limits = Limits::default()
        .size_threshold(usize::MAX)
        .max_message_size(MAX_MESSAGE);
    NatsBridge::new(broker, NoFileServer, StdPlatform).with_limits(limits)
}

/// The message as this library makes it.
pub fn message(count: usize, bytes: &[u8]) -> String {
    let (payloads, options) = (payloads(count, bytes), SendOptions::default());
    let mut bridge = bridge(Discarding::unread());
    bridge
        .smartsend("bench", &payloads, &options)
        .unwrap()
        .json()
}

/// A broker that has every message at once, and forgets it.
pub struct Discarding(Option<Vec<u8>>);

impl Discarding {
    /// It does not even look at the body.
    pub fn unread() -> Self {
        Self(None)
    }

    /// It pulls the body into a buffer, always the same.
    pub fn pulling() -> Self {
        Self(Some(Vec::new()))
    }
}

impl Broker for Discarding {
    fn max_payload(&self) -> usize {
        MAX_MESSAGE
    }

    fn publish(&mut self, _: &Outgoing<'_>, body: &mut dyn Body) -> Result<(), BrokerError> {
        let Some(buffer) = &mut self.0 else {
            return Ok(());
        };
        let len = usize::try_from(body.len()).unwrap();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let mut filled = 0;
        while filled < len {
            filled += body.read(&mut buffer[filled..len])?;
        }
        Ok(())
    }

    fn flush(&mut self, _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    fn subscribe(&mut self, _: &str, _: Option<&str>) -> Result<SubscriptionId, BrokerError> {
        Ok(SubscriptionId(1))
    }

    fn unsubscribe(&mut self, _: SubscriptionId) -> Result<(), BrokerError> {
        Ok(())
    }

    fn next_of(&mut self, _: SubscriptionId, _: Duration) -> Result<Option<Message>, BrokerError> {
        Ok(None)
    }
    fn next(&mut self, _: Duration) -> Result<Option<Message>, BrokerError> {
        Ok(None)
    }
}
