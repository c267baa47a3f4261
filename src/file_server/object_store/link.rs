//! Links to objects: `nats-object://<bucket>/<object, percent-encoded>`.

use alloc::string::String;

use crate::percent::{decode, encode_path, is_plain};

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
    if !path.bytes().all(|byte| byte == b'%' || is_plain(byte)) {
        return None;
    }
    let name = decode(path)?;
    is_object(&name).then_some((bucket, name))
}

pub(super) fn link(bucket: &str, name: &str) -> String {
    let mut url = [SCHEME, bucket, "/"].concat();
    encode_path(&mut url, name.as_bytes());
    url
}

/// The stream that keeps a bucket.
pub(super) fn stream_of(bucket: &str) -> String {
    ["OBJ_", bucket].concat()
}

/// Names of buckets are letters, digits, `-` and `_`.
pub(super) fn is_bucket(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(is_allowed)
}

pub(super) fn is_object(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_LEN && !name.contains(char::is_control)
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
