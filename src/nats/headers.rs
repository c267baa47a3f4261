//! Headers of a message (ADR-4), as lines that are read when one is asked for.

use alloc::vec::Vec;
use core::fmt;

use super::error::{BrokerError, BrokerErrorKind};
use crate::cause::text;
use crate::json::number::decimal;

/// The headers of a received [`Message`](super::Message): names and values in the order in which they came.
///
/// Names are case-sensitive, as NATS has them. A line without a colon, or that is not UTF-8, is
/// passed over: another client wrote it, and the message is worth no less for it.
///
/// ```
/// use natsbridge::Headers;
///
/// let headers: Headers = [("Nats-Msg-Id", "17"), ("Color", "red")].into_iter().collect();
/// assert_eq!(headers.get("Color"), Some("red"));
/// assert_eq!(headers.get("color"), None);
/// assert_eq!(headers.iter().count(), 2);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// From `NATS/1.0` to the empty line; empty without headers.
    block: Vec<u8>,
}

impl Headers {
    pub(crate) fn from_block(block: Vec<u8>) -> Self {
        Self { block }
    }

    pub(crate) fn block(&self) -> &[u8] {
        &self.block
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Names and values, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines().skip(1).filter_map(|line| {
            let (name, value) = core::str::from_utf8(line).ok()?.split_once(':')?;
            Some((name, value.trim_ascii()))
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The length in bytes of the block on the wire.
    pub(crate) fn block_len(&self) -> usize {
        self.block.len()
    }

    /// The status of a message that the server made itself, such as 503 in `NATS/1.0 503`: three digits,
    /// then a blank or the end of the line.
    pub(crate) fn status(&self) -> Option<u16> {
        let (digits, rest) = self.status_line()?.split_at_checked(3)?;
        if !matches!(rest.first(), None | Some(b' ')) {
            return None;
        }
        u16::try_from(decimal(digits)?).ok()
    }

    /// What the server says behind its status, such as `No Messages`.
    pub(crate) fn description(&self) -> Option<&str> {
        self.status()?;
        let description = core::str::from_utf8(self.status_line()?.get(3..)?);
        description.ok().map(str::trim_ascii)
    }

    fn status_line(&self) -> Option<&[u8]> {
        self.lines().next()?.strip_prefix(b"NATS/1.0 ")
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.block.split(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(headers: I) -> Self {
        let mut block = Vec::from(&b"NATS/1.0\r\n"[..]);
        for (name, value) in headers {
            for part in [name, ": ", value, "\r\n"] {
                block.extend_from_slice(part.as_bytes());
            }
        }
        block.extend_from_slice(b"\r\n");
        Self { block }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Refuses headers that would end their line early, or be read as another header.
///
/// # Errors
/// [`BrokerErrorKind::InvalidHeader`] that names the header.
pub(crate) fn check_headers(headers: &[(&str, &str)]) -> Result<(), BrokerError> {
    let is_token = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    for (name, value) in headers {
        let fault = if name.is_empty() || !name.bytes().all(is_token) {
            "its name must be visible ASCII characters other than `:`"
        } else if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
            "its value has a line end"
        } else {
            continue;
        };
        let message = text(format_args!("the header `{name}` cannot be used: {fault}"));
        return Err(BrokerError::new(BrokerErrorKind::InvalidHeader, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &[u8]) -> Headers {
        Headers::from_block(text.to_vec())
    }

    #[test]
    fn status_is_three_digits_and_a_description() {
        for (line, status, description) in [
            (&b"NATS/1.0 503\r\n\r\n"[..], Some(503), Some("")),
            (
                b"NATS/1.0 404 No Messages\r\nA: b\r\n\r\n",
                Some(404),
                Some("No Messages"),
            ),
            (b"NATS/1.0 100", Some(100), Some("")),
            (b"NATS/1.0 408 ", Some(408), Some("")),
            (b"NATS/1.0 007\r\n", Some(7), Some("")),
            (b"NATS/1.0 409 \xff", Some(409), None),
            (b"NATS/1.0 50\r\n", None, None),
            (b"NATS/2.0 503\r\n", None, None),
            (b"NATS/1.0 5033\r\n", None, None),
            (b"NATS/1.0 50x\r\n", None, None),
            (b"NATS/1.0\r\nA: b\r\n\r\n", None, None),
            (b"NATS/1.0 +50\r\n", None, None),
            (b"HTTP/1.0 503\r\n", None, None),
            (b"", None, None),
        ] {
            let headers = block(line);
            let shown = line.escape_ascii();
            assert_eq!(headers.status(), status, "{shown}");
            assert_eq!(headers.description(), description, "{shown}");
        }
    }

    #[test]
    fn lines_that_are_no_headers_are_passed_over() {
        let headers = block(b"NATS/1.0\r\nno colon\r\nA:1\r\n\xff: x\r\nB:  2 \r\nA: 3\r\n\r\n");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("A", "1"), ("B", "2"), ("A", "3")]);
        assert_eq!(headers.get("A"), Some("1"));
        assert!(block(b"NATS/1.0 503\r\n\r\n").is_empty());
    }

    #[test]
    fn headers_that_would_change_the_protocol_are_refused() {
        assert!(check_headers(&[("Nats-Msg-Id", "a b: c")]).is_ok());
        for bad in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("é", "x"),
            ("a", "x\r\ny"),
            ("a", "\n"),
        ] {
            let error = check_headers(&[("Good", "x"), bad]).unwrap_err();
            assert_eq!(error.kind(), BrokerErrorKind::InvalidHeader, "{bad:?}");
        }
    }
}
