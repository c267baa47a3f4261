//! The envelope's bytes.

pub(crate) mod decode;
pub(crate) mod encode;

#[cfg(not(feature = "std"))]
use base64::engine::general_purpose::STANDARD;

/// Base64 as the wire contract has it: standard alphabet, canonical padding. The fastest engine
/// that the build has.
#[cfg(feature = "std")]
fn base64_engine() -> impl base64::Engine {
    base64::engine::Simd::standard(base64::engine::general_purpose::PAD)
}

/// Base64 as the wire contract has it: standard alphabet, canonical padding.
#[cfg(not(feature = "std"))]
fn base64_engine() -> impl base64::Engine {
    STANDARD
}
