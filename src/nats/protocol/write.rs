//! What a client says.

use alloc::vec::Vec;

use crate::json;
use crate::json::number::Digits;

/// The end of a control line, and what follows a payload.
pub(crate) const CRLF: &[u8] = b"\r\n";

/// What CONNECT tells the server. There is no `Debug`: it would print secrets.
#[derive(Clone, Default)]
pub(crate) struct ConnectOptions<'a> {
    /// Whether the connection is encrypted.
    pub(crate) tls_required: bool,
    /// Name of the client, shown in the server's monitoring.
    pub(crate) name: Option<&'a str>,
    /// Whether own messages come back to own subscriptions.
    pub(crate) echo: bool,
    /// Whether the client understands HMSG and wants a status 503 for a request without responders. Only
    /// to a server that has headers: others refuse it.
    pub(crate) headers: bool,
    /// User name.
    pub(crate) user: Option<&'a str>,
    /// Password.
    pub(crate) password: Option<&'a str>,
    /// Token, instead of user and password.
    pub(crate) auth_token: Option<&'a str>,
    /// Public nkey.
    pub(crate) nkey: Option<&'a str>,
    /// User JWT.
    pub(crate) jwt: Option<&'a str>,
    /// Signature of the server's nonce, in URL-safe base64.
    pub(crate) signature: Option<&'a str>,
}

/// Appends `CONNECT {json}`. JSON escapes control characters, so no option can end the line early.
pub(crate) fn connect(out: &mut Vec<u8>, options: &ConnectOptions) {
    let flag = |on: bool| if on { "true" } else { "false" };
    put(
        out,
        &[
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"",
            env!("CARGO_PKG_VERSION"),
            // 1: the client understands an INFO at any time.
            "\",\"protocol\":1,\"tls_required\":",
            flag(options.tls_required),
            ",\"echo\":",
            flag(options.echo),
            ",\"headers\":",
            flag(options.headers),
            ",\"no_responders\":",
            flag(options.headers),
        ],
    );
    for (name, text) in [
        ("name", options.name),
        ("user", options.user),
        ("pass", options.password),
        ("auth_token", options.auth_token),
        ("nkey", options.nkey),
        ("jwt", options.jwt),
        ("sig", options.signature),
    ] {
        if let Some(text) = text {
            put(out, &[",\"", name, "\":"]);
            json::write_text(out, text);
        }
    }
    put(out, &["}\r\n"]);
}

/// Appends the `PUB` line. `payload_len` bytes of payload and a [`CRLF`] must follow.
///
/// `subject` and `reply` must have been checked: this function only debug-asserts that no blank, CR or LF
/// is in them, and any of those would change the meaning of what follows.
pub(crate) fn publish_head(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    payload_len: usize,
) {
    debug_assert_word(subject);
    put(out, &["PUB ", subject, " "]);
    if let Some(reply) = reply {
        debug_assert_word(reply);
        put(out, &[reply, " "]);
    }
    put(out, &[Digits::of(payload_len as u64).as_str(), "\r\n"]);
}

/// Appends the `HPUB` line and the header block. `payload_len` bytes of payload and a [`CRLF`] must follow.
///
/// `subject` and `reply` must have been checked, as for [`publish_head`], and `headers` by
/// [`check_headers`](super::headers::check_headers).
pub(crate) fn publish_head_with_headers(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    headers: &[(&str, &str)],
    payload_len: usize,
) {
    debug_assert_word(subject);
    put(out, &["HPUB ", subject, " "]);
    if let Some(reply) = reply {
        debug_assert_word(reply);
        put(out, &[reply, " "]);
    }
    let headers_len = headers_len(headers);
    let total = payload_len.saturating_add(headers_len);
    let (headers_len, total) = (Digits::of(headers_len as u64), Digits::of(total as u64));
    put(
        out,
        &[
            headers_len.as_str(),
            " ",
            total.as_str(),
            "\r\n",
            VERSION_LINE,
        ],
    );
    for (name, value) in headers {
        put(out, &[name, ": ", value, "\r\n"]);
    }
    put(out, &["\r\n"]);
}

/// The first line of a header block (ADR-4).
const VERSION_LINE: &str = "NATS/1.0\r\n";

/// The length in bytes of the block that [`publish_head_with_headers`] writes; 0 without headers.
pub(crate) fn headers_len(headers: &[(&str, &str)]) -> usize {
    if headers.is_empty() {
        return 0;
    }
    let lines = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4);
    VERSION_LINE.len() + lines.sum::<usize>() + CRLF.len()
}

/// Appends a `SUB` line. `sid` is chosen by the client, one per subscription of a connection.
///
/// `subject` and `queue` must have been checked, as for [`publish_head`].
pub(crate) fn subscribe(out: &mut Vec<u8>, subject: &str, queue: Option<&str>, sid: u64) {
    debug_assert_word(subject);
    put(out, &["SUB ", subject, " "]);
    if let Some(queue) = queue {
        debug_assert_word(queue);
        put(out, &[queue, " "]);
    }
    put(out, &[Digits::of(sid).as_str(), "\r\n"]);
}

/// Appends an `UNSUB` line: the subscription ends at once.
pub(crate) fn unsubscribe(out: &mut Vec<u8>, sid: u64) {
    put(out, &["UNSUB ", Digits::of(sid).as_str(), "\r\n"]);
}

/// Appends `PING`.
pub(crate) fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// Appends `PONG`.
pub(crate) fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn debug_assert_word(text: &str) {
    debug_assert!(!text.is_empty(), "empty argument in a control line");
    debug_assert!(
        !text.contains([' ', '\t', '\r', '\n']),
        "blank or line end in an argument of a control line"
    );
}
