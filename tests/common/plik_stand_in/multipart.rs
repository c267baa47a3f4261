//! Reads the one part of a multipart body that counts.

use std::io::BufRead;

use super::answer::Refusal;

const MAX_NAME_CHARS: usize = 1024;

pub(super) struct Part<'a> {
    pub(super) name: String,
    /// `None` if no boundary closes it.
    pub(super) content: Option<&'a [u8]>,
}

pub(super) fn boundary(content_type: &str) -> Result<String, Refusal> {
    if !content_type.starts_with("multipart/form-data") {
        return Err(bad_form("request Content-Type isn't multipart/form-data"));
    }
    let boundary = parameter(content_type, "boundary");
    boundary.ok_or_else(|| bad_form("no multipart boundary param in Content-Type"))
}

/// The first part named `file`; the parts before it are skipped, those after it never read.
pub(super) fn file_part<'a>(body: &'a [u8], boundary: &str) -> Result<Part<'a>, Refusal> {
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter may do without its line break.
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => after(body, delimiter.as_bytes()).ok_or_else(cut_form)?,
    };
    while !rest.starts_with(b"--") {
        let head_end = find(rest, b"\r\n\r\n").ok_or_else(cut_form)?;
        let (head, content) = (&rest[..head_end], &rest[head_end + 4..]);
        let disposition = disposition(&String::from_utf8_lossy(head));
        if parameter(&disposition, "name").as_deref() == Some("file") {
            let content = find(content, delimiter.as_bytes()).map(|end| &content[..end]);
            return file_name(&disposition).map(|name| Part { name, content });
        }
        rest = after(content, delimiter.as_bytes()).ok_or_else(cut_form)?;
    }
    Err(Refusal::new(400, "missing file from multipart form"))
}

/// Only the last element of a path counts.
fn file_name(disposition: &str) -> Result<String, Refusal> {
    let given = parameter(disposition, "filename").unwrap_or_default();
    let name = given
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    match name.chars().count() {
        0 => Err(Refusal::new(400, "missing file name from multipart form")),
        1..=MAX_NAME_CHARS => Ok(name.to_owned()),
        _ => Err(Refusal::new(
            400,
            format!("file name {name} is too long, maximum is 1024"),
        )),
    }
}

fn disposition(head: &str) -> String {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case("Content-Disposition"));
    named
        .next()
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default()
}

/// The parameter of a header such as `form-data; name="file"; filename="a \"b\".txt"`.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, tail) = parameter_value(after)?;
        if key.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = tail.split_once(';')?.1;
    }
}

/// The value at the start of `text`, and what follows it. A quoted one must be closed.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(char),
        }
    }
    None
}

fn after<'a>(haystack: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    find(haystack, needle).map(|at| &haystack[at + needle.len()..])
}

/// Finds a needle that begins with a carriage return. Hopping from one to the next leaves the
/// search in a large file to std's fast search for a byte.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut rest = haystack;
    while rest.skip_until(b'\r').is_ok_and(|skipped| skipped > 0) {
        let at = haystack.len() - rest.len() - 1;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
    }
    None
}

fn bad_form(why: &str) -> Refusal {
    Refusal::new(400, format!("invalid multipart form : {why}"))
}

fn cut_form() -> Refusal {
    bad_form("multipart: NextPart: EOF")
}
