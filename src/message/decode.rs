//! Bytes to envelope.
//!
//! The JSON reader finds the values. This file knows the wire contract and its position in the message, so that
//! an error names the payload and the field.

use super::entry::{Data, NO_METADATA, PayloadEntry};
use super::envelope::Envelope;
use super::error::{EnvelopeError, EnvelopeFault, PayloadRef};
use super::fields::{ENVELOPE, EnvelopeValue, Field, FieldSet, PAYLOAD, PayloadValue, TextKind};
use super::limits::Limits;
use crate::json::{self, Members, Reader};
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// Payloads that a message may have in any case, and the bytes of the message that allow one more.
/// An opened payload takes 272 bytes beside its texts and data: a message of many tiny ones would
/// take several times its length. The members write at least 170 bytes for a payload.
const FREE_PAYLOADS: usize = 400;

const BYTES_PER_PAYLOAD: usize = 136;

/// Up to this many payloads are read without counting them first.
const FEW_PAYLOADS: usize = 64;

impl<'a> Envelope<'a> {
    /// Reads the structure of a message and decodes nothing. Texts and data are borrowed from
    /// `message` unless they have escapes.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is not JSON, over a limit, lacks a field that is required
    /// (`correlation_id`, `payloads`, and per payload `dataname`, `payload_type`, `transport`,
    /// `data`), has a field twice, or has one of the wrong type.
    pub fn parse(message: &'a [u8], limits: &Limits) -> Result<Self, EnvelopeError> {
        check_len(message.len(), limits)?;
        let text = core::str::from_utf8(message).map_err(|error| EnvelopeError {
            payload: None,
            field: None,
            fault: EnvelopeFault::NotUtf8 {
                at: error.valid_up_to(),
            },
        })?;
        Self::parse_text(text, limits)
    }

    pub(crate) fn parse_text(text: &'a str, limits: &Limits) -> Result<Self, EnvelopeError> {
        check_len(text.len(), limits)?;
        let bearable = FREE_PAYLOADS + text.len() / BYTES_PER_PAYLOAD;
        let mut reader = EnvelopeReader {
            json: Reader::new(text),
            limits,
            max_payloads: limits.max_payloads.min(bearable),
            unknown: 0,
            payload: None,
            field: None,
        };
        reader.read().map_err(|fault| EnvelopeError {
            payload: reader
                .payload
                .map(|(index, dataname)| PayloadRef::new(index, &dataname)),
            field: reader.field,
            fault: not_json(fault, text),
        })
    }
}

/// A value of the wrong type and malformed JSON look the same to a reader that stops at the first error. A reader
/// without expectations distinguishes them: if it fails too, the JSON is malformed.
fn not_json(fault: EnvelopeFault, text: &str) -> EnvelopeFault {
    let EnvelopeFault::Json(found) = &fault else {
        return fault;
    };
    match json::check(text) {
        Err(error) if error.at() == found.at() => EnvelopeFault::NotJson(error),
        _ => fault,
    }
}

fn check_len(len: usize, limits: &Limits) -> Result<(), EnvelopeError> {
    let limit = limits.max_message_size;
    if len > limit {
        return Err(EnvelopeError {
            payload: None,
            field: None,
            fault: EnvelopeFault::MessageTooLarge { len, limit },
        });
    }
    Ok(())
}

/// Where in the message the reader is.
struct EnvelopeReader<'a, 'l> {
    json: Reader<'a>,
    limits: &'l Limits,
    max_payloads: usize,
    /// How many payloads of unknown type or transport there have been.
    unknown: usize,
    /// Index and name of the payload.
    payload: Option<(usize, Cow<'a, str>)>,
    field: Option<&'static str>,
}

impl<'a> EnvelopeReader<'a, '_> {
    fn read(&mut self) -> Result<Envelope<'a>, EnvelopeFault> {
        let envelope = self.envelope()?;
        self.json.end()?;
        Ok(envelope)
    }

    fn envelope(&mut self) -> Result<Envelope<'a>, EnvelopeFault> {
        let mut envelope = Envelope {
            metadata: Cow::Borrowed(NO_METADATA),
            ..Envelope::default()
        };
        let mut found = FieldSet::new(&ENVELOPE);
        let mut members = self.json.object()?;
        while let Some(field) = self.enter(&mut members, &mut found)? {
            match &field.value {
                EnvelopeValue::Text(kind, text) => {
                    *(text.get_mut)(&mut envelope) = self.text(*kind, field.required)?;
                }
                EnvelopeValue::Object(text) => {
                    *(text.get_mut)(&mut envelope) = self.metadata()?;
                }
                EnvelopeValue::Payloads => envelope.payloads = self.payloads()?,
            }
        }
        self.require(&found)?;
        Ok(envelope)
    }

    fn payloads(&mut self) -> Result<Vec<PayloadEntry<'a>>, EnvelopeFault> {
        let mut payloads = Vec::new();
        let mut elements = self.json.array()?;
        while self.json.next_element(&mut elements)? {
            let (index, limit) = (payloads.len(), self.max_payloads);
            if index >= limit {
                return Err(EnvelopeFault::TooManyPayloads { limit });
            }
            if index == FEW_PAYLOADS {
                // A Vec that grows has up to three times of what is needed in use for a moment.
                reserve(&mut payloads, self.count(elements).min(limit) - index)?;
            }
            self.payload = Some((index, Cow::Borrowed("")));
            self.field = None;
            let entry = self.entry(index)?;
            self.check_names(&entry)?;
            self.payload = None;
            self.field = Some("payloads");
            payloads.push(entry);
        }
        Ok(payloads)
    }

    /// How many payloads there are, if no error comes before their end, with the few that have been read.
    fn count(&self, mut elements: Members) -> usize {
        let mut ahead = self.json;
        let mut count = FEW_PAYLOADS;
        while ahead.skip().is_ok() {
            count += 1;
            if !ahead.next_element(&mut elements).unwrap_or(false) {
                break;
            }
        }
        count
    }

    fn entry(&mut self, index: usize) -> Result<PayloadEntry<'a>, EnvelopeFault> {
        let mut entry = PayloadEntry {
            index,
            id: Cow::default(),
            dataname: Cow::default(),
            type_name: Cow::default(),
            transport_name: Cow::default(),
            encoding: Cow::default(),
            size: None,
            data: Data::Text(Cow::default()),
            metadata: Cow::Borrowed(NO_METADATA),
        };
        let mut found = FieldSet::new(&PAYLOAD);
        let mut members = self.json.object()?;
        while let Some(field) = self.enter(&mut members, &mut found)? {
            match &field.value {
                PayloadValue::Text(text) => {
                    *(text.get_mut)(&mut entry) = self.text(TextKind::Name, field.required)?;
                    if field.name == "dataname" {
                        self.payload = Some((index, entry.dataname.clone()));
                    }
                }
                PayloadValue::Object(text) => *(text.get_mut)(&mut entry) = self.metadata()?,
                PayloadValue::Size if self.json.null() => {}
                PayloadValue::Size => entry.size = Some(self.json.unsigned()?),
                PayloadValue::Data => entry.data = Data::Text(self.json.text()?),
            }
        }
        self.require(&found)?;
        Ok(entry)
    }

    /// Skips to the next field of the wire contract.
    fn enter<V>(
        &mut self,
        members: &mut Members,
        found: &mut FieldSet<V>,
    ) -> Result<Option<&'static Field<V>>, EnvelopeFault> {
        self.field = None;
        while let Some(key) = self.json.next_key(members)? {
            let Some((place, field)) = found.find(&key) else {
                self.json.skip()?;
                continue;
            };
            self.field = Some(field.name);
            if !found.insert(place) {
                return Err(EnvelopeFault::Duplicate);
            }
            return Ok(Some(field));
        }
        Ok(None)
    }

    fn require<V>(&mut self, found: &FieldSet<V>) -> Result<(), EnvelopeFault> {
        self.field = found.missing();
        if self.field.is_some() {
            return Err(EnvelopeFault::Missing);
        }
        Ok(())
    }

    /// A text of limited length, which may be null unless it is required.
    fn text(&mut self, kind: TextKind, required: bool) -> Result<Cow<'a, str>, EnvelopeFault> {
        if !required && self.json.null() {
            return Ok(Cow::default());
        }
        let text = self.json.text()?;
        let (len, limit) = (text.len(), kind.max_len(self.limits));
        if len > limit {
            return Err(EnvelopeFault::TextTooLong { len, limit });
        }
        Ok(text)
    }

    /// The text of an object that may be null.
    fn metadata(&mut self) -> Result<Cow<'a, str>, EnvelopeFault> {
        if self.json.null() {
            return Ok(Cow::Borrowed(NO_METADATA));
        }
        let mut object = self.json;
        object.object()?;
        Ok(Cow::Borrowed(self.json.skip()?))
    }

    /// A payload that cannot be opened is no reason to refuse the others. But it may be shorter than the
    /// memory that it takes, so there may not be many.
    fn check_names(&mut self, entry: &PayloadEntry<'_>) -> Result<(), EnvelopeFault> {
        let Err(error) = entry.payload_type().and_then(|_| entry.transport()) else {
            return Ok(());
        };
        self.unknown += 1;
        if self.unknown > FREE_PAYLOADS {
            self.field = error.field;
            return Err(error.fault);
        }
        Ok(())
    }
}

fn reserve(payloads: &mut Vec<PayloadEntry<'_>>, more: usize) -> Result<(), EnvelopeFault> {
    let len = more * size_of::<PayloadEntry<'_>>();
    let no_memory = |_| EnvelopeFault::OutOfMemory { len };
    payloads.try_reserve_exact(more).map_err(no_memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::string::ToString;

    fn fails(message: &str) -> EnvelopeError {
        Envelope::parse(message.as_bytes(), &Limits::default()).unwrap_err()
    }

    #[test]
    fn refusals_name_payload_field_and_reason() {
        let of = |payloads: &str| format!(r#"{{"correlation_id":"c","payloads":{payloads}}}"#);
        let good = r#"{"dataname":"n","payload_type":"text","transport":"direct","data":""}"#;
        for (message, words) in [
            ("{}".to_string(), "field `correlation_id`: it is missing"),
            (
                r#"{"correlation_id":"c"}"#.to_string(),
                "field `payloads`: it is missing",
            ),
            (
                r#"{"correlation_id":null}"#.to_string(),
                "field `correlation_id`: a value has the wrong type",
            ),
            (
                r#"{"msg_id":"","msg_id":""}"#.to_string(),
                "field `msg_id`: it is given twice",
            ),
            (
                r#"{"metadata":[]}"#.to_string(),
                "field `metadata`: a value has the wrong type",
            ),
            (of("{}"), "field `payloads`: a value has the wrong type"),
            (of("[3]"), "payload 0 ``: a value has the wrong type"),
            (
                of(&format!("[{good},{{}}]")),
                "payload 1 ``: field `dataname`: it is missing",
            ),
            (of(&format!("[{good},]")), "payload 1 ``: it is not JSON"),
            ("hello".to_string(), "it is not JSON"),
            (String::new(), "it is not JSON"),
            (
                r#"{"msg_id":"a"#.to_string(),
                "field `msg_id`: it is not JSON",
            ),
            (
                r#"{"msg_id":"\ud800"}"#.to_string(),
                "field `msg_id`: a value has the wrong type",
            ),
            (
                of(r#"[{"dataname":"n","payload_type":7}]"#),
                "payload 0 `n`: field `payload_type`: a value has the wrong type",
            ),
            (
                of(r#"[{"dataname":"n","size":-1}]"#),
                "payload 0 `n`: field `size`: a value has the wrong type",
            ),
            (
                of(r#"[{"dataname":"n","data":"","data":""}]"#),
                "payload 0 `n`: field `data`: it is given twice",
            ),
            ("[]".to_string(), "a value has the wrong type"),
            ("{} x".to_string(), "field `correlation_id`: it is missing"),
            (of("[]") + "x", "it is not JSON"),
        ] {
            let shown = fails(&message).to_string();
            assert!(shown.starts_with(words), "{message}: {shown}");
        }
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let message = |own: &str, payload: &str| {
            format!(
                r#"{{"correlation_id":"c","payloads":[{{"dataname":"n","payload_type":"text",
                    "transport":"direct","data":""{payload}}}]{own}}}"#
            )
        };
        for message in [
            message("", ""),
            message(
                r#","msg_id":null,"reply_to":null,"metadata":null"#,
                r#","id":null,"encoding":null,"size":null,"metadata":null"#,
            ),
        ] {
            let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
            let payload = &envelope.payloads[0];
            assert_eq!((&*envelope.msg_id, &*envelope.reply_to), ("", ""));
            assert_eq!((&*payload.id, &*payload.encoding), ("", ""));
            assert_eq!(payload.size, None);
            assert_eq!((&*envelope.metadata, &*payload.metadata), ("{}", "{}"));
        }
    }

    #[test]
    fn limits_are_exact() {
        let message = |name: &str, payloads: usize| {
            let payload = format!(
                r#"{{"dataname":"{name}","payload_type":"text","transport":"direct","data":""}}"#
            );
            let payloads = alloc::vec![payload; payloads].join(",");
            format!(r#"{{"correlation_id":"c","payloads":[{payloads}]}}"#)
        };
        let limits = Limits {
            max_name_len: 10,
            max_payloads: 3,
            max_message_size: 400,
            ..Limits::default()
        };
        for (len, fits) in [(9, true), (10, true), (11, false)] {
            let message = message(&"x".repeat(len), 1);
            assert_eq!(
                Envelope::parse(message.as_bytes(), &limits).is_ok(),
                fits,
                "{len}"
            );
        }
        for (payloads, fits) in [(2, true), (3, true), (4, false)] {
            let message = message("x", payloads);
            assert_eq!(
                Envelope::parse(message.as_bytes(), &limits).is_ok(),
                fits,
                "{payloads}"
            );
        }
        for (len, fits) in [(399, true), (400, true), (401, false)] {
            let message = message("x", 1);
            let padded = message.clone() + &" ".repeat(len - message.len());
            assert_eq!(
                Envelope::parse(padded.as_bytes(), &limits).is_ok(),
                fits,
                "{len}"
            );
        }
    }

    #[test]
    fn many_tiny_payloads_are_refused_as_their_number_exceeds_the_message() {
        let message = |name: &str, count: usize, len: usize| {
            let payload = format!(
                r#"{{"dataname":"","payload_type":"{name}","transport":"direct","data":""}}"#
            );
            let payloads = alloc::vec![payload; count].join(",");
            let message = format!(r#"{{"correlation_id":"c","payloads":[{payloads}]}}"#);
            let spaces = " ".repeat(len.saturating_sub(message.len()));
            message + &spaces
        };
        let len = 136 * 600;
        for (count, fits) in [
            (64, true),
            (65, true),
            (999, true),
            (1000, true),
            (1001, false),
        ] {
            let message = message("text", count, len);
            assert_eq!(message.len(), len);
            match Envelope::parse(message.as_bytes(), &Limits::default()) {
                Ok(envelope) => assert!(fits && envelope.payloads.capacity() <= count.max(64)),
                Err(error) => assert!(
                    !fits && matches!(error.fault, EnvelopeFault::TooManyPayloads { limit: 1000 })
                ),
            }
        }
        for (count, fits) in [(399, true), (400, true), (401, false)] {
            let parsed =
                Envelope::parse(message("what", count, len).as_bytes(), &Limits::default()).is_ok();
            assert_eq!(parsed, fits, "{count}");
        }
        let shown = fails(&message("what", 401, len)).to_string();
        let words = "payload 400 ``: field `payload_type`: unknown payload type `what`";
        assert_eq!(shown, words);
    }

    #[test]
    fn memory_that_cannot_be_had_is_told_in_bytes() {
        let size = size_of::<PayloadEntry<'_>>();
        let count = isize::MAX as usize / size + 1;
        let fault = reserve(&mut Vec::new(), count).unwrap_err();
        assert!(
            matches!(fault, EnvelopeFault::OutOfMemory { len } if len == count * size),
            "{fault:?}"
        );
    }
}
