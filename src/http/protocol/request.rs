//! Writes the head of a request.

use alloc::vec::Vec;

use super::error::RequestError;
use crate::http::{RESERVED_HEADERS, is_token};
use crate::json::number::Digits;

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHead<'a> {
    /// `GET`, `POST`, ...: methods are case-sensitive.
    pub(crate) method: &'a str,
    /// Path and query, percent-encoded, from the first `/` on and without a fragment.
    pub(crate) target: &'a str,
    /// Host name or address, with the port if it is not 80.
    pub(crate) host: &'a str,
    /// More fields, as name and value.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// Length of the body in bytes, if there is a body.
    pub(crate) content_length: Option<u64>,
    /// Whether the server should close the connection after its response. False keeps it open, the default of
    /// HTTP/1.1 (RFC 9112 section 9.3).
    pub(crate) close: bool,
}

impl RequestHead<'_> {
    /// Appends the head, with the empty line at its end.
    ///
    /// # Errors
    /// A part has an invalid character. Nothing was appended then.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), RequestError> {
        self.check()?;
        put(
            out,
            &[
                self.method,
                " ",
                self.target,
                " HTTP/1.1\r\nHost: ",
                self.host,
                "\r\n",
            ],
        );
        if let Some(length) = self.content_length {
            put(
                out,
                &["Content-Length: ", Digits::of(length).as_str(), "\r\n"],
            );
        }
        if self.close {
            put(out, &["Connection: close\r\n"]);
        }
        for (name, value) in self.headers {
            put(out, &[name, ": ", value, "\r\n"]);
        }
        put(out, &["\r\n"]);
        Ok(())
    }

    fn check(&self) -> Result<(), RequestError> {
        if !is_token(self.method) {
            return Err(RequestError::BadMethod);
        }
        // Origin form only (RFC 9112 section 3.2.1).
        if !self.target.starts_with('/') {
            return Err(RequestError::BadTarget { at: 0 });
        }
        if let Some(at) = self
            .target
            .bytes()
            .position(|byte| !byte.is_ascii_graphic() || byte == b'#')
        {
            return Err(RequestError::BadTarget { at });
        }
        let bad_in_host = self.host.bytes().position(|byte| !is_host_byte(byte));
        if let Some(at) = bad_in_host.or(self.host.is_empty().then_some(0)) {
            return Err(RequestError::BadHost { at });
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            check_header(index, name, value)?;
        }
        Ok(())
    }
}

fn check_header(index: usize, name: &str, value: &str) -> Result<(), RequestError> {
    if !is_token(name) {
        return Err(RequestError::BadHeaderName { index });
    }
    if RESERVED_HEADERS
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
    {
        return Err(RequestError::ReservedHeader { index });
    }
    // RFC 9110 section 5.5: a tab is the only control character in a value.
    match value
        .bytes()
        .position(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        Some(at) => Err(RequestError::BadHeaderValue { index, at }),
        None => Ok(()),
    }
}

/// Characters of a host and a port (RFC 3986 section 3.2.2 and 3.2.3).
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}

pub(super) fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}
