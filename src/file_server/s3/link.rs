//! Presigned links, taken apart.

use alloc::string::String;

use jiff::Timestamp;

use crate::http::url::{Url, split_scheme};
use crate::percent::decode;

/// The key behind a link to the bucket at `base_url`, or `None` if it is no link to a file in it.
pub(super) fn key_of(url: &str, base_url: &str) -> Option<String> {
    if !Url::parse(url)?.same_origin(&Url::parse(base_url)?) {
        return None;
    }
    let key = decode(path_of(url).strip_prefix(path_of(base_url))?)?;
    is_key(&key).then_some(key)
}

/// Whether a key is one in a URL too: an empty one is the bucket itself, and dots lead out of it.
pub(super) fn is_key(key: &str) -> bool {
    let mut segments = key.split(['/', '\\']);
    // As servers may see it that decode twice.
    let may_lead_out = has_dots(key) || decode(key).is_some_and(|twice| has_dots(&twice));
    !segments.any(str::is_empty) && !may_lead_out && !key.contains(char::is_control)
}

/// Whether a segment is one or two dots; for some servers it ends at a semicolon.
fn has_dots(key: &str) -> bool {
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    key.split(['/', '\\']).any(is_dots)
}

/// When a presigned link ends, in milliseconds since 1970.
pub(super) fn end_of(url: &str) -> Option<u64> {
    let (_, query) = url.split_once('?')?;
    let value = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted)
    };
    let start: Timestamp = value("X-Amz-Date")?.1.parse().ok()?;
    let start = u64::try_from(start.as_millisecond()).ok()?;
    let lifetime: u64 = value("X-Amz-Expires")?.1.parse().ok()?;
    start.checked_add(lifetime.checked_mul(1000)?)
}

/// From the first slash behind the host to the query.
fn path_of(url: &str) -> &str {
    let rest = split_scheme(url).map_or("", |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.find('/').map_or("", |start| &rest[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_tells_when_it_ends() {
        let url = "http://h/b/k?X-Amz-Date=20260306T011915Z&X-Amz-Expires=60&X-Amz-Signature=x";
        assert_eq!(end_of(url), Some(1_772_760_015_000));
        for url in [
            "http://h/b/k",
            "http://h/b/k?X-Amz-Date=x&X-Amz-Expires=1",
            "http://h/k?X-Amz-Date=20260306T011915Z&X-Amz-Expires=18446744073709551615",
            "",
        ] {
            assert_eq!(end_of(url), None, "{url}");
        }
    }

    #[test]
    fn only_files_of_the_bucket_have_a_key() {
        for (url, key) in [
            ("http://h:9/films/a", Some("a")),
            ("http://H:9/films/a/b%20%C3%BC%2B%25?x#y", Some("a/b ü+%")),
            ("http://h:9/films/a%2Fb", Some("a/b")),
            ("http://h:9/films/a%2F..%2Fb", None),
            ("http://h:9/films/../other/a", None),
            ("http://h:9/films/%2e%2E/other/a", None),
            ("http://h:9/films/..%5Cother/a", None),
            ("http://h:9/films/..;/a", None),
            ("http://h:9/films/%252e%252e/other/a", None),
            ("http://h:9/films/a%2525", Some("a%25")),
            ("http://h:9/films/./a", None),
            ("http://h:9/films//a", None),
            ("http://h:9/films/a%0A", None),
            ("http://h:9/films/%FF", None),
            ("http://h:9/films/", None),
            ("http://h:9/films", None),
            ("http://h:9?/films/in/x", None),
            ("http://h:9#/films/in/x", None),
            ("http://h:9/?/films/in/x", None),
            ("http://h:9/films2/a", None),
            ("http://h/films/a", None),
            ("https://h:9/films/a", None),
            ("http://h2:9/films/a", None),
        ] {
            assert_eq!(key_of(url, "http://h:9/films/").as_deref(), key, "{url}");
        }
        let virtual_host = key_of("http://films.h/a?b", "http://films.h/");
        assert_eq!(virtual_host.as_deref(), Some("a"));
        for url in [
            "http://films.h?/x",
            "http://films.h#/x",
            "http://films.h/?/x",
        ] {
            assert_eq!(key_of(url, "http://films.h/"), None, "{url}");
        }
    }
}
