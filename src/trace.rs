//! Trace lines with the correlation id, through the [`log`] facade, and untrusted text in them.

use core::fmt::{self, Write as _};

/// Writes one trace line, `[Correlation: <id>] <message>`, at debug level and under the target
/// `natsbridge`. The logger adds the time. Control characters in either text are escaped, so
/// that a peer cannot forge lines, and each text is cut after 512 bytes.
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

/// The longest untrusted text in an error or a trace line, in bytes.
pub(crate) const MAX_SHOWN_LEN: usize = 512;

/// The start of a text that is a part of an error's message, at most 200 bytes: a longer one would displace
/// the rest of the message.
pub(crate) fn start_of(text: &str) -> &str {
    let mut lens = (0..=text.len().min(200)).rev();
    lens.find_map(|len| text.get(..len)).unwrap_or_default()
}

/// The text up to the first byte that is not UTF-8: a peer's text for an error. One that puts another character in
/// that byte's place would take 0.6 KB of a board's flash.
pub(crate) fn utf8_start(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Untrusted text for an error or a trace line: its control characters are shown as `\u{..}`, and
/// what is over [`MAX_SHOWN_LEN`] is cut off, with `...` in its place.
///
/// Unicode's line and paragraph separators and its direction overrides count as control
/// characters: a terminal or a log viewer acts on them too.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping::new(f).write_str(self.0)
    }
}

/// A text of our own that has foreign texts in it, which were cut before: it is shown up to so many bytes.
pub(crate) struct EscapedUpTo<'a>(pub(crate) &'a str, pub(crate) usize);

impl fmt::Display for EscapedUpTo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = Some(self.1);
        Escaping { out: f, room }.write_str(self.0)
    }
}

struct EscapedDisplay<T>(T);

impl<T: fmt::Display> fmt::Display for EscapedDisplay<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping::new(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    /// Bytes that may still be shown; none once the text was cut.
    room: Option<usize>,
}

impl<'a, 'f> Escaping<'a, 'f> {
    fn new(out: &'a mut fmt::Formatter<'f>) -> Self {
        Self {
            out,
            room: Some(MAX_SHOWN_LEN),
        }
    }
}

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let Some(room) = self.room else { break };
            self.room = room.checked_sub(c.len_utf8());
            match self.room {
                None => self.out.write_str("...")?,
                Some(_) if is_control(c) => write!(self.out, "{}", c.escape_unicode())?,
                Some(_) => self.out.write_char(c)?,
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

    #[test]
    fn long_texts_are_cut() {
        for (len, is_cut) in [
            (MAX_SHOWN_LEN - 1, false),
            (MAX_SHOWN_LEN, false),
            (MAX_SHOWN_LEN + 1, true),
            (100_000, true),
        ] {
            let text = "x".repeat(len);
            let cut = ["x".repeat(MAX_SHOWN_LEN).as_str(), "..."].concat();
            let expected = if is_cut { cut } else { text.clone() };
            assert_eq!(Escaped(&text).to_string(), expected, "{len}");
            assert_eq!(EscapedDisplay(&text).to_string(), expected, "{len}");
            // Nothing after the cut is printed.
            let twice = EscapedDisplay(format_args!("{text}{text}")).to_string();
            assert!(twice.len() <= MAX_SHOWN_LEN + "...".len());
        }
        let odd = ["x", &"\u{e9}".repeat(MAX_SHOWN_LEN)].concat();
        assert_eq!(
            Escaped(&odd).to_string().len(),
            MAX_SHOWN_LEN - 1 + "...".len()
        );
    }

    #[test]
    fn a_text_ends_before_what_is_not_utf_8() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"\xc3\xa9", "\u{e9}"),
            (b"a\xc3\xa9\xc3", "a\u{e9}"),
            (b"\xffa", ""),
        ] {
            assert_eq!(utf8_start(bytes), text);
        }
    }

    #[test]
    fn a_part_of_a_message_leaves_room_for_the_rest() {
        assert_eq!(start_of("short"), "short");
        assert_eq!(start_of(&"x".repeat(201)), "x".repeat(200));
        let odd = ["x", &"\u{e9}".repeat(200)].concat();
        assert_eq!(start_of(&odd).len(), 199);
    }
}
