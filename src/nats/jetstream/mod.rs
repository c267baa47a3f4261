//! JetStream, over any [`Broker`]: streams, acknowledged publishes, pull consumers.

mod ack;
mod consume_options;
mod consumer;
mod error;
mod fetches;
mod publish;
mod pull;
mod request;
#[cfg(test)]
pub(crate) mod script;
mod status;
mod stream;
mod stream_options;

use alloc::borrow::Cow;
use alloc::format;
use core::time::Duration;

use crate::json::{self, JsonError, Reader};
use crate::nats::earlier_publishes::EarlierPublishes;
use crate::nats::{Broker, DEFAULT_TIMEOUT};
use crate::platform::Platform;

pub use self::ack::AckInfo;
pub(crate) use self::ack::{ACK_PREFIX, Ack, IN_PROGRESS};
pub use self::consume_options::ConsumeOptions;
pub(crate) use self::consumer::Ephemeral;
#[cfg(feature = "fuzzing")]
pub(crate) use self::consumer::parse_consumer;
pub(crate) use self::error::ApiError;
pub use self::error::{JetStreamError, JetStreamErrorKind};
pub use self::publish::PubAck;
#[cfg(feature = "fuzzing")]
pub(crate) use self::publish::parse_answer;
pub(crate) use self::publish::{MSG_ID, is_pub_ack, read_pub_ack};
pub(crate) use self::pull::{Delivered, Puller};
pub(crate) use self::request::{Inbox, not_permitted};
pub use self::stream::StreamInfo;
#[cfg(feature = "fuzzing")]
pub(crate) use self::stream::{parse_message, parse_stream};
pub use self::stream_options::{Discard, Storage, StreamOptions};

use self::JetStreamErrorKind as Kind;

/// With so little time left no request is begun: its failure would only hide an earlier one.
const WORTHLESS: Duration = Duration::from_millis(20);

/// JetStream by way of a [`Broker`].
///
/// Every call is a request that is repeated within its time limit ([`timeout`](Self::timeout)) while there
/// is no answer, while the connection is being renewed, and while a cluster elects a leader.
///
/// ```no_run
/// use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
/// use natsbridge::adapter::{Outgoing, SliceBody};
/// use natsbridge::{JetStream, StreamOptions};
///
/// let broker = NatsClient::new(NatsOptions::new("nats://localhost:4222"));
/// let mut jetstream = JetStream::new(broker, StdPlatform);
/// jetstream.ensure_stream(&StreamOptions::new("ORDERS").subject("orders.>"))?;
/// let order = Outgoing::new("orders.new").headers(&[("Nats-Msg-Id", "17")]);
/// let ack = jetstream.publish(&order, &mut SliceBody::new(b"two chairs"))?;
/// println!("stored as {} of {}", ack.sequence, ack.stream);
/// # Ok::<(), natsbridge::JetStreamError>(())
/// ```
#[derive(Debug)]
pub struct JetStream<B, P> {
    broker: B,
    platform: P,
    settings: Settings,
}

#[derive(Debug)]
struct Settings {
    /// What the subjects of all requests start with.
    prefix: Cow<'static, str>,
    timeout: Duration,
    /// Earlier publishes of the same client.
    earlier: EarlierPublishes,
}

/// The calls of a [`JetStream`]: compiled once, whatever the broker.
pub(crate) struct Api<'a> {
    broker: &'a mut dyn Broker,
    platform: &'a dyn Platform,
    settings: &'a mut Settings,
}

/// A moment of the platform's uptime, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(u64);

impl Deadline {
    pub(crate) fn after(platform: &dyn Platform, wait: Duration) -> Self {
        Self(platform.uptime_millis().saturating_add(millis(wait)))
    }

    pub(crate) fn left(self, platform: &dyn Platform) -> Duration {
        Duration::from_millis(self.0.saturating_sub(platform.uptime_millis()))
    }
}

impl<B: Broker, P: Platform> JetStream<B, P> {
    /// JetStream by way of `broker`, with a time limit of 5 s for each call.
    pub fn new(broker: B, platform: P) -> Self {
        let settings = Settings {
            prefix: Cow::Borrowed("$JS.API"),
            timeout: DEFAULT_TIMEOUT,
            earlier: EarlierPublishes::default(),
        };
        Self {
            broker,
            platform,
            settings,
        }
    }

    /// Sets how long each call may take, retries included. Default 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets the JetStream domain that is spoken to. Default: the one that the server belongs to.
    #[must_use]
    pub fn domain(mut self, domain: &str) -> Self {
        self.settings.prefix = Cow::Owned(format!("$JS.{domain}.API"));
        self
    }

    /// The broker, for what only it can do.
    pub fn broker(&mut self) -> &mut B {
        &mut self.broker
    }

    pub(crate) fn platform(&self) -> &P {
        &self.platform
    }

    pub(crate) fn api(&mut self) -> Api<'_> {
        Api {
            broker: &mut self.broker,
            platform: &self.platform,
            settings: &mut self.settings,
        }
    }

    /// Sets what is known of earlier publishes of the same client.
    #[must_use]
    pub(crate) fn earlier(mut self, earlier: EarlierPublishes) -> Self {
        self.settings.earlier = earlier;
        self
    }

    /// What is known of them now.
    pub(crate) fn into_earlier(self) -> EarlierPublishes {
        self.settings.earlier
    }
}

impl Api<'_> {
    pub(crate) fn broker(&mut self) -> &mut dyn Broker {
        self.broker
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.platform, self.settings.timeout)
    }
}

/// The error that an answer tells of, if it does.
pub(crate) fn api_error(payload: &[u8]) -> Option<ApiError> {
    let mut error = None;
    let read = read_answer(payload, &mut |key, value| {
        match key {
            "error" => error = Some(ApiError::read(value)?),
            _ => drop(value.skip()?),
        }
        Ok(())
    });
    read.ok().and(error)
}

/// Reads the members of an answer.
pub(crate) fn read_answer<'a>(
    payload: &'a [u8],
    member: &mut dyn FnMut(&str, &mut Reader<'a>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let text = core::str::from_utf8(payload).map_err(|error| JsonError::Unexpected {
        at: error.valid_up_to(),
        expected: "UTF-8",
    })?;
    json::read_object(text, member)
}

/// Reads the members of an object within an answer.
pub(crate) fn read_members<'a>(
    reader: &mut Reader<'a>,
    member: &mut dyn FnMut(&str, &mut Reader<'a>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut members = reader.object()?;
    while let Some(key) = reader.next_key(&mut members)? {
        member(&key, reader)?;
    }
    Ok(())
}

/// Names of streams, consumers and buckets are one token of a subject.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), JetStreamError> {
    const MAX_NAME_LEN: usize = 255;
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !".*>/\\".contains(c);
    if name.is_empty() || name.len() > MAX_NAME_LEN || !name.chars().all(is_plain) {
        let message = format!("`{name}` cannot be the name of a {what}");
        return Err(JetStreamError::new(Kind::InvalidOption, message).not_delivered(true));
    }
    Ok(())
}

/// Whole milliseconds. `Duration` counts them in 128 bits, which a board can only divide slowly.
fn millis(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(1000);
    whole.saturating_add(time.subsec_millis().into())
}

/// Nanoseconds, in which JetStream counts time, in 63 bits.
pub(crate) fn nanos(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(1_000_000_000);
    let nanos = whole.saturating_add(time.subsec_nanos().into());
    nanos.min(i64::MAX as u64)
}
