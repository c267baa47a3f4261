//! Bytes to envelope, and base64 to bytes.
//!
//! The JSON reader finds the values. This file knows the wire contract and its position in the message, so that
//! an error names the payload and the field.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use base64::{DecodeError, DecodeSliceError, Engine as _};

use super::base64_engine;
use super::envelope::{Data, Envelope, PayloadEntry};
use super::error::{EnvelopeError, EnvelopeFault, PayloadRef};
use super::fields::{ENVELOPE, EnvelopeValue, Field, FieldSet, PAYLOAD, PayloadValue, TextKind};
use super::limits::Limits;
use crate::json::{self, Members, Reader};

/// Payloads that a message may have in any case, and the bytes of the message that allow one more.
/// An opened payload takes 272 bytes beside its texts and data: a message of many tiny ones would
/// take several times its length. The members write at least 170 bytes for a payload.
const FREE_PAYLOADS: usize = 400;
const BYTES_PER_PAYLOAD: usize = 136;
/// Up to this many payloads are read without counting them first.
const FEW_PAYLOADS: usize = 64;

pub(crate) fn parse<'a>(message: &'a [u8], limits: &Limits) -> Result<Envelope<'a>, EnvelopeError> {
    check_len(message.len(), limits)?;
    let text = core::str::from_utf8(message).map_err(|error| EnvelopeError {
        payload: None,
        field: None,
        fault: EnvelopeFault::NotUtf8 {
            at: error.valid_up_to(),
        },
    })?;
    parse_text(text, limits)
}

pub(crate) fn parse_text<'a>(
    text: &'a str,
    limits: &Limits,
) -> Result<Envelope<'a>, EnvelopeError> {
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

/// What absent metadata are read as, and no metadata written as.
pub(crate) const NO_METADATA: &str = "{}";

/// Characters of base64 that are decoded at a time.
const BLOCK: usize = if cfg!(feature = "std") { 4096 } else { 512 };

/// Decodes into memory of exactly the decoded length.
pub(crate) fn base64_to_vec(text: &str) -> Result<Vec<u8>, EnvelopeFault> {
    let len = decoded_length(text.as_bytes())?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| EnvelopeFault::OutOfMemory { len })?;
    // Block by block, so that zeros are written to a processor's cache and not to memory.
    for (place, block) in text.as_bytes().chunks(BLOCK).enumerate() {
        let start = bytes.len();
        bytes.resize(len.min(start + block.len() / 4 * 3), 0);
        decode_slice(block, &mut bytes[start..], place * BLOCK)?;
    }
    Ok(bytes)
}

/// Decodes into a block of memory, again and again, and passes what is in it to `write`.
pub(crate) fn base64_blocks(
    text: &str,
    write: &mut dyn FnMut(&[u8]) -> Result<(), EnvelopeFault>,
) -> Result<(), EnvelopeFault> {
    let len = decoded_length(text.as_bytes())?;
    let mut out = [0; BLOCK / 4 * 3];
    for (place, block) in text.as_bytes().chunks(BLOCK).enumerate() {
        let start = place * out.len();
        let decoded = &mut out[..len.min(start + block.len() / 4 * 3) - start];
        decode_slice(block, decoded, place * BLOCK)?;
        write(decoded)?;
    }
    Ok(())
}

/// Decodes into the memory of `text`, and returns what is left of it.
pub(crate) fn base64_in_own(text: String) -> Result<Vec<u8>, EnvelopeFault> {
    let mut bytes = text.into_bytes();
    let len = base64_in_place(&mut bytes)?.len();
    bytes.truncate(len);
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Decodes base64 where it stands, and returns the front part of `text` that holds the bytes then.
///
/// Decoding is never ahead of reading: 4 characters become at most 3 bytes. They are taken out in
/// blocks, because the decoder wants its input and output apart.
pub(crate) fn base64_in_place(text: &mut [u8]) -> Result<&[u8], EnvelopeFault> {
    let len = decoded_length(text)?;
    let (mut read, mut written) = (0, 0);
    let mut block = [0; BLOCK];
    while read < text.len() {
        let count = BLOCK.min(text.len() - read);
        block[..count].copy_from_slice(&text[read..read + count]);
        // A block that is padded before the end of the text fills less than its part.
        let end = (written + count / 4 * 3).min(len);
        decode_slice(&block[..count], &mut text[written..end], read)?;
        read += count;
        written = end;
    }
    Ok(&text[..len])
}

/// How many bytes the base64 in `text` stands for, if it is base64.
fn decoded_length(text: &[u8]) -> Result<usize, EnvelopeFault> {
    if !text.len().is_multiple_of(4) {
        return Err(EnvelopeFault::Base64(DecodeError::InvalidLength(
            text.len(),
        )));
    }
    let padding = text
        .iter()
        .rev()
        .take(2)
        .take_while(|byte| **byte == b'=')
        .count();
    Ok(text.len() / 4 * 3 - padding)
}

/// Decodes to exactly all of `out`. `start` is where `text` stands in the whole.
fn decode_slice(text: &[u8], out: &mut [u8], start: usize) -> Result<(), EnvelopeFault> {
    let fault = |error| {
        EnvelopeFault::Base64(match error {
            DecodeSliceError::DecodeError(error) => moved(error, start),
            DecodeSliceError::OutputSliceTooSmall => DecodeError::InvalidPadding,
        })
    };
    match base64_engine().decode_slice(text, out) {
        Ok(len) if len == out.len() => Ok(()),
        Ok(_) => Err(EnvelopeFault::Base64(DecodeError::InvalidPadding)),
        Err(error) => Err(fault(error)),
    }
}

/// An error of a part that stands at `start` in the whole.
fn moved(error: DecodeError, start: usize) -> DecodeError {
    match error {
        DecodeError::InvalidByte(at, byte) => DecodeError::InvalidByte(start + at, byte),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    use base64::engine::general_purpose::STANDARD;

    fn fails(message: &str) -> EnvelopeError {
        parse(message.as_bytes(), &Limits::default()).unwrap_err()
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
            let envelope = parse(message.as_bytes(), &Limits::default()).unwrap();
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
            assert_eq!(parse(message.as_bytes(), &limits).is_ok(), fits, "{len}");
        }
        for (payloads, fits) in [(2, true), (3, true), (4, false)] {
            let message = message("x", payloads);
            assert_eq!(
                parse(message.as_bytes(), &limits).is_ok(),
                fits,
                "{payloads}"
            );
        }
        for (len, fits) in [(399, true), (400, true), (401, false)] {
            let message = message("x", 1);
            let padded = message.clone() + &" ".repeat(len - message.len());
            assert_eq!(parse(padded.as_bytes(), &limits).is_ok(), fits, "{len}");
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
            match parse(message.as_bytes(), &Limits::default()) {
                Ok(envelope) => assert!(fits && envelope.payloads.capacity() <= count.max(64)),
                Err(error) => assert!(
                    !fits && matches!(error.fault, EnvelopeFault::TooManyPayloads { limit: 1000 })
                ),
            }
        }
        for (count, fits) in [(399, true), (400, true), (401, false)] {
            let parsed = parse(message("what", count, len).as_bytes(), &Limits::default()).is_ok();
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

    #[test]
    fn base64_in_place_and_apart_agree() {
        // No block is like another one.
        let bytes: Vec<u8> = (0..251).cycle().take(BLOCK * 3).collect();
        let whole = BLOCK / 4 * 3;
        for len in (0..20)
            .chain(whole - 4..whole + 6)
            .chain(2 * whole - 8..2 * whole + 7)
            .chain([bytes.len()])
        {
            let bytes = &bytes[..len];
            let text = STANDARD.encode(bytes);
            assert!(base64_to_vec(&text).unwrap() == bytes, "{len}");
            assert!(base64_in_own(text.clone()).unwrap() == bytes, "{len}");
            let mut blocks = Vec::new();
            let mut write = |block: &[u8]| {
                blocks.extend_from_slice(block);
                Ok(())
            };
            base64_blocks(&text, &mut write).unwrap();
            assert!(blocks == bytes, "{len}");
            let mut in_place = text.into_bytes();
            assert!(base64_in_place(&mut in_place).unwrap() == bytes, "{len}");
        }
    }

    #[test]
    fn base64_is_strict_wherever_the_fault_is() {
        let long = "A".repeat(BLOCK);
        for text in [
            "A", "AA", "AAA", "AA=A", "=AAA", "====", "A===", "AB==", "AAB=", "AA-_", "AA A",
        ] {
            for text in [
                text.to_string(),
                format!("{long}{text}"),
                format!("{text}{long}"),
                format!("{long}{text}{long}"),
            ] {
                assert!(base64_to_vec(&text).is_err(), "{text}");
                assert!(base64_blocks(&text, &mut |_| Ok(())).is_err(), "{text}");
                assert!(base64_in_place(&mut text.into_bytes()).is_err());
            }
        }
        let inside = format!("{long}AA=={long}");
        assert!(base64_to_vec(&inside).is_err());
        assert!(base64_in_place(&mut inside.into_bytes()).is_err());
        // Padding at the end of a block, where the length of the rest is as it should be.
        let end = format!("{}AA=={long}", &long[4..]);
        assert!(base64_to_vec(&end).is_err());
        assert!(base64_in_place(&mut end.into_bytes()).is_err());
    }

    #[test]
    fn a_byte_that_is_not_base64_is_told_with_its_place_in_the_whole() {
        for at in [0, 1, BLOCK - 1, BLOCK, BLOCK + 2, 2 * BLOCK + 3] {
            let mut text = alloc::vec![b'A'; 2 * BLOCK + 4];
            text[at] = b'-';
            let expected = DecodeError::InvalidByte(at, b'-');
            for result in [
                base64_to_vec(core::str::from_utf8(&text).unwrap()),
                base64_in_place(&mut text.clone()).map(Vec::from),
            ] {
                let fault = result.unwrap_err();
                assert!(
                    matches!(&fault, EnvelopeFault::Base64(error) if *error == expected),
                    "{at}: {fault:?}"
                );
            }
        }
    }
}
