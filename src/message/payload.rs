//! What is sent and received: a [`Payload`] of one of nine types.

use super::content::{Content, Stream};
use super::error::PayloadError;
use super::json_text::Json;
use super::payload_type::PayloadType;
use crate::stream::{Body, SliceBody, StreamError, read_to_vec};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

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
/// # Ok::<(), natsbridge::Error>(())
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
    /// Of any type, to be read when it is sent: see [`stream`](Self::stream). Never in a received message.
    Stream(Stream),
    /// Of any type, to be sent with metadata: see [`with_metadata`](Self::with_metadata). Never in a
    /// received message, whose metadata stand in its [`PayloadEntry`](crate::PayloadEntry).
    WithMetadata(WithMetadata<'a>),
}

/// A payload with metadata of its own; made by [`Payload::with_metadata`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithMetadata<'a>(Box<(Payload<'a>, Json<'static>)>);

impl<'a> WithMetadata<'a> {
    fn new(payload: Payload<'a>, metadata: Json<'static>) -> Self {
        Self(Box::new((payload, metadata)))
    }

    fn payload(&self) -> &Payload<'a> {
        &self.0.0
    }

    fn metadata(&self) -> &Json<'static> {
        &self.0.1
    }

    fn into_parts(self) -> (Payload<'a>, Json<'static>) {
        *self.0
    }
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
    #[cfg(feature = "serde")]
    pub fn dictionary(value: &impl serde::Serialize) -> Result<Self, PayloadError> {
        Json::from_value(value).map(Self::Dictionary)
    }

    /// A table of row objects, from any value that serde can serialize.
    ///
    /// # Errors
    /// As [`dictionary`](Self::dictionary), and [`PayloadError::NotArray`] if it is not an array.
    #[cfg(feature = "serde")]
    pub fn json_table(rows: &impl serde::Serialize) -> Result<Self, PayloadError> {
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

    /// A payload whose bytes are read when it is sent, in chunks if it becomes a link, so that memory does
    /// not grow with it; what travels in the message is read as a whole. On hosts [`Payload::file`] is one.
    ///
    /// Whether the bytes are what their type demands (UTF-8 of a text, JSON of a dictionary) is checked only
    /// if they travel in the message; else the receiver does. For an example see
    /// [`Content`](crate::adapter::Content).
    pub fn stream(content: impl Content + Send + Sync + 'static) -> Self {
        Self::Stream(Stream::new(content))
    }

    /// The same payload, with metadata: a JSON object that receivers find in
    /// [`PayloadEntry::metadata_json`](crate::PayloadEntry::metadata_json). The keys `payload_bytes` and
    /// `sha256` are the library's own, and refused by the send. Replaces earlier metadata.
    ///
    /// ```
    /// use natsbridge::{Json, Payload};
    ///
    /// let camera = Json::from_text(r#"{"camera": "north"}"#)?;
    /// let picture = Payload::Image(vec![0x89, b'P', b'N', b'G'].into()).with_metadata(camera);
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    #[must_use]
    pub fn with_metadata(self, metadata: Json<'static>) -> Self {
        let payload = match self {
            Self::WithMetadata(with) => with.into_parts().0,
            payload => payload,
        };
        Self::WithMetadata(WithMetadata::new(payload, metadata))
    }

    /// The metadata that [`with_metadata`](Self::with_metadata) set.
    pub fn metadata(&self) -> Option<&Json<'static>> {
        match self {
            Self::WithMetadata(with) => Some(with.metadata()),
            _ => None,
        }
    }

    /// The bytes that are sent: a text's UTF-8, a dictionary's JSON, else the data itself. A stream is read
    /// into memory as a whole; see [`as_bytes`](Self::as_bytes) too.
    ///
    /// ```
    /// use natsbridge::Payload;
    ///
    /// assert_eq!(*Payload::text("hi").serialize()?, *b"hi");
    /// # Ok::<(), natsbridge::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`PayloadError::Stream`] if a stream cannot be read; never for what is in memory.
    pub fn serialize(&self) -> Result<Cow<'_, [u8]>, PayloadError> {
        if let Some(bytes) = self.as_bytes() {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = Vec::new();
        read_to_vec(&mut self.open()?, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    /// The serialized bytes, if they are in memory, as those of a received payload always are.
    ///
    /// ```
    /// use natsbridge::Payload;
    ///
    /// assert_eq!(Payload::text("hi").as_bytes(), Some(&b"hi"[..]));
    /// ```
    pub fn as_bytes(&self) -> Option<&[u8]> {
        Some(match self {
            Self::Text(text) => text.as_bytes(),
            Self::Dictionary(json) | Self::JsonTable(json) => json.as_str().as_bytes(),
            Self::Table(bytes)
            | Self::ArrowTable(bytes)
            | Self::Image(bytes)
            | Self::Audio(bytes)
            | Self::Video(bytes)
            | Self::Binary(bytes) => bytes,
            Self::Stream(_) => return None,
            Self::WithMetadata(with) => return with.payload().as_bytes(),
        })
    }

    /// The serialized bytes from their start.
    pub(crate) fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
        match self {
            Self::Stream(stream) => stream.content().open(),
            Self::WithMetadata(with) => with.payload().open(),
            _ => Ok(Box::new(SliceBody::new(
                self.as_bytes().unwrap_or_default(),
            ))),
        }
    }

    /// The number of serialized bytes, before base64.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Stream(stream) => stream.content().size(),
            Self::WithMetadata(with) => with.payload().size(),
            _ => self.as_bytes().map_or(0, <[u8]>::len) as u64,
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
            Self::Stream(stream) => stream.content().payload_type(),
            Self::WithMetadata(with) => with.payload().payload_type(),
        }
    }

    /// The number of serialized bytes, before base64. Of a stream that is longer than memory can be,
    /// [`usize::MAX`].
    pub fn len(&self) -> usize {
        usize::try_from(self.size()).unwrap_or(usize::MAX)
    }

    /// Whether there are no serialized bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::WithMetadata(with) => with.payload().as_text(),
            _ => None,
        }
    }

    /// The JSON, if it is a dictionary or a JSON table.
    pub fn as_json(&self) -> Option<&Json<'a>> {
        match self {
            Self::Dictionary(json) | Self::JsonTable(json) => Some(json),
            Self::WithMetadata(with) => with.payload().as_json(),
            _ => None,
        }
    }

    /// Reads a dictionary or JSON table into any type that serde can deserialize, such as `serde_json::Value`.
    /// [`as_json`](Self::as_json) has the JSON text, with no number rounded.
    ///
    /// # Errors
    /// [`PayloadError::NotJson`] for the other types, [`PayloadError::Parse`] if the value does not
    /// fit `T`.
    #[cfg(feature = "serde")]
    pub fn parse<'de, T: serde::Deserialize<'de>>(&'de self) -> Result<T, PayloadError> {
        match self.as_json() {
            Some(json) => json.parse(),
            None => Err(PayloadError::NotJson(self.payload_type())),
        }
    }

    /// The same payload, which borrows its data from this one: to send it under a name once more.
    ///
    /// ```
    /// use natsbridge::Payload;
    ///
    /// let payload = Payload::text(String::from("hi"));
    /// let list = [("one", payload.by_ref()), ("two", payload.by_ref())];
    /// assert_eq!(list[0].1, list[1].1);
    /// ```
    pub fn by_ref(&self) -> Payload<'_> {
        match self {
            Self::Text(text) => Payload::Text(Cow::Borrowed(text)),
            Self::Dictionary(json) => Payload::Dictionary(json.by_ref()),
            Self::JsonTable(json) => Payload::JsonTable(json.by_ref()),
            Self::Table(bytes) => Payload::Table(Cow::Borrowed(bytes)),
            Self::ArrowTable(bytes) => Payload::ArrowTable(Cow::Borrowed(bytes)),
            Self::Image(bytes) => Payload::Image(Cow::Borrowed(bytes)),
            Self::Audio(bytes) => Payload::Audio(Cow::Borrowed(bytes)),
            Self::Video(bytes) => Payload::Video(Cow::Borrowed(bytes)),
            Self::Binary(bytes) => Payload::Binary(Cow::Borrowed(bytes)),
            Self::Stream(stream) => Payload::Stream(stream.clone()),
            Self::WithMetadata(with) => {
                let metadata = with.metadata().clone();
                with.payload().by_ref().with_metadata(metadata)
            }
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
            Self::Stream(stream) => Payload::Stream(stream),
            Self::WithMetadata(with) => {
                let (payload, metadata) = with.into_parts();
                payload.into_owned().with_metadata(metadata)
            }
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
            assert_eq!(payload.as_bytes(), Some(&b"[]"[..]));
            assert_eq!(payload.by_ref(), payload);
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
        assert_eq!(
            *payload.serialize().unwrap(),
            *br#"{"name":"t","value":null}"#
        );
        let keys = BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(
            Payload::dictionary(&keys),
            Err(PayloadError::Serialize(_))
        ));
    }

    #[test]
    fn only_json_can_be_parsed() {
        let error = Payload::text("1").parse::<u8>().unwrap_err();
        assert!(matches!(error, PayloadError::NotJson(PayloadType::Text)));
        assert_eq!(Payload::dictionary(&7).unwrap().parse::<u8>().unwrap(), 7);
    }
}
