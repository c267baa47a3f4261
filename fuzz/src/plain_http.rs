//! A second reader of HTTP responses, as plain as can be: it has all of the input at once, and looks
//! for the next line in it. Slow, and short enough to be checked by reading.

use natsbridge::fuzzing::HttpFound;

const MAX_HEADERS: usize = 64;
const MAX_CHUNK_LINE: usize = 256;
const MAX_TRAILERS: usize = 4096;

/// Why reading ends.
enum End {
    /// More input might make it a response.
    More,
    /// Nothing could.
    Bad,
}

use End::{Bad, More};

/// All that is in `stream`, in answer to requests with `method`.
pub fn read(max_head: usize, method: &str, stream: &[u8]) -> HttpFound {
    let mut found = HttpFound::default();
    let mut rest = stream;
    let end = loop {
        if rest.is_empty() {
            break More;
        }
        if let Err(end) = read_response(max_head, method, &mut rest, &mut found) {
            break end;
        }
    };
    found.failed = matches!(end, Bad);
    found
}

struct Head {
    status: u16,
    version: u8,
    fields: Vec<(String, Vec<u8>)>,
}

fn read_response(
    max_head: usize,
    method: &str,
    rest: &mut &[u8],
    found: &mut HttpFound,
) -> Result<(), End> {
    let mut left = max_head;
    let head = loop {
        let raw = split_head(rest, left)?;
        left -= raw.len();
        let head = parse_head(raw).ok_or(Bad)?;
        match head.status {
            ..100 | 101 | 600.. => return Err(Bad),
            102..200 | 100 => {}
            200.. => break head,
        }
    };
    let length = framing(&head, method).ok_or(Bad)?;
    let first = |name| head.values(name).next();
    let location = first("location").and_then(|url| String::from_utf8(url.to_vec()).ok());
    let retry_after = first("retry-after").and_then(number);
    found.heads.push((head.status, location, retry_after));
    let mut body = Vec::new();
    let done = match length {
        Some(length) => take(rest, length, &mut body),
        None => read_chunks(rest, &mut body),
    };
    found.bodies.push(body);
    done
}

/// Up to the first empty line behind another line; no line may end in LF alone.
fn split_head<'b>(rest: &mut &'b [u8], left: usize) -> Result<&'b [u8], End> {
    let all = *rest;
    let len = all
        .windows(4)
        .position(|at| at == b"\r\n\r\n")
        .map(|at| at + 4);
    let seen = &all[..len.unwrap_or(all.len())];
    let lone = |at: usize| seen[at] == b'\n' && (at == 0 || seen[at - 1] != b'\r');
    if seen.len() > left || (0..seen.len()).any(lone) {
        return Err(Bad);
    }
    *rest = &all[seen.len()..];
    len.map(|_| seen).ok_or(More)
}

fn parse_head(raw: &[u8]) -> Option<Head> {
    let is_text = |byte: &u8| *byte == b'\t' || *byte >= 0x20 && *byte != 0x7f;
    let mut lines = raw
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = lines.find(|line| !line.is_empty())?;
    let version = match status_line.get(..9)? {
        b"HTTP/1.0 " => 0,
        b"HTTP/1.1 " => 1,
        _ => return None,
    };
    let digits = status_line.get(9..12)?;
    let reason = &status_line[12..];
    let is_code = digits.iter().all(u8::is_ascii_digit);
    let is_reason = reason.is_empty() || reason[0] == b' ' && reason.iter().all(is_text);
    if !is_code || !is_reason {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if name.is_empty() || !name.iter().all(is_name) || !line[colon + 1..].iter().all(is_text) {
            return None;
        }
        fields.push((
            String::from_utf8_lossy(name).to_ascii_lowercase(),
            value.to_vec(),
        ));
    }
    (fields.len() <= MAX_HEADERS).then(|| Head {
        status: String::from_utf8_lossy(digits).parse().unwrap_or(0),
        version,
        fields,
    })
}

impl Head {
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        let named = self.fields.iter().filter(move |(field, _)| field == name);
        named.map(|(_, value)| value.as_slice())
    }

    fn elements<'h>(&'h self, name: &'h str) -> Vec<&'h [u8]> {
        self.values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .collect()
    }
}

/// The length of the body, or nothing if it comes in chunks.
fn framing(head: &Head, method: &str) -> Option<Option<u64>> {
    let mut lengths = head.elements("content-length").into_iter().map(number);
    let length = match lengths.next() {
        Some(first) => {
            let first = first?;
            lengths
                .all(|other| other == Some(first))
                .then_some(Some(first))?
        }
        None => None,
    };
    let chunked = match head.elements("transfer-encoding")[..] {
        [] => false,
        [coding] => {
            (head.version == 1 && coding.eq_ignore_ascii_case(b"chunked")).then_some(true)?
        }
        _ => return None,
    };
    let is_stored = ["PUT", "DELETE"].contains(&method) && (200..300).contains(&head.status);
    match (chunked, length) {
        (true, Some(_)) => None,
        _ if method == "HEAD" || [204, 304].contains(&head.status) => Some(Some(0)),
        (true, None) => Some(None),
        (false, Some(length)) => Some(Some(length)),
        (false, None) => is_stored.then_some(Some(0)),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn take(rest: &mut &[u8], length: u64, body: &mut Vec<u8>) -> Result<(), End> {
    let count = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .min(rest.len());
    let (data, behind) = rest.split_at(count);
    body.extend_from_slice(data);
    *rest = behind;
    if (count as u64) < length {
        Err(More)
    } else {
        Ok(())
    }
}

fn read_chunks(rest: &mut &[u8], body: &mut Vec<u8>) -> Result<(), End> {
    loop {
        let (size, len) = chunk_size(rest)?;
        *rest = &rest[len..];
        if size == 0 {
            return skip_trailers(rest);
        }
        take(rest, size, body)?;
        line_end(rest)?;
        *rest = &rest[2..];
    }
}

/// CR LF, and nothing else.
fn line_end(rest: &[u8]) -> Result<(), End> {
    match rest {
        [b'\r', b'\n', ..] => Ok(()),
        [] | [b'\r'] => Err(More),
        _ => Err(Bad),
    }
}

/// The size of a chunk, and the length of the line that it stands in.
fn chunk_size(rest: &[u8]) -> Result<(u64, usize), End> {
    let digits = rest
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let blank = |byte: &&u8| b" \t".contains(byte);
    let blanks = rest[digits..].iter().take_while(blank).count();
    if digits == 0 && !rest.is_empty() {
        return Err(Bad);
    }
    let text = String::from_utf8_lossy(&rest[..digits]);
    let significant = text.trim_start_matches('0');
    let size = u64::from_str_radix(
        if significant.is_empty() {
            "0"
        } else {
            significant
        },
        16,
    );
    let size = size.map_err(|_| Bad)?;
    let mut len = digits + blanks;
    if rest.get(len) == Some(&b';') {
        let is_end = |byte: &&u8| !b"\r\n".contains(byte);
        len += rest[len..].iter().take_while(is_end).count();
    }
    let end = line_end(&rest[len..]);
    // A line that has not ended yet is as long as what there is.
    let seen = if end.is_ok() { len + 2 } else { rest.len() };
    match end {
        Err(Bad) => Err(Bad),
        _ if seen > MAX_CHUNK_LINE => Err(Bad),
        Err(More) => Err(More),
        Ok(()) => Ok((size, seen)),
    }
}

fn skip_trailers(rest: &mut &[u8]) -> Result<(), End> {
    let all = *rest;
    let mut at = 0;
    loop {
        let is_text = |byte: &&u8| !b"\r\n".contains(byte);
        let len = all[at..].iter().take_while(is_text).count();
        let end = line_end(&all[at + len..]);
        let seen = if end.is_ok() { at + len + 2 } else { all.len() };
        if seen > MAX_TRAILERS {
            return Err(Bad);
        }
        end?;
        at = seen;
        if len == 0 {
            *rest = &all[at..];
            return Ok(());
        }
    }
}
