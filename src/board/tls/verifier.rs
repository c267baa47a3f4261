//! Which chains of certificates are looked at. What is in them is checked by webpki, as on hosts.

use alloc::format;
use alloc::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::net::{TransportError, TransportErrorKind as Kind};

/// How many certificates a server may send: its own, and two that lead to a root. webpki calls itself for each of
/// them, which takes 1.9 KB of stack, and verifies a signature for each path that their names allow: 5 paths for
/// these, 100 for more. Names prove nothing, so anybody on the way can send such a chain.
const MAX_CERTIFICATES: usize = 3;

/// webpki's verifier, behind a limit.
#[derive(Debug)]
pub(super) struct Verifier(Arc<WebPkiServerVerifier>);

impl Verifier {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TransportError> {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let no_roots = |_| TransportError::new(Kind::Certificate, "there are no roots");
        verifier.map(Self).map_err(no_roots)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let count = others.len().saturating_add(1);
        if count > MAX_CERTIFICATES {
            return Err(Error::General(format!(
                "the server sent {count} certificates, the limit is {MAX_CERTIFICATES}"
            )));
        }
        self.0
            .verify_server_cert(own, others, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> alloc::vec::Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
