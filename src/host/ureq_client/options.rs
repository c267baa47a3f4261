//! Settings of an HTTP client that do not need ureq's own types.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use ureq::Proxy;
use ureq::config::Config;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::file_server::OptionError;

/// Settings of a [`UreqClient`](super::UreqClient): roots and client certificate for TLS, and a proxy. Credentials
/// for a server are set on its adapter:
/// [`HttpPut::credentials`](crate::HttpPut::credentials),
/// [`Plik::credentials`](crate::Plik::credentials).
///
/// ```no_run
/// use natsbridge::host::{UreqClient, UreqOptions};
///
/// let roots = std::fs::read("ca.pem")?;
/// let (chain, key) = (std::fs::read("client.pem")?, std::fs::read("client.key")?);
/// let options = UreqOptions::default()
///     .root_certificates(&roots)?
///     .client_certificate(&chain, &key)?
///     .proxy("http://proxy.example:3128")?;
/// let client = UreqClient::with_options(&options);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct UreqOptions {
    roots: Option<RootCerts>,
    client: Option<ClientCert>,
    proxy: Option<Proxy>,
}

impl UreqOptions {
    /// Trusts the certificates in this PEM text, and no others. Default: Mozilla's roots.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if there is no certificate in it, or one that cannot be read.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self, OptionError> {
        let certificates = certificates("root certificates", pem)?;
        self.roots = Some(RootCerts::Specific(Arc::new(certificates)));
        Ok(self)
    }

    /// The client certificate for servers that request one. Both texts are PEM: the certificate chain, and its
    /// private key. Default: none.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if there is no certificate or key in them, or one that cannot be read.
    pub fn client_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, OptionError> {
        let chain = certificates("client certificate", chain)?;
        let key = PrivateKey::from_pem(key).map_err(|_| OptionError::Invalid {
            name: "client certificate",
            reason: "there is no private key in PEM that can be read",
        })?;
        self.client = Some(ClientCert::new_with_certs(&chain, key));
        Ok(self)
    }

    /// Connects through this HTTP proxy, `http://[user:password@]host:port`. Default: none, even if the
    /// environment sets one.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if it is not the URL of an HTTP proxy.
    pub fn proxy(mut self, url: &str) -> Result<Self, OptionError> {
        let is_http = ["http://", "https://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        let proxy = Proxy::new(url).ok().filter(|_| is_http);
        // Not printed: it may contain a password.
        self.proxy = Some(proxy.ok_or(OptionError::Invalid {
            name: "proxy",
            reason: "it is no http or https URL",
        })?);
        Ok(self)
    }

    pub(super) fn config(&self) -> Config {
        let tls = TlsConfig::builder()
            .root_certs(self.roots.clone().unwrap_or(RootCerts::WebPki))
            .client_cert(self.client.clone());
        Config::builder()
            .tls_config(tls.build())
            .proxy(self.proxy.clone())
            .build()
    }
}

/// Prints which settings are set, without their values.
impl fmt::Debug for UreqOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = [
            ("root_certificates", self.roots.is_some()),
            ("client_certificate", self.client.is_some()),
            ("proxy", self.proxy.is_some()),
        ];
        let names: Vec<String> = set
            .iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(name, _)| name.to_string())
            .collect();
        f.debug_tuple("UreqOptions").field(&names).finish()
    }
}

fn certificates(name: &'static str, pem: &[u8]) -> Result<Vec<Certificate<'static>>, OptionError> {
    let reason = "there is no certificate in PEM that can be read";
    let invalid = OptionError::Invalid { name, reason };
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(invalid),
        }
    }
    match certificates.is_empty() {
        true => Err(invalid),
        false => Ok(certificates),
    }
}
