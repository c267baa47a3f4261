//! Which links may be fetched.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::error::check_url;
use super::object_store::link::bucket_of;
use super::{FileServer, OptionError};
use crate::http::url::{Url, has_userinfo};
use crate::trace::Escaped;

/// Names of the local machine. Each of them is an origin of its own.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A URL in a message is untrusted input. By default only the configured file server's own
/// origin (scheme, host and port) is fetched; a policy can name more origins or allow any.
///
/// Whatever the policy, a link is a `nats-object` URL of a bucket and an object, or an `http` or `https` URL
/// without user name, white space or backslash, whose host is compared as text: neither `localhost` nor
/// `127.1` is `127.0.0.1`. A `file` URL is fetched only by a receiver whose file server is a `Directory`, and
/// only from that folder: no policy allows more. Redirects are not followed at all.
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

    /// Also fetches from the origin of `url`; its path does not matter. That of `nats-object://files` is
    /// the bucket `files`.
    ///
    /// # Errors
    /// [`OptionError`] if that is not an `http`, `https` or `nats-object` URL, or has more than a path.
    pub fn allow(mut self, url: &str) -> Result<Self, OptionError> {
        if bucket_of(url).is_none() {
            check_url("allowed origin", url)?;
        }
        self.origins.push(url.to_string());
        Ok(self)
    }

    /// Why `url` is refused, what is allowed, and how to allow it.
    pub(crate) fn refusal(&self, url: &str, file_server: &dyn FileServer) -> String {
        let Some(origin) = origin_of(url) else {
            let what = match has_userinfo(url) {
                true => "a URL with a user name or password is never fetched",
                false => {
                    "only http, https and nats-object URLs are fetched, and file URLs of the receiver's own `Directory`"
                }
            };
            return what.to_string();
        };
        let mut allowed = String::from("the file server's");
        for origin in self.origins.iter().filter_map(|url| origin_of(url)) {
            allowed = format!("{allowed}, {origin}");
        }
        let mut words = format!(
            "allowed are only these origins (scheme, host and port): {}; \
             to allow this one, use `LinkPolicy::allow(\"{}\")`",
            Escaped(&allowed),
            Escaped(&origin),
        );
        let is_allowed = |url: &String| file_server.owns(url) || self.allows(url);
        // A board has no use for a loopback address.
        let twin = cfg!(feature = "std").then(|| twins(url).find(is_allowed));
        if let Some(twin) = twin.flatten() {
            words = format!("{words}; {twin} is allowed, but it counts as another origin");
        }
        words
    }

    /// Whether `url` may be fetched even though it is not the file server's own.
    pub fn allows(&self, url: &str) -> bool {
        if let Some(bucket) = bucket_of(url) {
            let is_it = |origin: &String| bucket_of(origin) == Some(bucket);
            return self.any || self.origins.iter().any(is_it);
        }
        Url::parse(url).is_some_and(|url| {
            let is_at =
                |origin: &String| Url::parse(origin).is_some_and(|own| own.same_origin(&url));
            self.any || self.origins.iter().any(is_at)
        })
    }
}

/// What `url` belongs to: scheme, host and port, or a bucket.
fn origin_of(url: &str) -> Option<String> {
    match bucket_of(url) {
        Some(bucket) => Some(format!("nats-object://{bucket}")),
        None => Url::parse(url).map(|url| url.origin()),
    }
}

/// The origins of the local machine under its names, if `url` is of one of them.
fn twins(url: &str) -> impl Iterator<Item = String> {
    let is_loopback = |url: &Url<'_>| {
        LOOPBACK
            .iter()
            .any(|host| url.host.eq_ignore_ascii_case(host))
    };
    let url = Url::parse(url).filter(is_loopback);
    let hosts = url
        .into_iter()
        .flat_map(|url| LOOPBACK.map(|host| (url, host)));
    hosts.map(|(url, host)| Url { host, ..url }.origin())
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
    fn a_bucket_is_an_origin() {
        let policy = LinkPolicy::default().allow("nats-object://files").unwrap();
        for (url, allowed) in [
            ("nats-object://files/a/b", true),
            ("nats-object://files2/a", false),
            ("nats-object://other/files/a", false),
            ("http://files/a", false),
        ] {
            assert_eq!(policy.allows(url), allowed, "{url}");
        }
        assert!(LinkPolicy::any().allows("nats-object://other/a"));
        let http = LinkPolicy::default().allow("http://files/").unwrap();
        assert!(!http.allows("nats-object://files/a"));
        assert!(LinkPolicy::default().allow("nats-object://a.b/").is_err());
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
                "only http, https and nats-object URLs are fetched, and file URLs of the receiver's own `Directory`".to_string(),
            ),
            (
                "nats-object://films/a",
                format!("{common}(\"nats-object://films\")`"),
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
