//! What is printed: trace lines that carry the correlation id, through the [`log`] facade; texts without
//! control characters; URLs without secrets.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// Writes one trace line, `[Correlation: <id>] <message>`, at debug level and under the target
/// `natsbridge`. Time is left to the logger. Control characters in either text are escaped, so
/// that a peer cannot forge lines.
///
/// ```
/// natsbridge::log_trace("11111111-1111-4111-8111-111111111111", "uploading `photo.png`");
/// ```
pub fn log_trace(correlation_id: &str, message: impl fmt::Display) {
    log::debug!(
        target: "natsbridge",
        "[Correlation: {}] {}",
        Escaped(correlation_id),
        EscapedDisplay(message)
    );
}

/// A text whose control characters are shown as `\u{..}`.
///
/// Unicode's line and paragraph separators and its direction overrides count as control
/// characters: a terminal or a log viewer acts on them too.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping(f).write_str(self.0)
    }
}

/// A link's or file server's URL as it may be printed: without user name and password, and without the
/// query, which may be a signature. Control characters are escaped.
pub(crate) struct RedactedUrl<'a>(pub(crate) &'a str);

impl fmt::Display for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = split_scheme(self.0);
        if let Some(scheme) = scheme {
            write!(f, "{}://", Escaped(scheme))?;
        }
        let authority = before(rest, b"/?#");
        let user_len = match authority.rfind('@') {
            // A password with a slash in it, which no URL may have, but a careless caller's.
            None if !is_host_and_port(authority) => rest.rfind('@'),
            found => found,
        };
        let rest = user_len.map_or(rest, |len| rest.get(len + 1..).unwrap_or_default());
        let place = before(rest, b"?#");
        let more = if place.len() < rest.len() { "?…" } else { "" };
        write!(f, "{}{more}", Escaped(place))
    }
}

impl fmt::Debug for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The URLs of brokers, with commas between, as they may be printed and sent: without user names,
/// passwords and tokens.
pub(crate) fn redacted_brokers(urls: &str) -> String {
    let mut shown: Vec<(Option<&str>, &str)> = Vec::new();
    // A host before which a user name with a comma in it may begin.
    let mut open: Option<&str> = None;
    for url in urls.rsplit(',') {
        let (scheme, rest) = split_scheme(url);
        let (_, own_host) = rest.rsplit_once('@').unwrap_or(("", rest));
        let host = open.unwrap_or(own_host);
        if scheme.is_none() && (open.is_some() || rest.contains('@')) {
            open = Some(host);
        } else {
            shown.push((scheme, host));
            open = None;
        }
    }
    shown.extend(open.map(|host| (None, host)));
    let mut text = String::new();
    for (scheme, host) in shown.iter().rev() {
        let comma = if text.is_empty() { "" } else { "," };
        let (scheme, mark) = scheme.map_or(("", ""), |scheme| (scheme, "://"));
        text.extend([comma, scheme, mark, before(host, b"?#")]);
    }
    text
}

/// What stands before `://`, if it can be a scheme, and what stands behind it.
fn split_scheme(url: &str) -> (Option<&str>, &str) {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b" +.-".contains(&byte);
    match rest.strip_prefix("//") {
        Some(rest) if scheme.bytes().all(is_scheme) => (Some(scheme), rest),
        _ => (None, url),
    }
}

/// What stands before the first of these bytes, which are ASCII characters.
fn before<'a>(text: &'a str, any: &[u8]) -> &'a str {
    let end = text.bytes().position(|byte| any.contains(&byte));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

fn is_host_and_port(authority: &str) -> bool {
    match authority.rsplit_once(':') {
        Some((_, port)) if !authority.ends_with(']') => {
            port.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => true,
    }
}

struct EscapedDisplay<T>(T);

impl<T: fmt::Display> fmt::Display for EscapedDisplay<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if is_control(c) {
                write!(self.0, "{}", c.escape_unicode())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn urls_are_printed_without_secrets() {
        for (url, shown) in [
            ("http://h:8080/a/b@c", "http://h:8080/a/b@c"),
            ("http://u:p@h:8080/a", "http://h:8080/a"),
            ("http://u:p@ss@h/a@b", "http://h/a@b"),
            ("http://u:p/w@h/a", "http://h/a"),
            ("http://[::1]/a", "http://[::1]/a"),
            ("http://u:p?w@h/a?b", "http://h/a?…"),
            ("u:p@h", "h"),
            ("http://h/a?X-Signature=s", "http://h/a?…"),
            ("http://h?a#b", "http://h?…"),
            ("http://h/#token", "http://h/?…"),
            ("http://h/\u{1b}[0m", "http://h/\\u{1b}[0m"),
            ("", ""),
        ] {
            assert_eq!(RedactedUrl(url).to_string(), shown, "{url}");
        }
    }

    #[test]
    fn brokers_are_named_without_secrets() {
        for (urls, shown) in [
            ("nats://localhost:4222", "nats://localhost:4222"),
            ("nats://u:p@h:4222", "nats://h:4222"),
            ("tls://token@h", "tls://h"),
            ("u:p@ss@h:4222", "h:4222"),
            ("nats://u:p/w@h", "nats://h"),
            ("nats://u:p@a,tls://u:p@b:1", "nats://a,tls://b:1"),
            ("a:1,b:2", "a:1,b:2"),
            ("nats://a, nats://b", "nats://a, nats://b"),
            ("nats://u:p,w,x@h", "nats://h"),
            ("nats://u:http://p@h", "nats://h"),
            ("ws://h/path?token=t", "ws://h/path"),
            ("nats://温度:4222", "nats://温度:4222"),
            ("", ""),
        ] {
            assert_eq!(redacted_brokers(urls), shown, "{urls}");
        }
    }

    #[test]
    fn control_characters_are_escaped_and_the_rest_is_not() {
        for (text, shown) in [
            ("plain `é` 你好", "plain `é` 你好"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{85}\u{2028}\u{202e}", "\\u{85}\\u{2028}\\u{202e}"),
            ("", ""),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
            assert_eq!(EscapedDisplay(text).to_string(), shown);
        }
    }
}
