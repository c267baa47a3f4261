//! The nine types that a payload can have.

use core::fmt;

/// The type of a payload, as in `payload_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadType {
    /// UTF-8 text.
    Text,
    /// A JSON value, mostly an object.
    Dictionary,
    /// An Arrow IPC table under its older name, which the Python member writes.
    Table,
    /// An Arrow IPC table.
    ArrowTable,
    /// A JSON array of row objects.
    JsonTable,
    /// A picture in any format.
    Image,
    /// Sound in any format.
    Audio,
    /// Moving pictures in any format.
    Video,
    /// Any bytes.
    Binary,
}

impl PayloadType {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::Dictionary,
        Self::Table,
        Self::ArrowTable,
        Self::JsonTable,
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::Binary,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Dictionary => "dictionary",
            Self::Table => "table",
            Self::ArrowTable => "arrowtable",
            Self::JsonTable => "jsontable",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Binary => "binary",
        }
    }

    /// The type of that name on the wire. Upper and lower case differ.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
