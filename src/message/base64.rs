//! Base64 as the wire contract has it: standard alphabet, canonical padding.

use alloc::string::String;
use alloc::vec::Vec;

use base64::{DecodeError, DecodeSliceError, Engine as _};

use super::error::EnvelopeFault;

/// Base64 as the wire contract has it: standard alphabet, canonical padding. The fastest engine
/// that this machine has, which takes time to find out. base64 has it for these targets only.
#[cfg(all(
    feature = "std",
    any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon")
    )
))]
fn base64_engine() -> &'static base64::engine::Simd {
    use base64::engine::{Simd, general_purpose::PAD};

    static ENGINE: std::sync::LazyLock<Simd> = std::sync::LazyLock::new(|| Simd::standard(PAD));
    &ENGINE
}

/// Base64 as the wire contract has it: standard alphabet, canonical padding.
#[cfg(not(all(
    feature = "std",
    any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon")
    )
)))]
fn base64_engine() -> impl base64::Engine {
    base64::engine::general_purpose::STANDARD
}

/// Characters of base64 that are decoded at a time.
const BLOCK: usize = if cfg!(feature = "std") { 4096 } else { 512 };

/// Decodes into memory of exactly the decoded length.
pub(super) fn to_vec(text: &str) -> Result<Vec<u8>, EnvelopeFault> {
    let len = decoded_length(text.as_bytes())?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| EnvelopeFault::OutOfMemory { len })?;
    // Block by block, so that zeros are written to a processor's cache and not to memory.
    for (place, block) in text.as_bytes().chunks(BLOCK).enumerate() {
        let start = bytes.len();
        bytes.resize(len.min(start + block.len() / 4 * 3), 0);
        decode_slice(block, &mut bytes[start..], place * BLOCK)?;
    }
    Ok(bytes)
}

/// Decodes into a block of memory, again and again, and passes what is in it to `write`.
pub(super) fn blocks(
    text: &str,
    write: &mut dyn FnMut(&[u8]) -> Result<(), EnvelopeFault>,
) -> Result<(), EnvelopeFault> {
    let len = decoded_length(text.as_bytes())?;
    let mut out = [0; BLOCK / 4 * 3];
    for (place, block) in text.as_bytes().chunks(BLOCK).enumerate() {
        let start = place * out.len();
        let decoded = &mut out[..len.min(start + block.len() / 4 * 3) - start];
        decode_slice(block, decoded, place * BLOCK)?;
        write(decoded)?;
    }
    Ok(())
}

/// Decodes into the memory of `text`, and returns what is left of it.
pub(super) fn in_own(text: String) -> Result<Vec<u8>, EnvelopeFault> {
    let mut bytes = text.into_bytes();
    let len = in_place(&mut bytes)?.len();
    bytes.truncate(len);
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Decodes base64 where it stands, and returns the front part of `text` that holds the bytes then.
///
/// Decoding is never ahead of reading: 4 characters become at most 3 bytes. They are taken out in
/// blocks, because the decoder wants its input and output apart.
pub(super) fn in_place(text: &mut [u8]) -> Result<&[u8], EnvelopeFault> {
    let len = decoded_length(text)?;
    let (mut read, mut written) = (0, 0);
    let mut block = [0; BLOCK];
    while read < text.len() {
        let count = BLOCK.min(text.len() - read);
        block[..count].copy_from_slice(&text[read..read + count]);
        // A block that is padded before the end of the text fills less than its part.
        let end = (written + count / 4 * 3).min(len);
        decode_slice(&block[..count], &mut text[written..end], read)?;
        read += count;
        written = end;
    }
    Ok(&text[..len])
}

/// How many bytes the base64 in `text` stands for, if it is base64.
fn decoded_length(text: &[u8]) -> Result<usize, EnvelopeFault> {
    if !text.len().is_multiple_of(4) {
        return Err(EnvelopeFault::Base64 { at: None });
    }
    let padding = text
        .iter()
        .rev()
        .take(2)
        .take_while(|byte| **byte == b'=')
        .count();
    Ok(text.len() / 4 * 3 - padding)
}

/// Decodes to exactly all of `out`. `start` is where `text` stands in the whole.
fn decode_slice(text: &[u8], out: &mut [u8], start: usize) -> Result<(), EnvelopeFault> {
    use DecodeError::{InvalidByte, InvalidLastSymbol};

    let at = match base64_engine().decode_slice(text, out) {
        Ok(len) if len == out.len() => return Ok(()),
        Err(DecodeSliceError::DecodeError(
            InvalidByte(at, _) | InvalidLastSymbol { offset: at, .. },
        )) => Some(start + at),
        Ok(_) | Err(_) => None,
    };
    Err(EnvelopeFault::Base64 { at })
}

/// How many characters of base64 stand for `size` bytes.
pub(crate) fn base64_length(size: u64) -> u64 {
    size.div_ceil(3).saturating_mul(4)
}

/// The caller has made room for the whole: 0 is never returned for bytes that are there.
pub(super) fn encode_slice(bytes: &[u8], out: &mut [u8]) -> usize {
    base64_engine().encode_slice(bytes, out).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn base64_in_place_and_apart_agree() {
        // No block is like another one.
        let bytes: Vec<u8> = (0..251).cycle().take(BLOCK * 3).collect();
        let whole = BLOCK / 4 * 3;
        for len in (0..20)
            .chain(whole - 4..whole + 6)
            .chain(2 * whole - 8..2 * whole + 7)
            .chain([bytes.len()])
        {
            let bytes = &bytes[..len];
            let text = STANDARD.encode(bytes);
            assert!(to_vec(&text).unwrap() == bytes, "{len}");
            assert!(in_own(text.clone()).unwrap() == bytes, "{len}");
            let mut written = Vec::new();
            let mut write = |block: &[u8]| {
                written.extend_from_slice(block);
                Ok(())
            };
            blocks(&text, &mut write).unwrap();
            assert!(written == bytes, "{len}");
            let mut text = text.into_bytes();
            assert!(in_place(&mut text).unwrap() == bytes, "{len}");
        }
    }

    #[test]
    fn base64_is_strict_wherever_the_fault_is() {
        let long = "A".repeat(BLOCK);
        for text in [
            "A", "AA", "AAA", "AA=A", "=AAA", "====", "A===", "AB==", "AAB=", "AA-_", "AA A",
        ] {
            for text in [
                text.to_string(),
                format!("{long}{text}"),
                format!("{text}{long}"),
                format!("{long}{text}{long}"),
            ] {
                assert!(to_vec(&text).is_err(), "{text}");
                assert!(blocks(&text, &mut |_| Ok(())).is_err(), "{text}");
                assert!(in_place(&mut text.into_bytes()).is_err());
            }
        }
        let inside = format!("{long}AA=={long}");
        assert!(to_vec(&inside).is_err());
        assert!(in_place(&mut inside.into_bytes()).is_err());
        // Padding at the end of a block, where the length of the rest is as it should be.
        let end = format!("{}AA=={long}", &long[4..]);
        assert!(to_vec(&end).is_err());
        assert!(in_place(&mut end.into_bytes()).is_err());
    }

    #[test]
    fn a_byte_that_is_not_base64_is_told_with_its_place_in_the_whole() {
        for at in [0, 1, BLOCK - 1, BLOCK, BLOCK + 2, 2 * BLOCK + 3] {
            let mut text = alloc::vec![b'A'; 2 * BLOCK + 4];
            text[at] = b'-';
            for result in [
                to_vec(core::str::from_utf8(&text).unwrap()),
                in_place(&mut text.clone()).map(Vec::from),
            ] {
                let fault = result.unwrap_err();
                assert!(
                    matches!(fault, EnvelopeFault::Base64 { at: Some(found) } if found == at),
                    "{at}: {fault:?}"
                );
            }
        }
    }
}
