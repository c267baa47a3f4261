//! The key schedule and the records of TLS 1.3 (RFC 8446 sections 5.2 and 7.1), as a server has them.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key};
use sha2::{Digest as _, Sha256};

pub type Secret = [u8; 32];

pub fn sha256(data: &[u8]) -> Secret {
    Sha256::digest(data).into()
}

pub fn hmac(key: &[u8; 32], data: &[u8]) -> Secret {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let inner = sha256(&[&block.map(|byte| byte ^ 0x36)[..], data].concat());
    sha256(&[&block.map(|byte| byte ^ 0x5c)[..], &inner].concat())
}

pub fn extract(salt: &Secret, key: &[u8]) -> Secret {
    hmac(salt, key)
}

pub fn expand(secret: &Secret, label: &str, context: &[u8], len: u8) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let mut info = vec![0, len, label.len() as u8];
    info.extend_from_slice(label.as_bytes());
    info.push(context.len() as u8);
    info.extend_from_slice(context);
    info.push(1);
    hmac(secret, &info)[..usize::from(len)].to_vec()
}

pub fn derive(secret: &Secret, label: &str, transcript: &[u8]) -> Secret {
    let secret = expand(secret, label, &sha256(transcript), 32);
    secret.try_into().expect("32 bytes")
}

/// What encrypts records in one direction.
pub struct Sealer {
    cipher: ChaCha20Poly1305,
    iv: [u8; 12],
    seq: u64,
}

impl Sealer {
    pub fn new(secret: &Secret) -> Self {
        let key = expand(secret, "key", b"", 32);
        Self {
            cipher: ChaCha20Poly1305::new(&Key::try_from(&key[..]).expect("a key")),
            iv: expand(secret, "iv", b"", 12).try_into().expect("12 bytes"),
            seq: 0,
        }
    }

    /// A record of `kind`, with so many bytes of padding.
    pub fn seal(&mut self, kind: u8, text: &[u8], padding: usize) -> Vec<u8> {
        let mut sealed = [text, &[kind], &vec![0; padding]].concat();
        // A record that is nothing but padding has no kind.
        if kind == 0 {
            sealed = vec![0; padding];
        }
        let mut nonce = self.iv;
        for (byte, seq) in nonce[4..].iter_mut().zip(self.seq.to_be_bytes()) {
            *byte ^= seq;
        }
        self.seq += 1;
        let head = record_head(23, sealed.len() + 16);
        let buffer = (&mut sealed[..]).into();
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), &head, buffer);
        [&head[..], &sealed, &tag.expect("it fits")].concat()
    }
}

pub fn record_head(kind: u8, len: usize) -> [u8; 5] {
    let [high, low] = (len as u16).to_be_bytes();
    [kind, 3, 3, high, low]
}
