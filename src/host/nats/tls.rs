//! TLS by rustls, and what servers accept instead of a password: signatures.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use std::fs;

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::nats::credentials::{
    CredentialsError, decode_seed, encode_public_key, encode_signature,
};
use crate::nats::options::{NatsOptions, Pem};

/// A TLS client for a server that must have a certificate of `name`.
///
/// # Errors
/// What is wrong with the name.
pub(super) fn client(config: &Arc<ClientConfig>, name: &str) -> Result<ClientConnection, String> {
    let name = ServerName::try_from(name.to_string());
    let name = name.map_err(|_| "its host cannot be the name of a certificate".to_string())?;
    ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())
}

/// Certificates and keys, read from where the options say.
///
/// # Errors
/// What is wrong with which file.
pub(super) fn config(options: &NatsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(options)?);
    let Some((certificate, key)) = &options.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let (text, place) = read(certificate)?;
    let chain = certificates(&text, &place)?;
    let (text, place) = read(key)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| format!("{place} has no private key that can be read"))?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map_err(|error| format!("the client certificate cannot be used: {error}"))
}

fn roots(options: &NatsOptions) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if options.roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for pem in &options.roots {
        let (text, place) = read(pem)?;
        for certificate in certificates(&text, &place)? {
            let added = roots.add(certificate);
            added.map_err(|error| {
                format!("a root certificate in {place} cannot be used: {error}")
            })?;
        }
    }
    Ok(roots)
}

fn certificates(
    text: &str,
    place: &str,
) -> Result<alloc::vec::Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes());
    let certificates = certificates.collect::<Result<alloc::vec::Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{place} has no certificate in it")),
        Err(_) => Err(format!("{place} is not PEM")),
    }
}

/// The text, and how to call it in an error.
fn read(pem: &Pem) -> Result<(String, String), String> {
    match pem {
        Pem::Text(text) => Ok((text.clone(), "the PEM text".to_string())),
        Pem::File(path) => {
            let place = path.display().to_string();
            match fs::read_to_string(path) {
                Ok(text) => Ok((text, place)),
                Err(error) => Err(format!("{place} cannot be read: {error}")),
            }
        }
    }
}

/// The public key of a seed, and its signature of the server's nonce, as CONNECT has them.
pub(super) fn sign(seed: &str, nonce: &str) -> Result<(String, String), CredentialsError> {
    let seed = decode_seed(seed)?;
    // Any 32 bytes are a key.
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| CredentialsError::NotASeed)?;
    let mut public_key = [0; 32];
    public_key.copy_from_slice(key.public_key().as_ref());
    let signature = encode_signature(key.sign(nonce.as_bytes()).as_ref());
    Ok((encode_public_key(&public_key), signature))
}
