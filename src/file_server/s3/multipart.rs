//! Uploads in parts.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};

use super::super::FileServerError;
use super::super::retry::{Pause, with_retries};
use super::S3;
use super::requests::{Requests, sign_request};
use super::response::malformed;
use crate::http::{HttpClient, Method};
use crate::platform::Platform;
use crate::stream::{Body, SliceBody, read_len_to_vec};

/// The most parts that an upload can have.
const MAX_PARTS: u64 = 10_000;
/// How fast a server puts parts together at least: 8 MiB/s.
const MIN_COMPLETION_RATE: u64 = 8 << 20;
/// How often a part is sent.
const PARTS: Pause = retries(4);
/// How often an upload is completed.
const COMPLETIONS: Pause = retries(4);
/// How often an upload is aborted.
const ABORTS: Pause = retries(4);

const fn retries(attempts: u32) -> Pause {
    Pause {
        attempts,
        base_delay: Duration::from_millis(250),
        max_delay: Duration::from_secs(4),
        ends: None,
    }
}

/// An upload that was begun: what is stored of it costs money until it is completed or aborted.
struct MultipartUpload<'k> {
    key: &'k str,
    id: String,
    /// Of the whole file, in bytes.
    len: u64,
}

impl<H: HttpClient, P: Platform> S3<H, P> {
    pub(super) fn upload_parts(
        &mut self,
        key: &str,
        body: &mut dyn Body,
    ) -> Result<(), FileServerError> {
        let id = self.requests.create(key, self.platform.unix_millis())?;
        let len = body.len();
        let upload = MultipartUpload { key, id, len };
        let stored = self.send_parts(&upload, body);
        let done = stored.and_then(|etags| self.complete(&upload, &etags));
        done.inspect_err(|_| {
            let mut abort = || self.requests.abort(&upload, self.platform.unix_millis());
            if let Err(failed) = with_retries(&ABORTS, &self.platform, &mut abort) {
                log::warn!(target: "natsbridge", "parts of {key} may stay: {:?}", failed.source);
            }
        })
    }

    /// Sends all of `body`, and returns the ETags of its parts.
    fn send_parts(
        &mut self,
        upload: &MultipartUpload<'_>,
        body: &mut dyn Body,
    ) -> Result<Vec<String>, FileServerError> {
        let len = upload.len;
        let part_size = self.options.part_size.max(len.div_ceil(MAX_PARTS));
        let (mut etags, mut part, mut sent) = (Vec::new(), Vec::new(), 0);
        while sent < len {
            let part_len = part_size.min(len - sent);
            read_len_to_vec(body, part_len, &mut part).map_err(FileServerError::local)?;
            sent += part_len;
            etags.push(self.send_part(upload, etags.len() + 1, &part)?);
        }
        Ok(etags)
    }

    /// Sends a part until it is stored, and returns its ETag.
    fn send_part(
        &mut self,
        upload: &MultipartUpload<'_>,
        number: usize,
        part: &[u8],
    ) -> Result<String, FileServerError> {
        let mut etag = String::new();
        let mut put = || {
            let now = self.platform.unix_millis();
            etag = self.requests.put_part(upload, number, part, now)?;
            Ok(())
        };
        let stored = with_retries(&PARTS, &self.platform, &mut put);
        stored.map_err(|failed| failed.source)?;
        Ok(etag)
    }

    fn complete(
        &mut self,
        upload: &MultipartUpload<'_>,
        etags: &[String],
    ) -> Result<(), FileServerError> {
        let mut transient = None;
        let mut complete = || {
            let now = self.platform.unix_millis();
            let Err(error) = self.requests.complete(upload, etags, now) else {
                return Ok(());
            };
            // This response may have been lost, or an earlier one, after which servers refuse another attempt.
            // Nobody else has this key: a file there is this one, complete.
            let may_be_stored = transient.is_some() || super::may_be_stored(&error);
            let now = self.platform.unix_millis();
            if may_be_stored && self.requests.has(upload.key, now) {
                return Ok(());
            }
            if error.is_transient() {
                transient = Some(error.kind());
            }
            Err(error)
        };
        let completed = with_retries(&COMPLETIONS, &self.platform, &mut complete);
        completed.map_err(|failed| match transient {
            // The failed attempt may have removed the parts; the whole file can be sent again.
            Some(kind) if !failed.source.is_transient() => {
                let message =
                    "the completion of a multipart upload failed, and a retry was refused";
                FileServerError::new(kind, message).with_source(failed.source)
            }
            _ => failed.source,
        })
    }
}

impl<H: HttpClient> Requests<H> {
    /// Begins an upload, and returns its id.
    fn create(&mut self, key: &str, now: u64) -> Result<String, FileServerError> {
        let credentials = Some(self.credentials()?);
        let action = self.bucket.create_multipart_upload(credentials, key);
        let url = sign_request(&action, now)?;
        let what = "the start of a multipart upload";
        let (_, text) = self.call_without_body(what, (Method::Post, &url))?;
        let parsed = CreateMultipartUpload::parse_response(text.trim());
        let parsed = parsed.map_err(|_| malformed("the start of a multipart upload has no id"))?;
        Ok(parsed.upload_id().to_string())
    }

    fn put_part(
        &mut self,
        MultipartUpload { key, id, .. }: &MultipartUpload<'_>,
        number: usize,
        part: &[u8],
        now: u64,
    ) -> Result<String, FileServerError> {
        let number = u16::try_from(number).map_err(|_| malformed("too many parts"))?;
        let credentials = Some(self.credentials()?);
        let action = self.bucket.upload_part(credentials, key, number, id);
        let url = sign_request(&action, now)?;
        let what = format!("PUT of part {number}");
        self.store(&what, &url, &[], &mut SliceBody::new(part))
    }

    fn complete(
        &mut self,
        MultipartUpload { key, id, len }: &MultipartUpload<'_>,
        etags: &[String],
        now: u64,
    ) -> Result<(), FileServerError> {
        let credentials = Some(self.credentials()?);
        let etags = etags.iter().map(|etag| &**etag);
        let action = (self.bucket).complete_multipart_upload(credentials, key, id, etags);
        let url = sign_request(&action, now)?;
        let list = action.body();
        let list = &mut SliceBody::new(list.as_bytes());
        let what = "the completion of a multipart upload";
        let more = Duration::from_millis(len.saturating_mul(1000) / MIN_COMPLETION_RATE);
        let (_, text) = self.with_more_time(more, |requests| {
            requests.call(what, (Method::Post, &url), &[], list)
        })?;
        check_completion(text.trim())
    }

    fn with_more_time<T>(&mut self, more: Duration, call: impl FnOnce(&mut Self) -> T) -> T {
        let usual = (self.endpoint.timeout, self.endpoint.idle_timeout);
        self.endpoint.timeout = usual.0.saturating_add(more);
        self.endpoint.idle_timeout = usual.1.saturating_add(more);
        let done = call(self);
        (self.endpoint.timeout, self.endpoint.idle_timeout) = usual;
        done
    }

    fn abort(
        &mut self,
        MultipartUpload { key, id, .. }: &MultipartUpload<'_>,
        now: u64,
    ) -> Result<(), FileServerError> {
        let credentials = Some(self.credentials()?);
        let action = self.bucket.abort_multipart_upload(credentials, key, id);
        let url = sign_request(&action, now)?;
        let what = "the abort of a multipart upload";
        // It is gone if it was completed, or if the response to an earlier abort was lost.
        self.remove(what, &url, "NoSuchUpload")
    }
}

fn check_completion(text: &str) -> Result<(), FileServerError> {
    // The parser accepts what was cut off.
    let is_whole = text.ends_with("CompleteMultipartUploadResult>");
    match CompleteMultipartUploadResponse::parse(text) {
        Ok(_) if is_whole => Ok(()),
        _ => {
            let message = "the completion of a multipart upload is not confirmed";
            Err(malformed(message))
        }
    }
}
