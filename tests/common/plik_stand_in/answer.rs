//! Answers, and refusals on their way to become one.

use std::io::Cursor;
use std::sync::Arc;

use serde_json::Value;
use tiny_http::{Header, Response};

use super::call::Call;
use super::uploads::StoredFile;

pub(super) const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const BINARY: &str = "application/octet-stream";

pub(super) struct Answer {
    status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Arc<[u8]>,
    pub(super) truncated: bool,
}

impl Answer {
    pub(super) fn new(status: u16, kind: &str, body: Arc<[u8]>) -> Self {
        let headers = vec![("Content-Type", kind.to_owned())];
        Self {
            status,
            headers,
            body,
            truncated: false,
        }
    }

    pub(super) fn text(text: &str, kind: &str) -> Self {
        Self::new(200, kind, text.as_bytes().into())
    }

    /// Plik API: JSON goes out without its content type.
    pub(super) fn json(value: &Value) -> Self {
        Self::text(&value.to_string(), PLAIN_TEXT)
    }

    pub(super) fn moved_to(target: &str) -> Self {
        let mut answer = Self::new(301, HTML, b"<a>Moved Permanently</a>.\n\n"[..].into());
        answer.headers.push(("Location", ascii(target)));
        answer
    }

    /// Plik API: download.
    pub(super) fn file(file: &StoredFile, as_attachment: bool, one_shot: bool) -> Self {
        let kind = match file.kind {
            HTML => PLAIN_TEXT,
            "" => BINARY,
            kind => kind,
        };
        let mut answer = Self::new(200, kind, Arc::clone(&file.bytes));
        // The misspelling is the server's own.
        let attachment = if as_attachment { "attachement; " } else { "" };
        let disposition = format!("{attachment}filename=\"{}\"", ascii(&file.name));
        answer.headers.push(("Content-Disposition", disposition));
        if one_shot {
            let no_cache = "no-cache, no-store, must-revalidate";
            answer.headers.push(("Cache-Control", no_cache.to_owned()));
            answer.headers.push(("Pragma", "no-cache".to_owned()));
            answer.headers.push(("Expires", "0".to_owned()));
        }
        answer
    }

    pub(super) fn into_response(self) -> Response<Cursor<Arc<[u8]>>> {
        let headers = self.headers.iter().map(|(field, value)| {
            Header::from_bytes(*field, value.as_str()).expect("ASCII, as made here")
        });
        let (headers, length) = (headers.collect(), self.body.len());
        let body = Cursor::new(self.body);
        // Plik API: download. The length is always told, where tiny_http would send chunks.
        Response::new(self.status.into(), headers, body, Some(length), None)
            .with_chunked_threshold(usize::MAX)
    }
}

pub(super) struct Refusal {
    pub(super) status: u16,
    text: String,
}

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }

    /// Plik API: the redirect trap. The text goes into the location as it is, spaces and all.
    pub(super) fn hidden(self, call: &Call) -> Answer {
        let (text, status, uri) = (self.shown_text(), self.status, &call.target);
        Answer::moved_to(&format!("/#/?err={text}&errcode={status}&uri={uri}"))
    }

    /// Plik API: errors. What went wrong inside is not told.
    fn shown_text(&self) -> &str {
        if self.status == 500 {
            "internal server error"
        } else {
            &self.text
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let line = format!("{}\n", refusal.shown_text());
        let mut answer = Self::new(refusal.status, PLAIN_TEXT, line.into_bytes().into());
        if refusal.status == 401 {
            let challenge = "Basic realm=\"plik\"".to_owned();
            answer.headers.push(("WWW-Authenticate", challenge));
        }
        answer
    }
}

/// Header text: what is not ASCII is percent-encoded, as the server does in a location.
fn ascii(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => encoded += &format!("%{byte:02x}"),
        }
    }
    encoded
}
