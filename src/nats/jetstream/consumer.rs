//! Pull consumers: found, created if absent.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::error::{JetStreamError, JetStreamErrorKind as Kind};
use super::stream_options::differences;
use super::{Deadline, JetStream, check_name, nanos, read_answer, read_members};
use crate::json::JsonError;
use crate::json::number::decimal;
use crate::json::writer::{ObjectWriter, number_json, text_json};
use crate::nats::{Broker, SubjectUse, check_subject};
use crate::platform::Platform;

/// A consumer that is to exist, and how its messages are fetched. What is not set is the server's
/// default, or what an existing consumer has.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::ConsumeOptions;
///
/// let options = ConsumeOptions::default()
///     .filter_subject("orders.new")
///     .ack_wait(Duration::from_secs(60))
///     .max_deliver(5)
///     .batch(10);
/// assert_eq!(options.batch, 10);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumeOptions {
    /// Which messages of the stream; it may have the wildcards `*` and `>`. Default: all.
    pub filter_subject: Option<String>,
    /// How long a message may be worked on before it is delivered again. The server's default is 30 s.
    pub ack_wait: Option<Duration>,
    /// How often a message is delivered at most. The server's default: as often as it takes.
    pub max_deliver: Option<u32>,
    /// How many messages may be worked on at the same time, by all workers together. The server's
    /// default is 1000.
    pub max_ack_pending: Option<u32>,
    /// Whether only messages are delivered that come after the consumer was created. Default false.
    pub only_new: bool,
    /// How many messages are fetched at a time. Those that wait here count against `ack_wait`. Default 1.
    pub batch: u32,
    /// After which time a message is delivered again whose file cannot be fetched now. Default 5 s.
    pub retry_delay: Duration,
    /// The time limit of each request to the server. Default 5 s.
    pub timeout: Duration,
    /// The JetStream domain. Default: the one that the server belongs to.
    pub domain: Option<String>,
}

impl Default for ConsumeOptions {
    fn default() -> Self {
        Self {
            filter_subject: None,
            ack_wait: None,
            max_deliver: None,
            max_ack_pending: None,
            only_new: false,
            batch: 1,
            retry_delay: Duration::from_secs(5),
            timeout: crate::nats::DEFAULT_TIMEOUT,
            domain: None,
        }
    }
}

impl ConsumeOptions {
    /// Sets [`filter_subject`](Self::filter_subject).
    #[must_use]
    pub fn filter_subject(mut self, subject: impl Into<String>) -> Self {
        self.filter_subject = Some(subject.into());
        self
    }

    /// Sets [`ack_wait`](Self::ack_wait).
    #[must_use]
    pub fn ack_wait(mut self, ack_wait: Duration) -> Self {
        self.ack_wait = Some(ack_wait);
        self
    }

    /// Sets [`max_deliver`](Self::max_deliver).
    #[must_use]
    pub fn max_deliver(mut self, max_deliver: u32) -> Self {
        self.max_deliver = Some(max_deliver);
        self
    }

    /// Sets [`max_ack_pending`](Self::max_ack_pending).
    #[must_use]
    pub fn max_ack_pending(mut self, max_ack_pending: u32) -> Self {
        self.max_ack_pending = Some(max_ack_pending);
        self
    }

    /// Sets [`only_new`](Self::only_new).
    #[must_use]
    pub fn only_new(mut self, only_new: bool) -> Self {
        self.only_new = only_new;
        self
    }

    /// Sets [`batch`](Self::batch); 0 is 1.
    #[must_use]
    pub fn batch(mut self, batch: u32) -> Self {
        self.batch = batch;
        self
    }

    /// Sets [`retry_delay`](Self::retry_delay).
    #[must_use]
    pub fn retry_delay(mut self, retry_delay: Duration) -> Self {
        self.retry_delay = retry_delay;
        self
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`domain`](Self::domain).
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Keys and values as JSON.
    fn set(&self) -> Vec<(&'static str, String)> {
        let filter = self.filter_subject.as_deref();
        let number = |number: u32| number_json(number.into());
        let members = [
            ("filter_subject", filter.map(text_json)),
            (
                "ack_wait",
                self.ack_wait.map(|time| number_json(nanos(time))),
            ),
            ("max_deliver", self.max_deliver.map(number)),
            ("max_ack_pending", self.max_ack_pending.map(number)),
        ];
        let set = members.into_iter();
        let set = set.filter_map(|(key, value)| Some((key, value?)));
        set.chain([("ack_policy", text_json("explicit"))]).collect()
    }

    fn check(&self) -> Result<(), JetStreamError> {
        let Some(subject) = &self.filter_subject else {
            return Ok(());
        };
        check_subject(subject, SubjectUse::Subscribe).map_err(|error| {
            JetStreamError::new(Kind::InvalidOption, "`filter_subject` cannot be used")
                .with_source(error)
        })
    }
}

/// What the server tells of a consumer.
#[derive(Debug, Default)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
    /// Messages that are still to be delivered.
    pub(crate) pending: Option<u64>,
    /// Keys and values as JSON.
    config: Vec<(String, String)>,
}

impl ConsumerInfo {
    /// How often a message is delivered at most, if there is a limit.
    pub(crate) fn max_deliver(&self) -> Option<u64> {
        let mut config = self.config.iter();
        let (_, json) = config.find(|(key, _)| key == "max_deliver")?;
        decimal(json.as_bytes()).filter(|limit| *limit > 0)
    }
}

/// Reads the answer to `CONSUMER.INFO` and `CONSUMER.CREATE`.
pub(crate) fn parse_consumer(payload: &[u8]) -> Result<ConsumerInfo, JsonError> {
    let mut info = ConsumerInfo::default();
    read_answer(payload, &mut |key, value| {
        match key {
            "name" => info.name = value.text()?.into_owned(),
            "num_pending" => info.pending = Some(value.unsigned()?),
            "config" => read_members(value, &mut |key, value| {
                info.config.push((key.to_owned(), value.skip()?.to_owned()));
                Ok(())
            })?,
            _ => drop(value.skip()?),
        }
        Ok(())
    })?;
    Ok(info)
}

/// A consumer without acknowledgements that the server forgets by itself: for reading what is there.
pub(crate) struct Ephemeral<'a> {
    pub(crate) stream: &'a str,
    pub(crate) filter_subject: &'a str,
    /// The sequence number of the first message. `None`: the last message of each subject.
    pub(crate) start: Option<u64>,
    /// After which time without a fetch it is forgotten.
    pub(crate) inactive_threshold: Duration,
}

impl<B: Broker, P: Platform> JetStream<B, P> {
    /// Finds a durable pull consumer, or creates it.
    pub(crate) fn ensure_consumer(
        &mut self,
        stream: &str,
        name: &str,
        options: &ConsumeOptions,
    ) -> Result<ConsumerInfo, JetStreamError> {
        check_name("stream", stream)?;
        check_name("consumer", name)?;
        options.check()?;
        let deadline = self.deadline();
        match self.find_consumer(stream, name, options, deadline)? {
            Some(info) => Ok(info),
            None => self.create_consumer(stream, name, options, deadline),
        }
    }

    fn create_consumer(
        &mut self,
        stream: &str,
        name: &str,
        options: &ConsumeOptions,
        deadline: Deadline,
    ) -> Result<ConsumerInfo, JetStreamError> {
        let start = if options.only_new { "new" } else { "all" };
        let mut config = ObjectWriter::new()
            .text("durable_name", name)
            .text("name", name)
            .text("deliver_policy", start);
        for (key, json) in options.set() {
            config = config.raw(key, &json);
        }
        let body = ObjectWriter::new()
            .text("stream_name", stream)
            .raw("config", &config.finish_text())
            // Servers before 2.10 pass over it.
            .text("action", "create")
            .finish();
        let operation = ["CONSUMER.CREATE.", stream, ".", name].concat();
        match self.call(&operation, &body, deadline) {
            Ok(answer) => read_consumer(&answer.payload),
            // Another worker was faster.
            Err(error) if error.kind() == Kind::Conflict => self
                .find_consumer(stream, name, options, deadline)?
                .ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// The consumer of that name, if there is one and it is as it should be.
    fn find_consumer(
        &mut self,
        stream: &str,
        name: &str,
        options: &ConsumeOptions,
        deadline: Deadline,
    ) -> Result<Option<ConsumerInfo>, JetStreamError> {
        let info = match self.consumer_info(stream, name, deadline) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            info => info?,
        };
        let mut differences = differences(&options.set(), &info.config);
        if info.config.iter().any(|(key, _)| key == "deliver_subject") {
            differences.push(String::from("it pushes its messages"));
        }
        if differences.is_empty() {
            return Ok(Some(info));
        }
        let differences = differences.join("; ");
        let message =
            format!("the consumer `{name}` of the stream `{stream}` exists, and {differences}");
        Err(JetStreamError::new(Kind::Conflict, message))
    }

    pub(crate) fn consumer_info(
        &mut self,
        stream: &str,
        name: &str,
        deadline: Deadline,
    ) -> Result<ConsumerInfo, JetStreamError> {
        let operation = ["CONSUMER.INFO.", stream, ".", name].concat();
        let answer = self.call(&operation, b"", deadline)?;
        let info = read_consumer(&answer.payload)?;
        if info.name != name {
            let message = format!("an answer about the consumer `{}`, not `{name}`", info.name);
            return Err(JetStreamError::new(Kind::InvalidAnswer, message));
        }
        Ok(info)
    }

    pub(crate) fn create_ephemeral(
        &mut self,
        consumer: &Ephemeral<'_>,
        deadline: Deadline,
    ) -> Result<ConsumerInfo, JetStreamError> {
        let config = ObjectWriter::new();
        let config = match consumer.start {
            Some(start) => config
                .text("deliver_policy", "by_start_sequence")
                .number("opt_start_seq", start),
            None => config.text("deliver_policy", "last_per_subject"),
        };
        let config = config
            .text("ack_policy", "none")
            .text("filter_subject", consumer.filter_subject)
            .text("replay_policy", "instant")
            .number("inactive_threshold", nanos(consumer.inactive_threshold))
            .flag("mem_storage", true)
            .number("num_replicas", 1);
        let body = ObjectWriter::new()
            .text("stream_name", consumer.stream)
            .raw("config", &config.finish_text())
            .finish();
        let operation = ["CONSUMER.CREATE.", consumer.stream].concat();
        let answer = self.call(&operation, &body, deadline)?;
        let info = read_consumer(&answer.payload)?;
        check_name("consumer", &info.name).map_err(|error| {
            JetStreamError::new(Kind::InvalidAnswer, "the consumer has no name").with_source(error)
        })?;
        Ok(info)
    }

    /// Has the server forget a consumer; its answer is not waited for.
    pub(crate) fn forget_consumer(&mut self, stream: &str, name: &str) {
        let subject = [&*self.prefix, ".CONSUMER.DELETE.", stream, ".", name].concat();
        let message = crate::nats::Outgoing::new(&subject);
        // It is forgotten all the same, only later.
        let mut body = crate::stream::SliceBody::new(b"");
        self.broker.publish(&message, &mut body).ok();
    }
}

fn read_consumer(payload: &[u8]) -> Result<ConsumerInfo, JetStreamError> {
    parse_consumer(payload).map_err(|cause| JetStreamError::invalid_answer("CONSUMER.INFO", cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_is_read_with_what_it_has_left() {
        let answer = br#"{"type":"x","stream_name":"S","name":"w","config":{"durable_name":"w",
            "ack_policy":"explicit","max_deliver":5},"num_pending":17}"#;
        let info = parse_consumer(answer).unwrap();
        assert_eq!((&*info.name, info.pending), ("w", Some(17)));
        assert_eq!(info.max_deliver(), Some(5));
        let unlimited = parse_consumer(br#"{"config":{"max_deliver":-1}}"#).unwrap();
        assert_eq!(unlimited.max_deliver(), None);
        for bad in [
            &b""[..],
            b"{",
            br#"{"name":1}"#,
            br#"{"num_pending":-1}"#,
            br#"{"config":[]}"#,
        ] {
            assert!(parse_consumer(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn only_what_is_set_is_compared() {
        let answer =
            br#"{"config":{"ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1}}"#;
        let config = parse_consumer(answer).unwrap().config;
        assert!(differences(&ConsumeOptions::default().set(), &config).is_empty());
        let other = ConsumeOptions::default()
            .ack_wait(Duration::from_secs(1))
            .max_deliver(3)
            .filter_subject("a.b");
        let expected = [
            "its `filter_subject` is not set, not \"a.b\"",
            "its `ack_wait` is 30000000000, not 1000000000",
            "its `max_deliver` is -1, not 3",
        ];
        assert_eq!(differences(&other.set(), &config), expected);
    }

    #[test]
    fn a_filter_is_a_subject() {
        assert!(
            ConsumeOptions::default()
                .filter_subject("a.*.>")
                .check()
                .is_ok()
        );
        let error = ConsumeOptions::default()
            .filter_subject("a b")
            .check()
            .unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidOption);
    }
}
