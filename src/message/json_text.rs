//! A JSON value that is kept as its text.

use alloc::borrow::Cow;

use super::error::PayloadError;
use crate::json;

/// A JSON value, kept as its text so that nothing of it is rounded or reordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// The JSON of a value that serde can write.
    ///
    /// # Errors
    /// [`PayloadError::NotFinite`], [`PayloadError::Serialize`].
    #[cfg(feature = "serde")]
    pub fn from_value(value: &impl serde::Serialize) -> Result<Self, PayloadError> {
        // serde_json writes null for NaN and the infinities: data would change in silence.
        if super::finite::has_non_finite(value) {
            return Err(PayloadError::NotFinite);
        }
        let text =
            serde_json::to_string(value).map_err(|error| PayloadError::Serialize(error.into()))?;
        Ok(Self(Cow::Owned(text)))
    }

    /// A JSON text as it is, after a check. Any depth of nesting passes the check.
    ///
    /// # Errors
    /// [`PayloadError::Json`] that says where and why.
    pub fn from_text(text: impl Into<Cow<'a, str>>) -> Result<Self, PayloadError> {
        let text = text.into();
        json::check(&text)?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The members of an object, without its brackets; one of the `reserved` keys is an error.
    pub(crate) fn members(&self, reserved: &[&'static str]) -> Result<&str, PayloadError> {
        let mut found = None;
        json::read_object(&self.0, &mut |key, value| {
            found = found.or(reserved.iter().copied().find(|name| *name == key));
            value.skip().map(drop)
        })
        .map_err(PayloadError::Metadata)?;
        if let Some(key) = found {
            return Err(PayloadError::ReservedMetadata { key });
        }
        let object = self.0.trim_ascii();
        let members = object
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        Ok(members.unwrap_or_default().trim_ascii())
    }

    /// Reads it into any type that serde can read.
    ///
    /// # Errors
    /// [`PayloadError::Parse`], also for a nesting of more than 128, which serde_json refuses.
    #[cfg(feature = "serde")]
    pub fn parse<'de, T: serde::Deserialize<'de>>(&'de self) -> Result<T, PayloadError> {
        serde_json::from_str(&self.0).map_err(|error| PayloadError::Parse(error.into()))
    }

    pub(crate) fn by_ref(&self) -> Json<'_> {
        Json(Cow::Borrowed(&self.0))
    }

    /// The same JSON, which borrows nothing.
    pub fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_checked_and_kept_as_it_is() {
        let text = r#"{"n": 12345678901234567890123, "f": 1.50}"#;
        assert_eq!(Json::from_text(text).unwrap().as_str(), text);
        for bad in ["", "{", "[1,]", "NaN", "01", "{} x", "\u{feff}{}"] {
            assert!(Json::from_text(bad).is_err(), "{bad:?}");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let json = Json::from_text(deep).unwrap();
        assert!(json.parse::<serde_json::Value>().is_err());
    }
}
