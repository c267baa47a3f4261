//! Why a JSON text cannot be read.

use crate::cause::debug_is_display;

/// Where a JSON text is malformed or has an unexpected value.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Another token was expected.
    #[error("at byte {at}: expected {expected}")]
    Unexpected {
        /// Where, in bytes from the start of the JSON text.
        at: usize,
        /// The expected token.
        expected: &'static str,
    },
    /// Out of memory.
    #[error("no memory for {len} bytes")]
    OutOfMemory {
        /// Bytes requested.
        len: usize,
    },
}

debug_is_display!(JsonError);

impl JsonError {
    /// Where, in bytes from the start, if that is what is wrong.
    pub(crate) fn at(&self) -> Option<usize> {
        match self {
            Self::Unexpected { at, .. } => Some(*at),
            Self::OutOfMemory { .. } => None,
        }
    }
}

pub(super) fn unexpected(at: usize, expected: &'static str) -> JsonError {
    JsonError::Unexpected { at, expected }
}
