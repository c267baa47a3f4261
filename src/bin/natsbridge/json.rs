//! What was sent or received, as one line of JSON a message.

use std::io;

use natsbridge::{Envelope, Error, PayloadEntry, PayloadRef, Sent};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::failure::{Failure, chain, print};
use crate::output::Shown;

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'l> {
    Ok(MessageLine<'l>),
    Error(ErrorLine<'l>),
}

#[derive(Serialize)]
struct MessageLine<'l> {
    correlation_id: &'l str,
    msg_id: &'l str,
    timestamp: &'l str,
    send_to: &'l str,
    msg_purpose: &'l str,
    sender_name: &'l str,
    sender_id: &'l str,
    receiver_name: &'l str,
    receiver_id: &'l str,
    reply_to: &'l str,
    reply_to_msg_id: &'l str,
    broker_url: &'l str,
    metadata: Box<RawValue>,
    payloads: Vec<PayloadLine<'l>>,
}

#[derive(Serialize)]
struct PayloadLine<'l> {
    dataname: &'l str,
    payload_type: &'l str,
    transport: &'l str,
    size: Option<u64>,
    sha256: Option<&'l str>,
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'l str>,
}

#[derive(Serialize)]
struct ErrorLine<'l> {
    kind: String,
    message: String,
    payload: Option<PlaceLine<'l>>,
}

#[derive(Serialize)]
struct PlaceLine<'l> {
    index: usize,
    dataname: &'l str,
}

/// Prints a message and what is known of its payloads.
pub(crate) fn print_message(envelope: &Envelope<'_>, shown: &[Shown]) -> Result<(), Failure> {
    let payloads = envelope.payloads.iter().zip(shown).map(payload_line);
    let line = message_line(envelope, payloads.collect())?;
    Ok(print(&serde_json::to_string(&Line::Ok(line))?)?)
}

fn payload_line<'l>((entry, shown): (&'l PayloadEntry<'_>, &'l Shown)) -> PayloadLine<'l> {
    PayloadLine {
        dataname: &entry.dataname,
        payload_type: &entry.type_name,
        transport: &entry.transport_name,
        size: shown.size,
        sha256: shown.sha256.as_deref(),
        url: shown.url.as_deref(),
        file: shown.file.as_ref().map(|path| path.display().to_string()),
    }
}

/// Prints a message that was sent.
pub(crate) fn print_sent(sent: &Sent) -> io::Result<()> {
    print(&format!("{{\"ok\":{}}}", sent.json().unwrap_or_default()))
}

/// Prints an error.
pub(crate) fn print_error(error: &Error) -> io::Result<()> {
    let line = Line::Error(ErrorLine {
        kind: error.kind().to_string(),
        message: chain(error),
        payload: error.payload().map(place_line),
    });
    print(&serde_json::to_string(&line)?)
}

fn place_line(place: &PayloadRef) -> PlaceLine<'_> {
    PlaceLine {
        index: place.index,
        dataname: &place.dataname,
    }
}

fn message_line<'l>(
    envelope: &'l Envelope<'_>,
    payloads: Vec<PayloadLine<'l>>,
) -> serde_json::Result<MessageLine<'l>> {
    Ok(MessageLine {
        correlation_id: &envelope.correlation_id,
        msg_id: &envelope.msg_id,
        timestamp: &envelope.timestamp,
        send_to: &envelope.send_to,
        msg_purpose: &envelope.msg_purpose,
        sender_name: &envelope.sender_name,
        sender_id: &envelope.sender_id,
        receiver_name: &envelope.receiver_name,
        receiver_id: &envelope.receiver_id,
        reply_to: &envelope.reply_to,
        reply_to_msg_id: &envelope.reply_to_msg_id,
        broker_url: &envelope.broker_url,
        metadata: metadata(&envelope.metadata)?,
        payloads,
    })
}

/// Metadata as it came. A line end in JSON can only be white space between its tokens.
fn metadata(text: &str) -> serde_json::Result<Box<RawValue>> {
    let text = if text.is_empty() { "{}" } else { text };
    RawValue::from_string(text.replace(['\r', '\n'], " "))
}
