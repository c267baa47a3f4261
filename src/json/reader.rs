//! Values, read one after the other where they stand.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::{JsonError, unexpected};
use super::number::decimal;
use super::text::plain_len;

/// Reads the values of a JSON text one after the other. A copy reads on from the same place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Enters an object, whose members [`next_key`](Self::next_key) returns.
    pub(crate) fn object(&mut self) -> Result<Members, JsonError> {
        self.open(b'{', "an object")
    }

    /// Enters an array, whose values [`next_element`](Self::next_element) announces.
    pub(crate) fn array(&mut self) -> Result<Members, JsonError> {
        self.open(b'[', "an array")
    }

    /// The next member's name; its value must be read then. `None` at the end of the object.
    pub(crate) fn next_key(
        &mut self,
        members: &mut Members,
    ) -> Result<Option<Cow<'a, str>>, JsonError> {
        if !self.next_member(members, b'}')? {
            return Ok(None);
        }
        let key = self.text()?;
        self.colon()?;
        Ok(Some(key))
    }

    /// Whether there is another value, which must be read then.
    pub(crate) fn next_element(&mut self, elements: &mut Members) -> Result<bool, JsonError> {
        self.next_member(elements, b']')
    }

    /// A text, borrowed unless it has escapes.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let raw = self.quoted()?;
        if raw.has_escapes {
            unescape(&raw).map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(raw.text))
        }
    }

    /// A number without sign, fraction and exponent.
    pub(crate) fn unsigned(&mut self) -> Result<u64, JsonError> {
        let start = self.skip_space();
        let number = self.skip()?;
        let unsigned = decimal(number.as_bytes());
        unsigned.ok_or(unexpected(start, "a number from 0 to 18446744073709551615"))
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, JsonError> {
        let start = self.skip_space();
        match self.skip()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(unexpected(start, "true or false")),
        }
    }

    /// Reads a `null` if one stands here.
    pub(crate) fn null(&mut self) -> bool {
        self.skip_space();
        self.literal("null").is_ok()
    }

    /// Reads past a value of any kind and depth, and returns its text. Its grammar is checked; texts in
    /// it may have escapes that stand for no character.
    pub(crate) fn skip(&mut self) -> Result<&'a str, JsonError> {
        let start = self.skip_space();
        // The brackets that are open, by the byte that closes them.
        let mut open = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    // In ASCII a bracket that closes stands two places behind the one that opens.
                    let close = bracket + 2;
                    self.at += 1;
                    if self.enters(close)? {
                        reserve_one(&mut open)?;
                        open.push(close);
                        continue;
                    }
                }
                Some(b'"') => {
                    self.quoted()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                _ => self.literal("null").map_err(|_| self.fault("a value"))?,
            }
            // Behind a value: the next one, or the end of as many as close here.
            loop {
                let Some(close) = open.last().copied() else {
                    return self.slice(start, self.at);
                };
                if self.follows(close)? {
                    break;
                }
                open.pop();
            }
        }
    }

    /// Nothing but space may stand behind the value that has been read.
    pub(crate) fn end(mut self) -> Result<(), JsonError> {
        if self.skip_space() < self.text.len() {
            return Err(self.fault("the end"));
        }
        Ok(())
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Result<Members, JsonError> {
        self.skip_space();
        if self.peek() != Some(bracket) {
            return Err(self.fault(expected));
        }
        self.at += 1;
        Ok(Members { first: true })
    }

    fn next_member(&mut self, members: &mut Members, close: u8) -> Result<bool, JsonError> {
        if !core::mem::take(&mut members.first) {
            return self.separated(close);
        }
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Behind a bracket that opens: whether a value comes, with its name where names are.
    fn enters(&mut self, close: u8) -> Result<bool, JsonError> {
        let comes = self.next_member(&mut Members { first: true }, close)?;
        self.name(comes && close == b'}')?;
        Ok(comes)
    }

    /// Behind a value: whether another one comes, with its name where names are.
    fn follows(&mut self, close: u8) -> Result<bool, JsonError> {
        let comes = self.separated(close)?;
        self.name(comes && close == b'}')?;
        Ok(comes)
    }

    fn name(&mut self, has_name: bool) -> Result<(), JsonError> {
        if has_name {
            self.quoted()?;
            self.colon()?;
        }
        Ok(())
    }

    fn separated(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_space();
        let found = self.peek();
        if found != Some(b',') && found != Some(close) {
            return Err(self.fault("a comma or the closing bracket"));
        }
        self.at += 1;
        Ok(found == Some(b','))
    }

    fn colon(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fault("a colon"));
        }
        self.at += 1;
        Ok(())
    }

    /// The text between quotes; of its escapes only the grammar is checked.
    fn quoted(&mut self) -> Result<Quoted<'a>, JsonError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.fault("a text in quotes"));
        }
        self.at += 1;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            self.at += plain_len(self.rest());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += self.escape_len()?,
                _ => return Err(self.fault("a quote, and no control character before it")),
            }
            has_escapes = true;
        }
        let text = self.slice(start, self.at)?;
        self.at += 1;
        Ok(Quoted {
            text,
            start,
            has_escapes,
        })
    }

    /// The length in bytes of the escape that stands here (RFC 8259 section 7).
    fn escape_len(&self) -> Result<usize, JsonError> {
        let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        match self.rest() {
            [
                _,
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                ..,
            ] => Ok(2),
            [_, b'u', digits @ ..] if digits.get(..4).is_some_and(is_hex) => Ok(6),
            _ => Err(self.fault("an escape")),
        }
    }

    /// RFC 8259 section 6: no leading zero, no bare point.
    fn number(&mut self) -> Result<(), JsonError> {
        self.take_if(b"-");
        if !self.take_if(b"0") {
            self.digits()?;
        }
        if self.take_if(b".") {
            self.digits()?;
        }
        if self.take_if(b"eE") {
            self.take_if(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.take_if(b"0123456789") {
            return Err(self.fault("a digit"));
        }
        while self.take_if(b"0123456789") {}
        Ok(())
    }

    fn take_if(&mut self, any: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| any.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn literal(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.fault(word));
        }
        self.at += word.len();
        Ok(())
    }

    fn skip_space(&mut self) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.at
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn slice(&self, start: usize, end: usize) -> Result<&'a str, JsonError> {
        // Both ends stand at ASCII characters: the alternative is never taken.
        self.text.get(start..end).ok_or(self.fault("a character"))
    }

    fn fault(&self, expected: &'static str) -> JsonError {
        unexpected(self.at, expected)
    }
}

/// Whether the reader is before the first member of an object or array, or behind one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members {
    first: bool,
}

/// What stands between two quotes.
struct Quoted<'a> {
    text: &'a str,
    /// Where in the whole.
    start: usize,
    has_escapes: bool,
}

/// Reads an object that is the whole text. `member` is called at the value of each member, and must read
/// it.
pub(crate) fn read_object<'a>(
    text: &'a str,
    member: &mut dyn FnMut(&str, &mut Reader<'a>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    let mut members = reader.object()?;
    while let Some(key) = reader.next_key(&mut members)? {
        member(&key, &mut reader)?;
    }
    reader.end()
}

/// Checks that `text` is one JSON value.
pub(crate) fn check(text: &str) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    reader.skip()?;
    reader.end()
}

fn unescape(raw: &Quoted<'_>) -> Result<String, JsonError> {
    // What an escape stands for is never longer than the escape.
    let len = raw.text.len();
    let mut text = String::new();
    text.try_reserve_exact(len)
        .map_err(|_| JsonError::OutOfMemory { len })?;
    let mut rest = raw.text;
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let Some((character, behind)) = unescape_one(escape) else {
            let at = raw.start + len - escape.len() - 1;
            return Err(unexpected(at, "an escape that stands for a character"));
        };
        text.push(character);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

/// The character of an escape, whose backslash has been read, and what stands behind it.
fn unescape_one(escape: &str) -> Option<(char, &str)> {
    let (kind, behind) = escape.split_at_checked(1)?;
    let character = match kind {
        "b" => '\u{8}',
        "f" => '\u{c}',
        "n" => '\n',
        "r" => '\r',
        "t" => '\t',
        "u" => {
            let (first, behind) = code_unit(behind)?;
            if let Some(character) = char::from_u32(first) {
                return Some((character, behind));
            }
            // A character beyond 16 bits is written as two surrogates.
            let (second, behind) = code_unit(behind.strip_prefix("\\u")?)?;
            let pair = [first as u16, second as u16];
            let character = char::decode_utf16(pair).next()?.ok()?;
            return Some((character, behind));
        }
        _ => kind.chars().next()?,
    };
    Some((character, behind))
}

fn code_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, behind) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, behind))
}

fn reserve_one(open: &mut Vec<u8>) -> Result<(), JsonError> {
    let len = open.len() + 1;
    let no_memory = |_| JsonError::OutOfMemory { len };
    open.try_reserve(1).map_err(no_memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn the_grammar_is_serde_json_s() {
        for text in [
            "",
            " ",
            "null",
            " true ",
            "false",
            "nul",
            "nulls",
            "True",
            "0",
            "-0",
            "01",
            "-",
            "+1",
            "1.",
            "1.5",
            ".5",
            "1e5",
            "1E+5",
            "1e",
            "1e-",
            "-1.25e-07",
            "\"\"",
            "\"a",
            "\"\\\"",
            "\"\\\"\"",
            "\"\\u12aF\"",
            "\"\\u12a\"",
            "\"\\u12ag\"",
            "\"\\u12a\\u0000\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"\u{1}\"",
            "\"\t\"",
            "\"\u{7f}ä\"",
            "[]",
            "[ ]",
            "[,]",
            "[1,]",
            "[1,2]",
            "[1 2]",
            "[1}",
            "[",
            "]",
            "{}",
            "{ }",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\":1,\"b\":[]}",
            "{\"a\":1 \"b\":2}",
            "{1:2}",
            "{\"a\":1]",
            "[[],{}]",
            "[{\"a\":[{\"b\":null}]}, [[]] ]",
            "[[]",
            "[]]",
            "1 2",
            "\u{feff}1",
            "{\"a\":1,\"a\":2}",
            "[1]\u{a0}",
        ] {
            let expected = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            assert_eq!(check(text).is_ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn texts_are_serde_json_s() {
        let long = "x".repeat(100);
        for inside in [
            "",
            "a",
            "ä😀",
            r#"\""#,
            r"\\",
            r"\/",
            r"\b\f\n\r\t",
            r"\u0041\u00e4",
            r"\ud83d\ude00",
            r"\ud83d",
            r"\ude00",
            r"\ud83d\ud83d",
            r"\ud83dx",
            r"\ud83d\n",
            r"\u0000",
            r"\uFFFF",
            r"\ude00\ud83d",
            "tail\\u00e4",
        ] {
            for text in [format!("\"{inside}\""), format!("\"{long}{inside}{long}\"")] {
                let expected = serde_json::from_str::<String>(&text).ok();
                let mut reader = Reader::new(&text);
                let read = reader.text();
                assert_eq!(read.as_deref().ok(), expected.as_deref(), "{text}");
                assert!(read.is_err() || reader.end().is_ok());
                assert_eq!(
                    matches!(read, Ok(Cow::Owned(_))),
                    read.is_ok() && inside.contains('\\')
                );
            }
        }
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 17", Some(17)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-0", None),
            ("-1", None),
            ("1.0", None),
            ("1e2", None),
            ("\"1\"", None),
            ("null", None),
            ("[1]", None),
        ] {
            assert_eq!(Reader::new(text).unsigned().ok(), expected, "{text}");
        }
    }

    #[test]
    fn booleans_are_true_and_false() {
        for (text, expected) in [
            ("true", Some(true)),
            (" false", Some(false)),
            ("True", None),
            ("0", None),
            ("null", None),
            ("\"true\"", None),
        ] {
            assert_eq!(Reader::new(text).boolean().ok(), expected, "{text}");
        }
    }

    #[test]
    fn refusals_tell_where_and_what() {
        for (text, words) in [
            ("[1,x]", "at byte 3: expected a value"),
            (
                "[1;2]",
                "at byte 2: expected a comma or the closing bracket",
            ),
            ("{\"a\" 1}", "at byte 5: expected a colon"),
            ("\"ab\\q\"", "at byte 3: expected an escape"),
            ("1 1", "at byte 2: expected the end"),
        ] {
            assert_eq!(check(text).unwrap_err().to_string(), words);
        }
        let words = "at byte 2: expected an escape that stands for a character";
        assert_eq!(
            Reader::new(r#""a\ud800""#).text().unwrap_err().to_string(),
            words
        );
    }
}
