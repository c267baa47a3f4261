//! User JWTs and nkey seeds: how they are written, and what CONNECT needs of them.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The public half of a user's nkey starts with this byte, which base32 shows as `U`.
const PREFIX_USER: u8 = 20 << 3;
/// A seed starts with this, which base32 shows as `S`; the kind of key follows.
const PREFIX_SEED: u8 = 18 << 3;
/// Prefix, kind and seed, and a checksum of two bytes.
const SEED_LEN: usize = 2 + 32 + 2;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What is wrong with credentials. Nothing of them is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("an nkey seed has 58 characters of A to Z and 2 to 7")]
    NotBase32,
    #[error("the nkey seed is not a seed: it must start with `S`")]
    NotASeed,
    #[error("the nkey seed is not one of a user: it must start with `SU`")]
    NotAUser,
    #[error("the nkey seed has a wrong checksum")]
    Checksum,
    #[cfg(feature = "tls")]
    #[error("there is no `BEGIN NATS USER JWT` with its end")]
    NoJwt,
    #[cfg(feature = "tls")]
    #[error("there is no `BEGIN USER NKEY SEED` with its end")]
    NoSeed,
}

/// The public key of a user's seed, and the signature of the server's nonce, as CONNECT has them.
#[cfg(feature = "nkeys")]
pub(crate) fn sign(seed: &str, nonce: &str) -> Result<(String, String), CredentialsError> {
    use ed25519_dalek::{Signer as _, SigningKey};
    let key = SigningKey::from_bytes(&decode_seed(seed)?);
    let signature = key.sign(nonce.as_bytes()).to_bytes();
    let public_key = key.verifying_key().to_bytes();
    Ok((encode_public_key(&public_key), encode_signature(&signature)))
}

/// The text of a signature.
pub(crate) fn encode_signature(signature: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(signature)
}

/// The 32 bytes of the Ed25519 key in a user's seed, `SU...`.
pub(crate) fn decode_seed(seed: &str) -> Result<[u8; 32], CredentialsError> {
    let bytes = decode_base32(seed).ok_or(CredentialsError::NotBase32)?;
    let Ok(bytes) = <[u8; SEED_LEN]>::try_from(bytes) else {
        return Err(CredentialsError::NotBase32);
    };
    let (body, checksum) = bytes.split_at(SEED_LEN - 2);
    if crc16(body).to_le_bytes() != checksum {
        return Err(CredentialsError::Checksum);
    }
    if bytes[0] & 0xf8 != PREFIX_SEED {
        return Err(CredentialsError::NotASeed);
    }
    let kind = (bytes[0] & 7) << 5 | (bytes[1] & 0xf8) >> 3;
    if kind != PREFIX_USER {
        return Err(CredentialsError::NotAUser);
    }
    let mut key = [0; 32];
    key.copy_from_slice(&body[2..]);
    Ok(key)
}

/// The text of a user's public key, `U...`.
pub(crate) fn encode_public_key(key: &[u8; 32]) -> String {
    let mut bytes = Vec::with_capacity(35);
    bytes.push(PREFIX_USER);
    bytes.extend_from_slice(key);
    let checksum = crc16(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    encode_base32(&bytes)
}

/// JWT and seed in the text of a `.creds` file.
#[cfg(feature = "tls")]
pub(crate) fn parse_creds(text: &str) -> Result<(&str, &str), CredentialsError> {
    let jwt = section(text, "NATS USER JWT").ok_or(CredentialsError::NoJwt)?;
    let seed = section(text, "USER NKEY SEED").ok_or(CredentialsError::NoSeed)?;
    Ok((jwt, seed))
}

/// The line between `-----BEGIN name-----` and the next line of dashes.
#[cfg(feature = "tls")]
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    let is_begin = |line: &str| {
        let line = line.trim_matches('-').trim();
        line.strip_prefix("BEGIN ")
            .is_some_and(|found| found == name)
    };
    lines.find(|line| line.starts_with("---") && is_begin(line))?;
    let content = lines.find(|line| !line.is_empty())?;
    let end = lines.find(|line| !line.is_empty())?;
    (!content.starts_with('-') && end.starts_with("---")).then_some(content)
}

/// Base32 without padding (RFC 4648 section 6); bits that are left over are dropped.
fn decode_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0u32, 0);
    for c in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == c)?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

fn encode_base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(bits >> count) as usize & 31]));
        }
    }
    if count > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - count)) as usize & 31]));
    }
    text
}

/// CRC-16/XMODEM, as nkeys have it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            let carry = crc & 0x8000 != 0;
            crc << 1 ^ if carry { 0x1021 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "tls")]
    use alloc::format;

    use super::*;

    // From the documentation of nkeys.
    const SEED: &str = "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU";

    #[test]
    fn a_seed_is_32_bytes_and_a_checksum() {
        assert!(decode_seed(SEED).is_ok());
        let wrong_kind = SEED.replacen("SU", "SA", 1);
        for (seed, error) in [
            ("", CredentialsError::NotBase32),
            (&SEED[..57], CredentialsError::NotBase32),
            (&SEED.to_lowercase(), CredentialsError::NotBase32),
            (&SEED.replace("ZN", "ZM"), CredentialsError::Checksum),
            (&wrong_kind, CredentialsError::Checksum),
        ] {
            assert_eq!(decode_seed(seed), Err(error), "{seed}");
        }
    }

    /// The first key of RFC 8032 section 7.1, which signs nothing; and another library's signature.
    #[cfg(feature = "nkeys")]
    #[test]
    fn a_seed_signs_by_ed25519() {
        let bytes = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&bytes[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let mut raw = [
            &[PREFIX_SEED | PREFIX_USER >> 5, PREFIX_USER << 3][..],
            &seed,
        ]
        .concat();
        let checksum = crc16(&raw).to_le_bytes();
        raw.extend_from_slice(&checksum);
        let (public, signature) = sign(&encode_base32(&raw), "").unwrap();
        let public = decode_base32(&public).unwrap();
        assert_eq!(public[1..5], [0xd7, 0x5a, 0x98, 0x01]);
        assert!(signature.starts_with("5VZDAMNgrHKQhuLMgG6C"), "{signature}");
        let own = nkeys::KeyPair::from_seed(SEED).unwrap();
        let (public, signature) = sign(SEED, "a nonce").unwrap();
        assert_eq!(public, own.public_key());
        assert_eq!(signature, encode_signature(&own.sign(b"a nonce").unwrap()));
    }

    #[test]
    fn crc_is_xmodem() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn base32_goes_both_ways() {
        for (bytes, text) in [(&b""[..], ""), (b"f", "MY"), (b"foobar", "MZXW6YTBOI")] {
            assert_eq!(encode_base32(bytes), text);
            assert_eq!(decode_base32(text).as_deref(), Some(bytes));
        }
        assert!(encode_public_key(&[7; 32]).starts_with('U'));
        assert_eq!(encode_public_key(&[7; 32]).len(), 56);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn creds_have_a_jwt_and_a_seed() {
        let creds = format!(
            "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\n\
             -----BEGIN USER NKEY SEED-----\r\n{SEED}\r\n------END USER NKEY SEED------\n"
        );
        assert_eq!(parse_creds(&creds), Ok(("a.b.c", SEED)));
        let no_seed = &creds[..creds.find("-----BEGIN USER").unwrap()];
        assert_eq!(parse_creds(no_seed), Err(CredentialsError::NoSeed));
        assert_eq!(parse_creds(SEED), Err(CredentialsError::NoJwt));
        let cut = "-----BEGIN NATS USER JWT-----\na.b.c\n";
        assert_eq!(parse_creds(cut), Err(CredentialsError::NoJwt));
        let empty = "-----BEGIN NATS USER JWT-----\n------END NATS USER JWT------\nx\n";
        assert_eq!(parse_creds(empty), Err(CredentialsError::NoJwt));
    }
}
