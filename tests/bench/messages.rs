//! The messages that are measured, and the ways to make and to read them without this library.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::Simd;
use base64::engine::general_purpose::{PAD, STANDARD};
use natsbridge::host::StdPlatform;
use natsbridge::{
    Body, Broker, BrokerError, Limits, Message, NatsBridge, NoFileServer, Payload, SendOptions,
    SubscriptionId,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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

    fn publish(
        &mut self,
        _: &str,
        _: Option<&str>,
        body: &mut dyn Body,
    ) -> Result<(), BrokerError> {
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

    fn next(&mut self, _: Duration) -> Result<Option<Message>, BrokerError> {
        Ok(None)
    }
}

/// The engine of base64 that the library has.
fn engine() -> Simd {
    Simd::standard(PAD)
}

/// The least that a send can cost: base64 of the bytes, into memory that is there.
pub struct EncodeFloor(Vec<u8>);

impl EncodeFloor {
    pub fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(3) * 4])
    }

    pub fn run(&mut self, count: usize, bytes: &[u8]) -> u8 {
        for _ in 0..count {
            engine().encode_slice(bytes, &mut self.0).unwrap();
            std::hint::black_box(&mut self.0);
        }
        self.0.first().copied().unwrap_or(0)
    }
}

/// The least that a receive can cost: serde_json finds the texts, and base64 decodes them into
/// memory that is there.
pub struct DecodeFloor(Vec<u8>);

impl DecodeFloor {
    pub fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(3) * 3])
    }

    pub fn run(&mut self, message: &str) -> usize {
        let envelope: PlainEnvelope<&str, &str, &RawValue> = serde_json::from_str(message).unwrap();
        let decode = |entry: &PlainEntry<&str, &str, &RawValue>| {
            let len = engine().decode_slice(entry.data, &mut self.0).unwrap();
            std::hint::black_box(&mut self.0);
            len
        };
        envelope.payloads.iter().map(decode).sum()
    }
}

/// The envelope as a program would write it that has no library for it.
#[derive(Serialize, Deserialize)]
struct PlainEnvelope<T, D, M> {
    correlation_id: T,
    msg_id: T,
    timestamp: T,
    send_to: T,
    msg_purpose: T,
    sender_name: T,
    sender_id: T,
    receiver_name: T,
    receiver_id: T,
    reply_to: T,
    reply_to_msg_id: T,
    broker_url: T,
    metadata: M,
    payloads: Vec<PlainEntry<T, D, M>>,
}

#[derive(Serialize, Deserialize)]
struct PlainEntry<T, D, M> {
    id: T,
    dataname: T,
    payload_type: T,
    transport: T,
    encoding: T,
    size: u64,
    data: D,
    metadata: M,
}

#[derive(Serialize)]
struct PlainMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<usize>,
}

/// Makes a message by serde and base64. Its ids and its time cost nothing.
pub fn plain_send(count: usize, bytes: &[u8]) -> String {
    const ID: &str = "11111111-1111-4111-8111-111111111111";
    let entry = || PlainEntry {
        id: ID,
        dataname: "data",
        payload_type: "binary",
        transport: "direct",
        encoding: "base64",
        size: bytes.len() as u64,
        data: STANDARD.encode(bytes),
        metadata: PlainMetadata {
            payload_bytes: Some(bytes.len()),
        },
    };
    let envelope = PlainEnvelope {
        correlation_id: ID,
        msg_id: ID,
        timestamp: "2026-03-06T01:19:15Z",
        send_to: "bench",
        msg_purpose: "chat",
        sender_name: "NATSBridge",
        sender_id: ID,
        receiver_name: "",
        receiver_id: "",
        reply_to: "",
        reply_to_msg_id: "",
        broker_url: "nats://localhost:4222",
        metadata: PlainMetadata {
            payload_bytes: None,
        },
        payloads: (0..count).map(|_| entry()).collect(),
    };
    serde_json::to_string(&envelope).unwrap()
}

/// Reads a message by serde and base64.
pub fn plain_receive(message: &str) -> Vec<Vec<u8>> {
    type Metadata = serde_json::Map<String, serde_json::Value>;
    let envelope: PlainEnvelope<String, String, Metadata> = serde_json::from_str(message).unwrap();
    let decode = |entry: &PlainEntry<String, String, Metadata>| STANDARD.decode(&entry.data);
    let payloads: Result<_, _> = envelope.payloads.iter().map(decode).collect();
    payloads.unwrap()
}
