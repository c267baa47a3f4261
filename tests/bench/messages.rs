//! The messages that are measured, and what sends and receives them.
#![allow(dead_code, reason = "each bench uses a part")]

use std::time::Duration;

use natsbridge::adapter::Upload;
use natsbridge::adapter::{Body, Broker, BrokerError, FileServer, FileServerError, Outgoing, Sink};
use natsbridge::host::StdPlatform;
use natsbridge::{Limits, Message, NatsBridge, NoFileServer, Payload, SendOptions, SubscriptionId};

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

/// A bridge all of whose payloads are links, to files that all have these bytes.
pub type LinkBridge = NatsBridge<Discarding, OneFile, StdPlatform>;

pub fn link_bridge(bytes: &[u8]) -> LinkBridge {
    let limits = Limits::default()
        .size_threshold(0)
        .max_message_size(MAX_MESSAGE);
    let files = OneFile(bytes.to_vec());
    NatsBridge::new(Discarding::pulling(), files, StdPlatform).with_limits(limits)
}

/// The same as [`message`], with a link for each payload.
pub fn link_message(count: usize, bytes: &[u8]) -> String {
    let (payloads, options) = (payloads(count, bytes), SendOptions::default());
    sent_text(link_bridge(bytes), &payloads, &options)
}

/// A file server that keeps nothing: every file is the same one.
pub struct OneFile(Vec<u8>);

impl FileServer for OneFile {
    fn upload(&mut self, _: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let mut out = [0; 512];
        while body.read(&mut out).unwrap() > 0 {}
        Ok(Upload::new(
            "http://localhost:8080/file/0123456789abcdef/data",
        ))
    }

    fn download(&mut self, _: &str, _: u64, sink: &mut dyn Sink) -> Result<u64, FileServerError> {
        sink.write(&self.0).unwrap();
        Ok(self.0.len() as u64)
    }

    fn owns(&self, _: &str) -> bool {
        true
    }
}

/// The message as this library makes it.
pub fn message(count: usize, bytes: &[u8]) -> String {
    let (payloads, options) = (payloads(count, bytes), SendOptions::default());
    sent_text(bridge(Discarding::unread()), &payloads, &options)
}

fn sent_text<F: FileServer>(
    mut bridge: NatsBridge<Discarding, F, StdPlatform>,
    payloads: &[(&str, Payload<'_>)],
    options: &SendOptions,
) -> String {
    let options = options.clone().keep_json(true);
    let sent = bridge.smartsend("bench", payloads, &options).unwrap();
    sent.json().unwrap().to_string()
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
