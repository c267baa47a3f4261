//! JSON (RFC 8259), read value by value where it stands. Nothing recurses, and memory is taken only for
//! texts with escapes and, one byte for each, for open brackets. The envelope needs no more than this of
//! a reader; serde_json's would bring its floating point numbers along, 20 KB of a board's flash.

mod error;
pub(crate) mod number;
mod reader;
mod text;
pub(crate) mod writer;

pub use self::error::JsonError;
pub(crate) use self::reader::{Members, Reader, check, read_object};
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) use self::text::write_text;
pub(crate) use self::text::{escape, plain_len};
