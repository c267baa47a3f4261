//! The envelope's bytes.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod envelope;
mod finite;
pub(crate) mod incoming;
pub(crate) mod payload;
pub(crate) mod transport;

#[cfg(not(feature = "std"))]
use base64::engine::general_purpose::STANDARD;

/// Base64 as the wire contract has it: standard alphabet, canonical padding. The fastest engine
/// that this machine has, which takes time to find out.
#[cfg(feature = "std")]
fn base64_engine() -> &'static base64::engine::Simd {
    use base64::engine::{Simd, general_purpose::PAD};

    static ENGINE: std::sync::LazyLock<Simd> = std::sync::LazyLock::new(|| Simd::standard(PAD));
    &ENGINE
}

/// Base64 as the wire contract has it: standard alphabet, canonical padding.
#[cfg(not(feature = "std"))]
fn base64_engine() -> impl base64::Engine {
    STANDARD
}
