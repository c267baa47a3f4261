//! Whom to trust, and how much memory to take.

use alloc::sync::Arc;
use core::fmt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::net::{TransportError, TransportErrorKind as Kind};

/// The longest record of TLS 1.3 with its head, in bytes (RFC 8446 section 5.2).
const MAX_RECORD_LEN: usize = 16_384 + 256 + 5;
/// A smaller buffer does not hold a handshake message.
const MIN_RECEIVE_BUFFER: usize = 1024;
const MIN_SEND_BUFFER: usize = 64;

/// Options of [`Tls`](super::Tls): the roots of the servers to be trusted, and sizes of buffers.
#[derive(Clone)]
pub struct TlsOptions {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) receive_buffer: usize,
    pub(super) send_buffer: usize,
}

impl TlsOptions {
    /// Trusts servers whose certificate leads to this root, a certificate in DER:
    /// `openssl x509 -in ca.pem -outform der -out ca.der`, and `include_bytes!`.
    ///
    /// # Errors
    /// Of kind [`Certificate`](Kind::Certificate) if it is none.
    pub fn new(root: &[u8]) -> Result<Self, TransportError> {
        let options = Self {
            roots: Arc::new(RootCertStore::empty()),
            receive_buffer: MAX_RECORD_LEN,
            send_buffer: 1024,
        };
        options.root_certificate(root)
    }

    /// Trusts servers of this root too.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn root_certificate(mut self, root: &[u8]) -> Result<Self, TransportError> {
        let mut roots = RootCertStore::clone(&self.roots);
        let added = roots.add(CertificateDer::from(root));
        let message = "the root is not a certificate in DER";
        added.map_err(|_| TransportError::new(Kind::Certificate, message))?;
        self.roots = Arc::new(roots);
        Ok(self)
    }

    /// How many bytes one record from the server may have, and one message of its handshake: its certificates
    /// with their heads. Default 16,645, the most that TLS allows for a record, at least 1,024. With less, a
    /// server that sends longer records is an error: nginx and nats-server do once a response is long.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes.clamp(MIN_RECEIVE_BUFFER, MAX_RECORD_LEN);
        self
    }

    /// How many bytes are encrypted at a time. Default 1,024, at least 64, at most 16,384. The buffer has 22
    /// bytes more.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes.clamp(MIN_SEND_BUFFER, 16_384);
        self
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("roots", &self.roots.len())
            .field("receive_buffer", &self.receive_buffer)
            .field("send_buffer", &self.send_buffer)
            .finish()
    }
}
