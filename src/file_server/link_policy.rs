//! Which URLs in messages are fetched.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::OptionError;
use crate::http::url::Url;

/// A URL in a message is somebody else's word. By default only the configured file server's own
/// origin (scheme, host and port) is fetched; a policy can name more origins or allow any.
///
/// Whatever the policy, a link is an `http` or `https` URL without user name, white space or
/// backslash, and its host is compared as text: `127.1` is not `127.0.0.1`. Redirects are not
/// followed at all.
///
/// ```
/// use natsbridge::LinkPolicy;
///
/// let policy = LinkPolicy::default().allow("https://files.example")?;
/// assert!(policy.allows("https://files.example/abc"));
/// assert!(!policy.allows("http://files.example/abc"));
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkPolicy {
    any: bool,
    origins: Vec<String>,
}

impl LinkPolicy {
    /// Fetches whatever URL a message names, from wherever this machine can reach. Only for
    /// messages from senders that are trusted with that.
    pub fn any() -> Self {
        Self {
            any: true,
            origins: Vec::new(),
        }
    }

    /// Also fetches from the origin of `url`; its path does not matter.
    ///
    /// # Errors
    /// [`OptionError::Url`] if that is not an `http` or `https` URL.
    pub fn allow(mut self, url: &str) -> Result<Self, OptionError> {
        if Url::parse(url).is_none() {
            return Err(OptionError::Url {
                name: "allowed origin",
                url: url.to_string(),
            });
        }
        self.origins.push(url.to_string());
        Ok(self)
    }

    /// Whether `url` may be fetched even though it is not the file server's own.
    pub fn allows(&self, url: &str) -> bool {
        Url::parse(url).is_some_and(|url| {
            let is_at =
                |origin: &String| Url::parse(origin).is_some_and(|own| own.same_origin(&url));
            self.any || self.origins.iter().any(is_at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_unless_named() {
        let policy = LinkPolicy::default();
        assert!(!policy.allows("http://localhost:8080/x"));
        let policy = policy.allow("http://127.0.0.1:8080/upload").unwrap();
        for (url, allowed) in [
            ("http://127.0.0.1:8080/anything", true),
            ("http://127.0.0.1:8080/a/..%2f..", true),
            ("http://127.0.0.1:8081/", false),
            ("https://127.0.0.1:8080/", false),
            ("http://localhost:8080/", false),
            ("http://127.1:8080/", false),
            ("http://2130706433:8080/", false),
            ("http://0x7f000001:8080/", false),
            ("http://[::ffff:127.0.0.1]:8080/", false),
            ("http://127.0.0.1:8080@evil/", false),
            ("http://user@127.0.0.1:8080/", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(policy.allows(url), allowed, "{url}");
        }
    }

    #[test]
    fn any_is_any_http_url() {
        assert!(LinkPolicy::any().allows("http://[::1]/x"));
        assert!(!LinkPolicy::any().allows("file:///etc/passwd"));
        assert!(!LinkPolicy::any().allows("http://user@host/"));
        assert!(LinkPolicy::default().allow("files.example").is_err());
    }
}
