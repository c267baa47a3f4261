//! Which chains of certificates are looked at. What is in them is checked by webpki, as on hosts.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore, SignatureScheme};

use super::keys::SIGNATURES;

/// How many certificates a server may send: its own, and two that lead to a root. webpki calls itself for each of
/// them, which takes 1.9 KB of stack, and verifies a signature for each path that their names allow: 5 paths for
/// these, 100 for more. Names prove nothing, so anybody on the way can send such a chain.
const MAX_CERTIFICATES: usize = 3;

/// What `WebPkiServerVerifier` does, behind a limit and without revocation lists, which take 10 KB of flash.
#[derive(Debug)]
pub(super) struct Verifier(pub(super) Arc<RootCertStore>);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let count = others.len().saturating_add(1);
        if count > MAX_CERTIFICATES {
            return Err(Error::General(format!(
                "the server sent {count} certificates, the limit is {MAX_CERTIFICATES}"
            )));
        }
        let own = ParsedCertificate::try_from(own)?;
        verify_server_cert_signed_by_trust_anchor(&own, &self.0, others, now, SIGNATURES.all)?;
        verify_server_name(&own, name)?;
        Ok(ServerCertVerified::assertion())
    }

    /// Only TLS 1.3 is spoken.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}
