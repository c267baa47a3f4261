//! The wire contract: what a message says, how it is written and read, and what it carries.

mod content;
mod decode;
pub(crate) mod encode;
mod envelope;
mod error;
pub(crate) mod fields;
mod finite;
pub(crate) mod id;
pub(crate) mod incoming;
mod json_text;
mod limits;
pub(crate) mod payload;
mod received;
pub(crate) mod transport;

pub use self::content::{Content, Stream, WithMetadata};
pub use self::encode::EnvelopeBody;
pub use self::envelope::{Data, Envelope, PayloadEntry};
pub use self::error::{EnvelopeError, EnvelopeFault, PayloadError, PayloadRef};
pub use self::incoming::{InPlace, Incoming};
pub use self::json_text::Json;
pub use self::limits::{DEFAULT_SIZE_THRESHOLD, Limits, MAX_PAYLOAD_SIZE};
pub use self::payload::{Payload, PayloadType};
pub use self::received::{Opened, Received};
pub use self::transport::Transport;

/// Base64 as the wire contract has it: standard alphabet, canonical padding. The fastest engine
/// that this machine has, which takes time to find out. base64 has it for these targets only.
#[cfg(all(
    feature = "std",
    any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon")
    )
))]
fn base64_engine() -> &'static base64::engine::Simd {
    use base64::engine::{Simd, general_purpose::PAD};

    static ENGINE: std::sync::LazyLock<Simd> = std::sync::LazyLock::new(|| Simd::standard(PAD));
    &ENGINE
}

/// Base64 as the wire contract has it: standard alphabet, canonical padding.
#[cfg(not(all(
    feature = "std",
    any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon")
    )
)))]
fn base64_engine() -> impl base64::Engine {
    base64::engine::general_purpose::STANDARD
}
