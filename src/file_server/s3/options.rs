//! Which bucket, and how it is used.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt;
use core::time::Duration;

use rusty_s3::Credentials;

use super::super::OptionError;
use super::link::is_key;
use crate::http::url::RedactedUrl;
use crate::percent::decode;

const MIB: u64 = 1 << 20;
/// The smallest part that is not the last: S3 refuses others at completion.
const MIN_PART_SIZE: u64 = 5 * MIB;
/// The most that S3 takes in one PUT, and in one part.
const MAX_PUT_SIZE: u64 = 5 << 30;
/// The rest of a key's 1,024 bytes is more than a name needs.
const MAX_PREFIX_LEN: usize = 512;
/// A link cannot be valid for longer.
const MAX_LINK_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// The bucket of an [`S3`](crate::S3), its keys, and limits. Secrets are not printed.
///
/// ```
/// use std::time::Duration;
/// use natsbridge::S3Options;
///
/// let options = S3Options::new("films")
///     .endpoint("http://localhost:9000") // MinIO, for example; without it AWS
///     .region("eu-central-1")
///     .prefix("inbox")
///     .keys("AKIAEXAMPLE", "SECRET")
///     .link_lifetime(Duration::from_secs(3 * 86_400))?;
/// assert!(!format!("{options:?}").contains("SECRET"));
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
#[derive(Clone)]
pub struct S3Options {
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) endpoint: Option<String>,
    pub(super) region: String,
    pub(super) path_style: Option<bool>,
    pub(super) keys: Option<(String, String)>,
    pub(super) session_token: Option<String>,
    pub(super) link_lifetime: Duration,
    pub(super) multipart_threshold: u64,
    pub(super) part_size: u64,
    pub(super) checksum_limit: u64,
    pub(super) sign_anew: bool,
}

impl S3Options {
    /// A bucket of AWS in the region `us-east-1`, without keys.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            endpoint: None,
            region: "us-east-1".to_string(),
            path_style: None,
            keys: None,
            session_token: None,
            link_lifetime: Duration::from_secs(86_400),
            multipart_threshold: 64 * MIB,
            part_size: 8 * MIB,
            checksum_limit: MIB,
            sign_anew: false,
        }
    }

    /// As [`new`](Self::new), and what these environment variables say: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` before `AWS_DEFAULT_REGION`, and
    /// `AWS_ENDPOINT_URL_S3` before `AWS_ENDPOINT_URL`. Empty ones count as unset.
    pub fn from_env(bucket: impl Into<String>) -> Self {
        Self::from_variables(bucket, |name| std::env::var(name).ok())
    }

    pub(super) fn from_variables(
        bucket: impl Into<String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let either = |first: &str, second: &str| variable(first).or_else(|| variable(second));
        let mut options = Self::new(bucket);
        if let Some(region) = either("AWS_REGION", "AWS_DEFAULT_REGION") {
            options.region = region;
        }
        options.endpoint = either("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
        let id = variable("AWS_ACCESS_KEY_ID");
        options.keys = id.zip(variable("AWS_SECRET_ACCESS_KEY"));
        options.session_token = variable("AWS_SESSION_TOKEN");
        options
    }

    /// `s3://bucket/prefix?endpoint=…&region=…`; what it does not say is as [`from_env`](Self::from_env) has it.
    /// Further parameters are `forcePathStyle=true` ([`path_style`](Self::path_style)), `linkLifetime=3600`
    /// ([`link_lifetime`](Self::link_lifetime), in seconds) and `signAnew=true` ([`sign_anew`](Self::sign_anew)). Prefix
    /// and values are percent-encoded. Keys are never in it.
    ///
    /// ```
    /// use natsbridge::S3Options;
    ///
    /// let url = "s3://films/inbox?endpoint=http://localhost:9000&linkLifetime=3600";
    /// let options = S3Options::from_url(url)?;
    /// assert!(S3Options::from_url("s3://films?secret=x").is_err());
    /// # Ok::<(), natsbridge::OptionError>(())
    /// ```
    ///
    /// # Errors
    /// [`OptionError::Invalid`] for another URL, or for parameters other than these.
    pub fn from_url(url: &str) -> Result<Self, OptionError> {
        Self::from_url_and(url, |name| std::env::var(name).ok())
    }

    pub(super) fn from_url_and(
        url: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, OptionError> {
        let rest = url.split_at_checked("s3://".len());
        let rest = rest.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("s3://"));
        let (_, rest) = rest.ok_or(invalid(
            "store",
            "it is not of the form `s3://bucket/prefix`",
        ))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        check_bucket(bucket)?;
        let bad_escape = invalid(
            "store",
            "`%` in it must be followed by two hex digits of UTF-8",
        );
        let decode = |text| decode(text).ok_or(bad_escape.clone());
        let mut options = Self::from_variables(bucket, variable).prefix(decode(prefix)?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options = options.with_parameter(name, decode(value)?)?;
        }
        Ok(options)
    }

    fn with_parameter(self, name: &str, value: String) -> Result<Self, OptionError> {
        let switch = || match &*value {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let changed = match name {
            "endpoint" => return Ok(self.endpoint(value)),
            "region" => return Ok(self.region(value)),
            "linkLifetime" => match value.parse() {
                Ok(seconds) => return self.link_lifetime(Duration::from_secs(seconds)),
                Err(_) => None,
            },
            "forcePathStyle" => switch().map(|is_set| self.path_style(is_set)),
            "signAnew" => switch().map(|is_set| self.sign_anew(is_set)),
            _ => None,
        };
        let known = "its parameters are endpoint, region, linkLifetime in seconds, and forcePathStyle and signAnew, which are true or false";
        changed.ok_or(invalid("store", known))
    }

    /// The server, without the bucket. Default: AWS's of the region.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// The region that signatures are for. Default `us-east-1`.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// The start of every key, a folder. Default none.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Whether the bucket is the first segment of the path, not a part of the host's name. Default: if there is an
    /// [`endpoint`](Self::endpoint), or a dot in the bucket's name.
    #[must_use]
    pub fn path_style(mut self, path_style: bool) -> Self {
        self.path_style = Some(path_style);
        self
    }

    /// The access key's id, and the secret. They replace earlier ones and their session token, also those of
    /// [`from_env`](Self::from_env): call [`session_token`](Self::session_token) after this.
    #[must_use]
    pub fn keys(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.keys = Some((id.into(), secret.into()));
        self.session_token = None;
        self
    }

    /// The session token of temporary keys; [`keys`](Self::keys) removes it. Links end when the keys do.
    #[must_use]
    pub fn session_token(mut self, token: impl Into<String>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    /// How long a link is valid, in whole seconds. Default 24 h. It must be longer than messages wait to be read, and
    /// the bucket's lifecycle rule must not delete files earlier.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] below 1 s and above 7 days, which no server accepts.
    pub fn link_lifetime(mut self, lifetime: Duration) -> Result<Self, OptionError> {
        if lifetime < Duration::from_secs(1) || lifetime > MAX_LINK_LIFETIME {
            let reason = "S3 accepts 1 s to 7 days (604,800 s)";
            return Err(invalid("link_lifetime", reason));
        }
        self.link_lifetime = lifetime;
        Ok(self)
    }

    /// The longest file that is sent by a single PUT, streamed, in bytes; longer ones are sent in parts. Default 64 MiB,
    /// at most 5 GiB.
    #[must_use]
    pub fn multipart_threshold(mut self, bytes: u64) -> Self {
        self.multipart_threshold = bytes.min(MAX_PUT_SIZE);
        self
    }

    /// The size of a part, in bytes, which is held in memory until it is stored. Default 8 MiB, at least 5 MiB. A file
    /// of more than 10,000 parts has larger ones.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes.clamp(MIN_PART_SIZE, MAX_PUT_SIZE);
        self
    }

    /// The longest file whose SHA-256 the server checks (`x-amz-checksum-sha256`), in bytes: the digest goes before the
    /// file, so that the file is held in memory. Default 1 MiB; 0 is for servers that do not accept the header. Parts have
    /// none. The receiver checks the SHA-256 of every file.
    #[must_use]
    pub fn checksum_limit(mut self, bytes: u64) -> Self {
        self.checksum_limit = bytes;
        self
    }

    /// Whether links are signed anew by their receiver, which needs keys: links to files of this bucket under
    /// [`prefix`](Self::prefix) can then be fetched after they have expired, whoever sent them. Default false.
    #[must_use]
    pub fn sign_anew(mut self, sign_anew: bool) -> Self {
        self.sign_anew = sign_anew;
        self
    }

    pub(super) fn credentials(&self) -> Option<Credentials> {
        let (id, secret) = self.keys.clone()?;
        Some(match self.session_token.clone() {
            Some(token) => Credentials::new_with_token(id, secret, token),
            None => Credentials::new(id, secret),
        })
    }

    pub(super) fn endpoint_url(&self) -> String {
        let country = if self.region.starts_with("cn-") {
            ".cn"
        } else {
            ""
        };
        let aws = || format!("https://s3.{}.amazonaws.com{country}", self.region);
        self.endpoint.clone().unwrap_or_else(aws)
    }

    pub(super) fn is_path_style(&self) -> bool {
        let default = self.endpoint.is_some() || self.bucket.contains('.');
        self.path_style.unwrap_or(default)
    }

    /// The prefix with a slash at its end, or nothing.
    pub(super) fn key_prefix(&self) -> Result<String, OptionError> {
        let prefix = self.prefix.trim_matches('/');
        if prefix.is_empty() {
            return Ok(String::new());
        }
        if !is_key(prefix) || prefix.len() > MAX_PREFIX_LEN {
            return Err(invalid("prefix", "it cannot be the start of a key"));
        }
        Ok(format!("{prefix}/"))
    }
}

/// What `Debug` of options may show, and URLs hold.
pub(super) fn check_bucket(name: &str) -> Result<(), OptionError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    match name.is_empty() || name.contains("..") || name == "." || !name.bytes().all(is_plain) {
        true => Err(invalid("bucket", "no bucket can have this name")),
        false => Ok(()),
    }
}

/// It is a part of the host's name, and of what is signed.
pub(super) fn check_region(region: &str) -> Result<(), OptionError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match region.is_empty() || !region.bytes().all(is_plain) {
        true => Err(invalid(
            "region",
            "it consists of letters, digits, `-` and `_`",
        )),
        false => Ok(()),
    }
}

pub(super) fn invalid(name: &'static str, reason: &'static str) -> OptionError {
    OptionError::Invalid { name, reason }
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &RedactedUrl(&self.endpoint_url()))
            .field("region", &self.region)
            .field("has_keys", &self.keys.is_some())
            .field("link_lifetime", &self.link_lifetime)
            .field("multipart_threshold", &self.multipart_threshold)
            .field("part_size", &self.part_size)
            .field("checksum_limit", &self.checksum_limit)
            .field("sign_anew", &self.sign_anew)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_goes_before_the_environment() {
        let variable = |name: &str| {
            let value = match name {
                "AWS_ACCESS_KEY_ID" => "ID",
                "AWS_SECRET_ACCESS_KEY" => "SECRET",
                "AWS_SESSION_TOKEN" => "TOKEN",
                "AWS_DEFAULT_REGION" => "eu-west-1",
                "AWS_ENDPOINT_URL" => "http://env:9000",
                "AWS_REGION" => "",
                _ => return None,
            };
            Some(value.to_string())
        };
        let options = S3Options::from_url_and("s3://films/a/b", variable).unwrap();
        assert_eq!(options.region, "eu-west-1");
        assert_eq!(options.endpoint_url(), "http://env:9000");
        assert_eq!(options.key_prefix().unwrap(), "a/b/");
        assert_eq!(options.keys, Some(("ID".into(), "SECRET".into())));
        assert!(options.is_path_style());
        let words = format!("{options:?}");
        assert!(
            !words.contains("SECRET") && !words.contains("TOKEN"),
            "{words}"
        );
        // The token is one of the keys of the environment.
        let other = options.keys("OTHER", "SECRET");
        assert_eq!(other.session_token, None);
        assert!(other.session_token("MINE").session_token.is_some());
        let url = "S3://films?endpoint=http%3A%2F%2Fh&region=r&forcePathStyle=false";
        let options = S3Options::from_url_and(url, variable).unwrap();
        assert_eq!(
            (&*options.region, &*options.endpoint_url()),
            ("r", "http://h")
        );
        assert!(!options.is_path_style());
        let options = S3Options::from_url_and("s3://films", |_| None).unwrap();
        assert_eq!(options.endpoint_url(), "https://s3.us-east-1.amazonaws.com");
        assert!(!options.is_path_style() && options.keys.is_none());
    }

    #[test]
    fn invalid_options_are_refused() {
        for url in [
            "s3:/x",
            "s3://b?key=SECRET",
            "s3://b?forcePathStyle=1",
            "s3://b/%",
            "s3://ID:SECRET@b",
        ] {
            let error = S3Options::from_url_and(url, |_| None).unwrap_err();
            assert!(!error.to_string().contains("SECRET"), "{url}: {error}");
        }
        for prefix in ["a/../b", "..", ".", "a//b", "a\n", "%2e%2e/a", "a%2F..%2Fb"] {
            assert!(
                S3Options::new("b").prefix(prefix).key_prefix().is_err(),
                "{prefix}"
            );
        }
        let lifetime = |seconds| S3Options::new("b").link_lifetime(Duration::from_secs(seconds));
        for (seconds, is_ok) in [(0, false), (1, true), (604_800, true), (604_801, false)] {
            assert_eq!(lifetime(seconds).is_ok(), is_ok, "{seconds}");
        }
    }
}
