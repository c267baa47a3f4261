//! Links to objects: `nats-object://<bucket>/<object, percent-encoded>`.

use alloc::string::String;
use alloc::vec::Vec;

const SCHEME: &str = "nats-object://";
/// A longer name does not fit into a subject once it is base64, in bytes.
pub(super) const MAX_NAME_LEN: usize = 1400;

/// The bucket that a URL is about, with or without an object; `None` if it is no such URL.
pub(crate) fn bucket_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix(SCHEME)?;
    let bucket = rest.split('/').next()?;
    is_bucket(bucket).then_some(bucket)
}

/// The bucket and the object of a link. Deliberately narrow: what two parsers could understand
/// differently is no link.
pub(crate) fn parse_link(url: &str) -> Option<(&str, String)> {
    let bucket = bucket_of(url)?;
    let path = url.get(SCHEME.len() + bucket.len()..)?.strip_prefix('/')?;
    let name = decode(path)?;
    is_object(&name).then_some((bucket, name))
}

pub(super) fn link(bucket: &str, name: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut url = [SCHEME, bucket, "/"].concat();
    for byte in name.bytes() {
        if is_plain(byte) {
            url.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
            url.extend(['%', digits[0], digits[1]]);
        }
    }
    url
}

/// Names of buckets are letters, digits, `-` and `_`.
pub(super) fn is_bucket(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(is_allowed)
}

pub(super) fn is_object(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_LEN && !name.contains(char::is_control)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
}

fn decode(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ if is_plain(byte) => byte,
            _ => return None,
        });
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_come_back_as_they_were() {
        for (name, url) in [
            ("a.txt", "nats-object://B-1_x/a.txt"),
            ("dir/ü b", "nats-object://B-1_x/dir/%C3%BC%20b"),
            ("%2F?#", "nats-object://B-1_x/%252F%3F%23"),
        ] {
            assert_eq!(link("B-1_x", name), url);
            assert_eq!(parse_link(url), Some(("B-1_x", name.into())));
            assert_eq!(bucket_of(url), Some("B-1_x"));
        }
        assert_eq!(bucket_of("nats-object://B"), Some("B"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_link() {
        for url in [
            "",
            "nats-object://",
            "nats-object://B",
            "nats-object://B/",
            "nats-object:///x",
            "nats-object://a.b/x",
            "nats-object://a@b/x",
            "nats-object://B:1/x",
            "NATS-OBJECT://B/x",
            "nats-object://B/x?y",
            "nats-object://B/x#y",
            "nats-object://B/a b",
            "nats-object://B/ü",
            "nats-object://B/%",
            "nats-object://B/%0",
            "nats-object://B/%0g",
            "nats-object://B/%ff",
            "nats-object://B/%0a",
            "http://B/x",
        ] {
            assert_eq!(parse_link(url), None, "{url}");
        }
        let long = ["nats-object://B/", &"x".repeat(MAX_NAME_LEN + 1)].concat();
        assert_eq!(parse_link(&long), None);
    }
}
