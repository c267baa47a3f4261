//! Sends that a stream of JetStream stores.

use core::time::Duration;

use super::failure::Failure;
use crate::message::Envelope;
use crate::nats::earlier_publishes::EarlierPublishes;
use crate::nats::jetstream::{JetStream, MSG_ID, PubAck};
use crate::nats::{Broker, Outgoing};
use crate::platform::Platform;
use crate::trace::log_trace;

const EXPECTED_STREAM: &str = "Nats-Expected-Stream";

/// A message that a stream is to store.
pub(super) struct StoredSend<'a> {
    pub(super) envelope: &'a Envelope<'a>,
    pub(super) len: u64,
    pub(super) expected_stream: Option<&'a str>,
    pub(super) timeout: Duration,
}

/// A bridge's broker and platform.
pub(super) type Adapters<'a> = (&'a mut dyn Broker, &'a dyn Platform);

/// A pointer to [`publish_stored`].
#[derive(Clone, Copy)]
pub(super) struct PublishStored(
    pub(super) fn(Adapters<'_>, &StoredSend<'_>, &mut EarlierPublishes) -> Result<PubAck, Failure>,
);

/// There is one such function.
impl PartialEq for PublishStored {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for PublishStored {}

/// Publishes until a stream has the message. Errors about earlier sends are kept.
pub(super) fn publish_stored(
    (broker, platform): Adapters<'_>,
    send: &StoredSend<'_>,
    earlier: &mut EarlierPublishes,
) -> Result<PubAck, Failure> {
    let StoredSend {
        envelope,
        len,
        expected_stream,
        timeout,
    } = *send;
    let (id, subject) = (&envelope.correlation_id, &*envelope.send_to);
    log_trace(id, format_args!("storing {len} bytes to {subject}"));
    let headers = headers(envelope, expected_stream);
    let message = Outgoing::new(subject).headers(match expected_stream {
        Some(_) => &headers,
        None => &headers[..1],
    });
    let mut jetstream = JetStream::new(broker, platform)
        .timeout(timeout)
        .earlier(core::mem::take(earlier));
    let stored = jetstream.publish(&message, &mut envelope.body_of_len(len));
    *earlier = jetstream.into_earlier();
    let ack = stored.map_err(|error| Failure {
        may_be_delivered: !error.is_not_delivered(),
        error: error.into(),
    })?;
    let (stream, sequence) = (&ack.stream, ack.sequence);
    log_trace(id, format_args!("stored as {sequence} of {stream}"));
    Ok(ack)
}

fn headers<'a>(
    envelope: &'a Envelope<'_>,
    expected_stream: Option<&'a str>,
) -> [(&'a str, &'a str); 2] {
    let stream = expected_stream.unwrap_or_default();
    [(MSG_ID, &envelope.msg_id), (EXPECTED_STREAM, stream)]
}

/// What the headers take of the server's limit, in bytes.
pub(super) fn stored_headers_len(envelope: &Envelope<'_>, expected_stream: Option<&str>) -> u64 {
    let line = |(name, value): (&str, &str)| name.len() + value.len() + ": \r\n".len();
    let lines: usize = headers(envelope, expected_stream)
        .into_iter()
        .map(line)
        .sum();
    (lines + "NATS/1.0\r\n\r\n".len()) as u64
}
