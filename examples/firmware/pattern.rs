//! Data for tests, the same on the board and on the host that checks what the board sent.

use natsbridge::{Payload, PayloadError, PayloadType};

/// Characters of one, two, three and four bytes.
const TEXT: &str = "a\u{e5}\u{4f60}\u{1f600}";

/// Fills `out` with data that `kind` allows, different for each type. JSON has no text of 0 or 1
/// bytes that is a table or a dictionary: see [`shortest`].
pub fn fill(kind: PayloadType, out: &mut [u8]) {
    match kind {
        PayloadType::Text => fill_text(out),
        PayloadType::Dictionary => fill_json("{\"text\":\"", "\"}", out),
        PayloadType::JsonTable => fill_json("[{\"text\":\"", "\"}]", out),
        _ => (start(kind)..)
            .zip(out)
            .for_each(|(place, byte)| *byte = at(place)),
    }
}

/// A payload of `len` bytes, which stand at the start of `room`.
pub fn payload(
    kind: PayloadType,
    len: usize,
    room: &mut [u8],
) -> Result<Payload<'_>, PayloadError> {
    let bytes = &mut room[..len];
    fill(kind, bytes);
    Payload::deserialize(kind, (&*bytes).into())
}

/// The fewest bytes that a payload of this type can have.
pub fn shortest(kind: PayloadType) -> usize {
    match kind {
        PayloadType::Dictionary | PayloadType::JsonTable => 2,
        _ => 0,
    }
}

/// The byte at a place of an endless stream, in which no short piece comes again soon.
pub fn at(place: u64) -> u8 {
    let mixed = (place as u32).wrapping_mul(0x9E37_79B1);
    (mixed ^ mixed >> 15).to_le_bytes()[2]
}

/// Where in that stream the bytes of a type start.
pub fn start(kind: PayloadType) -> u64 {
    let types = PayloadType::ALL.into_iter();
    let earlier = types.take_while(|earlier| *earlier != kind).count() as u64;
    1_000_000 * earlier
}

fn fill_text(out: &mut [u8]) {
    let whole = out.len() / TEXT.len() * TEXT.len();
    let (texts, rest) = out.split_at_mut(whole);
    for text in texts.chunks_exact_mut(TEXT.len()) {
        text.copy_from_slice(TEXT.as_bytes());
    }
    rest.fill(b'.');
}

/// One text within `start` and `end`; white space if there is no room for that.
fn fill_json(start: &str, end: &str, out: &mut [u8]) {
    let len = out.len();
    if len < start.len() + end.len() {
        out.fill(b' ');
        out[0] = start.as_bytes()[0];
        out[len - 1] = end.as_bytes()[end.len() - 1];
        return;
    }
    let (head, rest) = out.split_at_mut(start.len());
    let (text, tail) = rest.split_at_mut(rest.len() - end.len());
    head.copy_from_slice(start.as_bytes());
    fill_text(text);
    tail.copy_from_slice(end.as_bytes());
}
