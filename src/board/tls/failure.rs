//! What went wrong in TLS, in words. rustls has words of its own, for which a board would need tens of
//! kilobytes of flash.

use rustls::{AlertDescription, CertificateError, Error};

use crate::net::{TransportError, TransportErrorKind as Kind};

pub(super) const NO_CLOCK: &str =
    "certificates cannot be checked: the platform's `unix_millis` is 0";

/// The handshake failed, or the connection afterwards.
#[inline(never)] // flash
pub(super) fn failed(error: &Error) -> TransportError {
    let (kind, message) = match error {
        // Only the library's own verifier says something in its own words.
        Error::General(message) => return TransportError::new(Kind::Certificate, message),
        Error::InvalidCertificate(error) => (Kind::Certificate, certificate(error)),
        Error::NoCertificatesPresented => (Kind::Certificate, "the server has no certificate"),
        Error::AlertReceived(alert) => alert_received(*alert),
        Error::PeerIncompatible(_) => (
            Kind::Failed,
            "the server does not support TLS 1.3 with ChaCha20-Poly1305 and P-256",
        ),
        Error::PeerSentOversizedRecord => (
            Kind::Failed,
            "a TLS record or a handshake message of the server is too long",
        ),
        Error::DecryptError => (Kind::Failed, "a TLS record was changed on its way"),
        Error::FailedToGetCurrentTime => (Kind::Unsupported, NO_CLOCK),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => (Kind::Failed, "the server does not follow the rules of TLS"),
        _ => (Kind::Failed, "TLS failed"),
    };
    TransportError::new(kind, message)
}

fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate is expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not one for servers"
        }
        CertificateError::UnknownIssuer => "the server's certificate leads to no known root",
        CertificateError::BadSignature => {
            "a signature of the server's certificate or handshake is wrong"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the server's certificate is not signed by ECDSA with P-256 and SHA-256"
        }
        _ => "the server's certificate is invalid",
    }
}

fn alert_received(alert: AlertDescription) -> (Kind, &'static str) {
    match alert {
        AlertDescription::CertificateRequired => (
            Kind::Certificate,
            "the server asks for a certificate of the client",
        ),
        AlertDescription::ProtocolVersion => (Kind::Failed, "the server has no TLS 1.3"),
        AlertDescription::HandshakeFailure => (
            Kind::Failed,
            "the server does not support ChaCha20-Poly1305, P-256 or a certificate of P-256",
        ),
        AlertDescription::UnrecognisedName => (
            Kind::Certificate,
            "the server does not know the name it was called by",
        ),
        _ => (Kind::Failed, "the server ended TLS by an alert"),
    }
}
