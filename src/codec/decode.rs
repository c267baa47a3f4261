//! Bytes to envelope, and base64 to bytes.
//!
//! serde_json tells values apart; the visitors here know the wire contract and remember where they
//! are, so that a refusal names the payload and the field.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::{DecodeError, DecodeSliceError, Engine as _};
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::base64_engine;
use crate::envelope::{Data, Envelope, EnvelopeError, EnvelopeFault, PayloadEntry};
use crate::error::PayloadRef;
use crate::options::Limits;

/// So many payloads a message may have in any case, and one more for each of so many of its bytes.
/// An opened payload takes 272 bytes beside its texts and data: a message of many tiny ones would
/// take several times its length. What the members write for a payload is 170 bytes and more.
const FREE_PAYLOADS: usize = 400;
const BYTES_PER_PAYLOAD: usize = 136;
/// Up to this many payloads are read without counting them first.
const FEW_PAYLOADS: usize = 64;

pub(crate) fn parse<'a>(message: &'a [u8], limits: &Limits) -> Result<Envelope<'a>, EnvelopeError> {
    let mut place = Place::new(limits, message.len());
    if message.len() > limits.max_message_size {
        return Err(place.error(EnvelopeFault::MessageTooLarge {
            len: message.len(),
            limit: limits.max_message_size,
        }));
    }
    let text = match core::str::from_utf8(message) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            return Err(place.error(EnvelopeFault::NotUtf8 { at }));
        }
    };
    // Memory is taken for exactly as many entries as there are: a Vec that grows has up to three
    // times of that in use for a moment. Each entry, and the envelope, has at least one brace.
    let braces = text.bytes().filter(|byte| *byte == b'{').count();
    if braces > FEW_PAYLOADS {
        place.counts_only = true;
        if let Err(error) = read(text, &mut place) {
            return Err(place.into_error(error));
        }
        let payloads = place.payloads;
        place = Place::new(limits, message.len());
        place.payloads = payloads;
    }
    read(text, &mut place).map_err(|error| place.into_error(error))
}

fn read<'a>(text: &'a str, place: &mut Place<'_>) -> serde_json::Result<Envelope<'a>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let envelope = EnvelopeSeed(place).deserialize(&mut json)?;
    json.end().map(|()| envelope)
}

/// Where in the message the reader is, and what is wrong there if serde_json cannot say it.
struct Place<'l> {
    limits: &'l Limits,
    max_payloads: usize,
    /// The number of payloads, once they have been counted.
    payloads: usize,
    /// How many payloads of unknown type or transport there have been.
    unknown: usize,
    /// Whether payloads are checked and counted, but not kept.
    counts_only: bool,
    payload: Option<PayloadRef>,
    field: Option<&'static str>,
    fault: Option<EnvelopeFault>,
}

impl<'l> Place<'l> {
    fn new(limits: &'l Limits, message_len: usize) -> Self {
        let bearable = FREE_PAYLOADS + message_len / BYTES_PER_PAYLOAD;
        Self {
            limits,
            max_payloads: limits.max_payloads.min(bearable),
            payloads: 0,
            unknown: 0,
            counts_only: false,
            payload: None,
            field: None,
            fault: None,
        }
    }

    fn error(&mut self, fault: EnvelopeFault) -> EnvelopeError {
        EnvelopeError {
            payload: self.payload.take(),
            field: self.field,
            fault,
        }
    }

    fn into_error(mut self, error: serde_json::Error) -> EnvelopeError {
        let fault = self.fault.take().unwrap_or(EnvelopeFault::Json(error));
        self.error(fault)
    }

    /// Stops the reader at `fault`.
    fn stop<E: serde::de::Error>(&mut self, fault: EnvelopeFault) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    /// The reader is at the value of `field`, and must not have been there before.
    fn enter<E: serde::de::Error>(&mut self, field: &'static str, again: bool) -> Result<(), E> {
        self.field = Some(field);
        if again {
            return Err(self.stop(EnvelopeFault::Duplicate));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.field = None;
    }

    /// A payload that nobody can open is no reason to refuse the others. But it may be shorter than
    /// what it takes of memory, so there may not be many.
    fn check_names<E: serde::de::Error>(&mut self, entry: &PayloadEntry<'_>) -> Result<(), E> {
        let Err(error) = entry.payload_type().and_then(|_| entry.transport()) else {
            return Ok(());
        };
        self.unknown += 1;
        if self.unknown > FREE_PAYLOADS {
            self.field = error.field;
            return Err(self.stop(error.fault));
        }
        Ok(())
    }

    /// Memory for the payloads that have been counted.
    fn room<'de, E: serde::de::Error>(&mut self) -> Result<Vec<PayloadEntry<'de>>, E> {
        let mut payloads = Vec::new();
        let len = self.payloads * size_of::<PayloadEntry<'_>>();
        match payloads.try_reserve_exact(self.payloads) {
            Ok(()) => Ok(payloads),
            Err(_) => Err(self.stop(EnvelopeFault::OutOfMemory { len })),
        }
    }

    /// A value that must have been given.
    fn require<T, E: serde::de::Error>(
        &mut self,
        field: &'static str,
        value: Option<T>,
    ) -> Result<T, E> {
        value.ok_or_else(|| {
            self.field = Some(field);
            self.stop(EnvelopeFault::Missing)
        })
    }

    fn check_text<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        let (len, limit) = (text.len(), self.limits.max_name_len);
        if len > limit {
            return Err(self.stop(EnvelopeFault::TextTooLong { len, limit }));
        }
        Ok(())
    }

    /// A text of limited length that is required, or may be absent or null.
    fn text<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        required: bool,
    ) -> Result<Cow<'de, str>, A::Error> {
        let text = if required {
            map.next_value::<Text<'de>>()?.0
        } else {
            map.next_value::<Option<Text<'de>>>()?.unwrap_or_default().0
        };
        self.check_text(&text)?;
        Ok(text)
    }

    /// The text of a JSON object that may be null.
    fn object<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<Cow<'de, str>, A::Error> {
        let value = map.next_value::<Option<&'de RawValue>>()?;
        match value.map(RawValue::get) {
            None => Ok(Cow::Borrowed(NO_METADATA)),
            Some(text) if text.starts_with('{') => Ok(Cow::Borrowed(text)),
            Some(_) => Err(A::Error::custom("expected an object")),
        }
    }
}

/// A text that is borrowed unless it has escapes.
#[derive(Default)]
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(String::from(text))))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text)))
    }
}

struct EnvelopeSeed<'p, 'l>(&'p mut Place<'l>);

impl<'de> DeserializeSeed<'de> for EnvelopeSeed<'_, '_> {
    type Value = Envelope<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeSeed<'_, '_> {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let place = self.0;
        let mut envelope = Envelope {
            metadata: Cow::Borrowed(NO_METADATA),
            ..Envelope::default()
        };
        let mut seen = Vec::with_capacity(14);
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let Some(field) = known(&ENVELOPE_FIELDS, &key.0) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            place.enter(field, seen.contains(&field))?;
            seen.push(field);
            match field {
                "metadata" => envelope.metadata = place.object(&mut map)?,
                "payloads" => envelope.payloads = map.next_value_seed(PayloadsSeed(place))?,
                _ => {
                    let text = place.text(&mut map, field == "correlation_id")?;
                    *text_field(&mut envelope, field) = text;
                }
            }
            place.leave();
        }
        for field in ["correlation_id", "payloads"] {
            place.require(field, seen.contains(&field).then_some(()))?;
        }
        Ok(envelope)
    }
}

/// What absent metadata are read as, and no metadata written as.
pub(crate) const NO_METADATA: &str = "{}";

const ENVELOPE_FIELDS: [&str; 14] = [
    "correlation_id",
    "msg_id",
    "timestamp",
    "send_to",
    "msg_purpose",
    "sender_name",
    "sender_id",
    "receiver_name",
    "receiver_id",
    "reply_to",
    "reply_to_msg_id",
    "broker_url",
    "metadata",
    "payloads",
];

const PAYLOAD_FIELDS: [&str; 8] = [
    "id",
    "dataname",
    "payload_type",
    "transport",
    "encoding",
    "size",
    "data",
    "metadata",
];

fn known<'f>(fields: &[&'f str], key: &str) -> Option<&'f str> {
    fields.iter().copied().find(|field| *field == key)
}

fn text_field<'e, 'de>(envelope: &'e mut Envelope<'de>, field: &str) -> &'e mut Cow<'de, str> {
    match field {
        "correlation_id" => &mut envelope.correlation_id,
        "msg_id" => &mut envelope.msg_id,
        "timestamp" => &mut envelope.timestamp,
        "send_to" => &mut envelope.send_to,
        "msg_purpose" => &mut envelope.msg_purpose,
        "sender_name" => &mut envelope.sender_name,
        "sender_id" => &mut envelope.sender_id,
        "receiver_name" => &mut envelope.receiver_name,
        "receiver_id" => &mut envelope.receiver_id,
        "reply_to" => &mut envelope.reply_to,
        "reply_to_msg_id" => &mut envelope.reply_to_msg_id,
        _ => &mut envelope.broker_url,
    }
}

struct PayloadsSeed<'p, 'l>(&'p mut Place<'l>);

impl<'de> DeserializeSeed<'de> for PayloadsSeed<'_, '_> {
    type Value = Vec<PayloadEntry<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PayloadsSeed<'_, '_> {
    type Value = Vec<PayloadEntry<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of payloads")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let place = self.0;
        let mut payloads = place.room()?;
        let mut index = 0;
        while let Some(entry) = seq.next_element_seed(EntrySeed { place, index })? {
            index += 1;
            if !place.counts_only {
                payloads.push(entry);
            }
        }
        place.payloads = index;
        Ok(payloads)
    }
}

struct EntrySeed<'p, 'l> {
    place: &'p mut Place<'l>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_, '_> {
    type Value = PayloadEntry<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let limit = self.place.max_payloads;
        if self.index >= limit {
            return Err(self.place.stop(EnvelopeFault::TooManyPayloads { limit }));
        }
        self.place.payload = Some(PayloadRef::new(self.index, ""));
        self.place.leave();
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed<'_, '_> {
    type Value = PayloadEntry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a payload, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let place = self.place;
        let mut fields = EntryFields::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match known(&PAYLOAD_FIELDS, &key.0) {
                Some(field) => fields.read(field, &mut map, place)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            place.leave();
        }
        let entry = fields.finish(self.index, place)?;
        place.check_names(&entry)?;
        place.payload = None;
        place.field = Some("payloads");
        Ok(entry)
    }
}

/// The fields of a payload that have been read so far.
#[derive(Default)]
struct EntryFields<'de> {
    id: Option<Cow<'de, str>>,
    dataname: Option<Cow<'de, str>>,
    payload_type: Option<Cow<'de, str>>,
    transport: Option<Cow<'de, str>>,
    encoding: Option<Cow<'de, str>>,
    size: Option<Option<u64>>,
    data: Option<Cow<'de, str>>,
    metadata: Option<Cow<'de, str>>,
}

impl<'de> EntryFields<'de> {
    fn read<A: MapAccess<'de>>(
        &mut self,
        field: &'static str,
        map: &mut A,
        place: &mut Place<'_>,
    ) -> Result<(), A::Error> {
        place.enter(field, self.has(field))?;
        match field {
            "id" => self.id = Some(place.text(map, false)?),
            "dataname" => {
                let name = place.text(map, true)?;
                if let Some(payload) = &mut place.payload {
                    payload.dataname = String::from(&*name);
                }
                self.dataname = Some(name);
            }
            "payload_type" => self.payload_type = Some(place.text(map, true)?),
            "transport" => self.transport = Some(place.text(map, true)?),
            "encoding" => self.encoding = Some(place.text(map, false)?),
            "size" => self.size = Some(map.next_value()?),
            "data" => self.data = Some(map.next_value::<Text<'de>>()?.0),
            _ => self.metadata = Some(place.object(map)?),
        }
        Ok(())
    }

    fn has(&self, field: &str) -> bool {
        match field {
            "id" => self.id.is_some(),
            "dataname" => self.dataname.is_some(),
            "payload_type" => self.payload_type.is_some(),
            "transport" => self.transport.is_some(),
            "encoding" => self.encoding.is_some(),
            "size" => self.size.is_some(),
            "data" => self.data.is_some(),
            _ => self.metadata.is_some(),
        }
    }

    fn finish<E: serde::de::Error>(
        self,
        index: usize,
        place: &mut Place<'_>,
    ) -> Result<PayloadEntry<'de>, E> {
        Ok(PayloadEntry {
            index,
            id: self.id.unwrap_or_default(),
            dataname: place.require("dataname", self.dataname)?,
            type_name: place.require("payload_type", self.payload_type)?,
            transport_name: place.require("transport", self.transport)?,
            encoding: self.encoding.unwrap_or_default(),
            size: self.size.flatten(),
            data: Data::Text(place.require("data", self.data)?),
            metadata: self.metadata.unwrap_or(Cow::Borrowed(NO_METADATA)),
        })
    }
}

/// Decodes into memory of exactly the decoded length.
pub(crate) fn base64_to_vec(text: &str) -> Result<Vec<u8>, EnvelopeFault> {
    let len = decoded_length(text.as_bytes())?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| EnvelopeFault::OutOfMemory { len })?;
    bytes.resize(len, 0);
    decode_slice(text.as_bytes(), &mut bytes, 0)?;
    Ok(bytes)
}

/// Decodes into the memory of `text`, and gives back what is left of it.
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
    const BLOCK: usize = 512;
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
                "field `correlation_id`: it cannot be read",
            ),
            (
                r#"{"msg_id":"","msg_id":""}"#.to_string(),
                "field `msg_id`: it is given twice",
            ),
            (
                r#"{"metadata":[]}"#.to_string(),
                "field `metadata`: it cannot be read",
            ),
            (of("{}"), "field `payloads`: it cannot be read"),
            (of("[3]"), "payload 0 ``: it cannot be read"),
            (
                of(&format!("[{good},{{}}]")),
                "payload 1 ``: field `dataname`: it is missing",
            ),
            (
                of(&format!("[{good},]")),
                "field `payloads`: it cannot be read",
            ),
            (
                of(r#"[{"dataname":"n","payload_type":7}]"#),
                "payload 0 `n`: field `payload_type`: it cannot be read",
            ),
            (
                of(r#"[{"dataname":"n","size":-1}]"#),
                "payload 0 `n`: field `size`: it cannot be read",
            ),
            (
                of(r#"[{"dataname":"n","data":"","data":""}]"#),
                "payload 0 `n`: field `data`: it is given twice",
            ),
            ("[]".to_string(), "it cannot be read"),
            ("{} x".to_string(), "field `correlation_id`: it is missing"),
            (of("[]") + "x", "it cannot be read"),
        ] {
            let shown = fails(&message).to_string();
            assert!(shown.starts_with(words), "{message}: {shown}");
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
    fn base64_in_place_and_apart_agree() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1200).collect();
        for len in (0..20).chain(380..390).chain(760..775).chain([1200]) {
            let bytes = &bytes[..len];
            let mut text = STANDARD.encode(bytes);
            assert_eq!(base64_to_vec(&text).unwrap(), bytes);
            let mut in_place = core::mem::take(&mut text).into_bytes();
            assert_eq!(base64_in_place(&mut in_place).unwrap(), bytes);
        }
    }

    #[test]
    fn base64_is_strict_wherever_the_fault_is() {
        let long = "A".repeat(512);
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
                assert!(base64_in_place(&mut text.into_bytes()).is_err());
            }
        }
        let inside = format!("{long}AA=={long}");
        assert!(base64_to_vec(&inside).is_err());
        assert!(base64_in_place(&mut inside.into_bytes()).is_err());
    }
}
