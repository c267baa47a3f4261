//! Streams: found, created if absent, read message by message.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{JetStreamError, JetStreamErrorKind as Kind};
use super::stream_options::{Config, StreamOptions, read_config};
use super::{Api, Deadline, JetStream, check_name, read_answer, read_members};
use crate::json::writer::ObjectWriter;
use crate::json::{JsonError, Reader};
use crate::nats::Broker;
use crate::platform::Platform;

/// What a stream has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// How many messages it has.
    pub messages: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// The sequence number of the first message, 0 before there was one.
    pub first_sequence: u64,
    /// The sequence number of the last message, 0 before there was one.
    pub last_sequence: u64,
    /// How many consumers it has.
    pub consumers: u64,
}

/// Reads the answer to `STREAM.INFO` and `STREAM.CREATE`.
pub(crate) fn parse_stream(payload: &[u8]) -> Result<(StreamInfo, Config), JsonError> {
    let (mut info, mut config) = (StreamInfo::default(), Config::default());
    read_answer(payload, &mut |key, value| match key {
        "config" => read_config(value, &mut config),
        "state" => read_state(value, &mut info),
        _ => value.skip().map(drop),
    })?;
    info.name.clone_from(&config.name);
    Ok((info, config))
}

fn read_state(reader: &mut Reader<'_>, info: &mut StreamInfo) -> Result<(), JsonError> {
    read_members(reader, &mut |key, value| {
        match key {
            "messages" => info.messages = value.unsigned()?,
            "bytes" => info.bytes = value.unsigned()?,
            "first_seq" => info.first_sequence = value.unsigned()?,
            "last_seq" => info.last_sequence = value.unsigned()?,
            "consumer_count" => info.consumers = value.unsigned()?,
            _ => drop(value.skip()?),
        }
        Ok(())
    })
}

/// Reads the message in the answer to `STREAM.MSG.GET`: its subject and data.
pub(crate) fn parse_message(payload: &[u8]) -> Result<(String, Vec<u8>), JsonError> {
    let (mut subject, mut data) = (String::new(), Vec::new());
    read_answer(payload, &mut |key, value| {
        if key != "message" {
            return value.skip().map(drop);
        }
        read_members(value, &mut |key, value| {
            match key {
                "subject" => subject = value.text()?.into_owned(),
                "data" => data = decode(&value.text()?)?,
                _ => drop(value.skip()?),
            }
            Ok(())
        })
    })?;
    Ok((subject, data))
}

fn decode(text: &str) -> Result<Vec<u8>, JsonError> {
    STANDARD.decode(text).map_err(|_| JsonError::Unexpected {
        at: 0,
        expected: "`data` in base64",
    })
}

impl<B: Broker, P: Platform> JetStream<B, P> {
    /// Finds a stream, or creates it if there is none of that name.
    ///
    /// # Errors
    /// [`Conflict`](Kind::Conflict) if it exists and what is set in `options` differs, which the message
    /// names, or if another stream has one of the subjects; [`NotEnabled`](Kind::NotEnabled),
    /// [`NotPermitted`](Kind::NotPermitted), [`Timeout`](Kind::Timeout).
    pub fn ensure_stream(&mut self, options: &StreamOptions) -> Result<StreamInfo, JetStreamError> {
        self.api().ensure_stream(options)
    }

    /// What a stream has.
    ///
    /// # Errors
    /// [`NoStream`](Kind::NoStream), and as [`ensure_stream`](Self::ensure_stream).
    pub fn stream_info(&mut self, name: &str) -> Result<StreamInfo, JetStreamError> {
        self.api().stream_info(name)
    }

    /// Deletes a stream and all that it has.
    ///
    /// # Errors
    /// [`NoStream`](Kind::NoStream), and as [`ensure_stream`](Self::ensure_stream).
    pub fn delete_stream(&mut self, name: &str) -> Result<(), JetStreamError> {
        self.api().delete_stream(name)
    }
}

impl Api<'_> {
    pub(crate) fn ensure_stream(
        &mut self,
        options: &StreamOptions,
    ) -> Result<StreamInfo, JetStreamError> {
        options.check()?;
        let deadline = self.deadline();
        match self.find_stream(options, deadline)? {
            Some(info) => Ok(info),
            None => self.create_stream(options, deadline),
        }
    }

    fn create_stream(
        &mut self,
        options: &StreamOptions,
        deadline: Deadline,
    ) -> Result<StreamInfo, JetStreamError> {
        let operation = ["STREAM.CREATE.", options.name()].concat();
        match self.call(&operation, &options.json(), deadline) {
            Ok(answer) => read_stream(options.name(), &answer.payload).map(|(info, _)| info),
            // Another client was faster; or another stream has the subjects.
            Err(error) if error.kind() == Kind::Conflict => {
                self.find_stream(options, deadline)?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The stream of that name, if there is one and it is as it should be.
    fn find_stream(
        &mut self,
        options: &StreamOptions,
        deadline: Deadline,
    ) -> Result<Option<StreamInfo>, JetStreamError> {
        let operation = ["STREAM.INFO.", options.name()].concat();
        let answer = match self.call(&operation, b"", deadline) {
            Err(error) if error.kind() == Kind::NoStream => return Ok(None),
            answer => answer?,
        };
        let (info, config) = read_stream(options.name(), &answer.payload)?;
        let differences = options.differences(&config);
        if differences.is_empty() {
            return Ok(Some(info));
        }
        let (name, differences) = (options.name(), differences.join("; "));
        let message = format!("the stream `{name}` exists, and {differences}");
        Err(JetStreamError::new(Kind::Conflict, message))
    }

    pub(crate) fn stream_info(&mut self, name: &str) -> Result<StreamInfo, JetStreamError> {
        check_name("stream", name)?;
        let deadline = self.deadline();
        let answer = self.call(&["STREAM.INFO.", name].concat(), b"", deadline)?;
        read_stream(name, &answer.payload).map(|(info, _)| info)
    }

    pub(crate) fn delete_stream(&mut self, name: &str) -> Result<(), JetStreamError> {
        check_name("stream", name)?;
        let deadline = self.deadline();
        let answer = self.call(&["STREAM.DELETE.", name].concat(), b"", deadline)?;
        check_success("STREAM.DELETE", &answer.payload)
    }

    /// Removes the messages of a stream on `subject`.
    pub(crate) fn purge(
        &mut self,
        stream: &str,
        subject: &str,
        deadline: Deadline,
    ) -> Result<(), JetStreamError> {
        let body = ObjectWriter::new().text("filter", subject).finish();
        let answer = self.call(&["STREAM.PURGE.", stream].concat(), &body, deadline)?;
        check_success("STREAM.PURGE", &answer.payload)
    }

    /// The last message on `subject`; `None` if there is none. The leader answers, so that what was stored
    /// just now is found.
    pub(crate) fn last_message(
        &mut self,
        stream: &str,
        subject: &str,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, JetStreamError> {
        let body = ObjectWriter::new().text("last_by_subj", subject).finish();
        let operation = ["STREAM.MSG.GET.", stream].concat();
        let answer = match self.call(&operation, &body, deadline) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            answer => answer?,
        };
        let invalid = |cause| JetStreamError::invalid_answer("STREAM.MSG.GET", cause);
        let (found, data) = parse_message(&answer.payload).map_err(invalid)?;
        if found != subject {
            let message = format!("a message on `{found}` where one on `{subject}` was asked for");
            return Err(JetStreamError::new(Kind::InvalidAnswer, message));
        }
        Ok(Some(data))
    }
}

fn read_stream(name: &str, payload: &[u8]) -> Result<(StreamInfo, Config), JetStreamError> {
    let invalid = |cause| JetStreamError::invalid_answer("STREAM.INFO", cause);
    let (info, config) = parse_stream(payload).map_err(invalid)?;
    if info.name != name {
        let message = format!("an answer about the stream `{}`, not `{name}`", info.name);
        return Err(JetStreamError::new(Kind::InvalidAnswer, message));
    }
    Ok((info, config))
}

/// Reads `{"success":true}`.
fn check_success(what: &str, payload: &[u8]) -> Result<(), JetStreamError> {
    let mut success = false;
    let read = read_answer(payload, &mut |key, value| {
        match key {
            "success" => success = value.boolean()?,
            _ => drop(value.skip()?),
        }
        Ok(())
    });
    read.map_err(|cause| JetStreamError::invalid_answer(what, cause))?;
    if success {
        return Ok(());
    }
    let message = format!("{what} was answered without success");
    Err(JetStreamError::new(Kind::InvalidAnswer, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"type":"x","config":{"name":"S","subjects":["b","a.>"],"max_msgs":-1,
        "storage":"file","placement":{"cluster":"c"}},"state":{"messages":3,"bytes":120,"first_seq":1,
        "first_ts":"0001-01-01T00:00:00Z","last_seq":7,"consumer_count":2},"did_create":true}"#;

    #[test]
    fn a_stream_is_read_with_its_state_and_configuration() {
        let (info, config) = parse_stream(ANSWER.as_bytes()).unwrap();
        let expected = StreamInfo {
            name: "S".into(),
            messages: 3,
            bytes: 120,
            first_sequence: 1,
            last_sequence: 7,
            consumers: 2,
        };
        assert_eq!(info, expected);
        assert_eq!(config.subjects, ["b", "a.>"]);
        for bad in [
            &b""[..],
            b"[]",
            br#"{"state":1}"#,
            br#"{"config":{"name":1}}"#,
            b"\xff",
        ] {
            assert!(parse_stream(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn an_answer_about_something_else_is_refused() {
        assert!(read_stream("S", ANSWER.as_bytes()).is_ok());
        assert!(read_stream("T", ANSWER.as_bytes()).is_err());
        assert!(read_stream("S", b"{}").is_err());
        assert!(check_success("x", br#"{"success":true,"purged":3}"#).is_ok());
        for bad in [
            &b"{}"[..],
            br#"{"success":false}"#,
            br#"{"success":1}"#,
            b"x",
        ] {
            let error = check_success("x", bad).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidAnswer);
        }
    }

    #[test]
    fn a_stored_message_is_base64_in_json() {
        let answer = br#"{"type":"x","message":{"subject":"a","seq":1,"data":"aGk=","time":"t"}}"#;
        let (subject, data) = parse_message(answer).unwrap();
        assert_eq!((&*subject, &*data), ("a", &b"hi"[..]));
        let broken = br#"{"message":{"subject":"a","data":"a"}}"#;
        assert!(parse_message(broken).is_err());
    }
}
