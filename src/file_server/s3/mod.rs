//! A bucket of S3, whose links every member can fetch.

mod answer;
mod multipart;
mod options;

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use jiff::Timestamp;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use self::answer::refused;
use self::options::invalid;
use super::endpoint::{Endpoint, MAX_ANSWER_LEN};
use super::error::check_url;
use super::{FileServer, FileServerError, FileServerErrorKind, OptionError, Upload, file_name};
use crate::http::url::{Url, split_scheme};
use crate::http::{HttpClient, HttpResponse, Method};
use crate::platform::{Platform, new_token};
use crate::stream::{Body, Sink, SliceBody, VecSink};
use crate::timestamp::timestamp;

pub use self::options::S3Options;

/// How long a signature of a request, not of a link, is valid. Servers check it when a request arrives.
const REQUEST_LIFETIME: Duration = Duration::from_secs(3600);

/// A bucket of AWS S3, or of any server that speaks its protocol: MinIO, R2, Ceph, Garage.
///
/// A link is a presigned GET: every member of the family can fetch it with plain HTTP until its
/// [lifetime](S3Options::link_lifetime) ends, and whoever has the link can. Nothing is deleted by itself: set a lifecycle
/// rule for the bucket, one that also aborts incomplete multipart uploads. The bucket is never listed.
///
/// A file up to [`multipart_threshold`](S3Options::multipart_threshold) is streamed in one PUT. A longer one is sent in
/// parts; a part that fails with a transient error is sent again, 4 times in all, and after a failure the upload is aborted.
///
/// A download is a plain GET of the link; it needs no keys. The time limits are those of
/// [`HttpPut`](crate::HttpPut), for each request.
///
/// ```
/// use natsbridge::host::{StdPlatform, UreqClient};
/// use natsbridge::{S3, S3Options};
///
/// # #[cfg(feature = "ureq")] {
/// let options = S3Options::new("films").keys("AKIAEXAMPLE", "SECRET");
/// let files = S3::new(UreqClient::new(), StdPlatform, options)?;
/// # }
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
pub struct S3<H, P> {
    endpoint: Endpoint<H>,
    platform: P,
    bucket: Bucket,
    credentials: Option<Credentials>,
    key_prefix: String,
    options: S3Options,
}

impl<H, P> fmt::Debug for S3<H, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3").field(&self.options).finish()
    }
}

impl<H: HttpClient, P: Platform> S3<H, P> {
    /// The bucket of these options. Without keys it only downloads. No connection is made.
    ///
    /// # Errors
    /// [`OptionError`] if the endpoint is not an `http` or `https` URL, or bucket or prefix cannot be used.
    pub fn new(http: H, platform: P, options: S3Options) -> Result<Self, OptionError> {
        let url = options.endpoint_url();
        check_url("endpoint", &url)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let name = &options.bucket;
        if name.is_empty() || name.contains("..") || name == "." || !name.bytes().all(is_plain) {
            return Err(invalid("bucket", "no bucket can have this name"));
        }
        let style = match options.is_path_style() {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let no_bucket = invalid("endpoint", "there is no bucket of that style at it");
        let endpoint = url.parse().map_err(|_| no_bucket.clone())?;
        let bucket = Bucket::new(endpoint, style, name.clone(), options.region.clone());
        let bucket = bucket.map_err(|_| no_bucket)?;
        let mut endpoint = Endpoint::new(http, bucket.base_url().as_str())?;
        // An early refusal of an upload is mostly lost otherwise.
        endpoint.ask_first();
        Ok(Self {
            endpoint,
            platform,
            credentials: credentials_of(&options),
            bucket,
            key_prefix: options.key_prefix()?,
            options,
        })
    }

    /// The fixed part of the time limit of an exchange; the time for its bytes is added. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.endpoint.timeout = timeout;
        self
    }

    /// How long no byte may move in an exchange. Default 30 s.
    #[must_use]
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.endpoint.idle_timeout = idle_timeout;
        self
    }

    fn credentials(&self) -> Result<&Credentials, FileServerError> {
        self.credentials.as_ref().ok_or_else(|| {
            let message = "there are no keys to sign requests to S3 with";
            FileServerError::new(FileServerErrorKind::Unauthorized, message)
        })
    }

    fn now(&self) -> Result<Timestamp, FileServerError> {
        let millis = i64::try_from(self.platform.unix_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).map_err(|_| {
            let message = "the clock of this machine shows a date that cannot be signed";
            FileServerError::new(FileServerErrorKind::Local, message)
        })
    }

    /// A URL with a signature.
    fn sign<'a>(
        &self,
        action: &impl S3Action<'a>,
        lifetime: Duration,
    ) -> Result<String, FileServerError> {
        Ok(action.sign_with_time(lifetime, &self.now()?).into())
    }

    /// Makes a request, and reads its response and the text of a successful one.
    fn call(
        &mut self,
        method: Method,
        url: &str,
        body: &mut dyn Body,
    ) -> Result<(HttpResponse, String), FileServerError> {
        let mut answer = VecSink::new(MAX_ANSWER_LEN);
        let bounded = (MAX_ANSWER_LEN as u64, &mut answer as &mut dyn Sink);
        let response = self.endpoint.exchange(method, url, &[], body, bounded)?;
        let text = match response.is_success() {
            true => String::from_utf8_lossy(&answer.into_bytes()).into_owned(),
            false => response.reason.clone(),
        };
        let text = self.without_secrets(text);
        Ok((response, text))
    }

    /// Some servers repeat what they were sent.
    fn without_secrets(&self, text: String) -> String {
        let Some(credentials) = &self.credentials else {
            return text;
        };
        let secrets = [credentials.key(), credentials.secret()];
        let secrets = secrets.into_iter().chain(credentials.token());
        secrets
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| text.replace(secret, "..."))
    }

    fn put(&mut self, key: &str, body: &mut dyn Body) -> Result<(), FileServerError> {
        let action = self.bucket.put_object(Some(self.credentials()?), key);
        let url = self.sign(&action, REQUEST_LIFETIME)?;
        match self.call(Method::Put, &url, body)? {
            (response, text) if response.status == 200 && !text.contains("<Error>") => Ok(()),
            (response, text) => Err(refused("PUT", &response, &text)),
        }
    }

    fn delete_key(&mut self, key: &str) -> Result<(), FileServerError> {
        let action = self.bucket.delete_object(Some(self.credentials()?), key);
        let url = self.sign(&action, REQUEST_LIFETIME)?;
        match self.call(Method::Delete, &url, &mut SliceBody::new(&[]))? {
            (response, _) if matches!(response.status, 200 | 204) => Ok(()),
            (response, text) => Err(refused("DELETE", &response, &text)),
        }
    }

    /// The error for a link that was not answered with its file.
    fn not_downloaded(&self, url: &str, response: &HttpResponse) -> FileServerError {
        let reason = self.without_secrets(response.reason.clone());
        let error = refused("GET", response, &reason);
        let is_refusal = matches!(response.status, 400 | 401 | 403);
        let end = end_of(url);
        let is_over = end.is_some_and(|end| end <= self.platform.unix_millis());
        let words = reason.to_ascii_lowercase();
        let is_expired = words.contains("expired") && !words.contains("<code>signaturedoes");
        if !is_refusal || !(is_over || is_expired) {
            return error;
        }
        let message = match end {
            Some(end) if is_over => format!("the link expired at {}", timestamp(end)),
            _ => "the link has expired".into(),
        };
        FileServerError::new(FileServerErrorKind::Expired, message).with_source(error)
    }
}

impl<H: HttpClient, P: Platform> FileServer for S3<H, P> {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let token = new_token(&self.platform).map_err(|error| {
            FileServerError::new(FileServerErrorKind::Local, "no unique name").with_source(error)
        })?;
        let key = format!("{}{token}-{}", self.key_prefix, file_name(dataname));
        let stored = match body.len() <= self.options.multipart_threshold {
            true => self.put(&key, body),
            false => self.upload_parts(&key, body),
        };
        stored.inspect_err(|error| {
            // The server may have stored the file without a response.
            if error.is_transient() || error.kind() == FileServerErrorKind::InvalidAnswer {
                self.delete_key(&key).ok();
            }
        })?;
        let action = self.bucket.get_object(Some(self.credentials()?), &key);
        let mut upload = Upload::new(self.sign(&action, self.options.link_lifetime)?);
        upload.delete_key = Some(key);
        Ok(upload)
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let nothing = &mut SliceBody::new(&[]);
        let response = (self.endpoint).exchange(Method::Get, url, &[], nothing, (limit, sink))?;
        match response.status {
            200 => Ok(response.body_len),
            _ => Err(self.not_downloaded(url, &response)),
        }
    }

    /// Links of this bucket.
    fn owns(&self, url: &str) -> bool {
        let base = path_of(self.bucket.base_url().as_str());
        let path = path_of(url);
        self.endpoint.is_at(url)
            && path.len() > base.len()
            && path.starts_with(base)
            && is_flat(path)
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        match &upload.delete_key {
            Some(key) if key.starts_with(&*self.key_prefix) && is_key(key) => self.delete_key(key),
            _ => {
                let message = "the upload has no key of this bucket";
                Err(FileServerError::new(
                    FileServerErrorKind::InvalidUrl,
                    message,
                ))
            }
        }
    }
}

fn credentials_of(options: &S3Options) -> Option<Credentials> {
    let (id, secret) = options.keys.clone()?;
    Some(match options.session_token.clone() {
        Some(token) => Credentials::new_with_token(id, secret, token),
        None => Credentials::new(id, secret),
    })
}

/// A key that is one in a URL too: an empty one is the bucket itself, and dots lead out of it.
fn is_key(key: &str) -> bool {
    !key.is_empty()
        && !key
            .split('/')
            .any(|segment| matches!(segment, "" | "." | ".."))
}

/// From the first slash behind the host to the query.
fn path_of(url: &str) -> &str {
    let rest = split_scheme(url).map_or("", |(_, rest)| rest);
    let path = rest.find('/').map_or("", |start| &rest[start..]);
    path.split(['?', '#']).next().unwrap_or_default()
}

/// Whether no reader of the path can find a segment in it that leads out of the bucket.
fn is_flat(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    let path = path.replace("%2f", "/").replace("%5c", "/");
    !path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// When a presigned link ends, in milliseconds since 1970.
fn end_of(url: &str) -> Option<u64> {
    Url::parse(url)?;
    let (_, query) = url.split_once('?')?;
    let value = |wanted: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(name, _)| *name == wanted);
        found.next().map(|(_, value)| value)
    };
    let start: Timestamp = value("X-Amz-Date")?.parse().ok()?;
    let start = u64::try_from(start.as_millisecond()).ok()?;
    let lifetime: u64 = value("X-Amz-Expires")?.parse().ok()?;
    start.checked_add(lifetime.checked_mul(1000)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_tells_when_it_ends() {
        let url = "http://h/b/k?X-Amz-Date=20260306T011915Z&X-Amz-Expires=60&X-Amz-Signature=x";
        assert_eq!(end_of(url), Some(1_772_760_015_000));
        for url in [
            "http://h/b/k",
            "http://h/b/k?X-Amz-Date=x&X-Amz-Expires=1",
            "",
        ] {
            assert_eq!(end_of(url), None, "{url}");
        }
        let huge = "http://h/k?X-Amz-Date=20260306T011915Z&X-Amz-Expires=18446744073709551615";
        assert_eq!(end_of(huge), None);
    }
}
