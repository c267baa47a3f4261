//! Keys on the curve P-256: the exchange that secrets are derived from, and signatures of certificates
//! and handshakes.

use alloc::boxed::Box;

use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey};
use rustls::crypto::{
    ActiveKeyExchange, SharedSecret, SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use rustls::{Error, NamedGroup, PeerMisbehaved, SignatureScheme};

use super::random::POOL;

/// A point as TLS writes it: 4, and the two coordinates (RFC 8446 section 4.2.8.2).
const POINT_LEN: usize = 65;
const UNCOMPRESSED: u8 = 4;
/// Random bytes are no key with a probability of 2 to the power of -32.
const MAX_KEY_TRIES: usize = 4;

pub(super) const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&EcdsaP256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[&EcdsaP256])],
};

#[derive(Debug)]
pub(super) struct P256;

impl SupportedKxGroup for P256 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = (0..MAX_KEY_TRIES).find_map(|_| {
            let mut bytes = [0; 32];
            POOL.fill(&mut bytes);
            SecretKey::from_slice(&bytes).ok()
        });
        let secret = secret.ok_or(Error::FailedToGetRandomBytes)?;
        let point = secret.public_key().to_sec1_point(false);
        let public = point.as_bytes().try_into();
        let public = public.map_err(|_| Error::FailedToGetRandomBytes)?;
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct Exchange {
    secret: SecretKey,
    public: [u8; POINT_LEN],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let invalid = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);
        if peer.len() != POINT_LEN || peer.first() != Some(&UNCOMPRESSED) {
            return Err(invalid);
        }
        // A point of the curve, or an error.
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| invalid)?;
        let shared = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(&shared.raw_secret_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

/// ECDSA by a key on P-256, of the SHA-256 of a message.
#[derive(Debug)]
struct EcdsaP256;

impl SignatureVerificationAlgorithm for EcdsaP256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}
