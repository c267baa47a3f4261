//! A second decoder, as plain as can be: serde_json and base64 as they come, every field looked up in
//! a list. Slow, and short enough to be checked by reading.
//!
//! Where a plain decoder would do something else than the wire contract, the contract's rule is
//! written out here: a known field is given once; `size`, where given, is true; texts other than
//! `data` have a limit, and so has the number of payloads; base64 is canonical. What a dictionary's
//! text says is not looked into beyond its grammar, so a depth, a number or a surrogate that
//! `serde_json::Value` cannot hold may pass.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use natsbridge::adapter::MAX_SUBJECT_LEN;
use natsbridge::{Data, Envelope, Limits, PayloadEntry};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

const TEXTS: [&str; 12] = [
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
];
const TYPES: [&str; 9] = [
    "text",
    "dictionary",
    "table",
    "arrowtable",
    "jsontable",
    "image",
    "audio",
    "video",
    "binary",
];

/// An object with its keys in order, those that are there twice included.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

impl<'a> Fields<'a> {
    /// The value of a field; `Err` if it is there twice.
    fn get(&self, name: &str) -> Result<Option<&'a str>, ()> {
        let mut found = self.0.iter().filter(|(key, _)| key == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(()),
            (field, None) => Ok(field.map(|(_, value)| value.get())),
        }
    }

    fn text(&self, name: &str, required: bool) -> Result<String, ()> {
        let text = match self.get(name)? {
            None if required => return Err(()),
            None => String::new(),
            Some(json) if required => parse::<String>(json)?,
            Some(json) => parse::<Option<String>>(json)?.unwrap_or_default(),
        };
        let limit = match name {
            "send_to" | "reply_to" | "broker_url" => MAX_SUBJECT_LEN,
            _ => Limits::default().max_name_len,
        };
        if name != "data" && text.len() > limit {
            return Err(());
        }
        Ok(text)
    }

    fn object(&self, name: &str) -> Result<String, ()> {
        match self.get(name)? {
            None | Some("null") => Ok("{}".to_string()),
            Some(json) if json.starts_with('{') => Ok(json.to_string()),
            Some(_) => Err(()),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ()> {
    serde_json::from_str(json).map_err(drop)
}

struct Plain {
    texts: Vec<String>,
    metadata: String,
    payloads: Vec<PlainEntry>,
}

struct PlainEntry {
    id: String,
    dataname: String,
    type_name: String,
    transport: String,
    encoding: String,
    size: Option<u64>,
    data: String,
    metadata: String,
}

fn decode(message: &[u8]) -> Result<Plain, ()> {
    let text = std::str::from_utf8(message).map_err(drop)?;
    let fields: Fields<'_> = parse(text)?;
    let text = |name: &&str| fields.text(name, *name == "correlation_id");
    let entries: Vec<&RawValue> = parse(fields.get("payloads")?.ok_or(())?)?;
    if entries.len() > 400 + message.len() / 136 {
        return Err(());
    }
    let entry = |json: &&RawValue| decode_entry(&parse(json.get())?);
    Ok(Plain {
        texts: TEXTS.iter().map(text).collect::<Result<_, _>>()?,
        metadata: fields.object("metadata")?,
        payloads: entries.iter().map(entry).collect::<Result<_, _>>()?,
    })
}

fn decode_entry(fields: &Fields<'_>) -> Result<PlainEntry, ()> {
    let size = match fields.get("size")? {
        Some(json) => parse(json)?,
        None => None,
    };
    Ok(PlainEntry {
        id: fields.text("id", false)?,
        dataname: fields.text("dataname", true)?,
        type_name: fields.text("payload_type", true)?,
        transport: fields.text("transport", true)?,
        encoding: fields.text("encoding", false)?,
        size,
        data: fields.text("data", true)?,
        metadata: fields.object("metadata")?,
    })
}

/// What becomes of a direct payload.
enum Opened {
    Bytes(Vec<u8>),
    /// Whether it is refused is left open; if it is not, these are the bytes.
    Either(Vec<u8>),
    Refused,
}

impl PlainEntry {
    fn open(&self) -> Opened {
        let is_known = TYPES.contains(&self.type_name.as_str());
        let Ok(bytes) = STANDARD.decode(&self.data) else {
            return Opened::Refused;
        };
        let is_true = self.size.is_none_or(|size| size == bytes.len() as u64);
        if !is_known || !is_true || self.transport != "direct" {
            return Opened::Refused;
        }
        match (self.type_name.as_str(), std::str::from_utf8(&bytes)) {
            ("text" | "dictionary" | "jsontable", Err(_)) => Opened::Refused,
            ("jsontable", Ok(text)) if !text.trim_start().starts_with('[') => Opened::Refused,
            ("dictionary" | "jsontable", Ok(text)) => match serde_json::from_str::<Value>(text) {
                Ok(_) => Opened::Bytes(bytes),
                Err(error) if is_beyond_a_value(&error) => Opened::Either(bytes),
                Err(_) => Opened::Refused,
            },
            _ => Opened::Bytes(bytes),
        }
    }
}

/// JSON by its grammar, but a `Value` cannot hold it.
fn is_beyond_a_value(error: &serde_json::Error) -> bool {
    let words = error.to_string();
    [
        "recursion limit",
        "number out of range",
        "lone leading surrogate",
        "unexpected end of hex escape",
    ]
    .iter()
    .any(|start| words.starts_with(start))
}

/// Both decoders give the same verdict on any bytes, and the same fields and data.
pub fn agrees(message: &[u8]) {
    let ours = Envelope::parse(message, &Limits::default());
    match (ours, decode(message)) {
        (Ok(ours), Ok(plain)) => compare(&ours, &plain),
        (Err(_), Err(())) => {}
        (ours, plain) => panic!("ours {ours:?}, the plain one {}", plain.is_ok()),
    }
}

fn compare(ours: &Envelope<'_>, plain: &Plain) {
    let texts = [
        &ours.correlation_id,
        &ours.msg_id,
        &ours.timestamp,
        &ours.send_to,
        &ours.msg_purpose,
        &ours.sender_name,
        &ours.sender_id,
        &ours.receiver_name,
        &ours.receiver_id,
        &ours.reply_to,
        &ours.reply_to_msg_id,
        &ours.broker_url,
    ];
    assert!(texts.into_iter().eq(&plain.texts), "{ours:?}");
    assert_eq!(ours.metadata, plain.metadata);
    assert_eq!(ours.payloads.len(), plain.payloads.len());
    for (ours, plain) in ours.payloads.iter().zip(&plain.payloads) {
        compare_entries(ours, plain);
    }
}

fn compare_entries(ours: &PayloadEntry<'_>, plain: &PlainEntry) {
    for (ours, plain) in [
        (&ours.id, &plain.id),
        (&ours.dataname, &plain.dataname),
        (&ours.type_name, &plain.type_name),
        (&ours.transport_name, &plain.transport),
        (&ours.encoding, &plain.encoding),
        (&ours.metadata, &plain.metadata),
    ] {
        assert_eq!(ours, plain);
    }
    assert_eq!(ours.size, plain.size);
    assert_eq!(ours.data, Data::Text(plain.data.as_str().into()));
    match (ours.open(), plain.open()) {
        (Ok(ours), Opened::Bytes(bytes) | Opened::Either(bytes)) => {
            assert_eq!(ours.as_bytes(), Some(&*bytes));
            assert_eq!(ours.payload_type().as_str(), plain.type_name);
        }
        (Err(_), Opened::Refused | Opened::Either(_)) => {}
        (Ok(ours), Opened::Refused) => panic!("should be refused: {ours:?}"),
        (Err(error), Opened::Bytes(_)) => panic!("should be read: {error:?}"),
    }
}
