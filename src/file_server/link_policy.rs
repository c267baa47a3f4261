//! Which links may be fetched.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::error::check_url;
use super::{FileServer, OptionError};
use crate::http::url::{Url, has_userinfo};
use crate::trace::Escaped;

/// Names of the local machine. Each of them is an origin of its own.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A URL in a message is untrusted input. By default only the configured file server's own
/// origin (scheme, host and port) is fetched; a policy can name more origins or allow any.
///
/// Whatever the policy, a link is an `http` or `https` URL without user name, white space or
/// backslash, and its host is compared as text: neither `localhost` nor `127.1` is `127.0.0.1`.
/// Redirects are not followed at all.
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
    /// Fetches every URL in a message, from any host that this machine can reach. Use it only if all senders
    /// are trusted.
    pub fn any() -> Self {
        Self {
            any: true,
            origins: Vec::new(),
        }
    }

    /// Also fetches from the origin of `url`; its path does not matter.
    ///
    /// # Errors
    /// [`OptionError`] if that is not an `http` or `https` URL, or has more than a path.
    pub fn allow(mut self, url: &str) -> Result<Self, OptionError> {
        check_url("allowed origin", url)?;
        self.origins.push(url.to_string());
        Ok(self)
    }

    /// Why `url` is refused, what is allowed, and how to allow it.
    pub(crate) fn refusal(&self, url: &str, file_server: &dyn FileServer) -> String {
        let Some(refused) = Url::parse(url) else {
            let what = match has_userinfo(url) {
                true => "a URL with a user name or password is never fetched",
                false => "only http and https URLs are fetched",
            };
            return what.to_string();
        };
        let mut allowed = String::from("the file server's");
        for origin in self.origins.iter().filter_map(|url| Url::parse(url)) {
            allowed = format!("{allowed}, {}", origin.origin());
        }
        let origin = refused.origin();
        let mut words = format!(
            "allowed are only these origins (scheme, host and port): {}; \
             to allow this one, use `LinkPolicy::allow(\"{}\")`",
            Escaped(&allowed),
            Escaped(&origin),
        );
        let is_allowed = |url: &str| file_server.owns(url) || self.allows(url);
        let is_loopback = |host: &&&str| refused.host.eq_ignore_ascii_case(host);
        let hosts = LOOPBACK.iter().find(is_loopback).map(|_| LOOPBACK.iter());
        let twins = hosts.into_iter().flatten();
        let mut twins = twins.map(|host| Url { host, ..refused }.origin());
        if let Some(twin) = twins.find(|twin| is_allowed(twin)) {
            words = format!("{words}; {twin} is allowed, but it counts as another origin");
        }
        words
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

    struct At(&'static str);

    impl FileServer for At {
        fn upload(
            &mut self,
            _: &str,
            _: &mut dyn crate::stream::Body,
        ) -> Result<crate::Upload, crate::file_server::FileServerError> {
            Err(crate::file_server::FileServerError::unsupported("upload"))
        }
        fn download(
            &mut self,
            _: &str,
            _: u64,
            _: &mut dyn crate::stream::Sink,
        ) -> Result<u64, crate::file_server::FileServerError> {
            Err(crate::file_server::FileServerError::unsupported("download"))
        }
        fn owns(&self, url: &str) -> bool {
            let own = Url::parse(self.0);
            own.zip(Url::parse(url))
                .is_some_and(|(own, url)| own.same_origin(&url))
        }
    }

    /// Issue 10, point 14.
    #[test]
    fn a_refusal_says_what_is_allowed_and_how_to_allow_it() {
        let policy = LinkPolicy::default().allow("https://a.example/x").unwrap();
        let server = At("http://127.0.0.1:8080/files");
        let common = "allowed are only these origins (scheme, host and port): \
                      the file server's, https://a.example; \
                      to allow this one, use `LinkPolicy::allow";
        for (url, words) in [
            (
                "http://b.example:80/f?SECRET",
                format!("{common}(\"http://b.example\")`"),
            ),
            (
                "http://localhost:8080/f",
                format!(
                    "{common}(\"http://localhost:8080\")`; http://127.0.0.1:8080 is allowed, \
                     but it counts as another origin"
                ),
            ),
            (
                "https://127.0.0.1:8080/f",
                format!("{common}(\"https://127.0.0.1:8080\")`"),
            ),
            (
                "http://me:SECRET@127.0.0.1:8080/f",
                "a URL with a user name or password is never fetched".to_string(),
            ),
            (
                "file:///etc/passwd",
                "only http and https URLs are fetched".to_string(),
            ),
        ] {
            assert_eq!(policy.refusal(url, &server), words, "{url}");
        }
        let long = format!("http://{}/", "h".repeat(100_000));
        assert!(policy.refusal(&long, &server).len() < 2000);
    }

    #[test]
    fn an_allowed_url_must_not_have_secrets() {
        for url in ["http://me:SECRET@h", "http://h/?SECRET", "SECRET@h"] {
            let error = LinkPolicy::default().allow(url).unwrap_err();
            assert!(!format!("{error:?}").contains("SECRET"), "{error}");
        }
    }
}
