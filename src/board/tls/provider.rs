//! The cryptography of TLS 1.3 that a board has, by the crates of RustCrypto: one cipher suite, one group
//! of keys, one kind of signature.

use alloc::boxed::Box;
use alloc::sync::Arc;

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use rustls::crypto::cipher::{
    self, AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter,
    MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload,
    Tls13AeadAlgorithm, UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{
    CipherSuiteCommon, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, hash, hmac,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite, sign,
};
use sha2::{Digest as _, Sha256};

use super::keys;
use super::messages::Messages;
use super::random::POOL;

const HASH_LEN: usize = 32;
const BLOCK_LEN: usize = 64;
const TAG_LEN: usize = 16;

pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: alloc::vec![SupportedCipherSuite::Tls13(&SUITE)],
        kx_groups: alloc::vec![&keys::P256],
        signature_verification_algorithms: keys::SIGNATURES,
        secure_random: &Random,
        key_provider: &NoKeys,
    }
}

/// ChaCha20 takes the same time for all keys on a processor without a cache, and needs no tables.
static SUITE: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        hash_provider: &Sha,
        confidentiality_limit: u64::MAX,
    },
    hkdf_provider: &HkdfUsingHmac(&Hmac),
    aead_alg: &ChaCha,
    quic: None,
};

#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, out: &mut [u8]) -> Result<(), GetRandomFailed> {
        POOL.fill(out);
        Ok(())
    }
}

/// Certificates of clients are not supported.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn sign::SigningKey>, Error> {
        Err(Error::General("no certificates of clients".into()))
    }
}

struct Sha;

impl hash::Hash for Sha {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(Hashing(Sha256::new()))
    }
    fn hash(&self, data: &[u8]) -> hash::Output {
        hash::Output::new(&Sha256::digest(data))
    }
    fn output_len(&self) -> usize {
        HASH_LEN
    }
    fn algorithm(&self) -> hash::HashAlgorithm {
        hash::HashAlgorithm::SHA256
    }
}

struct Hashing(Sha256);

impl hash::Context for Hashing {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(&self.0.clone().finalize())
    }
    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(Self(self.0.clone()))
    }
    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(&self.0.finalize())
    }
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

struct Hmac;

impl hmac::Hmac for Hmac {
    fn with_key(&self, key: &[u8]) -> Box<dyn hmac::Key> {
        Box::new(HmacKey::new(key))
    }
    fn hash_output_len(&self) -> usize {
        HASH_LEN
    }
}

/// HMAC-SHA-256 (RFC 2104): the two hashes behind the block that a key makes.
struct HmacKey {
    inner: Sha256,
    outer: Sha256,
}

impl HmacKey {
    fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_LEN];
        match block.get_mut(..key.len()) {
            Some(start) => start.copy_from_slice(key),
            None => block[..HASH_LEN].copy_from_slice(&Sha256::digest(key)),
        }
        let keyed = |pad: u8| {
            let mut hash = Sha256::new();
            hash.update(block.map(|byte| byte ^ pad));
            hash
        };
        Self {
            inner: keyed(0x36),
            outer: keyed(0x5c),
        }
    }
}

impl hmac::Key for HmacKey {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> hmac::Tag {
        let mut inner = self.inner.clone();
        inner.update(first);
        middle.iter().for_each(|data| inner.update(data));
        inner.update(last);
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        hmac::Tag::new(&outer.finalize())
    }
    fn tag_len(&self) -> usize {
        HASH_LEN
    }
}

struct ChaCha;

impl Tls13AeadAlgorithm for ChaCha {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Records::new(&key, iv))
    }
    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Records::new(&key, iv))
    }
    fn key_len(&self) -> usize {
        32
    }
    fn extract_keys(
        &self,
        _: AeadKey,
        _: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// One direction of a connection. Without a key nothing can be encrypted.
struct Records {
    cipher: Option<ChaCha20Poly1305>,
    iv: Iv,
    /// Of the server. A message does not go on behind a change of keys (RFC 8446 section 5.1).
    messages: Messages,
}

impl Records {
    fn new(key: &AeadKey, iv: Iv) -> Self {
        let key = Key::try_from(key.as_ref()).ok();
        Self {
            cipher: key.map(|key| ChaCha20Poly1305::new(&key)),
            iv,
            messages: Messages::new(),
        }
    }

    fn nonce(&self, seq: u64) -> Nonce {
        cipher::Nonce::new(&self.iv, seq).0.into()
    }
}

impl MessageEncrypter for Records {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let len = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(len);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let tag = self.cipher.as_ref().and_then(|cipher| {
            let aad = make_tls13_aad(len);
            let buffer = payload.as_mut().into();
            cipher
                .encrypt_inout_detached(&self.nonce(seq), &aad, buffer)
                .ok()
        });
        payload.extend_from_slice(&tag.ok_or(Error::EncryptError)?);
        // TLS 1.3 calls itself 1.2 in its records (RFC 8446 section 5.2).
        let (kind, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
        Ok(OutboundOpaqueMessage::new(kind, version, payload))
    }

    fn encrypted_payload_len(&self, len: usize) -> usize {
        len + 1 + TAG_LEN
    }
}

impl MessageDecrypter for Records {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut message.payload;
        let aad = make_tls13_aad(payload.len());
        let decrypted = payload
            .split_last_chunk_mut::<TAG_LEN>()
            .and_then(|(text, tag)| {
                let tag = Tag::from(*tag);
                let cipher = self.cipher.as_ref()?;
                let nonce = self.nonce(seq);
                cipher
                    .decrypt_inout_detached(&nonce, &aad, (&mut *text).into(), &tag)
                    .ok()?;
                Some(text.len())
            });
        let len = decrypted.ok_or(Error::DecryptError)?;
        payload.truncate(len);
        let message = message.into_tls13_unpadded_message()?;
        if message.typ == ContentType::Handshake {
            self.messages.pass(message.payload)?;
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 2 and 6: a short key, and one that is longer than a block.
    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let short = hmac::Hmac::with_key(&Hmac, b"Jefe");
        let tag = short.sign(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(tag.as_ref()[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(tag.as_ref()[28..], [0x64, 0xec, 0x38, 0x43]);
        let long = hmac::Hmac::with_key(&Hmac, &[0xaa; 131]);
        let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let tag = long.sign_concat(&text[..5], &[&text[5..9]], &text[9..]);
        assert_eq!(tag.as_ref()[..4], [0x60, 0xe4, 0x31, 0x59]);
        assert_eq!(tag.as_ref()[28..], [0x0e, 0xe3, 0x7f, 0x54]);
    }
}
