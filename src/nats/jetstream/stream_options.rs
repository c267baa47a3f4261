//! How a stream is to be.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::error::{JetStreamError, JetStreamErrorKind as Kind};
use super::{check_name, nanos, read_members};
use crate::json::writer::{ObjectWriter, number_json, text_json};
use crate::json::{JsonError, Reader};
use crate::nats::{SubjectUse, check_subject};

/// Where a stream keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// On disk. The server's default.
    File,
    /// In memory: gone when the server ends.
    Memory,
}

/// What a full stream does with another message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discard {
    /// It drops the oldest ones. The server's default.
    Old,
    /// It refuses the new one, so that a stored send fails.
    New,
}

/// A stream that is to exist: its name and subjects, and what else is set. What is not set is the
/// server's default, or what an existing stream has.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::{Discard, StreamOptions};
///
/// let orders = StreamOptions::new("ORDERS")
///     .subject("orders.>")
///     .replicas(3)
///     .max_bytes(1 << 30)
///     .max_age(Duration::from_secs(7 * 86_400))
///     .discard(Discard::New);
/// assert_eq!(orders.name(), "ORDERS");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    name: String,
    subjects: Vec<String>,
    /// Keys and values as JSON.
    set: Vec<(&'static str, String)>,
    /// The same, of what an existing stream need not have.
    set_if_created: Vec<(&'static str, String)>,
}

impl StreamOptions {
    /// A stream called `name`, without subjects.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            subjects: Vec::new(),
            set: Vec::new(),
            set_if_created: Vec::new(),
        }
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a subject whose messages are stored; it may have the wildcards `*` and `>`.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subjects.push(subject.into());
        self
    }

    /// On how many servers of a cluster each message is kept, 1 to 5. 0 is the server's default: 1.
    #[must_use]
    pub fn replicas(self, replicas: u8) -> Self {
        self.set_number("num_replicas", replicas.into())
    }

    /// Where messages are kept. The server's default is [`Storage::File`].
    #[must_use]
    pub fn storage(self, storage: Storage) -> Self {
        let name = match storage {
            Storage::File => "file",
            Storage::Memory => "memory",
        };
        self.set("storage", text_json(name))
    }

    /// How long a message is kept. Unlimited by default, as is zero.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        self.set("max_age", number_json(nanos(max_age)))
    }

    /// The most bytes that are kept. 0 is the server's default: unlimited.
    #[must_use]
    pub fn max_bytes(self, max_bytes: u64) -> Self {
        self.set_number("max_bytes", max_bytes)
    }

    /// The most messages that are kept. 0 is the server's default: unlimited.
    #[must_use]
    pub fn max_messages(self, max_messages: u64) -> Self {
        self.set_number("max_msgs", max_messages)
    }

    /// The longest message that is stored, in bytes. 0 is the server's default: unlimited.
    #[must_use]
    pub fn max_message_size(self, max_message_size: u32) -> Self {
        self.set_number("max_msg_size", max_message_size.into())
    }

    /// What a full stream does. The server's default is [`Discard::Old`].
    #[must_use]
    pub fn discard(self, discard: Discard) -> Self {
        let name = match discard {
            Discard::Old => "old",
            Discard::New => "new",
        };
        self.set("discard", text_json(name))
    }

    /// Whether a message is removed once a consumer has acknowledged it. Default false.
    #[must_use]
    pub fn work_queue(self, is_work_queue: bool) -> Self {
        let name = if is_work_queue { "workqueue" } else { "limits" };
        self.set("retention", text_json(name))
    }

    /// For how long a message that was sent twice is stored once. Zero is the server's default:
    /// 2 minutes.
    #[must_use]
    pub fn duplicate_window(self, window: Duration) -> Self {
        self.set_number("duplicate_window", nanos(window))
    }

    pub(crate) fn flag(self, key: &'static str, flag: bool) -> Self {
        self.set(key, flag.to_string())
    }

    pub(crate) fn flag_if_created(mut self, key: &'static str, flag: bool) -> Self {
        self.set_if_created.push((key, flag.to_string()));
        self
    }

    /// The server replaces zero by its default, which would differ from it at the next call.
    fn set_number(mut self, key: &'static str, number: u64) -> Self {
        self.set.retain(|(known, _)| *known != key);
        match number {
            0 => self,
            number => self.set(key, number_json(number)),
        }
    }

    fn set(mut self, key: &'static str, json: String) -> Self {
        self.set.retain(|(known, _)| *known != key);
        self.set.push((key, json));
        self
    }

    pub(super) fn check(&self) -> Result<(), JetStreamError> {
        check_name("stream", &self.name)?;
        for subject in &self.subjects {
            check_subject(subject, SubjectUse::Subscribe).map_err(|error| {
                let message = "the stream's subject cannot be used";
                JetStreamError::new(Kind::InvalidOption, message).with_source(error)
            })?;
        }
        Ok(())
    }

    pub(super) fn json(&self) -> Vec<u8> {
        let subjects: Vec<_> = self.subjects.iter().map(|text| text_json(text)).collect();
        let mut object = ObjectWriter::new()
            .text("name", &self.name)
            .raw("subjects", &["[", &subjects.join(","), "]"].concat());
        // The server has no defaults for these two.
        for (key, json) in [("retention", "\"limits\""), ("storage", "\"file\"")] {
            if self.set.iter().all(|(set, _)| *set != key) {
                object = object.raw(key, json);
            }
        }
        for (key, json) in self.set.iter().chain(&self.set_if_created) {
            object = object.raw(key, json);
        }
        object.finish()
    }

    /// How an existing stream differs from what is set.
    pub(super) fn differences(&self, config: &Config) -> Vec<String> {
        let mut differences = differences(&self.set, &config.members);
        let (wanted, found) = (&self.subjects, &config.subjects);
        let has_all = |of: &[String], all: &[String]| all.iter().all(|one| of.contains(one));
        // In any order.
        if !has_all(wanted, found) || !has_all(found, wanted) {
            let (found, wanted) = (found.join(", "), wanted.join(", "));
            differences.push(format!("its subjects are `{found}`, not `{wanted}`"));
        }
        differences
    }
}

/// Which of the members that are set are different in a configuration. One that is absent there has the
/// value that Go leaves out.
pub(super) fn differences(
    set: &[(&'static str, String)],
    found: &[(String, String)],
) -> Vec<String> {
    let differs = |(key, wanted): &(&'static str, String)| {
        let found = found.iter().find(|(known, _)| known == key);
        let found = found.map(|(_, json)| json.as_str());
        let is_default = found.is_none() && matches!(wanted.as_str(), "0" | "false" | "\"\"");
        let is_same = is_default || found == Some(wanted);
        let found = found.unwrap_or("not set");
        (!is_same).then(|| format!("its `{key}` is {found}, not {wanted}"))
    };
    set.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::super::stream::parse_stream;
    use super::*;

    const ANSWER: &str =
        r#"{"config":{"name":"S","subjects":["b","a.>"],"max_msgs":-1,"storage":"file"}}"#;

    #[test]
    fn differences_are_named() {
        let (_, config) = parse_stream(ANSWER.as_bytes()).unwrap();
        let same = StreamOptions::new("S").subject("a.>").subject("b");
        assert!(same.differences(&config).is_empty());
        for others in [["a.>", "a.>"].as_slice(), &["b"], &["b", "a.>", "c"]] {
            let other = others.iter().copied();
            let other = other.fold(StreamOptions::new("S"), StreamOptions::subject);
            assert_eq!(other.differences(&config).len(), 1, "{others:?}");
        }
        // What Go leaves out is zero.
        let absent = same.clone().max_age(Duration::ZERO).flag("sealed", false);
        assert!(absent.differences(&config).is_empty());
        let other = StreamOptions::new("S")
            .subject("c")
            .max_messages(5)
            .replicas(3);
        let other = other.storage(Storage::File);
        let expected = [
            "its `max_msgs` is -1, not 5",
            "its `num_replicas` is not set, not 3",
            "its subjects are `b, a.>`, not `c`",
        ];
        assert_eq!(other.differences(&config), expected);
    }

    #[test]
    fn options_are_written_as_the_server_reads_them() {
        let options = StreamOptions::new("S")
            .subject("s.>")
            .storage(Storage::Memory)
            .max_age(Duration::from_secs(1))
            .max_bytes(2)
            .max_messages(3)
            .max_message_size(4)
            .discard(Discard::New)
            .duplicate_window(Duration::from_nanos(5))
            .replicas(3)
            .replicas(1);
        let expected = concat!(
            r#"{"name":"S","subjects":["s.>"],"retention":"limits","storage":"memory","max_age":1000000000,"#,
            r#""max_bytes":2,"max_msgs":3,"max_msg_size":4,"discard":"new","duplicate_window":5,"num_replicas":1}"#
        );
        assert_eq!(core::str::from_utf8(&options.json()).unwrap(), expected);
    }

    #[test]
    fn names_that_change_a_subject_are_refused() {
        for name in ["", "a.b", "a b", "*", "a>", "a/b", "a\\b", "a\r\n"] {
            let error = StreamOptions::new(name).check().unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidOption, "{name:?}");
        }
        assert!(
            StreamOptions::new("ORDERS-1_ü")
                .subject("a.*.>")
                .check()
                .is_ok()
        );
        assert!(StreamOptions::new("S").subject("a b").check().is_err());
    }
}

/// The configuration of a stream, as the server tells it.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(super) name: String,
    pub(super) subjects: Vec<String>,
    /// Keys and values as JSON.
    pub(super) members: Vec<(String, String)>,
}

pub(super) fn read_config(reader: &mut Reader<'_>, config: &mut Config) -> Result<(), JsonError> {
    read_members(reader, &mut |key, value| {
        match key {
            "name" => config.name = value.text()?.into_owned(),
            "subjects" if !value.null() => {
                let mut elements = value.array()?;
                while value.next_element(&mut elements)? {
                    config.subjects.push(value.text()?.into_owned());
                }
            }
            "subjects" => {}
            _ => config
                .members
                .push((key.to_owned(), value.skip()?.to_owned())),
        }
        Ok(())
    })
}
