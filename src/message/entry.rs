//! A payload as it stands in a message: checked, decoded, opened.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use core::fmt;

use super::base64;
use super::error::{EnvelopeError, EnvelopeFault, PayloadError, PayloadRef};
use super::json_text::Json;
use super::payload::Payload;
use super::payload_type::PayloadType;
use super::transport::Transport;
use crate::http::url::RedactedUrl;
use crate::json;

/// What absent metadata are read as, and no metadata written as.
pub(crate) const NO_METADATA: &str = "{}";

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

impl PayloadEntry<'_> {
    pub(super) fn into_detached(self) -> PayloadEntry<'static> {
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
            Data::Text(text) => base64::to_vec(text).map_err(|fault| self.error("data", fault))?,
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
            Data::Text(text) => base64::blocks(text, write),
            Data::Bytes(bytes) => write(bytes),
        }
        .map_err(|fault| self.error("data", fault))
    }

    /// Decodes a direct payload and leaves its entry without data. A text that stands in memory of
    /// its own is decoded there.
    pub(crate) fn take(&mut self) -> Result<Payload<'static>, EnvelopeError> {
        let kind = self.payload_type()?;
        let bytes = match core::mem::replace(&mut self.data, Data::Text(Cow::Borrowed(""))) {
            Data::Text(Cow::Borrowed(text)) => base64::to_vec(text),
            Data::Text(Cow::Owned(text)) => base64::in_own(text),
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
        let bytes = base64::in_place(text).map_err(|fault| self.error("data", fault))?;
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

pub(super) fn own(text: Cow<'_, str>) -> Cow<'static, str> {
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

pub(super) fn metadata_json(text: &str) -> Result<Json<'_>, PayloadError> {
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
