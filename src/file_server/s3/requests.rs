//! Signed requests to a bucket.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use jiff::Timestamp;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use super::super::endpoint::{Endpoint, MAX_ANSWER_LEN};
use super::super::error::check_url;
use super::super::{FileServerError, FileServerErrorKind, OptionError};
use super::options::{S3Options, check_bucket, check_region, invalid};
use super::response::{code, is_error, malformed, refused};
use crate::http::{HttpClient, HttpResponse, Method};
use crate::stream::{Body, Sink, SliceBody, VecSink};

/// How long the signature of a request, not of a link, is valid. Servers check it when a request arrives.
const REQUEST_LIFETIME: Duration = Duration::from_secs(3600);
/// The longest ETag of a file or part, in bytes. Those of all parts are in memory until the upload is completed.
const MAX_ETAG_LEN: usize = 256;
/// The header with the SHA-256 of what is stored, in base64.
const SHA256: &str = "x-amz-checksum-sha256";

/// A bucket, its keys, and the server that has it. Times are in milliseconds since 1970.
pub(super) struct Requests<H> {
    pub(super) endpoint: Endpoint<H>,
    pub(super) bucket: Bucket,
    credentials: Option<Credentials>,
}

/// The URL of a request, signed at a time.
pub(super) fn sign<'a>(
    action: &impl S3Action<'a>,
    lifetime: Duration,
    now: u64,
) -> Result<String, FileServerError> {
    let millis = i64::try_from(now).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(millis).map_err(|error| {
        let message = "the clock of this machine shows a date that cannot be signed";
        FileServerError::new(FileServerErrorKind::Local, message).with_source(error)
    })?;
    Ok(action.sign_with_time(lifetime, &time).into())
}

/// The URL of a request that is made at once.
pub(super) fn sign_request<'a>(
    action: &impl S3Action<'a>,
    now: u64,
) -> Result<String, FileServerError> {
    sign(action, REQUEST_LIFETIME, now)
}

impl<H: HttpClient> Requests<H> {
    pub(super) fn new(http: H, options: &S3Options) -> Result<Self, OptionError> {
        let bucket = bucket_of(options)?;
        Ok(Self {
            endpoint: Endpoint::new(http, bucket.base_url().as_str())?,
            bucket,
            credentials: options.credentials(),
        })
    }

    pub(super) fn credentials(&self) -> Result<&Credentials, FileServerError> {
        self.credentials.as_ref().ok_or_else(|| {
            let message = "there are no keys to sign requests to S3 with";
            FileServerError::new(FileServerErrorKind::Unauthorized, message)
        })
    }

    /// A link to a file.
    pub(super) fn link(
        &self,
        key: &str,
        lifetime: Duration,
        now: u64,
    ) -> Result<String, FileServerError> {
        let action = self.bucket.get_object(Some(self.credentials()?), key);
        sign(&action, lifetime, now)
    }

    /// Stores a file; `sha256` is its digest in base64, if that is known.
    pub(super) fn put(
        &mut self,
        key: &str,
        body: &mut dyn Body,
        sha256: Option<&str>,
        now: u64,
    ) -> Result<(), FileServerError> {
        let mut action = self.bucket.put_object(Some(self.credentials()?), key);
        let header = sha256.map(|digest| (SHA256, digest));
        if let Some((name, value)) = header {
            action.headers_mut().insert(name, value);
        }
        let url = sign_request(&action, now)?;
        self.store("PUT", &url, header.as_slice(), body)?;
        Ok(())
    }

    /// A PUT, and the ETag of what it stored. A success without one is of another server.
    pub(super) fn store(
        &mut self,
        action: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &mut dyn Body,
    ) -> Result<String, FileServerError> {
        let (response, _) = self.call(action, (Method::Put, url), headers, body)?;
        let fault = match response.etag {
            Some(etag) if etag.len() > MAX_ETAG_LEN => {
                format!("with an ETag over {MAX_ETAG_LEN} bytes")
            }
            Some(etag) if !etag.is_empty() => return Ok(etag),
            _ => "without an ETag".into(),
        };
        Err(malformed(&format!("{action} was answered {fault}")))
    }

    pub(super) fn delete(&mut self, key: &str, now: u64) -> Result<(), FileServerError> {
        let action = self.bucket.delete_object(Some(self.credentials()?), key);
        let url = sign_request(&action, now)?;
        self.remove("DELETE", &url, "NoSuchKey")
    }

    /// Makes a request that removes something. It is a success too if the server answers with the code `gone`.
    pub(super) fn remove(
        &mut self,
        action: &str,
        url: &str,
        gone: &str,
    ) -> Result<(), FileServerError> {
        let nothing = &mut SliceBody::new(&[]);
        let (response, text) = self.exchange((Method::Delete, url), &[], nothing)?;
        match is_done(&response, &text) || code(error_body(&response, &text)) == gone {
            true => Ok(()),
            false => Err(self.refused(action, &response, &text)),
        }
    }

    /// Whether there is a file that is not empty, as far as the server can be asked.
    pub(super) fn has(&mut self, key: &str, now: u64) -> bool {
        let Ok(url) = self.link(key, REQUEST_LIFETIME, now) else {
            return false;
        };
        let (first_byte, nothing) = ([("range", "bytes=0-0")], &mut SliceBody::new(&[]));
        let bounded = (1, &mut VecSink::new(1) as &mut dyn Sink);
        let endpoint = &mut self.endpoint;
        let response = endpoint.exchange(Method::Get, &url, &first_byte, nothing, bounded);
        response.is_ok_and(|response| response.status == 206)
    }

    pub(super) fn call_without_body(
        &mut self,
        action: &str,
        request: (Method, &str),
    ) -> Result<(HttpResponse, String), FileServerError> {
        self.call(action, request, &[], &mut SliceBody::new(&[]))
    }

    /// Makes a request, and returns the response of a success and its text.
    pub(super) fn call(
        &mut self,
        action: &str,
        request: (Method, &str),
        headers: &[(&str, &str)],
        body: &mut dyn Body,
    ) -> Result<(HttpResponse, String), FileServerError> {
        let (response, text) = self.exchange(request, headers, body)?;
        match is_done(&response, &text) {
            true => Ok((response, text)),
            false => Err(self.refused(action, &response, &text)),
        }
    }

    /// Makes a request, and returns the response, whatever it says, and the text of one that claims success.
    fn exchange(
        &mut self,
        (method, url): (Method, &str),
        headers: &[(&str, &str)],
        body: &mut dyn Body,
    ) -> Result<(HttpResponse, String), FileServerError> {
        let mut text = VecSink::new(MAX_ANSWER_LEN);
        let bounded = (MAX_ANSWER_LEN as u64, &mut text as &mut dyn Sink);
        let response = self
            .endpoint
            .exchange(method, url, headers, body, bounded)?;
        let text = String::from_utf8_lossy(&text.into_bytes()).into_owned();
        Ok((response, text))
    }

    /// The error for a response. `text` is the body of one that claims success.
    pub(super) fn refused(
        &self,
        action: &str,
        response: &HttpResponse,
        text: &str,
    ) -> FileServerError {
        let body = error_body(response, text);
        refused(action, response, body, |shown| self.without_secrets(shown))
    }

    /// Some servers repeat what they were sent.
    fn without_secrets(&self, text: &str) -> String {
        let Some(credentials) = &self.credentials else {
            return text.into();
        };
        let secrets = [credentials.key(), credentials.secret()];
        let secrets = secrets.into_iter().chain(credentials.token());
        let mut secrets: Vec<_> = secrets.filter(|secret| !secret.is_empty()).collect();
        // One may be the start of another.
        secrets.sort_by_key(|secret| core::cmp::Reverse(secret.len()));
        secrets
            .into_iter()
            .fold(text.into(), |text: String, secret| {
                text.replace(secret, "...")
            })
    }
}

fn is_done(response: &HttpResponse, text: &str) -> bool {
    matches!(response.status, 200 | 201 | 204) && !is_error(text)
}

/// Where the error of a response is. `text` is the body of one that claims success.
fn error_body<'r>(response: &'r HttpResponse, text: &'r str) -> &'r str {
    match response.is_success() {
        true => text,
        false => &response.reason,
    }
}

fn bucket_of(options: &S3Options) -> Result<Bucket, OptionError> {
    check_bucket(&options.bucket)?;
    check_region(&options.region)?;
    let url = options.endpoint_url();
    check_url("endpoint", &url)?;
    let style = match options.is_path_style() {
        true => UrlStyle::Path,
        false => UrlStyle::VirtualHost,
    };
    let reason = "the bucket cannot be a part of its host's name: use path style";
    let no_bucket = || invalid("endpoint", reason);
    let endpoint = url.parse().map_err(|_| no_bucket())?;
    let bucket = Bucket::new(
        endpoint,
        style,
        options.bucket.clone(),
        options.region.clone(),
    );
    bucket.map_err(|_| no_bucket())
}
