//! Percent-encoding (RFC 3986, section 2.1).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Whether a byte of a path stands for itself: an unreserved character, or `/`.
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
}

/// Appends the bytes of a path.
pub(crate) fn encode_path(url: &mut String, path: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in path {
        if is_plain(byte) {
            url.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
            url.extend(['%', digits[0], digits[1]]);
        }
    }
}

/// `None` if a `%` is not followed by two hex digits, or what comes out is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_string());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_as_they_were() {
        for (path, encoded) in [
            ("/a/b-1_.~", "/a/b-1_.~"),
            ("/ü b", "/%C3%BC%20b"),
            ("%2F?#", "%252F%3F%23"),
        ] {
            let mut url = String::new();
            encode_path(&mut url, path.as_bytes());
            assert_eq!(url, encoded);
            assert_eq!(decode(&url).as_deref(), Some(path));
        }
        for text in ["%", "%4", "%zz", "%ff", "%-1"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
