//! Payloads that are not plain bytes in memory: streams, and what has metadata of its own.

use alloc::boxed::Box;
#[cfg(not(target_has_atomic = "ptr"))]
use alloc::rc::Rc as Shared;
#[cfg(target_has_atomic = "ptr")]
use alloc::sync::Arc as Shared;
use core::fmt;

use super::json_text::Json;
use super::payload::{Payload, PayloadType};
use crate::stream::{Body, StreamError};

/// A source of a payload's bytes, which gives them from the start as often as it is asked; see
/// [`Payload::stream`].
///
/// ```
/// use natsbridge::adapter::{Body, Content, SliceBody, StreamError};
/// use natsbridge::{Payload, PayloadType};
///
/// /// A table in the flash of a board.
/// struct Flash(&'static [u8]);
///
/// impl Content for Flash {
///     fn payload_type(&self) -> PayloadType {
///         PayloadType::Binary
///     }
///     fn size(&self) -> u64 {
///         self.0.len() as u64
///     }
///     fn open(&self) -> Result<Box<dyn Body + '_>, StreamError> {
///         Ok(Box::new(SliceBody::new(self.0)))
///     }
/// }
///
/// let payload = Payload::stream(Flash(b"calibration"));
/// assert_eq!(payload.len(), 11);
/// ```
pub trait Content {
    /// The type.
    fn payload_type(&self) -> PayloadType;

    /// The number of serialized bytes, before base64.
    fn size(&self) -> u64;

    /// The serialized bytes from their start. Called once for each attempt to send them.
    ///
    /// # Errors
    /// [`StreamError`] if they cannot be read.
    fn open(&self) -> Result<Box<dyn Body + '_>, StreamError>;
}

/// Bytes that are read when they are sent; made by [`Payload::stream`] and [`Payload::file`].
#[derive(Clone)]
pub struct Stream(Shared<dyn Content + Send + Sync>);

impl Stream {
    pub(super) fn new(content: impl Content + Send + Sync + 'static) -> Self {
        Self(Shared::new(content))
    }

    pub(super) fn content(&self) -> &dyn Content {
        &*self.0
    }
}

/// Streams are equal if they have the same source.
impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        Shared::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Stream {}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, size) = (self.0.payload_type(), self.0.size());
        write!(f, "Stream({kind}, {size} bytes)")
    }
}

/// A payload with metadata of its own; made by [`Payload::with_metadata`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithMetadata<'a>(Box<(Payload<'a>, Json<'static>)>);

impl<'a> WithMetadata<'a> {
    pub(super) fn new(payload: Payload<'a>, metadata: Json<'static>) -> Self {
        Self(Box::new((payload, metadata)))
    }

    pub(super) fn payload(&self) -> &Payload<'a> {
        &self.0.0
    }

    pub(super) fn metadata(&self) -> &Json<'static> {
        &self.0.1
    }

    pub(super) fn into_parts(self) -> (Payload<'a>, Json<'static>) {
        *self.0
    }
}
