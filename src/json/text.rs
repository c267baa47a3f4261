//! Texts as JSON has them: what is escaped, and how much is not.

use alloc::vec::Vec;

/// Appends a text in quotes. Control characters are escaped.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match escape(byte) {
            Some((escaped, len)) => out.extend_from_slice(&escaped[..len]),
            None => out.push(byte),
        }
    }
    out.push(b'"');
}

/// How a byte of a text is written that must not stand in it as it is: the bytes, and how many of them
/// count (RFC 8259 section 7).
pub(crate) fn escape(byte: u8) -> Option<([u8; 6], usize)> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = |letter| Some(([b'\\', letter, 0, 0, 0, 0], 2));
    match byte {
        b'"' | b'\\' => short(byte),
        b'\n' => short(b'n'),
        b'\r' => short(b'r'),
        b'\t' => short(b't'),
        0..0x20 => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            Some(([b'\\', b'u', b'0', b'0', high, low], 6))
        }
        _ => None,
    }
}

/// Whether a byte cannot stand in a JSON text as it is (RFC 8259 section 7).
fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes at the start of `text` can stand in a JSON text as they are.
pub(crate) fn plain_len(text: &[u8]) -> usize {
    let plain = if cfg!(feature = "std") {
        plain_blocks::<16>(text, block_has_escape)
    } else {
        plain_blocks::<4>(text, word_has_escape)
    };
    let rest = text.get(plain..).unwrap_or_default();
    if cfg!(feature = "std") && is_plain_end(text, rest.len()) {
        return text.len();
    }
    let rest_plain = rest.iter().position(|byte| is_escaped(*byte));
    plain + rest_plain.unwrap_or(rest.len())
}

/// Whether the last `len` bytes of a text are known to need no escape, if they are fewer than a block. Some
/// bytes before them are looked at again, and of a short text some twice: a block at a time is faster.
fn is_plain_end(text: &[u8], len: usize) -> bool {
    if let Some(last) = text.last_chunk::<16>() {
        len < last.len() && !block_has_escape(last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        !block_has_escape(first) && !block_has_escape(last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        !word_has_escape(first) && !word_has_escape(last)
    } else {
        text.is_empty()
    }
}

/// How many bytes there are in the blocks before the first that has an escape.
fn plain_blocks<const LEN: usize>(text: &[u8], has_escape: fn(&[u8; LEN]) -> bool) -> usize {
    let (blocks, _) = text.as_chunks();
    let plain = blocks.iter().position(has_escape);
    plain.unwrap_or(blocks.len()) * LEN
}

/// Without a branch, so that a compiler turns it into vector instructions.
fn block_has_escape<const LEN: usize>(block: &[u8; LEN]) -> bool {
    block
        .iter()
        .fold(false, |any, byte| any | is_escaped(*byte))
}

/// All bytes at a time by plain arithmetic, for processors without vector instructions: a byte that is
/// less than another borrows, and so has its highest bit set where it was not.
fn word_has_escape(block: &[u8; 4]) -> bool {
    let word = u32::from_ne_bytes(*block);
    let less = |word: u32, than: u8| word.wrapping_sub(every(than)) & !word;
    let equal = |byte| less(word ^ every(byte), 1);
    (less(word, 0x20) | equal(b'"') | equal(b'\\')) & every(0x80) != 0
}

const fn every(byte: u8) -> u32 {
    u32::from_ne_bytes([byte; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ends_at_the_first_escape_wherever_it_is() {
        for len in [0, 1, 3, 4, 7, 8, 15, 16, 17, 32, 36, 100] {
            let mut text = alloc::vec![b'x'; len];
            assert_eq!(plain_len(&text), len);
            for at in 0..len {
                for special in [b'"', b'\\', 0x1f, 0] {
                    text[at] = special;
                    assert_eq!(plain_len(&text), at);
                    // What the other machines do.
                    assert_eq!(plain_blocks::<16>(&text, block_has_escape), at / 16 * 16);
                    assert_eq!(plain_blocks(&text, word_has_escape), at / 4 * 4);
                }
                text[at] = 0x80;
            }
        }
    }
}
