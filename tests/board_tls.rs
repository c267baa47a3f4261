//! The board's clients over TLS against real servers: TLS that a program brings itself, and `board::Tls`.

mod common;

use std::sync::Arc;

use common::LONG;
use common::certificates::Certificates;
use common::nats_server::NatsServer;
use common::tcp_stack::TcpStack;
use common::tls_transport::TlsTransport;
use common::web_server::WebServer;
use natsbridge::adapter::{FileServer as _, SliceBody};
use natsbridge::board::{Nal, NatsOptions, TransportHttpClient, TransportNatsClient};
use natsbridge::host::StdPlatform;
use natsbridge::{BrokerErrorKind as Kind, FileServerErrorKind, HttpPut, contract};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

type Tls = TlsTransport<Nal<TcpStack, StdPlatform>>;

/// A transport that accepts servers by the root in this PEM text, and shows them a certificate.
fn tls(root: &[u8], client: Option<(&[u8], &[u8])>) -> Tls {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(root).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    TlsTransport::new(Nal::new(TcpStack, StdPlatform).with_dns(), Arc::new(config))
}

fn client(tls: Tls, url: &str) -> TransportNatsClient<Tls, StdPlatform> {
    let options = NatsOptions::new(url).connect_timeout(LONG).timeout(LONG);
    TransportNatsClient::over(tls, StdPlatform, options)
}

#[test]
fn nats_over_tls_does_all_that_it_does_without() {
    let certificates = Certificates::make();
    let config = certificates.config("server");
    let server = NatsServer::start_with(&format!("tls {{ {config} }}"));
    let url = format!("tls://localhost:{}", server.port());
    let ca = certificates.text("ca.pem");
    contract::broker(|| client(tls(ca.as_bytes(), None), &url), "board.tls");
}

#[test]
fn https_does_all_that_http_does() {
    let server = WebServer::start_with_tls();
    let [ca, certificate, key] =
        ["ca.pem", "client.pem", "client.key"].map(|file| server.pem(file));
    let http = || {
        let tls = tls(&ca, Some((&certificate, &key)));
        TransportHttpClient::over(tls, StdPlatform)
    };
    let put = HttpPut::new(http(), StdPlatform, &server.url());
    contract::file_server(&mut put.unwrap(), true);
    contract::http_client(&mut http(), &server.url());
}

#[test]
fn a_certificate_that_is_not_accepted_has_an_error_of_its_own() {
    let certificates = Certificates::make();
    let other = certificates.text("other-ca.pem");
    let config = certificates.config("server");
    let server = NatsServer::start_with(&format!("tls {{ {config} }}"));
    let connected = client(tls(other.as_bytes(), None), &server.url()).connect();
    let error = connected.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");

    let server = WebServer::start_with_tls();
    let http = TransportHttpClient::over(tls(other.as_bytes(), None), StdPlatform);
    let mut put = HttpPut::new(http, StdPlatform, &server.url()).unwrap();
    let error = put.upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), FileServerErrorKind::Unauthorized, "{error}");
    assert!(!error.is_transient());
    assert_eq!(server.stored_names(), [""; 0]);
}

/// The library's own TLS.
#[cfg(feature = "board-tls")]
mod own {
    use natsbridge::board::{Tls, TlsOptions};
    use natsbridge::net::Transport;

    use super::*;

    fn tls(root: &[u8]) -> impl Transport {
        let plain = Nal::new(TcpStack, StdPlatform).with_dns();
        Tls::new(plain, StdPlatform, TlsOptions::new(root).unwrap())
    }

    fn client(root: &[u8], url: &str) -> TransportNatsClient<impl Transport, StdPlatform> {
        let options = NatsOptions::new(url).connect_timeout(LONG).timeout(LONG);
        TransportNatsClient::over(tls(root), StdPlatform, options)
    }

    #[test]
    fn nats_does_all_that_it_does_without() {
        let certificates = Certificates::make();
        let config = certificates.config("server");
        let server = NatsServer::start_with(&format!("tls {{ {config} }}"));
        let url = format!("tls://localhost:{}", server.port());
        let root = certificates.der("ca");
        contract::broker(|| client(&root, &url), "board.own");
    }

    #[test]
    fn http_does_all_that_it_does_without() {
        let certificates = Certificates::make();
        let [certificate, key] = ["server.pem", "server.key"].map(|file| certificates.path(file));
        let server = WebServer::start_with_certificate(&certificate, &key);
        let root = certificates.der("ca");
        let http = || TransportHttpClient::over(tls(&root), StdPlatform);
        let put = HttpPut::new(http(), StdPlatform, &server.url());
        contract::file_server(&mut put.unwrap(), true);
        contract::http_client(&mut http(), &server.url());
    }

    #[test]
    fn a_server_that_cannot_be_known_is_refused() {
        let certificates = Certificates::make();
        let config = certificates.config("elsewhere");
        let server = NatsServer::start_with(&format!("tls {{ {config} }}"));
        let refused = client(&certificates.der("ca"), &server.url()).connect();
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
        assert!(error.to_string().contains("for another name"), "{error}");
    }

    #[test]
    fn a_root_must_be_a_certificate() {
        for root in [&b""[..], b"-----BEGIN CERTIFICATE-----", &[0x30; 300]] {
            let error = TlsOptions::new(root).unwrap_err();
            assert!(error.to_string().contains("DER"), "{error}");
        }
    }
}
