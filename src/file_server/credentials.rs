//! Credentials for HTTP servers.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use base64::Engine as _;

use super::OptionError;
use crate::http::{RESERVED_HEADERS, is_token};

/// A header field that authenticates requests to the file server, or to another origin that a
/// [`LinkPolicy`](crate::LinkPolicy) allows. It is sent to that origin only, and never printed.
///
/// ```
/// use natsbridge::Credentials;
///
/// let basic = Credentials::basic("me", "secret");
/// let bearer = Credentials::bearer("eyJhbGciOi")?;
/// let key = Credentials::header("X-Api-Key", "secret")?;
/// assert!(!format!("{basic:?} {bearer:?} {key:?}").contains("secret"));
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) name: String,
    pub(super) value: String,
}

impl Credentials {
    /// A user name and a password (HTTP Basic).
    pub fn basic(user: &str, password: &str) -> Self {
        let encoded =
            base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self {
            name: "Authorization".to_string(),
            value: format!("Basic {encoded}"),
        }
    }

    /// A bearer token (RFC 6750).
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if it is empty or has white space, control or non-ASCII characters.
    pub fn bearer(token: &str) -> Result<Self, OptionError> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(OptionError::Invalid {
                name: "bearer token",
                reason: "it is empty or has characters that a token cannot have",
            });
        }
        Self::header("Authorization", &format!("Bearer {token}"))
    }

    /// Any header field.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if the name is not a token (RFC 9110), or one that the client sets
    /// itself, or the value has a control character.
    pub fn header(name: &str, value: &str) -> Result<Self, OptionError> {
        let invalid = |reason| OptionError::Invalid {
            name: "header",
            reason,
        };
        if !is_token(name) {
            return Err(invalid("its name is not a token"));
        }
        let mut reserved = RESERVED_HEADERS.iter();
        if reserved.any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(invalid("the client sets it itself"));
        }
        if value.chars().any(char::is_control) {
            return Err(invalid("its value has a control character"));
        }
        Ok(Self {
            name: name.to_string(),
            value: value.to_string(),
        })
    }
}

/// Prints the name of the header only.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_header_fields() {
        let basic = Credentials::basic("me", "secret");
        assert_eq!(basic.name, "Authorization");
        assert_eq!(basic.value, "Basic bWU6c2VjcmV0");
        let bearer = Credentials::bearer("a.b-c").unwrap();
        assert_eq!(
            (&*bearer.name, &*bearer.value),
            ("Authorization", "Bearer a.b-c")
        );
        let key = Credentials::header("X-Key", "a b").unwrap();
        assert_eq!((&*key.name, &*key.value), ("X-Key", "a b"));
    }

    #[test]
    fn what_would_be_another_request_is_refused_and_not_shown() {
        let token = Credentials::bearer;
        for refused in [
            token(""),
            token("SECRET SECRET"),
            token("SECRET\r\nX: y"),
            Credentials::header("", "SECRET"),
            Credentials::header("X:", "SECRET"),
            Credentials::header("content-length", "SECRET"),
            Credentials::header("Host", "SECRET"),
            Credentials::header("X-Key", "SECRET\r\n\r\n"),
        ] {
            let words = format!("{:?}", refused.unwrap_err());
            assert!(!words.contains("SECRET"), "{words}");
        }
    }
}
