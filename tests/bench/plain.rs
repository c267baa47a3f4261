//! The envelope as a program would write and read it that has no library for it: serde and base64.
#![allow(dead_code, reason = "each bench uses a part")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The envelope as a program would write it that has no library for it.
#[derive(Serialize, Deserialize)]
pub struct Envelope<T, D, M> {
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
    payloads: Vec<Entry<T, D, M>>,
}

#[derive(Serialize, Deserialize)]
struct Entry<T, D, M> {
    id: T,
    dataname: T,
    payload_type: T,
    transport: T,
    encoding: T,
    size: u64,
    data: D,
    metadata: M,
}

impl<T, D, M> Envelope<T, D, M> {
    /// The payloads, as base64.
    pub fn data(&self) -> impl Iterator<Item = &D> {
        self.payloads.iter().map(|entry| &entry.data)
    }
}

#[derive(Serialize)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<usize>,
}

/// Makes a message by serde and base64. Its ids and its time cost nothing.
pub fn send(count: usize, bytes: &[u8]) -> String {
    const ID: &str = "11111111-1111-4111-8111-111111111111";
    let entry = || Entry {
        id: ID,
        dataname: "data",
        payload_type: "binary",
        transport: "direct",
        encoding: "base64",
        size: bytes.len() as u64,
        data: STANDARD.encode(bytes),
        metadata: Metadata {
            payload_bytes: Some(bytes.len()),
        },
    };
    let envelope = Envelope {
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
        metadata: Metadata {
            payload_bytes: None,
        },
        payloads: (0..count).map(|_| entry()).collect(),
    };
    serde_json::to_string(&envelope).unwrap()
}

/// Reads a message by serde and base64.
pub fn receive(message: &str) -> Vec<Vec<u8>> {
    type Metadata = serde_json::Map<String, serde_json::Value>;
    let envelope: Envelope<String, String, Metadata> = serde_json::from_str(message).unwrap();
    let decoded = envelope.data().map(|data| STANDARD.decode(data));
    decoded.collect::<Result<_, _>>().unwrap()
}
