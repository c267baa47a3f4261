//! A bucket of S3, whose links every member can fetch.

mod link;
mod multipart;
mod options;
mod requests;
mod response;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use self::link::{end_of, is_key, key_of};
use self::requests::Requests;
use self::response::tells_of_expiry;
use super::{FileServer, FileServerError, FileServerErrorKind, OptionError, Upload, unique_name};
use crate::http::{HttpClient, HttpResponse, Method};
use crate::platform::Platform;
use crate::stream::{Body, Sink, SliceBody, read_to_vec};
use crate::timestamp::timestamp;

pub use self::options::S3Options;

/// A bucket of AWS S3, or of any server that speaks its protocol: MinIO, R2, Ceph, Garage.
///
/// A link is a presigned GET: every member of the family can fetch it with plain HTTP until its
/// [lifetime](S3Options::link_lifetime) ends, and whoever has the link can. A download of it after that is an error of kind
/// [`Expired`](FileServerErrorKind::Expired). No file is deleted by itself: set a lifecycle rule for the bucket, one that also
/// aborts incomplete multipart uploads. The bucket is never listed.
///
/// A file up to [`multipart_threshold`](S3Options::multipart_threshold) is streamed in one PUT. A longer one is sent in
/// parts; a part or completion that fails with a transient error is sent again, 4 times in all, and after a failure the upload is aborted,
/// if the server can be reached: if not, a warning in the log says so, and its parts stay until the lifecycle rule. If the
/// response to the start of the upload is lost, it stays too, without parts and without a warning.
///
/// A download is a plain GET of the link; it needs no keys. The time limits are those of
/// [`HttpPut`](crate::HttpPut), for each request; the one that puts parts together gets a second more for each 8 MiB.
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
    requests: Requests<H>,
    platform: P,
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
        Ok(Self {
            requests: Requests::new(http, &options)?,
            platform,
            key_prefix: options.key_prefix()?,
            options,
        })
    }

    /// The fixed part of the time limit of an exchange; the time for its bytes is added. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.requests.endpoint.timeout = timeout;
        self
    }

    /// How long no byte may move in an exchange. Default 30 s.
    #[must_use]
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.requests.endpoint.idle_timeout = idle_timeout;
        self
    }

    fn put(&mut self, key: &str, body: &mut dyn Body) -> Result<(), FileServerError> {
        let now = self.platform.unix_millis();
        if body.len() > self.options.checksum_limit {
            return self.requests.put(key, body, None, now);
        }
        let mut bytes = Vec::new();
        read_to_vec(body, &mut bytes).map_err(FileServerError::local)?;
        let sha256 = STANDARD.encode(Sha256::digest(&bytes));
        let body = &mut SliceBody::new(&bytes);
        self.requests.put(key, body, Some(&sha256), now)
    }

    /// The key behind one of our links.
    fn key_of(&self, url: &str) -> Option<String> {
        key_of(url, self.requests.bucket.base_url().as_str())
    }

    /// A signature of our own for a file under our prefix, if the options say so.
    fn sign_anew(&self, url: &str) -> Result<Option<String>, FileServerError> {
        let key = self.key_of(url).filter(|key| self.is_ours(key));
        match key.filter(|_| self.options.sign_anew) {
            Some(key) => {
                let (lifetime, now) = (self.options.link_lifetime, self.platform.unix_millis());
                self.requests.link(&key, lifetime, now).map(Some)
            }
            None => Ok(None),
        }
    }

    fn is_ours(&self, key: &str) -> bool {
        key.starts_with(&*self.key_prefix) && is_key(key)
    }

    /// The error for a link that was not answered with its file.
    fn not_downloaded(&self, url: &str, response: &HttpResponse) -> FileServerError {
        let error = self.requests.refused("GET", response, "");
        if !matches!(response.status, 400 | 401 | 403) {
            return error;
        }
        let end = end_of(url);
        let is_over = end.is_some_and(|end| end <= self.platform.unix_millis());
        let message = match end {
            Some(end) if is_over => format!("the link expired at {}", timestamp(end)),
            // The clocks differ, or temporary keys have ended before the link.
            Some(end) if tells_of_expiry(&response.reason) => {
                format!("the link has expired, before its end at {}", timestamp(end))
            }
            _ => return error,
        };
        FileServerError::new(FileServerErrorKind::Expired, message).with_source(error)
    }
}

/// Whether the server may have stored what it was sent, without a response that says so.
fn may_be_stored(error: &FileServerError) -> bool {
    error.is_transient() || error.kind() == FileServerErrorKind::InvalidAnswer
}

impl<H: HttpClient, P: Platform> FileServer for S3<H, P> {
    fn upload(&mut self, dataname: &str, body: &mut dyn Body) -> Result<Upload, FileServerError> {
        let name = unique_name(&self.platform, dataname)?;
        let key = format!("{}{name}", self.key_prefix);
        let stored = match body.len() <= self.options.multipart_threshold {
            true => self.put(&key, body),
            false => self.upload_parts(&key, body),
        };
        stored.inspect_err(|error| {
            if may_be_stored(error) {
                let now = self.platform.unix_millis();
                self.requests.delete(&key, now).ok();
            }
        })?;
        let (lifetime, now) = (self.options.link_lifetime, self.platform.unix_millis());
        let mut upload = Upload::new(self.requests.link(&key, lifetime, now)?);
        upload.delete_key = Some(key);
        Ok(upload)
    }

    fn download(
        &mut self,
        url: &str,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<u64, FileServerError> {
        let signed = self.sign_anew(url)?;
        let url = signed.as_deref().unwrap_or(url);
        let nothing = &mut SliceBody::new(&[]);
        let endpoint = &mut self.requests.endpoint;
        let response = endpoint.exchange(Method::Get, url, &[], nothing, (limit, sink))?;
        match response.status {
            200 => Ok(response.body_len),
            _ => Err(self.not_downloaded(url, &response)),
        }
    }

    /// Links of this bucket.
    fn owns(&self, url: &str) -> bool {
        self.key_of(url).is_some()
    }

    fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError> {
        let key = upload.delete_key.as_deref();
        let is_it =
            |key: &&str| self.is_ours(key) && self.key_of(&upload.url).as_deref() == Some(*key);
        let key = key.filter(is_it).ok_or_else(|| {
            let message = "the upload is not one to this bucket";
            FileServerError::new(FileServerErrorKind::InvalidUrl, message)
        })?;
        self.requests.delete(key, self.platform.unix_millis())
    }
}
