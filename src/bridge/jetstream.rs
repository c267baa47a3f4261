//! JetStream over the bridge's broker.

use core::time::Duration;

use super::failure::Failure;
use super::stored::{PublishStored, StoredSend};
use super::{NatsBridge, SendOptions};
use crate::file_server::FileServer;
use crate::message::Envelope;
use crate::nats::Broker;
use crate::nats::jetstream::{Api, JetStream, PubAck};
use crate::platform::Platform;

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
            expected_stream: options.expected_stream.as_deref(),
            timeout: self.time.shorten(options.timeout, &self.platform),
        };
        publish((&mut self.broker, &self.platform), &send, &mut self.earlier)
    }

    /// Calls JetStream over the bridge's broker. Errors about earlier sends are kept.
    pub(super) fn with_jetstream<T>(
        &mut self,
        timeout: Duration,
        domain: Option<&str>,
        call: impl FnOnce(&mut Api<'_>) -> T,
    ) -> T {
        let broker: &mut dyn Broker = &mut self.broker;
        let platform: &dyn Platform = &self.platform;
        let mut jetstream = JetStream::new(broker, platform)
            .timeout(timeout)
            .earlier(core::mem::take(&mut self.earlier));
        if let Some(domain) = domain {
            jetstream = jetstream.domain(domain);
        }
        let done = call(&mut jetstream.api());
        self.earlier = jetstream.into_earlier();
        done
    }
}
