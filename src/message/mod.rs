//! The wire contract: what a message says, how it is written and read, and what it carries.

pub(crate) mod base64;
mod content;
mod decode;
pub(crate) mod encode;
mod entry;
mod envelope;
mod error;
pub(crate) mod fields;
#[cfg(feature = "serde")]
mod finite;
pub(crate) mod id;
pub(crate) mod incoming;
mod json_text;
mod limits;
pub(crate) mod payload;
mod payload_type;
mod received;
pub(crate) mod transport;

pub use self::content::{Content, Stream};
pub use self::encode::EnvelopeBody;
pub use self::entry::{Data, PayloadEntry};
pub use self::envelope::Envelope;
pub use self::error::{EnvelopeError, EnvelopeFault, PayloadError, PayloadRef};
pub use self::incoming::{InPlace, Incoming};
pub use self::json_text::Json;
pub use self::limits::{DEFAULT_SIZE_THRESHOLD, Limits, MAX_PAYLOAD_SIZE};
pub use self::payload::{Payload, WithMetadata};
pub use self::payload_type::PayloadType;
pub use self::received::{Opened, Received};
pub use self::transport::Transport;
