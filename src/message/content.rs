//! Contents of payloads that are not in memory: they are read when they are sent.

use super::payload_type::PayloadType;
use crate::stream::{Body, StreamError};
use alloc::boxed::Box;
#[cfg(not(target_has_atomic = "ptr"))]
use alloc::rc::Rc as Shared;
#[cfg(target_has_atomic = "ptr")]
use alloc::sync::Arc as Shared;
use core::fmt;

/// A source of a payload's bytes, which gives them from the start as often as it is asked; see
/// [`Payload::stream`](crate::Payload::stream).
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

/// Bytes that are read when they are sent; made by [`Payload::stream`](crate::Payload::stream) and [`Payload::file`](crate::Payload::file).
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
