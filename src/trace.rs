//! Trace lines that carry the correlation id, through the [`log`] facade.

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
