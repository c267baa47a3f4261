//! Sends that a stream of JetStream stores.

use core::time::Duration;

use super::send::Failure;
use super::time_limit::TimeLimit;
use super::{EarlierErrors, NatsBridge, SendOptions, keep_earlier};
use crate::file_server::FileServer;
use crate::message::Envelope;
use crate::nats::jetstream::{JetStream, MSG_ID, PubAck};
use crate::nats::{Broker, Outgoing};
use crate::platform::Platform;
use crate::trace::log_trace;

const EXPECTED_STREAM: &str = "Nats-Expected-Stream";

/// JetStream over a bridge's broker: compiled once, whatever the broker.
type BridgeJetStream<'a> = JetStream<&'a mut dyn Broker, &'a dyn Platform>;

/// A message that a stream is to store.
pub(super) struct StoredSend<'a> {
    envelope: &'a Envelope<'a>,
    len: u64,
    options: &'a SendOptions,
    time: TimeLimit,
}

/// A bridge's broker and platform.
type Adapters<'a> = (&'a mut dyn Broker, &'a dyn Platform);

/// A pointer to [`publish_stored`].
#[derive(Clone, Copy)]
pub(super) struct PublishStored(
    pub(super) fn(Adapters<'_>, &StoredSend<'_>, &mut EarlierErrors) -> Result<PubAck, Failure>,
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
    earlier_errors: &mut EarlierErrors,
) -> Result<PubAck, Failure> {
    let StoredSend {
        envelope,
        len,
        options,
        time,
    } = *send;
    let (id, subject) = (&envelope.correlation_id, &*envelope.send_to);
    log_trace(id, format_args!("storing {len} bytes to {subject}"));
    let headers = headers(envelope, options);
    let message = Outgoing::new(subject).headers(match options.expected_stream {
        Some(_) => &headers,
        None => &headers[..1],
    });
    let timeout = time.shorten(options.timeout, &platform);
    let mut jetstream = JetStream::new(broker, platform).timeout(timeout);
    let stored = jetstream.publish(&message, &mut envelope.body_of_len(len));
    keep_earlier(earlier_errors, jetstream.into_earlier_errors());
    let ack = stored.map_err(|error| Failure {
        may_be_delivered: !error.is_not_delivered(),
        error: error.into(),
    })?;
    let (stream, sequence) = (&ack.stream, ack.sequence);
    log_trace(id, format_args!("stored as {sequence} of {stream}"));
    Ok(ack)
}

impl<B: Broker, F: FileServer, P: Platform> NatsBridge<B, F, P> {
    /// Publishes with `publish` until a stream has the message, within [`SendOptions::timeout`].
    pub(super) fn store(
        &mut self,
        PublishStored(publish): PublishStored,
        envelope: &Envelope<'_>,
        len: u64,
        options: &SendOptions,
    ) -> Result<PubAck, Failure> {
        let send = StoredSend {
            envelope,
            len,
            options,
            time: self.time,
        };
        publish(
            (&mut self.broker, &self.platform),
            &send,
            &mut self.earlier_errors,
        )
    }

    /// Calls JetStream over the bridge's broker. Errors about earlier sends are kept.
    pub(super) fn with_jetstream<T>(
        &mut self,
        timeout: Duration,
        domain: Option<&str>,
        call: impl FnOnce(&mut BridgeJetStream<'_>) -> T,
    ) -> T {
        let broker: &mut dyn Broker = &mut self.broker;
        let platform: &dyn Platform = &self.platform;
        let mut jetstream = JetStream::new(broker, platform).timeout(timeout);
        if let Some(domain) = domain {
            jetstream = jetstream.domain(domain);
        }
        let done = call(&mut jetstream);
        let earlier = jetstream.into_earlier_errors();
        keep_earlier(&mut self.earlier_errors, earlier);
        done
    }
}

fn headers<'a>(envelope: &'a Envelope<'_>, options: &'a SendOptions) -> [(&'a str, &'a str); 2] {
    let stream = options.expected_stream.as_deref().unwrap_or_default();
    [(MSG_ID, &envelope.msg_id), (EXPECTED_STREAM, stream)]
}

/// What the headers take of the server's limit, in bytes.
pub(super) fn stored_headers_len(envelope: &Envelope<'_>, options: &SendOptions) -> u64 {
    if options.publish_stored.is_none() {
        return 0;
    }
    let line = |(name, value): (&str, &str)| name.len() + value.len() + ": \r\n".len();
    let lines: usize = headers(envelope, options).into_iter().map(line).sum();
    (lines + "NATS/1.0\r\n\r\n".len()) as u64
}
