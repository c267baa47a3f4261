//! Pull consumers: found, created if absent.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::consume_options::ConsumeOptions;
use super::error::{JetStreamError, JetStreamErrorKind as Kind};
use super::stream_options::differences;
use super::{Api, Deadline, check_name, nanos, read_answer, read_members};
use crate::json::JsonError;
use crate::json::number::decimal;
use crate::json::writer::ObjectWriter;

/// The server's own.
const DEFAULT_ACK_WAIT: Duration = Duration::from_secs(30);

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
        self.number("max_deliver")
    }

    /// After which time a message is delivered again.
    pub(crate) fn ack_wait(&self) -> Duration {
        let nanos = self.number("ack_wait");
        nanos.map_or(DEFAULT_ACK_WAIT, Duration::from_nanos)
    }

    /// A member of the configuration that is more than 0.
    fn number(&self, name: &str) -> Option<u64> {
        let mut config = self.config.iter();
        let (_, json) = config.find(|(key, _)| key == name)?;
        decimal(json.as_bytes()).filter(|number| *number > 0)
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

impl Api<'_> {
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
        let subject = [
            &*self.settings.prefix,
            ".CONSUMER.DELETE.",
            stream,
            ".",
            name,
        ]
        .concat();
        let message = crate::nats::Outgoing::new(&subject);
        // It is forgotten all the same, only later.
        let mut body = crate::stream::SliceBody::new(b"");
        self.publish_once(&message, &mut body).ok();
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
        assert_eq!(info.ack_wait(), DEFAULT_ACK_WAIT);
        let config = br#"{"config":{"max_deliver":-1,"ack_wait":1500000000}}"#;
        let unlimited = parse_consumer(config).unwrap();
        assert_eq!(unlimited.max_deliver(), None);
        assert_eq!(unlimited.ack_wait(), Duration::from_millis(1500));
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
}
