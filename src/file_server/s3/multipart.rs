//! Uploads in parts.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};

use super::super::retry::Pause;
use super::answer::{malformed, refused};
use super::{FileServerError, REQUEST_LIFETIME, S3};
use crate::http::{HttpClient, Method};
use crate::platform::Platform;
use crate::stream::{Body, SliceBody, StreamError, check_length};

/// The most parts that an upload can have.
const MAX_PARTS: u64 = 10_000;
const RETRIES: Pause = Pause {
    attempts: 4,
    base_delay: Duration::from_millis(250),
    max_delay: Duration::from_secs(4),
    ends: None,
};

/// An upload that was begun: what is stored of it costs money until it is completed or aborted.
struct Begun<'k> {
    key: &'k str,
    id: String,
}

impl<H: HttpClient, P: Platform> S3<H, P> {
    pub(super) fn upload_parts(
        &mut self,
        key: &str,
        body: &mut dyn Body,
    ) -> Result<(), FileServerError> {
        let id = self.begin(key)?;
        let begun = Begun { key, id };
        let stored = self.send_parts(&begun, body);
        let done = stored.and_then(|etags| self.complete(&begun, &etags));
        done.inspect_err(|_| {
            self.abort(&begun).ok();
        })
    }

    fn begin(&mut self, key: &str) -> Result<String, FileServerError> {
        let credentials = Some(self.credentials()?);
        let action = self.bucket.create_multipart_upload(credentials, key);
        let url = self.sign(&action, REQUEST_LIFETIME)?;
        let (response, text) = self.call(Method::Post, &url, &mut SliceBody::new(&[]))?;
        if response.status != 200 || text.contains("<Error>") {
            return Err(refused("the start of a multipart upload", &response, &text));
        }
        let parsed = CreateMultipartUpload::parse_response(text.trim());
        let parsed = parsed.map_err(|_| malformed("the start of a multipart upload has no id"))?;
        Ok(parsed.upload_id().to_string())
    }

    fn send_parts(
        &mut self,
        begun: &Begun<'_>,
        body: &mut dyn Body,
    ) -> Result<Vec<String>, FileServerError> {
        let len = body.len();
        let part_size = self.options.part_size.max(len.div_ceil(MAX_PARTS));
        let (mut etags, mut part, mut sent) = (Vec::new(), Vec::new(), 0);
        while sent < len {
            let wanted = part_size.min(len - sent);
            fill(&mut part, wanted, body).map_err(FileServerError::local)?;
            sent += wanted;
            etags.push(self.send_part(begun, etags.len() + 1, &part)?);
        }
        // A longer body would be cut to its declared length.
        let more = body.read(&mut [0]).map_err(FileServerError::local)?;
        check_length(len, len + more as u64).map_err(FileServerError::local)?;
        Ok(etags)
    }

    /// Sends a part until it is stored, and returns its ETag.
    fn send_part(
        &mut self,
        begun: &Begun<'_>,
        number: usize,
        part: &[u8],
    ) -> Result<String, FileServerError> {
        let mut attempts = 1;
        loop {
            let error = match self.put_part(begun, number, part) {
                Err(error) if error.is_transient() && attempts < RETRIES.attempts => error,
                done => return done,
            };
            let delay = RETRIES.after(attempts, &self.platform);
            let asked = error.retry_after().unwrap_or_default();
            self.platform.wait(delay.max(asked.min(RETRIES.max_delay)));
            attempts += 1;
        }
    }

    fn put_part(
        &mut self,
        begun: &Begun<'_>,
        number: usize,
        part: &[u8],
    ) -> Result<String, FileServerError> {
        let Begun { key, id } = begun;
        let number = u16::try_from(number).map_err(|_| malformed("too many parts"))?;
        let credentials = Some(self.credentials()?);
        let action = self.bucket.upload_part(credentials, key, number, id);
        let url = self.sign(&action, REQUEST_LIFETIME)?;
        let (response, text) = self.call(Method::Put, &url, &mut SliceBody::new(part))?;
        if response.status != 200 || text.contains("<Error>") {
            return Err(refused(&format!("PUT of part {number}"), &response, &text));
        }
        let etag = response.etag.filter(|etag| !etag.is_empty());
        etag.ok_or_else(|| malformed("a part was answered without an ETag"))
    }

    fn complete(&mut self, begun: &Begun<'_>, etags: &[String]) -> Result<(), FileServerError> {
        let credentials = Some(self.credentials()?);
        let etags = etags.iter().map(|etag| &**etag);
        let Begun { key, id } = begun;
        let action = (self.bucket).complete_multipart_upload(credentials, key, id, etags);
        let url = self.sign(&action, REQUEST_LIFETIME)?;
        let list = action.body();
        let (response, text) =
            self.call(Method::Post, &url, &mut SliceBody::new(list.as_bytes()))?;
        // A failure may be reported after the status 200.
        if response.status != 200 || text.contains("<Error>") {
            let what = "the completion of a multipart upload";
            return Err(refused(what, &response, &text));
        }
        let text = text.trim();
        // The parser accepts what was cut off.
        let is_whole = text.ends_with("CompleteMultipartUploadResult>");
        match CompleteMultipartUploadResponse::parse(text) {
            Ok(_) if is_whole => Ok(()),
            _ => Err(malformed(
                "the completion of a multipart upload is not confirmed",
            )),
        }
    }

    fn abort(&mut self, begun: &Begun<'_>) -> Result<(), FileServerError> {
        let Begun { key, id } = begun;
        let credentials = Some(self.credentials()?);
        let action = self.bucket.abort_multipart_upload(credentials, key, id);
        let url = self.sign(&action, REQUEST_LIFETIME)?;
        self.call(Method::Delete, &url, &mut SliceBody::new(&[]))?;
        Ok(())
    }
}

/// Reads the next `len` bytes into memory.
fn fill(part: &mut Vec<u8>, len: u64, body: &mut dyn Body) -> Result<(), StreamError> {
    let no_memory = |_| StreamError::OutOfMemory {
        len: usize::try_from(len).unwrap_or(usize::MAX),
    };
    let room = usize::try_from(len).unwrap_or(usize::MAX);
    part.clear();
    part.try_reserve_exact(room).map_err(no_memory)?;
    part.resize(room, 0);
    let mut read = 0;
    while read < room {
        match body.read(&mut part[read..])? {
            0 => return check_length(len, read as u64),
            count => read += count,
        }
    }
    Ok(())
}
