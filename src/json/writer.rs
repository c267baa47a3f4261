//! JSON objects, written member by member.

use alloc::string::String;
use alloc::vec::Vec;

use super::number::Digits;
use super::text::write_text;

/// A text in quotes, as JSON has it.
pub(crate) fn text_json(text: &str) -> String {
    let mut out = Vec::new();
    write_text(&mut out, text);
    // Made of a `str` and ASCII: the alternative is never taken.
    String::from_utf8(out).unwrap_or_default()
}

/// A number in digits.
pub(crate) fn number_json(number: u64) -> String {
    String::from(Digits::of(number).as_str())
}

/// An object that is being written.
pub(crate) struct ObjectWriter {
    out: Vec<u8>,
}

impl ObjectWriter {
    pub(crate) fn new() -> Self {
        Self {
            out: Vec::from(&b"{"[..]),
        }
    }

    /// A member whose value is JSON already.
    pub(crate) fn raw(mut self, key: &str, json: &str) -> Self {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        write_text(&mut self.out, key);
        self.out.push(b':');
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    pub(crate) fn text(self, key: &str, text: &str) -> Self {
        self.raw(key, &text_json(text))
    }

    pub(crate) fn number(self, key: &str, number: u64) -> Self {
        self.raw(key, Digits::of(number).as_str())
    }

    pub(crate) fn flag(self, key: &str, flag: bool) -> Self {
        self.raw(key, if flag { "true" } else { "false" })
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    /// The same, as text for a member of another object.
    pub(crate) fn finish_text(self) -> String {
        // Made of `str`s and ASCII: the alternative is never taken.
        String::from_utf8(self.finish()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_written_member_by_member() {
        assert_eq!(ObjectWriter::new().finish(), b"{}");
        let inner = ObjectWriter::new().flag("f", true).flag("g", false);
        let object = ObjectWriter::new()
            .text("a\"b", "c\n\u{e9}")
            .number("n", u64::MAX)
            .raw("o", &inner.finish_text())
            .finish_text();
        let expected =
            "{\"a\\\"b\":\"c\\n\u{e9}\",\"n\":18446744073709551615,\"o\":{\"f\":true,\"g\":false}}";
        assert_eq!(object, expected);
    }
}
