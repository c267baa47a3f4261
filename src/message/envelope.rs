//! The wire contract as types: the fields of a message, and each payload's entry.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use super::decode::{self, NO_METADATA};
use super::encode::EnvelopeBody;
use super::error::{EnvelopeError, EnvelopeFault, PayloadError, PayloadRef};
use super::fields::{ENVELOPE, EnvelopeValue, TextKind};
use super::json_text::Json;
use super::limits::Limits;
use super::payload::{Payload, PayloadType};
use super::transport::Transport;
use crate::http::url::RedactedUrl;
use crate::json;
use crate::nats::options::redacted_brokers;
use crate::stream::Body as _;

/// A message: 12 texts, metadata and the entries of its payloads, in the order of the wire. Texts
/// that are not set are empty.
///
/// [`Envelope::parse`] inspects a message before anything is decoded or downloaded:
///
/// ```
/// use natsbridge::{Envelope, Limits, Transport};
///
/// let message = br#"{"correlation_id": "c", "payloads": [{"dataname": "note",
///     "payload_type": "text", "transport": "direct", "data": "aGVsbG8="}]}"#;
/// let envelope = Envelope::parse(message, &Limits::default())?;
/// let entry = &envelope.payloads[0];
/// assert_eq!((&*entry.dataname, entry.transport()?), ("note", Transport::Direct));
/// assert_eq!(entry.open()?.as_text(), Some("hello"));
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// The same for all messages of one conversation.
    pub correlation_id: Cow<'a, str>,
    /// This message.
    pub msg_id: Cow<'a, str>,
    /// When it was made, by the sender's clock: some members write local time with a `Z`.
    pub timestamp: Cow<'a, str>,
    /// The subject that it is published on.
    pub send_to: Cow<'a, str>,
    /// `chat`, `ACK`, `NACK`, `updateStatus`, `shutdown`, or any other purpose.
    pub msg_purpose: Cow<'a, str>,
    /// Who sends.
    pub sender_name: Cow<'a, str>,
    /// Who sends.
    pub sender_id: Cow<'a, str>,
    /// Who is meant; empty for everybody.
    pub receiver_name: Cow<'a, str>,
    /// Who is meant; empty for everybody.
    pub receiver_id: Cow<'a, str>,
    /// The subject to answer on; empty if no answer is expected.
    pub reply_to: Cow<'a, str>,
    /// The `msg_id` that is answered; empty if none is.
    pub reply_to_msg_id: Cow<'a, str>,
    /// The sender's broker.
    pub broker_url: Cow<'a, str>,
    /// The text of a JSON object.
    pub metadata: Cow<'a, str>,
    /// The payloads, in order.
    pub payloads: Vec<PayloadEntry<'a>>,
}

/// A payload as it stands in the envelope, not opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PayloadEntry<'a> {
    /// Its place in the message, counted from 0.
    pub index: usize,
    /// This payload.
    pub id: Cow<'a, str>,
    /// Its name.
    pub dataname: Cow<'a, str>,
    /// The name of its type. [`payload_type`](PayloadEntry::payload_type) parses it.
    pub type_name: Cow<'a, str>,
    /// The name of its transport. [`transport`](PayloadEntry::transport) parses it.
    pub transport_name: Cow<'a, str>,
    /// The sender's encoding. Members differ in its meaning, so the reader ignores it.
    pub encoding: Cow<'a, str>,
    /// The number of serialized bytes, before base64, if given.
    pub size: Option<u64>,
    /// The payload itself or its URL.
    pub data: Data<'a>,
    /// The text of a JSON object.
    pub metadata: Cow<'a, str>,
}

/// What stands in `data`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Data<'a> {
    /// As it is on the wire: base64, or a URL.
    Text(Cow<'a, str>),
    /// Bytes that become base64 when the envelope is written.
    Bytes(Cow<'a, [u8]>),
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Envelope");
        for field in &ENVELOPE {
            match &field.value {
                // Some members include the password.
                EnvelopeValue::Text(TextKind::Url, text) => {
                    shown.field(field.name, &redacted_brokers((text.get)(self)))
                }
                EnvelopeValue::Text(_, text) | EnvelopeValue::Object(text) => {
                    shown.field(field.name, &(text.get)(self))
                }
                EnvelopeValue::Payloads => shown.field(field.name, &self.payloads),
            };
        }
        shown.finish()
    }
}

impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Neither stands in base64.
            Self::Text(url) if url.contains([':', '@']) => {
                f.debug_tuple("Text").field(&RedactedUrl(url)).finish()
            }
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(bytes).finish(),
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads the structure of a message and decodes nothing. Texts and data are borrowed from
    /// `message` unless they have escapes.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is not JSON, over a limit, lacks a field that is required
    /// (`correlation_id`, `payloads`, and per payload `dataname`, `payload_type`, `transport`,
    /// `data`), has a field twice, or has one of the wrong type.
    pub fn parse(message: &'a [u8], limits: &Limits) -> Result<Self, EnvelopeError> {
        decode::parse(message, limits)
    }

    pub(crate) fn parse_text(text: &'a str, limits: &Limits) -> Result<Self, EnvelopeError> {
        decode::parse_text(text, limits)
    }

    /// The metadata, to be read into any type: what
    /// [`SendOptions::metadata`](crate::SendOptions::metadata) set.
    ///
    /// ```
    /// use natsbridge::{Envelope, Limits};
    ///
    /// let message = br#"{"correlation_id": "c", "metadata": {"room": 7}, "payloads": []}"#;
    /// let envelope = Envelope::parse(message, &Limits::default())?;
    /// let metadata: serde_json::Value = envelope.metadata_json()?.parse().unwrap();
    /// assert_eq!(metadata["room"], 7);
    /// # Ok::<(), natsbridge::EnvelopeError>(())
    /// ```
    ///
    /// # Errors
    /// [`EnvelopeFault::Payload`] if it is not JSON, which a parsed envelope's always is.
    pub fn metadata_json(&self) -> Result<Json<'_>, EnvelopeError> {
        metadata_json(&self.metadata).map_err(|error| EnvelopeError {
            payload: None,
            field: Some("metadata"),
            fault: EnvelopeFault::Payload(error),
        })
    }

    /// The message as a stream of bytes whose length is known first. It is encoded while it is
    /// read, so that it never stands in memory as a whole.
    pub fn body(&self) -> EnvelopeBody<'_> {
        EnvelopeBody::new(self)
    }

    /// The same, when its length is known.
    pub(crate) fn body_of_len(&self, len: u64) -> EnvelopeBody<'_> {
        EnvelopeBody::with_len(self, len)
    }

    /// The message as one text.
    pub fn json(&self) -> String {
        let body = self.body();
        let mut text = String::with_capacity(usize::try_from(body.len()).unwrap_or(0));
        body.write_text(&mut text);
        text
    }

    /// The message as one text, or none if there is no memory for it.
    pub(crate) fn try_json(&self) -> Option<String> {
        let body = self.body();
        let mut text = String::new();
        text.try_reserve_exact(usize::try_from(body.len()).ok()?)
            .ok()?;
        body.write_text(&mut text);
        Some(text)
    }

    /// How many payloads come before the first with an unknown type or transport, which cannot be opened: only
    /// these need room.
    pub(crate) fn openable(&self) -> usize {
        let known =
            |entry: &&PayloadEntry<'_>| entry.payload_type().is_ok() && entry.transport().is_ok();
        self.payloads.iter().take_while(known).count()
    }

    /// The same envelope, which borrows nothing. Direct data is kept only where it stands apart
    /// from the message.
    pub(crate) fn into_detached(mut self) -> Envelope<'static> {
        let mut detached = Envelope::default();
        for field in &ENVELOPE {
            if let EnvelopeValue::Text(_, text) | EnvelopeValue::Object(text) = &field.value {
                *(text.get_mut)(&mut detached) = own(core::mem::take((text.get_mut)(&mut self)));
            }
        }
        // The entries stay where they are: they have the same size with any lifetime.
        let payloads = self.payloads.into_iter();
        detached.payloads = payloads.map(PayloadEntry::into_detached).collect();
        detached
    }
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

/// A text that is usually one of few takes memory only if it is another one.
fn own_name(text: Cow<'_, str>) -> Cow<'static, str> {
    let transports = [Transport::Direct, Transport::Link].map(Transport::as_str);
    let known = PayloadType::ALL.map(PayloadType::as_str).into_iter();
    let mut known = known.chain(transports).chain(["base64", "none", "json"]);
    match known.find(|name| *name == text) {
        Some(name) => Cow::Borrowed(name),
        None => own(text),
    }
}

impl PayloadEntry<'_> {
    fn into_detached(self) -> PayloadEntry<'static> {
        let is_link = self.is_link();
        let data = match self.data {
            Data::Text(Cow::Owned(text)) => Cow::Owned(text),
            Data::Text(url) if is_link => own(url),
            _ => Cow::Borrowed(""),
        };
        PayloadEntry {
            index: self.index,
            id: own(self.id),
            dataname: own(self.dataname),
            type_name: own_name(self.type_name),
            transport_name: own_name(self.transport_name),
            encoding: own_name(self.encoding),
            size: self.size,
            data: Data::Text(data),
            metadata: match &*self.metadata {
                NO_METADATA => Cow::Borrowed(NO_METADATA),
                _ => own(self.metadata),
            },
        }
    }

    /// Its type.
    ///
    /// # Errors
    /// [`EnvelopeFault::UnknownPayloadType`].
    pub fn payload_type(&self) -> Result<PayloadType, EnvelopeError> {
        PayloadType::from_name(&self.type_name).ok_or_else(|| {
            let name = self.type_name.clone().into_owned();
            self.error("payload_type", EnvelopeFault::UnknownPayloadType(name))
        })
    }

    /// How it travels.
    ///
    /// # Errors
    /// [`EnvelopeFault::UnknownTransport`].
    pub fn transport(&self) -> Result<Transport, EnvelopeError> {
        [Transport::Direct, Transport::Link]
            .into_iter()
            .find(|transport| transport.as_str() == self.transport_name)
            .ok_or_else(|| {
                let name = self.transport_name.clone().into_owned();
                self.error("transport", EnvelopeFault::UnknownTransport(name))
            })
    }

    pub(crate) fn is_link(&self) -> bool {
        self.transport_name == Transport::Link.as_str()
    }

    /// The URL of a link as it may be printed: without user name, password and query. `None` if the payload is no
    /// link.
    ///
    /// ```
    /// use natsbridge::{Envelope, Limits};
    ///
    /// let message = br#"{"correlation_id": "c", "payloads": [{"dataname": "film", "payload_type": "video",
    ///     "transport": "link", "data": "https://files.example/film?signature=secret"}]}"#;
    /// let envelope = Envelope::parse(message, &Limits::default())?;
    /// let url = envelope.payloads[0].public_url();
    /// assert_eq!(url.as_deref(), Some("https://files.example/film?..."));
    /// # Ok::<(), natsbridge::EnvelopeError>(())
    /// ```
    pub fn public_url(&self) -> Option<String> {
        match &self.data {
            Data::Text(url) if self.is_link() => Some(RedactedUrl(url).to_string()),
            _ => None,
        }
    }

    /// Decodes a direct payload into memory of its own. A link is opened by
    /// [`NatsBridge::open`](crate::NatsBridge::open).
    ///
    /// # Errors
    /// [`EnvelopeError`] for this payload; the others can still be opened.
    pub fn open(&self) -> Result<Payload<'static>, EnvelopeError> {
        let kind = self.payload_type()?;
        if self.transport()? != Transport::Direct {
            return Err(self.error("transport", EnvelopeFault::IsLink));
        }
        let bytes = match &self.data {
            Data::Text(text) => {
                decode::base64_to_vec(text).map_err(|fault| self.error("data", fault))?
            }
            Data::Bytes(bytes) => bytes.to_vec(),
        };
        self.finish(kind, Cow::Owned(bytes))
    }

    /// Writes the bytes of a direct payload, decoded a block at a time.
    pub(crate) fn decode_to(
        &self,
        write: &mut dyn FnMut(&[u8]) -> Result<(), EnvelopeFault>,
    ) -> Result<(), EnvelopeError> {
        match &self.data {
            Data::Text(text) => decode::base64_blocks(text, write),
            Data::Bytes(bytes) => write(bytes),
        }
        .map_err(|fault| self.error("data", fault))
    }

    /// Decodes a direct payload and leaves its entry without data. A text that stands in memory of
    /// its own is decoded there.
    pub(crate) fn take(&mut self) -> Result<Payload<'static>, EnvelopeError> {
        let kind = self.payload_type()?;
        let bytes = match core::mem::replace(&mut self.data, Data::Text(Cow::Borrowed(""))) {
            Data::Text(Cow::Borrowed(text)) => decode::base64_to_vec(text),
            Data::Text(Cow::Owned(text)) => decode::base64_in_own(text),
            Data::Bytes(bytes) => Ok(bytes.into_owned()),
        };
        let bytes = bytes.map_err(|fault| self.error("data", fault))?;
        self.finish(kind, Cow::Owned(bytes))
    }

    /// Decodes a direct payload where it stands in the message: `text` is its `data`.
    pub(crate) fn open_in_place<'m>(
        &self,
        text: &'m mut [u8],
    ) -> Result<Payload<'m>, EnvelopeError> {
        let kind = self.payload_type()?;
        let bytes = decode::base64_in_place(text).map_err(|fault| self.error("data", fault))?;
        self.finish(kind, Cow::Borrowed(bytes))
    }

    /// Checks the bytes of an opened payload against its entry.
    pub(crate) fn finish<'b>(
        &self,
        kind: PayloadType,
        bytes: Cow<'b, [u8]>,
    ) -> Result<Payload<'b>, EnvelopeError> {
        self.check_size(bytes.len() as u64)?;
        Payload::deserialize(kind, bytes)
            .map_err(|error| self.error("data", EnvelopeFault::Payload(error)))
    }

    pub(crate) fn check_size(&self, actual: u64) -> Result<(), EnvelopeError> {
        match self.size {
            Some(declared) if declared != actual => {
                Err(self.error("size", EnvelopeFault::Size { declared, actual }))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_sha256(&self, declared: &str, actual: String) -> Result<(), EnvelopeError> {
        if declared.eq_ignore_ascii_case(&actual) {
            return Ok(());
        }
        let declared = String::from(declared);
        Err(self.error("metadata", EnvelopeFault::Sha256 { declared, actual }))
    }

    /// The SHA-256 of the serialized bytes in hex digits, if given.
    ///
    /// # Errors
    /// [`EnvelopeFault::Json`] if it is not a text.
    pub fn sha256(&self) -> Result<Option<Cow<'_, str>>, EnvelopeError> {
        if self.metadata.is_empty() {
            return Ok(None);
        }
        sha256_in(&self.metadata).map_err(|fault| self.error("metadata", fault))
    }

    /// The metadata, to be read into any type: `payload_bytes` or `sha256`, and what
    /// [`Payload::with_metadata`] added.
    ///
    /// # Errors
    /// [`EnvelopeFault::Payload`] if it is not JSON, which a parsed envelope's always is.
    pub fn metadata_json(&self) -> Result<Json<'_>, EnvelopeError> {
        metadata_json(&self.metadata)
            .map_err(|error| self.error("metadata", EnvelopeFault::Payload(error)))
    }

    /// Its place and name.
    pub fn place(&self) -> PayloadRef {
        PayloadRef::new(self.index, &self.dataname)
    }

    pub(crate) fn error(&self, field: &'static str, fault: EnvelopeFault) -> EnvelopeError {
        EnvelopeError {
            payload: Some(self.place()),
            field: Some(field),
            fault,
        }
    }
}

fn metadata_json(text: &str) -> Result<Json<'_>, PayloadError> {
    Json::from_text(if text.is_empty() { NO_METADATA } else { text })
}

/// The `sha256` in the text of a JSON object, unless it is null.
fn sha256_in(metadata: &str) -> Result<Option<Cow<'_, str>>, EnvelopeFault> {
    let mut sha256 = None;
    let mut times = 0;
    json::read_object(metadata, &mut |key, value| {
        if key != "sha256" {
            return value.skip().map(drop);
        }
        times += 1;
        if !value.null() {
            sha256 = Some(value.text()?);
        }
        Ok(())
    })?;
    if times > 1 {
        return Err(EnvelopeFault::Duplicate);
    }
    Ok(sha256)
}
