//! A [`Payload`] of one of nine types.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use serde::Serialize;

use super::error::PayloadError;
use super::finite::has_non_finite;
use crate::json;
use crate::stream::{Body, SliceBody, StreamError};

/// The type of a payload, as in `payload_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadType {
    /// UTF-8 text.
    Text,
    /// A JSON value, mostly an object.
    Dictionary,
    /// An Arrow IPC table under its older name, which the Python member writes.
    Table,
    /// An Arrow IPC table.
    ArrowTable,
    /// A JSON array of row objects.
    JsonTable,
    /// A picture in any format.
    Image,
    /// Sound in any format.
    Audio,
    /// Moving pictures in any format.
    Video,
    /// Any bytes.
    Binary,
}

impl PayloadType {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::Dictionary,
        Self::Table,
        Self::ArrowTable,
        Self::JsonTable,
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::Binary,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Dictionary => "dictionary",
            Self::Table => "table",
            Self::ArrowTable => "arrowtable",
            Self::JsonTable => "jsontable",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Binary => "binary",
        }
    }

    /// The type of that name on the wire. Upper and lower case differ.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One typed payload. Its data is borrowed where it can be.
///
/// ```
/// use natsbridge::Payload;
///
/// let note = Payload::text("hello");
/// let reading = Payload::dictionary(&serde_json::json!({"celsius": 21.5}))?;
/// let picture = Payload::Image(vec![0x89, b'P', b'N', b'G'].into());
/// assert_eq!(reading.parse::<serde_json::Value>()?["celsius"], 21.5);
/// assert_eq!((note.len(), picture.len()), (5, 4));
/// # Ok::<(), natsbridge::PayloadError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// UTF-8 text.
    Text(Cow<'a, str>),
    /// A JSON value, mostly an object.
    Dictionary(Json<'a>),
    /// An Arrow IPC table under its older name. The bytes are passed through.
    Table(Cow<'a, [u8]>),
    /// An Arrow IPC table. The bytes are passed through.
    ArrowTable(Cow<'a, [u8]>),
    /// A JSON array of row objects.
    JsonTable(Json<'a>),
    /// A picture in any format.
    Image(Cow<'a, [u8]>),
    /// Sound in any format.
    Audio(Cow<'a, [u8]>),
    /// Moving pictures in any format.
    Video(Cow<'a, [u8]>),
    /// Any bytes.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Payload<'a> {
    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Any bytes.
    pub fn binary(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Binary(bytes.into())
    }

    /// A dictionary from any value that serde can serialize.
    ///
    /// # Errors
    /// [`PayloadError::NotFinite`] if it contains a NaN or an infinity, which JSON does not have, and
    /// [`PayloadError::Serialize`] if it cannot be serialized.
    pub fn dictionary(value: &impl Serialize) -> Result<Self, PayloadError> {
        Json::from_value(value).map(Self::Dictionary)
    }

    /// A table of row objects, from any value that serde can serialize.
    ///
    /// # Errors
    /// As [`dictionary`](Self::dictionary), and [`PayloadError::NotArray`] if it is not an array.
    pub fn json_table(rows: &impl Serialize) -> Result<Self, PayloadError> {
        into_table(Json::from_value(rows)?)
    }

    /// The payload of that type whose serialized bytes are `bytes`, after a check of its
    /// type's rules: UTF-8 of a text, JSON of a dictionary, a JSON array of a JSON table.
    ///
    /// # Errors
    /// [`PayloadError::Utf8`], [`PayloadError::Json`], [`PayloadError::NotArray`].
    pub fn deserialize(kind: PayloadType, bytes: Cow<'a, [u8]>) -> Result<Self, PayloadError> {
        Ok(match kind {
            PayloadType::Text => Self::Text(into_text(bytes)?),
            PayloadType::Dictionary => Self::Dictionary(Json::from_text(into_text(bytes)?)?),
            PayloadType::JsonTable => into_table(Json::from_text(into_text(bytes)?)?)?,
            PayloadType::Table => Self::Table(bytes),
            PayloadType::ArrowTable => Self::ArrowTable(bytes),
            PayloadType::Image => Self::Image(bytes),
            PayloadType::Audio => Self::Audio(bytes),
            PayloadType::Video => Self::Video(bytes),
            PayloadType::Binary => Self::Binary(bytes),
        })
    }

    /// The bytes that are sent: a text's UTF-8, a dictionary's JSON, else the data itself.
    pub fn serialize(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Dictionary(json) | Self::JsonTable(json) => json.as_str().as_bytes(),
            Self::Table(bytes)
            | Self::ArrowTable(bytes)
            | Self::Image(bytes)
            | Self::Audio(bytes)
            | Self::Video(bytes)
            | Self::Binary(bytes) => bytes,
        }
    }

    /// Its type.
    pub fn payload_type(&self) -> PayloadType {
        match self {
            Self::Text(_) => PayloadType::Text,
            Self::Dictionary(_) => PayloadType::Dictionary,
            Self::Table(_) => PayloadType::Table,
            Self::ArrowTable(_) => PayloadType::ArrowTable,
            Self::JsonTable(_) => PayloadType::JsonTable,
            Self::Image(_) => PayloadType::Image,
            Self::Audio(_) => PayloadType::Audio,
            Self::Video(_) => PayloadType::Video,
            Self::Binary(_) => PayloadType::Binary,
        }
    }

    /// The number of serialized bytes, before base64.
    pub fn len(&self) -> usize {
        self.serialize().len()
    }

    /// Whether there are no serialized bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The JSON, if it is a dictionary or a JSON table.
    pub fn as_json(&self) -> Option<&Json<'a>> {
        match self {
            Self::Dictionary(json) | Self::JsonTable(json) => Some(json),
            _ => None,
        }
    }

    /// Reads a dictionary or JSON table into any type that serde can deserialize, such as `serde_json::Value`.
    /// [`as_json`](Self::as_json) has the JSON text, with no number rounded.
    ///
    /// # Errors
    /// [`PayloadError::NotJson`] for the other types, [`PayloadError::Parse`] if the value does not
    /// fit `T`.
    pub fn parse<'de, T: serde::Deserialize<'de>>(&'de self) -> Result<T, PayloadError> {
        match self.as_json() {
            Some(json) => json.parse(),
            None => Err(PayloadError::NotJson(self.payload_type())),
        }
    }

    /// The same payload, which borrows nothing.
    pub fn into_owned(self) -> Payload<'static> {
        let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        match self {
            Self::Text(text) => Payload::Text(Cow::Owned(text.into_owned())),
            Self::Dictionary(json) => Payload::Dictionary(json.into_owned()),
            Self::JsonTable(json) => Payload::JsonTable(json.into_owned()),
            Self::Table(bytes) => Payload::Table(own(bytes)),
            Self::ArrowTable(bytes) => Payload::ArrowTable(own(bytes)),
            Self::Image(bytes) => Payload::Image(own(bytes)),
            Self::Audio(bytes) => Payload::Audio(own(bytes)),
            Self::Video(bytes) => Payload::Video(own(bytes)),
            Self::Binary(bytes) => Payload::Binary(own(bytes)),
        }
    }
}

fn into_text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, PayloadError> {
    Ok(match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(core::str::from_utf8(bytes)?),
        Cow::Owned(bytes) => {
            Cow::Owned(String::from_utf8(bytes).map_err(|error| error.utf8_error())?)
        }
    })
}

fn into_table(json: Json<'_>) -> Result<Payload<'_>, PayloadError> {
    check_table(json.as_str().as_bytes())?;
    Ok(Payload::JsonTable(json))
}

/// Whether JSON is an array: its first character decides.
pub(crate) fn check_table(json: &[u8]) -> Result<(), PayloadError> {
    match json.trim_ascii_start().first() {
        Some(b'[') => Ok(()),
        _ => Err(PayloadError::NotArray),
    }
}

/// What a payload is sent from: a [`Payload`] in memory, a file
/// ([`host::FileSource`](crate::host::FileSource)), or any source that can read its bytes from
/// the start more than once. As a link it is sent in chunks, so that memory does not grow with it; a payload that
/// travels in the message is read as a whole.
pub trait Content {
    /// The type.
    fn payload_type(&self) -> PayloadType;

    /// The number of serialized bytes, before base64.
    fn size(&self) -> u64;

    /// The serialized bytes, if they are in memory.
    fn bytes(&self) -> Option<&[u8]>;

    /// Metadata of the payload's entry, a JSON object. Default: none. See
    /// [`with_metadata`](Self::with_metadata).
    fn metadata(&self) -> Option<&Json<'static>> {
        None
    }

    /// The serialized bytes from their start. Each attempt to send them calls this again.
    ///
    /// # Errors
    /// [`StreamError`] if they cannot be opened.
    fn open(&self) -> Result<Box<dyn Body + '_>, StreamError>;

    /// The same content, with metadata: a JSON object that receivers find in
    /// [`PayloadEntry::metadata_json`](crate::PayloadEntry::metadata_json). The keys `payload_bytes` and
    /// `sha256` are reserved: the send refuses them.
    ///
    /// ```
    /// use natsbridge::{Content, Json, Payload};
    ///
    /// let camera = Json::from_text(r#"{"camera": "north"}"#)?;
    /// let picture = Payload::Image(vec![0x89, b'P', b'N', b'G'].into()).with_metadata(camera);
    /// # Ok::<(), natsbridge::PayloadError>(())
    /// ```
    #[must_use]
    fn with_metadata(self, metadata: Json<'static>) -> WithMetadata<Self>
    where
        Self: Sized,
    {
        WithMetadata {
            content: self,
            metadata,
        }
    }
}

/// A content with metadata: see [`Content::with_metadata`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithMetadata<C> {
    content: C,
    metadata: Json<'static>,
}

impl<C: Content> Content for WithMetadata<C> {
    fn payload_type(&self) -> PayloadType {
        self.content.payload_type()
    }
    fn size(&self) -> u64 {
        self.content.size()
    }
    fn bytes(&self) -> Option<&[u8]> {
        self.content.bytes()
    }
    fn metadata(&self) -> Option<&Json<'static>> {
        Some(&self.metadata)
    }
    fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
        self.content.open()
    }
}

/// `&T`, `Box<T>` and other pointers to contents are contents.
impl<P> Content for P
where
    P: Deref,
    P::Target: Content,
{
    fn payload_type(&self) -> PayloadType {
        (**self).payload_type()
    }
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn bytes(&self) -> Option<&[u8]> {
        (**self).bytes()
    }
    fn metadata(&self) -> Option<&Json<'static>> {
        (**self).metadata()
    }
    fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
        (**self).open()
    }
}

impl Content for Payload<'_> {
    fn payload_type(&self) -> PayloadType {
        self.payload_type()
    }
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn bytes(&self) -> Option<&[u8]> {
        Some(self.serialize())
    }
    fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
        Ok(Box::new(SliceBody::new(self.serialize())))
    }
}

/// A JSON value, kept as its text so that nothing of it is rounded or reordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// The JSON of a value that serde can serialize.
    ///
    /// # Errors
    /// [`PayloadError::NotFinite`], [`PayloadError::Serialize`].
    pub fn from_value(value: &impl Serialize) -> Result<Self, PayloadError> {
        // serde_json writes null for NaN and the infinities: data would change silently.
        if has_non_finite(value) {
            return Err(PayloadError::NotFinite);
        }
        let text =
            serde_json::to_string(value).map_err(|error| PayloadError::Serialize(error.into()))?;
        Ok(Self(Cow::Owned(text)))
    }

    /// A JSON text as it is, after a check. Any depth of nesting passes the check.
    ///
    /// # Errors
    /// [`PayloadError::Json`], with the position and the reason.
    pub fn from_text(text: impl Into<Cow<'a, str>>) -> Result<Self, PayloadError> {
        let text = text.into();
        json::check(&text)?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The members of an object, without its brackets; one of the `reserved` keys is an error.
    pub(crate) fn members(&self, reserved: &[&'static str]) -> Result<&str, PayloadError> {
        let mut found = None;
        json::read_object(&self.0, &mut |key, value| {
            found = found.or(reserved.iter().copied().find(|name| *name == key));
            value.skip().map(drop)
        })
        .map_err(PayloadError::Metadata)?;
        if let Some(key) = found {
            return Err(PayloadError::ReservedMetadata { key });
        }
        let object = self.0.trim_ascii();
        let members = object
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        Ok(members.unwrap_or_default().trim_ascii())
    }

    /// Reads it into any type that serde can deserialize.
    ///
    /// # Errors
    /// [`PayloadError::Parse`], also for a nesting of more than 128, which serde_json refuses.
    pub fn parse<'de, T: serde::Deserialize<'de>>(&'de self) -> Result<T, PayloadError> {
        serde_json::from_str(&self.0).map_err(|error| PayloadError::Parse(error.into()))
    }

    /// The same JSON, which borrows nothing.
    pub fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    #[test]
    fn names_are_the_wire_contract_s() {
        for kind in PayloadType::ALL {
            assert_eq!(PayloadType::from_name(kind.as_str()), Some(kind));
            let payload = Payload::deserialize(kind, Cow::Borrowed(b"[]")).unwrap();
            assert_eq!(payload.payload_type(), kind);
            assert_eq!(payload.clone().into_owned(), payload);
            assert_eq!(payload.serialize(), b"[]");
        }
        for name in ["", "Text", "json", "text "] {
            assert_eq!(PayloadType::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_json_table_is_an_array() {
        for (text, is_table) in [
            ("[]", true),
            (" \n[{\"a\": 1}]", true),
            ("[1]", true),
            ("{}", false),
            ("1", false),
            ("\"[]\"", false),
            ("null", false),
        ] {
            let read = Payload::deserialize(PayloadType::JsonTable, text.as_bytes().into());
            assert_eq!(read.is_ok(), is_table, "{text}");
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let made = Payload::json_table(&value);
            assert_eq!(made.is_ok(), is_table, "{text}");
            assert!(is_table || matches!(made, Err(PayloadError::NotArray)));
        }
    }

    #[test]
    fn metadata_are_an_object_without_the_keys_of_the_library() {
        for (text, members) in [
            ("{}", Some("")),
            (
                " { \"a\": {\"sha256\": 1} } ",
                Some("\"a\": {\"sha256\": 1}"),
            ),
            ("[]", None),
            ("1", None),
            ("{\"sha256\": 1}", None),
            ("{\"a\": 1, \"sha\\u003256\": 1}", None),
            ("{\"\\ud800\": 1}", None),
        ] {
            let json = Json::from_text(text).unwrap();
            assert_eq!(json.members(&["sha256"]).ok(), members, "{text}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_say_are_refused_wherever_they_stand() {
        #[derive(serde::Serialize)]
        struct Reading {
            name: &'static str,
            value: Option<f32>,
        }
        let bad = Reading {
            name: "t",
            value: Some(f32::NAN),
        };
        assert!(matches!(
            Payload::dictionary(&bad),
            Err(PayloadError::NotFinite)
        ));
        let nested = BTreeMap::from([("a", vec![(1.0, f64::INFINITY)])]);
        assert!(matches!(
            Payload::dictionary(&nested),
            Err(PayloadError::NotFinite)
        ));
        let good = Reading {
            name: "t",
            value: None,
        };
        let payload = Payload::dictionary(&good).unwrap();
        assert_eq!(payload.serialize(), br#"{"name":"t","value":null}"#);
        let keys = BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(
            Payload::dictionary(&keys),
            Err(PayloadError::Serialize(_))
        ));
    }

    #[test]
    fn json_is_checked_and_kept_as_it_is() {
        let text = r#"{"n": 12345678901234567890123, "f": 1.50}"#;
        assert_eq!(Json::from_text(text).unwrap().as_str(), text);
        for bad in ["", "{", "[1,]", "NaN", "01", "{} x", "\u{feff}{}"] {
            assert!(Json::from_text(bad).is_err(), "{bad:?}");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let json = Json::from_text(deep).unwrap();
        assert!(json.parse::<serde_json::Value>().is_err());
    }

    #[test]
    fn only_json_can_be_parsed() {
        let error = Payload::text("1").parse::<u8>().unwrap_err();
        assert!(matches!(error, PayloadError::NotJson(PayloadType::Text)));
        assert_eq!(Payload::dictionary(&7).unwrap().parse::<u8>().unwrap(), 7);
    }
}
